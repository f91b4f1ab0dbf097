"""Labels that several stages write and read: names of the six frames, statuses and notes of a contig."""

#: Names of the frames in the order of their bits in a mask, 0 to 5, and of their rows. R1 starts at the window's last
#: base.
FRAME_NAMES = ("F1", "F2", "F3", "R1", "R2", "R3")

#: Statuses of a contig, in this order: it has a frame without a stop codon; it has none; it is shorter than three bases
#: or than the configured minimum; it has no complete codon of A, C, G, T in any frame of any window; it has no base.
STATUSES = ("scored", "no_open_frame", "too_short", "no_codon", "empty")

#: Notes about a contig: none; it is RNA, and each U was read as T.
NOTES = ("", "rna")

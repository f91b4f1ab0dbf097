"""Windows and frames as the original computes them: plain Python and Biopython, one base at a time."""

from math import ceil

from Bio.Seq import Seq

STARTS = {"F1": 0, "F2": 1, "F3": 2, "R1": 0, "R2": 1, "R3": 2}


def windows(length: int, window_length: int) -> list[tuple[int, int]]:
    """Start and end of each window, by the original's walk along the contig."""
    if length == 0:
        return []
    count = ceil(length / window_length)
    overlap = count * window_length - length
    low = overlap // count
    one_more = overlap - low * (count - 1)
    found = []
    shift = 0
    for number in range(count):
        start = number * window_length - shift
        found.append((start, start + min(window_length, length - start)))
        shift += low + 1 if number < one_more else low
    return found


def reverse_complement(sequence: str) -> str:
    return "".join({"A": "T", "C": "G", "G": "C", "T": "A"}.get(base, base) for base in reversed(sequence))


def translate(strand: str, offset: int) -> str:
    codons = [strand[at : at + 3] for at in range(offset, len(strand) - 2, 3)]
    return str(Seq("".join(codon for codon in codons if set(codon) <= set("ACGT"))).translate())


def frames(window: str) -> dict[str, tuple[str, str]]:
    """Nucleotides and protein of each stop-free frame by its name, in the order F1, F2, F3, R1, R2, R3."""
    forward = window.upper()
    found = {}
    for name, offset in STARTS.items():
        strand = forward if name[0] == "F" else reverse_complement(forward)
        protein = translate(strand, offset)
        if protein and "*" not in protein:
            found[name] = (strand[offset : offset + 3 * len(protein) + 1], protein)
    return found


def has_codon(window: str) -> bool:
    return any(set(window[at : at + 3].upper()) <= set("ACGT") for at in range(len(window) - 2))

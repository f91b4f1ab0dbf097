"""Segments: the longest stop-free part of each of the six translations, equal to those of a plain Python version."""

import re

from Bio.Seq import Seq
from hypothesis import example, given, settings
from hypothesis import strategies as st

from virnucpro_kernels.pool.labels import FRAME_NAMES
from virnucpro_kernels.sequences.arrays import SequenceArray
from virnucpro_kernels.split.frames import MAX_SEGMENTS, frame_sequences
from virnucpro_kernels.split.windows import place_windows

_UNKNOWN = re.compile("[^ACGT]")


def _segments(window: str, min_segment: int) -> dict[str, tuple[str, str]]:
    """Nucleotides and protein of each segment, by the name of its frame."""
    strands = {"F": window.upper(), "R": str(Seq(window.upper()).complement())[::-1]}
    found = []
    for name in FRAME_NAMES:
        bases = strands[name[0]][int(name[1]) - 1 :]
        codons = [bases[at : at + 3] for at in range(0, len(bases) - 2, 3)]
        residues = "".join("*" if _UNKNOWN.search(codon) else str(Seq(codon).translate()) for codon in codons)
        parts = [match.span() for match in re.finditer(r"[^*]+", residues)]
        # Of equally long parts the first on the forward strand: the last one that is read backwards.
        start, end = max(parts[:: 1 if name[0] == "F" else -1], key=lambda part: part[1] - part[0], default=(0, 0))
        if end - start >= min_segment:
            found.append((name, ("".join(codons[start:end]), residues[start:end])))
    longest = sorted(found, key=lambda segment: -len(segment[1][1]))[:MAX_SEGMENTS]
    return {name: segment for name, segment in found if name in dict(longest)}


# Stops are a little rarer than in random sequence, so that some parts are long enough.
_BASES = st.text("ACGTGCAG", min_size=90, max_size=700) | st.text("ACGTacgtGCgcN", max_size=300)


@settings(max_examples=150)
@given(st.lists(_BASES, max_size=5), st.sampled_from([100, 300, 500]), st.sampled_from([1, 30, 40]))
@example(["ATG" + "GCA" * 40 + "TAA" + "GCC" * 39], 500, 40)
def test_all_sequences(contigs: list[str], window_length: int, min_segment: int) -> None:
    sequences = SequenceArray.from_list([contig.encode() for contig in contigs])
    windows = place_windows(sequences.lengths, window_length, "segments")
    found, nucleotides, proteins = frame_sequences(sequences, windows, "segments", min_segment)
    expected = []
    places = zip(windows.contig.tolist(), windows.start.tolist(), windows.end.tolist(), strict=True)
    for number, (contig, start, end) in enumerate(places):
        segments = _segments(contigs[contig][start:end], min_segment)
        expected += [(number, name, *segment) for name, segment in segments.items()]
    names = [FRAME_NAMES[frame] for frame in found.frame]
    texts = [[sequence.decode() for sequence in column] for column in (nucleotides, proteins)]
    assert list(zip(found.window.tolist(), names, *texts, strict=True)) == expected
    assert [mask.bit_count() for mask in found.masks.tolist()] == [
        sum(number == window for number, *_ in expected) for window in range(len(windows))
    ]


def test_a_window_with_stops_in_all_frames_has_segments() -> None:
    block = "GCA" * 31 + "TAACTAACTAATTAGTTAGTTAG"  # stops in all six frames
    sequences = SequenceArray.from_list([(block * 4).encode()])
    windows = place_windows(sequences.lengths, 500, "segments")
    assert len(frame_sequences(sequences, windows, "original")[0]) == 0
    segments, _, proteins = frame_sequences(sequences, windows, "segments")
    assert len(segments) == MAX_SEGMENTS * len(windows)
    assert not any(b"*" in protein for protein in proteins)

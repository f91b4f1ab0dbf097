"""Frames: equal to those of a plain Python version of the original's rules."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.reference_frames import frames as reference_frames
from tests.helpers.reference_frames import has_codon
from tests.helpers.reference_frames import windows as reference_windows
from virnucpro_kernels.pool.labels import FRAME_NAMES
from virnucpro_kernels.sequences.arrays import SequenceArray
from virnucpro_kernels.split.frames import find_frames, frame_sequences
from virnucpro_kernels.split.windows import place_windows

# Stops are rarer than in random sequence, so that long frames stay open; odd characters come now and then.
CLEAN = st.text("ACGGCC", max_size=200) | st.text("ACGT", max_size=60)
ODD = st.text("ACGTacgtGCgcNnRYURKMu-*", max_size=120)
LOWER = st.text("acgcg", max_size=120)


@settings(max_examples=300)
@given(st.lists(CLEAN | ODD | LOWER, max_size=8), st.integers(1, 70))
def test_all_sequences_and_window_lengths(contigs: list[str], window_length: int) -> None:
    sequences = SequenceArray.from_list([contig.encode() for contig in contigs])
    windows = place_windows(sequences.lengths, window_length, "original")
    found, nucleotides, proteins = frame_sequences(sequences, windows, "original")

    pieces = [c[start:end] for c in contigs for start, end in reference_windows(len(c), window_length)]
    expected = [
        (number, name, nucleotide, protein)
        for number, piece in enumerate(pieces)
        for name, (nucleotide, protein) in reference_frames(piece).items()
    ]
    names = [FRAME_NAMES[frame] for frame in found.frame]
    texts = [[sequence.decode() for sequence in column] for column in (nucleotides, proteins)]
    assert list(zip(found.window.tolist(), names, *texts, strict=True)) == expected
    assert found.residues.tolist() == [len(protein) for *_, protein in expected]
    assert found.masks.tolist() == [
        sum(1 << FRAME_NAMES.index(name) for name in reference_frames(piece)) for piece in pieces
    ]
    assert found.readable.tolist() == [has_codon(piece) for piece in pieces]


@pytest.mark.parametrize(
    ("length", "lengths"),
    [(500, [(499, 166), (499, 166), (498, 166)]), (499, [(499, 166), (498, 166), (496, 165)])],
)
def test_one_base_more_than_is_translated(length: int, lengths: list[tuple[int, int]]) -> None:
    sequences = SequenceArray.from_list([b"GC" * (length // 2) + b"G" * (length % 2)])
    windows = place_windows(sequences.lengths, 500, "original")
    _, nucleotides, proteins = frame_sequences(sequences, windows, "original")
    pairs = zip(nucleotides, proteins, strict=True)
    assert [(len(nucleotide), len(protein)) for nucleotide, protein in pairs] == lengths * 2


def test_no_sequences() -> None:
    sequences = SequenceArray.from_list([])
    windows = place_windows(sequences.lengths, 500, "original")
    found, nucleotides, proteins = frame_sequences(sequences, windows, "original")
    assert len(found) == len(found.masks) == len(found.readable) == len(nucleotides) == len(proteins) == 0


def test_a_contig_of_several_blocks() -> None:
    bases = np.random.default_rng(0).choice(np.frombuffer(b"ACGT", np.uint8), 3_000_001).tobytes()
    sequences = SequenceArray.from_list([b"ACG", bases, b"ACG"])
    windows = place_windows(sequences.lengths, 61, "original")
    found, nucleotides, proteins = frame_sequences(sequences, windows, "original")
    of_window: list[list[tuple[str, str, str]]] = [[] for _ in range(len(windows))]
    for window, *frame in zip(found.window.tolist(), found.frame.tolist(), nucleotides, proteins, strict=True):
        of_window[window].append((FRAME_NAMES[frame[0]], frame[1].decode(), frame[2].decode()))

    for window in range(0, len(windows), 53):
        contig, start, end = windows.contig[window], windows.start[window], windows.end[window]
        expected = reference_frames(sequences[contig][start:end].decode())
        assert of_window[window] == [(name, *texts) for name, texts in expected.items()]
    assert np.array_equal(find_frames(sequences, windows, "original").masks, found.masks)

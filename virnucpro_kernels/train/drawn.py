"""Windows that were drawn to train on, and the genome files they come from: what `draw` leaves to `fit`."""

from dataclasses import dataclass
from typing import Literal

#: Files in the folder of the drawn windows: their sequences, their list in the same order, and the genome files.
WINDOW_FASTA, WINDOW_LIST, FILE_LIST = "windows.fna", "windows.tsv", "files.tsv"

FrameRule = Literal["all", "cds"]


@dataclass(frozen=True)
class DrawnWindow:
    """A window to train on or to measure with.

    Attributes:
        window: Name, the ID in the FASTA file.
        split, label, category, group, seq_id: Side of the split, class, kind and group of its record, and its ID.
        start, end: First base in the record, 0-based, and the base after the last.
        frames: Frames to train on: bit i is set where frame i, in the order of `labels.FRAME_NAMES`, is among them.
    """

    window: str
    split: str
    label: str
    category: str
    group: str
    seq_id: str
    start: int
    end: int
    frames: int


@dataclass(frozen=True)
class GenomeFile:
    """A sequence file that was read, with the number of its records that the table has."""

    file: str
    sha256: str
    bytes: int
    records: int

"""Random residues that are as frequent as in the frames of real sequences."""

import hashlib

import numpy as np

#: How many of 1,001 residues each is in the stop-free frames of windows of 500 bp: the mean of viruses and of hosts, of
#: which each category has the same weight (train split of the genomes with which `compact-500` was trained).
RESIDUES_IN_FRAMES = {
    "A": 72, "C": 15, "D": 55, "E": 56, "F": 44, "G": 65, "H": 26, "I": 61, "K": 55, "L": 94,
    "M": 20, "N": 46, "P": 51, "Q": 37, "R": 63, "S": 77, "T": 56, "V": 65, "W": 12, "Y": 31,
}  # fmt: skip
_DECK = np.frombuffer("".join(letter * count for letter, count in RESIDUES_IN_FRAMES.items()).encode(), np.uint8)


def draw_residues(name: str, count: int) -> bytes:
    """Return `count` residues drawn by SHAKE-256 from `name`, the same for ever."""
    drawn = np.frombuffer(hashlib.shake_256(name.encode()).digest(4 * count), "<u4")
    return bytes(_DECK[drawn % len(_DECK)])

"""Canaries: fixed sequences whose vectors must not change while a device computes a chunk.

A faulty device mostly gives finite numbers that are wrong, which nothing else would notice.
"""

import hashlib
from dataclasses import dataclass, field

import numpy as np

from virnucpro_kernels.embed.device import BatchRunner
from virnucpro_kernels.embed.loader import Tokenize
from virnucpro_kernels.errors import FaultyDeviceError
from virnucpro_kernels.models.similarity import cosines
from virnucpro_kernels.ops.packing import PADDING_MULTIPLE, PackedBatch, pack
from virnucpro_kernels.pool.embedding_file import Vectors
from virnucpro_kernels.pool.provenance import Alphabet
from virnucpro_kernels.sequences.arrays import SequenceArray

#: Residues of the canaries; the nucleotides are as many codons.
_RESIDUES = (30, 50, 100, 166)
_LETTERS: dict[Alphabet, bytes] = {"nucleotide": b"ACGT", "protein": b"ACDEFGHIKLMNPQRSTVWY"}
#: Largest share of a chunk's tokens that canaries are, at begin and end together; one canary there is always.
_SHARE = 0.0005
#: Smallest cosine with the values that the CPU gave in fp32.
COSINES = {"fp32": 0.99999, "reference": 0.99999, "fp16": 0.9999, "bf16": 0.999, "fp8-ff": 0.995, "fp8": 0.98}


def canary_sequences(alphabet: Alphabet) -> SequenceArray:
    """Return the canaries of an alphabet, the same for ever: letters drawn by SHAKE-256 from their number."""
    letters, times = _LETTERS[alphabet], 3 if alphabet == "nucleotide" else 1
    drawn = (
        hashlib.shake_256(f"{alphabet} {number}".encode()).digest(times * residues)
        for number, residues in enumerate(_RESIDUES)
    )
    return SequenceArray.from_list([bytes(letters[byte % len(letters)] for byte in each) for each in drawn])


@dataclass
class Canaries:
    """The canaries of one encoder on one chunk.

    Attributes:
        alphabet: Alphabet of the encoder.
        device: Name of the device, for messages.
        batch: The canaries, packed.
        chunk_tokens: Estimated tokens of the chunk.
        looks: Number of times that they were computed.
    """

    alphabet: Alphabet
    device: str
    batch: PackedBatch
    chunk_tokens: int
    looks: int = 0
    _first: Vectors | None = field(default=None, repr=False)

    @classmethod
    def of(cls, alphabet: Alphabet, tokenize: Tokenize, letters: int, device: str) -> "Canaries":
        """Choose canaries for a chunk of so many letters, nucleotides or residues: fewer for a small one."""
        sequences = canary_sequences(alphabet)
        tokens = tokenize(sequences)
        chunk_tokens = round(letters * len(tokens.tokens) / len(sequences.data))
        count = max(1, int(np.searchsorted(tokens.offsets[1:], chunk_tokens * _SHARE / 2, side="right")))
        total = -(-int(tokens.offsets[count]) // PADDING_MULTIPLE) * PADDING_MULTIPLE
        return cls(alphabet, device, pack(tokens, slice(0, count), total_tokens=total), chunk_tokens)

    def look(self, runner: BatchRunner, expected: Vectors | None, precision: str) -> None:
        """Compute the canaries and compare them with the first time, bit by bit, and with `expected`.

        Args:
            runner: Runner of the encoder.
            expected: Vectors that a CPU gave in fp32 for all canaries, (n, d), or None.
            precision: Precision of the encoder.

        Raises:
            FaultyDeviceError: they differ.
        """
        found = runner.probe(self.batch)
        self.looks += 1
        if self._first is None:
            self._first = found
            bound = COSINES[precision.partition("+")[0]]
            if expected is not None and not (worst := cosines(found, expected[: len(found)]).worst) >= bound:
                raise FaultyDeviceError(
                    f"{self.device} computes wrong numbers: the canaries of the {self.alphabet} encoder have a cosine"
                    f" of {worst:.6f} with those kept in the model's directory (bound {bound}); nothing of this chunk"
                    " is kept. Use another device, and have this one examined"
                )
        elif found.tobytes() != self._first.tobytes():
            raise FaultyDeviceError(
                f"{self.device} computes wrong numbers: the canaries of the {self.alphabet} encoder had other vectors"
                " at the end than at the beginning; nothing of this chunk is kept. Use another device, and have this"
                " one examined"
            )

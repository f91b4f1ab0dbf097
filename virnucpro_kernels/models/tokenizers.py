"""From sequences to tokens: ESM-2's alphabet by a byte table, DNABERT-S's byte pairs by the `tokenizers` library."""

from pathlib import Path

import numpy as np
import tokenizers

from virnucpro_kernels.errors import DamagedFileError, UsageError
from virnucpro_kernels.ops.packing import TokenArray
from virnucpro_kernels.pool.tokens import SPECIAL_TOKENS
from virnucpro_kernels.sequences.arrays import SequenceArray

#: ESM-2's vocabulary in the order of its token numbers. A letter is one residue; `.` and `-` are gaps.
ESM2_VOCABULARY = (
    *("<cls>", "<pad>", "<eos>", "<unk>"),
    *"LAGVSERTIDPKQNFYMHWCXBUZO.-",
    *("<null_1>", "<mask>"),
)
CLS, PAD, EOS = (ESM2_VOCABULARY.index(token) for token in ("<cls>", "<pad>", "<eos>"))

_UNKNOWN = 255
_ENCODED_AT_ONCE = 4096  # the library's encodings are many times larger than the tokens
_TOKEN_OF_BYTE = np.full(256, _UNKNOWN, dtype=np.uint8)
for _token, _name in enumerate(ESM2_VOCABULARY):
    if len(_name) == 1:
        _TOKEN_OF_BYTE[ord(_name)] = _token


def tokenize_proteins(proteins: SequenceArray) -> TokenArray:
    """Return the tokens of ESM-2: `<cls>`, one a residue, `<eos>`. Nothing is truncated.

    Returns:
        TokenArray of uint8; sequence i has `proteins.lengths[i] + SPECIAL_TOKENS` tokens.

    Raises:
        UsageError: a character is not in ESM-2's alphabet (capital letters except J, `.` and `-`).
    """
    residues = _TOKEN_OF_BYTE[proteins.data]
    if (residues == _UNKNOWN).any():
        at = int(np.argmax(residues == _UNKNOWN))
        index = int(np.searchsorted(proteins.offsets, at, side="right")) - 1
        start, stop = (int(offset) for offset in proteins.offsets[index : index + 2])
        beginning = proteins.data[start : min(stop, start + 20)].tobytes().decode("latin-1")
        raise UsageError(
            f"protein {index + 1}, which begins with {beginning!r}, has {chr(proteins.data[at])!r} at residue"
            f" {at - start + 1}, and ESM-2's alphabet has no such letter; replace it with X in the protein FASTA"
        )
    offsets = proteins.offsets + SPECIAL_TOKENS * np.arange(len(proteins) + 1)
    tokens = np.empty(int(offsets[-1]), dtype=np.uint8)
    is_residue = np.ones(len(tokens), dtype=bool)
    is_residue[offsets[:-1]] = False
    is_residue[offsets[1:] - 1] = False
    tokens[is_residue] = residues
    tokens[offsets[:-1]] = CLS
    tokens[offsets[1:] - 1] = EOS
    return TokenArray(tokens, offsets)


class DnaTokenizer:
    """A byte-pair tokenizer in the `tokenizer.json` format of Hugging Face, as published with DNABERT-2 and DNABERT-S.

    The published file pads and truncates every sequence to 2000 tokens; here both are off.
    """

    def __init__(self, path: Path) -> None:
        """Read the tokenizer file.

        Raises:
            DamagedFileError: the file is not a tokenizer, or has more tokens than uint16 holds.
        """
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise DamagedFileError(f"{path}: not a tokenizer file ({error}); import the model again") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.vocabulary_size: int = self._tokenizer.get_vocab_size()
        if self.vocabulary_size > np.iinfo(np.uint16).max:
            raise DamagedFileError(f"{path}: {self.vocabulary_size} tokens; a tokenizer for DNA has at most 65,535")

    def encode(self, sequences: SequenceArray) -> TokenArray:
        """Return the tokens of DNABERT-S: `[CLS]`, byte pairs, `[SEP]`. Nothing is truncated; case matters.

        Returns:
            TokenArray of uint16.
        """
        lengths = np.zeros(len(sequences), dtype=np.int64)
        pieces = [np.empty(0, dtype=np.uint16)]
        for start in range(0, len(sequences), _ENCODED_AT_ONCE):
            stop = min(start + _ENCODED_AT_ONCE, len(sequences))
            texts = [sequence.decode("ascii") for sequence in sequences.slice(start, stop)]
            encodings = self._tokenizer.encode_batch_fast(texts)
            lengths[start:stop] = [len(encoding) for encoding in encodings]
            pieces += [np.array(encoding.ids, dtype=np.uint16) for encoding in encodings]
        return TokenArray(np.concatenate(pieces), np.concatenate([[0], np.cumsum(lengths)]))

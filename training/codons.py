"""Codons as numbers and as tokens: 0 to 63, by the bases A, C, G, T; and the tokenizer that has one token a codon."""

from itertools import product
from pathlib import Path

import tokenizers
from Bio.Seq import Seq

#: In the order of the published DNABERT-S tokenizer; those of the codons follow them.
SPECIAL_TOKENS = ("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]")
CODONS = tuple(map("".join, product("ACGT", repeat=3)))
#: Residue of each codon by the standard genetic code; stops, which no segment has, become an unknown residue.
CODON_RESIDUES = tuple(str(Seq(codon).translate()).replace("*", "X") for codon in CODONS)
STOPS = tuple(codon in {"TAA", "TAG", "TGA"} for codon in CODONS)
#: ESM-2's token for a residue that is hidden.
MASKED = "<mask>"


def write_codon_tokenizer(path: Path) -> None:
    """Write a tokenizer whose tokens are the codons of a sequence from its first base on.

    A sequence that begins with a frame's first codon is so read in that frame, which byte pairs do not respect.
    """
    words = (*SPECIAL_TOKENS, *CODONS)
    model = tokenizers.models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]")
    tokenizer = tokenizers.Tokenizer(model)
    codon = tokenizers.Regex("[ACGT]{3}")
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Split(codon, "isolated")
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    save_tokenizer(tokenizer, path)


def save_tokenizer(tokenizer: tokenizers.Tokenizer, path: Path) -> None:
    """Write a tokenizer that puts a start and an end around each sequence, as the published one does."""
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, SPECIAL_TOKENS.index(name)) for name in ("[CLS]", "[SEP]")],
    )
    tokenizer.save(str(path))

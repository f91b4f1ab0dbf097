"""Tokens are those of fair-esm and of the published tokenizer file."""

from pathlib import Path

import numpy as np
import pytest
from esm.data import Alphabet
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from tests.helpers.published_files import write_tokenizer
from virnucpro_kernels.errors import DamagedFileError, UsageError
from virnucpro_kernels.models.tokenizers import ESM2_VOCABULARY, DnaTokenizer, tokenize_proteins
from virnucpro_kernels.sequences.arrays import SequenceArray

ALPHABET = Alphabet.from_architecture("ESM-1b")
RESIDUES = "LAGVSERTIDPKQNFYMHWCXBUZO.-"


def test_the_vocabulary_is_esm2s() -> None:
    assert list(ESM2_VOCABULARY) == ALPHABET.all_toks


@given(st.lists(st.text(RESIDUES, max_size=80), max_size=12))
def test_proteins_become_fair_esms_tokens(proteins: list[str]) -> None:
    tokens = tokenize_proteins(SequenceArray.from_list([protein.encode() for protein in proteins]))
    assert tokens.tokens.dtype == np.uint8
    assert len(tokens) == len(proteins)
    for index, protein in enumerate(proteins):
        expected = [ALPHABET.cls_idx, *ALPHABET.encode(protein), ALPHABET.eos_idx]
        assert tokens.tokens[tokens.offsets[index] : tokens.offsets[index + 1]].tolist() == expected
        assert tokens.lengths[index] == len(protein) + 2


@pytest.mark.parametrize("character", ["*", "J", "a", "?", " "])
def test_a_character_outside_the_alphabet_is_named_with_its_place(character: str) -> None:
    proteins = SequenceArray.from_list([b"MKV", b"", f"MK{character}V".encode()])
    with pytest.raises(UsageError, match=r"protein 3, .* at residue 3"):
        tokenize_proteins(proteins)


def random_dna(rng: np.random.Generator, length: int, alphabet: str) -> str:
    return "".join(rng.choice(list(alphabet), length))


def check_against_transformers(path: Path, dna: list[str]) -> None:
    theirs = PreTrainedTokenizerFast(tokenizer_file=str(path))
    ours = DnaTokenizer(path).encode(SequenceArray.from_list([sequence.encode() for sequence in dna]))
    assert ours.tokens.dtype == np.uint16
    for index, sequence in enumerate(dna):
        expected = theirs(sequence, truncation=False, padding=False)["input_ids"]
        assert ours.tokens[ours.offsets[index] : ours.offsets[index + 1]].tolist() == expected


def test_the_published_tokenizer_gives_the_tokens_that_transformers_gives(dnabert_tokenizer: Path) -> None:
    rng = np.random.default_rng(4)
    lengths = (1, 2, 3, 15, 60, 300, 499, 500, 1000)
    dna = [random_dna(rng, length, "ACGT") for length in lengths]
    dna += [random_dna(rng, 300, alphabet) for alphabet in ("ACGTN", "ACGTURYKMSWBDHVN", "ACGT-*", "N", "acgtACGT")]
    check_against_transformers(dnabert_tokenizer / "DNABERT-S_tokenizer.json", [*dna, ""])


def test_the_published_tokenizer_does_not_truncate(dnabert_tokenizer: Path) -> None:
    dna = random_dna(np.random.default_rng(6), 20_000, "ACGT")
    path = dnabert_tokenizer / "DNABERT-S_tokenizer.json"
    check_against_transformers(path, [dna, "ACGT"])
    tokens = DnaTokenizer(path).encode(SequenceArray.from_list([dna.encode(), b"ACGT"]))
    assert tokens.lengths[0] > 2000
    assert tokens.lengths[1] < 10
    assert tokens.tokens[[0, tokens.offsets[1] - 1]].tolist() == [1, 2]  # [CLS], [SEP]


def test_truncation_and_padding_of_a_file_are_off(tmp_path: Path) -> None:
    path = write_tokenizer(tmp_path / "tokenizer.json", 100)
    rng = np.random.default_rng(6)
    check_against_transformers(path, ["ACGT", random_dna(rng, 9000, "ACGT"), random_dna(rng, 50, "ACGTN")])
    tokens = DnaTokenizer(path).encode(SequenceArray.from_list([random_dna(rng, 9000, "ACGT").encode(), b"A"]))
    assert tokens.lengths[0] > 2000
    assert tokens.lengths[1] == 3


def test_many_sequences_keep_their_order(tmp_path: Path) -> None:
    tokenizer = DnaTokenizer(write_tokenizer(tmp_path / "tokenizer.json", 20))
    dna = [random_dna(np.random.default_rng(i), 1 + i % 7, "ACGT").encode() for i in range(9000)]
    together = tokenizer.encode(SequenceArray.from_list(dna))
    for index in (0, 1, 4095, 4096, 8191, 8192, 8999):
        alone = tokenizer.encode(SequenceArray.from_list([dna[index]]))
        start, stop = together.offsets[index : index + 2]
        assert together.tokens[start:stop].tolist() == alone.tokens.tolist()
    assert len(tokenizer.encode(SequenceArray.from_list([]))) == 0


def test_what_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(DamagedFileError, match="not a tokenizer file"):
        DnaTokenizer(tmp_path / "tokenizer.json")

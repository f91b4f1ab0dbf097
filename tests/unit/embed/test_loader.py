"""Batches prepared ahead: the same as planned and packed all at once, whatever the pieces they are tokenised in."""

import threading

import numpy as np
import pytest

from tests.helpers import tiny
from virnucpro_kernels.embed.loader import Loader, Tokenize
from virnucpro_kernels.models.tokenizers import tokenize_proteins
from virnucpro_kernels.ops.packing import TokenArray, pack, plan_batches
from virnucpro_kernels.sequences.arrays import SequenceArray


def loader(sequences: SequenceArray, start: int = 0, slots: int = 3, tokenize: Tokenize = tokenize_proteins) -> Loader:
    return Loader(
        sequences, tokenize, start=start, budget=500, padded=lambda n: n + n % 7, slots=slots, pinned=False
    )  # fmt: skip


@pytest.mark.parametrize("start", [0, 1, 5000])
def test_batches_are_those_of_the_whole(start: int) -> None:
    sequences = SequenceArray.from_list(tiny.random_proteins(9000, (1, 40), 0))
    tokens = tokenize_proteins(sequences.slice(start, 9000))
    planned = plan_batches(tokens.lengths, 500)
    seen = 0
    with loader(sequences, start) as batches:
        for work, batch in zip(batches, planned, strict=True):
            expected = pack(tokens, batch, total_tokens=work.padded_tokens)
            packed = work.packed(work.flat)
            assert (work.first, len(work.lengths)) == (start + batch.start, batch.stop - batch.start)
            assert packed.tokens.equal(expected.tokens)
            assert packed.positions.equal(expected.positions)
            assert packed.cu_seqlens.equal(expected.cu_seqlens)
            np.testing.assert_array_equal(packed.lengths, expected.lengths)
            seen += work.tokens
            batches.release(work.slot)
    assert seen == tokens.offsets[-1]


def test_no_more_batches_are_in_memory_than_there_are_slots() -> None:
    sequences = SequenceArray.from_list(tiny.random_proteins(1000, (20, 40), 0))
    with loader(sequences, slots=2) as batches:
        each = iter(batches)
        first, second = next(each), next(each)
        kept = second.flat.clone()
        batches.release(first.slot)
        third = next(each)
        assert third.slot is first.slot
        assert second.flat.equal(kept)
        assert third.first == second.first + len(second.lengths)


def test_all_sequences_are_tokenised_ahead() -> None:
    sequences = SequenceArray.from_list(tiny.random_proteins(9000, (20, 40), 0))
    tokenized = threading.Semaphore(0)

    def tokenize(part: SequenceArray) -> TokenArray:
        tokens = tokenize_proteins(part)
        for _ in range(len(part)):
            tokenized.release()
        return tokens

    with loader(sequences, slots=1, tokenize=tokenize) as batches:
        for _ in range(len(sequences)):
            assert tokenized.acquire(timeout=60), "nobody has taken a batch yet"
        assert next(iter(batches)).first == 0


def test_a_loader_can_be_left_before_its_end() -> None:
    sequences = SequenceArray.from_list(tiny.random_proteins(20_000, (20, 40), 0))
    with loader(sequences) as batches:
        assert next(iter(batches)).first == 0


def test_what_goes_wrong_in_the_thread_is_raised() -> None:
    def broken(_: SequenceArray) -> TokenArray:
        raise ZeroDivisionError

    with loader(SequenceArray.from_list([b"A"]), tokenize=broken) as batches, pytest.raises(ZeroDivisionError):
        list(batches)


def test_no_sequences_no_batches() -> None:
    with loader(SequenceArray.from_list([])) as batches:
        assert list(batches) == []

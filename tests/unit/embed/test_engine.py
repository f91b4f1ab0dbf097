"""The engine on the CPU: right vectors in the right rows, resuming, memory, values that are not finite."""

import errno
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers import tiny
from tests.helpers.blocks import esm2_blocks
from tests.helpers.engine_runs import BUDGET, embed, proteins_by, provenance, read, stop_after, with_outliers
from virnucpro_kernels.embed.device import Embeds
from virnucpro_kernels.embed.engine import Encoder, Engine
from virnucpro_kernels.embed.resume import PartialEmbeddings, open_partial
from virnucpro_kernels.errors import GpuMemoryError, StoppedError, UsageError, VirnucproError
from virnucpro_kernels.models.tokenizers import DnaTokenizer, tokenize_proteins
from virnucpro_kernels.ops.packing import PackedBatch, pack
from virnucpro_kernels.pool.chunk_fasta import Frames
from virnucpro_kernels.pool.embedding_file import verify
from virnucpro_kernels.pool.provenance import Alphabet
from virnucpro_kernels.sequences.arrays import SequenceArray

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")


def test_every_row_gets_the_vectors_of_its_own_sequences(tmp_path: Path, tokenizer: DnaTokenizer) -> None:
    frames = tiny.frames(200, distinct=150)
    protein, nucleotide = tiny.protein_encoder(), tiny.nucleotide_encoder()
    measures = embed(tmp_path, frames, Encoder("nucleotide", nucleotide, tokenizer.encode), proteins_by(protein))

    assert measures["protein"].sequences == 200
    assert measures["protein"].distinct == measures["nucleotide"].distinct == 150
    assert measures["protein"].tokens == sum(len(frames.proteins[i]) + 2 for i in distinct_places(frames.proteins))
    assert measures["protein"].batches > 10
    assert 0.8 < measures["protein"].packing <= 1
    for path, encoder, tokens in (
        (tmp_path / "p.h5", protein, tokenize_proteins(frames.proteins)),
        (tmp_path / "n.h5", nucleotide, tokenizer.encode(frames.nucleotides)),
    ):
        rows, vectors = read(path)
        np.testing.assert_array_equal(rows, frames.rows)
        alone = torch.cat([encoder.embed(pack(tokens, slice(i, i + 1))) for i in range(len(frames))]).numpy()
        np.testing.assert_allclose(vectors, alone, atol=1e-5)
    assert not (tmp_path / "partial").exists()


def distinct_places(sequences: SequenceArray) -> list[int]:
    return list({sequence: place for place, sequence in enumerate(sequences)}.values())


def test_a_vector_does_not_depend_on_batch_mates_order_or_budget(tmp_path: Path) -> None:
    frames, encoder = tiny.frames(150, distinct=150), proteins_by(tiny.protein_encoder())
    backwards = np.arange(len(frames))[::-1]
    other = replace(frames, proteins=SequenceArray.from_list([frames.proteins[i] for i in backwards]))
    for folder, content, budget in (("a", frames, 256), ("b", frames, 8192), ("c", other, 512)):
        embed(tmp_path / folder, content, encoder, budget=budget)
    (_, a), (_, b), (_, c) = (read(tmp_path / folder / "p.h5") for folder in "abc")
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a, c[backwards])


def test_with_several_threads_the_bytes_are_the_same(tmp_path: Path) -> None:
    frames, encoder = tiny.frames(150, distinct=150), proteins_by(tiny.protein_encoder())
    embed(tmp_path / "one", frames, encoder)
    torch.set_num_threads(11)  # more than the batches that are ready at a time
    try:
        measures = embed(tmp_path / "many", frames, encoder)["protein"]
        assert torch.get_num_threads() == 11  # of the next encoder
    finally:
        torch.set_num_threads(1)
    assert measures.batches > 20
    assert (tmp_path / "one" / "p.h5").read_bytes() == (tmp_path / "many" / "p.h5").read_bytes()


class Noting:
    """An encoder that notes how many threads each of its batches may use."""

    def __init__(self, encoder: Embeds) -> None:
        self.encoder, self.seen = encoder, set[tuple[int, int]]()

    def embed(self, batch: PackedBatch) -> torch.Tensor:
        vectors = self.encoder.embed(batch)
        self.seen.add((threading.get_ident(), torch.get_num_threads()))
        return vectors


def test_each_thread_computes_alone(tmp_path: Path) -> None:
    noting = Noting(tiny.protein_encoder())
    torch.set_num_threads(3)
    try:
        embed(tmp_path, tiny.frames(200, distinct=200), proteins_by(noting))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)
    assert {number for _, number in noting.seen} == {1}
    assert len({thread for thread, _ in noting.seen}) > 1


def test_a_sequence_longer_than_the_budget_has_a_batch_of_its_own(tmp_path: Path) -> None:
    frames = tiny.frames(6, distinct=6, lengths=(300, 400))
    measures = embed(tmp_path, frames, proteins_by(tiny.protein_encoder()))["protein"]
    assert measures.batches == 6
    assert len(read(tmp_path / "p.h5")[0]) == 6


def test_a_stopped_chunk_goes_on_where_it_was_and_ends_with_the_same_bytes(
    tmp_path: Path, tokenizer: DnaTokenizer
) -> None:
    frames = tiny.frames(150, distinct=120)
    encoders = Encoder("nucleotide", tiny.nucleotide_encoder(), tokenizer.encode), proteins_by(tiny.protein_encoder())
    whole = embed(tmp_path / "whole", frames, *encoders)
    resumed = tmp_path / "resumed"
    attempts = 0
    for batches in count(3):
        stop = stop_after(batches)
        engine = Engine(CPU, torch.float32, stopped=stop)
        try:
            last = embed(resumed, frames, *encoders, engine=engine)
            break
        except StoppedError:
            attempts += 1
        # What the workflow does to the outputs of a job that failed.
        (resumed / "n.h5").unlink(missing_ok=True)
        assert not (resumed / "p.h5").exists()
    assert attempts > 2
    assert (last["nucleotide"].resumed, last["nucleotide"].batches) == (120, 0)
    assert last["protein"].resumed > 0
    assert 0 < last["protein"].batches < whole["protein"].batches
    for name in ("n.h5", "p.h5"):
        assert (resumed / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not (resumed / "partial").exists()


def stopped(folder: Path, frames: Frames, encoder: Encoder, batches: int, **options: Any) -> None:
    with pytest.raises(StoppedError):
        embed(folder, frames, encoder, engine=Engine(CPU, torch.float32, stopped=stop_after(batches)), **options)


def test_a_resumed_chunk_keeps_its_token_budget(tmp_path: Path) -> None:
    frames, encoder = tiny.frames(100, distinct=100), proteins_by(tiny.protein_encoder())
    stopped(tmp_path, frames, encoder, 3)
    measures = embed(tmp_path, frames, encoder, budget=4096)["protein"]
    assert measures.token_budget == BUDGET
    assert verify(tmp_path / "p.h5").protein == provenance(BUDGET)["protein"].protein


def test_finished_vectors_are_saved_while_the_work_goes_on(tmp_path: Path) -> None:
    frames, encoder = tiny.frames(300, distinct=300), proteins_by(tiny.protein_encoder())
    batches = count(1)

    def crash(*_: object) -> None:
        if next(batches) == 40:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        embed(tmp_path, frames, encoder, engine=Engine(CPU, torch.float32, save_seconds=0.0, progress=crash))
    assert not (tmp_path / "p.h5").exists()
    assert embed(tmp_path, frames, encoder)["protein"].resumed > 100


class Counting:
    """An encoder that counts the sequences it is given."""

    def __init__(self, encoder: Embeds) -> None:
        self.encoder, self.sequences = encoder, 0

    def embed(self, batch: PackedBatch) -> torch.Tensor:
        self.sequences += len(batch.lengths)
        return self.encoder.embed(batch)


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-200] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [flip_a_byte, Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-40])])
def test_damaged_or_missing_progress_is_made_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    frames, encoder = tiny.frames(100, distinct=100), tiny.protein_encoder()
    embed(tmp_path / "whole", frames, proteins_by(encoder))
    for batches in (4, 4, 4):
        stopped(tmp_path / "a", frames, proteins_by(encoder), batches)
    partial = sorted((tmp_path / "a" / "partial").glob("*.h5"))
    assert len(partial) == 3
    damage(partial[1])
    counting = Counting(encoder)
    measures = embed(tmp_path / "a", frames, proteins_by(counting))["protein"]
    assert measures.resumed == 100 - (counting.sequences - 2 * measures.canaries)
    assert 0 < measures.resumed < 30
    assert (tmp_path / "a" / "p.h5").read_bytes() == (tmp_path / "whole" / "p.h5").read_bytes()


@pytest.mark.parametrize("what", ["precision", "content", "weights", "type"])
def test_progress_of_other_work_is_not_used(tmp_path: Path, what: str) -> None:
    frames, encoder = tiny.frames(60, distinct=60), tiny.protein_encoder()
    stopped(tmp_path, frames, proteins_by(encoder), 3)
    options = provenance()
    changed = options["protein"]
    assert changed.protein is not None
    engine = Engine(CPU, torch.float16 if what == "type" else torch.float32)
    options["protein"] = {
        "precision": replace(changed, protein=replace(changed.protein, precision="bf16")),
        "content": replace(changed, protein_fasta_sha256="ee" * 32),
        "weights": replace(changed, protein=replace(changed.protein, sha256="ee" * 32)),
        "type": changed,
    }[what]
    with open_partial(tmp_path / "partial") as earlier:
        make, path = partial(proteins_by, encoder), tmp_path / "p.h5"
        measures = engine.embed_chunk(frames, {"protein": make}, options, {"protein": path}, earlier)["protein"]
    assert measures.resumed == 0
    assert len(read(tmp_path / "p.h5")[0]) == 60


class Hungry:
    """An encoder that asks for more memory than there is where a batch has more than `most` tokens."""

    def __init__(self, encoder: Embeds, most: int) -> None:
        self.encoder, self.most = encoder, most

    def embed(self, batch: PackedBatch) -> torch.Tensor:
        if len(batch.tokens) > self.most:
            torch.empty(1 << 60, dtype=torch.uint8)
        return self.encoder.embed(batch)


def test_where_memory_runs_out_the_budget_is_halved_and_the_chunk_still_complete(tmp_path: Path) -> None:
    frames, encoder = tiny.frames(100, distinct=80), tiny.protein_encoder()
    embed(tmp_path / "plenty", frames, proteins_by(encoder))
    measures = embed(tmp_path / "little", frames, proteins_by(Hungry(encoder, 600)), budget=4096)["protein"]
    assert measures.out_of_memory == 3
    assert measures.token_budget == 512
    recorded = verify(tmp_path / "little" / "p.h5").protein
    assert recorded is not None
    assert recorded.token_budget == 512
    for seen, expected in zip(read(tmp_path / "little" / "p.h5"), read(tmp_path / "plenty" / "p.h5"), strict=True):
        np.testing.assert_array_equal(seen, expected)


class CrowdedOut:
    """An encoder that finds no memory for a while, not even for the canaries."""

    def __init__(self, encoder: Embeds, crowded: range) -> None:
        self.encoder, self.crowded, self.batches = encoder, crowded, 0

    def embed(self, batch: PackedBatch) -> torch.Tensor:
        self.batches += 1
        if self.batches in self.crowded:
            raise MemoryError
        return self.encoder.embed(batch)


def test_where_memory_for_the_canaries_is_missing_too_the_chunk_goes_on(tmp_path: Path) -> None:
    frames = tiny.frames(60, distinct=60)
    embed(tmp_path / "alone", frames, proteins_by(tiny.protein_encoder()))
    crowded = CrowdedOut(tiny.protein_encoder(), range(8, 11))  # a batch, and both attempts at the canaries
    measures = embed(tmp_path / "crowded", frames, proteins_by(crowded))["protein"]
    assert (measures.out_of_memory, measures.token_budget) == (1, BUDGET // 2)
    np.testing.assert_allclose(read(tmp_path / "crowded" / "p.h5")[1], read(tmp_path / "alone" / "p.h5")[1], atol=1e-5)


def test_a_single_sequence_that_does_not_fit_is_an_error_and_the_rest_is_saved(tmp_path: Path) -> None:
    frames = tiny.frames(20, distinct=20)
    long = tiny.random_proteins(1, (900, 901), 0)
    frames = replace(frames, proteins=SequenceArray.from_list([*list(frames.proteins)[:-1], *long]))
    with pytest.raises(GpuMemoryError, match="single protein sequence of 902 tokens") as caught:
        embed(tmp_path, frames, proteins_by(Hungry(tiny.protein_encoder(), 600)))
    assert caught.value.exit_code == 4
    assert not (tmp_path / "p.h5").exists()
    measures = embed(tmp_path, frames, proteins_by(tiny.protein_encoder()))["protein"]
    assert (measures.resumed, measures.token_budget) == (19, BUDGET)


def test_an_error_in_saving_ends_the_work_of_the_next_encoder(
    tmp_path: Path, tokenizer: DnaTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames, protein, failed = tiny.frames(300, distinct=300), Counting(tiny.protein_encoder()), threading.Event()

    def fail(self: PartialEmbeddings, alphabet: Alphabet, *_: object) -> None:
        failed.set()
        raise OSError(errno.ENOSPC, f"full, {alphabet}")

    def wait(alphabet: Alphabet, done: int, _: int) -> None:
        if (alphabet, done) == ("protein", 0):
            failed.wait(60)

    monkeypatch.setattr(PartialEmbeddings, "add", fail)
    nucleotide = Encoder("nucleotide", tiny.nucleotide_encoder(), tokenizer.encode)
    with pytest.raises(OSError, match="full, nucleotide"):
        embed(tmp_path, frames, nucleotide, proteins_by(protein), engine=Engine(CPU, torch.float32, progress=wait))
    assert protein.sequences < 150
    assert not list(tmp_path.glob("?.h5"))


class Picky:
    """An encoder for which a sequence of more than `most` tokens is too much."""

    def __init__(self, encoder: Embeds, most: int) -> None:
        self.encoder, self.most = encoder, most

    def embed(self, batch: PackedBatch) -> torch.Tensor:
        if batch.max_length > self.most:
            torch.empty(1 << 60, dtype=torch.uint8)
        return self.encoder.embed(batch)


def test_with_more_memory_the_whole_budget_is_in_use_again(tmp_path: Path) -> None:
    frames = tiny.frames(13, distinct=13)
    proteins = [*tiny.random_proteins(11, (60, 61), 0), *tiny.random_proteins(2, (500, 501), 1)]
    frames = replace(frames, proteins=SequenceArray.from_list(proteins))
    encoder = tiny.protein_encoder()
    with pytest.raises(GpuMemoryError):  # at first in a batch of two sequences, and once more in one of its own
        embed(tmp_path, frames, proteins_by(Picky(encoder, 400)), budget=1100)
    measures = embed(tmp_path, frames, proteins_by(encoder), budget=1100)["protein"]
    assert (measures.resumed, measures.batches, measures.token_budget) == (11, 1, 1100)


def test_what_is_not_finite_in_16_bit_is_computed_again_in_32(tmp_path: Path) -> None:
    frames = tiny.frames(60, distinct=60)
    measures = embed(tmp_path / "32", frames, proteins_by(with_outliers(1e5)))["protein"]
    assert measures.recomputed == 0
    half = with_outliers(1e5).half()
    measures = embed(tmp_path / "16", frames, proteins_by(half), precision="fp16")["protein"]
    assert measures.recomputed == measures.batches
    np.testing.assert_allclose(read(tmp_path / "16" / "p.h5")[1], read(tmp_path / "32" / "p.h5")[1], atol=5e-3)
    assert {weight.dtype for weight in half.parameters()} == {torch.float16}
    ordinary = tiny.protein_encoder().half()
    assert embed(tmp_path / "few", frames, proteins_by(ordinary), precision="fp16")["protein"].recomputed == 0


def test_a_sequence_that_is_computed_again_changes_none_that_shares_its_batch(tmp_path: Path) -> None:
    frames, half = tiny.frames(60, distinct=60), proteins_by(with_outliers(3e4).half())
    order = np.random.default_rng(0).permutation(60)
    shuffled = replace(frames, proteins=SequenceArray.from_list([frames.proteins[i] for i in order]))
    measures = embed(tmp_path / "a", frames, half, precision="fp16")["protein"]
    embed(tmp_path / "b", shuffled, half, precision="fp16")
    assert 0 < measures.recomputed < measures.batches
    np.testing.assert_array_equal(read(tmp_path / "a" / "p.h5")[1][order], read(tmp_path / "b" / "p.h5")[1])


def test_weights_that_never_give_a_finite_vector_are_an_error(tmp_path: Path) -> None:
    encoder = tiny.protein_encoder()
    esm2_blocks(encoder)[1].feed_forward.down.weight[2, 2] = torch.nan
    with pytest.raises(VirnucproError, match=r"vectors of 6 sequences are not finite.*weights verify"):
        embed(tmp_path, tiny.frames(10, distinct=10), proteins_by(encoder))
    assert not (tmp_path / "p.h5").exists()


def test_a_vector_that_the_file_cannot_hold_is_an_error(tmp_path: Path) -> None:
    encoder = tiny.protein_encoder()
    encoder.norm.weight.mul_(1e6)
    with pytest.raises(VirnucproError, match="not finite in float16"):
        embed(
            tmp_path, tiny.frames(40, distinct=40), proteins_by(encoder), engine=Engine(CPU, torch.float16)
        )  # fmt: skip
    assert not (tmp_path / "p.h5").exists()


def test_a_letter_that_is_no_residue_is_an_error_not_a_hang(tmp_path: Path) -> None:
    frames = tiny.frames(40, distinct=40)
    frames = replace(frames, proteins=SequenceArray.from_list([*list(frames.proteins)[:-1], b"MKJ"]))
    with pytest.raises(UsageError, match="'J'"):
        embed(tmp_path, frames, proteins_by(tiny.protein_encoder()))


def test_embeddings_can_be_stored_in_half_precision(tmp_path: Path) -> None:
    frames, encoder = tiny.frames(40, distinct=40), proteins_by(tiny.protein_encoder())
    embed(tmp_path / "32", frames, encoder)
    embed(tmp_path / "16", frames, encoder, engine=Engine(CPU, torch.float16))
    _, full = read(tmp_path / "32" / "p.h5")
    _, half = read(tmp_path / "16" / "p.h5")
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, full.astype(np.float16))

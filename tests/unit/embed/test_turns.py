"""The turn on a device: what is done before it, while it is waited for, and when it ends."""

import gc
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers import tiny
from tests.helpers.engine_runs import embed, proteins_by, provenance, stop_after
from virnucpro_kernels.embed.device import Embeds
from virnucpro_kernels.embed.engine import Encoder, Engine
from virnucpro_kernels.embed.known import Known
from virnucpro_kernels.embed.resume import open_partial
from virnucpro_kernels.errors import StoppedError
from virnucpro_kernels.models.tokenizers import DnaTokenizer, tokenize_proteins
from virnucpro_kernels.ops.packing import PackedBatch
from virnucpro_kernels.pool.provenance import Alphabet

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")


class Turn:
    """The turn on a device whose memory another job has until then, but for batches of at most `most` tokens."""

    def __init__(self, encoder: Embeds, most: int) -> None:
        self.encoder, self.most = encoder, most
        self.begun = 0
        self.before = 0

    def begin(self) -> None:
        self.begun += 1

    def embed(self, batch: PackedBatch) -> torch.Tensor:
        if not self.begun:
            if len(batch.tokens) > self.most:
                torch.empty(1 << 60, dtype=torch.uint8)
            self.before += 1
        return self.encoder.embed(batch)


@pytest.mark.parametrize("most", [1000, 0], ids=["canaries fit", "canaries do not fit"])
def test_canaries_alone_are_computed_before_the_turn_if_they_fit(tmp_path: Path, most: int) -> None:
    frames, encoder = tiny.frames(60, distinct=60), tiny.protein_encoder()
    embed(tmp_path / "alone", frames, proteins_by(encoder))
    turn = Turn(encoder, most)
    measures = embed(
        tmp_path / "waits", frames, proteins_by(turn), engine=Engine(CPU, torch.float32, begin=turn.begin)
    )["protein"]
    assert turn.before == (1 if most else 0)
    assert (turn.begun > 0, measures.out_of_memory) == (True, 0)
    assert (tmp_path / "waits" / "p.h5").read_bytes() == (tmp_path / "alone" / "p.h5").read_bytes()


def test_waiting_for_the_turn_is_no_time_of_the_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"ahead": 0.0}
    now = time.perf_counter
    monkeypatch.setattr("virnucpro_kernels.embed.encoder_pass.time.perf_counter", lambda: now() + clock["ahead"])
    engine = Engine(CPU, torch.float32, begin=lambda: clock.update(ahead=1e6))
    frames = tiny.frames(60, distinct=60)
    measures = embed(tmp_path, frames, proteins_by(tiny.protein_encoder()), engine=engine)["protein"]
    assert 0 < measures.seconds < 1e6 / 2


def test_the_turn_ends_before_the_files_are_complete_with_no_encoder_left(
    tmp_path: Path, tokenizer: DnaTokenizer
) -> None:
    modules: dict[str, Any] = {"nucleotide": tiny.nucleotide_encoder(), "protein": tiny.protein_encoder()}
    alive = [weakref.ref(module) for module in modules.values()]
    seen = list[tuple[int, int]]()

    def end() -> None:
        gc.collect()
        seen.append((sum(module() is not None for module in alive), sum(path.exists() for path in outputs.values())))

    makers: dict[Alphabet, Callable[[], Encoder]] = {
        "nucleotide": lambda: Encoder("nucleotide", modules.pop("nucleotide"), tokenizer.encode),
        "protein": lambda: Encoder("protein", modules.pop("protein"), tokenize_proteins),
    }
    outputs: dict[Alphabet, Path] = {"nucleotide": tmp_path / "n.h5", "protein": tmp_path / "p.h5"}
    with open_partial(tmp_path / "partial") as earlier:
        Engine(CPU, torch.float32, end=end).embed_chunk(
            tiny.frames(60, distinct=60), makers, provenance(), outputs, earlier
        )
    assert seen == [(0, 0)]
    assert all(path.exists() for path in outputs.values())


def test_who_is_stopped_while_waiting_for_the_turn_goes_on_later(tmp_path: Path) -> None:
    def stop() -> None:
        raise StoppedError("stopped")

    frames, encoder = tiny.frames(60, distinct=60), tiny.protein_encoder()
    with pytest.raises(StoppedError):
        embed(tmp_path, frames, proteins_by(encoder), engine=Engine(CPU, torch.float32, stopped=stop_after(3)))
    with pytest.raises(StoppedError):
        embed(tmp_path, frames, proteins_by(encoder), engine=Engine(CPU, torch.float32, begin=stop))
    assert not (tmp_path / "p.h5").exists()
    assert embed(tmp_path, frames, proteins_by(encoder))["protein"].resumed > 0


def test_nobody_waits_for_a_turn_without_work(tmp_path: Path) -> None:
    frames, encoder = tiny.frames(60, distinct=60), tiny.protein_encoder()
    turn = Turn(encoder, 0)
    known = Known(np.arange(60), np.zeros((60, tiny.PROTEIN_DIMENSION), np.float32))
    engine = Engine(CPU, torch.float32, begin=turn.begin, find_known=lambda *_: known)
    assert embed(tmp_path, frames, proteins_by(turn), engine=engine)["protein"].cached == 60
    assert (turn.begun, turn.before) == (0, 0)

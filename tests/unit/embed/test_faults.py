"""A device that computes wrong numbers: bits flipped in weights, activations and vectors, and how many are noticed."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers import tiny
from tests.helpers.blocks import esm2_blocks
from tests.helpers.engine_runs import embed, proteins_by, read
from virnucpro_kernels.embed.canaries import canary_sequences
from virnucpro_kernels.embed.engine import Encoder, Engine
from virnucpro_kernels.errors import FaultyDeviceError, StoppedError
from virnucpro_kernels.models.esm2 import Esm2
from virnucpro_kernels.models.tokenizers import tokenize_proteins
from virnucpro_kernels.ops.packing import PackedBatch, pack

log = logging.getLogger(__name__)
pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
FRAMES = tiny.frames(60, distinct=60)
#: Batch, counted with that of the canaries, before which a fault occurs: in the middle of the chunk.
FAULT_AT = 6


def flip(tensor: torch.Tensor, place: int, bit: int) -> None:
    """Flip a bit of one fp32 number, in place."""
    bits = tensor.view(-1).view(torch.int32)
    bits[place % len(bits)] ^= -(1 << 31) if bit == 31 else 1 << bit


class Device:
    """An encoder on a device on which something happens at batch `FAULT_AT`: to the weights, or to what it computes."""

    def __init__(self, *, weights: Callable[[Esm2], None] | None = None, lasting: bool = False) -> None:
        self.encoder = tiny.protein_encoder()
        self.batches, self.weights, self.lasting = 0, weights, lasting
        self.activations: Callable[[torch.Tensor], None] | None = None
        self.vectors: Callable[[torch.Tensor], None] | None = None
        esm2_blocks(self.encoder)[1].register_forward_pre_hook(self._before_block)

    @property
    def _broken(self) -> bool:
        return self.batches >= FAULT_AT if self.lasting else self.batches == FAULT_AT

    def _before_block(self, _: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if self.activations and self._broken:
            self.activations(inputs[0])

    def embed(self, batch: PackedBatch) -> torch.Tensor:
        self.batches += 1
        if self.weights and self.batches == FAULT_AT:
            self.weights(self.encoder)
        vectors = self.encoder.embed(batch)
        if self.vectors and self._broken:
            self.vectors(vectors)
        return vectors


def is_noticed(folder: Path, device: Device, *, twice: int = 0) -> bool:
    """Embed a chunk; return whether a fault was noticed, and check that then nothing is left."""
    engine = Engine(CPU, torch.float32, name="GPU-12ab", twice=twice)
    alarm: FaultyDeviceError | None = None
    try:
        measures = embed(folder, FRAMES, proteins_by(device), engine=engine)["protein"]
    except FaultyDeviceError as error:
        alarm = error
    if alarm is None:
        assert measures.batches > 8
        assert measures.computed_twice <= twice
        return False
    assert "GPU-12ab computes wrong numbers" in str(alarm)
    assert alarm.exit_code == 3
    assert not list(folder.rglob("*.h5"))
    return True


def share_noticed(tmp_path: Path, make: Callable[[int], Device], *, twice: int = 0, tries: int = 32) -> float:
    noticed = sum(is_noticed(tmp_path / str(seed), make(seed), twice=twice) for seed in range(tries))
    log.info("%d of %d noticed", noticed, tries)
    return noticed / tries


def test_a_sound_device_gives_no_alarm_and_canaries_change_no_bytes(tmp_path: Path) -> None:
    assert not is_noticed(tmp_path / "a", Device(), twice=3)
    embed(tmp_path / "b", FRAMES, proteins_by(tiny.protein_encoder()))
    assert (tmp_path / "a" / "p.h5").read_bytes() == (tmp_path / "b" / "p.h5").read_bytes()


def weight_flip(seed: int, bits: range) -> Callable[[Esm2], None]:
    """One flipped bit in a weight of a layer."""
    rng = np.random.default_rng(seed)

    def fault(encoder: Esm2) -> None:
        weights = list(encoder.blocks.parameters())
        sizes = np.array([weight.numel() for weight in weights])
        chosen = weights[rng.choice(len(weights), p=sizes / sizes.sum())]
        flip(chosen.data, int(rng.integers(1 << 30)), int(rng.choice(bits)))

    return fault


@pytest.mark.parametrize(("bits", "least"), [(range(16, 32), 1.0), (range(16), 0.5)], ids=["upper", "lower"])
def test_a_flipped_bit_in_the_weights_is_noticed_at_the_end(tmp_path: Path, bits: range, least: float) -> None:
    assert share_noticed(tmp_path, lambda seed: Device(weights=weight_flip(seed, bits))) >= least


def with_flips(seed: int, what: str, *, lasting: bool) -> Device:
    """A device that flips a bit of one number of every batch, from one on, or once."""
    rng, device = np.random.default_rng(seed), Device(lasting=lasting)
    place, bit = int(rng.integers(1 << 30)), int(rng.integers(16, 32))
    # A batch of canaries has fewer numbers than others, and padding: a place at its beginning is there in every one.
    place %= 32 * tiny.PROTEIN_DIMENSION if what == "activations" else tiny.PROTEIN_DIMENSION
    setattr(device, what, lambda tensor: flip(tensor, place, bit))
    return device


@pytest.mark.parametrize("what", ["activations", "vectors"])
def test_a_lasting_fault_is_noticed_at_the_end(tmp_path: Path, what: str) -> None:
    assert share_noticed(tmp_path, lambda seed: with_flips(seed, what, lasting=True), tries=16) == 1


@pytest.mark.parametrize("what", ["activations", "vectors"])
def test_a_passing_fault_is_noticed_where_its_batch_is_computed_twice(tmp_path: Path, what: str) -> None:
    assert share_noticed(tmp_path, lambda seed: with_flips(seed, what, lasting=False), tries=8) == 0
    all_twice = 1000
    assert share_noticed(tmp_path, lambda seed: with_flips(seed, what, lasting=False), twice=all_twice, tries=16) == 1


def test_a_job_that_goes_on_computes_batches_twice_among_those_that_are_left(tmp_path: Path) -> None:
    device = Device()
    batches = embed(tmp_path / "whole", FRAMES, proteins_by(device))["protein"].batches
    assert batches > 8
    resumed, before = tmp_path / "resumed", device.batches
    engine = Engine(CPU, torch.float32, stopped=lambda: device.batches - before > batches - 2)
    with pytest.raises(StoppedError):
        embed(resumed, FRAMES, proteins_by(device), engine=engine)
    measures = embed(resumed, FRAMES, proteins_by(device), engine=Engine(CPU, torch.float32, twice=1))["protein"]
    assert 0 < measures.batches < 3
    assert measures.computed_twice == 1


def test_vectors_of_a_stopped_job_are_not_kept_if_the_device_is_faulty(tmp_path: Path) -> None:
    device = Device(weights=weight_flip(0, range(24, 25)))
    engine = Engine(CPU, torch.float32, stopped=lambda: device.batches > FAULT_AT)
    with pytest.raises(FaultyDeviceError):
        embed(tmp_path, FRAMES, proteins_by(device), engine=engine)
    assert not list(tmp_path.rglob("*.h5"))


def test_canaries_are_compared_with_what_a_cpu_gave(tmp_path: Path) -> None:
    sound = tiny.protein_encoder()
    tokens = tokenize_proteins(canary_sequences("protein"))
    kept = sound.embed(pack(tokens, slice(0, len(tokens)))).numpy()
    embed(tmp_path / "sound", FRAMES, Encoder("protein", sound, tokenize_proteins, canaries=kept))
    assert len(read(tmp_path / "sound" / "p.h5")[0]) == 60
    other = tiny.protein_encoder(seed=9)
    with pytest.raises(FaultyDeviceError, match="kept in the model's directory"):
        embed(tmp_path / "other", FRAMES, Encoder("protein", other, tokenize_proteins, canaries=kept))
    assert not list((tmp_path / "other").rglob("*.h5"))

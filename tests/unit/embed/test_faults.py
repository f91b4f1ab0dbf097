"""A device that computes wrong numbers: bits flipped in weights, activations and vectors, and how many are noticed."""

from pathlib import Path

import pytest
import torch

from tests.helpers import tiny
from tests.helpers.engine_runs import embed, proteins_by, read
from tests.helpers.faults import CPU, FAULT_AT, FRAMES, Device, is_noticed, share_noticed, weight_flip, with_flips
from virnucpro_kernels.embed.canaries import canary_sequences
from virnucpro_kernels.embed.engine import Encoder, Engine
from virnucpro_kernels.errors import FaultyDeviceError, StoppedError
from virnucpro_kernels.models.esm2 import Esm2
from virnucpro_kernels.models.tokenizers import tokenize_proteins
from virnucpro_kernels.ops.packing import pack

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_sound_device_gives_no_alarm_and_canaries_change_no_bytes(tmp_path: Path) -> None:
    assert not is_noticed(tmp_path / "a", Device(), twice=3)
    embed(tmp_path / "b", FRAMES, proteins_by(tiny.protein_encoder()))
    assert (tmp_path / "a" / "p.h5").read_bytes() == (tmp_path / "b" / "p.h5").read_bytes()


@pytest.mark.parametrize(("bits", "least"), [(range(16, 32), 1.0), (range(16), 0.5)], ids=["upper", "lower"])
def test_a_flipped_bit_in_the_weights_is_noticed_at_the_end(tmp_path: Path, bits: range, least: float) -> None:
    assert share_noticed(tmp_path, lambda seed: Device(weights=weight_flip(seed, bits))) >= least


def test_weights_that_become_infinite_are_a_fault_of_the_device(tmp_path: Path) -> None:
    def fault(encoder: Esm2) -> None:
        next(encoder.blocks.parameters()).data.view(-1)[3] = torch.inf

    assert is_noticed(tmp_path, Device(weights=fault))


def test_a_weight_that_becomes_huge_is_a_fault_of_the_device_not_of_the_type_of_vectors(tmp_path: Path) -> None:
    def fault(encoder: Esm2) -> None:
        encoder.norm.weight.data[3] = 1e7

    assert is_noticed(tmp_path, Device(weights=fault), stored=torch.float16)


def test_no_vector_of_a_faulty_device_is_saved(tmp_path: Path) -> None:
    device = Device(weights=weight_flip(0, range(24, 25)))
    assert is_noticed(tmp_path, device, save_seconds=0.0)
    assert device.batches == FAULT_AT + 1, "the batch of the fault and the canaries before saving it"


def test_vectors_that_are_finite_only_the_first_time_are_a_fault(tmp_path: Path) -> None:
    device = Device(lasting=True)

    def spoil(vectors: torch.Tensor) -> None:
        # After the canaries, every other computing is a batch's second; if need be, one more in fp32 follows it.
        if device.batches in (FAULT_AT + 1, FAULT_AT + 2):
            vectors[0, 0] = torch.nan

    device.vectors = spoil
    assert is_noticed(tmp_path, device, twice=1000)


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
    batches = embed(tmp_path / "whole", FRAMES, proteins_by(device.encoder))["protein"].batches
    assert batches > 8
    resumed, before = tmp_path / "resumed", device.batches
    engine = Engine(CPU, torch.float32, stopped=lambda: device.batches - before > batches - 2)
    with pytest.raises(StoppedError):
        embed(resumed, FRAMES, proteins_by(device.encoder), engine=engine)
    measures = embed(resumed, FRAMES, proteins_by(device.encoder), engine=Engine(CPU, torch.float32, twice=1))[
        "protein"
    ]
    assert 0 < measures.batches < 3
    assert measures.computed_twice == 1


def test_vectors_of_a_stopped_job_are_not_kept_if_the_device_is_faulty(tmp_path: Path) -> None:
    device = Device(weights=weight_flip(0, range(24, 25)))
    engine = Engine(CPU, torch.float32, stopped=lambda: device.batches > FAULT_AT)
    with pytest.raises(FaultyDeviceError):
        embed(tmp_path, FRAMES, proteins_by(device.encoder), engine=engine)
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

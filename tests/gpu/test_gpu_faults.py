"""A GPU that computes wrong numbers: bits flipped in weights, activations and vectors, and how many are noticed."""

from pathlib import Path

import pytest
import torch

from tests.helpers import tiny
from tests.helpers.engine_runs import embed, proteins_by
from tests.helpers.faults import (
    FRAMES,
    Device,
    FaultyConversion,
    is_noticed,
    share_noticed,
    upper_bits,
    weight_flip,
    with_flips,
)
from virnucpro_kernels.embed.engine import Engine
from virnucpro_kernels.errors import FaultyDeviceError
from virnucpro_kernels.models.esm2 import Esm2
from virnucpro_kernels.weights.load import load_nucleotide_encoder

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")]

GPU = torch.device("cuda", 0)
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=["fp32", "fp16"])
WHAT = pytest.mark.parametrize("what", ["activations", "vectors"])


@DTYPES
def test_a_sound_device_gives_no_alarm_and_canaries_change_no_bytes(tmp_path: Path, dtype: torch.dtype) -> None:
    assert not is_noticed(tmp_path / "a", Device(GPU, dtype), twice=3)
    encoder = tiny.protein_encoder().to(GPU, dtype)
    embed(tmp_path / "b", FRAMES, proteins_by(encoder), engine=Engine(GPU, torch.float32))
    assert (tmp_path / "a" / "p.h5").read_bytes() == (tmp_path / "b" / "p.h5").read_bytes()


@DTYPES
def test_a_flipped_bit_in_the_weights_is_noticed_at_the_end(tmp_path: Path, dtype: torch.dtype) -> None:
    bits = upper_bits(dtype)
    assert share_noticed(tmp_path, lambda seed: Device(GPU, dtype, weights=weight_flip(seed, bits))) == 1


def test_weights_that_change_where_they_are_converted_are_refused(tmp_path: Path) -> None:
    model = tiny.write_model(tmp_path / "model")
    with (
        FaultyConversion(GPU, torch.float16) as faulty,
        pytest.raises(FaultyDeviceError, match=r"^GPU GPU-[0-9a-f-]{36} of .* holds wrong weights: "),
    ):
        load_nucleotide_encoder(model, GPU, torch.float16)
    assert faulty.flipped


@DTYPES
def test_weights_that_become_infinite_are_a_fault_of_the_device(tmp_path: Path, dtype: torch.dtype) -> None:
    def fault(encoder: Esm2) -> None:
        next(encoder.blocks.parameters()).data.view(-1)[3] = torch.inf

    assert is_noticed(tmp_path, Device(GPU, dtype, weights=fault))


@DTYPES
@WHAT
def test_a_lasting_fault_is_noticed_at_the_end(tmp_path: Path, dtype: torch.dtype, what: str) -> None:
    def make(seed: int) -> Device:
        return with_flips(seed, what, lasting=True, device=GPU, dtype=dtype)

    assert share_noticed(tmp_path, make, tries=16) == 1


@DTYPES
@WHAT
def test_a_passing_fault_is_noticed_where_its_batch_is_computed_twice(
    tmp_path: Path, dtype: torch.dtype, what: str
) -> None:
    def make(seed: int) -> Device:
        return with_flips(seed, what, lasting=False, device=GPU, dtype=dtype)

    assert share_noticed(tmp_path, make, tries=8) == 0
    assert share_noticed(tmp_path, make, twice=1000, tries=16) == 1

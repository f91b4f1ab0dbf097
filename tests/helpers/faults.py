"""Devices that compute wrong numbers: bits flipped in weights, activations and vectors, and how many are noticed."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.helpers import tiny
from tests.helpers.blocks import esm2_blocks
from tests.helpers.engine_runs import embed, proteins_by
from virnucpro_kernels.embed.engine import Engine
from virnucpro_kernels.errors import FaultyDeviceError
from virnucpro_kernels.models.esm2 import Esm2
from virnucpro_kernels.ops.packing import PackedBatch

log = logging.getLogger(__name__)

CPU = torch.device("cpu")
FRAMES = tiny.frames(60, distinct=60)
#: Batch, counted with that of the canaries, before which a fault occurs: in the middle of the chunk.
FAULT_AT = 6


def flip(tensor: torch.Tensor, place: int, bit: int) -> None:
    """Flip a bit of one number of 16 or 32 bits, in place."""
    width = 8 * tensor.element_size()
    bits = tensor.view(-1).view({16: torch.int16, 32: torch.int32}[width])
    bits[place % len(bits)] ^= -(1 << bit) if bit == width - 1 else 1 << bit


def upper_bits(dtype: torch.dtype) -> range:
    """Sign, exponent and the first bits of the mantissa."""
    return range(16, 32) if dtype == torch.float32 else range(8, 16)


class FaultyConversion(TorchDispatchMode):
    """Operations on a device that flips a bit in the first tensor that it converts to `dtype`."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__()
        self.device, self.dtype, self.flipped = device, dtype, False

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        result = function(*arguments, **(options or {}))
        if function is torch.ops.aten._to_copy.default and not self.flipped:
            converted = result.dtype == self.dtype != arguments[0].dtype
            if converted and result.device.type == self.device.type:
                flip(result, 5, 3)
                self.flipped = True
        return result


class Device:
    """A device on which something happens to `encoder` at batch `FAULT_AT`: to its weights, or to what it computes."""

    def __init__(
        self,
        device: torch.device = CPU,
        dtype: torch.dtype = torch.float32,
        *,
        weights: Callable[[Esm2], None] | None = None,
        lasting: bool = False,
    ) -> None:
        self.device, self.encoder = device, tiny.protein_encoder().to(device, dtype)
        self.batches, self.weights, self.lasting = 0, weights, lasting
        self.activations: Callable[[torch.Tensor], None] | None = None
        self.vectors: Callable[[torch.Tensor], None] | None = None
        esm2_blocks(self.encoder)[1].register_forward_pre_hook(self._before_block)
        self._embed = self.encoder.embed
        self.encoder.embed = self._faulty_embed  # type: ignore[method-assign]

    @property
    def _broken(self) -> bool:
        return self.batches >= FAULT_AT if self.lasting else self.batches == FAULT_AT

    def _before_block(self, _: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if self.activations and self._broken:
            self.activations(inputs[0])

    def _faulty_embed(self, batch: PackedBatch) -> torch.Tensor:
        self.batches += 1
        if self.weights and self.batches == FAULT_AT:
            self.weights(self.encoder)
        vectors = self._embed(batch)
        if self.vectors and self._broken:
            self.vectors(vectors)
        return vectors


def is_noticed(
    folder: Path, faulty: Device, *, twice: int = 0, save_seconds: float = 60.0, stored: torch.dtype = torch.float32
) -> bool:
    """Embed a chunk; return whether a fault was noticed, and check that then nothing is left."""
    engine = Engine(faulty.device, stored, name="GPU-12ab", twice=twice, save_seconds=save_seconds)
    alarm: FaultyDeviceError | None = None
    try:
        measures = embed(folder, FRAMES, proteins_by(faulty.encoder), engine=engine)["protein"]
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
    """Return the share of devices, one a seed, whose fault is noticed."""
    noticed = sum(is_noticed(tmp_path / f"{twice}-{seed}", make(seed), twice=twice) for seed in range(tries))
    log.info("%d of %d noticed", noticed, tries)
    return noticed / tries


def weight_flip(seed: int, bits: range) -> Callable[[Esm2], None]:
    """One flipped bit in a weight of a layer."""
    rng = np.random.default_rng(seed)

    def fault(encoder: Esm2) -> None:
        weights = list(encoder.blocks.parameters())
        sizes = np.array([weight.numel() for weight in weights])
        chosen = weights[rng.choice(len(weights), p=sizes / sizes.sum())]
        flip(chosen.data, int(rng.integers(1 << 30)), int(rng.choice(bits)))

    return fault


def with_flips(
    seed: int, what: str, *, lasting: bool, device: torch.device = CPU, dtype: torch.dtype = torch.float32
) -> Device:
    """A device that flips a bit of one number of every batch, from one on, or once."""
    rng, faulty = np.random.default_rng(seed), Device(device, dtype, lasting=lasting)
    # Vectors are fp32 whatever the type of the activations.
    bits = upper_bits(dtype if what == "activations" else torch.float32)
    place, bit = int(rng.integers(1 << 30)), int(rng.integers(bits.start, bits.stop))
    # A batch of canaries has fewer numbers than others, and padding: a place at its beginning is there in every one.
    place %= 32 * tiny.PROTEIN_DIMENSION if what == "activations" else tiny.PROTEIN_DIMENSION
    setattr(faulty, what, lambda tensor: flip(tensor, place, bit))
    return faulty

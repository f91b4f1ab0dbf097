"""Buffers that keep their precision when a model is cast."""

from collections.abc import Callable
from typing import Self

import torch
from torch import nn


class ExactBuffers(nn.Module):
    """A module whose own buffers follow it to another device but stay fp32 under `half()` and `to(dtype)`."""

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Self:
        exact = dict(self.named_buffers(recurse=False))
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, buffer in exact.items():
            setattr(self, name, buffer.to(self.get_buffer(name).device))
        return self

"""Rotary position embedding: the tables of cosines and sines, always in fp32."""

import torch

from virnucpro_kernels.models.buffers import ExactBuffers


def inverse_frequencies(head_dim: int, base: float = 10000.0) -> torch.Tensor:
    """Angle of one position for each pair of channels, fp32 (head_dim / 2,) on the CPU (arXiv:2104.09864)."""
    channels = torch.arange(0, head_dim, 2, dtype=torch.float32, device="cpu")
    return 1.0 / base ** (channels / head_dim)


class Rope(ExactBuffers):
    """Cosine and sine tables that grow with the longest sequence seen.

    In fp16 the angles would be 0.026 rad off at position 166. The frequencies are part of a checkpoint, because one
    published in fp16 may hold rounded ones, and then the model was trained with those.
    """

    inverse_frequencies: torch.Tensor

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.register_buffer("inverse_frequencies", inverse_frequencies(head_dim))
        self._made_of: torch.Tensor | None = None
        self._tables = (torch.empty(0), torch.empty(0))

    def tables(self, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines, fp32 (at least `length`, head_dim / 2) each: row p is position p."""
        if self._made_of is not self.inverse_frequencies or len(self._tables[0]) < length:
            self._made_of = self.inverse_frequencies
            rows = max(1024, 1 << (length - 1).bit_length())
            positions = torch.arange(rows, dtype=torch.float32, device=self._made_of.device)
            angles = torch.outer(positions, self._made_of)
            self._tables = angles.cos(), angles.sin()
        return self._tables

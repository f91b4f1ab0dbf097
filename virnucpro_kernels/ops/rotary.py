"""Rotary position embedding in plain PyTorch (arXiv:2104.09864)."""

from __future__ import annotations

import torch

#: Cosines and sines of the angle of each position and pair of channels, fp32 (positions, D/2) each.
Rope = tuple[torch.Tensor, torch.Tensor]


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotate channel c with channel c + D/2 by the angles of each token's position, computed in fp32.

    :param x: (T, heads, D).
    :param cos, sin: fp32 (T, D/2).
    :return: (T, heads, D) in the type of x.
    """
    first, second = x.float().chunk(2, dim=-1)
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(x.dtype)

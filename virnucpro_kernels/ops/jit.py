"""Triton, where it is installed. Elsewhere kernels stay plain functions, and `dispatch` refuses to launch them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

try:
    import triton
    import triton.language as tl
    from triton.runtime.interpreter import InterpretedFunction
except ImportError:  # no Triton for this platform: the PyTorch implementations are the only ones
    triton = tl = InterpretedFunction = None

__all__ = ["TRITON_INSTALLED", "Pointer", "Scalar", "is_interpreted", "jit", "tl"]

#: Kernel arguments, named for the reader; Triton gives them their types at launch.
Pointer = Any
Scalar = Any

TRITON_INSTALLED = triton is not None


def jit(function: Callable[..., Any]) -> Any:
    """Compile `function` with Triton at its first launch."""
    return triton.jit(function) if TRITON_INSTALLED else function


def is_interpreted(kernel: Any) -> bool:
    """Whether `kernel` was made for Triton's interpreter, which runs on the CPU, for tests."""
    return TRITON_INSTALLED and isinstance(kernel, InterpretedFunction)

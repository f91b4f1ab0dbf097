"""Triton, where it is installed. Elsewhere kernels stay plain functions, and `dispatch` refuses to launch them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

try:
    import triton
    import triton.language as tl
    from triton.runtime.interpreter import InterpretedFunction
except ImportError:  # no Triton for this platform: the PyTorch implementations are the only ones
    triton = tl = InterpretedFunction = None

__all__ = ["TRITON_INSTALLED", "is_interpreted", "jit", "tl"]

TRITON_INSTALLED = triton is not None


def jit(function: Callable[..., Any] | None = None, *, any_value: tuple[str, ...] = ()) -> Any:
    """Compile `function` with Triton at its first launch.

    :param any_value: integer arguments for which one compiled kernel serves all values.
    """
    if function is None:
        return functools.partial(jit, any_value=any_value)
    return triton.jit(function, do_not_specialize=any_value) if TRITON_INSTALLED else function


def is_interpreted(kernel: Any) -> bool:
    """Whether `kernel` was made for Triton's interpreter, which runs on the CPU, for tests."""
    return TRITON_INSTALLED and isinstance(kernel, InterpretedFunction)

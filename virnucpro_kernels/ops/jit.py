"""Triton, where it is installed. Elsewhere kernels stay plain functions, and `dispatch` refuses to launch them."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

TRITON_INSTALLED = find_spec("triton") is not None

if TRITON_INSTALLED:
    import triton
    import triton.language as tl
    from triton.runtime.interpreter import InterpretedFunction
    from triton.tools.tensor_descriptor import TensorDescriptor
else:  # there is no Triton for this platform: the PyTorch implementations are the only ones
    triton = tl = InterpretedFunction = TensorDescriptor = None

__all__ = ["TRITON_INSTALLED", "TensorDescriptor", "is_interpreted", "jit", "jit_for_any", "tl", "triton"]


def jit(function: Callable[..., Any]) -> Any:
    """Compile `function` with Triton at its first launch."""
    return triton.jit(function) if TRITON_INSTALLED else function


def jit_for_any(*arguments: str) -> Callable[[Callable[..., Any]], Any]:
    """`jit`, with one kernel for all values of these integers, and for all alignments of these pointers."""

    def compiled(function: Callable[..., Any]) -> Any:
        return triton.jit(function, do_not_specialize=arguments) if TRITON_INSTALLED else function

    return compiled


def is_interpreted(kernel: Any) -> bool:
    """Whether `kernel` was made for Triton's interpreter, which runs on the CPU, for tests."""
    return TRITON_INSTALLED and isinstance(kernel, InterpretedFunction)

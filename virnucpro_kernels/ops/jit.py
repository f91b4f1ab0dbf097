"""Triton, where it is installed. Elsewhere kernels stay plain functions, and `dispatch` never launches them."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

TRITON_INSTALLED = find_spec("triton") is not None

if TRITON_INSTALLED:
    import triton
    import triton.language as tl
    from triton.tools.tensor_descriptor import TensorDescriptor
else:  # there is no Triton for this platform: the PyTorch implementations are the only ones
    triton = tl = TensorDescriptor = None

__all__ = ["TRITON_INSTALLED", "TensorDescriptor", "constant", "jit", "jit_unspecialized", "tl", "triton"]


def jit(function: Callable[..., Any]) -> Any:
    """Compile `function` with Triton at its first launch."""
    return triton.jit(function) if TRITON_INSTALLED else function


def constant(function: Callable[..., Any]) -> Any:
    """Let kernels call `function`, which is then computed while they are compiled, from constants."""
    return triton.constexpr_function(function) if TRITON_INSTALLED else function


def jit_unspecialized(*arguments: str) -> Callable[[Callable[..., Any]], Any]:
    """`jit` without specialisation on these arguments.

    Triton compiles a kernel again where an integer is 1 or a multiple of 16, and where a pointer is aligned. Here one
    compiled kernel serves all values of these integers and all alignments of these pointers.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        return triton.jit(function, do_not_specialize=arguments) if TRITON_INSTALLED else function

    return compiled

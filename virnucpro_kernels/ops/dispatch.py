"""The one place that decides which implementation of an operation runs, and can be asked which.

`auto` takes the fastest implementation that can run here; naming one that cannot run is an error.
"""

import functools
import importlib.util
from pathlib import Path
from typing import Literal

import torch

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.ops.configs import KernelConfig, kernel_config
from virnucpro_kernels.ops.jit import TRITON_INSTALLED, triton
from virnucpro_kernels.ops.linear import linear
from virnucpro_kernels.ops.quantize import quantize_rows

#: `triton`: our kernel. `flash`: FlashAttention-2 as bundled with torch (no ALiBi). `flash-attn`: the package of that
#: name. `sdpa`: torch's scaled_dot_product_attention over groups of sequences of equal length.
Attention = Literal["triton", "flash", "flash-attn", "sdpa"]

ATTENTION_CHOICES = ("auto", "triton", "flash", "flash-attn", "sdpa")

_OLDEST_CAPABILITY = (8, 0)
_OLDEST_FP8_CAPABILITY = (8, 9)
SIXTEEN_BIT = (torch.float16, torch.bfloat16)
_MAX_HEAD_DIM = 128
_FLASH_ATTN_INSTALLED = importlib.util.find_spec("flash_attn") is not None


@functools.cache
def _capability(device: torch.device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device)


def _why_not_triton(device: torch.device) -> str | None:
    """Return the reason why our kernels cannot run on `device`; None where they can."""
    if not TRITON_INSTALLED:
        return "Triton is not installed (it exists for Linux only)"
    if triton.knobs.runtime.interpret:  # on the CPU, for tests
        return None
    if device.type != "cuda":
        return f"Triton kernels need an NVIDIA GPU, and the tensors are on {device.type}"
    if _capability(device) < _OLDEST_CAPABILITY:
        return f"{torch.cuda.get_device_name(device)} is older than compute capability 8.0"
    return None


def resolve_kernels(device: torch.device, requested: KernelConfig | None) -> KernelConfig | None:
    """Return the launches of our kernels for LayerNorm, GELU, GLU and mean over tokens, or None for plain PyTorch.

    Args:
        device: Device of the tensors.
        requested: Launches with which our kernels are to run. None takes the tuned ones on a GPU and plain PyTorch
            elsewhere: in the interpreter every kernel could run on the CPU, a thousand times slower.

    Raises:
        UsageError: our kernels are requested and cannot run.
    """
    reason = _why_not_triton(device)
    if requested and reason:
        raise UsageError(f"our kernels cannot run here: {reason}")
    if requested is None and reason is None and device.type == "cuda":
        return kernel_config(device)
    return requested


def _why_not_attention(name: str, device: torch.device, dtype: torch.dtype, head_dim: int, alibi: bool) -> str | None:
    if name == "sdpa":
        return None
    if name == "triton":
        if head_dim > _MAX_HEAD_DIM or head_dim % 8:
            return f"head dimension {head_dim} is not a multiple of 8 up to {_MAX_HEAD_DIM}"
        return _why_not_triton(device)
    if device.type != "cuda":
        return f"it needs an NVIDIA GPU, and the tensors are on {device.type}"
    if _capability(device) < _OLDEST_CAPABILITY:
        return f"{torch.cuda.get_device_name(device)} is older than compute capability 8.0"
    if dtype not in SIXTEEN_BIT:
        return f"it computes in fp16 and bf16 only, and this is {dtype}"
    if head_dim % 8:
        return f"head dimension {head_dim} is not a multiple of 8"
    if name == "flash-attn":
        return None if _FLASH_ATTN_INSTALLED else "the package flash-attn is not installed"
    return "torch's FlashAttention lacks the ALiBi of DNABERT-S (`auto,flash` asks for it in ESM-2)" if alibi else None


def resolve_attention(
    requested: str, *, device: torch.device, dtype: torch.dtype, head_dim: int, alibi: bool
) -> Attention:
    """Return the implementation of attention for such tensors; logs and files name it.

    Args:
        requested: `auto`, `triton`, `flash`, `flash-attn` or `sdpa`.
        device: Device of the tensors.
        dtype: Type of queries, keys and values.
        head_dim: Channels of a head.
        alibi: Whether the model biases scores by distance (DNABERT-S) instead of rotating queries and keys (ESM-2).

    Raises:
        UsageError: the requested implementation is unknown or cannot run.
    """
    if requested not in ATTENTION_CHOICES:
        raise UsageError(f"attention {requested!r}: choose from {', '.join(ATTENTION_CHOICES)}")
    if requested == "auto":
        runs = device.type == "cuda" and _why_not_attention("triton", device, dtype, head_dim, alibi) is None
        return "triton" if runs else "sdpa"
    reason = _why_not_attention(requested, device, dtype, head_dim, alibi)
    if reason:
        raise UsageError(f"attention {requested!r} cannot run here: {reason}; choose auto or another")
    return requested  # type: ignore[return-value]


def check_fp8(device: torch.device) -> None:
    """Refuse fp8 where it cannot run. On a CPU it is emulated, for tests.

    Raises:
        UsageError: the GPU is older than compute capability 8.9, or PyTorch has no fp8 products for it.
    """
    if device.type != "cuda":
        return
    name = torch.cuda.get_device_name(device)
    if _capability(device) < _OLDEST_FP8_CAPABILITY:
        raise UsageError(f"precision fp8 needs compute capability 8.9 or newer, and {name} is older; choose fp16")
    ones = quantize_rows(torch.ones(16, 16, device=device))
    try:
        linear(ones, ones, torch.ones(16, dtype=torch.bfloat16, device=device))
    except RuntimeError as error:
        raise UsageError(
            f"precision fp8: PyTorch {torch.__version__} has no row-scaled fp8 products for {name}"
            f" ({str(error).splitlines()[0]}); choose fp16, or try a newer PyTorch"
        ) from error


#: What Linux calls the instructions by which a CPU multiplies bf16: AVX-512, AMX, Arm.
_BF16_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}


def check_bf16(device: torch.device, cpuinfo: Path = Path("/proc/cpuinfo")) -> None:
    """Refuse bf16 on a CPU that would only emulate it, slower than fp32.

    Raises:
        UsageError: the CPU that `cpuinfo` describes lacks the instructions, or PyTorch lacks oneDNN, which uses them.
    """
    if device.type != "cpu":
        return
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    flags = {flag for line in lines if line.lower().startswith(("flags", "features")) for flag in line.split()}
    if not flags & _BF16_INSTRUCTIONS:
        raise UsageError(
            "precision bf16: this CPU has no instructions for it (avx512_bf16 or amx_bf16, as AMD's since EPYC 9004 and"
            " Intel's since Xeon Scalable 4th generation have); choose fp32"
        )
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        raise UsageError("precision bf16: this build of PyTorch lacks oneDNN; choose fp32")

"""Our kernels on small inputs, beside their plain PyTorch references: whether this GPU computes what it should."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from virnucpro_kernels.ops.attention import AttentionParameters, varlen_attention, varlen_attention_reference
from virnucpro_kernels.ops.configs import KernelConfig
from virnucpro_kernels.ops.gelu import bias_gelu, bias_gelu_reference, glu, glu_reference
from virnucpro_kernels.ops.layernorm import NormParameters, residual_layernorm, residual_layernorm_reference
from virnucpro_kernels.ops.packing import batch_of
from virnucpro_kernels.ops.token_mean import TokenRange, layernorm_mean, layernorm_mean_reference

#: Relative error of a 16-bit result that is one rounding of every value, and that of a sum in another order.
LARGEST_ERROR = 2e-3

_LENGTHS = (1, 7, 64, 130)
_HEADS, _HEAD_DIM = 2, 64
_WIDTH = _HEADS * _HEAD_DIM


@dataclass(frozen=True)
class KernelError:
    """Difference of a kernel's result from that of its reference, which computes in fp32 on the same device.

    Attributes:
        kernel: Name of the kernel.
        error: Norm of the difference over the norm of the reference; NaN where the result is not finite.
    """

    kernel: str
    error: float

    @property
    def is_good(self) -> bool:
        """Whether rounding explains the difference."""
        return self.error <= LARGEST_ERROR


def compare_kernels(device: torch.device, config: KernelConfig) -> Iterator[KernelError]:
    """Run each kernel in fp16 and yield how far it is from its reference.

    Args:
        device: GPU; a CPU in Triton's interpreter.
        config: Launches of the kernels.
    """
    for kernel, ours, reference in _cases(device, config):
        result, exact = ours().double(), reference().double()
        yield KernelError(kernel, float((result - exact).norm() / exact.norm()))


def _cases(
    device: torch.device, config: KernelConfig
) -> Iterator[tuple[str, Callable[[], torch.Tensor], Callable[[], torch.Tensor]]]:
    batch, tokens = batch_of(_LENGTHS, device), sum(_LENGTHS)

    def random(*shape: int, seed: int) -> torch.Tensor:
        return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(device, torch.float16)

    qkv = random(tokens, 3, _HEADS, _HEAD_DIM, seed=1)
    for name, parameters in _attention(device).items():

        def attention(parameters: AttentionParameters = parameters) -> torch.Tensor:
            return _plain(varlen_attention(qkv.clone(), batch, parameters, backend="triton", config=config))

        def attention_reference(parameters: AttentionParameters = parameters) -> torch.Tensor:
            return _plain(varlen_attention_reference(qkv.float(), batch, parameters))

        yield name, attention, attention_reference

    x, branch, bias = random(tokens, _WIDTH, seed=2), random(tokens, _WIDTH, seed=3), random(_WIDTH, seed=4)
    norm = NormParameters(bias.abs() + 1, bias, 1e-5, bias.float())
    exact_norm = NormParameters(norm.weight.float(), norm.bias.float(), norm.eps, norm.deferred_bias)
    yield (
        "LayerNorm",
        lambda: _plain(residual_layernorm(x.clone(), branch, norm, update_residual=True, config=config)),
        lambda: _plain(residual_layernorm_reference(x.float(), branch.float(), exact_norm, update_residual=True)),
    )
    yield (
        "GELU",
        lambda: _plain(bias_gelu(x.clone(), bias, torch.empty_like(x), config=config)),
        lambda: _plain(bias_gelu_reference(x.float(), bias.float(), torch.empty_like(x, dtype=torch.float32))),
    )
    yield "GLU", lambda: glu(x, config=config), lambda: glu_reference(x.float())
    chosen = TokenRange(0, 0, None)
    cu_seqlens = batch.cu_seqlens
    yield (
        "mean over tokens",
        lambda: layernorm_mean(x, branch, norm, cu_seqlens=cu_seqlens, chosen=chosen, config=config),
        lambda: layernorm_mean_reference(x.float(), branch.float(), exact_norm, cu_seqlens=cu_seqlens, chosen=chosen),
    )


def _attention(device: torch.device) -> dict[str, AttentionParameters]:
    """Return what attention takes in each of the two models: rotation in ESM-2, a bias by distance in DNABERT-S."""
    frequencies = 10000 ** -(torch.arange(0, _HEAD_DIM, 2) / _HEAD_DIM)
    angles = torch.outer(torch.arange(float(max(_LENGTHS))), frequencies)
    slopes = torch.exp2(-torch.arange(1.0, _HEADS + 1)).to(device)
    scale = _HEAD_DIM**-0.5
    return {
        "attention of ESM-2": AttentionParameters(scale, (angles.cos().to(device), angles.sin().to(device)), None),
        "attention of DNABERT-S": AttentionParameters(scale, None, slopes),
    }


def _plain(result: object) -> torch.Tensor:
    assert isinstance(result, torch.Tensor)  # fp8 only where it is asked for
    return result

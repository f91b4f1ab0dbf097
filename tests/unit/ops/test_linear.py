"""Matrix products and fp8 values."""

import pytest
import torch

from virnucpro_kernels.ops.linear import linear, linear_add
from virnucpro_kernels.ops.quantize import FP8_MAX, Operand, attention_factors, quantize_columns, quantize_rows


def test_linear_adds_the_bias() -> None:
    x, weight, bias = torch.randn(5, 8), torch.randn(3, 8), torch.randn(3)
    torch.testing.assert_close(linear(x, weight, bias), torch.nn.functional.linear(x, weight, bias))
    torch.testing.assert_close(linear(x, weight), torch.nn.functional.linear(x, weight))


def test_linear_add_works_in_place() -> None:
    x, weight, residual = torch.randn(5, 8), torch.randn(3, 8), torch.randn(5, 3)
    expected = residual + x @ weight.t()
    assert linear_add(x, weight, residual) is None
    torch.testing.assert_close(residual, expected)


def test_fp8_product_is_near_and_leaves_the_residual_alone() -> None:
    x, weight, residual = torch.randn(64, 256), torch.randn(32, 256) * 0.05, torch.randn(64, 32)
    before = residual.clone()
    branch = linear_add(quantize_rows(x), quantize_rows(weight), residual)
    assert torch.equal(residual, before)
    assert branch is not None
    assert branch.dtype == torch.bfloat16
    exact = x @ weight.t()
    assert (branch.float() - exact).norm() / exact.norm() < 0.06


def test_operands_of_different_precision_are_refused() -> None:
    x, weight = torch.randn(2, 16), torch.randn(16, 16)
    pairs: list[tuple[Operand, Operand]] = [(quantize_rows(x), weight), (x, quantize_rows(weight))]
    for left, right in pairs:
        with pytest.raises(TypeError, match="both operands"):
            linear(left, right)
        with pytest.raises(TypeError, match="both operands"):
            linear_add(left, right, torch.zeros(2, 16))


def test_rows_use_the_whole_range_of_fp8_and_zeros_stay_zero() -> None:
    x = torch.randn(4, 100) * torch.tensor([[1e-3], [1.0], [1e4], [0.0]])
    quantized = quantize_rows(x)
    assert (quantized.values.float().abs().amax(1)[:3] == FP8_MAX).all()
    assert (quantized.dequantize()[3] == 0).all()
    assert ((quantized.dequantize() - x).abs() <= x.abs() * 2**-4 + x.abs().amax(1, keepdim=True) * 2**-18).all()


def test_attention_factors_never_let_a_value_saturate_and_are_reached() -> None:
    torch.manual_seed(0)
    width, channels = 96, 12
    weight, bias = torch.randn(channels, width), torch.randn(channels)
    gain, shift = torch.rand(width) + 0.5, torch.randn(width)
    factors = attention_factors(weight, bias, gain, shift)
    # The inputs that drive each channel hardest: normalised vectors along its own weights.
    hardest = torch.nn.functional.layer_norm(weight * gain, (width,)) * gain + shift
    reached = (hardest @ weight.t() + bias).diagonal().abs() * factors
    assert (reached <= FP8_MAX * 1.001).all()
    assert reached.max() > 0.8 * FP8_MAX
    ordinary = torch.nn.functional.layer_norm(torch.randn(1000, width), (width,)) * gain + shift
    values = ordinary @ weight.t() + bias
    restored = quantize_columns(values, factors).dequantize() / factors
    assert (restored - values).norm() / values.norm() < 0.03

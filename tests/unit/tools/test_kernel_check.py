"""The check of the kernels that `doctor` makes on a GPU, here in Triton's interpreter."""

import pytest
import torch

from tests.helpers.kernel_checks import CONFIG, DEVICE
from virnucpro_kernels.tools.kernel_check import compare_kernels


def test_every_kernel_agrees_with_its_reference() -> None:
    errors = {kernel.kernel: kernel.error for kernel in compare_kernels(DEVICE, CONFIG)}
    assert len(errors) == 6
    assert all(0 <= error < 1e-3 for error in errors.values()), errors


@pytest.mark.parametrize("fault", [float("nan"), 0.5])
def test_a_wrong_number_is_noticed(monkeypatch: pytest.MonkeyPatch, fault: float) -> None:
    """One value of many is wrong, as on a faulty GPU."""
    right = torch.nn.functional.gelu

    def wrong(x: torch.Tensor, *arguments: object, **options: object) -> torch.Tensor:
        result = right(x, *arguments, **options)  # type: ignore[arg-type]
        result.view(-1)[0] += fault
        return result

    monkeypatch.setattr(torch.nn.functional, "gelu", wrong)
    bad = [kernel.kernel for kernel in compare_kernels(DEVICE, CONFIG) if not kernel.is_good]
    assert "GELU" in bad
    assert "LayerNorm" not in bad

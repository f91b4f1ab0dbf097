"""What runs where, and that nothing else runs in its place."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.ops.dispatch import check_bf16, resolve_attention, resolve_kernels

CPU = torch.device("cpu")


def attention_on_cpu(requested: str) -> str:
    return resolve_attention(requested, device=CPU, dtype=torch.float32, head_dim=64, alibi=False)


def test_a_cpu_runs_plain_pytorch() -> None:
    assert attention_on_cpu("auto") == "sdpa"
    assert resolve_kernels(CPU, None) is None


@pytest.mark.parametrize("requested", ["flash", "flash-attn"])
def test_flash_attention_needs_a_gpu(requested: str) -> None:
    with pytest.raises(UsageError, match="needs an NVIDIA GPU"):
        attention_on_cpu(requested)


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(UsageError, match="auto, triton, flash, flash-attn, sdpa"):
        attention_on_cpu("fast")


@pytest.mark.parametrize(
    "call",
    [
        "resolve_kernels(torch.device('cpu'), kernel_config(torch.device('cpu')))",
        "resolve_attention('triton', device=torch.device('cpu'), dtype=torch.float32, head_dim=64, alibi=False)",
    ],
)
def test_our_kernels_need_a_gpu_outside_of_the_interpreter(call: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    program = f"import torch\nfrom virnucpro_kernels.ops.dispatch import *\n{call}"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert "UsageError" in run.stderr
    assert "need an NVIDIA GPU" in run.stderr or "not installed" in run.stderr


def test_head_dimensions_that_no_kernel_can_do_are_refused() -> None:
    with pytest.raises(UsageError, match="head dimension 20"):
        resolve_attention("triton", device=CPU, dtype=torch.float32, head_dim=20, alibi=False)


@pytest.mark.parametrize(
    "line", ["flags\t\t: fpu avx512f avx512_bf16 sha_ni", "flags : amx_bf16 amx_tile", "Features\t: fp asimd bf16"]
)
def test_bf16_runs_on_a_cpu_that_computes_it(tmp_path: Path, line: str) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nmodel name\t: x\n{line}\n\nprocessor\t: 1\n{line}\n")
    check_bf16(CPU, cpuinfo)


@pytest.mark.parametrize("text", ["", "model name : bf16 avx512_bf16\nflags : fpu avx2 avx512f bf16x\n"])
def test_bf16_is_refused_on_other_cpus(tmp_path: Path, text: str) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(text)
    with pytest.raises(UsageError, match=r"no instructions for it .* choose fp32"):
        check_bf16(CPU, cpuinfo)
    with pytest.raises(UsageError, match="no instructions for it"):
        check_bf16(CPU, tmp_path / "missing")

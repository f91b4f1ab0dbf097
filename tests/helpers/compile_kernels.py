"""Compiles every kernel for an NVIDIA GPU of a compute capability, without such a GPU.

    python tests/helpers/compile_kernels.py 90                      all kernels
    python tests/helpers/compile_kernels.py 90 layernorm_kernel     one of them

This is a program of its own because tests run in Triton's interpreter, which accepts what the compiler refuses.
"""

import sys
from typing import Any

import torch
from triton import compile as compile_kernel
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from virnucpro_kernels.ops.attention_resident import resident_kernel
from virnucpro_kernels.ops.attention_streamed import streamed_kernel
from virnucpro_kernels.ops.configs import HOPPER
from virnucpro_kernels.ops.gelu import activation_fp8_kernel, activation_kernel
from virnucpro_kernels.ops.layernorm import layernorm_kernel
from virnucpro_kernels.ops.linear_gelu import linear_gelu_kernel
from virnucpro_kernels.ops.prepare import prepare
from virnucpro_kernels.ops.token_mean import layernorm_mean_kernel

FP8_SINCE = 89
OVERLAPPED_SINCE = 90
#: Shared memory that a program can have, bytes; other GPUs have no less than the smallest of these.
SHARED_MEMORY = {80: 166_912, 89: 101_376, 90: 232_448, 100: 232_448, 120: 101_376}

FP32_POINTERS = {"cos_ptr", "sin_ptr", "slopes_ptr", "out_scale_ptr", "bias_ptr"}
#: Kernels whose bias is a parameter of the model, of its type; elsewhere it is a deferred one, fp32.
WITH_MODEL_BIAS = (activation_kernel, activation_fp8_kernel)
INTEGER_POINTERS = {"cu_seqlens_ptr", "spans_ptr"}
INTEGERS = {"rows", "first_sequence"}
HEADS = {"heads": 40, "head_dim": 64, "block_half": 32, "block_dim": 64, "block": 64}
ROTARY = {"slopes_ptr": None} | HEADS
ALIBI = {"cos_ptr": None, "sin_ptr": None} | HEADS
#: Launch of attention in fp32: every sequence is streamed.
FP32_ATTENTION = {"block": 32, "stages": 1}
LAYERNORM = {"width": 2560, "rows_a_program": 4, "stages": 2}
TOKEN_MEAN = {"width": 2560, "skip_first": 1, "skip_last": 1, "max_tokens": 1024, "stages": 2}

#: Kernels with their constants: PLAIN for every GPU, QUANTIZING for those that have fp8.
PLAIN: list[tuple[Any, dict[str, Any]]] = [
    (resident_kernel, {**ROTARY, "out_scale_ptr": None, "tiles": 3, "queries": None}),
    (resident_kernel, {**ALIBI, "out_scale_ptr": None, "tiles": 2, "queries": 128}),
    (streamed_kernel, {**ROTARY, "out_scale_ptr": None, "stages": 2}),
    (streamed_kernel, {**ALIBI, "out_scale_ptr": None, "stages": 2}),
    (layernorm_kernel, {**LAYERNORM, "out_scale_ptr": None, "branch_ptr": None, "update_residual": False}),
    (layernorm_mean_kernel, {**TOKEN_MEAN, "branch_ptr": None}),
    (
        activation_kernel,
        {"width": 10240, "gated": False, "rows_a_program": 1, "columns_a_program": 1024},
    ),
    (
        activation_kernel,
        {"bias_ptr": None, "width": 3072, "gated": True, "rows_a_program": 4, "columns_a_program": 1024},
    ),
]
QUANTIZING: list[tuple[Any, dict[str, Any]]] = [
    (resident_kernel, {**ROTARY, "tiles": 3, "queries": None}),
    (streamed_kernel, {**ROTARY, "stages": 2}),
    (layernorm_kernel, {**LAYERNORM, "update_residual": True}),
    (activation_fp8_kernel, {"width": 10240, "rows_a_program": 4, "stages": 1}),
]
#: Kernels whose pointers are of different types, as in a run: the residual stream is of the type that is named first.
#: The branch is what an fp8 product returns, or None before the first block; where a batch is computed again in fp32,
#: the parameters stay fp16.
FIRST_FP8 = {**LAYERNORM, "branch_ptr": None, "update_residual": False}
FP16_NORM = {"weight_ptr": "fp16", "ln_bias_ptr": "fp16"}
MIXED: list[tuple[Any, dict[str, Any], str, dict[str, str]]] = [
    (layernorm_kernel, {**LAYERNORM, "out_scale_ptr": None, "update_residual": True}, "fp16", {"branch_ptr": "bf16"}),
    (
        layernorm_kernel,
        {**LAYERNORM, "out_scale_ptr": None, "update_residual": True},
        "fp32",
        {"branch_ptr": "bf16"} | FP16_NORM,
    ),
    (layernorm_mean_kernel, TOKEN_MEAN, "fp16", {"branch_ptr": "bf16"}),
    (layernorm_mean_kernel, TOKEN_MEAN, "fp32", {"branch_ptr": "bf16"} | FP16_NORM),
    (layernorm_mean_kernel, {**TOKEN_MEAN, "branch_ptr": None}, "fp32", FP16_NORM),
]
MIXED_QUANTIZING: list[tuple[Any, dict[str, Any], str, dict[str, str]]] = [
    (layernorm_kernel, {**LAYERNORM, "update_residual": True}, "fp16", {"branch_ptr": "bf16"}),
    (layernorm_kernel, {**LAYERNORM, "update_residual": True}, "fp32", {"branch_ptr": "bf16"} | FP16_NORM),
    (layernorm_kernel, FIRST_FP8, "fp16", {}),
]


def compile_for(
    capability: int,
    kernel: Any,
    constants: dict[str, Any],
    element: str,
    tiles: dict[str, tuple[int, int]] | None = None,
    given: dict[str, str] | None = None,
    **options: Any,
) -> None:
    """Compile `kernel` to machine code.

    Its parameters are arguments unless `constants` has them. `tiles` has the sizes of matrix tiles.

    Pointers are to `element`, except those for which `given` has another type.
    """
    if "overlapped" in kernel.arg_names:
        constants = constants | {"overlapped": capability >= OVERLAPPED_SINCE}
    output = "fp8e4nv" if "out_scale_ptr" in kernel.arg_names and "out_scale_ptr" not in constants else element
    types = {}
    for name in kernel.arg_names:
        if name in constants:
            types[name] = "constexpr"
        elif given and name in given:
            types[name] = f"*{given[name]}"
        elif name in INTEGERS:
            types[name] = "i32"
        elif tiles and name in tiles:
            types[name] = f"tensordesc<{element}{list(tiles[name])}>"
        elif not name.endswith("_ptr"):
            types[name] = "fp32"
        elif name in INTEGER_POINTERS:
            types[name] = "*i32"
        elif name in FP32_POINTERS and not (name == "bias_ptr" and (kernel in WITH_MODEL_BIAS or tiles)):
            types[name] = "*fp32"
        elif name == "out_ptr":
            types[name] = "*fp32" if kernel is layernorm_mean_kernel else f"*{output}"
        else:
            types[name] = f"*{element}"
    source = ASTSource(
        kernel, types, {(kernel.arg_names.index(name),): value for name, value in constants.items()},
        {(place,): [["tt.divisibility", 16]] for place, kind in enumerate(types.values()) if kind.startswith("*")},
    )  # fmt: skip
    compiled = compile_kernel(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": 4} | options)
    if compiled.metadata.shared > SHARED_MEMORY.get(capability, SHARED_MEMORY[FP8_SINCE]):
        raise SystemExit(f"{kernel} with {constants} needs {compiled.metadata.shared} bytes of shared memory")


def compile_longest(capability: int, head_dim: int, tiles: int, element: str) -> None:
    """Compile attention over the longest resident sequences, launched as in a run: it needs the most shared memory."""
    launch = HOPPER.attention.resident[tiles - 1]
    padded = 1 << (head_dim - 1).bit_length()
    sizes = {"head_dim": head_dim, "block_half": max(16, padded // 2), "block_dim": padded}
    constants = ROTARY | sizes | {"out_scale_ptr": None, "tiles": tiles, "queries": launch.queries}
    compile_for(
        capability,
        resident_kernel,
        constants,
        element,
        num_warps=launch.warps,
        maxnreg=launch.registers,
        launch_pdl=True,
    )


def compile_linear_gelu(capability: int, element: str) -> None:
    """Compile the product with GELU inside, launched as in a run."""
    launch = HOPPER.linear_gelu
    assert launch is not None
    constants = {
        "inputs": 2560, "width": 10240, "tile_rows": launch.rows, "tile_columns": launch.columns, "depth": launch.depth,
        "group": launch.group,
    }  # fmt: skip
    tiles = {
        "x_desc": (launch.rows, launch.depth),
        "weight_desc": (launch.columns, launch.depth),
        "out_desc": (launch.rows, launch.columns // 2),
    }
    compile_for(
        capability, linear_gelu_kernel, constants, element, tiles, num_warps=launch.warps, num_stages=launch.stages
    )


def main() -> None:
    prepare(torch.device("cuda"))
    capability, name = int(sys.argv[1]), "".join(sys.argv[2:])
    if name:
        kernel, constants = next(each for each in PLAIN if each[0].__name__ == name)
        compile_for(capability, kernel, constants, "fp16")
        return
    kernels = PLAIN + (QUANTIZING if capability >= FP8_SINCE else [])
    for kernel, constants in kernels:
        if kernel is streamed_kernel:
            compile_for(capability, kernel, constants | FP32_ATTENTION, "fp32")
        elif kernel is not resident_kernel:
            compile_for(capability, kernel, constants, "fp32")
    for kernel, constants, element, given in MIXED + (MIXED_QUANTIZING if capability >= FP8_SINCE else []):
        compile_for(capability, kernel, constants, element, given=given)
    for element in ("fp16", "bf16"):
        for kernel, constants in kernels:
            compile_for(capability, kernel, constants, element)
        if capability == 90:  # whose launches these are
            compile_longest(capability, 64, 6, element)
            compile_longest(capability, 128, 3, element)
            compile_linear_gelu(capability, element)
    if capability == 90:
        for head_dim in (16, 24, 32):
            compile_longest(capability, head_dim, 2, "fp16")


if __name__ == "__main__":
    main()

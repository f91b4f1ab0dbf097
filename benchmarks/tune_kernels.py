"""Times every kernel with many launch configurations, on batches like those of a run, and prints the best ones.

    python -m benchmarks.tune_kernels [--only attention] [--json FILE]

Needs an NVIDIA GPU. What is best goes by hand into `virnucpro_kernels/ops/configs.py`. All candidates are compiled at
the same time by several processes first; then each is checked against the first one's output and timed alone.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch

from benchmarks.timing import copy_bandwidth, milliseconds
from virnucpro_kernels.bench.encoders import Workload
from virnucpro_kernels.ops.attention import AttentionParameters, varlen_attention
from virnucpro_kernels.ops.configs import (
    HOPPER,
    AttentionLaunch,
    KernelConfig,
    ProductLaunch,
    ResidentLaunch,
    RowLaunch,
    TileLaunch,
)
from virnucpro_kernels.ops.gelu import bias_gelu, glu
from virnucpro_kernels.ops.layernorm import NormParameters, residual_layernorm
from virnucpro_kernels.ops.linear import linear, linear_add
from virnucpro_kernels.ops.linear_gelu import linear_gelu
from virnucpro_kernels.ops.packing import batch_of
from virnucpro_kernels.ops.quantize import RowScaled, quantize_rows
from virnucpro_kernels.ops.token_mean import TokenRange, layernorm_mean

DEVICE = torch.device("cuda")
TOKENS = 33_792
COMPILING_PROCESSES = 12


@dataclass(frozen=True)
class Job:
    """A kernel with its tensors: a function that launches it, and one that restores its inputs."""

    call: Callable[[KernelConfig], Any]
    reset: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Task:
    """One kernel on one kind of batch: its candidates, and the least work that it has to do."""

    name: str
    make: Callable[[int], Job]
    candidates: tuple[KernelConfig, ...]
    gigabytes: Callable[[int], float]
    #: Floating-point operations of matrix products per token, in 10^12.
    teraflop: float = 0.0


def configs(field: str, values: Iterator[Any]) -> tuple[KernelConfig, ...]:
    """The configuration in use, and it with one part replaced."""
    return tuple(dict.fromkeys((HOPPER, *(replace(HOPPER, **{field: value}) for value in values))))


def attention_candidates(workload: str) -> Iterator[AttentionLaunch]:
    """Launches of attention that might be good for these lengths."""
    used, mixed = HOPPER.attention, workload == "40-350"
    launches = [ResidentLaunch(64, 4, registers) for registers in (None, 168, 128)]
    launches += [ResidentLaunch(128, 8, 128), ResidentLaunch(64, 8)]
    if not mixed:
        launches += [ResidentLaunch(None, 4, registers) for registers in (None, 168, 128)]
    for launch in launches:
        yield replace(used, resident=(launch,) * 6)
        if mixed:
            for place in range(3, 6):
                yield replace(used, resident=(*used.resident[:place], launch, *used.resident[place + 1 :]))
    for stages, registers in product((1, 2, 3), (None, 168, 128)):
        yield AttentionLaunch(64, (), 4, stages, registers)
    if not mixed:
        yield AttentionLaunch(32, (ResidentLaunch(None, 4),) * 6)
        yield AttentionLaunch(32, (ResidentLaunch(None, 2),) * 6)
        yield AttentionLaunch(128, (ResidentLaunch(None, 8),) * 2)
        yield AttentionLaunch(128, (ResidentLaunch(128, 8),) * 2)


def attention_task(workload: str, heads: int, *, alibi: bool = False, fp8: bool = False) -> Task:
    """Attention with heads of 64 channels."""

    def make(tokens: int) -> Job:
        parsed = Workload.parse(workload)
        mean = (parsed.shortest + parsed.longest) // 2
        lengths = parsed.lengths(tokens // mean)
        if tokens < TOKENS:  # only to compile: one sequence of each number of tiles
            lengths = np.arange(parsed.shortest, parsed.longest + 1, 30)
        batch = batch_of(lengths, DEVICE)
        source = random(int(lengths.sum()), 3, heads, 64, dtype=torch.bfloat16 if fp8 else torch.float16)
        qkv = source.clone()
        angles = torch.outer(torch.arange(1024.0), 10000 ** -(torch.arange(0, 64, 2) / 64)).to(DEVICE)
        parameters = AttentionParameters(
            scale=0.125,
            rope=None if alibi else (angles.cos(), angles.sin()),
            alibi_slopes=torch.rand(heads, device=DEVICE) if alibi else None,
            fp8_scale=torch.full((heads * 64,), 50.0, device=DEVICE) if fp8 else None,
        )
        return Job(
            lambda config: varlen_attention(qkv, batch, parameters, backend="triton", config=config),
            lambda: qkv.copy_(source),  # keys are overwritten
        )

    name = f"attention, {workload} tokens, {heads} heads{', ALiBi' if alibi else ''}{', to fp8' if fp8 else ''}"
    moved = heads * 64 * (7 if fp8 else 8) / 1e9
    return Task(name, make, configs("attention", attention_candidates(workload)), lambda tokens: tokens * moved)


def rows_task(
    name: str,
    field: str,
    make: Callable[[int], Job],
    bytes_a_token: int,
    warps: tuple[int, ...],
) -> Task:
    """A kernel that owns whole rows."""
    values = (RowLaunch(*sizes) for sizes in product((1, 2, 4, 8), warps, (1, 2)))
    return Task(name, make, configs(field, values), lambda tokens: tokens * bytes_a_token / 1e9)


def random(*shape: int, dtype: torch.dtype = torch.float16) -> torch.Tensor:
    """Normal numbers."""
    return torch.randn(*shape, device=DEVICE, dtype=torch.float32).to(dtype)


def layernorm(width: int, *, fp8: bool) -> Callable[[int], Job]:
    """The LayerNorms of a layer."""

    def make(tokens: int) -> Job:
        residual, bias, weight = random(tokens, width), torch.rand(width, device=DEVICE), random(width)
        branch = torch.zeros(tokens, width, dtype=torch.bfloat16, device=DEVICE) if fp8 else None
        norm = NormParameters(weight, weight, 1e-5, bias)
        return Job(
            lambda config: residual_layernorm(residual, branch, norm, update_residual=fp8, quantize=fp8, config=config)
        )

    return make


def product_with_gelu(tokens: int) -> Job:
    """The first product of ESM-2 3B's feed-forward part with the GELU inside."""
    x, weight, bias = random(tokens, 2560), random(10240, 2560) * 0.02, random(10240)
    return Job(lambda config: linear_gelu(x, weight, bias, config=config))


def product_candidates() -> Iterator[ProductLaunch | None]:
    """Tiles, and how they are ordered; None is cuBLAS's product and the GELU behind it."""
    yield None
    for group in (8, 11, 12, 16, 22, 24, 33):
        yield ProductLaunch(128, 256, 64, 8, 4, group)
    for sizes in ((128, 256, 64, 8, 3), (128, 256, 32, 8, 6), (256, 128, 64, 8, 4), (128, 128, 64, 4, 4)):
        yield ProductLaunch(*sizes, 16)


def activation(width: int, *, fp8: bool, gated: bool = False) -> Callable[[int], Job]:
    """GELU with bias, or GLU."""

    def make(tokens: int) -> Job:
        x = random(tokens, 2 * width if gated else width, dtype=torch.bfloat16 if fp8 else torch.float16)
        bias, out = random(width), torch.empty(tokens, width, dtype=x.dtype, device=DEVICE)
        if gated:
            return Job(lambda config: glu(x, config=config))
        place = None if fp8 else out
        return Job(lambda config: bias_gelu(x, bias, place, config=config))

    return make


def token_mean(tokens: int) -> Job:
    """The last LayerNorm and the mean."""
    residual, weight = random(tokens, 2560), random(2560)
    cu_seqlens = torch.arange(0, tokens + 1, 168, dtype=torch.int32, device=DEVICE)
    norm, chosen = NormParameters(weight, weight, 1e-5, None), TokenRange(1, 1, 1024)
    return Job(lambda config: layernorm_mean(residual, None, norm, cu_seqlens, chosen, config=config))


def tasks() -> list[Task]:
    """All kernels, at the sizes of ESM-2 3B and DNABERT-S."""
    tiles = [TileLaunch(*sizes) for sizes in product((1, 2, 4, 8), (512, 1024, 2048), (4, 8))]
    return [
        attention_task("168", 40),
        attention_task("52", 40),
        attention_task("40-350", 40),
        attention_task("168", 40, fp8=True),
        attention_task("52", 40, fp8=True),
        attention_task("110", 12, alibi=True),
        rows_task("layernorm 2560", "layernorm", layernorm(2560, fp8=False), 4 * 2560, (1, 2, 4)),
        rows_task("layernorm 2560, branch, to fp8", "layernorm_fp8", layernorm(2560, fp8=True), 7 * 2560, (1, 2, 4)),
        rows_task("layernorm 768", "layernorm", layernorm(768, fp8=False), 4 * 768, (1, 2, 4)),
        Task(
            "gelu 10240", activation(10240, fp8=False), configs("activation", iter(tiles)),
            lambda tokens: tokens * 4 * 10240 / 1e9,
        ),
        Task(
            "linear_gelu 2560 to 10240", product_with_gelu, configs("linear_gelu", product_candidates()),
            lambda tokens: (tokens * (2560 + 10240) + 2560 * 10240) * 2 / 1e9, teraflop=2e-12 * 2560 * 10240,
        ),
        Task(
            "glu 3072", activation(3072, fp8=False, gated=True), configs("activation", iter(tiles)),
            lambda tokens: tokens * 6 * 3072 / 1e9,
        ),
        rows_task("gelu 10240, to fp8", "activation_fp8", activation(10240, fp8=True), 3 * 10240, (4, 8, 16)),
        Task(
            "mean over tokens 2560", token_mean,
            configs("token_mean", (RowLaunch(1, *sizes) for sizes in product((4, 8, 16), (1, 2, 3)))),
            lambda tokens: tokens * 2 * 2560 / 1e9,
        ),
    ]  # fmt: skip


def compile_candidate(place: tuple[int, int]) -> str | None:
    """Run one candidate on a few tokens, which leaves its kernels in Triton's cache; return what is wrong with it."""
    task = tasks()[place[0]]
    try:
        task.make(2016).call(task.candidates[place[1]])
        torch.cuda.synchronize()
    except Exception as error:  # too many registers, too much shared memory: that candidate is out
        return f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"
    return None


def as_tensor(result: torch.Tensor | RowScaled) -> torch.Tensor:
    """Result in fp32."""
    return result.dequantize() if isinstance(result, RowScaled) else result.float()


class Timing(TypedDict):
    """Result of one candidate: its name, the reason why it cannot be used, or its time in ms."""

    config: str
    problem: str | None
    ms: float | None


def tune(task: Task, errors: list[str | None], bandwidth: float) -> list[Timing]:
    """Check and time all candidates of a kernel that could be compiled, and print the best."""
    job = task.make(TOKENS)
    expected: torch.Tensor | None = None
    rows: list[Timing] = []
    for candidate, problem in zip(task.candidates, errors, strict=True):
        if problem is None:
            job.reset()
            result = as_tensor(job.call(candidate))
            if expected is None:
                expected = result.clone()
            off = float((result - expected).norm() / expected.norm())
            problem = None if off < 2e-2 else f"differs from the first by {off:.3g}"
        time_taken = None if problem else milliseconds(partial(job.call, candidate), DEVICE)
        rows.append({"config": changes(candidate), "problem": problem, "ms": time_taken})
    floor = 1000 * task.gigabytes(TOKENS) * 1e9 / bandwidth
    print(f"\n{task.name}: floor {floor:.3f} ms by its bytes", flush=True)
    good = sorted((row["ms"], row["config"]) for row in rows if row["ms"] is not None)
    for ms, config in good[:6]:
        rate = f"  {1000 * TOKENS * task.teraflop / ms:.0f} TFLOP/s" if task.teraflop else ""
        print(f"  {ms:.3f} ms{rate}  {config}")
    for rank, (ms, config) in enumerate(good, 1):
        if config == "in use":
            print(f"  {ms:.3f} ms  in use, {rank} of {len(good)}")
    for row in rows:
        if row["problem"]:
            print(f"  failed: {row['config']}: {row['problem']}")
    return rows


def changes(config: KernelConfig) -> str:
    """What distinguishes a candidate from the configuration in use."""
    ours, used = vars(config), vars(HOPPER)
    return next((str(ours[name]) for name in ours if ours[name] != used[name]), "in use")


def time_products() -> dict[str, float]:
    """The matrix products of a layer of ESM-2 3B in the forms that a layer could use, and the MLP in pieces."""
    found: dict[str, float] = {}
    shapes = {"qkv": (2560, 7680), "out": (2560, 2560), "up": (2560, 10240), "down": (10240, 2560)}
    for tokens in (16_896, TOKENS):
        for name, (inputs, outputs) in shapes.items():
            teraflop = 2e-12 * tokens * inputs * outputs
            x, weight = random(tokens, inputs), random(outputs, inputs) * 0.02
            bias, place = random(outputs), random(tokens, outputs)
            forms: dict[str, Callable[[], Any]] = {
                "fp16 mm": partial(torch.mm, x, weight.t(), out=place),
                "fp16 + bias": partial(torch.addmm, bias, x, weight.t()),
                "fp16 + itself": partial(torch.addmm, place, x, weight.t(), out=place),
            }
            rows, columns, short_bias = quantize_rows(x), quantize_rows(weight), bias.bfloat16()
            forms["fp8"] = partial(linear, rows, columns)
            forms["fp8 + bias"] = partial(linear, rows, columns, short_bias)
            for form, call in forms.items():
                ms = milliseconds(call, DEVICE)
                found[f"{tokens} {name} {form}"] = ms
                print(f"  {tokens} {name:5} {form:14} {ms:.3f} ms {teraflop / ms * 1000:.0f} TFLOP/s", flush=True)
            place.zero_()
    x, up, down = random(TOKENS, 2560), random(10240, 2560) * 0.02, random(2560, 10240) * 0.02
    bias, residual = random(10240), random(TOKENS, 2560)
    for piece in (TOKENS, 16_896, 8_448, 4_224):

        def mlp(piece: int = piece) -> None:
            for start in range(0, TOKENS, piece):
                part = slice(start, start + piece)
                linear_add(linear_gelu(x[part], up, bias), down, residual[part])

        found[f"mlp in pieces of {piece}"] = milliseconds(mlp, DEVICE)
        print(f"  MLP in pieces of {piece}: {found[f'mlp in pieces of {piece}']:.3f} ms", flush=True)
        residual.zero_()
    return found


def time_flash() -> dict[str, float]:
    """torch's own FlashAttention, without and with the rotation as passes of their own."""
    found = {}
    for workload in ("168", "52"):
        lengths = Workload.parse(workload).lengths(TOKENS // int(workload))
        qkv, batch = random(int(lengths.sum()), 3, 40, 64), batch_of(lengths, DEVICE)
        attend = partial(varlen_attention, parameters=AttentionParameters(0.125), backend="flash")
        found[workload] = milliseconds(partial(attend, qkv, batch), DEVICE)
        print(f"  FlashAttention-2 without rotation, {workload} tokens: {found[workload]:.3f} ms")
    return found


def main() -> None:
    """Compile, check, time, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="only tasks whose name contains this")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    chosen = [(index, task) for index, task in enumerate(tasks()) if options.only in task.name]
    places = [(index, at) for index, task in chosen for at in range(len(task.candidates))]
    started = time.perf_counter()
    with ProcessPoolExecutor(COMPILING_PROCESSES, multiprocessing.get_context("spawn")) as pool:
        problems = dict(zip(places, pool.map(compile_candidate, places), strict=True))
    print(f"{len(places)} candidates compiled in {time.perf_counter() - started:.0f} s", flush=True)
    bandwidth = copy_bandwidth(DEVICE)
    print(f"{torch.cuda.get_device_name()}: copies at {bandwidth / 1e12:.2f} TB/s")
    found: dict[str, Any] = {}
    for index, task in chosen:
        errors = [problems[index, at] for at in range(len(task.candidates))]
        found[task.name] = tune(task, errors, bandwidth)
        torch.cuda.empty_cache()
    if not options.only:
        print("\nmatrix products")
        found["products"] = time_products()
        found["flash"] = time_flash()
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

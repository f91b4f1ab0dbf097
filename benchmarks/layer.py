"""Where the time of one layer goes: each operation by itself, beside the least time it could take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmarks.timing import copy_bandwidth, milliseconds
from virnucpro_kernels.bench.encoders import Encoder, Workload, make_batches
from virnucpro_kernels.bench.run import Plan, count_sequences
from virnucpro_kernels.models.dnabert_s import DnabertS
from virnucpro_kernels.models.dnabert_s import TransformerBlock as DnabertBlock
from virnucpro_kernels.models.esm2 import CarriedLayerNorm, Esm2, FeedForward
from virnucpro_kernels.models.esm2 import TransformerBlock as EsmBlock
from virnucpro_kernels.models.layers import Projection
from virnucpro_kernels.ops.attention import AttentionParameters, varlen_attention
from virnucpro_kernels.ops.gelu import bias_gelu, glu
from virnucpro_kernels.ops.linear import linear, linear_add
from virnucpro_kernels.ops.linear_gelu import linear_gelu, one_kernel
from virnucpro_kernels.ops.packing import PackedBatch
from virnucpro_kernels.ops.quantize import Operand


@dataclass(frozen=True)
class Part:
    """One operation of a layer.

    Attributes:
        name: Name of the operation.
        milliseconds: Median time, warm, by itself (so at higher clocks than in a long run).
        gigabytes: Least amount that it must read and write.
        teraflop: Floating-point operations, of matrix products only.
    """

    name: str
    milliseconds: float
    gigabytes: float
    teraflop: float

    def floor(self, bandwidth: float, flop_rate: float) -> float:
        """Return the least time in milliseconds, by bytes per second or by operations per second of matrix units."""
        return 1000 * max(self.gigabytes * 1e9 / bandwidth, self.teraflop * 1e12 / flop_rate)


@dataclass(frozen=True)
class Layer:
    """Time of the operations of one layer, and of the kernels in a whole pass.

    Attributes:
        encoder, precision, workload, token_budget: What was measured.
        bandwidth: Bytes per second of a copy.
        flop_rate: Operations per second of the fastest matrix product.
        parts: Operations of the layer.
        kernels: Milliseconds of each GPU kernel in a whole pass.
    """

    encoder: str
    precision: str
    workload: str
    token_budget: int
    bandwidth: float
    flop_rate: float
    parts: list[Part]
    kernels: dict[str, float]


def measure_layer(encoder: Encoder, precision: str, workload: Workload, plan: Plan, device: torch.device) -> Layer:
    """Time the operations of the middle layer on a batch of the plan's token budget."""
    budget = plan.budget(precision, device)
    count = plan.sequences or count_sequences(workload, budget)
    batch = make_batches(workload, count, budget, encoder.config.vocabulary, device).batches[0]
    parts = layer_parts(encoder, batch)
    fastest = max(part.teraflop / part.milliseconds for part in parts if part.teraflop) * 1e15
    kernels = profile_kernels(encoder, batch) if device.type == "cuda" else {}
    return Layer(plan.encoder, precision, str(workload), budget, copy_bandwidth(device), fastest, parts, kernels)


@torch.inference_mode()
def layer_parts(encoder: Encoder, batch: PackedBatch) -> list[Part]:
    """Time the operations of the middle layer on `batch`, in their order, each with real inputs."""
    if isinstance(encoder, Esm2):
        return _esm2_parts(encoder, batch)
    return _dnabert_parts(encoder, batch)


class _Recorder:
    """Times operations one after the other and keeps the times."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.parts: list[Part] = []

    def time(self, name: str, call: Callable[[], object], *moved: object, teraflop: float = 0.0) -> None:
        gigabytes = sum(_bytes(item) for item in moved) / 1e9
        self.parts.append(Part(name, milliseconds(call, self.device), gigabytes, teraflop))

    def product(self, name: str, x: Operand, weight: Operand, call: Callable[[], object], *moved: object) -> None:
        rows, (outputs, inputs) = len(x[0] if isinstance(x, tuple) else x), _shape(weight)
        self.time(name, call, x, weight, *moved, teraflop=2e-12 * rows * inputs * outputs)


def _shape(operand: Operand) -> torch.Size:
    return operand[0].shape if isinstance(operand, tuple) else operand.shape


def _bytes(item: object) -> int:
    if isinstance(item, tuple):
        return sum(_bytes(part) for part in item)
    return item.numel() * item.element_size() if isinstance(item, torch.Tensor) else 0


def _esm2_parts(encoder: Esm2, batch: PackedBatch) -> list[Part]:
    block = encoder.blocks[len(encoder.blocks) // 2]
    assert isinstance(block, EsmBlock)
    attention, feed_forward = block.attention, block.feed_forward
    record = _Recorder(batch.tokens.device)
    residual = torch.nn.functional.embedding(batch.tokens, encoder.embedding.weight)
    rope = encoder.rope.tables(batch.max_length)

    def normalize(norm: CarriedLayerNorm, name: str, before: Projection, behind: Projection) -> Operand:
        branch = torch.zeros_like(residual, dtype=torch.bfloat16) if before.is_fp8 else None
        stream = (residual, branch, residual if before.is_fp8 else None)
        normed = norm.forward(residual, branch, to_fp8=behind.is_fp8)
        record.time(name, lambda: norm(residual, branch, to_fp8=behind.is_fp8), *stream, normed)
        return normed

    x = normalize(block.attention_norm, "LayerNorm 1", feed_forward.down, attention.qkv)
    qkv = linear(x, attention.qkv.operand, attention.qkv.bias)
    record.product(
        "query, key, value", x, attention.qkv.operand,
        lambda: linear(x, attention.qkv.operand, attention.qkv.bias), qkv,
    )  # fmt: skip
    heads = qkv.view(-1, 3, attention.heads, attention.head_dim)

    def attend() -> Operand:
        return varlen_attention(
            heads,
            batch,
            AttentionParameters(attention.head_dim**-0.5, rope, None, attention.out.input_factors),
            backend=attention.backend,
        )

    attended = attend()
    record.time("attention", attend, qkv, attended)
    into = residual.clone()
    record.product(
        "attention output", attended, attention.out.operand,
        lambda: linear_add(attended, attention.out.operand, into), into, None if attention.out.is_fp8 else into,
    )  # fmt: skip
    y = normalize(block.feed_forward_norm, "LayerNorm 2", attention.out, feed_forward.up)
    activated = _time_up_and_gelu(record, feed_forward, y)
    down = feed_forward.down
    record.product(
        "down", activated, down.operand,
        lambda: linear_add(activated, down.operand, into), into, None if down.is_fp8 else into,
    )  # fmt: skip
    return record.parts


def _time_up_and_gelu(record: _Recorder, feed_forward: FeedForward, y: Operand) -> Operand:
    up, weight, fp8 = feed_forward.up, feed_forward.up.operand, feed_forward.up.is_fp8
    if isinstance(y, torch.Tensor) and isinstance(weight, torch.Tensor) and one_kernel(y, weight):
        activated = linear_gelu(y, weight, up.bias)
        record.product("up, GELU inside", y, weight, lambda: linear_gelu(y, weight, up.bias), activated)
        return activated
    hidden = linear(y, weight)
    record.product("up", y, weight, lambda: linear(y, weight), hidden)
    place = None if fp8 else torch.empty_like(hidden)

    def activate() -> Operand:
        return bias_gelu(hidden, up.bias, place)

    activated = activate()
    record.time("GELU", activate, hidden, activated)
    return activated


def _dnabert_parts(encoder: DnabertS, batch: PackedBatch) -> list[Part]:
    block = encoder.blocks[len(encoder.blocks) // 2]
    assert isinstance(block, DnabertBlock)
    attention, feed_forward = block.attention, block.feed_forward
    record = _Recorder(batch.tokens.device)
    total = torch.nn.functional.embedding(batch.tokens, encoder.embedding.weight)

    x = block.norm(total, None)
    record.time("LayerNorm", lambda: block.norm(total, None), total, x)
    qkv = linear(x, attention.qkv.weight, attention.qkv.bias)
    record.product(
        "query, key, value", x, attention.qkv.weight,
        lambda: linear(x, attention.qkv.weight, attention.qkv.bias), qkv,
    )  # fmt: skip
    heads = qkv.view(-1, 3, attention.heads, attention.head_dim)

    def attend() -> Operand:
        parameters = AttentionParameters(attention.head_dim**-0.5, alibi_slopes=attention.slopes)
        return varlen_attention(heads, batch, parameters, backend=attention.backend)

    attended = attend()
    record.time("attention", attend, qkv, attended)
    into = total.clone()
    record.product(
        "attention output", attended, attention.out.weight,
        lambda: linear_add(attended, attention.out.weight, into), into, into,
    )  # fmt: skip
    record.time("LayerNorm behind attention", lambda: block.attention_norm(total, None), total, x)
    hidden = linear(x, feed_forward.gated.weight)
    record.product(
        "gates and values", x, feed_forward.gated.weight, lambda: linear(x, feed_forward.gated.weight), hidden
    )
    gated = glu(hidden)
    record.time("GLU", lambda: glu(hidden), hidden, gated)
    record.product(
        "down", gated, feed_forward.down.weight, lambda: linear_add(gated, feed_forward.down.weight, into), into, into
    )
    return record.parts


def profile_kernels(encoder: Encoder, batch: PackedBatch) -> dict[str, float]:
    """Return the milliseconds of each GPU kernel in a forward pass among others, by the CUDA profiler, largest first.

    Where lengths are mixed, the launches of attention overlap, and the sum of their times is more than they take.
    """
    from torch.profiler import ProfilerActivity, profile

    for _ in range(3):
        encoder.embed(batch)
    with profile(activities=[ProfilerActivity.CUDA]) as trace:
        encoder.embed(batch)
        torch.cuda.synchronize()
    times = {event.key: event.self_device_time_total / 1000 for event in trace.key_averages()}
    return dict(sorted(times.items(), key=lambda item: -item[1]))

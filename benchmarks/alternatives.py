"""The engine beside what one would take instead: transformers' EsmModel with SDPA, eager and with compiled layers.

    python -m benchmarks.alternatives [--encoder esm2-3b] [--workload 168] [--precision fp16,bf16,fp8-ff,fp8]

All have the same weights, and are measured in turn: speed, energy, and vectors beside those of the engine in fp32. As
one would do it, EsmModel gets sequences sorted by length in full batches, no mask where they are of equal length, and
means over residues. On a GPU it computes in fp16, on a CPU in fp32.
"""

from __future__ import annotations

import itertools
import logging
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, cast

import numpy as np
import torch
import typer
from torch import nn
from transformers import EsmConfig, EsmModel

from benchmarks import command
from benchmarks.reference import compare_vectors, vectors
from benchmarks.results import AlternativeRate
from virnucpro_kernels.bench.baselines import matrix_products
from virnucpro_kernels.bench.encoders import Batches, Workload, make_batches, make_encoder
from virnucpro_kernels.bench.options import BenchOptions, plan_measurements
from virnucpro_kernels.bench.run import Plan, count_sequences
from virnucpro_kernels.bench.timing import calls_per_second
from virnucpro_kernels.cli.bench import Device, Encoders, Json, Precisions, Rounds, Seconds, TokenBudget, Workloads
from virnucpro_kernels.cli.main import run_app
from virnucpro_kernels.embed.gpu_monitor import GpuMonitor
from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.models.esm2 import AVERAGED_RESIDUES, EPS, Esm2
from virnucpro_kernels.models.reference import fair_esm_tensors
from virnucpro_kernels.models.tokenizers import PAD

log = logging.getLogger("virnucpro_kernels.benchmarks")
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

#: Sequences whose vectors are compared.
_COMPARED = 200
#: Batches of sequences of different lengths, so that those of equal ones fill a batch when they are sorted.
_SORTED_BATCHES = 20
#: fair-esm's names of parts of a layer, and EsmModel's.
_PARTS = {
    "self_attn_layer_norm": "attention.LayerNorm",
    "self_attn.q_proj": "attention.self.query",
    "self_attn.k_proj": "attention.self.key",
    "self_attn.v_proj": "attention.self.value",
    "self_attn.out_proj": "attention.output.dense",
    "final_layer_norm": "LayerNorm",
    "fc1": "intermediate.dense",
    "fc2": "output.dense",
}


@dataclass
class Contender:
    """One way of embedding, and what was measured of it.

    Attributes:
        name: Name of the way.
        precision: Its precision.
        calls: Functions each of which embeds a batch, to be called in turn.
        tokens: Mean number of tokens of a batch; padding does not count.
        vectors: Vectors of the compared sequences, fp32 (n, d), on the host; None where there are none to compare.
        rounds: Tokens per second, and joules where they are known, of each round.
    """

    name: str
    precision: str
    calls: Sequence[Callable[[], object]]
    tokens: float
    vectors: torch.Tensor | None = None
    rounds: list[tuple[float, float | None]] = field(default_factory=list)

    def measure(self, seconds: float, device: torch.device) -> None:
        """Measure once, for about `seconds`."""
        following = itertools.cycle(self.calls)
        started = time.perf_counter()
        if device.type == "cuda":
            with GpuMonitor(f"GPU-{torch.cuda.get_device_properties(device).uuid}") as monitor:
                rate = calls_per_second(lambda: next(following)(), seconds, device)
            joules = monitor.summary().get("gpu_energy_joules")
        else:
            rate, joules = calls_per_second(lambda: next(following)(), seconds, device), None
        tokens = self.tokens * rate
        a_token = None if joules is None else joules / (tokens * (time.perf_counter() - started))
        self.rounds.append((tokens, a_token))


def make_esm_model(encoder: Esm2, dtype: torch.dtype) -> EsmModel:
    """Return transformers' ESM-2 with the weights of `encoder`, which are fp32, on its device."""
    sizes = encoder.config
    options: dict[str, Any] = {
        "vocab_size": sizes.vocabulary,
        "mask_token_id": sizes.vocabulary - 1,
        "pad_token_id": PAD,
        "hidden_size": sizes.hidden,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "intermediate_size": sizes.feed_forward,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "layer_norm_eps": EPS,
        "position_embedding_type": "rotary",
        "emb_layer_norm_before": False,
        "token_dropout": False,  # its factor is in the embedding table
        "attn_implementation": "sdpa",
    }
    with encoder.embedding.weight.device:
        model: Any = EsmModel(EsmConfig(**options), add_pooling_layer=False)
    model.to(dtype)
    frequencies = [buffer for name, buffer in model.named_buffers() if name.endswith("inv_freq")]
    for buffer in frequencies:  # rounded, angles would be off; from_pretrained does not round them either
        buffer.data = encoder.rope.inverse_frequencies.to(buffer.device)
    tensors = {_renamed(name): tensor for name, tensor in fair_esm_tensors(encoder).items() if "rot_emb" not in name}
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    missing = [name for name in missing if "contact_head" not in name and "inv_freq" not in name]
    if missing or unexpected:
        raise UsageError(f"this version of transformers has other tensors in its EsmModel: {missing}, {unexpected}")
    model.eval().requires_grad_(False)
    return cast("EsmModel", model)


def _renamed(name: str) -> str:
    """Return EsmModel's name of a tensor of fair-esm."""
    if name == "embed_tokens.weight":
        return "embeddings.word_embeddings.weight"
    if not name.startswith("layers."):
        return f"encoder.{name}"
    _, layer, rest = name.split(".", 2)
    part, kind = rest.rsplit(".", 1)
    return f"encoder.layer.{layer}.{_PARTS[part]}.{kind}"


@dataclass(frozen=True)
class Padded:
    """Sequences of a batch one below the other.

    Attributes:
        tokens: Token numbers, (B, L).
        mask: 1 where there is a token, (B, L); None where all sequences have L.
        residues: Share of each token in the mean of its sequence, fp32 (B, 1, L).
    """

    tokens: torch.Tensor
    mask: torch.Tensor | None
    residues: torch.Tensor


def pad_sorted(batches: Batches, budget: int) -> tuple[list[Padded], list[int]]:
    """Return sequences sorted by length in batches of at most `budget` tokens, and their places in `batches`."""
    sequences = [
        sequence
        for batch in batches.batches
        for sequence in torch.split(batch.tokens[: int(batch.lengths.sum())].long(), batch.lengths.tolist())
    ]
    order = sorted(range(len(sequences)), key=lambda place: len(sequences[place]), reverse=True)
    padded, start = [], 0
    while start < len(order):
        longest = len(sequences[order[start]])
        rows = [sequences[place] for place in order[start : start + max(1, budget // longest)]]
        padded.append(_pad(rows))
        start += len(rows)
    return padded, order


def _pad(rows: list[torch.Tensor]) -> Padded:
    tokens = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
    lengths = torch.tensor([len(row) for row in rows], device=tokens.device).unsqueeze(1)
    at = torch.arange(tokens.shape[1], device=tokens.device)
    inside = (at > 0) & (at < lengths - 1) & (at <= AVERAGED_RESIDUES)
    mask = None if bool((lengths == tokens.shape[1]).all()) else (at < lengths).long()
    return Padded(tokens, mask, (inside / inside.sum(1, keepdim=True)).unsqueeze(1))


@torch.inference_mode()
def embed(model: EsmModel, batch: Padded) -> torch.Tensor:
    """Return the mean over the residues of each sequence, fp32 (B, d)."""
    states = model(input_ids=batch.tokens, attention_mask=batch.mask).last_hidden_state
    means: torch.Tensor = batch.residues @ states.float()
    return means.squeeze(1)


def contenders(plan: Plan, workload: Workload, device: torch.device, *, compiled: bool) -> Iterator[Contender]:
    """Yield all ways of embedding, with their vectors, ready to be measured."""
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    budget = plan.budget("fp16", device)
    encoder = make_encoder(plan.encoder, device)
    assert isinstance(encoder, Esm2)
    samples = make_batches(workload, _COMPARED, budget, encoder.config.vocabulary, device)
    exact = vectors(encoder, samples)
    yield Contender("exact", "fp32", (), 0.0, exact)
    for name in ("EsmModel, eager", "EsmModel, compiled")[: 1 + compiled]:
        yield _esm_contender(name, encoder, dtype, workload, samples, budget)
    del encoder
    for precision, ours in plan.encoders(device):
        budget = plan.budget(precision, device)
        count = count_sequences(workload, budget)
        batches = make_batches(workload, count, budget, ours.config.vocabulary, device)
        full = Batches(batches.batches[:-1] or batches.batches, batches.utilisation)
        calls = [partial(ours.embed, batch) for batch in full.batches]
        tokens = full.tokens / len(calls)
        yield Contender("VirNucPro", precision, calls, tokens, vectors(ours, samples))
        if device.type == "cuda":  # on a CPU the rows of a batch are no constant
            yield Contender("its products alone", precision, [matrix_products(ours, budget)], tokens)


def _esm_contender(
    name: str, encoder: Esm2, dtype: torch.dtype, workload: Workload, samples: Batches, budget: int
) -> Contender:
    device = encoder.embedding.weight.device
    model = make_esm_model(encoder, dtype)
    if name.endswith("compiled"):
        for layer in model.encoder.layer:
            layer.compile()
    count = budget // workload.longest * (1 if workload.shortest == workload.longest else _SORTED_BATCHES)
    padded, _ = pad_sorted(make_batches(workload, count, budget, encoder.config.vocabulary, device), budget)
    tokens = sum(float((batch.tokens != PAD).sum()) for batch in padded) / len(padded)
    compared, order = pad_sorted(samples, budget)
    found = torch.cat([embed(model, batch) for batch in compared])[np.argsort(order)].cpu()
    precision = "fp16" if dtype == torch.float16 else "fp32"
    return Contender(name, precision, [partial(embed, model, batch) for batch in padded], tokens, found)


def measure(plan: Plan, workload: Workload, device: torch.device, *, compiled: bool) -> Iterator[AlternativeRate]:
    """Measure all ways in turn and yield their rates."""
    exact, *ways = contenders(plan, workload, device, compiled=compiled)
    for way in ways:
        for call in way.calls:
            call()
    for number in range(plan.rounds):
        for way in ways:
            way.measure(plan.seconds, device)
            log.info(
                "round %d of %d: %s %s %.0f tokens/s",
                number + 1,
                plan.rounds,
                way.name,
                way.precision,
                way.rounds[-1][0],
            )
    assert exact.vectors is not None
    for way in ways:
        joules = [a_token for _, a_token in way.rounds if a_token is not None]
        alike = None if way.vectors is None else compare_vectors(way.precision, False, way.vectors, exact.vectors)
        yield AlternativeRate(
            plan.encoder, str(workload), way.name, way.precision,
            tokens_per_second=statistics.median(rate for rate, _ in way.rounds),
            millijoules_per_token=1000 * statistics.median(joules) if joules else None,
            accuracy=alike, rounds=way.rounds,
        )  # fmt: skip


@app.command()
def main(
    encoder: Encoders = None,
    workload: Workloads = None,
    precision: Precisions = "",
    device: Device = "auto",
    token_budget: TokenBudget = 0,
    rounds: Rounds = None,
    seconds: Seconds = None,
    compiled: Annotated[bool, typer.Option(help="Also with compiled layers.")] = True,
    json: Json = None,
    markdown: command.Markdown = None,
) -> None:
    """Measure an ESM-2 of random weights in the engine and in transformers."""
    run = command.Run.start(device, json, markdown, None)
    wanted = precision or ("fp16,bf16,fp8-ff,fp8" if run.device.type == "cuda" else "fp32")
    options = BenchOptions(
        run.choose_esm2(encoder), workload or ["168"], wanted, 0, device,
        token_budget, False, rounds, seconds,
    )  # fmt: skip
    for plan in plan_measurements(options, run.device):
        for each in plan.workloads:
            run.results.alternatives += measure(plan, each, run.device, compiled=compiled)
            run.save()
    run.finish()


if __name__ == "__main__":
    run_app(app)

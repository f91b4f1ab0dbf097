"""The results of a benchmark as tables for people."""

from __future__ import annotations

from statistics import fmean

from virnucpro_kernels.bench.accuracy import Accuracy
from virnucpro_kernels.bench.chunk import ChunkRate
from virnucpro_kernels.bench.results import Layer, Rate, Results
from virnucpro_kernels.bench.sample import SampleRate


def markdown(results: Results) -> str:
    """Tables."""
    lines = [", ".join(f"{name} {value}" for name, value in results.machine.items()), "", f"`{results.command}`"]
    if results.rates:
        lines += [""]
        lines += _table(
            ("encoder", "precision", "tokens a sequence", "budget", "tokens/s", "sequences/s", "ceiling tokens/s"),
            ("of ceiling", "TFLOP/s", "packing", "peak GB", "reserved GB", "times the original's way"),
            [_rate_cells(rate) for rate in results.rates],
        )
    # Every precision and budget of a workload has the same.
    references = dict.fromkeys(
        _reference_cells(rate) for rate in results.rates if rate.reference_tokens_per_second is not None
    )
    if references:
        lines += ["", "The original's way, in fp32:", ""]
        lines += _table(("encoder", "tokens a sequence", "tokens/s", "sequences/s", "peak GB"), (), list(references))
    for layer in results.layers:
        lines += ["", f"One layer of {layer.encoder}, {layer.precision}, {layer.workload} tokens a sequence:", ""]
        lines += _table(("part", "ms", "floor ms", "of floor"), ("GB", "TFLOP"), _layer_cells(layer))
        if layer.kernels:
            top = list(layer.kernels.items())[:14]
            lines += ["", "GPU kernels of a whole pass (launches of attention for different lengths overlap):", ""]
            lines += _table(("kernel", "ms"), (), [(f"`{name[:90]}`", f"{time:.2f}") for name, time in top])
    if results.accuracy:
        lines += ["", "Cosine of the mean vectors with those in fp32:", ""]
        lines += _table(
            ("precision", "outlier channels", "sequences", "worst", "mean"),
            (),
            [
                (row.precision, "planted" if row.outliers else "none", str(row.sequences), *_cosines(row))
                for row in results.accuracy
            ],
        )
    if results.chunks:
        lines += ["", "A chunk, file to files, with DNABERT-S:", ""]
        lines += _table(
            ("encoder", "precision", "frames", "residues", "seconds", "protein tokens/s", "of the engine alone"),
            ("device ran an encoder", "DNABERT-S of it", "packing", "start s", "loading s", "peak GB", "reserved GB"),
            [_chunk_cells(chunk) for chunk in results.chunks],
        )
    if results.samples:
        lines += ["", "A whole sample of reads of 150 nt, FASTA to tables, with DNABERT-S:", ""]
        lines += _table(
            ("encoder", "precision", "reads", "GPUs", "whole s", "split s", "embed s", "gain", "chunks", "frames"),
            ("protein tokens/s", "GPU in use, %", "kJ"),
            [_sample_cells(sample, results.samples) for sample in results.samples],
        )
    return "\n".join(lines) + "\n"


def _chunk_cells(chunk: ChunkRate) -> tuple[str, ...]:
    return (
        chunk.encoder,
        chunk.precision,
        f"{chunk.frames:,}",
        str(chunk.residues),
        f"{chunk.seconds:.1f}",
        f"{chunk.tokens_per_second:,.0f}",
        f"{chunk.of_engine:.3f}",
        f"{chunk.device_share:.3f}",
        f"{chunk.nucleotide_share:.1%}",
        f"{chunk.packing:.2%}",
        f"{chunk.start_seconds:.1f}",
        f"{chunk.load_seconds:.1f}",
        f"{chunk.peak_gigabytes:.1f}",
        f"{chunk.reserved_gigabytes:.1f}",
    )


def _sample_cells(sample: SampleRate, samples: list[SampleRate]) -> tuple[str, ...]:
    """The gain is that of embedding over the run with the fewest GPUs."""
    alike = [
        s for s in samples if (s.encoder, s.precision, s.reads) == (sample.encoder, sample.precision, sample.reads)
    ]
    fewest = min(alike, key=lambda other: other.gpus)
    return (
        sample.encoder,
        sample.precision,
        f"{sample.reads:,}",
        str(sample.gpus),
        f"{sample.seconds:.1f}",
        f"{sample.split_seconds:.1f}",
        f"{sample.embed_seconds:.1f}",
        f"{fewest.embed_seconds / sample.embed_seconds:.2f}",
        str(sample.chunks),
        f"{sample.frames:,}",
        f"{sample.tokens_per_second:,.0f}",
        _known(sample.utilisation_percent, ".1f"),
        "" if sample.joules is None else f"{sample.joules / 1e3:.1f}",
    )


def _cosines(row: Accuracy) -> tuple[str, str]:
    return f"{row.worst:.8f}", f"{row.mean:.8f}"


def _table(first: tuple[str, ...], second: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    header = first + second
    return ["| " + " | ".join(cells) + " |" for cells in (header, ("---",) * len(header), *rows)]


def _rate_cells(rate: Rate) -> tuple[str, ...]:
    reference = rate.reference_tokens_per_second
    return (
        rate.encoder,
        rate.precision,
        rate.workload,
        f"{rate.token_budget:,}",
        f"{rate.tokens_per_second:,.0f}",
        f"{rate.sequences_per_second:,.0f}",
        _known(rate.ceiling_tokens_per_second, ",.0f"),
        _known(rate.of_ceiling, ".3f"),
        f"{rate.teraflop_per_second:.4g}",
        f"{rate.packing:.2%}",
        _known(rate.peak_gigabytes, ".1f"),
        _known(rate.reserved_gigabytes, ".1f"),
        "" if reference is None else f"{rate.tokens_per_second / reference:.1f}",
    )


def _reference_cells(rate: Rate) -> tuple[str, ...]:
    return (
        rate.encoder,
        rate.workload,
        _known(rate.reference_tokens_per_second, ",.0f"),
        _known(rate.reference_sequences_per_second, ",.0f"),
        _known(rate.reference_peak_gigabytes, ".1f"),
    )


def _known(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _layer_cells(layer: Layer) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for part in layer.parts:
        floor = part.floor(layer.bandwidth, layer.flop_rate)
        rows.append(
            (
                part.name,
                f"{part.milliseconds:.3f}",
                f"{floor:.3f}",
                f"{floor / part.milliseconds:.2f}",
                f"{part.gigabytes:.2f}",
                f"{part.teraflop:.2f}" if part.teraflop else "",
            )
        )
    total = sum(part.milliseconds for part in layer.parts)
    floor = sum(part.floor(layer.bandwidth, layer.flop_rate) for part in layer.parts)
    rows.append(("sum", f"{total:.3f}", f"{floor:.3f}", f"{floor / total:.2f}", "", ""))
    return rows


def best_budgets(results: Results) -> list[str]:
    """Say which token budget is the fastest for each encoder and precision, on average over the workloads."""
    rates: dict[tuple[str, str], dict[int, list[float]]] = {}
    for rate in results.rates:
        rates.setdefault((rate.encoder, rate.precision), {}).setdefault(rate.token_budget, []).append(
            rate.tokens_per_second
        )
    lines = []
    for (encoder, precision), of_budget in rates.items():
        best = max(of_budget, key=lambda budget: fmean(of_budget[budget]))
        lines.append(
            f"best token budget of {encoder} in {precision}: {best:,} ({fmean(of_budget[best]):,.0f} tokens/s)"
        )
    return lines

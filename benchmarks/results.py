"""All that benchmarks measure, as JSON and as Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.layer import Layer
from benchmarks.reference import Accuracy, ReferenceRate
from virnucpro_kernels.bench import results
from virnucpro_kernels.bench.results import Rate
from virnucpro_kernels.bench.results import format_known as known


@dataclass(frozen=True)
class ChunkRate:
    """Speed of the embed command on one chunk.

    Attributes:
        encoder: Protein encoder; DNABERT-S comes with it.
        precision: Precision of both encoders.
        frames, residues: Size of the chunk.
        seconds: Time from reading the chunk to complete files, loading of the models aside.
        protein_tokens, nucleotide_tokens: Tokens that were embedded in this time.
        tokens_per_second: Protein tokens over `seconds`.
        protein_alone_tokens_per_second, nucleotide_alone_tokens_per_second: Rate of each encoder by itself, on batches
            that lie on the device, of sequences of the same length (nucleotides: of the mean length).
        of_engine: Time that both encoders alone would take for these tokens, over `seconds`: 1 is their own speed.
        device_fraction: Fraction of `seconds` in which the device ran an encoder.
        nucleotide_fraction: Fraction of the device's time that the nucleotide encoder took.
        packing: Fraction of the token budget that held tokens, protein encoder.
        start_seconds: Time from the start of the process to the first finished batch.
        load_seconds: Time of loading both models.
        peak_gigabytes: GPU memory that was allocated, or host memory on a CPU.
        reserved_gigabytes: GPU memory that PyTorch held at most.
    """

    encoder: str
    precision: str
    frames: int
    residues: int
    seconds: float
    protein_tokens: int
    nucleotide_tokens: int
    tokens_per_second: float
    protein_alone_tokens_per_second: float
    nucleotide_alone_tokens_per_second: float
    of_engine: float
    device_fraction: float
    nucleotide_fraction: float
    packing: float
    start_seconds: float
    load_seconds: float
    peak_gigabytes: float
    reserved_gigabytes: float


@dataclass(frozen=True)
class SampleRate:
    """One run from sequences to tables.

    Attributes:
        encoder: Protein encoder; DNABERT-S comes with it.
        precision: Precision of both encoders.
        gpus: Number of GPUs in use; 0 for a CPU.
        reads: Number of reads of 150 nt.
        seconds: Time of the whole command.
        split_seconds: Time of `split`.
        embed_seconds: Time from the start of the first embedding job (known to the second) to the end of the last,
            loading of the models included.
        chunks, frames, protein_tokens: Size of the sample.
        tokens_per_second: Protein tokens over `embed_seconds`.
        utilisation_percent: Use of the GPUs while a job held one, mean over the jobs; None where it is not known.
        joules: Energy that the GPUs took for it; None where it is not known.
    """

    encoder: str
    precision: str
    gpus: int
    reads: int
    seconds: float
    split_seconds: float
    embed_seconds: float
    chunks: int
    frames: int
    protein_tokens: int
    tokens_per_second: float
    utilisation_percent: float | None
    joules: float | None


@dataclass
class Results(results.Results):
    """Everything that a run measured, and where; `rates` are those of the package.

    Attributes:
        references: Rates of the original's way.
        layers: Times of the operations of a layer.
        accuracy: Cosines with vectors in fp32.
        chunks: Rates of whole chunks.
        samples: Rates of whole samples.
        alternatives: Rates of other ways of embedding, beside the engine's.
        rounding: Cosines with vectors in fp32 by length of the sequences.
    """

    references: list[ReferenceRate] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)
    accuracy: list[Accuracy] = field(default_factory=list)
    chunks: list[ChunkRate] = field(default_factory=list)
    samples: list[SampleRate] = field(default_factory=list)
    alternatives: list[AlternativeRate] = field(default_factory=list)
    rounding: list[RoundingAccuracy] = field(default_factory=list)


@dataclass(frozen=True)
class RoundingAccuracy:
    """Cosines of the vectors of an encoder in one precision with those in fp32.

    Attributes:
        encoder, precision, workload: What was compared.
        corrected: Whether the biases of products in fp8 are corrected; None where none is fp8.
        outliers: Whether the weights have channels much larger than the others.
        seconds: Time of the conversion to this precision.
        worst, mean, centred_worst, centred_mean: See `models.similarity`.
    """

    encoder: str
    precision: str
    corrected: bool | None
    outliers: bool
    workload: str
    seconds: float
    worst: float
    mean: float
    centred_worst: float
    centred_mean: float

    def cells(self) -> tuple[str, ...]:
        """Return a row of the table."""
        biases = {None: "", False: "as they were", True: "corrected"}[self.corrected]
        values = (self.worst, self.mean, self.centred_worst, self.centred_mean)
        planted = "planted" if self.outliers else "none"
        rest = (*(f"{value:.6f}" for value in values), f"{self.seconds:.2f}")
        return (self.encoder, planted, self.precision, biases, self.workload, *rest)


@dataclass(frozen=True)
class AlternativeRate:
    """Speed of one way of embedding, ours or another.

    Attributes:
        encoder, workload: What was embedded.
        name, precision: The way.
        tokens_per_second: Median over the rounds; padding does not count.
        millijoules_per_token: Energy of the GPU, median over the rounds; None on a CPU.
        accuracy: Cosines with the engine's vectors in fp32; None of matrix products alone.
        rounds: Tokens per second and joules a token of each round.
    """

    encoder: str
    workload: str
    name: str
    precision: str
    tokens_per_second: float
    millijoules_per_token: float | None
    accuracy: Accuracy | None
    rounds: list[tuple[float, float | None]]

    def cells(self) -> tuple[str, ...]:
        """Return a row of the table."""
        found = self.accuracy
        cosines = ("", "", "") if found is None else (found.worst, found.mean, found.centred_mean)
        return (
            *(self.encoder, self.workload, self.name, self.precision, f"{self.tokens_per_second:,.0f}"),
            known(self.millijoules_per_token, ".2f"),
            *(f"{cosine:.6f}" if cosine else "" for cosine in cosines),
        )


def to_markdown(results: Results) -> str:
    """Return machine, command and a table of each kind of result that there is."""
    lines = [", ".join(f"{name} {value}" for name, value in results.machine.items()), "", f"`{results.command}`"]
    if results.rates:
        lines += [""]
        lines += markdown_table(
            ("encoder", "precision", "tokens a sequence", "budget", "tokens/s", "sequences/s", "ceiling tokens/s"),
            ("of ceiling", "TFLOP/s", "packing", "peak GB", "reserved GB", "times the original's way"),
            [(*rate.cells().values(), _times_the_reference(rate, results.references)) for rate in results.rates],
        )
    if results.references:
        lines += ["", "The original's way, in fp32:", ""]
        lines += markdown_table(
            ("encoder", "tokens a sequence", "tokens/s", "sequences/s", "peak GB"),
            (),
            [_reference_cells(reference) for reference in results.references],
        )
    for layer in results.layers:
        lines += ["", f"One layer of {layer.encoder}, {layer.precision}, {layer.workload} tokens a sequence:", ""]
        lines += markdown_table(("part", "ms", "floor ms", "of floor"), ("GB", "TFLOP"), _layer_cells(layer))
        if layer.kernels:
            top = list(layer.kernels.items())[:14]
            lines += ["", "GPU kernels of a whole pass (launches of attention for different lengths overlap):", ""]
            lines += markdown_table(("kernel", "ms"), (), [(f"`{name[:90]}`", f"{time:.2f}") for name, time in top])
    if results.accuracy:
        lines += ["", "Cosine of the mean vectors with those in fp32:", ""]
        lines += markdown_table(
            ("precision", "outlier channels", "sequences", "worst", "mean", "centred: worst", "mean"),
            (),
            [
                (row.precision, "planted" if row.outliers else "none", str(row.sequences), *_cosines(row))
                for row in results.accuracy
            ],
        )
    if results.chunks:
        lines += ["", "A chunk, file to files, with DNABERT-S:", ""]
        lines += markdown_table(
            ("encoder", "precision", "frames", "residues", "seconds", "protein tokens/s", "of the engine alone"),
            ("device ran an encoder", "DNABERT-S of it", "packing", "start s", "loading s", "peak GB", "reserved GB"),
            [_chunk_cells(chunk) for chunk in results.chunks],
        )
    if results.samples:
        lines += ["", "A whole sample of reads of 150 nt, FASTA to tables, with DNABERT-S:", ""]
        lines += markdown_table(
            ("encoder", "precision", "reads", "GPUs", "whole s", "split s", "embed s", "gain", "chunks", "frames"),
            ("protein tokens/s", "GPU in use, %", "kJ"),
            [_sample_cells(sample, results.samples) for sample in results.samples],
        )
    if results.rounding:
        lines += ["", "Cosine of the mean vectors with those in fp32:", ""]
        lines += markdown_table(
            ("encoder", "outlier channels", "precision", "biases", "tokens a sequence", "worst", "mean"),
            ("centred: worst", "mean", "conversion, s"),
            [row.cells() for row in results.rounding],
        )
    if results.alternatives:
        lines += ["", "The engine and what one would take instead, in turn:", ""]
        lines += markdown_table(
            ("encoder", "tokens a sequence", "way", "precision", "tokens/s", "mJ a token"),
            ("worst cosine", "mean", "centred, mean"),
            [alternative.cells() for alternative in results.alternatives],
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
        f"{chunk.device_fraction:.3f}",
        f"{chunk.nucleotide_fraction:.1%}",
        f"{chunk.packing:.2%}",
        f"{chunk.start_seconds:.1f}",
        f"{chunk.load_seconds:.1f}",
        f"{chunk.peak_gigabytes:.1f}",
        f"{chunk.reserved_gigabytes:.1f}",
    )


def _sample_cells(sample: SampleRate, samples: Sequence[SampleRate]) -> tuple[str, ...]:
    """Return a row; the gain is how many times faster the embedding is than with the fewest GPUs."""
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
        known(sample.utilisation_percent, ".1f"),
        "" if sample.joules is None else f"{sample.joules / 1e3:.1f}",
    )


def _cosines(row: Accuracy) -> tuple[str, ...]:
    return tuple(f"{cosine:.8f}" for cosine in (row.worst, row.mean, row.centred_worst, row.centred_mean))


def markdown_table(first: tuple[str, ...], second: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Return the lines of a table whose columns are those of `first` and `second`."""
    header = first + second
    return ["| " + " | ".join(cells) + " |" for cells in (header, ("---",) * len(header), *rows)]


def _times_the_reference(rate: Rate, references: Sequence[ReferenceRate]) -> str:
    for reference in references:
        if (reference.encoder, reference.workload) == (rate.encoder, rate.workload):
            return f"{rate.tokens_per_second / reference.tokens_per_second:.1f}"
    return ""


def _reference_cells(reference: ReferenceRate) -> tuple[str, ...]:
    return (
        reference.encoder,
        reference.workload,
        f"{reference.tokens_per_second:,.0f}",
        f"{reference.sequences_per_second:,.0f}",
        known(reference.peak_gigabytes, ".1f"),
    )


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

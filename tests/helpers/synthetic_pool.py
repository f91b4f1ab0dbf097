"""A small pool with made-up scores in the real files' layout, as `split` and `classify` leave it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from virnucpro_kernels.pool.manifest import Chunk, write_manifest
from virnucpro_kernels.weights.registry import (
    Calibration,
    ClassifierInfo,
    EncoderInfo,
    FileInfo,
    Model,
    read_model,
    write_model,
)


@dataclass(frozen=True)
class Contig:
    """An input record. Each of its windows is a start, an end, and the logits of its frames by their numbers 0 to 5."""

    name: str
    length: int
    windows: Sequence[tuple[int, int, Mapping[int, float]]] = ()
    description: str = ""
    status: str | None = None
    note: str = ""

    @property
    def final_status(self) -> str:
        if self.status:
            return self.status
        return "scored" if any(frames for _, _, frames in self.windows) else "no_open_frame"


@dataclass(frozen=True)
class Pool:
    """Paths of a pool's files, and the model of its scores."""

    directory: Path
    model: Model
    inputs: dict[str, Path] = field(default_factory=dict)

    @property
    def contigs(self) -> Path:
        return self.directory / "contigs.parquet"

    @property
    def windows(self) -> Path:
        return self.directory / "windows.parquet"

    @property
    def manifest(self) -> Path:
        return self.directory / "chunks.tsv"

    @property
    def scores(self) -> Path:
        return self.directory / "encoders" / self.model.model_id


def make_model(directory: Path, *, name: str = "tiny-300", window_length: int = 300, purpose: str = "trial") -> Model:
    """Write a model directory with a complete description and without real weights."""
    directory.mkdir(parents=True, exist_ok=True)
    for file in ("nucleotide", "tokenizer", "protein", "classifier"):
        (directory / file).write_bytes(b"x")

    facts = "0" * 64, 1, "made up", ""

    def encoder(file: str, name: str) -> EncoderInfo:
        return EncoderInfo(
            file, *facts, name, architecture="esm2", layers=1, hidden=64, heads=1, feed_forward=1, vocabulary=1
        )

    write_model(
        Model(
            name=name,
            directory=directory,
            window_length=window_length,
            layout="original",
            purpose=purpose,
            source="made up",
            licence="MIT",
            notes="",
            nucleotide=encoder("nucleotide", "n"),
            tokenizer=FileInfo("tokenizer", *facts),
            protein=encoder("protein", "p"),
            classifier=ClassifierInfo("classifier", *facts, dimension=2, hidden=2),
        )
    )
    return read_model(directory)


def softmax(logits: Sequence[float]) -> np.ndarray:
    """Scores of both classes, float32 (n, 2), computed as the original does."""
    difference = torch.tensor(logits, dtype=torch.float32)
    return torch.softmax(torch.stack([torch.zeros_like(difference), difference], dim=1), dim=1).numpy()


def write_scores(path: Path, rows: Sequence[int], logits: Sequence[float], model_id: str) -> None:
    """Write a score file in row groups so small that a reader needs several."""
    scores = softmax(logits)
    table = pa.table(
        {
            "row": pa.array(rows, pa.int64()),
            "logit": pa.array(logits, pa.float32()),
            "p_other": scores[:, 0],
            "p_virus": scores[:, 1],
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata({"model_id": model_id}), path, row_group_size=7)


def write_pool(
    directory: Path,
    samples: Mapping[str, Sequence[Contig]],
    *,
    chunks: int = 3,
    seed: int = 0,
    calibration: Calibration | None = None,
) -> Pool:
    """Write tables, manifest, scores scattered over chunks, and input files."""
    model = replace(make_model(directory / "model"), calibration=calibration)
    write_model(model)
    contigs = [(sample, contig) for sample, members in samples.items() for contig in members]
    windows = [(index, *window) for index, (_, contig) in enumerate(contigs) for window in contig.windows]
    frames = [len(found) for *_, found in windows]
    directory.mkdir(parents=True, exist_ok=True)
    contig_table = {
        "sample": pa.array([sample for sample, _ in contigs], pa.string()).dictionary_encode(),
        "contig": pa.array([contig.name for _, contig in contigs], pa.string()),
        "description": pa.array([contig.description for _, contig in contigs], pa.string()),
        "length": pa.array([contig.length for _, contig in contigs], pa.int64()),
        "status": pa.array([contig.final_status for _, contig in contigs], pa.string()).dictionary_encode(),
        "windows": pa.array([len(contig.windows) for _, contig in contigs], pa.int32()),
        "note": pa.array([contig.note for _, contig in contigs], pa.string()).dictionary_encode(),
    }
    pq.write_table(pa.table(contig_table), directory / "contigs.parquet", row_group_size=5)
    window_table = {
        "contig": pa.array([index for index, *_ in windows], pa.int64()),
        "start": pa.array([start for _, start, _, _ in windows], pa.int64()),
        "end": pa.array([end for _, _, end, _ in windows], pa.int64()),
        "mask": pa.array([sum(1 << frame for frame in found) for *_, found in windows], pa.uint8()),
        "first_row": pa.array([sum(frames[:place]) for place in range(len(windows))], pa.int64()),
    }
    pq.write_table(pa.table(window_table), directory / "windows.parquet", row_group_size=5)

    logits = np.array([found[frame] for *_, found in windows for frame in sorted(found)], np.float32)
    chunk_of_row = np.random.default_rng(seed).integers(0, chunks, len(logits))
    pool = Pool(directory, model)
    manifest = []
    for number in range(chunks):
        rows = np.flatnonzero(chunk_of_row == number)
        if len(rows):
            name = f"{number:05d}"
            write_scores(pool.scores / f"{name}.parquet", rows.tolist(), logits[rows].tolist(), model.model_id)
            manifest.append(Chunk(name, len(rows), 10, 10, 5, 9, "a" * 64, "b" * 64, "300-original"))
    write_manifest(directory / "chunks.tsv", manifest)
    bases = np.random.default_rng(1).choice(list("ACGTacgtN"), 8000)
    for sample, members in samples.items():
        pool.inputs[sample] = directory / f"{sample}.fa"
        records = [f">{contig.name} {contig.description}\n{''.join(bases[: contig.length])}\n" for contig in members]
        pool.inputs[sample].write_text("".join(records), encoding="utf-8")
    return pool

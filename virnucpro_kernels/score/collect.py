"""The last stage: the scores of a sample's frames become its tables, its viral sequences and the record of its run."""

import json
import os
import shutil
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.pool.file_names import COLLECT_RECORD, ORIGINAL_FILES, RESULT_TABLES, RUN_RECORD, VIRAL_FASTA
from virnucpro_kernels.pool.job_record import Job
from virnucpro_kernels.pool.manifest import Chunk, read_manifest
from virnucpro_kernels.pool.unusable import refuse_unusable
from virnucpro_kernels.score.original_tables import Flavour, OriginalFiles
from virnucpro_kernels.score.run_record import (
    SCHEMA_VERSION,
    describe_files,
    describe_model,
    describe_scores,
    describe_software,
    describe_stages,
    job_records,
    model_label,
)
from virnucpro_kernels.score.sample_reader import Block, SampleRecords, read_blocks
from virnucpro_kernels.score.scoring import CALLS, TIERS, ContigScores, score_contigs, score_windows
from virnucpro_kernels.score.tables import Tables
from virnucpro_kernels.score.thresholds import Thresholds
from virnucpro_kernels.score.viral_fasta import write_viral
from virnucpro_kernels.weights.registry import Model


@dataclass(frozen=True)
class Sources:
    """Where the data of a sample lie.

    Attributes:
        contigs, windows, manifest: the tables of its pool.
        scores: folder of `{chunk}.parquet`.
        inputs: the sample's sequence files; without any, no `viral.fna.gz` is written.
    """

    contigs: Path
    windows: Path
    manifest: Path
    scores: Path
    inputs: tuple[Path, ...] = ()


@dataclass
class Summary:
    """What was found in a sample, kept while its blocks go by: counts, and five bytes a contig."""

    bases: int = 0
    windows: int = 0
    scored_windows: int = 0
    frames: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    tiers: Counter[str] = field(default_factory=Counter)
    _p_virus: list[npt.NDArray[np.float32]] = field(default_factory=list)
    _tier: list[npt.NDArray[np.int8]] = field(default_factory=list)

    def add(self, block: Block, contigs: ContigScores) -> None:
        """Count a block."""
        self.bases += int(block.length.sum())
        self.windows += len(block.mask)
        self.scored_windows += int(contigs.scored_windows.sum())
        self.frames += len(block.logit)
        for value in pc.value_counts(block.status).to_pylist():
            self.statuses[value["values"]] += value["counts"]
        for names, values, tally in ((CALLS, contigs.call, self.calls), (TIERS, contigs.tier, self.tiers)):
            tally.update(dict(zip(names, np.bincount(values + 1, minlength=len(names) + 1)[1:].tolist(), strict=True)))
        self._p_virus.append(contigs.p_virus.astype(np.float32))
        self._tier.append(contigs.tier.astype(np.int8))

    @property
    def contigs(self) -> int:
        """Contigs in all."""
        return sum(self.statuses.values())

    def viral(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int8]]:
        """p_virus (n,) and tier (n,) of every contig; the tier of one that is not called viral is negative."""
        return (
            np.concatenate([np.empty(0, np.float32), *self._p_virus]),
            np.concatenate([np.empty(0, np.int8), *self._tier]),
        )

    def counts(self) -> dict[str, Any]:
        """As they stand in `run.json`."""
        return {
            "contigs": self.contigs,
            "bases": self.bases,
            "windows": self.windows,
            "scored_windows": self.scored_windows,
            "frames": self.frames,
            "status": dict(sorted(self.statuses.items())),
            "call": {call: self.calls[call] for call in CALLS},
            "tier": {tier: self.tiers[tier] for tier in TIERS},
        }


def collect(
    sources: Sources,
    *,
    sample: str,
    model: Model,
    output_dir: Path,
    thresholds: Thresholds,
    original_files: Flavour | None,
) -> Summary:
    """Write all files of one sample, `run.json` last; files of an earlier run stay until the new ones are complete.

    Raises:
        DamagedFileError: see `read_blocks`; or the windows are not of the model's length.
        UsageError: the sample was left out when its pool was split, or its input has changed since.
    """
    clock = time.monotonic()
    refuse_unusable(sources.manifest, sample, sources.inputs)
    chunks = read_manifest(sources.manifest)
    for geometry in sorted({chunk.geometry for chunk in chunks}):
        model.check_window_length(int(geometry.partition("-")[0]), str(sources.manifest))
    with Job(output_dir / COLLECT_RECORD, "collect") as job, _publishing(output_dir) as directory:
        summary = _write_tables(sources, chunks, sample, model, directory, thresholds, original_files, job)
        if sources.inputs:
            records = SampleRecords(sources.contigs, sample)
            p_virus, tier = summary.viral()
            write_viral(directory / VIRAL_FASTA, sources.inputs, records, p_virus, tier, TIERS, model_label(model))
        job.facts |= summary.counts()
        stages = job_records(sources.manifest, sources.scores, chunks)
        stages["collect"] = [{"host": socket.gethostname(), "seconds": time.monotonic() - clock}]
        frames_of_pool = sum(chunk.rows for chunk in chunks)
        record = {
            "schema_version": SCHEMA_VERSION,
            "sample": sample,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "model": describe_model(model),
            "software": describe_software(),
            "parameters": {
                "geometry": chunks[0].geometry if chunks else None,
                "scores": describe_scores(sources.scores, chunks),
                "thresholds": asdict(thresholds),
                "original_files": original_files or "none",
            },
            "inputs": describe_files(sources.inputs),
            "counts": summary.counts(),
            "pool": {
                "directory": str(sources.manifest.parent),
                "chunks": len(chunks),
                "frames": frames_of_pool,
                "share": round(summary.frames / frames_of_pool, 4) if frames_of_pool else None,
            },
            "stages": describe_stages(stages),
            "files": {
                Path(file["path"]).name: {"bytes": file["bytes"], "sha256": file["sha256"]}
                for file in describe_files(sorted(directory.iterdir()))
            },
        }
        (directory / RUN_RECORD).write_text(json.dumps(record, indent=1) + "\n")
    return summary


def _write_tables(
    sources: Sources,
    chunks: Sequence[Chunk],
    sample: str,
    model: Model,
    directory: Path,
    thresholds: Thresholds,
    original_files: Flavour | None,
    job: Job,
) -> Summary:
    summary = Summary()
    frames_of_pool = sum(chunk.rows for chunk in chunks)
    with ExitStack() as stack:
        tables = stack.enter_context(Tables(directory, model=model_label(model), window_length=model.window_length))
        original = stack.enter_context(OriginalFiles(directory, original_files)) if original_files else None
        for block in read_blocks(
            sources.contigs, sources.windows, sources.scores, chunks, sample=sample, model_id=model.model_id
        ):
            windows = score_windows(block)
            contigs = score_contigs(block, windows, thresholds)
            if ((contigs.scored_windows > 0) != pc.equal(block.status, "scored").to_numpy(zero_copy_only=False)).any():
                raise DamagedFileError(
                    f"{sources.contigs}: the status of a contig does not fit the frames of its windows;"
                    " split the pool again"
                )
            tables.add(block, windows, contigs)
            if original:
                original.add(block, windows)
            summary.add(block, contigs)
            job.progress(summary.frames, frames_of_pool)
        if original:
            original.finish()
    return summary


@contextmanager
def _publishing(output_dir: Path) -> Iterator[Path]:
    """Yield a folder for new files; when the block ends without an error, they replace those of `output_dir`.

    `run.json` goes first and comes last, so that where there is one, all files are of one run.
    """
    directory = output_dir / ".unfinished"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    try:
        yield directory
        for path in directory.iterdir():
            with path.open("rb") as written:
                os.fsync(written.fileno())
        for name in (RUN_RECORD, *RESULT_TABLES, *ORIGINAL_FILES):
            (output_dir / name).unlink(missing_ok=True)
        for path in sorted(directory.iterdir(), key=lambda path: path.name == RUN_RECORD):
            path.replace(output_dir / path.name)
    finally:
        shutil.rmtree(directory, ignore_errors=True)

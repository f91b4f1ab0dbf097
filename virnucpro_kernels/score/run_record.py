"""Content of `run.json`: how a sample's tables were made, with versions, model, input, parameters, devices, times."""

import json
import platform
import socket
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from virnucpro_kernels import __version__
from virnucpro_kernels.files import PACKAGE, sha256
from virnucpro_kernels.pool.file_names import SCORE_SUFFIX, record_name
from virnucpro_kernels.pool.geometry import Geometry
from virnucpro_kernels.pool.job_record import read_job
from virnucpro_kernels.pool.manifest import Chunk
from virnucpro_kernels.score.sample_reader import Sources
from virnucpro_kernels.weights.evidence import kept_precisions
from virnucpro_kernels.weights.registry import Model, calibrate_command

SCHEMA_VERSION = 1

_TRIAL_NOTICE = "This model is for trying out: its scores are no evidence. Use a released model for real work."
_PACKAGES = (
    *("numpy", "pyarrow", "h5py", "dnaio", "pysam", "torch", "triton", "flash-attn", "tokenizers", "safetensors"),
    *("fair-esm", "snakemake"),
)
# Entries of a job's record that describe the job itself and not its work.
_JOB_KEYS = ("stage", "state", "attempts", "pid", "host", "started", "seconds", "done", "total")


def describe_run(
    sample: str,
    model: Model,
    sources: Sources,
    chunks: Sequence[Chunk],
    *,
    parameters: Mapping[str, Any],
    counts: Mapping[str, Any],
    results: Sequence[Path],
    seconds: float,
    threads: int = 1,
) -> dict[str, Any]:
    """Return the content of a sample's `run.json`.

    Args:
        sample: Name of the sample.
        model: Model that made the scores.
        sources: Files that the sample was collected from.
        chunks: Chunks of the manifest.
        parameters: Parameters of the tables.
        counts: Counts of contigs, windows and frames.
        results: Files that were written.
        seconds: Time that the tables took so far.
        threads: Number of threads that compute checksums.
    """
    with ThreadPoolExecutor(threads) as pool:
        described = dict(zip(files := [*sources.inputs, *results], pool.map(_describe_file, files), strict=True))
    geometry = chunks[0].geometry if chunks else None
    frames_of_pool = sum(chunk.rows for chunk in chunks)
    stages = job_records(sources.manifest, sources.scores, chunks)
    stages["collect"] = [{"host": socket.gethostname(), "seconds": seconds}]
    return {
        "schema_version": SCHEMA_VERSION,
        "sample": sample,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": describe_model(model, geometry),
        "software": describe_software(),
        "parameters": {
            "geometry": geometry,
            "scores": describe_scores(sources.scores, chunks),
            **parameters,
        },
        "inputs": [{"path": str(path), **described[path]} for path in sources.inputs],
        "counts": counts,
        "pool": {
            "directory": str(sources.manifest.parent),
            "chunks": len(chunks),
            "frames": frames_of_pool,
            "fraction": round(counts["frames"] / frames_of_pool, 4) if frames_of_pool else None,
        },
        "stages": describe_stages(stages),
        "files": {path.name: described[path] for path in results},
    }


def model_label(model: Model, geometry: str | None) -> str:
    """Return the model's name as it stands in the results.

    It is marked where the model is for trying out only, and where it was not trained on frames of this geometry.
    """
    foreign = geometry is not None and not model.knows_layout(Geometry.parse(geometry).layout)
    return model.name + "(trial)" * (model.purpose == "trial") + "(not-trained-on-this-layout)" * foreign


def describe_model(model: Model, geometry: str | None) -> dict[str, Any]:
    """Return everything that decides a score, with checksums, and what was measured of its precisions here."""
    measured = kept_precisions(model)
    of_layout = model.layout_notice(Geometry.parse(geometry).layout) if geometry is not None else ""
    notice = " ".join(filter(None, (_TRIAL_NOTICE if model.purpose == "trial" else "", of_layout)))
    return {
        "name": model.name,
        "label": model_label(model, geometry),
        "id": model.model_id,
        "purpose": model.purpose,
        **({"notice": notice} if notice else {}),
        "window_length": model.window_length,
        "layout": model.layout,
        "source": model.source,
        "licence": model.licence,
        "notes": model.notes,
        **{part: asdict(getattr(model, part)) for part in ("nucleotide", "tokenizer", "protein", "classifier")},
        **({"precisions": measured} if measured else {}),
        "calibration": asdict(model.calibration) if model.calibration else None,
        **({} if model.calibration else {"calibration_notice": _no_calibration(model)}),
    }


def _no_calibration(model: Model) -> str:
    return (
        f"{model.name} has no calibration: p_virus ranks contigs, but is no probability. Genomes that the model was not"
        f" trained on give it one: {calibrate_command(model)}"
    )


def describe_software() -> dict[str, Any]:
    """Return version and commit of this package, and the versions of the packages it uses that are installed."""
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "version": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": packages,
    }


def _commit() -> str | None:
    """Return the commit of the clone that this package runs from or was installed from; None where it is not known.

    A clone with uncommitted changes gets `+changes` behind it.
    """
    clone = PACKAGE.parent
    if (clone / ".git").exists():
        try:
            commit = _git(clone, "rev-parse", "HEAD")
            changes = _git(clone, "status", "--porcelain", "--untracked-files=no", "--", PACKAGE.name)
        except (FileNotFoundError, subprocess.CalledProcessError):
            return None
        return commit + "+changes" * bool(changes)
    try:
        # PEP 610: where pip installed it from.
        origin = metadata.distribution("virnucpro").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
    commit_id = json.loads(origin or "{}").get("vcs_info", {}).get("commit_id")
    return commit_id if isinstance(commit_id, str) else None


def _git(clone: Path, *arguments: str) -> str:
    command = ["git", "-c", f"safe.directory={clone}", "-C", str(clone), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _describe_file(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def job_records(manifest: Path, scores: Path, chunks: Sequence[Chunk]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the records that the jobs of each stage left beside their outputs; a deleted record is left out.

    Args:
        manifest: Manifest of the pool; the record of `split` lies beside it.
        scores: Folder of the scores; the embeddings lie in the folder above it.
        chunks: Chunks of the manifest.
    """
    paths = {"split": [manifest.parent / record_name("split")]}
    for stage, folder in (("embed", scores.parent), ("merge", scores.parent), ("classify", scores)):
        paths[stage] = [folder / f"{chunk.chunk}.{stage}.json" for chunk in chunks]
    return {stage: [record for path in found if (record := read_job(path))] for stage, found in paths.items()}


def describe_scores(scores: Path, chunks: Sequence[Chunk]) -> dict[str, str]:
    """Return what all score files agree on: encoders, precision, kernels, token budgets, classifier."""
    found = (pq.read_schema(scores / f"{chunk.chunk}{SCORE_SUFFIX}").metadata or {} for chunk in chunks)
    common = _common([{key.decode(): value.decode() for key, value in metadata.items()} for metadata in found])
    return {key: value for key, value in common.items() if not key.startswith("ARROW:")}


def describe_stages(records: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Return jobs, attempts, time, hosts and devices of each stage, and what its jobs reported.

    What the jobs of a stage report differently is left to their own records.
    """
    seconds = {stage: sum(float(job.get("seconds", 0)) for job in jobs) for stage, jobs in records.items()}
    total = sum(seconds.values())
    return {
        stage: {
            "jobs": len(jobs),
            "attempts": sum(int(job.get("attempts", 1)) for job in jobs),
            "seconds": round(seconds[stage], 3),
            "fraction": round(seconds[stage] / total, 4) if total else None,
            "hosts": dict(Counter(str(job["host"]) for job in jobs if "host" in job)),
            "devices": dict(Counter(str(job["device"]) for job in jobs if "device" in job)),
            "reported": {key: value for key, value in _common(jobs).items() if key not in _JOB_KEYS},
        }
        for stage, jobs in records.items()
    }


def _common(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the entries that all records have alike."""
    first = records[0] if records else {}
    return {key: value for key, value in first.items() if all(record.get(key) == value for record in records)}

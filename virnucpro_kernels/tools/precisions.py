"""`virnucpro weights compare-precisions`: what each precision of this machine costs and gives, on real frames."""

import math
import platform
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from virnucpro_kernels import __version__
from virnucpro_kernels.errors import UsageError, VirnucproError
from virnucpro_kernels.files import sha256
from virnucpro_kernels.models.precisions import FP8_ATTENTION, check_device
from virnucpro_kernels.models.similarity import Cosines, cosines
from virnucpro_kernels.ops.dispatch import check_bf16, check_fp8
from virnucpro_kernels.pool.chunk_fasta import Frames, check_fasta, read_frames
from virnucpro_kernels.pool.file_names import MANIFEST
from virnucpro_kernels.pool.geometry import Geometry, Layout
from virnucpro_kernels.pool.manifest import read_manifest
from virnucpro_kernels.run.config import default
from virnucpro_kernels.run.installation import demonstration
from virnucpro_kernels.sequences.arrays import SequenceArray
from virnucpro_kernels.split.split import SplitOptions, split_pool
from virnucpro_kernels.tools.frame_scores import ScoredFrames, score_frames, start_device
from virnucpro_kernels.weights.evidence import keep_precisions
from virnucpro_kernels.weights.registry import Model

#: Precisions to compare with the first one, on a GPU and on a CPU (where fp16 is only emulated).
_PRECISIONS = {"cuda": ("fp32", "fp16", "bf16", "fp8-ff", "fp8"), "cpu": ("fp32", "bf16")}
_THRESHOLD = 0.5


@dataclass(frozen=True)
class Compared:
    """One precision beside fp32.

    Attributes:
        precision: Precision.
        nucleotide_tokens_per_second, protein_tokens_per_second: Speed of both encoders, without loading them.
        nucleotide, protein: Cosines of the vectors with those of fp32.
        largest_difference, mean_difference: Differences of p_virus from that of fp32.
        labels_changed: Number of frames that are on the other side of a p_virus of 0.5.
        labels_changed_low, labels_changed_high: Limits of the fraction of such frames, 95 %, by Wilson's interval.
    """

    precision: str
    nucleotide_tokens_per_second: float
    protein_tokens_per_second: float
    nucleotide: Cosines
    protein: Cosines
    largest_difference: float
    mean_difference: float
    labels_changed: int
    labels_changed_low: float
    labels_changed_high: float


def compare_precisions(
    model: Model,
    sequences: Path | None,
    say: Callable[[str], object],
    *,
    device: str,
    frames: int,
    threads: int,
    keep: bool,
) -> None:
    """Embed and score real frames in fp32 and in each precision that the device has, and print a table.

    Args:
        model: Model.
        sequences: Sequence file; None takes the bundled one.
        say: Function that prints a line.
        device: `auto`, `cpu` or `cuda`.
        frames: Largest number of frames, taken evenly from all.
        threads: Number of CPU threads.
        keep: Whether to keep the result in the directory of the model, where `run.json` takes it from.

    Raises:
        DamagedFileError: a file of the model is damaged.
        UsageError: the sequences have no open frame, or the device cannot be used.
        VirnucproError: the result cannot be kept.
    """
    source = sequences or demonstration()
    chosen = _read_frames(source, model, frames)
    on = start_device(device, threads)
    say(f"{len(chosen)} frames of {source.name} on {_name(on)}; differences are those from fp32")
    wanted = [name for name in _PRECISIONS[on.type] if _runs(name, on, say)]
    exact = score_frames(model, chosen, on, wanted[0])
    rows = []
    for line in _HEADER:
        say(line)
    for name in wanted:
        row = _compare(exact if name == wanted[0] else score_frames(model, chosen, on, name), exact)
        say(_line(row, len(chosen)))
        rows.append(row)
    if keep:
        _keep(model, source, len(chosen), on, rows)
        say(f"kept in {model.directory}; run.json of later runs shows it")


def _runs(precision: str, device: torch.device, say: Callable[[str], object]) -> bool:
    try:
        check_device(precision, device.type)
        if precision == "bf16":
            check_bf16(device)
        if precision in FP8_ATTENTION:
            check_fp8(device)
    except UsageError as error:
        say(f"without {precision}: {error}")
        return False
    return True


def _read_frames(source: Path, model: Model, most: int) -> Frames:
    """Return at most so many frames of a sequence file, evenly spread over all."""
    keys = ("min_length", "duplicate_ids", "chunk_tokens", "min_chunks")
    geometry = Geometry(model.window_length, cast("Layout", model.layout))
    options = SplitOptions(geometry, **{key: default(key) for key in keys}, threads=1)
    with tempfile.TemporaryDirectory() as folder:
        split_pool([("sample", source)], Path(folder), options, lambda *_: None)
        manifest = Path(folder, MANIFEST)
        chunks = [read_frames(*check_fasta(manifest, chunk)) for chunk in read_manifest(manifest)]
    if not chunks:
        raise UsageError(f"{source}: no window has a frame that this model scores; give longer sequences")
    rows = np.concatenate([chunk.rows for chunk in chunks])
    order = np.argsort(rows)
    taken = order[np.unique(np.linspace(0, len(rows) - 1, most).astype(int))]
    ids = [name for chunk in chunks for name in chunk.ids]
    nucleotides = [each for chunk in chunks for each in chunk.nucleotides]
    proteins = [each for chunk in chunks for each in chunk.proteins]
    return Frames(
        rows[taken],
        [ids[i] for i in taken],
        SequenceArray.from_list([nucleotides[i] for i in taken]),
        SequenceArray.from_list([proteins[i] for i in taken]),
    )


def _compare(found: ScoredFrames, exact: ScoredFrames) -> Compared:
    difference = np.abs(found.p_virus - exact.p_virus)
    changed = int(np.sum((found.p_virus > _THRESHOLD) != (exact.p_virus > _THRESHOLD)))
    low, high = wilson_interval(changed, len(difference))
    return Compared(
        found.precision,
        nucleotide_tokens_per_second=found.tokens_per_second["nucleotide"],
        protein_tokens_per_second=found.tokens_per_second["protein"],
        nucleotide=cosines(found.vectors["nucleotide"], exact.vectors["nucleotide"]),
        protein=cosines(found.vectors["protein"], exact.vectors["protein"]),
        largest_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        labels_changed=changed,
        labels_changed_low=low,
        labels_changed_high=high,
    )


def wilson_interval(changed: int, count: int) -> tuple[float, float]:
    """Return the limits of a fraction that was seen `changed` times in `count`, 95 % (doi:10.2307/2276774)."""
    z = 1.959963984540054
    middle = (changed + z * z / 2) / (count + z * z)
    half = z / (count + z * z) * math.sqrt(changed * (count - changed) / count + z * z / 4)
    return max(middle - half, 0.0), min(middle + half, 1.0)


_HEADER = (
    "           tokens/s              cosine, nucleotide   cosine, protein      p_virus differs   labels changed",
    "precision  nucleot.    protein   worst     centred    worst     centred    most     mean     (95 % interval)",
)


def _line(row: Compared, count: int) -> str:
    """Return a line of the table; the centred cosines are means."""
    both = "  ".join(f"{of.worst:.6f}  {of.centred_mean:.6f} " for of in (row.nucleotide, row.protein))
    return (
        f"{row.precision:9s} {row.nucleotide_tokens_per_second:9,.0f}  {row.protein_tokens_per_second:9,.0f}   {both}"
        f"  {row.largest_difference:.1e}  {row.mean_difference:.1e}  {row.labels_changed} of {count}"
        f" ({row.labels_changed_low:.1%} to {row.labels_changed_high:.1%})"
    )


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} threads of {platform.processor() or platform.machine()}"


def _keep(model: Model, source: Path, frames: int, device: torch.device, rows: list[Compared]) -> None:
    comparison: dict[str, Any] = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "torch": torch.__version__,
        "device": _name(device),
        "sequences": {"name": source.name, "sha256": sha256(source), "frames": frames},
        "precisions": [_plain(row) for row in rows],
    }
    try:
        keep_precisions(model, comparison)
    except OSError as error:
        raise VirnucproError(
            f"{model.directory} cannot be written ({error.strerror}), so nothing is kept; ask its owner to run this"
        ) from error


def _plain(row: Compared) -> dict[str, Any]:
    return asdict(row) | {name: getattr(row, name)._asdict() for name in ("nucleotide", "protein")}

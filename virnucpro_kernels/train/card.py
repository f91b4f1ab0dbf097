"""The model card of a trained model: data, split, figures, recipe and versions, in Markdown."""

import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import average_precision_score, matthews_corrcoef, roc_auc_score

from virnucpro_kernels import __version__
from virnucpro_kernels.pool.provenance import Provenance
from virnucpro_kernels.sequences.arrays import Float64s, Int64s
from virnucpro_kernels.train.drawn import DrawnWindow, GenomeFile
from virnucpro_kernels.train.features import TrainingFrames
from virnucpro_kernels.train.genomes import LABELS, SPLITS
from virnucpro_kernels.train.head import RECIPES, Trained
from virnucpro_kernels.weights.registry import Description, Model


@dataclass(frozen=True)
class Figures:
    """How well scores tell virus from host: number scored, area under the ROC curve, average precision, and at a
    probability of 0.5 accuracy and Matthews correlation coefficient."""

    number: int
    auroc: float
    average_precision: float
    accuracy: float
    mcc: float


@dataclass(frozen=True)
class Measured:
    """Figures of frames, and of windows by the model's own rule."""

    frames: Figures
    windows: Figures


def measure(logit: npt.NDArray[np.float32], labels: Int64s, window: Int64s, *, add_frames: bool) -> Measured:
    """Return the figures of scored frames, (f,) each, in the order of their windows.

    Args:
        logit: Logit of each frame, virus minus other.
        labels: Class of each frame, 0 host or 1 virus.
        window: Window of each frame.
        add_frames: Whether a window's logit is the sum of those of its frames; else it is the mean of the highest and
            the lowest, which has the sign of the original's call.
    """
    values = logit.astype(np.float64)
    _, first = np.unique(window, return_index=True)
    by_window = (
        np.add.reduceat(values, first)
        if add_frames
        else (np.maximum.reduceat(values, first) + np.minimum.reduceat(values, first)) / 2
    )
    return Measured(_figures(labels, values), _figures(labels[first], by_window))


def _figures(labels: Int64s, logit: Float64s) -> Figures:
    called = logit >= 0
    return Figures(
        len(labels),
        float(roc_auc_score(labels, logit)),
        float(average_precision_score(labels, logit)),
        float((called == labels).mean()),
        float(matthews_corrcoef(labels, called)),
    )


def describe_model(
    description: Description,
    base: Model,
    files: Sequence[GenomeFile],
    frames: Mapping[str, TrainingFrames],
    trained: Trained,
    measured: Mapping[str, Measured],
    settings: Mapping[str, Any],
) -> str:
    """Return the model card.

    Args:
        description: The model.
        base: Model that has the encoders.
        files: Sequence files that were read.
        frames: Frames of each side of the split.
        trained: Classifier and losses.
        measured: Figures by side of the split.
        settings: Rule of frames, recipe, seed and device.
    """
    lines = [
        f"# {description.name}",
        "",
        f"A classifier of windows of {description.window_length} bp (layout {description.layout}) into virus and host,"
        f" on the frozen encoders of {base.name}: {base.nucleotide.name} and {base.protein.name}.",
        *(["", f"{base.name} says: {base.notes}"] if base.notes else []),
        *("", "## Figures", "", *_describe_figures(measured)),
        *("", "## Data", "", *_describe_data(files, frames, settings["frames"])),
        *("", "## Training", "", *_describe_training(settings, trained)),
        *("", "## Made by", "", *_describe_versions(base, frames["train"].provenance)),
    ]
    return "\n".join(lines) + "\n"


def _describe_figures(measured: Mapping[str, Measured]) -> list[str]:
    return [
        "The lowest loss on val decided which epoch was kept, so that figures on val are optimistic; test took no part."
        " Windows without a frame are not in these figures. Half of the windows are viral; categories, and groups in"
        " them, are balanced.",
        "",
        *_table(
            ("", "number", "AUROC", "average precision", "accuracy", "MCC"),
            (
                (f"{split}, {unit}", f"{figures.number:,}", *(f"{x:.3f}" for x in list(asdict(figures).values())[1:]))
                for split, of_split in measured.items()
                for unit, figures in (("frames", of_split.frames), ("windows", of_split.windows))
            ),
        ),
    ]


def _describe_data(files: Sequence[GenomeFile], frames: Mapping[str, TrainingFrames], rule: str) -> list[str]:
    return [
        *_table(
            ("split", "class", "windows", "frames", "groups", "categories (windows)"),
            (_size(frames[split], split, label) for split in SPLITS for label in LABELS),
        ),
        "",
        f"Frames: {_RULES[rule]}. No window has an unknown base. No group is on two sides of the split.",
        "",
        *_table(
            ("file", "records", "bytes", "SHA-256"),
            ((f"`{Path(f.file).name}`", f"{f.records:,}", f"{f.bytes:,}", f"`{f.sha256}`") for f in files),
        ),
        "",
        "Groups of val and test (all others were trained on):",
        "",
        *(
            f"- {split}: {', '.join(sorted({window.group for window in frames[split].windows}))}"
            for split in ("val", "test")
        ),
    ]


def _describe_training(settings: Mapping[str, Any], trained: Trained) -> list[str]:
    kept = {"epochs": f"{len(trained.epochs)}, of which number {trained.best} was kept"}
    values = {**settings, **asdict(RECIPES[settings["recipe"]]), **kept}
    return [
        *_table(("setting", "value"), ((name, str(value)) for name, value in values.items())),
        "",
        *_table(
            ("epoch", "loss on train", "loss on val"),
            ((str(n), f"{e.train_loss:.4f}", f"{e.val_loss:.4f}") for n, e in enumerate(trained.epochs, start=1)),
        ),
    ]


def _describe_versions(base: Model, provenance: Provenance) -> list[str]:
    precisions = {record.precision for record in (provenance.nucleotide, provenance.protein) if record}
    return _table(
        ("what", "version or SHA-256"),
        (
            ("virnucpro", __version__),
            ("torch, Python", f"{torch.__version__}, {platform.python_version()}"),
            (f"{base.nucleotide.name}", f"`{base.nucleotide.sha256}`"),
            ("its tokenizer", f"`{base.tokenizer.sha256}`"),
            (f"{base.protein.name}", f"`{base.protein.sha256}`"),
            ("precision of the encoders", ", ".join(sorted(precisions))),
        ),
    )


_RULES = {
    "all": "all that prediction finds in a window",
    "cds": "those inside a coding exon that holds the whole window, on its strand and in its phase",
}


def _size(frames: TrainingFrames, split: str, label: str) -> tuple[str, ...]:
    windows: list[DrawnWindow] = [window for window in frames.windows if window.label == label]
    categories = Counter(window.category for window in windows)
    return (
        split,
        label,
        f"{len(windows):,}",
        f"{int((frames.examples.labels == LABELS.index(label)).sum()):,}",
        f"{len({window.group for window in windows}):,}",
        ", ".join(f"{name} {number:,}" for name, number in sorted(categories.items())),
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(cells).replace("|  |", "| |") + " |" for cells in (header, ["---"] * len(header), *rows)]

"""From features of drawn windows to a model directory: the head trained, measured and described."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from virnucpro_kernels.models.precisions import choose_device
from virnucpro_kernels.pool.file_names import record_name
from virnucpro_kernels.pool.job_record import Job, check_output
from virnucpro_kernels.pool.tsv import Row, read_rows
from virnucpro_kernels.score.classify import logits
from virnucpro_kernels.train.card import Measured, describe_model, measure
from virnucpro_kernels.train.drawn import FILE_LIST, WINDOW_LIST, DrawnWindow, GenomeFile
from virnucpro_kernels.train.features import TrainingFrames, read_training_frames
from virnucpro_kernels.train.genomes import SPLITS
from virnucpro_kernels.train.head import RECIPES, Epoch, Trained, train_classifier
from virnucpro_kernels.weights.directory import NewClassifier, Origin, PresentEncoder, tensors_of, write_model_directory
from virnucpro_kernels.weights.registry import Description, Model

_log = logging.getLogger(__name__)

#: Model card in a model directory.
CARD = "model_card.md"
#: What to do about a damaged list that `draw` left.
_REMEDY = "remove it, and the next start of the training makes it again"


@dataclass(frozen=True)
class FitOptions:
    """What is trained, on what.

    Attributes:
        drawn: Folder of the drawn windows, as `draw` left it.
        pool: Folder of the pool that was made of them.
        encoders: Name of the folder of the features in it.
        base: Model whose encoders made the features, with the window length and layout of the drawn windows.
        frames: Rule by which frames were chosen, `all` or `cds`, for the card.
        recipe: Name of the recipe.
        seed: Seed of the training.
        output: Model directory to write; its name is that of the model.
        checkpoint: File from which an interrupted training goes on; the record of the job lies beside it.
        device: Device, or `auto`.
        threads: Number of CPU threads.
    """

    drawn: Path
    pool: Path
    encoders: str
    base: Model
    frames: str
    recipe: str
    seed: int
    output: Path
    checkpoint: Path
    device: str
    threads: int


def fit(options: FitOptions) -> Model:
    """Train a classifier and write the model directory.

    Raises:
        DamagedFileError: a list of `draw` or the features are damaged, or the features are of other windows.
        UsageError: the model directory is there already.
        VirnucproError: the loss is not finite.
    """
    recipe = RECIPES[options.recipe]
    torch.set_num_threads(options.threads)
    device = choose_device(options.device, gpu_available=torch.cuda.is_available())
    with Job(options.checkpoint.with_name(record_name("fit", options.output.name)), "fit") as job:
        files = _read_list(options.drawn / FILE_LIST, GenomeFile)
        frames = _read_frames(options)
        _log.info("%s", ", ".join(f"{len(part.examples):,} frames for {split}" for split, part in frames.items()))

        def told(number: int, epoch: Epoch) -> None:
            job.facts |= {"epoch": number, "val_loss": round(epoch.val_loss, 4)}
            job.progress(number, recipe.epochs)
            _log.info("epoch %d: loss %.4f, on val %.4f", number, epoch.train_loss, epoch.val_loss)

        trained = train_classifier(
            frames["train"].examples,
            frames["val"].examples,
            recipe,
            options.seed,
            device=device,
            checkpoint=options.checkpoint,
            progress=told,
        )
        measured = {split: _measure(trained, frames[split], options.base) for split in ("val", "test")}
        model = _write(options, files, trained, frames, measured, device)
        options.checkpoint.unlink(missing_ok=True)
    return model


def _read_frames(options: FitOptions) -> dict[str, TrainingFrames]:
    windows = _read_list(options.drawn / WINDOW_LIST, DrawnWindow)
    return {split: read_training_frames(windows, split, options.pool, options.encoders) for split in SPLITS}


def _read_list(path: Path, row_class: type[Row]) -> list[Row]:
    """Return the rows of a list as `draw` wrote it."""
    check_output(path, path.with_name(record_name("draw")), remedy=_REMEDY)
    return read_rows(path, row_class, remedy=_REMEDY)


def _measure(trained: Trained, frames: TrainingFrames, base: Model) -> Measured:
    logit = logits(trained.classifier, frames.examples.features.numpy())
    return measure(logit, frames.examples.labels.numpy(), frames.window, add_frames=base.adds_frames)


def _write(
    options: FitOptions,
    files: Sequence[GenomeFile],
    trained: Trained,
    frames: Mapping[str, TrainingFrames],
    measured: Mapping[str, Measured],
    device: str,
) -> Model:
    base = options.base
    description = Description(
        name=options.output.name,
        window_length=base.window_length,
        layout=base.layout,
        # Encoders that are for trying out make no model for work.
        purpose=base.purpose,
        source=f"classifier trained by virnucpro train on the encoders of {base.name}",
        licence=base.licence,
        notes=f"See {CARD} in its folder for data, figures and versions."
        + f" {base.notes}" * (base.purpose == "trial"),
    )
    settings = {"frames": options.frames, "recipe": options.recipe, "seed": options.seed, "device": device}
    card = describe_model(description, base, files, frames, trained, measured, settings)
    return write_model_directory(
        options.output,
        description,
        nucleotide=PresentEncoder(base, base.nucleotide),
        tokenizer=base.path(base.tokenizer),
        tokenizer_origin=Origin(base.tokenizer.source, base.tokenizer.source_sha256),
        protein=PresentEncoder(base, base.protein),
        classifier=NewClassifier(
            trained.classifier.config,
            tensors_of(trained.classifier, torch.float32),
            Origin(f"virnucpro train, recipe {options.recipe}, seed {options.seed}, epoch {trained.best}"),
        ),
        more={CARD: card},
    )

"""The classify stage: one logit and its two probabilities for each frame, from its features."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.nn import functional

from virnucpro_kernels import __version__
from virnucpro_kernels.errors import DamagedFileError
from virnucpro_kernels.files import atomic_path, remove_leftovers
from virnucpro_kernels.models.classifier import Classifier
from virnucpro_kernels.pool.embedding_file import EmbeddingReader, Vectors
from virnucpro_kernels.pool.file_names import record_name
from virnucpro_kernels.pool.job_record import Job
from virnucpro_kernels.pool.provenance import UNRECORDED, Provenance
from virnucpro_kernels.pool.scores import VALUES
from virnucpro_kernels.weights.load import load_classifier
from virnucpro_kernels.weights.registry import Model
from virnucpro_kernels.weights.site import command_line

#: Frames that are scored at once. The last batch is filled up with zeros, so that a score never depends on the others:
#: with another number of rows the BLAS chooses another kernel, which changes the last digits.
_BATCH = 1024
_ROW_GROUP = 1 << 16

_SCHEMA = pa.schema([("row", pa.int64()), *((name, pa.float32()) for name in VALUES)])


def classify(features: Path, model: Model, output: Path, encoders: str = "", threads: int = 1) -> None:
    """Write the scores of a chunk in row order: row, logit (virus minus other), p_other and p_virus.

    Each thread reads and scores a batch of its own: threads that share a product wait for each other at its end.

    Args:
        features: Features of the chunk, as `merge` writes them.
        model: Model whose window length and encoders must have made them.
        output: Parquet file to write; its metadata says what made it. The record of the job lies beside it.
        encoders: Name of the encoders and the precision that must have made the features; any if empty.
        threads: Number of threads; the scores do not depend on it.

    Raises:
        DamagedFileError: the features are damaged, of other windows or encoders than the model's, or not of `encoders`.
    """
    with Job(output.with_name(record_name("classify", output.stem)), "classify") as job:
        classifier = load_classifier(model)
        remove_leftovers(output)
        with EmbeddingReader(features, encoders) as reader:
            check_features(reader.provenance, model, features)
            rows = reader.rows
            found = np.empty(len(rows), np.float32)
            starts = range(0, len(rows), _BATCH)

            def score(start: int) -> npt.NDArray[np.float32]:
                return logits(classifier, reader.read(start, min(start + _BATCH, len(rows))))

            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                for start, part in zip(starts, pool.map(score, starts), strict=True):
                    found[start : start + len(part)] = part
                    job.progress(start + len(part), len(rows))
        finite = np.isfinite(found)
        if not finite.all():
            raise DamagedFileError(
                f"{model.path(model.classifier)}: the score of row {rows[np.argmin(finite)]} is not finite; check the"
                f" model with `{command_line('weights', 'verify', str(model.directory), models_dir=None)}`"
            )
        made_by = {
            "model_id": model.model_id,
            "model": model.name,
            "window_length": model.window_length,
            "classifier_sha256": model.classifier.sha256,
            "classify_version": __version__,
        }
        metadata = {name: str(value) for name, value in (reader.provenance.attributes() | made_by).items()}
        with atomic_path(output) as temporary:
            table = pa.table([rows, found, *softmax(found).T], schema=_SCHEMA.with_metadata(metadata))
            pq.write_table(table, temporary, row_group_size=_ROW_GROUP, write_page_checksum=True)
        job.wrote(output)
        job.facts |= {"device": "cpu", "model_id": model.model_id}


def check_features(provenance: Provenance, model: Model, path: Path) -> None:
    """Refuse features that `model` was not made for.

    Raises:
        DamagedFileError: the features are of other windows, other encoders or another width; `path` is named.
    """
    model.check_window_length(provenance.window_length, str(path))
    for record, info in ((provenance.nucleotide, model.nucleotide), (provenance.protein, model.protein)):
        if record is None:
            raise DamagedFileError(f"{path} lacks the vectors of {info.name}; give the features that merge writes")
        same = record.encoder == info.name if record.sha256 == UNRECORDED else record.sha256 == info.sha256
        if not same:
            raise DamagedFileError(
                f"{path} has vectors of {record.encoder} ({record.sha256[:8]}), but model {model.name} is for"
                f" {info.name} ({info.sha256[:8]}); embed with the encoders of this model, or choose a model that fits"
            )
    tokenizer = provenance.nucleotide.tokenizer_sha256 if provenance.nucleotide else ""
    if tokenizer not in (model.tokenizer.sha256, UNRECORDED):
        raise DamagedFileError(f"{path}: the tokenizer was not that of model {model.name}; embed with this model")
    if provenance.dimension != model.classifier.dimension:
        raise DamagedFileError(
            f"{path} has {provenance.dimension} values a frame, but the classifier of model {model.name} takes"
            f" {model.classifier.dimension}; embed with the encoders of this model"
        )


@torch.inference_mode()
def logits(classifier: Classifier, vectors: Vectors) -> npt.NDArray[np.float32]:
    """Return the logit of each frame, fp32 (n,): virus minus other.

    Args:
        classifier: Classifier in fp32, on the CPU.
        vectors: Features of the frames, (n, d) float16 or float32.
    """
    found = torch.empty(len(vectors))
    for start in range(0, len(vectors), _BATCH):
        part = torch.from_numpy(vectors[start : start + _BATCH]).float()
        batch = part if len(part) == _BATCH else functional.pad(part, (0, 0, 0, _BATCH - len(part)))
        found[start : start + len(part)] = classifier.logit(batch)[: len(part)]
    return found.numpy()


def softmax(logit: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the original's score1 (other) and score2 (virus), float32 (n, 2), from the difference of its logits (n,).

    The softmax subtracts the larger logit first, so the difference is all it needs. By torch and in fp32, as in the
    original: numpy's exponential differs in the last bit, and where scores round to 1, ties are decided as there.
    """
    difference = torch.from_numpy(logit)
    scores: npt.NDArray[np.float32] = torch.stack([torch.zeros_like(difference), difference], dim=1).softmax(1).numpy()
    return scores

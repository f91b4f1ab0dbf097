"""`virnucpro weights verify --against-original`: the original tool's published vectors and scores, computed again here.

The vectors were made by the original on a CPU and are committed, with the sequences and the scores, in the tests of
the Broad Institute's version. Who has the released weights shows with them that this machine gives the same.
"""

import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt

from virnucpro_kernels.errors import DamagedFileError, UsageError
from virnucpro_kernels.models.similarity import cosines
from virnucpro_kernels.pool.chunk_fasta import Frames
from virnucpro_kernels.pool.embedding_file import Vectors
from virnucpro_kernels.pool.provenance import Alphabet
from virnucpro_kernels.sequences.arrays import SequenceArray
from virnucpro_kernels.tools.frame_scores import ScoredFrames, score_frames, start_device
from virnucpro_kernels.tools.original_embeddings import read_original_embeddings
from virnucpro_kernels.tools.result_files import read_results
from virnucpro_kernels.weights.download import download
from virnucpro_kernels.weights.published import ORIGINAL_VECTORS
from virnucpro_kernels.weights.registry import EncoderInfo, Model

_FRAMES = "output_1.fa"
_VECTORS: dict[Alphabet, str] = {"nucleotide": "output_1_DNABERT_S.pt", "protein": "output_1_ESM.pt"}
_SCORES = "prediction_results.txt"
#: Letters that the original writes, and that ESM-2 knows.
_SEQUENCE = re.compile(rb"[A-IK-Z]+")
_AGAIN = "get the file again"
_INSTEAD = "or get the files on another machine and name their folder with --golden"
#: Window length of the classifier that gave the published scores.
_WINDOW_LENGTH = 500


@dataclass(frozen=True)
class Bounds:
    """What rounding in a precision may change.

    Attributes:
        cosine: Smallest cosine of a vector.
        difference: Largest difference of a value of a vector, in units of the root mean square of all values.
        score: Largest difference of a score.
    """

    cosine: float
    difference: float
    score: float


#: Three times the distance from fair-esm that the tests allow in fp32 with outliers; else as the tests of precisions.
_BOUNDS = {
    "fp32": Bounds(1 - 1e-7, 1e-4, 1e-4),
    "reference": Bounds(1 - 1e-7, 1e-4, 1e-4),
    "fp16": Bounds(0.99999, 0.05, 5e-3),
    "bf16": Bounds(0.999, 0.3, 0.05),
    "fp8-ff": Bounds(0.998, 0.6, 0.2),
    "fp8": Bounds(0.99, 1.5, 0.45),
}


@dataclass(frozen=True, eq=False)
class OriginalResults:
    """What the original published of one set of sequences.

    Attributes:
        name: Name of the set.
        frames: Frames, in the order of the nucleotide file.
        vectors: Vectors of each encoder in this order, float32 (n, d).
        p_virus: The original's score2 of each frame, (n,).
    """

    name: str
    frames: Frames
    vectors: dict[Alphabet, Vectors]
    p_virus: npt.NDArray[np.float64]


def verify_against_original(
    model: Model,
    folder: Path | None,
    say: Callable[[str], object],
    *,
    device: str,
    precision: str,
    threads: int,
) -> None:
    """Embed and score the original's sequences and compare with what it published.

    Args:
        model: Model; its encoders must be the released ones.
        folder: Folder with the published files; None downloads them.
        say: Function that prints a line.
        device: `auto`, `cpu` or `cuda`.
        precision: Precision or `auto`, see `models.precisions`.
        threads: Number of CPU threads.

    Raises:
        DamagedFileError: the results are out of bounds, or a file is damaged.
        UsageError: the model has other encoders, or the folder has no published results.
        VirnucproError: the files cannot be downloaded.
    """
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            _download(Path(temporary))
            sets = read_original_results(Path(temporary))
    else:
        sets = read_original_results(folder)
    encoders: dict[Alphabet, EncoderInfo] = {"nucleotide": model.nucleotide, "protein": model.protein}
    for published, (alphabet, info) in product(sets, encoders.items()):
        width = published.vectors[alphabet].shape[1]
        if width != info.dimension:
            raise UsageError(
                f"model {model.name}: its {alphabet} vectors have {info.dimension} values, the published ones {width};"
                " this comparison is for models with the released encoders"
            )
    on = start_device(device, threads)
    problems: list[str] = []
    for published in sets:
        found = score_frames(model, published.frames, on, precision)
        say(f"{published.name}: {len(published.frames)} frames on {on} in {found.precision}, beside the original's")
        problems += _compare(published, found, model.window_length == _WINDOW_LENGTH, say)
    if problems:
        raise DamagedFileError(
            f"model {model.name} does not give the original's results: {'; '.join(problems)}. Check the machine with"
            " `virnucpro doctor`, and compare with --device cpu --precision fp32"
        )
    say("the same as the original's within the bounds")


def _compare(
    published: OriginalResults, found: ScoredFrames, with_scores: bool, say: Callable[[str], object]
) -> Iterator[str]:
    """Say how near the results are; yield what is out of bounds."""
    bounds = _BOUNDS[found.precision.partition("+")[0]]
    for alphabet, expected in published.vectors.items():
        ours = found.vectors[alphabet]
        near = cosines(ours, expected)
        largest = float(np.abs(ours - expected).max() / np.sqrt(np.mean(expected.astype(np.float64) ** 2)))
        say(
            f"  {alphabet}: cosine {near.worst:.9f} at worst (bound {bounds.cosine:.7f}), centred"
            f" {near.centred_worst:.6f}, largest difference {largest:.1e} of the root mean square (bound"
            f" {bounds.difference:g})"
        )
        if not (near.worst >= bounds.cosine and largest <= bounds.difference):
            yield f"{published.name}: {alphabet} vectors differ (cosine {near.worst:.6f}, by {largest:.1e})"
    if not with_scores:
        say(f"  scores: not compared, because the published ones are those of windows of {_WINDOW_LENGTH} bp")
        return
    for name, theirs, ours in zip(published.frames.ids, published.p_virus, found.p_virus, strict=True):
        same = (theirs > 0.5) == (ours > 0.5) or abs(theirs - 0.5) <= bounds.score
        say(f"  {name}: score2 {theirs:.7f}, here {ours:.7f}, label {'the same' if same else 'another'}")
        if not (abs(theirs - ours) <= bounds.score and same):
            yield f"{name}: score2 is {ours:.6f} instead of {theirs:.6f}"


def _download(folder: Path) -> None:
    for file in ORIGINAL_VECTORS:
        path = folder.joinpath(*file.url.split("/")[-2:])
        path.parent.mkdir(exist_ok=True)
        download(file, file.url, path, instead=_INSTEAD)


def read_original_results(folder: Path) -> list[OriginalResults]:
    """Return the sets `NAME_nucleotide`, `NAME_protein`, `NAME_merged` of a folder, as the original writes them.

    Raises:
        UsageError: there is no complete set.
        DamagedFileError: a file is damaged, or the files of a set are not of the same frames.
    """
    names = [path.name.removesuffix("_nucleotide") for path in sorted(folder.glob("*_nucleotide"))]
    complete = [name for name in names if all(path.is_file() for path in _paths(folder, name))]
    if not complete:
        raise UsageError(
            f"{folder}: no results of the original; a set is NAME_nucleotide/{_VECTORS['nucleotide']},"
            f" NAME_protein/{_VECTORS['protein']}, {_FRAMES} beside both, and NAME_merged/{_SCORES}"
        )
    return [_read_set(folder, name) for name in complete]


def _paths(folder: Path, name: str) -> list[Path]:
    of_encoders = [
        folder / f"{name}_{alphabet}" / file for alphabet, vectors in _VECTORS.items() for file in (_FRAMES, vectors)
    ]
    return [*of_encoders, folder / f"{name}_merged" / _SCORES]


def _read_set(folder: Path, name: str) -> OriginalResults:
    fastas: dict[Alphabet, Path] = {alphabet: folder / f"{name}_{alphabet}" / _FRAMES for alphabet in _VECTORS}
    sequences = {alphabet: _read_fasta(path) for alphabet, path in fastas.items()}
    ids = list(sequences["nucleotide"])
    if sequences["protein"].keys() != set(ids):
        raise DamagedFileError(f"{fastas['protein']}: not the frames of {fastas['nucleotide']}; {_AGAIN}")
    vectors: dict[Alphabet, Vectors] = {}
    for alphabet, file in _VECTORS.items():
        path = folder / f"{name}_{alphabet}" / file
        read = read_original_embeddings(path)
        place = {each: index for index, each in enumerate(read.ids)}
        if read.vector_type != alphabet or place.keys() != set(ids):
            raise DamagedFileError(f"{path}: not the {alphabet} vectors of the frames of {fastas[alphabet]}; {_AGAIN}")
        vectors[alphabet] = read.vectors[[place[each] for each in ids]]
    frames = Frames(
        np.arange(len(ids)),
        ids,
        SequenceArray.from_list([sequences["nucleotide"][each] for each in ids]),
        SequenceArray.from_list([sequences["protein"][each] for each in ids]),
    )
    return OriginalResults(name, frames, vectors, _read_scores(folder / f"{name}_merged" / _SCORES, ids))


def _read_fasta(path: Path) -> dict[str, bytes]:
    """Return the sequences of a FASTA file of the original by their IDs."""
    found: dict[str, bytes] = {}
    try:
        for record in path.read_bytes().split(b">")[1:]:
            header, *lines = record.split()
            found[header.decode()] = b"".join(lines)
    except ValueError as error:
        raise DamagedFileError(f"{path}: an ID is missing or not UTF-8 ({error}); {_AGAIN}") from error
    if not found:
        raise DamagedFileError(f"{path}: it has no sequences; {_AGAIN}")
    for name, sequence in found.items():
        if not _SEQUENCE.fullmatch(sequence):
            raise DamagedFileError(
                f"{path}: the sequence of {name} is empty or has characters that stand for nothing; {_AGAIN}"
            )
    return found


def _read_scores(path: Path, ids: list[str]) -> npt.NDArray[np.float64]:
    """Return the original's score2 of each frame, (n,)."""
    try:
        table = read_results(path).table
    except DamagedFileError as error:
        raise DamagedFileError(f"{error}; {_AGAIN}") from error
    if "p_virus" not in table:
        raise DamagedFileError(f"{path}: it has no column score2; {_AGAIN}")
    if not set(ids) <= set(table.index):
        raise DamagedFileError(
            f"{path}: lacks scores of frames of {path.parent.name.removesuffix('_merged')}; {_AGAIN}"
        )
    scores = table.loc[ids, "p_virus"].to_numpy()
    if not ((scores >= 0) & (scores <= 1)).all():
        raise DamagedFileError(f"{path}: a score2 is no number from 0 to 1; {_AGAIN}")
    return scores

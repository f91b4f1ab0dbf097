"""Import of a finished run of the original tool: its embeddings become ours, and the workflow goes on from there.

The input is split as for any other run, which gives the frames their rows; the original's vectors find theirs by ID.
The vectors stay the same, float32, bit for bit. The original does not record which weights made them, and our files say
so.
"""

import hashlib
import re
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from virnucpro_kernels.errors import DamagedFileError, UsageError
from virnucpro_kernels.pool.chunk_fasta import check_fasta, read_frames
from virnucpro_kernels.pool.embedding_file import EmbeddingWriter, Rows
from virnucpro_kernels.pool.file_names import MANIFEST, WORK, record_name, vector_name
from virnucpro_kernels.pool.geometry import Geometry
from virnucpro_kernels.pool.job_record import Job
from virnucpro_kernels.pool.manifest import Chunk, read_manifest
from virnucpro_kernels.pool.provenance import UNRECORDED, Alphabet, EncoderRecord, Provenance
from virnucpro_kernels.run.config import default, read_config, write_config
from virnucpro_kernels.run.folder import CONFIG, SHEET
from virnucpro_kernels.run.samples import Sample, name_samples, read_sheet, write_sheet
from virnucpro_kernels.sequences.arrays import Int64s, SequenceArray
from virnucpro_kernels.split.split import SplitOptions, split_pool
from virnucpro_kernels.tools.original_embeddings import read_original_embeddings
from virnucpro_kernels.weights.registry import Model, find_model

PRECISION = "original"
#: Encoders that the original always uses, and the names of its files of vectors and frames.
_ENCODERS: Mapping[Alphabet, str] = {"nucleotide": "dnabert-s", "protein": "esm2-3b"}
_VECTORS: Mapping[Alphabet, str] = {"nucleotide": "output_*_DNABERT_S.pt", "protein": "output_*_ESM.pt"}
_FRAMES: Mapping[Alphabet, str] = {"nucleotide": "_identified_nucleotide.fa", "protein": "_identified_protein.faa"}
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class OriginalRun:
    """A run of the original, as its files lie in a folder.

    Attributes:
        name: Beginning of the names of all its files.
        directory: Folder of the files.
        window_length: Window length, from the name of its file of windows.
        input: Sequence file that it was given.
    """

    name: str
    directory: Path
    window_length: int
    input: Path


def import_runs(
    directory: Path,
    output_dir: Path,
    model: str | None,
    models_dir: Path | None,
    inputs: Sequence[str],
    *,
    threads: int,
    say: Callable[[str], object],
) -> None:
    """Take over every finished run in a folder of the original.

    Args:
        directory: Folder in which the original left its files.
        output_dir: Folder of the run that goes on.
        model: Name or folder of the model that will score; None for the released one.
        models_dir: Folder of imported models.
        inputs: `NAME=FILE` of runs whose input does not lie in `directory`.
        threads: Processes that split the input.
        say: Function that prints a line.

    Raises:
        UsageError: there is no run, or an input cannot be used or told.
        DamagedFileError: a file of the original is damaged or does not fit the input or the model.
    """
    named = dict(argument.partition("=")[::2] for argument in inputs)
    for name, path in named.items():
        if not path or not Path(path).is_file():
            raise UsageError(f"--input {name}={path}: must be NAME=FILE, and the file must be there")
    found = find_model(model, models_dir)
    runs = find_runs(directory, {name: Path(path) for name, path in named.items()})
    configure(output_dir, [import_run(run, output_dir, found, threads, say) for run in runs], model, models_dir)
    say(f"go on with: {shlex.join(['virnucpro', 'predict', '--output-dir', str(output_dir)])}")


def find_runs(directory: Path, inputs: Mapping[str, Path]) -> list[OriginalRun]:
    """Return the runs of the original in `directory`, by name.

    Args:
        directory: Folder in which the original wrote `…_nucleotide`, `…_protein` and the files beside them.
        inputs: Input of a run by its name, where it does not lie beside them.

    Raises:
        UsageError: there is no such run, or its window length or input cannot be told.
    """
    names = sorted(path.name.removesuffix("_nucleotide") for path in directory.glob("*_nucleotide/"))
    names = [name for name in names if (directory / f"{name}_protein").is_dir()]
    if not names:
        raise UsageError(f"{directory} has no run of the original, which leaves folders …_nucleotide and …_protein")
    if unknown := sorted(set(inputs) - set(names)):
        raise UsageError(f"{directory} has no run {unknown[0]!r}; there are {', '.join(names)}")
    return [
        OriginalRun(name, directory, _window_length(directory, name), inputs.get(name) or _input(directory, name))
        for name in names
    ]


def _window_length(directory: Path, name: str) -> int:
    pattern = re.compile(re.escape(name) + r"_chunked(\d+)\.fa")
    lengths = [int(match[1]) for path in directory.iterdir() if (match := pattern.fullmatch(path.name))]
    if len(lengths) != 1:
        raise UsageError(
            f"{directory}: {len(lengths) or 'no'} files {name}_chunked….fa, whose name would say the window length"
        )
    return lengths[0]


def _input(directory: Path, name: str) -> Path:
    found = sorted(path for path in directory.iterdir() if path.stem == name and path.is_file())
    if len(found) != 1:
        raise UsageError(
            f"{directory}: {len(found) or 'no'} files that could be the input of run {name}; say which it was:"
            f" --input {name}=FILE"
        )
    return found[0]


def import_run(run: OriginalRun, output_dir: Path, model: Model, threads: int, say: Callable[[str], object]) -> Sample:
    """Split the input of a run into `output_dir`/work and write its embeddings there.

    Args:
        run: Run of the original, see `find_runs`.
        output_dir: Folder of the run of ours that goes on.
        model: Model that will score the vectors; it names the folder of the embeddings.
        threads: Number of processes that split.
        say: Function that prints a line.

    Returns:
        The run as a sample with a pool of its own.

    Raises:
        DamagedFileError: a file is damaged; the run's frames are not those of its input, or not all have both vectors;
            or the model is for other windows or vectors.
        UsageError: the input cannot be used.
    """
    model.check_window_length(run.window_length, str(run.directory))
    (sample,) = name_samples([run.input])
    geometry = Geometry(run.window_length, "original")
    pool = output_dir / WORK / str(geometry) / sample.name
    keys = ("min_length", "duplicate_ids", "chunk_tokens", "min_chunks")
    options = SplitOptions(geometry, **{key: default(key) for key in keys}, threads=threads)
    split_pool([(sample.name, run.input)], pool, options, lambda *_: None)
    chunks = read_manifest(pool / MANIFEST)
    indices = _FrameIndex(pool, chunks)
    embeddings = pool / model.encoders_id(PRECISION)
    widths: dict[Alphabet, int] = {"nucleotide": model.nucleotide.dimension, "protein": model.protein.dimension}
    for alphabet, width in widths.items():
        indices.check_frames(run, alphabet)
        with _gathered(run, alphabet, width, indices, pool) as vectors:
            for chunk, index in zip(chunks, indices.of_chunk, strict=True):
                path = embeddings / vector_name(chunk.chunk, alphabet)
                provenance = _provenance(pool.name, embeddings.name, chunk, alphabet, width)
                _write(path, indices.rows[index], vectors[index], provenance)
    for chunk in chunks:
        facts = {"device": "imported", "precision": PRECISION, "imported_from": str(run.directory / run.name)}
        with Job(embeddings / record_name("embed", chunk.chunk), "embed", facts) as job:
            job.progress(chunk.rows, chunk.rows)
    say(f"{run.name}: {len(indices.rows):,} frames in {embeddings}")
    return Sample(sample.name, run.input.absolute(), sample.name)


class _FrameIndex:
    """Indices of the frames of a pool, counted over all its chunks.

    Attributes:
        rows: Row of each frame in this order, int64 (n,).
        of_chunk: Indices of the frames of each chunk.
    """

    def __init__(self, pool: Path, chunks: list[Chunk]) -> None:
        self._index: dict[str, int] = {}
        self.of_chunk: list[slice] = []
        rows, digests = [np.empty(0, np.int64)], {alphabet: [np.empty(0, np.uint64)] for alphabet in _ENCODERS}
        for chunk in chunks:
            frames = read_frames(*check_fasta(pool / MANIFEST, chunk))
            first = len(self._index)
            self._index |= {name: first + index for index, name in enumerate(frames.ids)}
            self.of_chunk.append(slice(first, first + len(frames)))
            rows.append(frames.rows)
            digests["nucleotide"].append(_digests(frames.nucleotides))
            digests["protein"].append(_digests(frames.proteins))
        self.rows = np.concatenate(rows)
        self._digests = {alphabet: np.concatenate(parts) for alphabet, parts in digests.items()}

    def find(self, path: Path, ids: list[str]) -> Int64s:
        """Return the indices (m,) of the frames that a file names.

        Raises:
            DamagedFileError: the file names a frame that the input does not have, or a frame twice.
        """
        indices = np.fromiter((self._index.get(name, -1) for name in ids), np.int64, len(ids))
        if (indices < 0).any():
            raise DamagedFileError(
                f"{path}: {ids[int(np.argmin(indices))]} is not a frame of the input; was another file's run given?"
            )
        distinct, first = np.unique(indices, return_index=True)
        if len(distinct) < len(indices):
            repeated = np.setdiff1d(np.arange(len(indices)), first)[0]
            raise DamagedFileError(f"{path}: {ids[repeated]} is in it twice")
        return indices

    def check_frames(self, run: OriginalRun, alphabet: Alphabet) -> None:
        """Compare the frames that the original wrote with those of the input.

        Raises:
            DamagedFileError: the frames are not the same.
        """
        path = run.directory / f"{run.name}{_FRAMES[alphabet]}"
        if not path.exists():
            raise DamagedFileError(f"{path} is missing; without it the vectors cannot be told to be of this input")
        lines = path.read_bytes().split(b"\n")
        ids = [line[1:].decode() for line in lines[0::2] if line]
        indices = self.find(path, ids)
        sequences = SequenceArray.from_list(lines[1::2][: len(ids)])
        if len(ids) != len(self._index) or len(sequences) != len(ids):
            raise DamagedFileError(f"{path}: {len(ids):,} frames, but the input has {len(self._index):,}")
        same = self._digests[alphabet][indices] == _digests(sequences)
        if not same.all():
            raise DamagedFileError(f"{path}: {ids[int(np.argmin(same))]} has another sequence than in the input")

    def name(self, index: int) -> str:
        """Return the ID of a frame."""
        return list(self._index)[index]


def _digests(sequences: SequenceArray) -> npt.NDArray[np.uint64]:
    joined = b"".join(hashlib.blake2b(sequence, digest_size=8).digest() for sequence in sequences)
    return np.frombuffer(joined, np.uint64)


@contextmanager
def _gathered(
    run: OriginalRun, alphabet: Alphabet, width: int, indices: _FrameIndex, scratch: Path
) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the vectors (n, width) of all frames in the order of their indices, in a temporary file in `scratch`.

    Raises:
        DamagedFileError: a file is damaged, has vectors of another width, or not all frames have a vector.
    """
    folder = run.directory / f"{run.name}_{alphabet}"
    count = len(indices.rows)
    with tempfile.TemporaryFile(dir=scratch) as file:
        vectors = np.memmap(file, np.float32, "w+", shape=(max(count, 1), width))[:count]
        missing = np.ones(count, bool)
        for path in sorted(folder.glob(_VECTORS[alphabet])):
            content = read_original_embeddings(path)
            if content.vector_type != alphabet or (len(content.ids) and content.vectors.shape[1] != width):
                raise DamagedFileError(
                    f"{path}: {content.vector_type} vectors of {content.vectors.shape[1]} values; the model takes"
                    f" {alphabet} vectors of {width}"
                )
            found = indices.find(path, content.ids)
            if not missing[found].all():
                twice = content.ids[int(np.argmin(missing[found]))]
                raise DamagedFileError(f"{path}: {twice} is in an earlier file of {folder} too")
            vectors[found] = content.vectors
            missing[found] = False
        if missing.any():
            raise DamagedFileError(
                f"{folder}: {int(missing.sum()):,} of {count:,} frames have no vector, one of them"
                f" {indices.name(int(missing.argmax()))}; let the original finish first"
            )
        yield vectors


def _provenance(pool: str, encoders: str, chunk: Chunk, alphabet: Alphabet, width: int) -> Provenance:
    tokenizer = UNRECORDED if alphabet == "nucleotide" else ""
    run = EncoderRecord(_ENCODERS[alphabet], UNRECORDED, width, PRECISION, PRECISION, 0, tokenizer)
    base = Provenance(pool, chunk.chunk, chunk.geometry, encoders, chunk.nucleotide_sha256, chunk.protein_sha256)
    return replace(base, nucleotide=run) if alphabet == "nucleotide" else replace(base, protein=run)


def _write(path: Path, rows: Rows, vectors: npt.NDArray[np.float32], provenance: Provenance) -> None:
    with EmbeddingWriter(path, len(rows), np.float32, provenance) as writer:
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            writer.write(rows[start : start + _ROWS_AT_ONCE], vectors[start : start + _ROWS_AT_ONCE])


def configure(output_dir: Path, new: Sequence[Sample], model: str | None, models_dir: Path | None) -> None:
    """Make `output_dir` a run of the workflow that goes on with what was imported; earlier samples stay.

    Each sample has a pool of its own, into which no other sample may come.
    """
    sheet, config = output_dir / SHEET, output_dir / CONFIG
    names = {sample.name for sample in new}
    old = [sample for sample in read_sheet(sheet) if sample.name not in names] if sheet.exists() else []
    write_sheet(sheet, [*old, *new])
    settings = {"samples": str(SHEET), "layout": "original", "precision": PRECISION}
    if model is not None:
        settings["model"] = str(Path(model).absolute()) if Path(model).is_dir() else model
    if models_dir is not None:
        settings["models_dir"] = str(models_dir.absolute())
    write_config(config, (read_config(config) if config.exists() else {}) | settings)

"""Progress of a run: read from its files, shown as a bar or as lines, with an estimate of the time left.

The files say more than the events of Snakemake, which know nothing of the work inside a job, nor of earlier starts.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Self

from virnucpro_kernels.pool.file_names import GATHERED, MANIFEST, SCORE_SUFFIX, record_name
from virnucpro_kernels.pool.job_record import LINE_EVERY_SECONDS, length_in_words, read_job
from virnucpro_kernels.pool.manifest import Chunk, read_manifest
from virnucpro_kernels.pool.tokens import BASES_PER_PROTEIN_TOKEN
from virnucpro_kernels.run.pools import estimate_bases
from virnucpro_kernels.run.run import Run


@dataclass(frozen=True)
class State:
    """Progress of a run at one moment.

    Attributes:
        samples, samples_done: Number of samples, and of those whose tables are complete; in a sweep, each counts once
            for each setting.
        pools, pools_split: Number of pools, and of those whose chunks are known; in a sweep, pools and chunks count
            once for each set of scores.
        chunks, chunks_done: Number of chunks known so far, and of those that are scored.
        embedded: Number of chunks that are embedded, scored or not.
        tokens: Protein tokens of all pools; estimated from file sizes for pools that are not split yet.
        tokens_done: Protein tokens that are embedded, those of running jobs included.
        bases: Bases of all inputs, estimated from the sizes of the files.
    """

    samples: int
    samples_done: int
    pools: int
    pools_split: int
    chunks: int
    chunks_done: int
    embedded: int
    tokens: int
    tokens_done: int
    bases: int

    @property
    def complete(self) -> bool:
        """Whether the tables of all samples are complete."""
        return self.samples_done == self.samples


class ProgressReader:
    """Reader of the progress of a run. Completed items are cached, so that reading costs a few directory listings."""

    def __init__(self, run: Run, directory: Path) -> None:
        self._run, self._directory = run, directory
        self._pools = run.pools
        self._bases = {
            pool: sum(estimate_bases(path) for sample in samples for path in sample.inputs)
            for pool, samples in self._pools.items()
        }
        self._chunks: dict[Path, tuple[int, list[Chunk]]] = {}

    def read(self) -> State:
        """Return the progress at this moment."""
        split = chunks = done = embedded = tokens = tokens_done = 0
        scorings = self._run.scorings
        for run, pool in product(scorings, self._pools):
            known = self._manifest(run, pool)
            if known is None:
                tokens += self._bases[pool] // BASES_PER_PROTEIN_TOKEN
                continue
            split += 1
            chunks += len(known)
            scores = _listing(self._directory / run.score_dir(pool))
            listing = _listing(self._directory / run.embedding_dir(pool))
            for chunk in known:
                tokens += chunk.protein_tokens
                scored = f"{chunk.chunk}{SCORE_SUFFIX}" in scores
                fraction = float(scored)
                done += scored
                if not scored and record_name("embed", chunk.chunk) in listing:
                    fraction = _fraction(read_job(self._directory / run.record_path("embed", pool, chunk.chunk)))
                embedded += fraction == 1.0
                tokens_done += round(fraction * chunk.protein_tokens)
        settings = self._run.settings
        samples_done = sum(
            self._is_done(run, pool, sample.name)
            for run in settings
            for pool, samples in self._pools.items()
            for sample in samples
        )
        samples, pools = len(settings) * len(self._run.samples), len(scorings) * len(self._pools)
        return State(
            *(samples, samples_done, pools, split, chunks, done, embedded, tokens, tokens_done),
            bases=sum(self._bases.values()),
        )

    def _is_done(self, run: Run, pool: str, sample: str) -> bool:
        """Whether a sample has all of its tables, made from scores of the run's model."""
        gathered = run.score_dir(pool) / GATHERED
        return all((self._directory / path).exists() for path in (gathered, *run.result_paths(sample)))

    def _manifest(self, run: Run, pool: str) -> list[Chunk] | None:
        path = self._directory / run.split_dir(pool) / MANIFEST
        try:
            changed = path.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        if path not in self._chunks or self._chunks[path][0] != changed:
            self._chunks[path] = changed, read_manifest(path)
        return self._chunks[path][1]


def _fraction(record: dict[str, object]) -> float:
    """Return the fraction of an embedding job's work that is done: 1 only where the job is complete."""
    match record:
        case {"state": "complete"}:
            return 1.0
        case {"state": "running", "done": int(done), "total": int(total)} if total:
            return min(done / total, 0.999)
    return 0.0


def _listing(folder: Path) -> set[str]:
    try:
        return {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        return set()


def describe(state: State, left: str) -> str:
    """Return how far a run is, in at most 80 columns; `left` is the time left in words."""
    percent = 100 * state.tokens_done / state.tokens if state.tokens else 100.0
    if state.complete:
        left = "done"
    elif state.tokens_done >= state.tokens and state.pools_split == state.pools:
        left = "writing tables"
    split = state.pools_split == state.pools
    units = f"{state.chunks_done}/{state.chunks} chunks" if split else f"{state.pools_split}/{state.pools} pools split"
    size = length_in_words(state.bases)
    return f"{percent:.0f} % of {size}, {left}; {units}, {state.samples_done}/{state.samples} samples"


class Lines:
    """Lines of text: one at the start, one at the end, and one in each half minute in which something was finished."""

    def __init__(self, write: Callable[[str], None], now: Callable[[], float] = time.monotonic) -> None:
        self._write, self._now = write, now
        self._last: tuple[float, State] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, state: State, left: str) -> None:
        """Write a line if it is time to."""
        if self._last is not None:
            since, shown = self._last
            if state == shown or (self._now() - since < LINE_EVERY_SECONDS and not state.complete):
                return
        self._last = self._now(), state
        self._write(describe(state, left))


class Bar:
    """Bar on standard error, for a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=Console(file=sys.stderr),
            transient=True,
        )
        self._task = self._progress.add_task("starting", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, state: State, left: str) -> None:
        """Update the bar."""
        self._progress.update(
            self._task,
            total=max(state.tokens, 1),
            completed=state.tokens_done,
            description=describe(state, left).partition(";")[0],
        )

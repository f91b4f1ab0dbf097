"""The last stage: the scores of a sample's frames become its tables, its viral sequences and the record of its run."""

import os
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from virnucpro_kernels.errors import DamagedFileError, UsageError
from virnucpro_kernels.pool import file_names
from virnucpro_kernels.pool.geometry import Geometry
from virnucpro_kernels.pool.job_record import Job, check_output, write_record
from virnucpro_kernels.pool.manifest import read_manifest
from virnucpro_kernels.pool.unusable import refuse_unusable
from virnucpro_kernels.score.discoveries import Discoveries
from virnucpro_kernels.score.lanes import Lanes
from virnucpro_kernels.score.original_tables import OriginalFiles, OriginalFormat
from virnucpro_kernels.score.region_files import RegionFiles
from virnucpro_kernels.score.regions import Regions, find_regions
from virnucpro_kernels.score.rule import Rule
from virnucpro_kernels.score.run_record import describe_run, model_label
from virnucpro_kernels.score.sample_reader import ContigBatch, Sources, read_contig_batches
from virnucpro_kernels.score.scoring import CALLS, TIERS, ContigScores, Evidence, score_contigs, score_windows
from virnucpro_kernels.score.tables import Tables, words
from virnucpro_kernels.score.thresholds import Thresholds
from virnucpro_kernels.score.viral_fasta import ViralFiles
from virnucpro_kernels.score.viral_reads import ReadFiles, wants_reads, write_reads
from virnucpro_kernels.weights.registry import Model


@dataclass
class Summary:
    """Counts of a sample, gathered batch by batch."""

    bases: int = 0
    windows: int = 0
    scored_windows: int = 0
    viral_bases: int = 0
    regions: int = 0
    region_bases: int = 0
    frames: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    tiers: Counter[str] = field(default_factory=Counter)

    def add(self, batch: ContigBatch, contigs: ContigScores, regions: Regions) -> None:
        """Add the counts of a batch."""
        self.bases += int(batch.length.sum())
        self.windows += len(batch.mask)
        self.scored_windows += int(contigs.scored_windows.sum())
        self.frames += len(batch.logit)
        self.viral_bases += int(batch.length[contigs.tier >= 0].sum())
        self.regions += len(regions)
        self.region_bases += int((regions.end - regions.start).sum())
        calls, tiers = words(CALLS, contigs.call), words(TIERS, contigs.tier).drop_null()
        for texts, tally in ((batch.status, self.statuses), (calls, self.calls), (tiers, self.tiers)):
            tally.update({value["values"]: value["counts"] for value in pc.value_counts(texts).to_pylist()})

    @property
    def contigs(self) -> int:
        """Number of contigs."""
        return sum(self.statuses.values())

    def counts(self) -> dict[str, Any]:
        """Return the counts as they stand in `run.json`."""
        return {
            "contigs": self.contigs,
            "bases": self.bases,
            "windows": self.windows,
            "scored_windows": self.scored_windows,
            "frames": self.frames,
            "viral_bases": self.viral_bases,
            "regions": self.regions,
            "region_bases": self.region_bases,
            "status": dict(sorted(self.statuses.items())),
            "call": {call: self.calls[call] for call in CALLS},
            "tier": {tier: self.tiers[tier] for tier in TIERS},
        }

    def describe(self) -> str:
        """Return what was found, in one line for people."""
        statuses = ", ".join(f"{count:,} {status}" for status, count in sorted(self.statuses.items())) or "none"
        tiers = ", ".join(f"{self.tiers[tier]:,} {tier}" for tier in reversed(TIERS))
        uncalled = self.statuses["scored"] - self.calls["viral"] - self.calls["host"]
        doubt = f"; {uncalled:,} with too little evidence for a call" * bool(uncalled)
        return f"{self.contigs:,} contigs ({statuses}); {self.calls['viral']:,} viral ({tiers}){doubt}"


def collect(
    sources: Sources,
    *,
    sample: str,
    model: Model,
    output_dir: Path,
    thresholds: Thresholds,
    original_files: OriginalFormat,
    reads: ReadFiles = "none",
    threads: int = 1,
) -> Summary:
    """Write all files of one sample, `run.json` last; files of an earlier run stay until the new ones are complete.

    The files do not depend on the number of threads.

    Raises:
        DamagedFileError: see `read_contig_batches`; or the windows are not of the model's length.
        UsageError: the sample was left out when its pool was split, or its input has changed since; or a false
            discovery rate is asked of a model that is not calibrated.
    """
    clock = time.monotonic()
    with ExitStack() as exits:
        job = Job(output_dir / file_names.record_name("collect"), "collect")
        try:
            refuse_unusable(sources.manifest, sample, sources.inputs)  # which leaves no folder
        except (DamagedFileError, UsageError) as error:
            if isinstance(error, DamagedFileError) or job.path.exists():
                with job:  # its record says why, and no longer that an earlier one was complete
                    raise
            raise
        exits.enter_context(job)
        for table in (sources.contigs, sources.windows):
            check_output(table, sources.manifest.with_name(file_names.record_name("split")))
        chunks = read_manifest(sources.manifest)
        for geometry in sorted({chunk.geometry for chunk in chunks}):
            model.check_window_length(Geometry.parse(geometry).window_length, str(sources.manifest))
        batches = partial(read_contig_batches, sources, chunks, sample=sample, model_id=model.model_id)
        with _publishing(output_dir) as directory:
            rule = Rule.of(model, thresholds)
            if thresholds.fdr is not None:
                rule = replace(rule, discoveries=_find_discoveries(batches(), rule, model, thresholds.fdr))
            label = model_label(model, chunks[0].geometry if chunks else None)
            summary = Summary()
            evidence: list[Evidence] | None = [] if wants_reads(sources, reads) else None
            with ExitStack() as stack:
                writers = _Writers(directory, sources, sample, rule, label, original_files, threads, stack)
                for batch in batches():
                    contigs, regions = writers.add(batch)
                    summary.add(batch, contigs, regions)
                    if evidence is not None:
                        evidence.append(contigs.evidence.compact())
                    job.progress(summary.frames, total=sum(chunk.rows for chunk in chunks))
                writers.finish()
            counts = summary.counts()
            if evidence is not None:
                counts["reads"] = write_reads(directory, sources, sample, Evidence.joined(evidence), reads, rule)
            job.facts |= counts
            record = describe_run(
                *(sample, model, sources, chunks),
                parameters={
                    "thresholds": asdict(thresholds),
                    **({"viral_share": rule.discoveries.viral_share} if rule.discoveries else {}),
                    "original_files": original_files,
                    "reads": reads,
                },
                counts=counts,
                results=sorted(directory.iterdir()),
                seconds=time.monotonic() - clock,
                threads=threads,
            )
            write_record(directory / file_names.RUN_RECORD, record)
    return summary


def _find_discoveries(batches: Iterable[ContigBatch], rule: Rule, model: Model, fdr: float) -> Discoveries:
    """Return the discoveries among the contigs of a sample that have enough evidence for a call."""
    prior = model.calibrated().prior
    found = [np.empty(0)]
    for batch in batches:
        evidence = score_contigs(batch, score_windows(batch, rule), rule).evidence
        found.append(evidence.log_odds(rule)[evidence.enough(rule)])
    return Discoveries.of(np.concatenate(found), prior, fdr)


class _Writers:
    """The files of a sample, each written in a lane of its own, and scores and regions, from which they follow."""

    def __init__(
        self,
        directory: Path,
        sources: Sources,
        sample: str,
        rule: Rule,
        label: str,
        original_files: OriginalFormat,
        threads: int,
        stack: ExitStack,
    ) -> None:
        """Open the files, which `stack` closes."""
        self._rule = rule
        self._tables = stack.enter_context(
            Tables(directory, sample=sample, model=label, window_length=rule.window_length)
        )
        self._regions = stack.enter_context(RegionFiles(directory, sample=sample, model=label))
        self._viral = stack.enter_context(ViralFiles(directory, sources, sample, label)) if sources.inputs else None
        self._original = (
            None if original_files == "none" else stack.enter_context(OriginalFiles(directory, original_files))
        )
        self._lanes = stack.enter_context(Lanes(threads))  # the first to be closed: the files are still open then

    def add(self, batch: ContigBatch) -> tuple[ContigScores, Regions]:
        """Append a batch, perhaps not at once; return its scores and regions."""
        windows = score_windows(batch, self._rule)
        contigs = score_contigs(batch, windows, self._rule)
        regions = find_regions(batch, windows, contigs, self._rule)
        rows, run = self._tables.rows(batch, windows, contigs), self._lanes.run
        # Neighbours of the same number share a thread, so that the longest ones are told apart first.
        if self._viral:
            run(0, self._viral.add, batch, contigs, regions)
        run(1, self._tables.add_frames, rows)
        run(2, self._tables.add_contigs, rows)
        if self._original:
            run(3, self._original.add, batch, windows)
        run(4, self._tables.add_windows, rows)
        run(5, self._regions.add_scores, rows)
        run(6, self._regions.add_regions, batch, contigs, regions)
        return contigs, regions

    def finish(self) -> None:
        """Append what follows the last batch, and wait for all of it."""
        if self._viral:
            self._lanes.run(0, self._viral.finish)
        if self._original:
            self._lanes.run(3, self._original.finish)
        self._lanes.wait()


@contextmanager
def _publishing(output_dir: Path) -> Iterator[Path]:
    """Yield a folder for new files; when the `with` block ends without an error, they replace those of `output_dir`.

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
        read_files = (name for names in file_names.READ_FILES.values() for name in names)
        for name in (file_names.RUN_RECORD, *file_names.RESULT_TABLES, *file_names.ORIGINAL_FILES, *read_files):
            (output_dir / name).unlink(missing_ok=True)
        for path in sorted(directory.iterdir(), key=lambda path: path.name == file_names.RUN_RECORD):
            path.replace(output_dir / path.name)
    finally:
        shutil.rmtree(directory, ignore_errors=True)

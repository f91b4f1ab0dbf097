"""Contigs or regions of a finished run by score, length, tier and call, as a table, FASTA or BED."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.pool.file_names import CONTIG_TABLE, REGION_FASTA, REGION_TABLE, RUN_RECORD, VIRAL_FASTA
from virnucpro_kernels.pool.job_record import checked_result, read_record
from virnucpro_kernels.score.region_files import REGION_COLUMNS, bed_lines
from virnucpro_kernels.score.tables import CONTIG_COLUMNS, lines, quoted
from virnucpro_kernels.score.viral_fasta import fasta_entry
from virnucpro_kernels.sequences.arrays import Bools
from virnucpro_kernels.sequences.records import Record, read_records
from virnucpro_kernels.tools.result_rows import numbers, read_rows, result_folders

Form = Literal["tsv", "fasta", "bed"]


@dataclass(frozen=True)
class Wanted:
    """What is selected: rows that fulfil all of these.

    Attributes:
        regions: Whether the rows are regions and not contigs.
        min_p, max_p: Limits of p_virus; a row without a score is outside of all but the widest.
        min_length, max_length: Limits of the length in bases.
        tiers: Tiers; all without any.
        calls: Calls of contigs, or of the regions' contigs; all without any.
    """

    regions: bool = False
    min_p: float = 0.0
    max_p: float = 1.0
    min_length: int = 0
    max_length: int | None = None
    tiers: Sequence[str] = ()
    calls: Sequence[str] = ()

    @property
    def only_viral(self) -> bool:
        """Whether all rows are in the files of viral sequences."""
        return self.regions or bool(self.tiers) or set(self.calls) == {"viral"}

    def rows(self, batch: pa.RecordBatch) -> Bools:
        """Return which rows of a batch are wanted, bool (n,)."""
        p_virus, length = numbers(batch["p_virus"]), numbers(batch["length"])
        unlimited = (self.min_p, self.max_p) == (0.0, 1.0)
        wanted = ((p_virus >= self.min_p) & (p_virus <= self.max_p)) | (np.isnan(p_virus) & unlimited)
        wanted &= length >= self.min_length
        if self.max_length is not None:
            wanted &= length <= self.max_length
        for column, values in (("tier", self.tiers), ("contig_call" if self.regions else "call", self.calls)):
            if values:
                wanted &= pc.is_in(batch[column], pa.array(list(values))).to_numpy(zero_copy_only=False)
        return wanted


def select(directory: Path, wanted: Wanted, form: Form, output: IO[bytes], samples: Sequence[str] = ()) -> int:
    """Write what is wanted of a run's samples; return the number of contigs or regions.

    Args:
        directory: Folder of a run, of its results, or of those of a sample.
        wanted: What is wanted.
        form: Form of the output. A table has one header, whatever the number of samples.
        output: File to write.
        samples: Names of the samples; all without any.

    Raises:
        UsageError: there are no such results, or the sequences are to be read from an input file that has changed.
        DamagedFileError: a file of the results is damaged.
    """
    name, columns = (REGION_TABLE, REGION_COLUMNS) if wanted.regions else (CONTIG_TABLE, CONTIG_COLUMNS)
    folders = result_folders(directory, samples).values()
    if form == "tsv":
        output.write(("\t".join(columns) + "\n").encode())
    count = 0
    for folder in folders:
        sequences = _sequences(folder, wanted) if form == "fasta" else iter(())
        for batch in read_rows(checked_result(folder / name), list(columns)):
            if wanted.only_viral and not wanted.regions:  # as in the file of the sequences
                batch = batch.filter(pc.equal(batch["call"], "viral"))
            chosen = wanted.rows(batch)
            count += int(chosen.sum())
            if form == "fasta":
                output.writelines(_fasta(batch, chosen, sequences, wanted, folder))
                continue
            rows = batch.filter(pa.array(chosen))
            if form == "tsv":
                output.write(lines([quoted(rows[column]) for column in columns]))
            elif rows.num_rows:
                output.write(_bed(rows, regions=wanted.regions))
    return count


def _bed(rows: pa.RecordBatch, *, regions: bool) -> memoryview:
    """Return contigs or regions in BED; what has no score has the lowest."""
    end = numbers(rows["end" if regions else "length"]).astype(np.int64)
    start = numbers(rows["start"]).astype(np.int64) if regions else np.zeros(len(end), np.int64)
    return bed_lines(rows["contig"], start, end, np.nan_to_num(numbers(rows["p_virus"])))


def _sequences(folder: Path, wanted: Wanted) -> Iterator[Record]:
    """Yield the sequences of all rows in order: those of the results where they have them all, else the input's."""
    if wanted.only_viral:
        return read_records(checked_result(folder / (REGION_FASTA if wanted.regions else VIRAL_FASTA)))
    return chain.from_iterable(map(read_records, (_found(Path(path), folder) for path in _inputs(folder))))


def _inputs(folder: Path) -> list[str]:
    return [source["path"] for source in read_record(folder / RUN_RECORD)["inputs"]]


def _found(path: Path, folder: Path) -> Path:
    """Return where an input of a run is; a relative path is relative to the folder of the run, above the results."""
    for base in folder.resolve().parents:
        if (base / path).is_file():
            return base / path
    raise UsageError(
        f"{path}: the input of the run is gone; only viral contigs (--call viral) and --regions come without it"
    )


def _fasta(
    batch: pa.RecordBatch, chosen: Bools, sequences: Iterator[Record], wanted: Wanted, folder: Path
) -> Iterator[bytes]:
    """Yield the chosen rows of a batch, each of which has a record in `sequences`."""
    columns = (batch[name].to_pylist() for name in ("length", "contig", "p_virus", "tier", "model"))
    for keep, length, contig, p_virus, tier, model in zip(chosen.tolist(), *columns, strict=True):
        record = next(sequences, None)
        if record is None or len(record.sequence) != int(length):
            raise UsageError(f"{folder}: the sequences are not those of its tables; the input has changed since")
        if not keep:
            continue
        name = record.contig if wanted.only_viral else f"{contig} p_virus={p_virus} tier={tier} model={model}"
        yield fasta_entry(f"{name} {record.description}", record.sequence)

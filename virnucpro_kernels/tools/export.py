"""Results of a finished run in the forms that other tools read."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from virnucpro_kernels import __version__
from virnucpro_kernels.files import atomic_path
from virnucpro_kernels.pool.file_names import CONTIG_TABLE, RUN_RECORD, VIRAL_FASTA
from virnucpro_kernels.pool.job_record import checked_result, read_record
from virnucpro_kernels.score.tables import CONTIG_COLUMNS, lines, quoted, words
from virnucpro_kernels.score.viral_fasta import fasta_entry
from virnucpro_kernels.sequences.records import read_records
from virnucpro_kernels.tools.result_rows import read_rows, result_folders

#: Columns of the map from the clean names of sequences to our tables.
NAME_COLUMNS = ("name", "sample", "contig", "length", "p_virus", "tier")
#: Columns and classes of anvi'o's contig-classification-txt; host is whatever is no virus, so it has no class there.
ANVIO_COLUMNS = ("contig", "class", "source", "tool_classification", "confidence")
_ANVIO_CLASSES = {"viral": "2", "host": "5", "none": "5"}
#: Rows of a report in the style of Kraken: level, taxon of the NCBI taxonomy and name of each call, below the root.
_TAXA = {"viral": ("D", 10239, "Viruses"), "host": ("R1", 131567, "cellular organisms")}
#: Rows of the table of counts: calls, those of viral contigs by tier.
OBSERVATIONS = ("virus_high", "virus_medium", "virus_low", "host", "no_call")


def export(directory: Path, form: str, output: Path) -> list[Path]:
    """Write the results of a run into the folder `output` in a form of `FORMS`; return the files.

    Raises:
        UsageError: there are no results.
        DamagedFileError: a file of the results is damaged.
    """
    folders = result_folders(directory)
    output.mkdir(parents=True, exist_ok=True)
    return list(FORMS[form](folders, output))


def _clean_fasta(folders: Mapping[str, Path], output: Path) -> Iterator[Path]:
    """Write the viral contigs of all samples under names of letters and digits, and a table of these names."""
    fasta, names = output / "viral.fna", output / "names.tsv"
    with ExitStack() as exits:
        sequences, rows = (exits.enter_context(exits.enter_context(atomic_path(p)).open("wb")) for p in (fasta, names))
        rows.write(("\t".join(NAME_COLUMNS) + "\n").encode())
        number = 0
        for folder in folders.values():
            records = read_records(checked_result(folder / VIRAL_FASTA))
            for batch in _contigs(folder):
                viral = batch.filter(pc.equal(batch["call"], "viral"))
                clean = [f"virus_{number + place:07d}" for place in range(1, viral.num_rows + 1)]
                number += len(clean)
                sequences.writelines(fasta_entry(name, next(records).sequence) for name in clean)
                rows.write(lines([pa.array(clean, pa.string()), *(quoted(viral[name]) for name in NAME_COLUMNS[1:])]))
    yield from (fasta, names)


def _anvio(folders: Mapping[str, Path], output: Path) -> Iterator[Path]:
    """Write a contig-classification-txt for each sample."""
    for name, folder in folders.items():
        path = output / f"{name}.anvio.txt"
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            file.write(("\t".join(ANVIO_COLUMNS) + "\n").encode())
            for batch in _contigs(folder):
                calls = pc.index_in(batch["call"], pa.array(list(_ANVIO_CLASSES)))
                classes = words(list(_ANVIO_CLASSES.values()), np.asarray(calls))
                file.write(lines([batch["contig"], classes, "virnucpro", batch["call"], batch["p_virus"]]))
        yield path


def _kraken(folders: Mapping[str, Path], output: Path) -> Iterator[Path]:
    """Write a report in the style of Kraken for each sample: how many contigs are viral, host, unclassified."""
    for name, folder in folders.items():
        counts = read_record(folder / RUN_RECORD)["counts"]
        total, calls = counts["contigs"], counts["call"]
        classified = total - calls["none"]
        rows = [(calls["none"], calls["none"], "U", 0, "unclassified"), (classified, 0, "R", 1, "root")]
        rows += [(calls[call], calls[call], rank, taxon, f"  {label}") for call, (rank, taxon, label) in _TAXA.items()]
        path = output / f"{name}.kreport.txt"
        with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            for below, own, rank, taxon, label in rows:
                percent = 100 * below / total if total else 0
                file.write(f"{percent:6.2f}\t{below}\t{own}\t{rank}\t{taxon}\t{label}\n")
        yield path


def _biom(folders: Mapping[str, Path], output: Path) -> Iterator[Path]:
    """Write a BIOM 1.0 table: contigs by call, and viral ones by tier, for each sample."""
    records = [read_record(folder / RUN_RECORD) for folder in folders.values()]
    rows = [_observed(record["counts"]) for record in records]
    table = {
        "id": None,
        "format": "Biological Observation Matrix 1.0.0",
        "format_url": "http://biom-format.org",
        "type": "Taxon table",
        "generated_by": f"virnucpro {__version__}",
        "date": max(record["finished"] for record in records).removesuffix("+00:00"),
        "rows": [{"id": name, "metadata": None} for name in OBSERVATIONS],
        "columns": [
            {"id": name, "metadata": {"model": record["model"]["label"]}}
            for name, record in zip(folders, records, strict=True)
        ],
        "matrix_type": "dense",
        "matrix_element_type": "int",
        "shape": [len(OBSERVATIONS), len(folders)],
        "data": [list(counts) for counts in zip(*rows, strict=True)],
    }
    path = output / "viral.biom"
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    yield path


def _xlsx(folders: Mapping[str, Path], output: Path) -> Iterator[Path]:
    """Write a workbook with the contigs and the regions of all samples."""
    from virnucpro_kernels.tools.spreadsheet import write_workbook

    path = output / "results.xlsx"
    write_workbook(list(folders.values()), path)
    yield path


def _observed(counts: dict[str, Any]) -> list[int]:
    """Return the number of contigs of each of `OBSERVATIONS`."""
    tiers, calls = counts["tier"], counts["call"]
    return [tiers["high"], tiers["medium"], tiers["low"], calls["host"], calls["none"]]


def _contigs(folder: Path) -> Iterator[pa.RecordBatch]:
    return read_rows(checked_result(folder / CONTIG_TABLE), list(CONTIG_COLUMNS))


FORMS: dict[str, Callable[[Mapping[str, Path], Path], Iterator[Path]]] = {
    "fasta": _clean_fasta,
    "anvio": _anvio,
    "kraken": _kraken,
    "biom": _biom,
    "xlsx": _xlsx,
}

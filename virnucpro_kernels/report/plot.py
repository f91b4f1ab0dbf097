"""Tracks of chosen contigs as picture files, for papers and slides."""

import re
from collections.abc import Collection, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Literal

import altair as alt
import pyarrow as pa
import pyarrow.compute as pc

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.report.palette import LIGHT
from virnucpro_kernels.report.regions import read_regions
from virnucpro_kernels.report.render import write_figure
from virnucpro_kernels.report.samples import SampleResults, find_samples, results_folder
from virnucpro_kernels.report.tables import read_table
from virnucpro_kernels.report.track_figure import track_figure
from virnucpro_kernels.report.tracks import read_tracks

_CONTIG_TYPES = {
    **dict.fromkeys(("contig", "call", "tier", "status"), pa.string()),
    "length": pa.int64(),
    "p_virus": pa.float64(),
}
_LISTED = 5
#: Characters that are replaced in the names of files.
_NOT_IN_NAMES = re.compile(r"[^\w.-]+")
#: Bytes of a file's name, without number, suffix and the start of a temporary name; file systems take 255.
_NAME_BYTES = 200


def plot_tracks(
    directory: Path,
    contigs: Sequence[str],
    *,
    samples: Sequence[str] = (),
    output_dir: Path,
    suffix: Literal["png", "svg"] = "svg",
) -> list[Path]:
    """Draw the tracks of contigs, each to a file of its own; return the files.

    Args:
        directory: Folder of a run, or of its results.
        contigs: Names of contigs. One that several samples have is drawn for each that has a score for it.
        samples: Samples in which to look for them; without any, all that are complete.
        output_dir: Folder for the files, `{sample}.{contig}.{suffix}`, with a hyphen for what a name cannot have. A
            name is cut where it is too long, and numbered where an earlier picture has it.
        suffix: Format of the files.

    Raises:
        DamagedFileError: a table or a record is damaged.
        FileNotFoundError: a table is missing.
        UsageError: there are no results, no sample has a contig of such a name, or none has a score for one.
    """
    results = results_folder(directory)
    found = [(sample, row) for sample in find_samples(results, samples) for row in _contig_rows(sample, contigs)]
    names = {row["contig"] for _, row in found}
    if missing := [name for name in contigs if name not in names]:
        more = f" and {len(missing) - _LISTED} more" * (len(missing) > _LISTED)
        raise UsageError(f"{results}: no contig {', '.join(missing[:_LISTED])}{more}; contigs.tsv has the names")
    scored = [(sample, row) for sample, row in found if row["p_virus"] is not None]
    names = {row["contig"] for _, row in scored}
    for sample, row in found:
        if row["contig"] not in names:
            raise UsageError(f"{row['contig']} of sample {sample.name} has no score ({row['status']}), so no track")
    paths: list[Path] = []
    for sample in {sample.name: sample for sample, _ in scored}.values():
        for name, figure in _tracks(sample, [row for one, row in scored if one is sample]):
            paths.append(_free_path(output_dir, f"{sample.name}.{name}", suffix, paths))
            write_figure(figure, paths[-1])
    return paths


def _free_path(folder: Path, name: str, suffix: str, taken: Collection[Path]) -> Path:
    """Return a path with a name that a file can have, numbered where that is among `taken`."""
    stem = _NOT_IN_NAMES.sub("-", name).encode()[:_NAME_BYTES].decode(errors="ignore")
    candidates = (folder / f"{stem}{f'-{number}' * (number > 1)}.{suffix}" for number in count(1))
    return next(path for path in candidates if path not in taken)


def _tracks(sample: SampleResults, rows: Sequence[dict[str, Any]]) -> Iterator[tuple[str, alt.TopLevelMixin]]:
    """Yield the name and the track of contigs of one sample."""
    names = [row["contig"] for row in rows]
    windows, regions = read_tracks(sample.windows, names), read_regions(sample.regions, names)
    for row in rows:
        name, tier = row["contig"], row["tier"]
        facts = [f"sample {sample.name}", f"{row['length']:,} bp", row["call"] if row["call"] != "none" else "no call"]
        facts += [f"tier {tier}"] * (tier != "NA") + [f"p_virus {row['p_virus']:.4f}"]
        yield (
            name,
            track_figure(
                sample.thresholds,
                LIGHT,
                row["length"],
                {"windows": windows[name].to_pylist(), "regions": regions[name]},
                title=alt.TitleParams(name, subtitle=" · ".join(facts)),
            ),
        )


def _contig_rows(sample: SampleResults, contigs: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of those of the contigs that a sample has, in the order of its table."""
    wanted = pa.array(contigs, pa.string())
    tables = (table.filter(pc.is_in(table["contig"], wanted)) for table in read_table(sample.contigs, _CONTIG_TYPES))
    return [row for table in tables for row in table.to_pylist()]

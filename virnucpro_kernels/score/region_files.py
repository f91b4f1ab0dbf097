"""Viral regions as files, a batch of contigs at a time: a table, BED and GFF3, and p_virus along the contigs.

Formats: [BED](https://samtools.github.io/hts-specs/BEDv1.pdf), [bedGraph](https://genome.ucsc.edu/goldenPath/help/bedgraph.html),
[GFF3](https://github.com/The-Sequence-Ontology/Specifications/blob/master/gff3.md).
"""

import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from virnucpro_kernels.pool.file_names import REGION_BED, REGION_GFF, REGION_TABLE, SCORE_TRACK
from virnucpro_kernels.score.regions import POSITIONS, Regions
from virnucpro_kernels.score.sample_reader import ContigBatch
from virnucpro_kernels.score.scoring import CALLS, TIERS, ContigScores
from virnucpro_kernels.score.tables import (
    FAST_LEVEL,
    Rows,
    decimals,
    deterministic_gzip,
    integers,
    lines,
    quoted,
    words,
)
from virnucpro_kernels.sequences.arrays import Float64s, Int64s

_BED_BEST = 1000
#: Term SO:0001041 of the Sequence Ontology.
_GFF_TYPE = "viral_sequence"
#: Characters that GFF3 allows in the name of a sequence beside letters and digits; others are written as in a URL.
_GFF_SAFE = ".:^*$@!+_?|-"


@dataclass(frozen=True)
class _Rows:
    """Regions of a batch, from which the rows of the files are made.

    Attributes:
        batch: Contigs.
        contigs: Their scores.
        regions: Regions in them.
        sample: Name of the sample.
        model: Text of the column `model`.
    """

    batch: ContigBatch
    contigs: ContigScores
    regions: Regions
    sample: str
    model: str

    @cached_property
    def contig(self) -> pa.Array:
        """ID of each region's contig, string (r,)."""
        return self.batch.contig.take(pa.array(self.regions.contig))

    @cached_property
    def contig_length(self) -> pa.Array:
        """Length of each region's contig as text, (r,)."""
        return integers(self.batch.length[self.regions.contig])

    @cached_property
    def first(self) -> pa.Array:
        """First base of each region, counted from 1, as text, (r,)."""
        return integers(self.regions.start + 1)

    @cached_property
    def end(self) -> pa.Array:
        """Last base of each region, counted from 1, or the one after it, counted from 0, as text, (r,)."""
        return integers(self.regions.end)

    @cached_property
    def place(self) -> pa.Array:
        """First and last base of each region, counted from 1, as in `3501-7200`, (r,)."""
        return _joined(self.first, self.end, "-")


REGION_COLUMNS: Mapping[str, Callable[[_Rows], pa.Array | str]] = {
    "sample": lambda rows: rows.sample,
    "contig": lambda rows: quoted(rows.contig),
    "region": lambda rows: integers(rows.regions.number),
    "start": lambda rows: integers(rows.regions.start),
    "end": lambda rows: rows.end,
    "length": lambda rows: integers(rows.regions.end - rows.regions.start),
    "position": lambda rows: words(POSITIONS, rows.regions.position),
    "windows": lambda rows: integers(rows.regions.windows),
    "scored_windows": lambda rows: integers(rows.regions.scored_windows),
    "p_virus": lambda rows: decimals(rows.regions.p_virus),
    "tier": lambda rows: words(TIERS, rows.regions.tier),
    "contig_length": lambda rows: rows.contig_length,
    "contig_call": lambda rows: words(CALLS, rows.contigs.call[rows.regions.contig]),
    "model": lambda rows: rows.model,
}


class RegionFiles(ExitStack):
    """Context manager that writes regions and scores of a sample into a folder, regions and scores in any two threads.

    Args:
        directory: Folder for the files.
        sample: Name of the sample.
        model: Text of the column `model`.
    """

    def __init__(self, directory: Path, *, sample: str, model: str) -> None:
        super().__init__()
        self._sample, self._model = sample, model
        names = (REGION_TABLE, REGION_BED, REGION_GFF)
        self._table, self._bed, self._gff = (self.enter_context((directory / name).open("wb")) for name in names)
        self._track = self.enter_context(deterministic_gzip(directory / SCORE_TRACK, FAST_LEVEL))
        self._table.write(("\t".join(REGION_COLUMNS) + "\n").encode())
        self._gff.write(b"##gff-version 3\n")

    def add_scores(self, rows: Rows) -> None:
        """Append the scores of a batch."""
        self._track.write(_track(rows))

    def add_regions(self, batch: ContigBatch, contigs: ContigScores, regions: Regions) -> None:
        """Append the regions of a batch."""
        rows = _Rows(batch, contigs, regions, self._sample, self._model)
        self._table.write(lines([column(rows) for column in REGION_COLUMNS.values()]))
        self._bed.write(bed_lines(rows.contig, regions.start, regions.end, regions.p_virus))
        self._gff.write(_gff(rows))


def _track(rows: Rows) -> memoryview:
    """Return the lines of the scored windows of a batch in bedGraph, in which neighbours share their overlap."""
    start, end = rows.batch.tiles
    scored = np.flatnonzero(rows.windows.scored)
    contig = rows.batch.contig.take(pa.array(rows.batch.window_contig[scored]))
    return lines([contig, integers(start[scored]), integers(end[scored]), rows.window_p_virus.take(pa.array(scored))])


def bed_lines(contig: pa.Array, start: Int64s, end: Int64s, p_virus: Float64s) -> memoryview:
    """Return stretches of contigs in BED with six columns; the name counts bases from 1."""
    name = _joined(contig, _joined(integers(start + 1), integers(end), "-"), ":")
    score = integers(np.rint(_BED_BEST * p_virus).astype(np.int64))
    return lines([contig, integers(start), integers(end), name, score, "."])


def _gff(rows: _Rows) -> memoryview:
    """Return the lines of the regions in GFF3; a line about their contig is before that of its first region."""
    contig = _escaped(rows.contig)
    attributes = {
        "ID": _joined(contig, rows.place, ":"),
        "position": words(POSITIONS, rows.regions.position),
        "scored_windows": integers(rows.regions.scored_windows),
        "model": quote(rows.model, safe="()"),
    }
    fields = [_joined(key, value, "=") for key, value in attributes.items()]
    p_virus = decimals(rows.regions.p_virus)
    feature = (contig, "virnucpro", _GFF_TYPE, rows.first, rows.end, p_virus, ".", ".", _joined(*fields, ";"))
    pragma = _joined("##sequence-region", contig, "1", rows.contig_length, " ")
    pragma = pc.if_else(pa.array(rows.regions.number == 1), pragma, None)
    return lines([pc.binary_join_element_wise(pragma, _joined(*feature, "\t"), "\n", null_handling="skip")])


def _joined(*texts: pa.Array | str) -> pa.Array:
    """Return texts joined by the last one, (r,)."""
    return pc.binary_join_element_wise(*texts)


def _escaped(names: pa.Array) -> pa.Array:
    """Return the names of sequences as GFF3 has them."""
    if not pc.any(pc.match_substring_regex(names, f"[^a-zA-Z0-9{re.escape(_GFF_SAFE)}]")).as_py():
        return names
    return pa.array([quote(name, safe=_GFF_SAFE).replace("~", "%7E") for name in names.to_pylist()], pa.string())

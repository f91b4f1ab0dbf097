"""Windows of genomes, drawn evenly from categories and groups, as a FASTA file that is embedded like any sample.

The genomes are read at least twice and never held in memory: once to learn where windows can begin, then to cut the
windows that were drawn. A window with an unknown base or without a frame to train on is drawn again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.files import atomic_path, sha256
from virnucpro_kernels.pool.file_names import record_name
from virnucpro_kernels.pool.geometry import Geometry
from virnucpro_kernels.pool.job_record import Job
from virnucpro_kernels.pool.tsv import write_rows
from virnucpro_kernels.sequences.arrays import Int64s, SequenceArray
from virnucpro_kernels.split.frames import find_frames
from virnucpro_kernels.split.windows import place_windows
from virnucpro_kernels.train.drawn import FILE_LIST, WINDOW_FASTA, WINDOW_LIST, DrawnWindow, FrameRule, GenomeFile
from virnucpro_kernels.train.exons import coding_masks, read_exons
from virnucpro_kernels.train.genomes import LABELS, SPLITS, Genome, GenomeTable, check_all_found, read_genomes

#: Shortest length of a window where a part of them is shorter than the others, in bp.
SHORTEST = 150
#: Candidates for each window in the first round, and at most. For some rounds a window stays with the group that was
#: drawn for it, however few windows of that group can be used; in the others another group takes its place.
_TRIES, _MOST_TRIES, _FAITHFUL_ROUNDS, _ROUNDS = 16, 256, 5, 12
_TO_DNA = bytes.maketrans(b"acgtuU", b"ACGTTT")


@dataclass(frozen=True)
class DrawOptions:
    """How windows are drawn.

    Attributes:
        geometry: Length of the windows, and layout of their frames.
        frames: `all` stop-free frames, or those that lie in coding sequences (`cds`), on their strand and in phase.
        windows: Number of windows of each class to train on.
        held_out_windows: Number of windows of each class for val, and for test.
        short_share: Share of the windows that have a random length from `SHORTEST` to that of the others.
        seed: Seed of all that is random.
    """

    geometry: Geometry
    frames: FrameRule
    windows: int
    held_out_windows: int
    short_share: float
    seed: int


@dataclass(frozen=True, eq=False)
class _Survey:
    """Where windows can begin.

    Attributes:
        records: Genome and ID of each record, in the order of the files.
        exons: Coding exons of each record; none where all frames count.
        files: Files that were read.
        record, first, size: Of each stretch in which windows can begin: record, first base, number of bases, int64
            (n,).
    """

    records: Sequence[tuple[Genome, str]]
    exons: Sequence[Int64s]
    files: Sequence[GenomeFile]
    record: Int64s
    first: Int64s
    size: Int64s


def draw(table: Path, directory: Path, options: DrawOptions) -> list[DrawnWindow]:
    """Draw windows; write their sequences, their list and that of the genome files, which `drawn` names.

    Raises:
        UsageError: the table cannot be used (see `read_genomes`), or the genomes do not hold so many windows.
        InputError: a sequence file cannot be used.
    """
    genomes = read_genomes(table, options.seed)
    directory.mkdir(parents=True, exist_ok=True)
    with Job(directory / record_name("draw"), "draw") as job:
        survey = _survey(genomes, options, job)
        drawn = _draw(genomes, survey, options, job)
        with atomic_path(directory / WINDOW_FASTA) as temporary, temporary.open("wb") as fasta:
            fasta.writelines(b">%b\n%b\n" % (window.window.encode(), sequence) for window, sequence in drawn)
        write_rows(directory / FILE_LIST, GenomeFile, survey.files)
        write_rows(directory / WINDOW_LIST, DrawnWindow, (window for window, _ in drawn))
        job.wrote(*(directory / name for name in (WINDOW_FASTA, FILE_LIST, WINDOW_LIST)))
        job.facts["windows"] = len(drawn)
    return [window for window, _ in drawn]


def _survey(genomes: GenomeTable, options: DrawOptions, job: Job) -> _Survey:
    length = options.geometry.window_length
    records: list[tuple[Genome, str]] = []
    all_exons: list[Int64s] = []
    files: list[GenomeFile] = []
    stretches: list[tuple[int, int, int]] = []
    for number, file in enumerate(genomes.files):
        before = len(records)
        annotations = genomes.annotations_of(file) if options.frames == "cds" else []
        exons_of = dict(chain.from_iterable(read_exons(annotation, length) for annotation in annotations))
        for genome, found in genomes.records(file):
            seq_id, sequence = found.contig, found.sequence
            if options.frames == "cds":
                exons = exons_of.get(seq_id, np.zeros((0, 4), np.int64))
                # An exon of several transcripts counts once.
                starts = sorted({(int(first), int(last)) for first, last, *_ in exons})
                stretches += [(len(records), first, last - first - length + 1) for first, last in starts]
                all_exons.append(exons)
            elif len(sequence) >= length:
                stretches.append((len(records), 0, len(sequence) - length + 1))
            records.append((genome, seq_id))
        files.append(GenomeFile(str(file), sha256(file), file.stat().st_size, len(records) - before))
        job.progress(number + 1, 2 * len(genomes.files))
    check_all_found(genomes, (genome for genome, _ in records))
    record, first, size = np.array(stretches, np.int64).reshape(-1, 3).T
    return _Survey(records, all_exons, files, record, first, size)


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Windows of which those that can be used are not known yet, several in a row for each that is wanted.

    Attributes:
        tries: Number of candidates for each window.
        record, start, end: Record, first base, and base after the last, int64 (n,) each.
    """

    tries: int
    record: Int64s
    start: Int64s
    end: Int64s


def _draw(genomes: GenomeTable, survey: _Survey, options: DrawOptions, job: Job) -> list[tuple[DrawnWindow, bytes]]:
    """Draw windows of each split and class until there are enough that can be used; return them in this order."""
    cells = [
        (split, label, options.windows if split == "train" else options.held_out_windows)
        for split in SPLITS
        for label in LABELS
    ]
    urn, chance = _Urn(survey, options), np.random.default_rng(options.seed)
    cell_of = np.repeat(np.arange(len(cells)), [number for *_, number in cells])
    group_of = np.concatenate([urn.choose(split, label, number, chance) for split, label, number in cells])
    found: dict[int, tuple[DrawnWindow, bytes]] = {}
    for attempt in range(_ROUNDS):
        pending = np.array([number for number in range(len(cell_of)) if number not in found], np.int64)
        if not len(pending):
            break
        if attempt >= _FAITHFUL_ROUNDS:
            for cell, (split, label, _) in enumerate(cells):
                of_cell = pending[cell_of[pending] == cell]
                group_of[of_cell] = urn.choose(split, label, len(of_cell), chance)
        # More each time: the fewer windows are missing, the rarer are those that can be used.
        candidates = urn.draw(group_of[pending], min(_TRIES << attempt, _MOST_TRIES), chance)
        usable = _usable(genomes, survey, candidates, options, job, first=attempt == 0)
        found |= {int(pending[rank]): window for rank, window in usable.items()}
    for cell, (split, label, number) in enumerate(cells):
        have = sum(cell_of[window] == cell for window in found)
        if have < number:
            raise UsageError(
                f"{split}, {label}: only {have:,} of {number:,} windows could be drawn that have no unknown base and a"
                " frame to train on; ask for fewer windows, or give more genomes"
            )
    return [(replace(found[number][0], window=f"w{number}"), found[number][1]) for number in range(len(found))]


class _Urn:
    """The places of all windows, by split, class, category and group."""

    def __init__(self, survey: _Survey, options: DrawOptions) -> None:
        self._survey, self._options = survey, options
        members: dict[tuple[str, str, str, str], list[int]] = {}
        for stretch, record in enumerate(survey.record.tolist()):
            genome, _ = survey.records[record]
            members.setdefault((genome.split, genome.label, genome.category, genome.group), []).append(stretch)
        self._members = [np.array(stretches) for stretches in members.values()]
        #: Numbers of the groups by split and label, then by category.
        self._groups: dict[tuple[str, str], dict[str, list[int]]] = {}
        for number, (split, label, category, _) in enumerate(members):
            self._groups.setdefault((split, label), {}).setdefault(category, []).append(number)

    def choose(self, split: str, label: str, number: int, chance: np.random.Generator) -> Int64s:
        """Return the groups of `number` windows: each category is as likely as the others, so is each of its groups."""
        categories = [np.array(groups) for groups in self._groups.get((split, label), {}).values()]
        if not categories:
            where = "coding exon" if self._options.frames == "cds" else "record"
            length = self._options.geometry.window_length
            raise UsageError(f"{split}, {label}: no {where} is as long as a window, {length} bp")
        chosen = np.zeros(number, np.int64)
        category = chance.integers(len(categories), size=number)
        for which, groups in enumerate(categories):
            of_category = category == which
            chosen[of_category] = chance.choice(groups, size=int(of_category.sum()))
        return chosen

    def draw(self, group: Int64s, tries: int, chance: np.random.Generator) -> _Candidates:
        """Draw the candidates for a window of each of the groups, (n,); within a group each place is as likely."""
        record, start = np.zeros((2, len(group), tries), np.int64)
        for number in np.unique(group).tolist():
            chosen = np.flatnonzero(group == number)
            record[chosen], start[chosen] = self._places(self._members[number], (len(chosen), tries), chance)
        length = self._options.geometry.window_length
        lengths = np.full(len(group), length)
        short = np.flatnonzero(chance.random(len(group)) < self._options.short_share)
        lengths[short] = chance.integers(min(SHORTEST, length), length + 1, size=len(short))
        start += chance.integers(length - lengths + 1)[:, None]
        return _Candidates(tries, record.ravel(), start.ravel(), (start + lengths[:, None]).ravel())

    def _places(self, stretches: Int64s, shape: tuple[int, int], chance: np.random.Generator) -> tuple[Int64s, Int64s]:
        """Return record and first base of windows that are drawn from a group."""
        sizes = self._survey.size[stretches]
        ends = np.cumsum(sizes)
        place = chance.integers(ends[-1], size=shape)
        chosen = np.searchsorted(ends, place, side="right")
        first = self._survey.first[stretches][chosen] + place - (ends - sizes)[chosen]
        return self._survey.record[stretches][chosen], first


def _usable(
    genomes: GenomeTable, survey: _Survey, candidates: _Candidates, options: DrawOptions, job: Job, *, first: bool
) -> dict[int, tuple[DrawnWindow, bytes]]:
    """Return the first of the candidates for each window that can be used, by the number of the window."""
    order = np.argsort(candidates.record, kind="stable")
    borders = np.searchsorted(candidates.record[order], np.arange(len(survey.records) + 1))
    found: dict[int, tuple[int, DrawnWindow, bytes]] = {}
    record = 0
    for number, file in enumerate(genomes.files):
        for genome, source in genomes.records(file):
            sequence = source.sequence
            chosen = order[borders[record] : borders[record + 1]]
            exons = survey.exons[record] if survey.exons else None
            record += 1
            if not len(chosen):
                continue
            start, end = candidates.start[chosen], candidates.end[chosen]
            pieces = [sequence[a:b].translate(_TO_DNA) for a, b in zip(start.tolist(), end.tolist(), strict=True)]
            masks = _frames(pieces, start, end, exons, options.geometry)
            for rank in np.flatnonzero(masks).tolist():
                window, attempt = divmod(int(chosen[rank]), candidates.tries)
                if window not in found or attempt < found[window][0]:
                    labels = (genome.split, genome.label, genome.category, genome.group, source.contig)
                    drawn = DrawnWindow("", *labels, int(start[rank]), int(end[rank]), int(masks[rank]))
                    found[window] = attempt, drawn, pieces[rank]
        if first:
            job.progress(len(genomes.files) + number + 1, 2 * len(genomes.files))
    return {window: (drawn, piece) for window, (_, drawn, piece) in found.items()}


def _frames(pieces: Sequence[bytes], start: Int64s, end: Int64s, exons: Int64s | None, geometry: Geometry) -> Int64s:
    """Return the frames to train on of each piece as a mask, int64 (n,); 0 for a piece with an unknown base."""
    sequences = SequenceArray.from_list(pieces)
    windows = place_windows(sequences.lengths, geometry.window_length, geometry.layout)
    masks = find_frames(sequences, windows, geometry.layout, geometry.min_segment).masks.astype(np.int64)
    if exons is not None:
        masks &= coding_masks(exons, start, end)
    masks[[bool(piece.translate(None, b"ACGT")) for piece in pieces]] = 0
    return masks

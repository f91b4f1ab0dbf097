"""Windows of genomes, drawn and cut into segments on the device that trains, so that a GPU never waits for them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from training import coding
from training.categories import HOSTS, VIRUSES, category_of
from training.codons import STOPS
from training.genome_types import genome_type_of
from training.network import Segments
from virnucpro_kernels.pool.geometry import MIN_SEGMENT
from virnucpro_kernels.split.frames import MAX_SEGMENTS
from virnucpro_kernels.train.genomes import TABLE, read_split

CATEGORIES = (*VIRUSES, *HOSTS)
_OTHER = 4
_CODES = np.full(256, _OTHER, np.uint8)
for _code, _base in enumerate("ACGT"):
    _CODES[[ord(_base), ord(_base.lower())]] = _code
_NO_CODON = 64
#: Longest segment of each bucket, in codons. Windows of up to 500 bp have none longer than the last.
EDGES = (38, 54, 78, 118, 166)


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of one length: bases as codes 0 to 3, uint8 (w, length), and the places of their records and first bases.

    Both places are int64 (w,): `record` in the records of the split, `start` in these records end to end.
    """

    codes: torch.Tensor
    record: torch.Tensor
    start: torch.Tensor


class Genomes:
    """The records of one split on a device, from which windows are drawn.

    Half of the windows are viral. Within a class, categories have their share; within a category, a group of relatives
    is drawn with the square root of its size (in bases where a window may begin).

    Attributes:
        category, genome_type: Those of each record, as indices into `CATEGORIES` and `GENOME_TYPES`, int64 (r,).
    """

    def __init__(
        self,
        folder: Path,
        split: str,
        device: torch.device,
        left_out: Collection[str] = (),
        *,
        finds_coding: bool = False,
    ) -> None:
        """Read `genomes.tsv` and the `<category>.fna.gz` of `folder`; keep `split` without the groups `left_out`.

        With `finds_coding`, `label_coding` can tell which segments are coding, for 4 bytes a base on the device.
        """
        split_records = read_split(folder / TABLE, split)
        records = [(record, genome.line) for genome, record in split_records if genome.group not in left_out]
        codes = [_CODES[np.frombuffer(record.sequence, np.uint8)] for record, _ in records]
        self._lengths = np.array([len(code) for code in codes])
        self._categories = np.array([CATEGORIES.index(category_of(row)) for _, row in records])
        self._groups = np.unique([row["group"] for _, row in records], return_inverse=True)[1]
        self._device = device
        self._codes = torch.from_numpy(np.concatenate(codes)).to(device)
        self._record_lengths = torch.from_numpy(self._lengths).to(device)
        self._starts = torch.from_numpy(np.cumsum(self._lengths) - self._lengths).to(device)
        self.category = torch.from_numpy(self._categories).to(device)
        self.genome_type = torch.tensor([genome_type_of(row) for _, row in records], device=device)
        lengths = [coding.stretch_lengths(code) for code in codes] if finds_coding else [np.zeros((2, 0), np.int16)]
        self._stretches = torch.from_numpy(np.concatenate(lengths, axis=1)).to(device)
        self._tables: dict[int, torch.Tensor] = {}

    def _table(self, length: int) -> torch.Tensor:
        """Return the cumulated probability of each record to give a window of `length` bases."""
        if length not in self._tables:
            places = np.maximum(self._lengths - length + 1, 0).astype(np.float64)
            probability = np.zeros(len(places))
            for side in (dict.fromkeys(VIRUSES, 0.5), HOSTS):
                there = {c: s for c, s in side.items() if places[self._categories == CATEGORIES.index(c)].any()}
                for category, share in there.items():
                    own = self._categories == CATEGORIES.index(category)
                    _, group = np.unique(self._groups[own], return_inverse=True)
                    size = np.bincount(group, places[own])
                    of_group = np.sqrt(size)
                    of_record = places[own] / np.maximum(size[group], 1)
                    of_category = 0.5 * share / sum(there.values())
                    probability[own] = of_category * of_group[group] / of_group.sum() * of_record
            self._tables[length] = torch.from_numpy(np.cumsum(probability)).to(self._device)
        return self._tables[length]

    def draw(self, number: int, length: int, chance: torch.Generator) -> Windows:
        """Draw `number` windows without unknown bases, or a few less where these are many."""
        table = self._table(length)
        tries = number + number // 2 + 64  # some have unknown bases

        def random() -> torch.Tensor:
            return torch.rand(tries, dtype=torch.float64, device=self._device, generator=chance)

        record = torch.searchsorted(table, random() * table[-1], right=True).clamp(max=len(table) - 1)
        lengths = self._record_lengths[record]
        start = self._starts[record] + (random() * (lengths - length + 1)).long()
        codes = self._codes[start[:, None] + torch.arange(length, device=self._device)]
        known = (codes < _OTHER).all(1).nonzero()[:number, 0]
        return Windows(codes[known], record[known], start[known])

    def label_coding(self, runs: "Runs", windows: Windows) -> "Runs":
        """Return the segments of `windows` with what is known of them as coding."""
        length = windows.codes.shape[1]
        columns = length // 3 + 1
        strand, offset = runs.start // columns % 6 // 3, runs.start // columns % 3
        middle = offset + 3 * (runs.start % columns + runs.length // 2)  # on its own strand
        place = windows.start[runs.window] + torch.where(strand == 0, middle, length - 3 - middle)
        return replace(runs, coding=coding.label_segments(self._stretches, place, strand))


@dataclass(frozen=True, eq=False)
class Runs:
    """Segments of windows, int64 (s,) each: the window, the first place in `codons`, the number of codons, and whether
    it is coding, as coding.py has it.
    """

    codons: torch.Tensor
    window: torch.Tensor
    start: torch.Tensor
    length: torch.Tensor
    coding: torch.Tensor

    def pick(self, which: torch.Tensor) -> "Runs":
        """Return the segments that `which` names."""
        return Runs(self.codons, self.window[which], self.start[which], self.length[which], self.coding[which])


def find_segments(codes: torch.Tensor) -> Runs:
    """Find the segments of windows, as the layout `segments` defines them, from their codes (w, length).

    Whether they are coding is unknown.
    """
    windows, length = codes.shape
    columns = length // 3 + 1
    strands = torch.stack([codes, 3 - codes.flip(1)], 1).long()
    frames = []
    for offset in range(3):
        count = (length - offset) // 3
        bases = strands[:, :, offset : offset + 3 * count].reshape(windows, 2, count, 3)
        codons = bases[..., 0] * 16 + bases[..., 1] * 4 + bases[..., 2]
        frames.append(torch.nn.functional.pad(codons, (0, columns - count), value=_NO_CODON))
    codons = torch.stack(frames, 2).flatten()  # windows, strands, frames, columns; each row ends without a codon
    ends = torch.tensor([*STOPS, True], device=codes.device)[codons].nonzero()[:, 0]
    starts = torch.cat([ends.new_zeros(1), ends[:-1] + 1])
    lengths = ends - starts
    frame = starts // columns
    longest = _first_of_each(frame, lengths, 1)
    longest = longest[lengths[longest] >= MIN_SEGMENT]
    unknown = torch.full_like(longest, coding.UNKNOWN)
    runs = Runs(codons, frame[longest] // 6, starts[longest], lengths[longest], unknown)
    return runs.pick(_first_of_each(runs.window, runs.length, MAX_SEGMENTS))


def _first_of_each(owner: torch.Tensor, length: torch.Tensor, number: int) -> torch.Tensor:
    """Return the indices of the `number` longest of each owner, in the order of owners and lengths."""
    order = torch.argsort(owner * 1024 - length, stable=True)
    owners = owner[order]
    rank = torch.arange(len(order), device=order.device) - torch.searchsorted(owners, owners)
    return order[rank < number]


def join(parts: Sequence[tuple[Runs, int]]) -> Runs:
    """Join the segments of several draws, each with the number of its windows."""
    codons = windows = 0
    found: list[tuple[torch.Tensor, ...]] = []
    for runs, number in parts:
        found.append((runs.codons, runs.window + windows, runs.start + codons, runs.length, runs.coding))
        codons, windows = codons + len(runs.codons), windows + number
    return Runs(*(torch.cat(column) for column in zip(*found, strict=True)))


def fill_buckets(runs: Runs, windows: int, sizes: Sequence[int] | None, chance: torch.Generator) -> Segments:
    """Lay segments into buckets by length; with `sizes`, into buckets of these numbers of segments.

    Segments beyond the size of a bucket are left out at random, and a bucket with too few is filled up.
    """
    device, low = runs.start.device, 0
    shapes, codons, lengths, owners, labels = [], [], [], [], []
    for number, edge in enumerate(EDGES):
        which = ((runs.length > low) & (runs.length <= edge)).nonzero()[:, 0]
        low = edge
        size = len(which) if sizes is None else sizes[number]
        if len(which) > size:
            which = which[torch.randperm(len(which), device=device, generator=chance)[:size]]
        part, spare = runs.pick(which), size - len(which)
        start = torch.cat([part.start, part.start.new_zeros(spare)])
        place = start[:, None] + torch.arange(-1, edge + 1, device=device)
        codons.append(runs.codons[place.clamp(0, len(runs.codons) - 1)].clamp(max=_NO_CODON - 1).flatten())
        lengths.append(torch.cat([part.length, part.length.new_ones(spare)]))
        owners.append(torch.cat([part.window, part.window.new_full((spare,), windows)]))
        labels.append(torch.cat([part.coding, part.coding.new_full((spare,), coding.UNKNOWN)]))
        if size:
            shapes.append((size, edge + 2))
    joined = torch.cat(codons)
    masked = torch.zeros_like(joined, dtype=torch.bool)
    length, owner, label = (torch.cat(column) for column in (lengths, owners, labels))
    return Segments(tuple(shapes), joined, masked, length, owner, windows, label)

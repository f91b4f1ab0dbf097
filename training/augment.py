"""Changes of segments on their way into training: other codons, other residues, hidden codons."""

from dataclasses import replace

import torch
from Bio.Align import substitution_matrices

from training.codons import CODON_RESIDUES, STOPS
from training.network import Segments

#: Largest rates of synonymous codons and of other residues in a segment, each drawn anew from 0.
SYNONYMOUS, SUBSTITUTED = 0.3, 0.05


def _cumulated(weights: torch.Tensor) -> torch.Tensor:
    return (weights / weights.sum(1, keepdim=True)).cumsum(1)


def _tables(usage: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the cumulated probabilities of the codons that may replace each codon: synonyms, and others.

    Synonyms are (128, 64): first those for hosts, with probabilities proportional to row 1 of `usage`, then those for
    viruses, proportional to row 0. Others are (64, 64): a residue becomes another one with a probability proportional
    to 2^(BLOSUM62 / 2), its codons being equally likely.
    """
    blosum = substitution_matrices.load("BLOSUM62")
    synonyms, others = torch.eye(64), torch.eye(64)
    for codon, residue in enumerate(CODON_RESIDUES):
        if STOPS[codon]:
            continue
        synonyms[codon], others[codon] = 0, 0
        for other, replacement in enumerate(CODON_RESIDUES):
            if STOPS[other]:
                continue
            if residue == replacement:
                synonyms[codon, other] = 1
            else:
                others[codon, other] = 2 ** (blosum[residue][replacement] / 2) / CODON_RESIDUES.count(replacement)
    both = torch.cat([synonyms * weights for weights in usage.flip(0)])
    return _cumulated(both), _cumulated(others)


def count_codons(segments: Segments, is_virus: torch.Tensor) -> torch.Tensor:
    """Return how often segments of hosts, row 0, and of viruses, row 1, have each codon, int64 (2, 64)."""
    counts = torch.zeros(128, dtype=torch.int64, device=is_virus.device)
    for (part, lengths), row in zip(segments.buckets(segments.codons), _rows(segments, is_virus), strict=True):
        place = torch.arange(part.shape[1], device=part.device)
        has_codon = (place > 0) & (place <= lengths) & (row < 2)
        counts += torch.bincount((part + 64 * row)[has_codon], minlength=128)
    return counts.view(2, 64)


def _rows(segments: Segments, is_virus: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return the row of each segment of each bucket in a table of sides, int64 (n, 1): 0, 1, and 2 for no window."""
    row = torch.cat([is_virus.long(), is_virus.new_full((1,), 2, dtype=torch.int64)])[segments.window, None]
    return torch.split(row, [count for count, _ in segments.shapes])


class Augmentation:
    """Random changes of segments on one device."""

    def __init__(self, device: torch.device, usage: torch.Tensor | None = None) -> None:
        """Take how often hosts and viruses have each codon, (2, 64), for synonyms with the other side's frequencies.

        Without that, synonyms are equally likely.
        """
        weights = torch.ones(2, 64) if usage is None else usage.cpu().float() + 1
        self._synonyms, self._others = (table.to(device) for table in _tables(weights))

    def __call__(self, segments: Segments, is_virus: torch.Tensor, rate: float, chance: torch.Generator) -> Segments:
        """Return the segments with other codons, and a `rate` of the codons hidden.

        `is_virus`, bool (windows,), says of which side each window is.
        """
        codons, hidden = [], []
        for (part, lengths), row in zip(segments.buckets(segments.codons), _rows(segments, is_virus), strict=True):
            part = self._replace(part, part, self._others, SUBSTITUTED, chance)
            part = self._replace(part, part + 64 * row.clamp(max=1), self._synonyms, SYNONYMOUS, chance)
            place = torch.arange(part.shape[1], device=part.device)
            has_codon = (place > 0) & (place <= lengths)
            random = torch.rand(part.shape, device=part.device, generator=chance)
            codons.append(part.flatten())
            hidden.append(((random < rate) & has_codon).flatten())
        return replace(segments, codons=torch.cat(codons), masked=torch.cat(hidden))

    @staticmethod
    def _replace(
        codons: torch.Tensor, rows: torch.Tensor, table: torch.Tensor, most: float, chance: torch.Generator
    ) -> torch.Tensor:
        """Replace codons (n, L) by those of their rows in `table`, in each segment at a rate from 0 to `most`."""
        rates = most * torch.rand(len(codons), 1, device=codons.device, generator=chance)
        hit = torch.rand(codons.shape, device=codons.device, generator=chance) < rates
        random = torch.rand(int(hit.sum()), 1, device=codons.device, generator=chance)
        replaced = codons.clone()
        replaced[hit] = (table[rows[hit]] < random).sum(1).clamp(max=63)
        return replaced

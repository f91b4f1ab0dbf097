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


def _tables() -> tuple[torch.Tensor, torch.Tensor]:
    """Return the cumulated probabilities of the codons that may replace each codon, (64, 64): synonyms, and others.

    A residue becomes another one with a probability proportional to 2^(BLOSUM62 / 2), its codons being equally likely.
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
    return _cumulated(synonyms), _cumulated(others)


class Augmentation:
    """Random changes of segments on one device."""

    def __init__(self, device: torch.device) -> None:
        self._synonyms, self._others = (table.to(device) for table in _tables())

    def __call__(self, segments: Segments, rate: float, chance: torch.Generator) -> Segments:
        """Return the segments with other codons, and a `rate` of the codons hidden."""
        codons, hidden = [], []
        for part, lengths in segments.buckets(segments.codons):
            part = self._replace(part, self._others, SUBSTITUTED, chance)
            part = self._replace(part, self._synonyms, SYNONYMOUS, chance)
            place = torch.arange(part.shape[1], device=part.device)
            has_codon = (place > 0) & (place <= lengths)
            random = torch.rand(part.shape, device=part.device, generator=chance)
            codons.append(part.flatten())
            hidden.append(((random < rate) & has_codon).flatten())
        return replace(segments, codons=torch.cat(codons), masked=torch.cat(hidden))

    @staticmethod
    def _replace(codons: torch.Tensor, table: torch.Tensor, most: float, chance: torch.Generator) -> torch.Tensor:
        """Replace codons (n, L), in each segment at a rate from 0 to `most`."""
        rates = most * torch.rand(len(codons), 1, device=codons.device, generator=chance)
        hit = torch.rand(codons.shape, device=codons.device, generator=chance) < rates
        random = torch.rand(int(hit.sum()), 1, device=codons.device, generator=chance)
        replaced = codons.clone()
        replaced[hit] = (table[codons[hit]] < random).sum(1).clamp(max=63)
        return replaced

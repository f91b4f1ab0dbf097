"""Measures a network in training on windows of val, drawn as training draws them."""

from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from training.categories import OF_EUKARYOTES, OF_PROKARYOTES, VIRUSES
from training.network import CompactNetwork, add_up
from training.windows import CATEGORIES, Genomes, fill_buckets, find_segments
from virnucpro_kernels.sequences.arrays import Bools, Float64s

_WINDOWS, _AT_ONCE = 4000, 500
_LENGTHS = (500, 300)


class Validation:
    """Segments of windows of val on a device, the same whenever the genomes are."""

    def __init__(self, genomes: Path, device: torch.device) -> None:
        """Draw the windows."""
        split, chance = Genomes(genomes, "val", device), torch.Generator(device).manual_seed(0)
        self._segments, self._categories = {}, {}
        for length in _LENGTHS:
            windows = split.draw(_WINDOWS, length, chance)
            parts = torch.split(windows.codes, _AT_ONCE)
            self._segments[length] = [fill_buckets(find_segments(part), len(part), None, chance) for part in parts]
            self._categories[length] = np.array(CATEGORIES)[split.category[windows.record].cpu().numpy()]

    @torch.no_grad()
    def measure(self, network: CompactNetwork) -> str:
        """Return AUROC of all windows, of those of prokaryotes and of eukaryotes, and recall at 1 % FPR, in words."""
        areas, recalls = {}, {}
        for length, parts in self._segments.items():
            logits = torch.cat([add_up(network(segments)[0], segments)[:, 0] for segments in parts])
            score, category = logits.double().cpu().numpy(), self._categories[length]
            areas[length] = [
                _area(score[rows], category[rows])
                for rows in (np.isin(category, names) for names in (CATEGORIES, OF_PROKARYOTES, OF_EUKARYOTES))
            ]
            is_virus = np.isin(category, VIRUSES)
            limit = np.quantile(score[~is_virus], 0.99)
            recalls[length] = np.mean(score[is_virus] > limit) if is_virus.any() else float("nan")
        of_all, phages, eukaryotic = areas[500]
        others = f"phages {phages:.4f}, eukaryotic {eukaryotic:.4f}; recall at 1 % FPR {recalls[500]:.3f}"
        return f"AUROC on val: {of_all:.4f} at 500 bp ({others}), {areas[300][0]:.4f} at 300 bp"


def _area(score: Float64s, category: np.ndarray[tuple[int], np.dtype[np.str_]]) -> float:
    is_virus: Bools = np.isin(category, VIRUSES)
    return float("nan") if is_virus.all() or not is_virus.any() else float(roc_auc_score(is_virus, score))

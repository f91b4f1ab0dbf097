"""Thresholds and evidence that decide calls and tiers. Imports little: every parse of the workflow checks them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from virnucpro_kernels.errors import UsageError

#: What a false discovery rate assumes of a sample, see `score.discoveries`.
ASSUMED_BY_FDR = "the viruses and hosts of a sample are as hard to tell apart as those of the model's calibration"


@dataclass(frozen=True)
class Thresholds:
    """Values of p_virus at which calls and tiers change, and the evidence of a call, named as the configuration's keys.

    Attributes:
        min_window_fraction: Least number of scored bases of a contig with a call, as a fraction of the window length.
        min_scored_windows: Least number of scored windows of such a contig; one with fewer windows needs all of them.
        min_covered_fraction: Least fraction of such a contig's bases that lie in scored windows.
        viral_threshold: Least p_virus of a contig that is called viral.
        ambiguous_band: Limits of ambiguous windows: from the first to below the second; above it is viral, below host.
        region_threshold: Value of p_virus from which on a window speaks for a virus where a contig is divided into
            regions.
        tier_medium, tier_high: Least p_virus of a viral contig of this tier; otherwise its tier is low.
        fdr: False discovery rate up to which the contigs of a sample are called viral, in place of the threshold; None
            for the threshold.

    Raises:
        UsageError: a probability or fraction is not from 0 to 1, or a pair is in the wrong order.
    """

    min_window_fraction: float
    min_scored_windows: int
    min_covered_fraction: float
    viral_threshold: float
    ambiguous_band: Sequence[float]
    region_threshold: float
    tier_medium: float
    tier_high: float
    fdr: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name == "min_scored_windows" or value is None:
                continue
            for number in value if isinstance(value, Sequence) else (value,):
                if not 0 <= number <= 1:
                    raise UsageError(f"{name}: {number} is not a probability or fraction; give a number from 0 to 1")
        lower, upper = self.ambiguous_band
        if lower > upper:
            raise UsageError(f"ambiguous_band: {lower} is above {upper}; swap them")
        if self.tier_medium > self.tier_high:
            raise UsageError(f"tier_medium ({self.tier_medium}) is above tier_high ({self.tier_high}); swap them")

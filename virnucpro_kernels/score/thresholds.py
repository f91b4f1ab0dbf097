"""Thresholds at which probabilities become calls and tiers. Imports little: every parse of the workflow checks them."""

from dataclasses import dataclass

from virnucpro_kernels.errors import UsageError


@dataclass(frozen=True)
class Thresholds:
    """Values of p_virus at which calls and tiers change; their defaults stand in the schema of the configuration.

    Attributes:
        viral: Least p_virus of a contig that is called viral.
        ambiguous: Limits of ambiguous windows: from the first to below the second; above it is viral, below host.
        medium, high: Least p_virus of a viral contig of this tier; otherwise its tier is low.

    Raises:
        UsageError: a value is not from 0 to 1, or a pair is in the wrong order.
    """

    viral: float
    ambiguous: tuple[float, float]
    medium: float
    high: float

    def __post_init__(self) -> None:
        values = {"viral": self.viral, "medium": self.medium, "high": self.high}
        values |= {"ambiguous, lower": self.ambiguous[0], "ambiguous, upper": self.ambiguous[1]}
        for name, value in values.items():
            if not 0 <= value <= 1:
                raise UsageError(f"threshold {name}: {value} is not a probability; give a number from 0 to 1")
        if self.ambiguous[0] > self.ambiguous[1]:
            raise UsageError(f"threshold ambiguous: {self.ambiguous[0]} is above {self.ambiguous[1]}; swap them")
        if self.medium > self.high:
            raise UsageError(f"thresholds: medium ({self.medium}) is above high ({self.high}); swap them")

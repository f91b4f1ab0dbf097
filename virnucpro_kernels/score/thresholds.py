"""Where probabilities become words. Imports little: the workflow checks them whenever Snakemake parses it."""

from dataclasses import dataclass

from virnucpro_kernels.errors import UsageError


@dataclass(frozen=True)
class Thresholds:
    """Where probabilities become words.

    Attributes:
        viral: a contig of at least this p_virus is called viral.
        ambiguous: windows from the first to below the second value are ambiguous; those above are viral, below host.
        medium, high: a viral contig of at least this p_virus is of this tier; otherwise of tier low.

    Raises:
        UsageError: a value is not from 0 to 1, or a pair is in the wrong order.
    """

    viral: float = 0.5
    ambiguous: tuple[float, float] = (0.3, 0.7)
    medium: float = 0.7
    high: float = 0.9

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

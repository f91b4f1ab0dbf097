"""Window length and layout of a pool, as they stand in the paths of its files. Light: the workflow reads it."""

from dataclasses import dataclass
from typing import Literal, Self, cast, get_args

Layout = Literal["original", "even", "segments"]
LAYOUTS: tuple[str, ...] = get_args(Layout)
#: Least number of residues of a segment, unless the user sets another one.
MIN_SEGMENT = 30


@dataclass(frozen=True)
class Geometry:
    """Windows and frames of a pool. Its text, as in `500-original`, is a part of the paths of the pool.

    Attributes:
        window_length: Bases of a window.
        layout: One of `LAYOUTS`.
        min_segment: Least number of residues of a segment. The text names another one than `MIN_SEGMENT` behind the
            layout `segments`, as in `500-segments-40`; the other layouts have no segments.
    """

    window_length: int
    layout: Layout
    min_segment: int = MIN_SEGMENT

    def __str__(self) -> str:
        own = self.layout == "segments" and self.min_segment != MIN_SEGMENT
        return f"{self.window_length}-{self.layout}" + f"-{self.min_segment}" * own

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the geometry of this text."""
        window_length, layout, *more = text.split("-")
        return cls(int(window_length), cast("Layout", layout), *map(int, more))

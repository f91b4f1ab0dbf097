"""Options of stages with the defaults of the configuration's schema."""

from typing import Any

from virnucpro_kernels.pool.geometry import Geometry
from virnucpro_kernels.run.config import default
from virnucpro_kernels.score.rule import Rule
from virnucpro_kernels.score.thresholds import Thresholds
from virnucpro_kernels.split.split import SplitOptions
from virnucpro_kernels.weights.registry import Calibration


def thresholds(**values: Any) -> Thresholds:
    return Thresholds(**{key: default(key) for key in Thresholds.__dataclass_fields__} | values)


def rule(
    window_length: int = 300, *, adds_frames: bool = False, calibration: Calibration | None = None, **values: Any
) -> Rule:
    return Rule(window_length, adds_frames, calibration, thresholds(**values))


def split_options(geometry: Geometry, **options: Any) -> SplitOptions:
    keys = ("min_length", "duplicate_ids", "chunk_tokens", "min_chunks")
    defaults = {key: default(key) for key in keys} | {"threads": 1}
    return SplitOptions(geometry, **defaults | options)

"""How long embedding takes: sustained rates by device, with which estimates of time are made."""

from collections.abc import Mapping

from virnucpro_kernels.pool.job_record import duration

#: Floating-point operations a second of packed embedding with ESM-2 3B in 16 bit. Those of the H200 and the H100 are
#: measured (docs/performance.md), those of the RTX 4090 follow from its peak of 165 TFLOP/s.
_GPUS: Mapping[str, float] = {"an H200 or H100": 6.1e14, "an RTX 4090": 1.0e14}
#: The same of a core of a CPU in fp32, and the tokens a second that no smaller encoder exceeds.
_CPU_CORE = 4e10
_CPU_CORE_TOKENS = 15_000

ESM2_3B_PARAMETERS = 2.84e9


def gpu_times(tokens: float, parameters: float) -> str:
    """Return how long GPUs take to embed `tokens` with an encoder of so many parameters, in words.

    A token costs two operations a parameter; attention adds 1 % to that for frames of windows.
    """
    return " or ".join(f"{duration(2 * tokens * parameters / rate)} on {gpu}" for gpu, rate in _GPUS.items())


def cpu_time(tokens: float, parameters: float, cores: int) -> str:
    """Return how long `cores` of a CPU take, in words."""
    seconds = max(2 * tokens * parameters / _CPU_CORE, tokens / _CPU_CORE_TOKENS) / cores
    return f"{duration(seconds)} on {cores} CPU core{'s' * (cores != 1)}"

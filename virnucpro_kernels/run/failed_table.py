"""`failed.tsv`: a row for each failure of a run."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from virnucpro_kernels.pool.tsv import read_rows, write_rows


@dataclass(frozen=True)
class Failure:
    """Reason why a sample has no tables, or only those of an earlier run.

    Attributes:
        sample: Name of the sample, in a sweep after that of the setting, as in `strict/gut`.
        chunk: Name of the chunk whose job failed; empty for split and collect.
        stage: Stage of the job: `split`, `embed`, `merge`, `classify` or `collect`.
        attempts: Number of times that the job was started; 0 if never.
        exit_code: Exit code of the last attempt; `killed` where the process left none; empty if it was never started.
        log: Log of the last attempt.
        error: Message of the last attempt.
    """

    sample: str
    chunk: str
    stage: str
    attempts: int
    exit_code: str
    log: str
    error: str


def write_failed(path: Path, failures: Iterable[Failure]) -> None:
    """Write the table of failures."""
    write_rows(path, Failure, failures)


def read_failed(path: Path) -> list[Failure]:
    """Return the failures of the last start of a run; none where there is no table.

    Raises:
        DamagedFileError: the table is damaged.
    """
    remedy = "remove it: the next `virnucpro predict` writes it anew"
    return read_rows(path, Failure, remedy=remedy) if path.exists() else []

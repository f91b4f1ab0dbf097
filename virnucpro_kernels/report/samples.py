"""The samples of a folder of results, with the records of how they were made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.pool.file_names import CONTIG_TABLE, REGION_TABLE, RESULTS, RUN_RECORD, WINDOW_TABLE, of_samples
from virnucpro_kernels.pool.job_record import checked_result, read_record
from virnucpro_kernels.score.thresholds import Thresholds


@dataclass(frozen=True)
class SampleResults:
    """The results of a sample.

    Attributes:
        name: Name of the sample, in a sweep after that of the setting, as in `strict/gut`.
        folder: Folder of its files.
        record: Content of its `run.json`.
    """

    name: str
    folder: Path
    record: Mapping[str, Any]

    @cached_property
    def contigs(self) -> Path:
        """Table of its contigs, compared with its checksum."""
        return checked_result(self.folder / CONTIG_TABLE)

    @cached_property
    def windows(self) -> Path:
        """Table of its windows, compared with its checksum."""
        return checked_result(self.folder / WINDOW_TABLE)

    @cached_property
    def regions(self) -> Path:
        """Table of its viral regions, compared with its checksum."""
        return checked_result(self.folder / REGION_TABLE)

    @property
    def thresholds(self) -> Thresholds:
        """Thresholds of its calls."""
        return Thresholds(**self.record["parameters"]["thresholds"])

    @property
    def counts(self) -> Mapping[str, Any]:
        """Counts of contigs, bases, windows, frames; of contigs by status, call and tier."""
        counts: Mapping[str, Any] = self.record["counts"]
        return counts


def results_folder(directory: Path) -> Path:
    """Return the folder of results that a user means: `results` in the folder of a run, or the given folder itself."""
    return directory / RESULTS if (directory / RESULTS).is_dir() else directory


def find_samples(results: Path, names: Sequence[str] = ()) -> list[SampleResults]:
    """Return the complete samples in a folder of results, in the order of `names`, or else of their names.

    Args:
        results: Folder with a folder for each sample; in a sweep, for each setting a folder of such folders.
        names: Names of the samples; without any, all that are there.

    Raises:
        UsageError: there is no complete sample, or one of `names` is not there.
        DamagedFileError: a record is damaged.
    """
    if not names:
        names = sorted(str(record.parent.relative_to(results)) for record in of_samples(results, RUN_RECORD))
        if not names:
            raise UsageError(f"{results}: no results in here; name the folder of a run whose samples are complete")
    missing = [name for name in names if not (results / name / RUN_RECORD).is_file()]
    if missing:
        raise UsageError(f"{results}: no complete results of {', '.join(missing)}; run `virnucpro predict` again")
    return [SampleResults(name, results / name, read_record(results / name / RUN_RECORD)) for name in names]

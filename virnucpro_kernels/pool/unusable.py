"""The samples that `split` leaves out of a pool because their input cannot be used: `unusable.tsv`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from virnucpro_kernels.errors import REMEDY, UsageError
from virnucpro_kernels.pool.file_names import UNUSABLE, record_name
from virnucpro_kernels.pool.job_record import check_output
from virnucpro_kernels.pool.tsv import read_rows, write_rows
from virnucpro_kernels.sequences.problems import InputError

#: Size and latest time of change of a sample's files; (0, 0) where there is no regular file.
Stamp = tuple[int, int]


@dataclass(frozen=True)
class Unusable:
    """A sample that was left out.

    Attributes:
        sample: Name of the sample.
        bytes, changed_ns: Stamp of its files when one of them was found unusable.
        error: Message that names the file and says what is wrong.
    """

    sample: str
    bytes: int
    changed_ns: int
    error: str

    def repaired(self, paths: Sequence[Path]) -> bool:
        """Whether the sample's files have changed since one of them was found unusable."""
        return all(path.is_file() for path in paths) and stamp(paths) != (self.bytes, self.changed_ns)


class NothingUsableError(InputError):
    """No sample of a pool of several can be used. Exit code 5.

    Attributes:
        unusable: All samples of the pool.
    """

    def __init__(self, unusable: Sequence[Unusable], errors: Iterable[InputError]) -> None:
        super().__init__(*(problem for error in errors for problem in error.problems))
        self.unusable = unusable


def stamp(paths: Iterable[Path]) -> Stamp:
    """Return the stamp of a sample's files.

    The time is that of the inode, which also changes when a file is restored with its old date or made readable.
    """
    states = [path.stat() for path in paths if path.is_file()]
    return sum(state.st_size for state in states), max((state.st_ctime_ns for state in states), default=0)


def is_own_fault(error: InputError) -> bool:
    """Whether the error is a fault of the input file or of its permissions, not of a disk or a network.

    A disk or a network may work again at the next start. Decompressors raise OSError as well, but only the errors of
    the operating system have a number.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno is not None and not isinstance(cause, PermissionError):
            return False
        cause = cause.__cause__
    return True


def write_unusable(path: Path, unusable: Iterable[Unusable]) -> None:
    """Write the table, a line a sample; only the header where all samples are usable."""
    write_rows(path, Unusable, (replace(one, error=" ".join(one.error.split())) for one in unusable))


def read_unusable(path: Path) -> dict[str, Unusable]:
    """Return the samples of a table by name.

    Raises:
        DamagedFileError: the file is not such a table, or not what `split` wrote.
        FileNotFoundError: there is none.
    """
    check_output(path, path.parent / record_name("split"))
    rows = read_rows(path, Unusable, remedy=REMEDY)
    return {row.sample: row for row in rows}


def refuse_unusable(manifest: Path, sample: str, inputs: Sequence[Path]) -> None:
    """Refuse a sample that was left out when its pool was split.

    Args:
        manifest: Manifest of the pool.
        sample: Name of a sample of the pool.
        inputs: Sequence files of the sample.

    Raises:
        UsageError: the sample was left out.
    """
    path = manifest.with_name(UNUSABLE)
    found = read_unusable(path).get(sample) if path.exists() else None
    if found is None:
        return
    if inputs and found.repaired(inputs):
        raise UsageError(
            f"the input of sample {sample} has changed since it was found unusable ({found.error});"
            f" remove {manifest} and start again, and the pool is split again"
        )
    raise UsageError(f"sample {sample} was left out when its pool was split: {found.error}")


def forget_split_of_repaired(manifest: Path, inputs: Mapping[str, Sequence[Path]]) -> None:
    """Remove `manifest` where an unusable file has changed since, so that the next start splits the pool again.

    A file that is restored with its old date is not newer than what was made of it, so Snakemake would not notice.

    Args:
        manifest: Manifest of the pool.
        inputs: Sequence files of each sample.
    """
    path = manifest.with_name(UNUSABLE)
    unusable = read_unusable(path) if manifest.exists() and path.exists() else {}
    if any(found.repaired(inputs[name]) for name, found in unusable.items() if name in inputs):
        manifest.unlink(missing_ok=True)

"""Errors that a user can act on. Each class is one exit code; each message says what, where, and what to do."""


class VirnucproError(Exception):
    """A failure with a message for the user. Exit code 1."""

    exit_code = 1


class DamagedFileError(VirnucproError):
    """A file is damaged, incomplete, unsafe, or does not belong to this run. Exit code 3."""

    exit_code = 3


class FaultyDeviceError(DamagedFileError):
    """A device holds or computes other numbers than it should. Exit code 3."""


#: What to do about a damaged file of a run. The user may as well have named a file that is none of a run.
REMEDY = "if it is a file of a run, the next `virnucpro predict` renames it and makes it again"


class NotFiniteError(VirnucproError):
    """Vectors are not finite even with fp32 activations, or not in the type in which they are stored."""


class GpuMemoryError(VirnucproError):
    """The GPU has too little memory even for the smallest batch. Exit code 4."""

    exit_code = 4


class UsageError(VirnucproError):
    """The input or the options are wrong. Exit code 5."""

    exit_code = 5


class StoppedError(VirnucproError):
    """A signal stopped the work; what was finished is kept, and the same command goes on from there. Exit code 143."""

    exit_code = 143


class InterruptedRunError(VirnucproError):
    """Ctrl-C or a signal stopped a run; what was finished is kept, and the same command goes on from there.

    Exit code 130.
    """

    exit_code = 130


#: Some samples failed and the others are complete (`failed.tsv` names them).
EXIT_PARTIAL = 2

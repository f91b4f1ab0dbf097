"""A file on disk for HDF5, which cannot bear that a write fails."""

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Disk(io.FileIO):
    """File that HDF5 writes to and that never fails in its eyes: `check` tells what went wrong.

    Where a write fails, as on a full disk, HDF5 can close the file no more, and ends the whole process with a
    segmentation fault when Python ends.
    """

    _error: OSError | None = None

    def write(self, data: "ReadableBuffer") -> int:
        """Write `data`; return its length, whatever happens."""
        view = memoryview(data)
        try:
            done = 0
            while done < len(view):
                done += super().write(view[done:])
        except OSError as error:
            self._error = self._error or error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Change the size of the file to `size`; return it, whatever happens."""
        try:
            super().truncate(size)
        except OSError as error:
            self._error = self._error or error
        return size or 0

    def check(self) -> None:
        """Raise the first error of the file, if there was one."""
        if self._error:
            raise self._error

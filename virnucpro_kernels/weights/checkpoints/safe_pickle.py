"""Reading of PyTorch checkpoints without running any code in them."""

import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from virnucpro_kernels.errors import DamagedFileError, UsageError

#: A class that a checkpoint may name; or a stand-in for one, with the name in the checkpoint.
Allowed = Callable[..., Any] | tuple[Callable[..., Any], str]

#: Largest pickle, bytes. Tensors lie beside it; but the original's nucleotide embeddings are lists in it, 69 MB a file.
_LARGEST_PICKLE = 256 << 20


def read_checkpoint(path: Path, allowed: Iterable[Allowed] = ()) -> Any:
    """Return the content of a file written by `torch.save`, its tensors memory-mapped, on the CPU.

    First the archive is checked: whole, uncompressed, with the right checksums. Then the pickle in it is searched,
    without being run, for everything that it would import. It is loaded only if those names are on PyTorch's own list
    for tensors or in `allowed`, and then by PyTorch's restricted unpickler.

    Args:
        path: Checkpoint in the zip format that PyTorch has written since 1.6.
        allowed: Classes that it may name besides tensors and containers.

    Raises:
        UsageError: there is no such file.
        DamagedFileError: the file is not such a checkpoint, is damaged, or would import something else.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    _check_archive(path)
    allowed = list(allowed)
    with torch.serialization.safe_globals(allowed):
        try:
            refused = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        except Exception as error:  # a damaged pickle can make the disassembler raise anything
            raise DamagedFileError(f"{path} is a damaged checkpoint ({error}); get the file again") from error
        if refused:
            raise DamagedFileError(
                f"{path} is refused, because it would import {', '.join(sorted(refused))} when loaded, which tensors do"
                " not need; nothing was run. Get the file from its publisher"
            )
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except Exception as error:  # a damaged or hostile pickle can make the unpickler raise anything
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise DamagedFileError(f"{path} is refused or damaged ({reason}); nothing was run. Get it again") from error


def _check_archive(path: Path) -> None:
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            is_pickle = file.read(2) in {b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"}
        raise DamagedFileError(
            f"{path} is a bare pickle, which is not read because it can run code; load and torch.save it on a machine"
            " where you trust it"
            if is_pickle
            else f"{path} is not a PyTorch checkpoint, or is cut off; get the file again"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
            if any(record.compress_type != zipfile.ZIP_STORED for record in records):
                raise DamagedFileError(f"{path} is refused: it has compressed records, which torch.save never writes")
            if sum(record.file_size for record in records) > path.stat().st_size:
                raise DamagedFileError(f"{path} is refused: it has records larger than the file")
            if any(record.filename.endswith(".pkl") and record.file_size > _LARGEST_PICKLE for record in records):
                raise DamagedFileError(f"{path} is refused: it has a pickle of more than {_LARGEST_PICKLE >> 20} MB")
            damaged = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise DamagedFileError(f"{path} is a damaged archive ({error}); get the file again") from error
    if damaged is not None:
        raise DamagedFileError(f"{path} is damaged in its record {damaged}; get the file again")

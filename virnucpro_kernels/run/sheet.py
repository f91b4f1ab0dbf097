"""The lines of a sheet that a person wrote: tabs or commas, comments, any encoding that spreadsheets save."""

import codecs
import csv
from pathlib import Path

from virnucpro_kernels.errors import UsageError


def read_lines(path: Path, kind: str) -> tuple[str, list[tuple[int, list[str]]]]:
    """Return the separator of a sheet, and number and values of each line, the header first.

    Lines without content and those that start with `#` are left out, as are empty columns at the right of the header.

    Args:
        path: The sheet.
        kind: Kind of the sheet in words, for messages.

    Raises:
        UsageError: the file does not exist, cannot be read, or is not text.
    """
    numbered = enumerate(_text(path, kind).splitlines(), start=1)
    lines = [(number, line) for number, line in numbered if line.strip() and not line.startswith("#")]
    header = lines[0][1] if lines else ""
    separator = "," if "," in header and "\t" not in header else "\t"
    rows = [(number, _values(line, separator)) for number, line in lines]
    while rows and rows[0][1] and not rows[0][1][-1]:
        rows[0][1].pop()
    return separator, rows


def _text(path: Path, kind: str) -> str:
    """Return the text of a sheet in UTF-8, or in UTF-16 with a byte order mark."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        hint = "; `virnucpro init` writes one" if kind == "sample sheet" else ""
        raise UsageError(f"{path}: no such {kind}{hint}") from None
    except OSError as error:
        raise UsageError(f"{path}: the {kind} cannot be read: {error.strerror}") from error
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not a text file in UTF-8 or UTF-16: {error}") from error


def _values(line: str, separator: str) -> list[str]:
    try:
        return [value.strip() for value in next(csv.reader([line], delimiter=separator))]
    except csv.Error:  # longer than any value may be
        return [value.strip() for value in line.split(separator)]

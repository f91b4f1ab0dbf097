"""The folder of the models: the one that was given, or that an administrator set for the site, or the user's own."""

import os
import shlex
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from virnucpro_kernels.errors import UsageError

#: Files in which an administrator sets the folder for everybody: of this installation (a conda environment, a virtual
#: environment or a container's Python), then of the machine. The first one that is there counts, alone.
SITE_FILES = (Path(sys.prefix, "etc", "virnucpro.toml"), Path("/etc/virnucpro.toml"))


@dataclass(frozen=True)
class ModelsDir:
    """The folder of the models.

    Attributes:
        path: Folder, which need not exist.
        chosen_by: Answer in words to the question why it is this folder.
    """

    path: Path
    chosen_by: str

    def __str__(self) -> str:
        return f"{self.path} ({self.chosen_by})"


def find_models_dir(given: Path | None = None) -> ModelsDir:
    """Return the folder of the models: `given`, or else that of the first site file, or else the user's own.

    Raises:
        UsageError: a site file cannot be read, or does not name an absolute folder.
    """
    if given is not None:
        return ModelsDir(given, "as given")
    for file in SITE_FILES:
        try:
            text = file.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise _unusable(file, str(error)) from error
        return ModelsDir(_read_site(file, text), f"set in {file}")
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")  # noqa: PTH111 there may be no home
    return ModelsDir(Path(data) / "virnucpro" / "models", "the user's own")


def _read_site(file: Path, text: str) -> Path:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _unusable(file, f"it is not TOML: {error}") from error
    folder = table.get("models_dir")
    if table.keys() != {"models_dir"} or not isinstance(folder, str) or not Path(folder).is_absolute():
        raise _unusable(file, 'it must hold one line, models_dir = "/an/absolute/folder"')
    return Path(folder)


def _unusable(file: Path, reason: str) -> UsageError:
    return UsageError(
        f"{file}, which sets the folder of the models for this site, cannot be used: {reason}; have its administrator"
        " mend it, or choose a folder with --models-dir"
    )


def command_line(*words: str, models_dir: Path | None) -> str:
    """Return a `virnucpro` command that a shell takes as it is, with `--models-dir` where the user gave a folder."""
    folder = () if models_dir is None else ("--models-dir", str(models_dir))
    return shlex.join(["virnucpro", *words, *folder])

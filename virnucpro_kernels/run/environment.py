"""Environment of the Snakemake that `predict` starts: without what would change the run, with all that it needs."""

import getpass
import os
import sys
from pathlib import Path

from platformdirs import user_cache_path

from virnucpro_kernels.files import check_writable
from virnucpro_kernels.pool.file_names import WORK

#: Variables that would make Snakemake, its shells or its Pythons do something else than asked for.
_MISLEADING = ("SNAKEMAKE_PROFILE", "CDPATH", "BASH_ENV", "PYTHONHOME", "PYTHONSTARTUP")


def snakemake_environment(directory: Path) -> dict[str, str]:
    """Return the environment of this process, made fit for Snakemake.

    Args:
        directory: Folder of the run, which gets the cache of a user whose own cannot be written.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _MISLEADING}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH") or os.defpath])
    # Modules in the working directory must not stand in for those of the standard library.
    environment["PYTHONSAFEPATH"] = "1"
    if not has_writable_cache():
        environment["XDG_CACHE_HOME"] = str(directory.absolute() / WORK / ".cache")
    try:
        getpass.getuser()
    except (KeyError, OSError):  # the user has no entry among those of the system, as in some containers
        environment["LOGNAME"] = f"user-{os.getuid()}"
    return environment


def has_writable_cache() -> bool:
    """Whether Snakemake can keep its cache of sources where it wants to: below the home directory, as a rule."""
    cache = user_cache_path("snakemake")
    if not cache.is_absolute():  # there is no home directory
        return False
    try:
        check_writable(cache)
    except OSError:
        return False
    return True

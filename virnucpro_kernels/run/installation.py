"""Folder of the workflow's files: beside the package in a clone, inside it when installed from a wheel."""

from pathlib import Path

from virnucpro_kernels.errors import VirnucproError
from virnucpro_kernels.files import PACKAGE


def workflow_root() -> Path:
    """Return the folder that holds `Snakefile`, `workflow/`, `config/`, `profiles/` and `envs/`."""
    for root in (PACKAGE / "pipeline", PACKAGE.parent):
        if (root / "workflow" / "Snakefile").is_file():
            return root
    raise VirnucproError(f"this installation has no workflow: neither {PACKAGE}/pipeline nor {PACKAGE.parent}/workflow")


def demonstration() -> Path:
    """Return the sequence file of the demonstration."""
    return workflow_root() / ".test" / "data" / "demo.fna.gz"


def page_of_keys() -> Path:
    """Return the page that explains every key of the configuration."""
    return workflow_root() / "config" / "README.md"


def python_path(directory: Path) -> Path:
    """Return a folder for PYTHONPATH that makes this package importable and shadows nothing of a job's environment.

    A clone is such a folder. An installed package lies among its dependencies, which must not get into an environment
    with another Python. For it, the function makes a folder under `directory` that holds only a link to the package.
    """
    if workflow_root() == PACKAGE.parent:
        return PACKAGE.parent
    link = directory.resolve() / ".snakemake" / "virnucpro" / PACKAGE.name
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink() or link.readlink() != PACKAGE:
        link.unlink(missing_ok=True)
        link.symlink_to(PACKAGE)
    return link.parent

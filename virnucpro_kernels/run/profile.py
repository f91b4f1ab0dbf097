"""Snakemake's profiles: found by name or folder, and what they say of the executor."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.run.installation import workflow_root

_LOCAL_EXECUTORS = (None, "local", "touch", "dryrun")


@dataclass(frozen=True)
class Profile:
    """A profile of Snakemake.

    Attributes:
        folder: Folder that holds its `config.yaml`.
        keys: Content of that file.
    """

    folder: Path
    keys: Mapping[str, Any]

    @property
    def submits(self) -> bool:
        """Whether jobs go to a cluster."""
        return self.keys.get("executor") not in _LOCAL_EXECUTORS

    @property
    def limits_cores(self) -> bool:
        """Whether the profile says how many cores or jobs may be used at once."""
        return not {"cores", "jobs"}.isdisjoint(self.keys)


def find_profile(name: str) -> Profile:
    """Return the profile in the folder `name`, or the one of that name that comes with the workflow.

    Raises:
        UsageError: there is no such profile, it cannot be read, or its executor is a plugin that is not installed.
    """
    for folder in (Path(name), workflow_root() / "profiles" / name):
        path = folder / "config.yaml"
        if path.is_file():
            try:
                keys = yaml.safe_load(path.read_text(encoding="utf-8"))
            except (yaml.YAMLError, UnicodeDecodeError) as error:
                raise UsageError(f"{path}: not readable as YAML: {error}") from error
            profile = Profile(folder.resolve(), keys if isinstance(keys, dict) else {})
            _check_executor(profile)
            return profile
    ours = ", ".join(sorted(path.name for path in (workflow_root() / "profiles").iterdir()))
    raise UsageError(f"no profile {name!r}: neither a folder with a config.yaml, nor one of ours ({ours})")


def _check_executor(profile: Profile) -> None:
    executor = str(profile.keys.get("executor"))
    if profile.submits and not find_spec(f"snakemake_executor_plugin_{executor.replace('-', '_')}"):
        raise UsageError(
            f"{profile.folder / 'config.yaml'}: executor {executor}: its plugin is not installed;"
            f" pip install snakemake-executor-plugin-{executor}"
        )

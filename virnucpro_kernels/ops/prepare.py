"""Start-up checks and settings, before anything is computed: fp32 products, Triton and its folder of kernels."""

import logging
import os
import stat
import subprocess
import tempfile
from pathlib import Path

import torch

from virnucpro_kernels.errors import UsageError
from virnucpro_kernels.files import check_writable
from virnucpro_kernels.ops.jit import TRITON_INSTALLED, triton

log = logging.getLogger(__name__)


def prepare(device: torch.device) -> None:
    """Make fp32 products exact, and for a GPU make Triton ready, with a folder that keeps compiled kernels.

    Raises:
        UsageError: no such folder can be made, or Triton lacks a compiler or Python's headers.
    """
    # An environment variable of PyTorch can make TF32 the default, which keeps ten bits of each factor.
    torch.set_float32_matmul_precision("highest")
    if device.type == "cuda" and TRITON_INSTALLED:
        _find_kernel_cache()
        if torch.cuda.is_available():  # kernels can be compiled without
            _load_launcher()


def _find_kernel_cache() -> None:
    """Keep Triton's own folder where it can be written; otherwise take a temporary one."""
    folder = Path(triton.knobs.cache.dir)
    try:
        check_writable(folder)
    except OSError as error:
        if "TRITON_CACHE_DIR" in os.environ:
            raise UsageError(
                f"TRITON_CACHE_DIR={folder}: compiled kernels cannot be kept there ({error}); name a folder that can be"
                " written"
            ) from error
        own = _own_folder()
        log.info("%s cannot be written; compiled kernels are kept in %s", folder, own)
        triton.knobs.cache.dir = str(own)


def _load_launcher() -> None:
    """Load Triton's launcher of kernels, which it compiles first where its folder has none yet."""
    try:
        _ = triton.runtime.driver.active
    except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
        raise UsageError(
            f"Triton cannot launch kernels here ({str(error).rstrip('.')}). The first run on a machine needs a C"
            " compiler (gcc, clang, or one that CC names) and the headers of Python (python3-dev): install them or load"
            " their module"
        ) from error


def _own_folder() -> Path:
    """Return a temporary folder that is the same for all jobs of this user on this machine, and nobody else's.

    Raises:
        UsageError: the folder cannot be made, or somebody else could put kernels there.
    """
    folder = Path(tempfile.gettempdir(), f"virnucpro-kernels-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
            raise PermissionError("not a folder of yours alone")
        check_writable(folder)
    except OSError as error:
        raise UsageError(f"{folder}: {error}; have TRITON_CACHE_DIR name a folder for compiled kernels") from error
    return folder

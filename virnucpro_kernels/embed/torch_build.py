"""Whether the installed PyTorch fits the driver of the GPU; asked without importing torch, which takes seconds."""

import runpy
from importlib.util import find_spec
from pathlib import Path

from virnucpro_kernels.embed.gpu import driver_cuda_version

_REMEDY = "https://pytorch.org/get-started lists the builds; --device cpu does without the GPU"


def build_problem() -> str:
    """Return why the installed PyTorch cannot use the GPUs of this machine, in words; empty where it can.

    A build for CUDA runs with every driver of the same or of a newer major version of CUDA.
    """
    spec = find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return f"PyTorch is not installed: {_REMEDY}"
    facts = runpy.run_path(str(Path(spec.submodule_search_locations[0], "version.py")))
    built_for, build = facts.get("cuda"), f"PyTorch {facts['__version__']}"
    if not built_for:
        return f"this machine has a GPU, but {build} is a build for CPUs only: install one for CUDA; {_REMEDY}"
    supported = driver_cuda_version()
    if supported and int(built_for.partition(".")[0]) > supported[0]:
        newest = f"CUDA {supported[0]}.{supported[1]}"
        return (
            f"{build} is built for CUDA {built_for}, but the driver of the GPU supports {newest} at most: update the"
            f" driver, or install a build of PyTorch for CUDA {supported[0]}; {_REMEDY}"
        )
    return ""

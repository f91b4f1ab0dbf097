"""GPUs of this machine, and which of them this process may use. Nothing here initialises CUDA."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pynvml

from virnucpro_kernels.errors import UsageError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gpu:
    """A GPU, as the driver lists it.

    Attributes:
        uuid: UUID (`GPU-…`); empty where the GPU does not answer.
        name: Name of the product.
        instances: UUIDs (`MIG-…`) of the instances into which it is divided; empty for a whole GPU.
    """

    uuid: str
    name: str
    instances: tuple[str, ...] = ()

    @property
    def units(self) -> tuple[str, ...]:
        """UUIDs that a process can lease: the instances of a divided GPU, else the GPU; none of one that is lost."""
        return self.instances or ((self.uuid,) if self.uuid else ())


@contextmanager
def _nvml() -> Iterator[bool]:
    """Initialise NVML for the block; yield True if a driver is installed.

    Raises:
        UsageError: there is a driver, but it does not work.
    """
    try:
        pynvml.nvmlInit()
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded, pynvml.NVMLError_NoPermission) as error:
        log.debug("no NVIDIA driver: %s", error)
        yield False
        return
    except pynvml.NVMLError as error:
        raise no_answer(error) from error
    try:
        yield True
    except pynvml.NVMLError as error:
        raise no_answer(error) from error
    finally:
        answer_or_none(pynvml.nvmlShutdown)


def no_answer(error: Exception) -> UsageError:
    """Return the error for a driver that fails."""
    return UsageError(
        f"the NVIDIA driver does not answer ({error}); see what nvidia-smi says (after an update of the driver the"
        " machine has to be restarted), or do without the GPU: --device cpu"
    )


def list_gpus() -> list[Gpu]:
    """Return all GPUs of the machine in the order of nvidia-smi; none where there is no driver.

    A GPU that a scheduler keeps from this process is left out, as CUDA leaves it out of its numbers; one that does not
    answer keeps its place.
    """
    with _nvml() as available:
        if not available:
            return []
        found = (_describe(index) for index in range(pynvml.nvmlDeviceGetCount()))
        return [gpu for gpu in found if gpu is not None]


def driver_version() -> str | None:
    """Return the version of the NVIDIA driver, None where there is none."""
    with _nvml() as available:
        return answer_or_none(pynvml.nvmlSystemGetDriverVersion) if available else None


def driver_cuda_version() -> tuple[int, int] | None:
    """Return the newest version of CUDA that the NVIDIA driver supports, None where there is no driver."""
    with _nvml() as available:
        version = answer_or_none(pynvml.nvmlSystemGetCudaDriverVersion) if available else None
    return (version // 1000, version % 1000 // 10) if version else None


def _describe(index: int) -> Gpu | None:
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        return Gpu(pynvml.nvmlDeviceGetUUID(handle), pynvml.nvmlDeviceGetName(handle), tuple(_instances(handle)))
    except pynvml.NVMLError_NoPermission as error:
        log.debug("GPU %d is not for this process: %s", index, error)
        return None
    except pynvml.NVMLError as error:
        log.warning("GPU %d does not answer (%s) and is not used; see what nvidia-smi says", index, error)
        return Gpu("", "")


def _instances(handle: Any) -> Iterator[str]:
    if answer_or_none(lambda: pynvml.nvmlDeviceGetMigMode(handle)[0]) != pynvml.NVML_DEVICE_MIG_ENABLE:
        return
    for index in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            part = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
        except pynvml.NVMLError_NotFound:  # a gap: that many are possible, fewer were made
            continue
        yield pynvml.nvmlDeviceGetUUID(part)


def answer_or_none(ask: Callable[[], Any]) -> Any:
    """Return the answer of the driver, or None: a divided GPU has no utilisation, a lost one no values at all."""
    try:
        return ask()
    except pynvml.NVMLError as error:
        log.debug("not known of this GPU: %s", error)
        return None


def visible_units(gpus: Sequence[Gpu], setting: str | None) -> list[str]:
    """Return the UUIDs of the GPUs, or instances of GPUs, that this process may use.

    Args:
        gpus: All GPUs of the machine.
        setting: Value of CUDA_VISIBLE_DEVICES: numbers as in nvidia-smi, UUIDs, or unique beginnings of UUIDs; None
            where it is not set, which allows all.

    Raises:
        UsageError: an entry names no GPU, or several.
    """
    if setting is None:
        return [unit for gpu in gpus for unit in gpu.units]
    units: list[str] = []
    for entry in filter(None, (part.strip() for part in setting.split(","))):
        if entry == "-1":
            break
        if entry.isdigit():
            found = [gpu.units for gpu in gpus[int(entry) : int(entry) + 1]]
        else:
            found = [gpu.units for gpu in gpus if gpu.uuid.startswith(entry)]
            found += [(part,) for gpu in gpus for part in gpu.instances if part.startswith(entry)]
        if len(found) != 1:
            raise UsageError(
                f"CUDA_VISIBLE_DEVICES={setting}: {entry!r} names {len(found) or 'no'} GPUs of this machine"
                f" ({', '.join(unit for gpu in gpus for unit in gpu.units) or 'which has none'}); correct or unset it"
            )
        units += [unit for unit in found[0] if unit not in units]
    return units


def count_gpus() -> int:
    """Return how many GPUs, or instances of divided ones, this process may use; none on a machine without a driver."""
    gpus = list_gpus()
    return len(visible_units(gpus, os.environ.get("CUDA_VISIBLE_DEVICES"))) if gpus else 0


def can_be_shared(unit: str, needed: int) -> bool:
    """Whether a GPU, or an instance of one, takes another process, and has so many bytes free for it.

    A driver that does not answer is no error here: without an answer, nothing is shared.
    """
    try:
        with _nvml() as available:
            if not available:
                return False
            handle = pynvml.nvmlDeviceGetHandleByUUID(unit)
            mode = answer_or_none(lambda: pynvml.nvmlDeviceGetComputeMode(handle))  # not known of an instance
            free = answer_or_none(lambda: pynvml.nvmlDeviceGetMemoryInfo(handle).free)
    except UsageError as error:
        log.warning("no other job gets ready on GPU %s: %s", unit, error)
        return False
    return mode in (None, pynvml.NVML_COMPUTEMODE_DEFAULT) and free is not None and free >= needed


def are_alike(gpus: Sequence[Gpu], units: Sequence[str]) -> bool:
    """Whether these UUIDs are of a single GPU, or of whole GPUs of one product, so that no job is better off on one."""
    of_units = [gpu for gpu in gpus if set(gpu.units) & set(units)]
    return len(units) == 1 or (len({gpu.name for gpu in of_units}) == 1 and not any(gpu.instances for gpu in of_units))


def name_of(unit: str) -> str:
    """Return the name of a GPU, or of the GPU of an instance; `cuda` where it does not answer."""
    return next((gpu.name for gpu in list_gpus() if unit in gpu.units), "cuda")

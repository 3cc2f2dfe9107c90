"""Which NVIDIA GPU is here, if any? The driver's own libraries say, so PyTorch is not loaded to find out."""

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from engines.errors import EngineUnavailable

DRIVER, MANAGEMENT = "libcuda.so.1", "libnvidia-ml.so.1"

MAJOR, MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of cuda.h."""

SM = 1
"""NVML_CLOCK_SM of nvml.h: the clock of the GPU's processors."""

Load = Callable[[str], Any]


@dataclass(frozen=True)
class Gpu:
    """The first GPU: its name, its compute capability as "8.6", and the version of the driver as "580.65.06"."""

    name: str
    capability: str
    driver: str


def absent(load: Load = ctypes.CDLL) -> str | None:
    """Why no GPU can be used, or None if one can."""
    try:
        _device(load)
    except EngineUnavailable as error:
        return str(error)
    return None


def gpu(load: Load = ctypes.CDLL) -> Gpu:
    """The first GPU. Raises EngineUnavailable."""
    cuda, device = _device(load)
    name = ctypes.create_string_buffer(256)
    _check(cuda.cuDeviceGetName(name, len(name), device), "cuDeviceGetName")
    major, minor = (_attribute(cuda, device, which) for which in (MAJOR, MINOR))
    version = ctypes.create_string_buffer(96)
    with _management(load) as nvml:
        _check(nvml.nvmlSystemGetDriverVersion(version, len(version)), "nvmlSystemGetDriverVersion")
    return Gpu(name.value.decode(), f"{major}.{minor}", version.value.decode())


def clocks_mhz(load: Load = ctypes.CDLL) -> tuple[int, int]:
    """The first GPU's present clock, which falls when it idles, and its highest. Raises EngineUnavailable."""
    cuda, device = _device(load)
    bus = ctypes.create_string_buffer(32)  # the two libraries may count the GPUs in another order
    _check(cuda.cuDeviceGetPCIBusId(bus, len(bus), device), "cuDeviceGetPCIBusId")
    now, most, handle = ctypes.c_uint(), ctypes.c_uint(), ctypes.c_void_p()
    with _management(load) as nvml:
        _check(nvml.nvmlDeviceGetHandleByPciBusId_v2(bus, ctypes.byref(handle)), "nvmlDeviceGetHandleByPciBusId_v2")
        _check(nvml.nvmlDeviceGetClockInfo(handle, SM, ctypes.byref(now)), "nvmlDeviceGetClockInfo")
        _check(nvml.nvmlDeviceGetMaxClockInfo(handle, SM, ctypes.byref(most)), "nvmlDeviceGetMaxClockInfo")
    return now.value, most.value


@contextmanager
def _management(load: Load) -> Iterator[Any]:
    nvml = _library(load, MANAGEMENT)
    _check(nvml.nvmlInit_v2(), "nvmlInit_v2")
    try:
        yield nvml
    finally:
        nvml.nvmlShutdown()


def _device(load: Load) -> tuple[Any, ctypes.c_int]:
    if sys.platform == "win32":
        raise EngineUnavailable("an NVIDIA GPU is used only on Linux")
    cuda = _library(load, DRIVER)
    _check(cuda.cuInit(0), "cuInit")
    device = ctypes.c_int()
    _check(cuda.cuDeviceGet(ctypes.byref(device), 0), "cuDeviceGet")
    return cuda, device


def _attribute(cuda: Any, device: ctypes.c_int, which: int) -> int:
    value = ctypes.c_int()
    _check(cuda.cuDeviceGetAttribute(ctypes.byref(value), which, device), "cuDeviceGetAttribute")
    return value.value


def _library(load: Load, name: str) -> Any:
    try:
        return load(name)
    except OSError as error:
        if name == MANAGEMENT:
            raise EngineUnavailable(
                f"the NVIDIA driver's {name} is not found. A container needs NVIDIA_DRIVER_CAPABILITIES=compute,utility"
            ) from error
        raise EngineUnavailable(f"no NVIDIA GPU here: its driver's {name} is not found") from error


def _check(code: int, call: str) -> None:
    if code != 0:
        raise EngineUnavailable(f"no NVIDIA GPU can be used: {call} of its driver answered {code}")

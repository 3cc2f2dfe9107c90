"""Which NVIDIA GPU is here, if any? Asked of the driver's own libraries, so that nobody loads PyTorch to find out."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engines.errors import EngineUnavailable

DRIVER, MANAGEMENT = "libcuda.so.1", "libnvidia-ml.so.1"

MAJOR, MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of cuda.h."""

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
    management = _library(load, MANAGEMENT)
    version = ctypes.create_string_buffer(96)
    _check(management.nvmlInit_v2(), "nvmlInit_v2")
    _check(management.nvmlSystemGetDriverVersion(version, len(version)), "nvmlSystemGetDriverVersion")
    management.nvmlShutdown()
    return Gpu(name.value.decode(), f"{major}.{minor}", version.value.decode())


def _device(load: Load) -> tuple[Any, ctypes.c_int]:
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
        raise EngineUnavailable(f"no NVIDIA GPU here: its driver's {name} is not found") from error


def _check(code: int, call: str) -> None:
    if code != 0:
        raise EngineUnavailable(f"no NVIDIA GPU can be used: {call} of its driver answered {code}")

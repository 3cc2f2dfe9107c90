"""On which machine was it measured?"""

import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from benchmarks import conditions
from engines import nvidia
from engines.errors import EngineUnavailable

PACKAGES = (
    *("rcdnet-live", "numpy", "opencv-python-headless", "av", "openvino", "onnx", "torch", "timm", "grad-cam"),
    *("torch-tensorrt", "tensorrt-cu13", "nvidia-cudnn-cu13"),
)
"""The packages whose versions change the numbers."""

EXTENSIONS = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_vnni": "VNNI", "avx512_bf16": "BF16", "amx_tile": "AMX"}
"""The processor's extensions on which a network's speed depends, by their flags in /proc/cpuinfo."""


def machine() -> dict[str, Any]:
    """Processor, cores, GPU with its driver (None without one), system and versions. No names of hosts or users."""
    try:
        gpu = asdict(nvidia.gpu())
    except EngineUnavailable:
        gpu = None
    return {
        "cpu": cpu_model(),
        "gpu": gpu,
        "cores_usable": len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else None,
        "cores_logical": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "load_1_min": conditions.load_1_min(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: installed(name) for name in PACKAGES},
    }


def machine_line(facts: Mapping[str, Any]) -> str:
    """``machine`` in one line."""
    return f"{facts['cpu']}, {facts['cores_usable']} cores, load {facts['load_1_min']}, {facts['os']}"


def cpu_model(info: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name, on Linux with those of EXTENSIONS that it has in brackets. Virtual machines whose
    processors have the same name differ in these, and by half in speed.
    """
    lines = info.read_text().splitlines() if info.exists() else []
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = facts.get("model name") or platform.processor() or platform.machine()
    extensions = [title for flag, title in EXTENSIONS.items() if flag in facts.get("flags", "").split()]
    return f"{name} ({', '.join(extensions)})" if extensions else name


def installed(package: str) -> str | None:
    """The version of a package, or None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None

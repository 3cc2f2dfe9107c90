"""NRRD sequences for the tests, with the header that 3D Slicer's documentation shows."""

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ORDERS = {
    "domain domain domain list": "thw",
    "list domain domain domain": "hwt",
    "domain domain list": "thw",
    "vector domain domain domain list": "thwc",
    "RGB-color domain domain list": "thwc",
    "domain domain list vector": "cthw",
}
"""Kinds of the axes, the fastest first -> the same of frames, rows, columns and colours (thwc), the slowest first."""


def write_nrrd(
    path: Path,
    values: NDArray[np.uint8],
    order: str = "domain domain domain list",
    *,
    index: str = "",
    label: str = "time",
    packed: bool = False,
    **header: str,
) -> Path:
    """``values`` [frames, H, W] or [frames, H, W, 3], in one of ORDERS; ``index`` has a value for each frame, ``label``
    says of what. ``header`` replaces or adds fields, ``_`` for a blank, and leaves one out where it is empty."""
    axes = order.split()
    frame = axes.index("list") if "list" in axes else len(axes)
    data = np.ascontiguousarray(np.einsum(f"thw{'c' * (values.ndim - 3)}->{ORDERS.get(order, 'thw')}", values))
    sides, sizes, steps = [values.shape[2], values.shape[1], 1], [], []
    for kind in axes:
        is_side = kind == "domain"
        sizes.append(sides.pop(0) if is_side else values.shape[0] if kind == "list" else 3)
        steps.append(["(0.2,0,0)", "(0,0.2,0)", "(0,0,1)"][2 - len(sides)] if is_side else "none")
    fields = {
        "type": "unsigned char",
        "dimension": str(len(axes)),
        "space": "left-posterior-superior",
        "sizes": " ".join(map(str, sizes)),
        "space directions": " ".join(steps),
        "kinds": order,
        "labels": " ".join(f'"{label * (axis == frame)}"' for axis in range(len(axes))),
        "encoding": "gzip" if packed else "raw",
        "space origin": "(0,0,0)",
    } | {key.replace("_", " "): value for key, value in header.items() if not key.startswith("Seq")}
    lines = ["NRRD0005", "# Complete NRRD file format specification at:"]
    lines += [f"{key}: {value}" for key, value in fields.items() if value]
    lines += [f"{key}:={value}" for key, value in header.items() if key.startswith("Seq")]
    lines += ["DataNodeClassName:=vtkMRMLScalarVolumeNode", f"axis {frame} index type:=numeric"]
    lines += [f"axis {frame} index values:={index}"] * bool(index)
    pixels = gzip.compress(data.tobytes()) if packed else data.tobytes()
    path.write_bytes("\n".join(lines).encode() + b"\n\n" + pixels)
    return path

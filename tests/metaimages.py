"""MetaImage sequences for the tests, written as PLUS writes them."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = {"uint8": "MET_UCHAR", "uint16": "MET_USHORT"}


def write_metaimage(
    path: Path, values: NDArray[Any], *, times_s: list[float] | None = None, packed: bool = False, **header: str
) -> Path:
    """``values`` [frames, H, W] or [frames, H, W, 3]; ``header`` replaces or adds entries."""
    pixels = values.tobytes()
    if packed:
        pixels = zlib.compress(pixels)
    entries = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": str(packed),
        **({"CompressedDataSize": str(len(pixels))} if packed else {}),
        "ElementSpacing": "0.2 0.2 1",
        "DimSize": " ".join(map(str, (values.shape[2], values.shape[1], values.shape[0]))),
        "ElementNumberOfChannels": str(values.shape[3] if values.ndim == 4 else 1),
        "ElementType": KINDS[np.dtype(values.dtype).name],
        "UltrasoundImageOrientation": "MF",
    }
    for number, at_s in enumerate(times_s or []):
        entries[f"Seq_Frame{number:04d}_Timestamp"] = f"{at_s:.6f}"
        entries[f"Seq_Frame{number:04d}_ImageStatus"] = "OK"
    lines = [f"{key} = {value}" for key, value in (entries | header | {"ElementDataFile": "LOCAL"}).items()]
    path.write_bytes("\n".join(lines).encode() + b"\n" + pixels)
    return path

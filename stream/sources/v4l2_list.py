"""Which V4L2 devices of this machine, as Linux lists them, give pictures?"""

import os
import struct
from pathlib import Path

from stream.sources.uri import printable

SYSFS = Path("/sys/class/video4linux")
"""Where Linux lists its capture devices."""

BY_ID = Path("/dev/v4l/by-id")
"""Where udev links them by maker and serial number."""

VIDIOC_QUERYCAP, VIDEO_CAPTURE = 0x80685600, 0x1 | 0x1000
"""<linux/videodev2.h>: the question, and the answers V4L2_CAP_VIDEO_CAPTURE and V4L2_CAP_VIDEO_CAPTURE_MPLANE."""

CAPABILITY = struct.Struct("84x2I12x")
"""struct v4l2_capability: capabilities of the whole card, device_caps of this node."""


def v4l2_devices(sysfs: Path = SYSFS, by_id: Path = BY_ID) -> dict[str, str]:
    """URI -> name of each, in order; empty where there is none.

    The URI is what stays when a card is plugged in again, where there is such a thing: its number changes.
    """
    found = [path for path in sysfs.glob("video*") if path.name[5:].isdecimal()]
    found.sort(key=lambda path: int(path.name[5:]))
    own = {link.resolve().name: link for link in by_id.glob("*")}
    nodes = {path: own.get(path.name, Path("/dev") / path.name) for path in found}
    return {f"v4l2:{node}": _device_name(path) for path, node in nodes.items() if delivers_pictures(node)}


def delivers_pictures(node: Path) -> bool:
    """False for a V4L2 device without a picture, as the second one of each webcam: it tells of the pictures' making.

    True for one that cannot be asked; whoever opens it will be told why.
    """
    import fcntl  # which Windows lacks

    told = bytearray(CAPABILITY.size)
    try:
        device = os.open(node, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return True
    try:
        fcntl.ioctl(device, VIDIOC_QUERYCAP, told)
    except OSError:
        return True
    finally:
        os.close(device)
    *_, of_this_node = CAPABILITY.unpack(told)
    return bool(of_this_node & VIDEO_CAPTURE)


def _device_name(folder: Path) -> str:
    try:
        return printable((folder / "name").read_text(errors="replace").strip())
    except OSError:  # unplugged since it was listed
        return "unknown"

"""What a capture device does, on the kernel's virtual one; run in the guest by boot.py, not by ``make test``."""

import fcntl
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice, pairwise
from pathlib import Path
from threading import Thread

import psutil
import pytest

from stream.errors import SourceError
from stream.sources import open_here, open_source
from stream.sources.device import devices
from stream.types import Frame

DRIVER = Path("/sys/bus/platform/drivers/vivid")
CARD = "vivid.0"
CAMERA = "v4l2:/dev/video0"

VIDIOC_QUERYCTRL, VIDIOC_S_CTRL, NEXT = 0xC0445624, 0xC008561C, 0x80000000
"""<linux/videodev2.h>"""


def first(uri: str, count: int) -> list[Frame]:
    with open_here(uri) as source:
        return list(islice(source.frames(), count))


@contextmanager
def control(name: str, value: int) -> Iterator[None]:
    """Set one of the driver's own controls, found by its name, and set it back to 0."""
    with Path("/dev/video0").open("rb", buffering=0) as device:
        found = 0
        while True:
            query = bytearray(struct.pack("68x"))
            struct.pack_into("I", query, 0, found | NEXT)
            fcntl.ioctl(device, VIDIOC_QUERYCTRL, query)  # raises OSError after the last one
            found = struct.unpack_from("I", query)[0]
            if query[8:40].rstrip(b"\0").decode() == name:
                break
        fcntl.ioctl(device, VIDIOC_S_CTRL, struct.pack("Ii", found, value))
        try:
            yield
        finally:
            fcntl.ioctl(device, VIDIOC_S_CTRL, struct.pack("Ii", found, 0))


def until(holds: Callable[[], bool]) -> None:
    """Wait for it; the test's own timeout ends the wait."""
    while not holds():
        pass


def test_it_is_listed_and_its_second_device_for_metadata_is_not() -> None:
    assert len(list(Path("/sys/class/video4linux").glob("video*"))) == 2
    assert devices() == {CAMERA: "vivid-000-vid-cap"}


@pytest.mark.parametrize("size", ["320x180", "640x360", "1280x720"])
@pytest.mark.parametrize("pixels", ["yuyv422", "rgb24"])
def test_size_and_format_are_negotiated(size: str, pixels: str) -> None:
    frames = first(f"{CAMERA}?size={size}&format={pixels}", 3)
    width, height = map(int, size.split("x"))
    assert {frame.rgb.shape for frame in frames} == {(height, width, 3)}
    assert all(frame.rgb.std() > 20 for frame in frames)  # colour bars


def test_time_and_index_grow() -> None:
    frames = first(f"{CAMERA}?size=320x180", 10)
    assert [frame.index for frame in frames] == list(range(10))
    assert all(b.pts_s > a.pts_s and b.captured_ns > a.captured_ns for a, b in pairwise(frames))


def test_a_size_that_it_does_not_have_is_refused() -> None:
    with pytest.raises(SourceError, match="may not know the size"):
        first(f"{CAMERA}?size=333x222", 1)


def test_a_format_that_it_does_not_have_is_refused() -> None:
    with pytest.raises(SourceError, match="cannot be opened"):
        open_here(f"{CAMERA}?format=h264")


def test_a_card_in_use_is_said_to_be() -> None:
    with open_here(f"{CAMERA}?size=320x180") as source:
        frames = source.frames()
        next(frames)
        with pytest.raises(SourceError, match="Close the other program"):
            first(f"{CAMERA}?size=320x180", 1)


def test_buffers_that_the_driver_dropped_are_gaps_in_time() -> None:
    with control("Percentage of Dropped Buffers", 50):
        gaps = [b.pts_s - a.pts_s for a, b in pairwise(first(f"{CAMERA}?size=320x180", 40))]
    assert max(gaps) > 1.5 * min(gaps)


def test_an_unplugged_card_breaks_off_and_comes_back_when_it_is_plugged_in() -> None:
    process = psutil.Process()
    with open_source(f"{CAMERA}?size=320x180") as source:
        frames = source.frames()
        indices: list[int] = []
        reader = Thread(target=lambda: indices.extend(frame.index for frame in frames))
        reader.start()
        held: list[tuple[int, int]] = []
        for _ in range(3):
            seen = len(indices)
            until(lambda seen=seen: source.trouble is None and len(indices) > seen)
            held.append((process.num_fds(), process.num_threads()))
            (DRIVER / "unbind").write_text(CARD)
            assert devices() == {}
            until(lambda: source.trouble is not None)
            (DRIVER / "bind").write_text(CARD)
    reader.join()
    assert indices == sorted(set(indices))
    assert len(set(held)) == 1

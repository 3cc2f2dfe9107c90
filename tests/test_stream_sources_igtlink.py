"""Pictures of a real pyigtl server arrive as they were sent; what is none, or never comes, is told."""

import socket
import struct
from itertools import islice
from threading import Thread

import numpy as np
import pytest
from pyigtl import ImageMessage, StringMessage

from stream.errors import SourceError, UsageError
from stream.sources import igtlink, open_here
from stream.sources.igtlink import address_of, to_rgb
from tests.igtlink import ImageServer, grey


def test_pictures_arrive_as_they_were_sent() -> None:
    with ImageServer() as server, open_here(server.uri) as source:
        frames = list(islice(source.frames(), 5))
    for frame in frames:
        sent = grey(int(frame.rgb[0, 0, 0])).image[0]
        assert np.array_equal(frame.rgb, sent[..., None].repeat(3, 2))
        assert frame.mm_per_px == pytest.approx((0.2, 0.2))


def one_of(*messages: ImageMessage | StringMessage):
    return lambda number: messages[number % len(messages)]


@pytest.mark.parametrize(
    ("voxels", "expected"),
    [
        (np.arange(36, dtype=np.uint8).reshape(1, 3, 4, 3), np.arange(36).reshape(3, 4, 3)),
        (np.arange(48, dtype=np.uint8).reshape(1, 3, 4, 4), np.arange(48).reshape(3, 4, 4)[..., :3]),
        (np.arange(12, dtype="<u2").reshape(1, 3, 4) << 8, np.arange(12).reshape(3, 4, 1).repeat(3, 2)),
        ((np.arange(12) << 8).astype(">u2").reshape(1, 3, 4), np.arange(12).reshape(3, 4, 1).repeat(3, 2)),
        (np.arange(12, dtype=np.uint8).reshape(3, 4, 1), np.arange(12).reshape(3, 4, 1).repeat(3, 2)),
    ],
    ids=["rgb", "rgba", "deep", "big endian", "an array without k"],
)
def test_every_kind_of_voxel(voxels: np.ndarray, expected: np.ndarray) -> None:
    assert np.array_equal(to_rgb(voxels, "server"), expected)


@pytest.mark.parametrize(
    "voxels", [np.zeros((3, 4, 5), np.uint8), np.zeros((1, 4, 5), np.float32), np.zeros((1, 4, 5, 2), np.uint8)]
)
def test_what_is_no_picture_is_told(voxels: np.ndarray) -> None:
    sent = ImageMessage(voxels, device_name="Image")
    with (
        ImageServer(one_of(sent)) as server,
        open_here(server.uri) as source,
        pytest.raises(SourceError, match="Expected one 8 or 16 bit picture"),
    ):
        next(source.frames())


def test_oblong_pixels_become_square() -> None:
    sent = ImageMessage(np.zeros((1, 30, 40), np.uint8), np.diag((0.2, 0.1, 1, 1)), device_name="Image")
    with ImageServer(one_of(sent)) as server, open_here(server.uri) as source:
        frame = next(source.frames())
    assert (frame.rgb.shape, frame.mm_per_px) == ((30, 80, 3), pytest.approx((0.1, 0.1)))


def test_a_spacing_of_one_says_nothing() -> None:
    sent = ImageMessage(np.zeros((1, 3, 4), np.uint8), device_name="Image")
    with ImageServer(one_of(sent)) as server, open_here(server.uri) as source:
        assert next(source.frames()).mm_per_px is None


def test_other_messages_and_other_devices_are_passed_over() -> None:
    other = ImageMessage(np.zeros((1, 30, 40), np.uint8), device_name="Other")
    text = StringMessage("text", device_name="Text")
    with ImageServer(one_of(grey(7), text, other)) as server, open_here(server.uri) as source:
        shapes = {frame.rgb.shape for frame in islice(source.frames(), 4)}
    assert len(shapes) == 1


def test_a_server_that_stays_silent_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(igtlink, "SILENCE_S", 0.3)
    text = StringMessage("no picture", device_name="Text")
    with (
        ImageServer(one_of(text)) as server,
        open_here(server.uri) as source,
        pytest.raises(SourceError, match="sent no picture"),
    ):
        next(source.frames())


def answering(answer: bytes) -> int:
    """Port of a server that sends this and hangs up."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with server:
            connection, _ = server.accept()
            with connection:
                connection.sendall(answer)

    Thread(target=serve, daemon=True).start()
    return server.getsockname()[1]


HEADER = struct.Struct("> H 12s 20s II Q Q")
LATIN_1 = struct.pack("> HHII HHHI 2s", 12, 10, 2, 0, 1, 1, 4, 1, b"kv")
"""A body of nothing but metadata, k = v, in letters that pyigtl does not know."""


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"", "hung up"),
        (grey(0).pack()[:-5], "hung up"),
        (b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\n\r\n" + bytes(99), "other than OpenIGTLink"),
        (HEADER.pack(1, b"IMAGE", b"x", 0, 0, 2**60, 0), "other than OpenIGTLink"),
        (HEADER.pack(1, b"IMAGE", b"x", 0, 0, 10, 0) + bytes(10), "other than OpenIGTLink"),
        (HEADER.pack(1, b"\xff\xfe", b"x", 0, 0, 10, 0) + bytes(10), "other than OpenIGTLink"),
        (HEADER.pack(2, b"IMAGE", b"x", 0, 0, len(LATIN_1), 0) + LATIN_1, "other than OpenIGTLink"),
    ],
    ids=[
        "nothing",
        "half",
        "http",
        "a body of 2**60 bytes",
        "a body of 10 bytes",
        "a type not in ASCII",
        "Latin-1 in version 2",
    ],
)
def test_a_server_that_breaks_off_or_speaks_otherwise_is_told(answer: bytes, says: str) -> None:
    with open_here(f"igtl://127.0.0.1:{answering(answer)}") as source, pytest.raises(SourceError, match=says):
        next(source.frames())


def test_an_address() -> None:
    assert address_of("igtl://slicer") == ("slicer", 18944)
    assert address_of("igtl://[::1]:7") == ("::1", 7)


@pytest.mark.parametrize(
    "uri",
    [
        "igtl:slicer",
        "igtl://",
        "igtl://host:port",
        "igtl://host/image",
        "igtl://host:99999",
        "igtl://name:pass@10#word@host",
        "udp://host:5000",
    ],
)
def test_what_is_no_address_is_wrong_use(uri: str) -> None:
    with pytest.raises(UsageError, match="Expected igtl://host:18944"):
        address_of(uri)

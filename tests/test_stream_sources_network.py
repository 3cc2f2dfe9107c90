"""Real senders on loopback sockets: received, killed, started again, and no secret of an address is ever told."""

import socket
import traceback
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.errors import SourceError, StreamError, UsageError
from stream.sources import network, open_here, open_source
from stream.sources.decode import Arrival
from stream.sources.uri import without_secrets
from stream.types import Frame
from stream.web.control import label
from tests.clips import picture, write_scenes
from tests.senders import PASSWORD, Sender


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sent")


@pytest.mark.parametrize("kind", ["tcp", "udp", "http", "http-ts", "rtsp"])
def test_what_is_sent_arrives(kind: str, folder: Path) -> None:
    with Sender(kind, folder) as sender, open_here(sender.uri) as source:
        frames = list(islice(source.frames(), 20))
        assert source.name == f"{sender.uri.partition(':')[0]}://127.0.0.1:{sender.port}"
    assert [frame.index for frame in frames[1:]] == [frame.index + 1 for frame in frames[:-1]]
    errors = [np.abs(frames[-1].rgb.astype(int) - picture(number)).mean() for number in range(400)]
    assert min(errors) < 20  # against 50 for any other picture


@pytest.mark.parametrize("part_type", ["image/jpg", "image/jpeg; charset=binary"])
def test_mjpeg_is_read_whatever_its_parts_are_called(folder: Path, part_type: str) -> None:
    sender = Sender("http", folder)
    sender.part_type = part_type
    with sender, open_here(sender.uri) as source:
        frames = list(islice(source.frames(), 5))
        assert (source.fps, source.damaged) == (None, 0)
    for frame in frames:
        assert min(np.abs(frame.rgb.astype(int) - picture(number)).mean() for number in range(400)) < 20


def test_a_jpeg_that_was_cut_short_is_no_picture(folder: Path) -> None:
    sender = Sender("http", folder)
    sender.cut_short = True
    with sender, open_here(sender.uri) as source:
        frames = list(islice(source.frames(), 20))
        assert source.damaged >= 19
    whole = [picture(number) for number in range(0, 400, 2)]
    for frame in frames:
        assert min(np.abs(frame.rgb.astype(int) - each).mean() for each in whole) < 20


@pytest.mark.parametrize("slices", [1, 4])
def test_no_picture_of_h264_that_is_made_from_a_damaged_one_is_shown(tmp_path: Path, slices: int) -> None:
    whole = write_scenes(tmp_path / "whole.ts", b_frames=0, slices=slices).read_bytes()
    starts = [at for at in range(0, len(whole), 188) if whole[at + 1 : at + 3] == b"\x41\x00"]  # of each picture
    damaged = bytearray(whole)
    for at in range(starts[10] + 3 * 188 + 50, starts[10] + 3 * 188 + 100):
        damaged[at] ^= 0x55
    frames, lost = received_once(bytes(damaged))
    assert lost
    assert not [frame.index for frame in frames if 10 <= frame.index < 20]
    assert {*range(10), *range(20, 39)} <= {frame.index for frame in frames}
    for frame in frames:
        assert np.abs(frame.rgb.astype(int) - picture(frame.index // 10, 240, 320)).mean() < 6


def received_once(stream_bytes: bytes) -> tuple[list[Frame], int]:
    """The frames of a sender that sends this and hangs up, and how many more were damaged."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def send() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(stream_bytes)

        Thread(target=send, daemon=True).start()
        with open_here(f"tcp://127.0.0.1:{server.getsockname()[1]}") as source:
            return list(source.frames()), source.damaged


@pytest.mark.parametrize("kind", ["tcp", "http", "rtsp"])
def test_a_sender_that_is_killed_ends_the_frames(kind: str, folder: Path) -> None:
    with Sender(kind, folder) as sender, open_here(sender.uri) as source:
        frames = source.frames()
        next(frames)
        sender.kill()
        with suppress(SourceError):  # by protocol an end or a break
            list(frames)
        assert next(frames, None) is None


def test_a_silence_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "SILENCE_S", 1.0)
    with Sender("udp", folder) as sender, open_here(sender.uri) as source:
        frames = source.frames()
        next(frames)
        sender.kill()
        with pytest.raises(SourceError, match="sent no picture for 1 s"):
            list(frames)


class Clock:
    """Stands while nothing comes."""

    now_ns = 0

    def perf_counter_ns(self) -> int:
        return self.now_ns

    def after(self, *pauses_s: float) -> Iterator[Arrival]:
        """What arrives after these pauses; the third is damaged."""
        for number, pause_s in enumerate(pauses_s):
            self.now_ns += round(pause_s * 1e9)
            yield Arrival(self.now_ns, rgb=None if number == 2 else picture(number))


@pytest.fixture
def received(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[network.NetworkSource, Clock]]:
    with Sender("tcp", folder) as sender, network.NetworkSource(sender.uri) as source:
        clock = Clock()
        monkeypatch.setattr(network, "time", clock)
        yield source, clock


def test_a_silence_is_counted_from_the_last_picture_on(received: tuple[network.NetworkSource, Clock]) -> None:
    source, clock = received
    frames = list(source._received(clock.after(1.5, 1.5, 1.5, 1.5)))
    assert [frame.pts_s for frame in frames] == pytest.approx([0, 1.5, 4.5])
    assert [frame.index for frame in frames] == [0, 1, 3]
    assert source.damaged == 1


def test_what_ffmpeg_hands_out_as_it_gives_up_is_no_picture(received: tuple[network.NetworkSource, Clock]) -> None:
    source, clock = received
    frames = source._received(clock.after(0.1, 2.1))
    next(frames)
    with pytest.raises(SourceError, match="sent no picture for 2 s"):
        next(frames)


def test_a_silence_that_is_closed_is_not_told(received: tuple[network.NetworkSource, Clock]) -> None:
    source, clock = received
    frames = source._received(clock.after(0.1, 2.1))
    next(frames)
    source.close()
    assert next(frames, None) is None


def test_close_from_another_thread_ends_a_silent_stream(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "SILENCE_S", 5.0)  # within this FFmpeg lets go
    came = Event()
    with Sender("udp", folder) as sender:
        source = open_here(sender.uri)
        reader = Thread(target=lambda: [came.set() for _ in source.frames()])
        reader.start()
        assert came.wait(60)
    source.close()
    reader.join(20)
    assert not reader.is_alive()


def test_nobody_there_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(SourceError, match="Nothing listens there"):
        open_source(f"tcp://127.0.0.1:{port}")


def test_a_sender_that_accepts_and_says_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "OPEN_TIMEOUT_S", 0.3)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(SourceError, match=r"127\.0\.0\.1.*Nothing came"),
    ):
        open_source(f"http://user:{PASSWORD}@127.0.0.1:{server.getsockname()[1]}/video?token={PASSWORD}")


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///a.ts\n"


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        ("200 OK", PLAYLIST, "no playlist"),
        ("200 OK", "<p>" * 9999, "no playlist"),
        ("401 Unauthorized", "", "Write the name and password"),
        ("404 Not Found", "", "404 Not Found.*Check the address"),
    ],
    ids=["a playlist", "a page", "no password", "a wrong path"],
)
def test_how_to_mend_an_address_that_sends_no_video_is_told(status: str, body: str, words: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(f"HTTP/1.0 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())

        Thread(target=answer, daemon=True).start()
        with pytest.raises(SourceError, match=words):
            open_source(f"http://127.0.0.1:{server.getsockname()[1]}/a.m3u8")


def test_a_camera_that_sends_over_udp_alone_is_told(folder: Path) -> None:
    sender = Sender("rtsp", folder)
    sender.transport = "461 Unsupported Transport"
    with sender, pytest.raises(SourceError, match="Expected RTSP over TCP"):
        open_here(sender.uri)


def test_the_rate_that_a_camera_announces_is_known(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "OPEN_TIMEOUT_S", 1.0)  # for pictures, of which this camera sends none
    sender = Sender("rtsp", folder)
    sender.media = "m=video 0 RTP/AVP 26\r\na=framerate:12.5\r\n"
    with sender, open_here(sender.uri) as source:
        assert source.fps == 12.5


def test_an_address_without_a_host_is_wrong_use() -> None:
    with pytest.raises(UsageError, match="rtsp: names no host"):
        open_source("rtsp:camera")


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("udp://", "udp:// names no port"),
        ("tcp://127.0.0.1", r"tcp://127\.0\.0\.1 names no port"),
        ("udp://:70000", r"udp://:70000: there is no such port"),
        ("rtsp://127.0.0.1:0/a", r"rtsp://127\.0\.0\.1:0: there is no such port"),
    ],
)
def test_an_address_without_a_possible_port_is_wrong_use(uri: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        open_source(uri)


def test_a_port_is_found_before_options_that_may_hold_anything() -> None:
    with pytest.raises(SourceError, match="Connection refused"):
        open_source("tcp://127.0.0.1:1?to=a@b/c:70000")


SECRET = st.text(st.sampled_from("QXZ0/?#@:&=%\\ é"), min_size=6, max_size=12).map(lambda text: f"Q{text}Z")
"""Where a part of it is taken for a host, that is none, or 0, which is this machine."""


@given(
    SECRET,
    st.sampled_from(["rtsp", "srt", "http", "tcp", "igtl", "nope"]),
    st.sampled_from(["user:{}@{}", "{}@{}", "{1}/path?token={0}", "{1}?passphrase={0}", "{1}/{0}", "{1}#{0}"]),
)
@example("Qp/w@rdZ", "rtsp", "user:{}@{}")
@example("Q8554Z", "http", "{1}?{0}")
def test_no_secret_is_told(secret: str, scheme: str, form: str) -> None:
    uri = f"{scheme}://{form.format(secret, '127.0.0.1:1')}"
    assert secret not in without_secrets(uri) + label(uri) + label(f"faults:die@1+1/{uri}")
    with pytest.raises(StreamError) as caught:
        open_here(uri)
    assert secret not in "".join(traceback.format_exception(caught.value))
    assert len(str(caught.value).splitlines()) == 1

"""Capture devices: everything that can be shown without a card, the rest through FFmpeg's own test sources."""

import sys
from itertools import pairwise

import av
import numpy as np
import pytest

from stream.errors import SourceError, UsageError
from stream.sources import open_source
from stream.sources.decode import Arrival
from stream.sources.device import (
    AvfoundationSource,
    DeviceSource,
    DshowSource,
    LavfiSource,
    names_one_device,
)
from stream.sources.uri import split


def test_a_missing_device_is_told_with_the_mend() -> None:
    with pytest.raises(SourceError, match=r"/dev/video97 is not there.*python -m stream devices"):
        open_source("v4l2:/dev/video97?size=1280x720&fps=60&format=mjpeg")


def test_what_is_no_capture_device_is_refused() -> None:
    with pytest.raises(SourceError, match=r"/dev/null cannot be opened.*not a capture device"):
        open_source("v4l2:/dev/null")


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("v4l2:", "names no device"),
        ("v4l2:/dev/null?size=big", "option size='big'.*WIDTHxHEIGHT"),
        ("v4l2:/dev/null?fps=-1", "option fps='-1'.*frames a second"),
        ("v4l2:/dev/null?format=a:b", "option format='a:b'.*like mjpeg"),
        ("v4l2:/dev/null?colour=1", "unknown option 'colour'. Accepted: size, fps, format"),
        ("lavfi:", "names no filter graph"),
        ("dshow:", "names no device. Expected dshow:video=NAME"),
        ("dshow:Cam", "names no device. Expected dshow:video=NAME"),
        ("dshow:video=?size=640x480", "names no device"),
        ("dshow:video=Cam:audio=Mic", "takes what follows a colon for a sound device"),
        ("avfoundation:", "names no device. Expected avfoundation:NAME"),
        ("avfoundation:0:1", "takes what follows a colon for a sound device"),
    ],
)
def test_nonsense_is_refused_before_anything_is_opened(uri: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        open_source(uri)


def test_a_filter_graph_that_ffmpeg_does_not_know_is_refused() -> None:
    with pytest.raises(SourceError, match="'nonsense=1'"):
        open_source("lavfi:nonsense=1")


def test_a_test_source_delivers_what_it_says() -> None:
    with open_source("lavfi:testsrc2=size=66x42:rate=40:duration=0.5", live=False) as source:
        frames = list(source.frames())
    assert len(frames) == 20
    assert frames[0].rgb.shape == (42, 66, 3)
    assert frames[-1].pts_s == pytest.approx(19 / 40)
    assert source.fps == 40
    assert source.synthetic


class Played(DeviceSource):
    """A card played by a test source: it delivers its own size whatever is asked, and all pictures at once."""

    def _connect(self, target: str, asked: dict[str, str]):
        return LavfiSource._connect(self, target, asked)

    FORMAT = "lavfi"


def test_a_picture_that_arrived_damaged_has_a_number_and_is_counted() -> None:
    rgb = np.zeros((48, 64, 3), np.uint8)
    with Played("testsrc2=size=64x48") as source:
        frames = list(source._received(iter([Arrival(1, 0.0, rgb), Arrival(2), Arrival(3, 0.1, rgb)])))
    assert [frame.index for frame in frames] == [0, 2]
    assert source.damaged == 1


def test_another_size_than_the_one_asked_for_is_told() -> None:
    with pytest.raises(SourceError, match="delivers 320x240, not the 640x480 asked for"):
        Played("testsrc2=size=320x240", (640, 480))


@pytest.mark.parametrize(
    "told", ["N+3000*lt(N,9)", "N+3000*eq(N,9)", "N+3000*gte(N,9)"], ids=["back", "one far ahead", "ahead"]
)
def test_times_go_on_where_the_clock_of_a_card_jumps(told: str) -> None:
    with Played(f"testsrc2=size=64x48:rate=30:duration=0.6,setpts='({told})/30/TB'") as source:
        frames = list(source.frames())
    assert len(frames) == 18
    assert all(0 < after.pts_s - before.pts_s < 0.3 for before, after in pairwise(frames))


@pytest.mark.parametrize("uri", ["dshow:video=Cam", "avfoundation:0"])
@pytest.mark.skipif(sys.platform != "linux", reason="Windows and macOS have one of them")
def test_an_input_of_another_system_is_refused(uri: str) -> None:
    with pytest.raises(UsageError, match=r"has no such input on this system.*python -m stream devices"):
        open_source(uri)


@pytest.mark.parametrize(
    ("uri", "name", "options"),
    [
        ("dshow:video=Cam Link 4K", "video=Cam Link 4K", {}),
        (
            "dshow:video=Cam Link 4K?size=640x480&fps=30&format=yuyv422",
            "video=Cam Link 4K",
            {"video_size": "640x480", "framerate": "30", "pixel_format": "yuyv422"},
        ),
        (r"dshow:video=@pnp_\\?\usb#vid_04&pid_06{a}\global", r"video=@pnp_\\?\usb#vid_04&pid_06{a}\global", {}),
        (r"dshow:video=@pnp_\\?\usb#a&b?fps=60", r"video=@pnp_\\?\usb#a&b", {"framerate": "60"}),
        ("avfoundation:0?size=640x480&fps=29.97", "0", {"video_size": "640x480", "framerate": "29.97"}),
        ("avfoundation:What? A card?format=nv12", "What? A card", {"pixel_format": "nv12"}),
    ],
)  # fmt: skip
def test_name_and_options_reach_ffmpeg(
    monkeypatch: pytest.MonkeyPatch, uri: str, name: str, options: dict[str, str]
) -> None:
    """As far as that can be seen here: FFmpeg itself is given a test source under the other system's name."""
    seen = {}

    def instead(file, format, options, timeout):
        seen.update(file=file, format=format, options=options)
        return opens("testsrc2=size=640x480", format="lavfi")

    opens = av.open
    monkeypatch.setattr("stream.sources.device.ffmpeg_has", lambda kind: True)
    monkeypatch.setattr(av, "open", instead)
    scheme, target, query = split(uri)
    kind = {"dshow": DshowSource, "avfoundation": AvfoundationSource}[scheme]
    with kind.opener(target, query, None, False)() as source:
        assert next(source.frames()).rgb.shape == (480, 640, 3)
    assert (seen["format"], seen["file"]) == (scheme, name)
    assert seen["options"].items() >= options.items()
    assert seen["options"].keys() - options.keys() == {"fflags", "max_pixels"}


def test_a_card_on_macos_is_listed_by_its_name_only_where_that_finds_it() -> None:
    titles = ["FaceTime HD Camera", "Cam", "Cam Link", "4K Card", "A: B", "Twin", "Twin", "default"]
    assert [title for title in titles if names_one_device(title, titles)] == ["FaceTime HD Camera", "Cam Link"]

"""Capture devices: everything that can be shown without a card, the rest through FFmpeg's own test sources."""

from pathlib import Path

import pytest

from stream.errors import SourceError, UsageError
from stream.sources import open_source
from stream.sources.device import DeviceSource, LavfiSource, devices


def test_a_missing_device_is_told_with_the_mend() -> None:
    with pytest.raises(SourceError, match=r"/dev/video97 is not there.*python -m stream devices"):
        open_source("v4l2:/dev/video97?size=1280x720&fps=60&format=mjpeg")


def test_what_is_no_capture_device_is_refused() -> None:
    with pytest.raises(SourceError, match=r"/dev/null cannot be opened.*no capture device"):
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


class Resized(DeviceSource):
    """A card that delivers its own size whatever is asked, played by a test source."""

    def _connect(self, target: str, asked: dict[str, str]):
        return LavfiSource._connect(self, target, asked)

    FORMAT = "lavfi"


def test_another_size_than_the_one_asked_for_is_told() -> None:
    with pytest.raises(SourceError, match="delivers 320x240, not the 640x480 asked for"):
        Resized("testsrc2=size=320x240", (640, 480))


def test_devices_are_listed_in_order_with_their_names(tmp_path: Path) -> None:
    for name, label in (("video10", "Card B\n"), ("video2", "Card A\n"), ("v4l-subdev0", "no")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "name").write_text(label)
    (tmp_path / "video11").mkdir()
    assert list(devices(tmp_path).items()) == [
        ("v4l2:/dev/video2", "Card A"),
        ("v4l2:/dev/video10", "Card B"),
        ("v4l2:/dev/video11", "unknown"),
    ]


def test_no_devices_are_no_error(tmp_path: Path) -> None:
    assert devices(tmp_path / "absent") == {}


def test_a_card_is_listed_by_its_own_path_where_it_has_one(tmp_path: Path) -> None:
    for name in ("video0", "video1"):
        (tmp_path / "sys" / name).mkdir(parents=True)
        (tmp_path / name).touch()
    by_id = tmp_path / "by-id"
    by_id.mkdir()
    (by_id / "usb-Maker_Card_123-video-index0").symlink_to(tmp_path / "video1")
    assert list(devices(tmp_path / "sys", by_id)) == [
        "v4l2:/dev/video0",
        f"v4l2:{by_id}/usb-Maker_Card_123-video-index0",
    ]

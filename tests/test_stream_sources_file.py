"""Real clips, and every way in which one can be broken: what can be decoded comes out, the rest is counted or told."""

import re
import struct
from contextlib import suppress
from itertools import islice, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.errors import SourceError, UsageError
from stream.sources import open_here, open_source
from stream.sources.file import ASF_FACTS, FileSource, asf_end_s
from stream.types import Frame
from tests.clips import picture, write_clip
from tests.programs import python


@pytest.fixture(scope="module")
def transport_stream(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_clip(tmp_path_factory.mktemp("whole") / "clip.ts", 40, codec="mpeg2video").read_bytes()


def read_until_it_breaks(path: Path) -> tuple[list[Frame], str, int]:
    frames: list[Frame] = []
    with FileSource(path) as source, pytest.raises(SourceError) as caught:
        frames.extend(source.frames())
    return frames, str(caught.value), source.damaged


@pytest.mark.parametrize(
    ("clip", "frames", "shape", "fps"),
    [
        ("breast_linear_BR001", 56, (526, 526, 3), 20),
        ("thyroid_linear_0002", 91, (256, 256, 3), 20),
        ("scanner_screen_clarius", 50, (960, 1280, 3), 25),
        ("scanner_screen_sonosite", 100, (720, 960, 3), 25),
    ],
)
def test_a_real_clip_gives_every_frame(
    shared_data: Path, clip: str, frames: int, shape: tuple[int, int, int], fps: int
) -> None:
    with open_source(str(shared_data / "clips" / f"{clip}.mp4")) as source:
        read = list(source.frames())
    assert len(read) == frames
    assert {frame.rgb.shape for frame in read} == {shape}
    assert source.fps == fps
    assert read[-1].pts_s == pytest.approx((frames - 1) / fps)
    assert source.damaged == 0


def test_pixels_are_those_that_were_written(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.avi", 5, codec="mjpeg")
    for frame in FileSource(clip).frames():
        assert np.abs(frame.rgb.astype(int) - picture(frame.index)).mean() < 6


@pytest.mark.parametrize("pixels", ["yuv444p", "gray", "gray16le", "yuv444p10le", "bgr0", "yuva444p"])
def test_odd_sizes_grey_alpha_and_deep_pixels_come_as_rgb(tmp_path: Path, pixels: str) -> None:
    clip = write_clip(tmp_path / "clip.mkv", 3, codec="ffv1", size_px=(65, 49), pixels=pixels)
    frames = list(FileSource(clip).frames())
    assert {frame.rgb.shape for frame in frames} == {(49, 65, 3)}
    for frame in frames:
        assert np.abs(frame.rgb.astype(int) - picture(frame.index, 49, 65)).mean() < 4


@pytest.mark.parametrize(
    ("name", "codec", "pause"),
    [
        *(("clip.mkv", "libx264", 10), ("clip.h264", "libx264", 0)),  # which has no times at all
        *(("clip.avi", codec, 10) for codec in ("libx264", "mpeg4", "mjpeg")),  # which has only slots
    ],
)
def test_frames_keep_their_times(tmp_path: Path, name: str, codec: str, pause: int) -> None:
    pts = [*range(30), *range(30 + pause, 36 + pause)]
    clip = write_clip(tmp_path / name, len(pts), codec=codec, pts=pts)
    told = [frame.pts_s for frame in FileSource(clip).frames()]
    assert told == pytest.approx([ticks / 25 for ticks in pts], abs=1e-3)


@pytest.mark.parametrize("second", [0, 30_000], ids=["back to the start", "far ahead"])
@pytest.mark.parametrize("name", ["clip.ts", "clip.mpg"])
def test_times_go_on_where_two_recordings_were_put_in_one_file(tmp_path: Path, name: str, second: int) -> None:
    clip = write_clip(tmp_path / name, 25, codec="mpeg2video")
    other = write_clip(tmp_path / f"other{clip.suffix}", 25, codec="mpeg2video", pts=list(range(second, second + 25)))
    clip.write_bytes(clip.read_bytes() + other.read_bytes())
    told = [frame.pts_s for frame in FileSource(clip).frames()]
    assert len(told) >= 47  # some may be lost where they meet
    assert all(0 < after - before < 0.2 for before, after in pairwise(told))  # MPEG-PS tells some times twice
    assert told[-1] == pytest.approx(49 / 25, abs=0.1)


def test_a_clip_is_whole_in_which_the_clock_of_mpeg_begins_anew(tmp_path: Path) -> None:
    wrap = 2**33 * 25 // 90_000
    clip = write_clip(tmp_path / "clip.ts", 50, codec="mpeg2video", pts=list(range(wrap - 30, wrap + 20)))
    told = [frame.pts_s for frame in FileSource(clip).frames()]
    assert told == pytest.approx([number / 25 for number in range(50)], abs=1e-3)


@pytest.mark.parametrize(
    ("name", "pts"),
    [
        ("clip.avi", [0, 1, 2, 40, 41, 42]),
        ("clip.avi", [100, 101, 102, 103]),
        ("clip.mkv", [100, 101, 102, 103]),
        ("clip.mkv", [0, 1, 2, 50]),
    ],
    ids=["empty slots", "begins late", "begins late", "a long pause"],
)
def test_a_clip_with_fewer_pictures_than_its_length_suggests_is_whole(
    tmp_path: Path, name: str, pts: list[int]
) -> None:
    clip = write_clip(tmp_path / name, len(pts), codec=CODECS[name], pts=pts)
    with FileSource(clip, loop=True) as source:
        read = list(islice(source.frames(), 2 * len(pts) + 1))
    assert (len(read), source.damaged) == (2 * len(pts) + 1, 0)


@pytest.mark.parametrize(("name", "codec"), [("clip.wmv", "wmv2"), ("clip.flv", "flv"), ("clip.mkv", "libx264")])
def test_a_slow_clip_that_does_not_tell_how_long_its_last_picture_lasts_is_whole(
    tmp_path: Path, name: str, codec: str
) -> None:
    clip = write_clip(tmp_path / name, 6, codec=codec, fps=1)
    assert len(list(FileSource(clip).frames())) == 6


@pytest.mark.parametrize(("name", "frames"), [("clip.gif", 1), ("clip.mkv", 1), ("clip.gif", 2)])
def test_a_clip_of_one_picture_need_not_move(tmp_path: Path, name: str, frames: int) -> None:
    codec, pixels = ("gif", "rgb8") if name.endswith("gif") else ("libx264", "yuv420p")
    source = FileSource(write_clip(tmp_path / name, frames, codec=codec, pixels=pixels))
    assert source.still == (frames == 1)


def test_a_clip_closes_although_a_library_has_turned_on_ffmpegs_log(tmp_path: Path) -> None:
    """In a process of its own, which would keep the interpreter's lock for good."""
    program = (
        "import av, sys; from pathlib import Path; from stream.sources.file import FileSource\n"
        "av.logging.set_level(av.logging.ERROR)\n"
        "for _ in range(20):\n"
        "    with FileSource(Path(sys.argv[1])) as source: next(source.frames())\n"
    )
    clip = write_clip(tmp_path / "clip.mp4", 40)
    python("-c", program, clip, check=True, timeout=60)


def test_a_clip_trimmed_without_encoding_is_whole(tmp_path: Path) -> None:
    whole, trimmed = write_clip(tmp_path / "whole.mp4", 40, codec="mpeg4"), tmp_path / "trimmed.mp4"
    with av.open(str(whole)) as reader, av.open(str(trimmed), "w") as writer:
        origin = reader.streams.video[0]
        copy = writer.add_stream_from_template(origin)
        seven_frames = round(7 / 25 / origin.time_base)
        for packet in reader.demux(origin):
            if packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts = packet.pts - seven_frames, packet.dts - seven_frames
                packet.stream = copy
                writer.mux(packet)
    with FileSource(trimmed) as source:
        frames = list(source.frames())
    assert len(frames) == 33
    assert source.damaged == 0


CODECS = {"clip.mp4": "libx264", "clip.avi": "mjpeg", "clip.mkv": "libx264", "clip.webm": "libvpx", "clip.wmv": "wmv2"}


@pytest.mark.parametrize("name", CODECS)
def test_a_clip_cut_short_gives_what_is_left_and_says_so(tmp_path: Path, name: str) -> None:
    muxer = {"movflags": "faststart"} if name.endswith("mp4") else {}
    clip = write_clip(tmp_path / name, 60, codec=CODECS[name], muxer=muxer)
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) // 2])
    frames, message, _ = read_until_it_breaks(clip)
    assert 5 < len(frames) < 55
    assert "cut short or damaged" in message
    assert "of 60 frames" in message or "frames of 2.4 s" in message


def test_a_clip_that_grows_while_it_is_read_is_not_taken_for_a_whole_one(
    transport_stream: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "recorder.ts"
    path.write_bytes(transport_stream[: len(transport_stream) // 2])
    with FileSource(path) as source:
        frames = source.frames()
        next(frames)
        path.write_bytes(transport_stream)
        with pytest.raises(SourceError, match="still being written"):
            list(frames)


def test_a_picture_that_is_cut_in_two_is_not_filled_up(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.avi", 60, codec="mjpeg")
    data = clip.read_bytes()
    begins = data.index(b"00dc", len(data) // 2)
    ends = data.index(b"00dc", begins + 4)
    clip.write_bytes(data[: ends - (ends - begins) // 8])
    frames, _, damaged = read_until_it_breaks(clip)
    assert damaged == 1
    assert np.abs(frames[-1].rgb.astype(int) - picture(len(frames) - 1)).mean() < 8


def test_a_clip_whose_sound_is_longer_is_whole(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "clip.mkv"), "w") as container:
        video, sound = container.add_stream("mjpeg", rate=25), container.add_stream("pcm_s16le", rate=8000)
        video.width, video.height, video.pix_fmt = 64, 48, "yuvj420p"
        for number in range(10):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture(number), format="rgb24")))
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 24_000), np.int16), format="s16", layout="mono")
        samples.rate = 8000
        container.mux(sound.encode(samples))
        container.mux(video.encode(None))
    with FileSource(tmp_path / "clip.mkv") as source:
        assert len(list(source.frames())) == 10


def test_a_recording_that_broke_off_inside_a_fragment_gives_what_is_left_and_says_so(tmp_path: Path) -> None:
    muxer = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    clip = write_clip(tmp_path / "clip.mp4", 20, codec="mjpeg", muxer=muxer)
    data = clip.read_bytes()
    last = data.rindex(b"mdat")
    clip.write_bytes(data[: last + (len(data) - last) // 4])
    frames, message, damaged = read_until_it_breaks(clip)
    assert (len(frames), damaged) == (19, 1)
    assert "19 of 20 frames" in message


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mov"])
def test_a_clip_that_lost_its_index_is_called_incomplete(tmp_path: Path, name: str, ended: bool) -> None:
    clip = write_clip(tmp_path / name, 20)
    data = bytearray(clip.read_bytes())
    if not ended:  # the length of the pictures is not known yet
        pictures = data.index(b"mdat")
        data[pictures - 4 : pictures] = bytes(4)
    clip.write_bytes(data[: data.rindex(b"moov") - 4])
    with pytest.raises(SourceError, match=rf"{name} is incomplete: it lacks the index"):
        open_here(str(clip))


@given(places=st.lists(st.floats(0.3, 0.999), min_size=1, max_size=60), byte=st.integers(0, 255))
@settings(max_examples=30)
def test_a_damaged_transport_stream_gives_frames_counts_and_at_most_one_clear_error(
    transport_stream: bytes, places: list[float], byte: int
) -> None:
    data = bytearray(transport_stream)
    for place in places:
        data[int(place * len(data))] ^= byte
    with TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.ts"
        clip.write_bytes(data)
        frames: list[Frame] = []
        with FileSource(clip) as source, suppress(SourceError):
            frames.extend(source.frames())
    assert len(frames) > 5
    assert frames[-1].index <= len(frames) + source.damaged
    assert all(a.pts_s <= b.pts_s and a.index < b.index for a, b in pairwise(frames))


def test_lost_packets_of_a_transport_stream_are_counted(tmp_path: Path, transport_stream: bytes) -> None:
    clip, data = tmp_path / "clip.ts", bytearray(transport_stream)
    for place in (0.4, 0.6):
        packet = int(place * len(data)) // 188 * 188
        data[packet : packet + 188] = bytes(188)
    clip.write_bytes(data)
    with FileSource(clip) as source:
        frames = list(source.frames())
    assert 2 <= source.damaged <= 10
    assert 28 <= len(frames) <= 40 - source.damaged
    whole = tmp_path / "whole.ts"
    whole.write_bytes(transport_stream)
    sent = {round(25 * frame.pts_s): frame.rgb for frame in FileSource(whole).frames()}
    assert all((frame.rgb == sent[round(25 * frame.pts_s)]).all() for frame in frames)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi"])
def test_damaged_frames_are_counted_and_not_handed_on(tmp_path: Path, name: str) -> None:
    clip = write_clip(tmp_path / name, 60, codec=CODECS[name])
    sent = [frame.rgb for frame in FileSource(clip).frames()]
    data = bytearray(clip.read_bytes())
    middle = len(data) // 2
    if name.endswith("avi"):
        middle = data.index(b"00dc", middle) + 100  # inside of one frame
    data[middle : middle + 100] = np.random.default_rng(0).bytes(100)
    clip.write_bytes(data)
    with FileSource(clip) as source:
        frames = list(source.frames())
    assert 0 < source.damaged < 60
    assert len(frames) + source.damaged == 60
    assert all((frame.rgb == sent[frame.index]).all() for frame in frames)
    if name.endswith("avi"):  # of which each picture stands alone
        assert (source.damaged, frames[-1].index) == (1, 59)


def test_pictures_in_colours_that_do_not_exist_are_damaged(tmp_path: Path) -> None:
    whole, strange = (write_clip(tmp_path / f"{n}.ts", 10, codec="mpeg2video", colours=n) for n in (2, 3))
    whole.write_bytes(whole.read_bytes() + strange.read_bytes())
    with FileSource(whole) as source:
        frames = list(source.frames())
    assert source.damaged >= 10
    assert 5 < len(frames) == 20 - source.damaged


@pytest.mark.parametrize("content", [b"", bytes(200), ASF_FACTS, bytes(150) + ASF_FACTS])
def test_a_wmv_whose_header_is_not_all_there_has_no_length(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "clip.wmv").write_bytes(content + b"\xff" * 50)
    assert asf_end_s(tmp_path / "clip.wmv") == 0


def test_a_clip_that_is_closed_before_its_end_is_not_said_to_be_cut_short(tmp_path: Path) -> None:
    with FileSource(write_clip(tmp_path / "clip.mp4")) as source:
        frames = source.frames()
        next(frames)
        source.close()
        assert list(frames) == []


def test_a_clip_without_a_single_frame_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"contains no video\. Expected a clip or stream"):
        FileSource(write_clip(tmp_path / "clip.mp4", 0))


def emptied(chunk: re.Match[bytes]) -> bytes:
    return chunk[1] + bytes(len(chunk[0]) - len(chunk[1]))


def test_a_clip_in_which_no_frame_can_be_decoded_is_refused(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.avi", 8, codec="mjpeg")
    data = clip.read_bytes()
    start, end = data.index(b"movi"), data.index(b"idx1")
    clip.write_bytes(data[:start] + re.sub(rb"(?s)(00dc.{4}).+?(?=00dc|$)", emptied, data[start:end]) + data[end:])
    frames, message, _ = read_until_it_breaks(clip)
    assert frames == []
    assert "none of 8 could be decoded" in message


def test_an_absurd_size_is_refused(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.avi", 2, codec="rawvideo")
    data = clip.read_bytes()
    header = data.index(b"strf") + 12  # biWidth and biHeight of its BITMAPINFOHEADER
    clip.write_bytes(data[:header] + struct.pack("<ii", 16000, 1000) + data[header + 8 :])
    with pytest.raises(SourceError, match="says that it is 16000x1000"):
        FileSource(clip)


def test_a_clip_that_vanishes_between_two_rounds_ends_the_loop_with_a_reason(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 3)
    with FileSource(clip, loop=True) as source:
        frames = source.frames()
        next(frames)
        clip.unlink()
        with pytest.raises(SourceError, match="does not exist"):
            list(frames)


def test_a_playlist_is_no_clip_also_where_it_names_one(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.ts", codec="mpeg2video")
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1", "#EXTINF:0.48,", "clip.ts", "#EXT-X-ENDLIST", ""]
    (tmp_path / "list.m3u8").write_text("\n".join(lines))
    with pytest.raises(SourceError, match=r"list.m3u8 cannot be read as a video"):
        FileSource(tmp_path / "list.m3u8")


def test_a_clip_takes_no_options(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown option 'fps'"):
        open_here(f"{tmp_path / 'clip.mp4'}?fps=3")


def test_a_name_that_looks_like_a_uri_is_a_file_if_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(tmp_path / "clip.mp4", 3).rename(tmp_path / "phantom:1?a=b.mp4")
    monkeypatch.chdir(tmp_path)
    with open_source("phantom:1?a=b.mp4") as source:
        assert len(list(source.frames())) == 3


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/dev/null", "/dev/null is a device, not a clip.*v4l2:/dev/null"),
        ("/dev/video99", "video99 does not exist.*`python -m stream devices`"),
        ("0", "0 does not exist.*`python -m stream devices`"),
        ("gone.mp4", "gone.mp4 does not exist, or is not a file. Expected a video.$"),
        ("gone.dcm", "gone.dcm does not exist, or is not a file. Expected DICOM.$"),
    ],
)
def test_a_missing_file_is_told_and_how_to_name_a_capture_card_where_one_is_meant(path: str, told: str) -> None:
    with pytest.raises(SourceError, match=told):
        open_source(path)

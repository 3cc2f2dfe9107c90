"""What every source keeps to, whatever it reads: real files, real sockets, real test devices."""

import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from stream.errors import SourceError
from stream.sources import SOURCES, open_source
from tests.clips import picture, write_clip
from tests.dicoms import write_dicom
from tests.igtlink import ImageServer
from tests.metaimages import write_metaimage
from tests.nrrds import write_nrrd
from tests.senders import PASSWORD, Sender, free_udp_port

DEADLINE_S = 30.0
"""For whatever must happen soon; on a machine that is not busy it happens in a tenth of that."""

FRAMES = 6


@dataclass(frozen=True)
class Case:
    """``uri`` opens; ``missing`` is of the same kind and cannot be; none of ``secrets`` may be told."""

    uri: str
    missing: str
    secrets: tuple[str, ...] = ()


def file(folder: Path, stack: ExitStack) -> Case:
    clip = write_clip(folder / "clip.mp4", FRAMES)
    return Case(str(clip), str(folder / "none.mp4"), (str(folder),))


def images(folder: Path, stack: ExitStack) -> Case:
    for number in range(FRAMES):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((40, 60), 30 * number, np.uint8))
    return Case(f"{folder}?fps=50", str(folder / "none.png"), (str(folder.parent),))


def dicom(folder: Path, stack: ExitStack) -> Case:
    values = np.stack([picture(number) for number in range(FRAMES)])
    header = {"FrameTime": 20, "PatientName": "Nobody^Erika"}
    cine = write_dicom(folder / "cine.dcm", values, "RGB", **header)
    return Case(str(cine), str(folder / "none.dcm"), (str(folder), "Nobody", "Erika"))


def metaimage(folder: Path, stack: ExitStack) -> Case:
    values = np.stack([picture(number) for number in range(FRAMES)])
    times_s = [number / 50 for number in range(FRAMES)]
    path = write_metaimage(folder / "a.mha", values, times_s=times_s, Comment="Erika Nobody")
    return Case(str(path), str(folder / "none.mha"), (str(folder), "Nobody", "Erika"))


def nrrd(folder: Path, stack: ExitStack) -> Case:
    values = np.stack([picture(number) for number in range(FRAMES)])
    index = " ".join(str(number / 50) for number in range(FRAMES))
    path = write_nrrd(
        folder / "a.nrrd", values, "vector domain domain domain list", index=index, content="Erika Nobody"
    )
    return Case(str(path), str(folder / "none.nrrd"), (str(folder), "Nobody", "Erika"))


def lavfi(folder: Path, stack: ExitStack) -> Case:
    return Case(f"lavfi:testsrc2=size=60x40:rate=50:duration={FRAMES / 50}", "lavfi:nonsense=1")


def phantom(folder: Path, stack: ExitStack) -> Case:
    return Case(f"phantom:?size=160x160&fps=50&frames={FRAMES}", "")  # it is always there


def faults(folder: Path, stack: ExitStack) -> Case:
    return Case("faults:drop@0+0.1/phantom:?size=160x160&fps=50", "faults:die@0+900/absent.mp4")


def sender(protocol: str) -> Callable[[Path, ExitStack], Case]:
    def made(folder: Path, stack: ExitStack) -> Case:
        sending = stack.enter_context(Sender(protocol, folder))
        missing = f"{sending.uri.partition('://')[0]}://user:{PASSWORD}@127.0.0.1:{free_udp_port()}/video?t={PASSWORD}"
        return Case(sending.uri, missing, (PASSWORD, "user"))

    return made


def igtlink(folder: Path, stack: ExitStack) -> Case:
    server = stack.enter_context(ImageServer())
    secret = f"igtl://user:{PASSWORD}@127.0.0.1"
    return Case(f"{secret}:{server.port}", f"{secret}:{free_udp_port()}", (PASSWORD, "user"))


MADE = {
    "file": file,
    "images": images,
    "dicom": dicom,
    "metaimage": metaimage,
    "nrrd": nrrd,
    "lavfi": lavfi,
    "phantom": phantom,
    "faults": faults,
    "tcp": sender("tcp"),
    "http": sender("http"),
    "https": sender("https"),
    "rtsp": sender("rtsp"),
    "rtsps": sender("rtsps"),
    "igtl": igtlink,
}

COVERED_BY = {"v4l2": "tests/v4l2", "dshow": "v4l2", "avfoundation": "v4l2", "udp": "tcp", "srt": "tcp"}
"""Kinds that the suite leaves to another one of the same code, or to a machine that has what they need."""


@pytest.fixture
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    folder = tmp_path / "Erika_Nobody"  # the part of a path that is nobody's business
    folder.mkdir()
    with ExitStack() as stack:
        yield MADE[request.param](folder, stack)


every = pytest.mark.parametrize("case", MADE, indirect=True)
ending = pytest.mark.parametrize(
    "case", ["file", "images", "dicom", "metaimage", "nrrd", "lavfi", "phantom"], indirect=True
)
of_each_class = pytest.mark.parametrize("case", ["file", "lavfi", "phantom", "faults", "tcp", "igtl"], indirect=True)
"""What is read once and closed is the same object for all that lies on disk, and for all that FFmpeg receives."""
breakable = pytest.mark.parametrize("case", [name for name in MADE if name != "phantom"], indirect=True)


def test_every_kind_is_covered() -> None:
    assert set(MADE) | set(COVERED_BY) == set(SOURCES)


@every
def test_frames_are_counted_and_time_only_grows(case: Case) -> None:
    with open_source(case.uri, live=True) as source:
        frames = list(islice(source.frames(), FRAMES))
        assert source.live
    assert np.all(np.diff([frame.index for frame in frames]) > 0)
    assert np.all(np.diff([frame.pts_s for frame in frames]) > 0)
    assert np.all(np.diff([frame.captured_ns for frame in frames]) >= 0)
    assert frames[-1].captured_ns <= time.perf_counter_ns()
    folder = Path(case.uri.partition("?")[0])
    named = {path.name for path in folder.iterdir()} if folder.is_dir() else {source.name}
    assert {frame.source for frame in frames} == named


@every
def test_pixels_are_rgb_and_nobody_can_write_to_them(case: Case) -> None:
    with open_source(case.uri) as source:
        first, second = islice(source.frames(), 2)
    for frame in (first, second):
        assert frame.rgb.dtype == np.uint8
        assert frame.rgb.shape[2] == 3
        assert not frame.rgb.flags.writeable
    assert not np.shares_memory(first.rgb, second.rgb)


@ending
def test_a_replay_gives_every_frame_and_another_the_same(case: Case) -> None:
    replays = []
    for _ in range(2):
        with open_source(case.uri, live=False) as source:
            replays.append(list(source.frames()))
        assert not source.live
        assert source.damaged == 0
    first, second = replays
    assert [frame.index for frame in first] == list(range(FRAMES))
    assert first[0].pts_s == 0
    assert [frame.pts_s for frame in first] == [frame.pts_s for frame in second]
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(first, second, strict=True))


@ending
def test_live_every_frame_is_handed_out_and_none_before_it_is_due(case: Case) -> None:
    with open_source(case.uri, live=True) as source:
        before_ns = time.perf_counter_ns()
        frames = list(source.frames())
    assert source.damaged == 0
    assert [frame.index for frame in frames] == list(range(FRAMES))
    assert frames[0].pts_s == 0
    for frame in frames:
        assert (frame.captured_ns - before_ns) / 1e9 >= frame.pts_s - 1e-3


@pytest.mark.parametrize("case", ["file", "images", "dicom", "metaimage", "nrrd"], indirect=True)
def test_a_loop_goes_on_counting(case: Case) -> None:
    with open_source(case.uri, live=False, loop=True) as source:
        frames = list(islice(source.frames(), 2 * FRAMES + 1))
    assert [frame.index for frame in frames] == list(range(2 * FRAMES + 1))
    assert source.fps is not None
    assert np.diff([frame.pts_s for frame in frames]) == pytest.approx(1 / source.fps)
    assert np.array_equal(frames[0].rgb, frames[FRAMES].rgb)


@of_each_class
def test_close_from_another_thread_ends_the_frames(case: Case) -> None:
    source, read = open_source(case.uri, live=True, loop=True), threading.Event()

    def consume() -> None:
        for _ in source.frames():
            read.set()

    consumer = threading.Thread(target=consume, daemon=True)
    consumer.start()
    assert read.wait(DEADLINE_S)
    source.close()
    consumer.join(DEADLINE_S)
    assert not consumer.is_alive()


@of_each_class
def test_closing_ends_the_frames_of_the_thread_that_reads(case: Case) -> None:
    with open_source(case.uri) as source:
        frames = source.frames()
        next(frames)
        source.close()
        assert list(frames) == []


@of_each_class
def test_a_closed_source_gives_no_frames_and_can_be_closed_again(case: Case) -> None:
    source = open_source(case.uri)
    source.close()
    source.close()
    assert list(source.frames()) == []


@of_each_class
def test_the_frames_can_be_read_once(case: Case) -> None:
    with open_source(case.uri) as source:
        next(source.frames())
        assert list(source.frames()) == []


def held() -> tuple[int, int, int]:
    """Open files, threads and child processes."""
    process = psutil.Process()
    return process.num_fds(), process.num_threads(), len(process.children())


@every
def test_an_error_in_the_consumer_frees_everything(case: Case) -> None:
    with open_source(case.uri) as source:  # what a library keeps for good, it keeps from now on
        next(source.frames())
    before = until_it_settles()
    with pytest.raises(ZeroDivisionError), open_source(case.uri) as source:  # noqa: PT012
        for frame in source.frames():
            frame.index // 0
    deadline_s = time.monotonic() + DEADLINE_S
    while any(now > then for now, then in zip(held(), before, strict=True)):
        assert time.monotonic() < deadline_s, f"{before} before, {held()} after"
        time.sleep(0.05)


def until_it_settles() -> tuple[int, int, int]:
    """What is held once it has been the same for a while: the other end of a socket takes a moment to let go."""
    last, since_s = held(), time.monotonic()
    deadline_s = since_s + DEADLINE_S
    while time.monotonic() < min(since_s + 0.2, deadline_s):
        time.sleep(0.02)
        if held() != last:
            last, since_s = held(), time.monotonic()
    return last


@every
def test_the_name_tells_no_secret(case: Case) -> None:
    with open_source(case.uri) as source:
        assert source.name
        assert not [secret for secret in case.secrets if secret in source.name]
        assert len(source.name.splitlines()) == 1


@breakable
def test_what_is_not_there_is_told_in_one_line(case: Case) -> None:
    with pytest.raises(SourceError) as caught, open_source(case.missing) as source:
        list(source.frames())
    assert len(str(caught.value).splitlines()) == 1
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder that this process may not enter. Root may enter any, so it acts as another user meanwhile."""
    for where in SOURCES.values():  # which another user might not be able to read
        import_module(where.partition(":")[0])
    folder = tmp_path / "closed"
    folder.mkdir(mode=0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield folder
    os.seteuid(user)
    folder.chmod(0o700)


@pytest.mark.parametrize("uri", ["{}", *(f"{{}}/a.{suffix}" for suffix in ("mp4", "png", "dcm", "mha")), "v4l2:{}/a"])
def test_what_lies_in_a_folder_that_one_may_not_enter_is_told_in_one_line(closed: Path, uri: str) -> None:
    with pytest.raises(SourceError, match=r"cannot be \w+ \(Permission denied\)") as caught:
        open_source(uri.format(closed))
    assert len(str(caught.value).splitlines()) == 1


def test_a_name_too_long_for_any_file_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"cannot be opened \(File name too long\)"):
        open_source(str(tmp_path / ("x" * 300 + ".mp4")))

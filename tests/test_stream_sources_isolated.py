"""A decoder that hangs, crashes or outlives its use: real child processes, hung and killed for real."""

import os
import platform
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import psutil
import pytest

from stream.errors import SourceError, UsageError
from stream.sources import isolated, isolated_child, isolated_watchdog, open_here, open_source
from tests.clips import write_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=60, size_px=(640, 480)))


def decoders() -> list[psutil.Process]:
    children = psutil.Process().children()
    alive = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in alive if "stream.sources.isolated_child" in child.cmdline()]


def test_frames_are_those_of_the_file(clip: str) -> None:
    with open_source(clip) as apart, open_here(clip) as here:
        pairs = list(zip(apart.frames(), here.frames(), strict=True))
    assert (apart.name, apart.fps, apart.live, apart.scan_area) == (here.name, here.fps, here.live, here.scan_area)
    for found, expected in pairs:
        assert np.array_equal(found.rgb, expected.rgb)
        assert (found.index, found.pts_s, found.source) == (expected.index, expected.pts_s, expected.source)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another system keeps its memory in another way")
def test_pictures_take_turns_in_one_memory_and_come_in_few_pieces(tmp_path: Path) -> None:
    import fcntl

    size_px = width, height = 1920, 1080
    clip = write_clip(tmp_path / "clip.ts", 40, codec="mpeg2video", size_px=size_px)
    with isolated.IsolatedSource(str(clip)) as source:
        (decoder,), frames = decoders(), source.frames()
        next(frames)
        assert source._child.stdout is not None
        assert fcntl.fcntl(source._child.stdout, fcntl.F_GETPIPE_SZ) == isolated_child.PIPE_BYTES
        faults = [page_faults(decoder) for _ in frames]
    pages = 3 * width * height / os.sysconf("SC_PAGESIZE")
    assert (faults[35] - faults[15]) / 20 < pages / 8


def page_faults(process: psutil.Process) -> int:
    """How often the kernel had to give it a page of memory."""
    return int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[7])


def test_damaged_frames_are_counted_through_the_wall(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.ts", 40, codec="mpeg2video")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 500] = bytes(500)
    path.write_bytes(data)
    counts = []
    for opened in (open_here, open_source):
        with opened(str(path)) as source:
            frames = list(source.frames())
        counts.append((len(frames), source.damaged))
    assert counts[0] == counts[1]
    assert counts[0][1] > 0


def test_a_folder_has_time_for_each_of_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        write_clip(tmp_path / f"{number}.png", 1, codec="png", pixels="rgb24", muxer={"update": "1"})
    monkeypatch.setattr(isolated, "PATIENCE_S", -1.0)  # over the folder, none is left but for its files
    monkeypatch.setattr(isolated, "PER_FILE_S", 1.0)
    with isolated.IsolatedSource(str(tmp_path)) as source:
        assert source.fps


def test_a_decoder_that_hangs_is_ended_and_said_so(clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "PATIENCE_S", 1.0)
    with open_source(clip) as source:
        frames = source.frames()
        next(frames)
        (decoder,) = decoders()
        decoder.suspend()
        with pytest.raises(SourceError, match=r"clip.mp4: nothing could be decoded for 1 s"):
            list(frames)
    assert not decoder.is_running()


def test_a_decoder_that_does_not_start_is_not_the_file_s_fault(clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "START_S", 0.01)
    monkeypatch.setattr(isolated_watchdog, "WATCH_S", 0.01)  # it may start within the usual 0.2 s
    with pytest.raises(SourceError, match=r"clip.mp4: its decoder did not start within 0 s. The machine is too busy"):
        open_source(clip)


def test_a_decoder_that_cannot_be_ended_holds_nobody_up(clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "LET_GO_S", 0.1)
    source = open_source(clip)
    (decoder,) = decoders()
    decoder.suspend()
    monkeypatch.setattr(source._child, "kill", lambda: None)  # as if it waited in the kernel
    reader, closing = threading.Thread(target=list, args=(source.frames(),)), threading.Thread(target=source.close)
    reader.start()
    while source._watchdog.asked_s is None:
        assert reader.is_alive()
    closing.start()
    closing.join(60)
    decoder.kill()
    reader.join(60)
    assert not closing.is_alive()
    for thread in threading.enumerate():
        if thread.name == "decoder's end":
            thread.join(60)
    assert source._child.returncode is not None, "it is left as a zombie"
    assert source._child.stdout.closed


def test_in_real_time_a_frame_is_captured_when_it_is_due_and_not_when_it_was_decoded(clip: str) -> None:
    with open_source(clip, live=True) as source:
        frames = source.frames()
        for _ in range(5):
            asked_ns = time.perf_counter_ns()
            assert next(frames).captured_ns >= asked_ns


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell the limits of another process")
def test_a_decoder_may_take_only_so_much_memory_and_write_nothing(clip: str) -> None:
    with open_source(clip):
        (decoder,) = decoders()
        assert decoder.rlimit(psutil.RLIMIT_DATA) == (isolated_child.MEMORY_LIMIT, isolated_child.MEMORY_LIMIT)
        assert decoder.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process may take what it likes")
@pytest.mark.parametrize("name", ["0.tif", "1.png", "1.jpg"])
def test_a_file_that_is_larger_than_its_decoder_may_be_is_one_bad_picture_of_a_folder(
    tmp_path: Path, name: str
) -> None:
    for number in range(3):
        write_clip(tmp_path / f"{number}.png", 1, codec="png", pixels="rgb24", muxer={"update": "1"})
    with (tmp_path / name).open("wb") as file:
        file.truncate(isolated_child.MEMORY_LIMIT)
    frames = []
    with open_source(str(tmp_path)) as source, pytest.raises(SourceError, match=f"1 of . pictures.* {name} cannot be"):
        frames.extend(frame.source for frame in source.frames())
    assert len(frames) >= 2


def test_on_windows_ctrl_c_is_not_for_the_decoder_either(clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def start(command: list[str], **options: object) -> None:
        asked.update(options)
        raise OSError("not here")

    monkeypatch.setattr(subprocess, "CREATE_NO_WINDOW", 0x08000000, raising=False)
    monkeypatch.setattr(subprocess, "Popen", start)
    with pytest.raises(OSError, match="not here"):
        open_source(clip)
    assert asked["creationflags"] == 0x08000000  # a console of its own, where nobody presses a key


def test_warnings_keep_their_letters_where_the_system_has_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_clip(tmp_path / "a.png", 1, codec="png", pixels="rgb24", muxer={"update": "1"})
    (tmp_path / "Übersicht.mp4").touch()
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")  # of a file on Windows
    with open_source(str(tmp_path)) as source:
        list(source.frames())
    assert "Übersicht.mp4 left out" in caplog.text


class Stopped:
    """The clock of a process that Ctrl-Z stops for a minute while it waits for ``decoder``, which is only slow."""

    def __init__(self) -> None:
        self.decoder: psutil.Process | None = None
        self.source: isolated.IsolatedSource | None = None
        self._looks, self._lost_s = 0, 0.0

    def monotonic(self) -> float:
        watches = threading.current_thread().name == "decoder watchdog"
        if watches and self.source is not None and self.source._watchdog.asked_s is not None:
            self._looks += 1
            self._lost_s = 60.0
            if self._looks == 3:
                self.decoder.resume()
        return time.monotonic() + self._lost_s


def test_a_replay_goes_on_after_it_was_itself_stopped(clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Stopped()
    monkeypatch.setattr(isolated_watchdog, "time", clock)
    with open_source(clip) as source:
        frames = source.frames()
        next(frames)
        (clock.decoder,) = decoders()
        clock.decoder.suspend()
        clock.source = source
        assert len(list(frames)) == 59
    assert clock._looks >= 3


def test_a_decoder_that_crashes_is_an_error_of_the_source(clip: str) -> None:
    with open_source(clip) as source:
        frames = source.frames()
        next(frames)
        os.kill(decoders()[0].pid, signal.SIGSEGV)
        with pytest.raises(SourceError, match=r"clip.mp4: its decoder crashed \(exit code -11\)"):
            list(frames)


OPENED = '{"fps": 25, "still": false, "scan_area": null}'


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize(
    "lines",
    [
        ("[]",),
        ("{}", OPENED.replace("25", '"fast"')),
        ("{}", OPENED, '{"damaged": "few"}'),
        ("{}", "{}"),
        ("{}", '{"error": "x"}'),
        ("{}", '{"fps": 25}'),
        ("{}", OPENED, '{"height_px": 1, "width_px": 1}'),
        ("{}", OPENED, '{"height_px": "1", "width_px": 1}'),
    ],
)
def test_a_decoder_that_writes_nonsense_is_an_error_of_the_source(
    clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: tuple[str, ...], live: bool
) -> None:
    taken_over = tmp_path / "decoder"
    taken_over.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines) + "echo xyz\nexec sleep 60\n")
    taken_over.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(taken_over))
    before = psutil.Process().children()
    with pytest.raises(SourceError, match="its decoder wrote nonsense"), open_source(clip, live=live) as source:
        list(source.frames())
    assert psutil.Process().children() == before


def test_what_the_file_says_is_told_as_without_the_wall(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        open_source(str(tmp_path / "none.mp4"))
    with pytest.raises(UsageError, match="unknown option"):
        open_source(f"{tmp_path}?colour=1")
    assert decoders() == []


def test_what_a_file_says_upsets_no_terminal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_clip(tmp_path / "scan.png", 1, codec="png", pixels="rgb24", muxer={"update": "1"})
    profile = bytearray(np.random.default_rng(0).bytes(400))  # no profile at all, of which libpng warns by its name
    profile[:4] = struct.pack(">I", len(profile))
    chunk = b"iCCP" + b"\x1b]0;renamed\x07\0\0" + zlib.compress(profile)
    whole = path.read_bytes()
    after_header = 33
    named = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    path.write_bytes(whole[:after_header] + named + whole[after_header:])
    with open_source(str(path)) as source:
        assert len(list(source.frames())) == 1
    assert "iCCP: profile '?]0;renamed?'" in caplog.text


def test_an_absurd_size_is_refused_before_memory_is_taken(clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_source(clip) as source:
        monkeypatch.setattr("stream.sources.geometry.SIZE_LIMIT_PX", 600)  # of this side only: the child does not mind
        with pytest.raises(SourceError, match="640x480"):
            list(source.frames())

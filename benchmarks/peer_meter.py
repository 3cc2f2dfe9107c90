"""What is the same for every contestant: the pictures that it gets, and the meter that takes its results."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import cv2
import numpy as np
import psutil
from numpy.typing import NDArray

CAMERA_FPS = 30

WARM_UP_S = 1.0
"""After the first picture; not measured."""

LEAST_FRAMES = 2
"""To be measured however slow a contestant is: a slope needs as many."""

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Clip:
    """``scan_px`` is where the scan lies: x, y, width, height; ``canvas_px`` is height and width of what is drawn."""

    path: str
    scan_px: tuple[int, int, int, int]
    canvas_px: tuple[int, int]


def pictures(clip: Clip, ended: Event) -> Iterator[Picture]:
    """The clip over and over, uint8 [H, W, 3] BGR, as cv2.VideoCapture gives it. Raises ValueError if it gives none."""
    while not ended.is_set():
        capture, count = cv2.VideoCapture(clip.path), 0
        while not ended.is_set():
            found, picture = capture.read()
            if not found:
                break
            count += 1
            yield np.asarray(picture, np.uint8)
        capture.release()
        if not count and not ended.is_set():
            name = Path(clip.path).name  # a report tells what went wrong, and a folder may name a patient
            raise ValueError(f"OpenCV reads no picture from {name}. Expected a video that it can decode.")


def camera(clip: Clip, ended: Event) -> Iterator[tuple[int, Picture]]:
    """The same in real time, each with the moment at which it was due, in monotonic nanoseconds."""
    start_ns = time.perf_counter_ns()
    for number, picture in enumerate(pictures(clip, ended)):
        due_ns = start_ns + number * 10**9 // CAMERA_FPS
        if ended.wait(max(0, due_ns - time.perf_counter_ns()) / 1e9):
            return
        yield due_ns, picture


class Meter:
    """Takes what a contestant delivers, and ``slow_s`` over each; ``ended`` is set after ``seconds`` of measuring."""

    def __init__(self, seconds: float, slow_s: float = 0.0, clock_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        self.ended = Event()
        self.cpu_s = 0.0
        self.rss_mb = 0.0
        self.at_s: list[float] = []
        self.ages_ms: list[float] = []
        self._seconds = seconds
        self._slow_s = slow_s
        self._clock_ns = clock_ns
        self._first_ns: int | None = None
        self._start: tuple[int, float] | None = None

    @property
    def frames_per_s(self) -> float:
        """Pictures over the time that they took."""
        return len(self.at_s) / self.at_s[-1]

    @property
    def cpu_s_per_frame(self) -> float:
        """Over all cores, decoding included."""
        return self.cpu_s / len(self.at_s)

    def deliver(self, captured_ns: int, picture: Picture) -> None:
        """One more frame is done; it was captured then. What comes after the end is not looked at."""
        now_ns = self._clock_ns()
        if self.ended.is_set():
            return
        if self._first_ns is None:
            self._first_ns = now_ns
        if self._start is not None:
            self._measure(now_ns, captured_ns, *self._start)
        elif now_ns - self._first_ns >= WARM_UP_S * 1e9:
            self._start = now_ns, cpu_s()
        if self._slow_s:
            time.sleep(self._slow_s)

    def _measure(self, now_ns: int, captured_ns: int, start_ns: int, start_cpu_s: float) -> None:
        self.at_s.append((now_ns - start_ns) / 1e9)
        self.ages_ms.append((now_ns - captured_ns) / 1e6)
        if self.at_s[-1] >= self._seconds and len(self.at_s) >= LEAST_FRAMES:
            self.cpu_s, self.rss_mb = cpu_s() - start_cpu_s, sum(map(peak_rss_mb, family()))
            self.ended.set()


def cpu_s() -> float:
    """Processor time so far, of this process and those of its children that still run."""
    times = [process.cpu_times() for process in family()]
    return float(sum(spent.user + spent.system for spent in times))


def family(of: psutil.Process | None = None) -> list[psutil.Process]:
    """A process, by default this one, and all below it."""
    head = of or psutil.Process()
    return [head, *head.children(recursive=True)]


def peak_rss_mb(process: psutil.Process) -> float:
    """The most memory that a process has held, in 10^6 bytes; what it holds now, where the kernel is not Linux.

    Not ``ru_maxrss``: that starts from what the parent held.
    """
    status = Path(f"/proc/{process.pid}/status")
    if status.exists():
        kib = (line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(next(kib, 0)) * 1024 / 1e6  # one that has ended, and that nobody has waited for, holds none
    return float(process.memory_info().rss) / 1e6

"""What is the same for every contestant: the pictures that it gets, and the meter that receives its results."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.processes import cpu_s, family, peak_rss_mb

CAMERA_FPS = 30

WARM_UP_S = 1.0
"""How long after the first picture the measurement begins."""

LEAST_FRAMES = 2
"""At least this many frames are measured, however long they take: a slope needs two points."""

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Clip:
    """A video; ``scan_px`` is where the scan lies in it (x, y, width, height), ``canvas_px`` the size of the annotated
    pictures (height, width)."""

    path: str
    scan_px: tuple[int, int, int, int]
    canvas_px: tuple[int, int]


@dataclass(frozen=True)
class Trial:
    """What is asked of one contestant, as its process gets it: its ``name`` and ``setting`` ("default" or "best"), how
    many ``seconds`` each run is measured, and how many ``looks`` a frame gets."""

    name: str
    setting: str
    seconds: float
    looks: int
    clip: Clip

    @property
    def best(self) -> bool:
        """Whether it may use the best options that it has."""
        return self.setting == "best"

    def to_json(self) -> str:
        """For ``from_json``."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Inverse of ``to_json``."""
        fields = json.loads(text)
        return cls(**fields | {"clip": Clip(**fields["clip"])})


def pictures(clip: Clip, ended: Event) -> Iterator[Picture]:
    """The pictures of the clip, in a loop, uint8 [H, W, 3] BGR, as cv2.VideoCapture reads them. Raises ValueError if it
    reads none."""
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
            name = Path(clip.path).name  # the message gets into a report, and the folder may name a patient
            raise ValueError(f"OpenCV reads no picture from {name}. Expected a video that it can decode.")


def camera(clip: Clip, ended: Event) -> Iterator[tuple[int, Picture]]:
    """The same pictures in real time, CAMERA_FPS a second, each with the monotonic time at which it was due."""
    start_ns = time.perf_counter_ns()
    for number, picture in enumerate(pictures(clip, ended)):
        due_ns = start_ns + number * 10**9 // CAMERA_FPS
        if ended.wait(max(0, due_ns - time.perf_counter_ns()) / 1e9):
            return
        yield due_ns, picture


class Meter:
    """Receives a contestant's annotated pictures, and holds it up by ``slow_s`` for each of them.

    ``ended`` is set after ``seconds`` of measuring. Then ``at_s`` has the time of each picture since the measurement
    began, ``ages_ms`` its age since it was captured, ``cpu_s`` the processor time of all, and ``rss_mb`` the peak
    memory.
    """

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
        """Pictures per second."""
        return len(self.at_s) / self.at_s[-1]

    @property
    def cpu_s_per_frame(self) -> float:
        """Processor time per picture, over all cores, decoding included."""
        return self.cpu_s / len(self.at_s)

    def deliver(self, captured_ns: int, picture: Picture) -> None:
        """Receive the annotated picture of a frame that was captured at ``captured_ns``. After the end it is
        ignored."""
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

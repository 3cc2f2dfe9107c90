"""Scanner screens for the tests: what they show first, what a reader finds in them, what a replay leaves of them."""

import os
import subprocess
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from stream.sources import open_here
from stream.types import Frame, ScanArea
from tests.programs import command

Picture = NDArray[np.uint8]

RINGING_PX = 8
"""By which H.264 smears the edge of the scan into the black: a macroblock's half."""

SCREEN = (960, 1280)
"""Height and width of those that are laid out here."""


def textured(height: int, width: int) -> Picture:
    """A picture that is scan all over."""
    grey = np.random.default_rng(0).integers(60, 200, (height, width, 1), np.uint8)
    return np.ascontiguousarray(grey.repeat(3, axis=2))


def first(uri: str) -> tuple[Frame, ScanArea | None]:
    with open_here(uri, live=False) as source:
        return next(source.frames()), source.scan_area


def read(picture: Picture) -> str:
    """What tesseract reads in it, enlarged as its manual asks."""
    png = cv2.imencode(".png", cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC))[1].tobytes()
    command = ["tesseract", "-", "-", "--psm", "11"]
    one = os.environ | {"OMP_THREAD_LIMIT": "1"}  # its four threads wait by spinning, and take three times as much
    return subprocess.run(command, input=png, capture_output=True, check=True, env=one).stdout.decode()


def pictures(path: Path) -> list[Picture]:
    with av.open(str(path)) as container:
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in container.decode(video=0)]


def replayed(clip: Path, out: Path) -> tuple[list[Picture], list[Picture]]:
    """The clip's frames, and the part of ``annotated.mp4`` that shows them."""
    result = command("replay", clip, "--out", out, "--engine", "fake")
    assert result.exit_code == 0, result.output
    with open_here(str(clip), live=False) as source:
        before = [frame.rgb for frame in source.frames()]
    after = pictures(out / "annotated.mp4")
    height, width = before[0].shape[:2]
    return before, [picture[:height, :width] for picture in after]

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engines.base import EngineOutput
from engines.errors import EngineError
from stream.analyzer import Analyzer
from stream.timing import StageClock
from stream.types import Frame, NotAnalysed, Prediction, ScanArea
from tests.stream_runs import Scripted


class Brightness(Scripted):
    """Finds "malignant" as bright as the picture is, or raises what it is given."""

    def __init__(self, error: Exception | None = None, scale: float = 6.0) -> None:
        super().__init__()
        self._error = error
        self._scale = scale

    def run(self, images: NDArray[np.uint8]) -> EngineOutput:
        if self._error is not None:
            raise self._error
        bright = images.mean(axis=(1, 2)).astype(np.float32) / 255
        logits = np.stack([0 * bright, self._scale * bright, 0 * bright], 1)
        return EngineOutput(logits, np.broadcast_to(logits[:, :, None, None], (len(images), 3, 2, 2)).copy())


def frame(height_px: int = 64, width_px: int = 64) -> Frame:
    rgb = np.zeros((height_px, width_px, 3), np.uint8)
    rgb[:, width_px // 2 :] = 255
    return Frame(0, 0, 0.0, rgb, "test")


def test_only_the_scan_area_is_judged() -> None:
    analyzer = Analyzer(Brightness())
    dark, bright = analyzer.analyse(
        [(frame(), ScanArea(0, 0, 32, 64, "user")), (frame(), ScanArea(32, 0, 32, 64, "user"))]
    )
    assert isinstance(dark, Prediction)
    assert isinstance(bright, Prediction)
    assert bright.probabilities[1] > dark.probabilities[1] + 0.1


def test_the_engine_is_timed() -> None:
    stages = StageClock()
    Analyzer(Brightness(), stages).analyse([(frame(), ScanArea(0, 0, 64, 64, "full"))])
    assert stages.summaries()["engine"].count == 1


@pytest.mark.parametrize(
    "error",
    [EngineError("the device went away\nmore"), RuntimeError(""), ValueError("odd"), MemoryError(), cv2.error("cv")],
    ids=lambda error: type(error).__name__,
)
def test_a_fault_of_the_engine_is_a_visible_reason(error: Exception) -> None:
    (found,) = Analyzer(Brightness(error)).analyse([(frame(), ScanArea(0, 0, 64, 64, "full"))])
    assert isinstance(found, NotAnalysed)
    assert found.failed
    assert found.reason.startswith("scripted failed: ")
    assert "\n" not in found.reason


def test_a_fault_of_the_engine_costs_only_the_frames_that_cause_it() -> None:
    class AllergicToBright(Scripted):
        def run(self, images: NDArray[np.uint8]) -> EngineOutput:
            if images.mean(axis=(1, 2)).max() > 100:
                raise EngineError("too bright")
            return super().run(images)

    sides = [ScanArea(0, 0, 32, 64, "user"), ScanArea(32, 0, 32, 64, "user"), ScanArea(0, 0, 32, 64, "user")]
    dark, bright, dark_again = Analyzer(AllergicToBright()).analyse([(frame(), side) for side in sides])
    assert isinstance(dark, Prediction)
    assert isinstance(dark_again, Prediction)
    assert isinstance(bright, NotAnalysed)
    assert bright.reason == "scripted failed: too bright"


def test_no_frames_are_no_call_of_the_engine() -> None:
    assert Analyzer(Brightness(EngineError("called"))).analyse([]) == []


def test_numbers_that_are_not_finite_are_a_fault() -> None:
    (found,) = Analyzer(Brightness(scale=float("inf"))).analyse([(frame(), ScanArea(32, 0, 32, 64, "full"))])
    assert isinstance(found, NotAnalysed)
    assert "numbers that are not finite" in found.reason

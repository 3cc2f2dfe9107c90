"""A folder of recordings: each is judged without memory of the one before it."""

from pathlib import Path

import numpy as np
import pytest

from stream.config import StreamConfig
from stream.sources import open_here, open_source
from stream.types import ScanArea, State
from tests.dicoms import write_dicom
from tests.stream_runs import ran


def cine(path: Path, instance: int, left_px: int, size_px: tuple[int, int] = (240, 320), frames: int = 20) -> None:
    """DICOM frames, 25 a second, of a screen, H and W, with a scan of 120 px across."""
    values = np.zeros((frames, *size_px), np.uint8)
    noise = np.random.default_rng(instance).integers(0, 80 * instance, (frames, 160, 120))
    values[:, 40:200, left_px : left_px + 120] = noise
    write_dicom(path, values, InstanceNumber=instance, FrameTime=40)


def test_another_cine_of_a_folder_is_seen_with_no_memory_of_the_last(tmp_path: Path) -> None:
    cine(tmp_path / "a", 1, left_px=20)
    cine(tmp_path / "b", 2, left_px=180)
    _, views = ran(open_here(str(tmp_path)))
    last, first = views[19].assessment, views[20].assessment
    assert last.state is State.CLEAR_FINDING
    assert first.state is State.WARMING_UP
    np.testing.assert_allclose(first.smoothed, first.raw, atol=1e-6)
    for assessment, left_px in ((last, 20), (first, 180)):
        assert assessment.scan_area is not None
        assert assessment.scan_area.x_px == pytest.approx(left_px, abs=3)


def test_a_still_among_cines_is_called_by_itself(tmp_path: Path) -> None:
    for instance, frames in ((1, 20), (2, 1), (3, 20)):
        cine(tmp_path / f"{instance}", instance, left_px=20, frames=frames)
    with open_source(str(tmp_path)) as source:
        _, views = ran(source)
    states = [view.assessment.state for view in views[19:22]]
    assert states == [State.CLEAR_FINDING, State.CLEAR_FINDING, State.WARMING_UP]
    np.testing.assert_allclose(views[20].assessment.smoothed, views[20].assessment.raw, atol=1e-6)


def test_a_scan_area_that_was_set_is_for_every_cine_of_its_size(tmp_path: Path) -> None:
    cine(tmp_path / "a", 1, left_px=20)
    cine(tmp_path / "b", 2, left_px=20, size_px=(240, 400))
    _, views = ran(open_here(str(tmp_path)), config=StreamConfig(scan_area="20,40,120,160"))
    assert views[19].assessment.scan_area == ScanArea(20, 40, 120, 160, "user")
    assert views[20].assessment.reason == (
        "the picture is 400x240, but the scan area was drawn for 320x240: set it again"
    )

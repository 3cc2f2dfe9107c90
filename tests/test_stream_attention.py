import numpy as np
import pytest

from rcdnet.spec import ModelSpec
from stream.attention import attention
from stream.types import ScanArea

SPEC = ModelSpec(("benign", "malignant", "normal"), 64, 64, 0.5, 0.25, "none")


def class_maps(normal: float, malignant_at: tuple[int, int] | None = None) -> np.ndarray:
    maps = np.zeros((3, 8, 8), np.float32)
    maps[2] = normal
    if malignant_at is not None:
        maps[1][malignant_at] = 20
    return maps


def test_a_picture_without_evidence_stays_dark() -> None:
    heat = attention(class_maps(normal=9.0), "malignant", ScanArea(0, 0, 64, 64, "full"), SPEC)
    assert heat.max() < 1e-3


def test_only_the_class_that_a_cell_is_certain_of_lights_up() -> None:
    area = ScanArea(0, 0, 64, 64, "full")
    assert attention(class_maps(9.0, (3, 3)), "malignant", area, SPEC).max() > 0.85
    assert attention(class_maps(9.0, (3, 3)), "benign", area, SPEC).max() < 1e-3


@pytest.mark.parametrize(("width_px", "height_px"), [(640, 320), (200, 800), (37, 41)])
def test_the_letterbox_is_cut_off(width_px: int, height_px: int) -> None:
    maps = class_maps(9.0, (4, 4))  # the cell right and below of the middle of the model input
    heat = attention(maps, "malignant", ScanArea(5, 7, width_px, height_px, "user"), SPEC)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert max(heat.shape) == 64  # as the model input, however large the picture is
    assert heat.shape[0] / heat.shape[1] == pytest.approx(height_px / width_px, rel=0.05)
    middle_px = np.array([(row + 0.5) / heat.shape[0] * height_px, (column + 0.5) / heat.shape[1] * width_px])
    cell_px = max(width_px, height_px) / 8
    np.testing.assert_allclose(middle_px, np.array([height_px, width_px]) / 2 + cell_px / 2, atol=cell_px / 4)


def test_what_the_padding_says_is_no_background() -> None:
    maps = class_maps(9.0, (4, 4))
    maps[1][[0, 1, 2, 5, 6, 7]] = 50  # above and below a scan that is four times as wide as high
    assert attention(maps, "malignant", ScanArea(0, 0, 64, 16, "full"), SPEC).max() > 0.85


@pytest.mark.parametrize("seed", range(3))
def test_attention_is_within_0_and_1(seed: int) -> None:
    maps = np.random.default_rng(seed).normal(0, 30, (3, 8, 8)).astype(np.float32)
    heat = attention(maps, "malignant", ScanArea(0, 0, 90, 60, "full"), SPEC)
    assert heat.min() >= 0
    assert heat.max() <= 1

from fractions import Fraction

import pytest

from stream.sources.geometry import square_px


@pytest.mark.parametrize(
    ("size_px", "aspect", "square"),
    [
        ((720, 576), Fraction(16, 15), (768, 576)),  # PAL
        ((720, 480), Fraction(8, 9), (720, 540)),  # NTSC
        ((1440, 1080), Fraction(4, 3), (1920, 1080)),  # HDV
        ((854, 480), Fraction(1280, 1281), (854, 480)),  # 16:9 in whole pixels
    ],
)
def test_sizes_of_usual_formats(size_px: tuple[int, int], aspect: Fraction, square: tuple[int, int]) -> None:
    assert square_px(*size_px, float(aspect)) == square

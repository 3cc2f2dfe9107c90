import struct

import cv2
import numpy as np
import pytest

from train.errors import DataError
from train.images import read_grey, read_mask


def write(path, picture):
    assert cv2.imwrite(str(path), picture)


@pytest.mark.parametrize("read", [read_grey, read_mask])
def test_an_image_of_an_absurd_size_is_told(tmp_path, read):
    path = tmp_path / "a.bmp"
    write(path, np.full((60, 80), 90, np.uint8))
    data = bytearray(path.read_bytes())
    data[18:26] = struct.pack("<ii", 2**20, 2**20)  # width and height
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.bmp cannot be decoded"):
        read(path)


@pytest.mark.parametrize("picture", [np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9, 4), np.uint8)])
def test_colour_and_alpha_are_read_as_grey(tmp_path, picture):
    write(tmp_path / "a.png", picture)
    grey = read_grey(tmp_path / "a.png")
    assert grey.dtype == np.uint8
    assert grey.shape == (9, 9)


@pytest.mark.parametrize(("brightest", "grey"), [(65535, 255), (4096, 16)])
def test_sixteen_bits_lose_their_low_ones(tmp_path, brightest, grey):
    write(tmp_path / "a.png", np.full((9, 9), brightest, np.uint16))
    assert read_grey(tmp_path / "a.png").max() == grey


def test_twelve_bits_in_sixteen_are_refused_and_not_judged_as_black(tmp_path):
    write(tmp_path / "a.png", np.full((9, 9), 4095, np.uint16))
    with pytest.raises(DataError, match="no value above 4095"):
        read_grey(tmp_path / "a.png")


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_an_undecodable_picture_is_named(tmp_path, content):
    (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.png"):
        read_grey(tmp_path / "broken.png")

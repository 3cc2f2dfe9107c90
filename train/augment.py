"""Augmentation: one training picture from one sample, rotated, cropped, and changed as another machine would show it.

It all works on the pixels of the source picture; ``rcdnet.preprocess.prepare`` then makes the model input, as
everywhere.
"""

from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from rcdnet.box import Box
from rcdnet.glance import square_around
from rcdnet.preprocess import Grey, prepare
from rcdnet.spec import ModelSpec
from train.appearance import other_machine, paint_markers
from train.markers import inpaint_markers
from train.transplant import patched, without_lesion

Mask = NDArray[np.bool_]
"""Where a picture shows a lesion, bool [H, W]."""

Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Augmentation:
    """How often a view is changed in each way, and how much. Shares are probabilities per view. There is no vertical
    flip, because depth has a meaning."""

    flip: Share = 0.5
    rotation_deg: float = 12.0
    smallest_crop: Share = 0.7
    """A view of the whole picture, as the glance sees it, keeps at least this share of each side."""
    look: Share = 0.4
    """How often a view is a crop as the second look sees it: around the lesion, or anywhere in a normal picture. A
    picture that gives no ``lesion_free`` views (a normal one, or any if normal is no class) gives these instead."""
    lesion_free: Share = 0.12
    """How often a lesion picture gives a crop without its lesion, labelled normal (if there is that class)."""
    machine: Share = 0.7
    """How often gain, gamma, depth attenuation, speckle, blur and JPEG are changed, as on another scanner."""
    markers: Share = 0.3
    """How often callipers, dotted lines and text are painted in, so the network learns nothing from them."""
    cleaned: Share = 0.3
    """How often burnt-in markers are painted over, so it learns nothing from their absence either."""
    covered: Share = 0.0
    """How often a lesion is covered by the tissue beside it, if there is enough, and the picture labelled normal. With
    0.35 normal pictures of another hospital are recognised better, but the shipped weights were trained without
    (docs/results/tried.md says why)."""
    patched: Share = 0.0
    """How often some tissue is covered in the same way in every other picture, so that the network learns nothing from
    the traces of covering: 0.3 was used with 0.35 of ``covered``."""


def training_view(
    grey: Grey, lesion: Mask, label: str, spec: ModelSpec, how: Augmentation, rng: np.random.Generator
) -> tuple[Grey, NDArray[np.float32], str]:
    """One random view of a picture uint8 [H, W] with its lesion mask bool [H, W].

    Returns the model input, uint8 [spec.height_px, spec.width_px]; how much of each of its pixels is lesion, float32 of
    the same shape, 0..1; and the label of the view, which is "normal" if the lesion was left out.
    """
    if rng.random() < how.flip:
        grey, lesion = grey[:, ::-1], lesion[:, ::-1]
    if how.rotation_deg:
        grey, lesion = _rotate(grey, lesion, rng.uniform(-how.rotation_deg, how.rotation_deg))
    grey = np.ascontiguousarray(grey)
    if rng.random() < how.cleaned:
        grey = inpaint_markers(grey)
    grey, lesion, label = _cover_tissue(grey, lesion, label, spec, how, rng)
    if rng.random() < how.machine:
        grey = other_machine(grey, rng)
    if rng.random() < how.markers:
        grey = paint_markers(grey, bounding_box(lesion), rng)
    box, label = _choose_view(lesion, label, spec, how, rng)
    image, at = prepare(grey, spec, box)
    share = np.zeros(image.shape, np.float32)
    cut = lesion[box.pixels].astype(np.float32)
    share[at.pixels] = cv2.resize(cut, (at.width_px, at.height_px), interpolation=cv2.INTER_AREA)
    return image, share, label


def bounding_box(lesion: Mask) -> Box | None:
    """The smallest box around all lesion pixels, or None where there are none."""
    x, y, width, height = cv2.boundingRect(lesion.astype(np.uint8))
    return Box(x, y, width, height) if width else None


def _cover_tissue(
    grey: Grey, lesion: Mask, label: str, spec: ModelSpec, how: Augmentation, rng: np.random.Generator
) -> tuple[Grey, Mask, str]:
    """Sometimes cover the lesion, which makes the picture normal, or else sometimes tissue beside it."""
    around = bounding_box(lesion)
    if around is not None and "normal" in spec.class_names and rng.random() < how.covered:
        tissue = without_lesion(grey, around, rng)
        if tissue is not None:
            return tissue, np.zeros_like(lesion), "normal"
    if rng.random() < how.patched:
        grey = patched(grey, around, rng)
    return grey, lesion, label


def _choose_view(
    lesion: Mask, label: str, spec: ModelSpec, how: Augmentation, rng: np.random.Generator
) -> tuple[Box, str]:
    """The part of a picture that a view shows, and its label: without the lesion, as a second look, or as a glance."""
    height, width = lesion.shape
    whole, around, draw = Box(0, 0, width, height), bounding_box(lesion), rng.random()
    if around is None and label != "normal":  # without a mask nobody knows whether a crop would show the lesion
        return whole, label
    if around is not None and draw < how.lesion_free and "normal" in spec.class_names:
        for _ in range(10):
            box = _random_crop(whole, 0.3, 0.65, rng)
            if not lesion[box.pixels].any():
                return box, "normal"
    elif draw < how.lesion_free + how.look:
        if around is None:
            return _random_crop(whole, 0.3, 0.7, rng), label
        longer = max(around.width_px, around.height_px)
        shift_x, shift_y = rng.uniform(-0.15, 0.15, 2) * longer
        middle_x, middle_y = around.x_px + around.width_px / 2, around.y_px + around.height_px / 2
        return square_around(middle_x + shift_x, middle_y + shift_y, rng.uniform(1.2, 2.4) * longer, whole), label
    if how.smallest_crop < 1:
        box = _random_crop(whole, how.smallest_crop, 1.0, rng)
        if lesion[box.pixels].sum() >= 0.6 * lesion.sum():
            return box, label
    return whole, label


def _random_crop(whole: Box, smallest: float, largest: float, rng: np.random.Generator) -> Box:
    """A box anywhere in the picture, each side a share of the picture's between ``smallest`` and ``largest``."""
    share_x, share_y = rng.uniform(smallest, largest, 2)
    width, height = max(1, round(whole.width_px * share_x)), max(1, round(whole.height_px * share_y))
    x = int(rng.integers(whole.width_px - width + 1))
    y = int(rng.integers(whole.height_px - height + 1))
    return Box(x, y, width, height)


def _rotate(grey: Grey, lesion: Mask, angle_deg: float) -> tuple[Grey, Mask]:
    height, width = grey.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle_deg, 1.0)
    turned = cv2.warpAffine(grey, matrix, (width, height), flags=cv2.INTER_LINEAR)
    mask = cv2.warpAffine(lesion.astype(np.uint8), matrix, (width, height), flags=cv2.INTER_NEAREST)
    return np.asarray(turned, np.uint8), mask.astype(bool)

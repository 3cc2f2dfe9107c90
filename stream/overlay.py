"""What is drawn? (Frame, Assessment, style, labels) -> picture; pure.

Only the heat map lies on the ultrasound picture. All words and numbers stand in a panel to its right, so that none ever
covers tissue; the panel's type scales with the picture, and a small picture is padded below to the panel's height.
"""

import textwrap
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from rcdnet.notice import RESEARCH_NOTICE, SCOPE
from stream.config import OverlayStyle
from stream.decision import class_label, describe_call, percent
from stream.heat import blend_heat, heat_colours
from stream.session import Session
from stream.types import Assessment, Frame, State

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]
"""RGB, 0..255."""

PANEL: Colour = (18, 21, 26)
TRACK: Colour = (44, 49, 57)
WHITE: Colour = (236, 239, 243)
GREY: Colour = (150, 157, 166)
TEAL: Colour = (64, 190, 178)
RED: Colour = (245, 96, 72)
AMBER: Colour = (240, 180, 70)
CLASS_COLOURS: dict[str, Colour] = {"benign": TEAL, "malignant": RED, "normal": GREY}

PANEL_WIDTH, PANEL_HEIGHT, MARGIN = 288, 480, 18
"""Of the panel, in units; a unit is one pixel on a picture of 720 rows."""

LONGEST_POINT = 12
"""How many letters of an operating point's name fit."""

NOTHING_SAID = "–"
"""In place of a probability: an empty bar alone would read as 0 %."""


@dataclass(frozen=True)
class Labels:
    """What holds for every picture of a run. ``made_by`` names the network and the operating point, since a picture may
    be shown without its report.

    Unless it is ``live``, frames wait for their result, so none is stale, and the time in the recording is shown in
    place of the frame's number and age. A ``still`` has neither time nor age, and is never stale.
    """

    class_names: tuple[str, ...]
    synthetic: bool = False
    live: bool = True
    still: bool = False
    made_by: str = ""

    @classmethod
    def of(cls, session: Session) -> Self:
        """The labels of a run."""
        point = session.config.operating_point[:LONGEST_POINT]
        made_by = f"{point}, {session.spec.weights_sha256[:8]}".removesuffix(", ")
        names = session.spec.class_names
        return cls(names, session.synthetic, session.live, session.still, made_by)


class _Type(threading.local):
    """OpenCV's built-in sans serif; a FontFace keeps its glyphs and is not safe to share between threads."""

    def __init__(self) -> None:
        self.face = cv2.FontFace("sans")


_TYPE = _Type()


def draw(frame: Frame, assessment: Assessment, style: OverlayStyle, labels: Labels) -> Picture:
    """The frame with its heat map, and the panel beside it: uint8 [max(H, panel height), W + panel width, 3], RGB.

    Raises ValueError if the assessment is of another frame.
    """
    if assessment.frame_index != frame.index:
        raise ValueError(f"assessment of frame {assessment.frame_index} must not be drawn on frame {frame.index}")
    height, width = frame.rgb.shape[:2]
    unit = scale(height, width)
    panel = _panel(max(height, round(PANEL_HEIGHT * unit)), unit, labels)
    picture = np.empty((panel.shape[0], width + panel.shape[1], 3), np.uint8)
    picture[:height, :width] = frame.rgb
    picture[height:, :width] = 0
    beside = picture[:, width:]
    beside[:] = panel
    stale, mapped = is_stale(assessment, style, labels), mapped_class(assessment, style, labels)
    if mapped is not None and assessment.attention is not None and assessment.scan_area is not None:
        blend_heat(picture[assessment.scan_area.pixels], assessment.attention, style.opacity)
    _write_panel(beside, unit, assessment, labels)
    _write_heat_caption(beside, unit, _below(labels), mapped, stale)
    if labels.still:
        when = f"frame {frame.index}" if labels.live else ""
    else:
        when = f"frame {frame.index}, age {assessment.age_ms:.0f} ms" if labels.live else f"at {frame.pts_s:.2f} s"
    _text(beside, when, unit, MARGIN, _below(labels) + 44, 15, AMBER if stale else GREY)
    return picture


def mapped_class(assessment: Assessment, style: OverlayStyle, labels: Labels) -> str | None:
    """The class whose heat map ``draw`` draws, or None if it draws none."""
    hidden = assessment.attention is None or style.opacity == 0 or is_stale(assessment, style, labels)
    return None if hidden else assessment.attention_class


def is_stale(assessment: Assessment, style: OverlayStyle, labels: Labels) -> bool:
    """Whether the result is too old for a heat map, which would mark other tissue."""
    return labels.live and not labels.still and assessment.age_ms > 1000 * style.stale_after_s


def scale(height_px: int, width_px: int) -> float:
    """Pixels per unit: type is scaled with the picture, between just legible and right for a 4K screen."""
    return float(np.clip(min(height_px / 720, width_px / 640), 0.72, 3))


def class_colour(class_name: str) -> Colour:
    """White for a class that is not among those of the shipped network."""
    return CLASS_COLOURS.get(class_name, WHITE)


def headline(assessment: Assessment) -> tuple[str, Colour]:
    """What is said about the frame, and its colour. Nothing here may reassure: no lesion flagged is grey."""
    if assessment.finding is None:
        return describe_call(assessment), GREY if assessment.state is State.WARMING_UP else AMBER
    return describe_call(assessment), class_colour(assessment.finding)


@lru_cache(maxsize=8)
def _panel(height_px: int, unit: float, labels: Labels) -> Picture:
    """The part of the panel that is the same for every frame."""
    panel = np.full((height_px, round(PANEL_WIDTH * unit), 3), PANEL, np.uint8)
    _text(panel, "RcdNet Live", unit, MARGIN, 30, 15, GREY, weight=500)
    _text(panel, labels.made_by, unit, PANEL_WIDTH - MARGIN, 30, 13, GREY, right=True)
    for row, name in enumerate(labels.class_names):
        _text(panel, class_label(name), unit, MARGIN, _bar_top(row) - 9, 16, WHITE)
    if not labels.still:
        _text(panel, "white tick: this frame alone", unit, MARGIN, _below(labels) + 66, 14, GREY)
    bottom = height_px / unit
    for line, words in enumerate(textwrap.wrap(RESEARCH_NOTICE, 20)):
        _text(panel, words, unit, MARGIN, bottom - 36 + 20 * line, 14, WHITE)
    _text(panel, SCOPE.partition(". ")[0] + ".", unit, MARGIN, bottom - 62, 14, WHITE)
    if labels.synthetic:
        _text(panel, "SYNTHETIC PICTURE", unit, MARGIN, bottom - 88, 14, AMBER, weight=600)
    panel.setflags(write=False)
    return panel


def _bar_top(row: int) -> int:
    return 176 + 46 * row


def _below(labels: Labels) -> int:
    return _bar_top(len(labels.class_names)) - 6


def _write_panel(panel: Picture, unit: float, assessment: Assessment, labels: Labels) -> None:
    words, colour = headline(assessment)
    _box(panel, unit, (0, 46, 5, 40), colour)
    _text(panel, words, unit, MARGIN, 75, 28, colour, weight=600)
    for line, part in enumerate(textwrap.wrap(assessment.reason, 36, max_lines=3, placeholder=" ...")):
        _text(panel, part, unit, MARGIN, 100 + 18 * line, 14, GREY)
    width, right = PANEL_WIDTH - 2 * MARGIN, PANEL_WIDTH - MARGIN
    for row, name in enumerate(labels.class_names):
        top = _bar_top(row)
        _box(panel, unit, (MARGIN, top, width, 10), TRACK)
        if assessment.smoothed.size == 0:
            _text(panel, NOTHING_SAID, unit, right, top - 9, 16, GREY, right=True)
            continue
        value, raw = float(assessment.smoothed[row]), float(assessment.raw[row])
        _text(panel, percent(value), unit, right, top - 9, 16, WHITE, right=True)
        _box(panel, unit, (MARGIN, top, width * value, 10), class_colour(name))
        if not labels.still:  # where both are the same
            _box(panel, unit, (MARGIN + (width - 2) * raw, top - 2, 2, 14), WHITE)


def _write_heat_caption(panel: Picture, unit: float, below: float, class_name: str | None, stale: bool) -> None:
    """Which class the heat map is of, with its scale; or that there is none."""
    if class_name is not None:
        _text(panel, f"heat map: {class_name}", unit, MARGIN, below, 16, WHITE)
        _heat_legend(panel, unit, below + 13)
    elif stale:
        _text(panel, "no heat map: too old", unit, MARGIN, below, 16, AMBER)
    else:
        _text(panel, "no heat map", unit, MARGIN, below, 16, GREY)


def _heat_legend(panel: Picture, unit: float, top: float) -> None:
    """The scale between the names of its ends; without them it looks like a probability's bar."""
    left, right = MARGIN + 38, PANEL_WIDTH - MARGIN - 48
    size = (round((right - left) * unit), max(2, round(5 * unit)))
    y, x = round(top * unit), round(left * unit)
    panel[y : y + size[1], x : x + size[0]] = cv2.resize(heat_colours().reshape(1, 256, 3), size)
    _text(panel, "weak", unit, MARGIN, top + 6, 14, GREY)
    _text(panel, "strong", unit, PANEL_WIDTH - MARGIN, top + 6, 14, GREY, right=True)


def _box(panel: Picture, unit: float, box: tuple[float, float, float, float], colour: Colour) -> None:
    """Fill x, y, width, height, in units."""
    x, y, width, height = box
    panel[round(y * unit) : round((y + height) * unit), round(x * unit) : round((x + width) * unit)] = colour


def _text(
    panel: Picture,
    words: str,
    unit: float,
    x: float,
    baseline: float,
    size: float,
    colour: Colour,
    *,
    weight: int = 400,
    right: bool = False,
) -> None:
    """One line at ``x`` (its right end if ``right``), in units."""
    align = cv2.PUT_TEXT_ALIGN_RIGHT if right else cv2.PUT_TEXT_ALIGN_LEFT
    at = round(x * unit), round(baseline * unit)
    cv2.putText(panel, words, at, colour, _TYPE.face, round(size * unit), weight, align)

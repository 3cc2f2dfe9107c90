"""How the same tissue looks on another scanner, or with callipers and text burnt in."""

import cv2
import numpy as np
from numpy.typing import NDArray

from rcdnet.box import Box
from rcdnet.preprocess import Grey

DRAWN_PX = 320
"""In a picture with this longest side, lines are one pixel thick and the sigmas of ``other_machine`` are in pixels;
in a larger one both grow with it (``_scale``)."""


def other_machine(grey: Grey, rng: np.random.Generator) -> Grey:
    """The picture as another scanner, setting or recorder would show it, uint8 [H, W] -> uint8 [H, W]."""
    scale = _scale(grey)
    picture: NDArray[np.floating] = grey.astype(np.float32) / 255
    depth = np.linspace(0, 1, grey.shape[0], dtype=np.float32)[:, None]
    picture = picture ** rng.uniform(0.7, 1.4)  # dynamic range of the log compression
    picture = picture * rng.uniform(0.75, 1.25) * (1 + rng.uniform(-0.25, 0.25) * (depth - 0.5))  # gain, depth gain
    if rng.random() < 0.4:  # speckle is multiplicative and a few pixels wide
        noise = rng.normal(0, rng.uniform(0.05, 0.2), grey.shape).astype(np.float32)
        picture = picture * (1 + cv2.GaussianBlur(noise, (0, 0), scale * rng.uniform(0.5, 1.2)))
    if rng.random() < 0.3:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), scale * rng.uniform(0.4, 1.3)), np.float32)
    changed = np.asarray(np.clip(picture * 255, 0, 255), np.uint8)
    if rng.random() < 0.4:
        _, jpeg = cv2.imencode(".jpg", changed, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 90))])
        changed = np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE), np.uint8)
    return changed


def paint_markers(grey: Grey, lesion: Box | None, rng: np.random.Generator) -> Grey:
    """The picture with callipers (crosses, sometimes joined by a dotted line), across the lesion or anywhere, and
    sometimes a few letters."""
    picture = grey.copy()
    height, width = picture.shape
    scale = _scale(grey)
    thick = round(scale)
    brightness = int(rng.integers(180, 256))
    around = lesion if rng.random() < 0.7 else None
    for _ in range(int(rng.integers(1, 3))):
        if around is None:
            ends = rng.uniform(0.05, 0.95, (2, 2)) * (width, height)
        else:
            angle = rng.uniform(0, np.pi)
            radius = np.array([around.width_px, around.height_px]) / 2 * (np.cos(angle), np.sin(angle))
            middle = np.array([around.x_px + around.width_px / 2, around.y_px + around.height_px / 2])
            ends = np.stack([middle - radius, middle + radius])
        cross = int(rng.choice([cv2.MARKER_CROSS, cv2.MARKER_TILTED_CROSS]))
        size = round(scale * int(rng.integers(4, 10)))
        for end in ends:
            cv2.drawMarker(picture, (int(end[0]), int(end[1])), brightness, cross, size, thick)
        if rng.random() < 0.5:
            for t in np.linspace(0, 1, int(rng.integers(8, 25))):
                x, y = ends[0] + t * (ends[1] - ends[0])
                cv2.circle(picture, (int(x), int(y)), thick - 1, brightness, -1)
    if rng.random() < 0.4:
        text = "".join(rng.choice(list("ABCDEFGHIKLMNORSTX0123456789.+ "), int(rng.integers(2, 9))))
        origin = (int(rng.integers(width)), int(rng.integers(8, max(9, height))))
        cv2.putText(picture, text, origin, cv2.FONT_HERSHEY_PLAIN, scale * rng.uniform(0.6, 1.1), brightness, thick)
    return picture


def _scale(grey: Grey) -> float:
    """How much larger than DRAWN_PX a picture is, at least 1. Lines and blur grow with it, or shrinking the picture to
    the model input would lose them."""
    return float(max(1.0, max(grey.shape) / DRAWN_PX))

"""What becomes of a real still on a scanner's screen, on the way from it, or in another mode.

Pure functions of pictures; ``rng`` is what is drawn at random from.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from rcdnet.preprocess import Grey

Picture = NDArray[np.uint8]
"""RGB, uint8 [H, W, 3]."""

SCREEN_ROWS = 1080

TINTS = {"sepia": (1.0, 0.8, 0.5), "candle": (1.0, 0.9, 0.6), "blue": (0.7, 0.85, 1.0)}
"""The colour (R, G, B, 0 to 1) that white has under a scanner's tint."""


def rgb(grey: Grey) -> Picture:
    """A grey picture as RGB."""
    return np.ascontiguousarray(np.repeat(grey[..., None], 3, axis=2))


def enlarged(picture: Picture) -> Picture:
    """Enlarged to SCREEN_ROWS rows, as on a scanner's screen."""
    factor = SCREEN_ROWS / picture.shape[0]
    return np.asarray(cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), np.uint8)


def feed(picture: Picture, sigma: int, rng: np.random.Generator) -> list[Picture]:
    """What a card captures of a picture that does not change: one frame without noise, or eight with noise of ``sigma``
    grey levels."""
    return [noisy(picture, sigma, rng) for _ in range(8 if sigma else 1)]


def noisy(picture: Picture, sigma: int, rng: np.random.Generator) -> Picture:
    """With noise of ``sigma`` grey levels, captured as MJPEG; unchanged with 0."""
    if sigma == 0:
        return picture
    return captured(np.clip(picture + rng.normal(0, sigma, picture.shape), 0, 255).astype(np.uint8))


def captured(picture: Picture) -> Picture:
    """Captured as MJPEG, which halves the resolution of the colours."""
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", picture)[1], cv2.IMREAD_COLOR), np.uint8)


def patterns() -> list[Picture]:
    """What grabbers and cables show without a scanner, uint8 [480, 640, 3]."""
    shape = (480, 640, 3)
    plain = [
        np.full(shape, colour, np.uint8) for colour in ((0, 0, 0), (0, 0, 255), (16, 16, 16), (0, 128, 0), (255,) * 3)
    ]
    bars = np.array([(191,) * 3, (191, 191, 0), (0, 191, 191), (0, 191, 0), (191, 0, 191), (191, 0, 0), (0, 0, 191)])
    across = np.linspace(0, 255, 640).astype(np.uint8)[None, :, None]
    down = np.linspace(0, 255, 480).astype(np.uint8)[:, None, None]
    cross = np.zeros(shape, np.uint8)
    cross[::40] = cross[:, ::40] = 255
    squares = (np.indices(shape[:2]) // 80).sum(axis=0) % 2 * 255
    words = np.zeros(shape, np.uint8)
    cv2.putText(words, "NO SIGNAL", (150, 250), cv2.FONT_HERSHEY_SIMPLEX, 2, (255, 255, 255), 3)
    return [
        *plain,
        np.broadcast_to(bars[np.arange(640) * 7 // 640].astype(np.uint8)[None], shape).copy(),
        np.broadcast_to(np.repeat(np.linspace(0, 255, 8), 80).astype(np.uint8)[None, :, None], shape).copy(),
        np.broadcast_to(across, shape).copy(),
        np.broadcast_to(down, shape).copy(),
        cross,
        rgb(squares.astype(np.uint8)),
        words,
    ]


def doppler(picture: Picture, rng: np.random.Generator) -> Picture:
    """With vessels of one or two hues in a box; at least 2 % of the picture is coloured."""
    painted, (height, width) = picture.copy(), picture.shape[:2]
    flow = cv2.GaussianBlur(rng.random((height, width), np.float32), (0, 0), width / 40)
    box = np.zeros((height, width), bool)
    side = rng.uniform(0.35, 0.7, 2)
    top, left = (rng.uniform(0, 1 - side) * (height, width)).astype(int)
    box[top : top + int(side[0] * height), left : left + int(side[1] * width)] = True
    share = rng.uniform(0.15, 0.5) * box.sum()
    vessels = box & (flow >= np.sort(flow[box])[-int(max(share, 0.02 * box.size))])
    hues = [((220, 40, 20), (30, 60, 230)), ((240, 140, 20), (240, 140, 20))][int(rng.integers(2))]
    upper = np.arange(height)[:, None] < top + side[0] * height / 2
    opacity = rng.uniform(0.6, 1.0)
    for hue, half in zip(hues, (upper, ~upper), strict=True):
        where = vessels & half
        painted[where] = (painted[where] * (1 - opacity) + np.array(hue) * opacity).astype(np.uint8)
    return painted


def elastography(picture: Picture, rng: np.random.Generator) -> Picture:
    """With a box in rainbow colours, through which the scan can be seen."""
    painted, (height, width) = picture.copy(), picture.shape[:2]
    stiffness = cv2.GaussianBlur(rng.random((height, width), np.float32), (0, 0), width / 12)
    scaled = cv2.normalize(stiffness, np.empty_like(stiffness), 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(scaled, cv2.COLORMAP_JET), cv2.COLOR_BGR2RGB)
    side = rng.uniform(0.3, 0.7, 2)
    top, left = (rng.uniform(0, 1 - side) * (height, width)).astype(int)
    box = np.s_[top : top + int(side[0] * height), left : left + int(side[1] * width)]
    opacity = rng.uniform(0.4, 0.7)
    painted[box] = (painted[box] * (1 - opacity) + colours[box] * opacity).astype(np.uint8)
    return painted


def dimmed(picture: Picture) -> Picture:
    """Half as bright."""
    return picture // 2


def smoothed(picture: Picture) -> Picture:
    """Blurred by a Gaussian with a sigma of 1.5 pixels."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.5), np.uint8)


def tinted(picture: Picture, tint: str) -> Picture:
    """A grey picture in one of TINTS."""
    return np.asarray(np.rint(picture * np.array(TINTS[tint])), np.uint8)


def marked(picture: Picture) -> Picture:
    """With a scanner's coloured logo, focus mark and calliper: half a percent of the picture."""
    painted, (height, width) = picture.copy(), picture.shape[:2]
    painted[4 : 4 + height // 20, 4 : 4 + width // 20] = (30, 200, 40)
    cv2.circle(painted, (width - 8, height // 2), max(2, height // 80), (250, 200, 0), -1)
    cv2.line(painted, (width // 3, height // 2), (width // 2, height // 2), (250, 250, 0), 1)
    return painted


def side_by_side(left: Picture, right: Picture, gap: float) -> Picture:
    """Two stills of one height; the black gap between them is ``gap`` of their width."""
    left, right = same_size([left, right])
    black = np.zeros((left.shape[0], round(2 * left.shape[1] * gap), 3), np.uint8)
    return np.concatenate([left, black, right], axis=1)


def stacked(upper: Picture, lower: Picture, gap: float) -> Picture:
    """Two stills of one width; the black gap between them is ``gap`` of their height."""
    upper, lower = same_size([upper, lower])
    black = np.zeros((round(2 * upper.shape[0] * gap), upper.shape[1], 3), np.uint8)
    return np.concatenate([upper, black, lower])


def same_size(pictures: list[Picture]) -> list[Picture]:
    """All as large as the first."""
    height, width = pictures[0].shape[:2]
    return [np.asarray(cv2.resize(each, (width, height)), np.uint8) for each in pictures]


def in_air(picture: Picture, rng: np.random.Generator) -> Picture:
    """The top tenth of the picture, below which there is only noise."""
    depth = np.linspace(0, 1, picture.shape[0])[:, None, None]
    faded = picture * np.clip(1 - (depth - 0.1) / 0.1, 0, 1) + np.abs(rng.normal(0, 6, picture.shape[:2]))[..., None]
    return np.clip(faded, 0, 255).astype(np.uint8)

"""report.html: what summary.json says, for people, with the curves and the key frames that JSON has no room for."""

import base64
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from stream.decision import class_label, describe_call, percent
from stream.status import Moment
from stream.types import Assessment


def render(
    summary: dict[str, Any],
    points: list[Moment],
    pictures: list[tuple[str, Assessment]],
    key_frames: dict[int, bytes],
) -> str:
    """The page: one file that needs nothing else, no network, no script. A table of ``pictures`` replaces the timeline,
    if there are any: they have no time. ``key_frames`` are JPEGs by the number of their episode.
    """
    environment = Environment(
        loader=PackageLoader("stream", "sinks"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("report.html.j2").render(
        summary=summary,
        lines=polylines(points, summary["model"]["class_names"]),
        bands=state_bands(points),
        pictures=pictures,
        key_frames={index: base64.b64encode(jpeg).decode() for index, jpeg in key_frames.items()},
        class_label=class_label,
        percent=percent,
        describe_call=describe_call,
    )


def polylines(points: list[Moment], class_names: Sequence[str]) -> dict[str, list[str]]:
    """Per class, SVG ``points`` over 0..1000 x 0..200 (probability 1 on top); a new line after each gap."""
    span_s = max((point.t_s for point in points), default=0) or 1
    lines: dict[str, list[str]] = {}
    for k, name in enumerate(class_names):
        pieces: list[list[str]] = [[]]
        for point in points:
            if point.smoothed:
                pieces[-1].append(f"{1000 * point.t_s / span_s:.1f},{200 * (1 - point.smoothed[k]):.1f}")
            elif pieces[-1]:
                pieces.append([])
        lines[name] = [" ".join(piece) for piece in pieces if piece]
    return lines


def state_bands(points: list[Moment]) -> list[tuple[float, float, str]]:
    """Stretches of one state: left and width over 0..1000, and the state."""
    if not points:
        return []
    span_s = max(point.t_s for point in points) or 1
    starts = [i for i, point in enumerate(points) if i == 0 or point.state != points[i - 1].state]
    bands = []
    for start, end in zip(starts, [*starts[1:], len(points) - 1], strict=True):
        left, right = (1000 * points[i].t_s / span_s for i in (start, end))
        bands.append((round(left, 1), round(right - left, 1), points[start].state))
    return bands

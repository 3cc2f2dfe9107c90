from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from stream.sinks.report_page import polylines, state_bands
from stream.sinks.report_timeline import MOST_POINTS, Timeline
from stream.status import Moment
from stream.types import State, View
from tests.stream_views import SESSION, SPEC, reported, view

CALLED = "a finding, or no lesion flagged"


def test_a_long_run_keeps_the_plot_and_not_every_point() -> None:
    timeline = Timeline(SESSION)
    for index in range(5 * MOST_POINTS):
        each = view(index, size_px=(2, 2))
        timeline.add(each.frame, each.assessment)
    points = timeline.moments()
    assert MOST_POINTS / 2 <= len(points) <= MOST_POINTS
    assert points[0].t_s == 0
    assert points[-1].t_s == pytest.approx((5 * MOST_POINTS - 1) / 25, rel=0.01)
    assert {round((b.t_s - a.t_s) * 25) for a, b in pairwise(points)} == {8}


def test_a_gap_breaks_the_line() -> None:
    points = [
        Moment(0, (0.5, 0.5), State.CLEAR_FINDING),
        Moment(1, (), State.NOT_ANALYSED),
        Moment(2, (1.0, 0.0), State.CLEAR_FINDING),
    ]
    assert polylines(points, ("benign", "malignant"))["benign"] == ["0.0,100.0", "1000.0,0.0"]
    assert state_bands(points) == [(0, 500, "clear_finding"), (500, 500, "not_analysed"), (1000, 0, "clear_finding")]


def test_an_outage_breaks_the_line(tmp_path: Path) -> None:
    indices = (*range(10), *range(200, 210))  # eight seconds are missing
    views = [view(index, state=State.WARMING_UP if index == 200 else State.CLEAR_FINDING) for index in indices]
    _, page = reported(tmp_path, views)
    assert page.count("<polyline") == 2 * len(SPEC.class_names)


def bands(folder: Path, views: list[View]) -> list[str | None]:
    _, page = reported(folder, views, replace(SESSION, live=True))
    svg = ElementTree.fromstring(page[page.index("<svg") : page.index("</svg>") + 6])
    return [band.findtext("title") for band in svg.findall("rect")]


@pytest.mark.parametrize(
    ("every", "lost", "told"),
    [
        (1, 0, "no signal"),
        (1, 20, "no signal"),
        (6, 5, "no signal"),
        (1, 60, "not recorded"),
        (6, 100, "not recorded"),
    ],
    ids=["an outage", "begun with damaged frames", "a slow engine", "a slow disk", "both slow"],
)
def test_what_was_captured_but_not_recorded_is_no_outage(tmp_path: Path, every: int, lost: int, told: str) -> None:
    before = range(0, 20 * every, every)  # at 25 frames a second; then four seconds without a view
    after = range(before[-1] + 1 + lost, before[-1] + 1 + lost + 20 * every, every)
    late_s = 4 - lost / 25
    views = [view(index) for index in before] + [view(index, index / 25 + late_s) for index in after]
    assert bands(tmp_path, views) == [CALLED, told, CALLED]


def test_where_most_frames_were_damaged_their_pace_is_that_of_all(tmp_path: Path) -> None:
    before = [view(2 * index, 0.08 * index) for index in range(20)]  # every second one is damaged
    after = [view(2 * index + 60, 0.08 * index + 4) for index in range(20)]  # of those between, some 20 at 25 a second
    assert bands(tmp_path, before + after) == [CALLED, "no signal", CALLED]


def test_a_pause_that_is_shorter_than_a_gap_is_none(tmp_path: Path) -> None:
    assert bands(tmp_path, [view(0, 0.0), view(1, 0.9), view(2, 1.8)]) == [CALLED]


def test_a_source_without_a_pace_is_not_said_to_be_out(tmp_path: Path) -> None:
    views = [view(60 * index, 2.0 * index) for index in range(5)]  # each frame takes the engine two seconds
    assert set(bands(tmp_path, views)) == {CALLED, "not recorded"}


def test_every_outage_of_a_long_run_breaks_the_line(tmp_path: Path) -> None:
    at_once = replace(SESSION, config=SESSION.config.model_copy(update={"warm_up_s": 0.0}))
    frames = range(4 * MOST_POINTS + 1)  # with an outage of eight seconds after each MOST_POINTS of them
    _, page = reported(tmp_path, (view(index + 200 * (index // MOST_POINTS)) for index in frames), at_once)
    assert page.count("<polyline") == 5 * len(SPEC.class_names)

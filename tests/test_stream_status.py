"""What is known of a run from outside: what was said last, when, and how late."""

import time
from dataclasses import replace

import pytest

from stream.session import Session
from stream.status import Board
from stream.types import Assessment, State
from tests.stream_views import ENGINE, SESSION, view


def drawn(session: Session, *captured_ns: int) -> Board:
    """The board of a run that drew frames which were captured then, 40 ms apart by the source."""
    board = Board(session)
    for index, at_ns in enumerate(captured_ns):
        one = view(index, captured_ns=at_ns, size_px=(2, 3))
        board.drawn(one.frame, one.assessment)
    return board


@pytest.mark.parametrize(("live", "times_s"), [(True, [0, 3]), (False, [2 / 25])])
def test_the_timeline_goes_by_the_room_s_clock_in_live_use_and_by_the_clip_s_in_replay(
    live: bool, times_s: list[float]
) -> None:
    board = drawn(replace(SESSION, live=live), 10**9, 4 * 10**9, 4 * 10**9)
    status = board.snapshot(ENGINE, 0, None)
    assert [moment.t_s for moment in status.timeline] == pytest.approx(times_s)
    assert status.size_px == (3, 2)


def test_the_timeline_does_not_grow_with_the_run() -> None:
    minutes = drawn(replace(SESSION, live=True), *(30 * 10**9 * number for number in range(9)))
    assert [moment.t_s for moment in minutes.snapshot(ENGINE, 0, None).timeline] == pytest.approx([180, 210, 240])


def test_the_last_finding_is_withdrawn_once_nothing_comes_any_more() -> None:
    board = drawn(replace(SESSION, live=True), time.perf_counter_ns())
    silent = Assessment(0, None, State.NO_SIGNAL, "no new frame for 0.6 s", 600.0)
    board.interrupted(silent)
    assert board.snapshot(ENGINE, 0, None).assessment is silent


def test_the_latency_is_from_the_capture_to_the_picture() -> None:
    captured_ns = time.perf_counter_ns() - 10**12
    before_ns = time.perf_counter_ns()
    latency_ms = drawn(SESSION, captured_ns).snapshot(ENGINE, 0, None).latency_ms
    assert latency_ms is not None
    assert (before_ns - captured_ns) / 1e6 <= latency_ms.max_ms <= (time.perf_counter_ns() - captured_ns) / 1e6

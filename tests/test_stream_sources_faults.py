"""Each fault by script does to a real source what it says, and nothing outside its time."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import SourceError, UsageError
from stream.sources import faults, open_source
from stream.sources.faults import KINDS, Fault, FaultySource, Script, parse
from stream.types import Frame

PHANTOM = "phantom:?size=160x160&fps=100"


def faulty(events: str) -> Iterator[Frame]:
    """The frames of one connection, from the start of its script."""
    with FaultySource(Script(parse(events)), PHANTOM) as source:
        yield from source.frames()


def different(frames: list[Frame]) -> int:
    return len({frame.rgb.tobytes() for frame in frames})


def test_without_an_event_nothing_is_changed() -> None:
    assert different(list(islice(faulty("freeze@900+1"), 20))) == 20


def test_a_frozen_source_repeats_its_last_picture_with_new_times() -> None:
    frames = list(islice(faulty("freeze@0.1+900"), 60))
    last = frames[-10:]
    assert different(last) == 1
    assert np.all(np.diff([frame.pts_s for frame in last]) > 0)


def test_recycled_buffers_come_in_a_circle_of_four() -> None:
    last = list(islice(faulty("repeat@1+900"), 130))[-8:]
    assert different(last) == 4
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(last[:4], last[4:], strict=True))


def test_pictures_of_another_size() -> None:
    assert next(faulty("size@0+900")).rgb.shape == (80, 80, 3)


def test_late_frames_keep_the_time_of_their_capture() -> None:
    frame = next(faulty("delay@0+900"))
    assert faults.time.perf_counter_ns() - frame.captured_ns >= 0.5e9


def test_dropped_frames_leave_a_gap() -> None:
    assert next(faulty("drop@0+0.3")).index > 0


def test_damaged_frames_are_counted() -> None:
    with FaultySource(Script(parse("truncate@0+0.3")), PHANTOM) as source:
        first = next(source.frames())
    assert source.damaged == first.index > 0


def test_a_dead_source_breaks_off_and_cannot_be_opened() -> None:
    script = Script(parse("die@0.1+900"))
    with FaultySource(script, PHANTOM) as source, pytest.raises(SourceError, match="as its script says"):
        list(source.frames())
    with pytest.raises(SourceError, match="as its script says"):
        FaultySource(script, PHANTOM)


def test_a_source_that_died_comes_back() -> None:
    with open_source(f"faults:die@0.2+0.2/{PHANTOM}") as source:
        frames = source.frames()
        while source.reopened == 0:
            frame = next(frames)
        after = next(frames)
        assert after.index == frame.index + 1
    assert source.synthetic


@given(
    st.lists(
        st.builds(
            Fault, st.sampled_from(sorted(KINDS)), st.integers(0, 9999).map(float), st.integers(0, 99).map(float)
        ),
        min_size=1,
        max_size=5,
    )
)
def test_a_script_is_read_as_it_is_written(events: list[Fault]) -> None:
    text = ",".join(f"{event.kind}@{event.start_s:g}+{event.length_s:g}" for event in events)
    assert parse(text) == tuple(events)


@pytest.mark.parametrize(
    "script", ["", "die", "die@3", "die@3+", "explode@1+1", "die@-1+2", "die@1+2;freeze@1+2", "die@1e9+1"]
)
def test_a_script_that_makes_no_sense_is_refused(script: str) -> None:
    with pytest.raises(UsageError, match="makes no sense"):
        open_source(f"faults:{script}/phantom:")

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcdnet.spec import ModelSpec, OperatingPoint
from stream.config import StreamConfig
from stream.decision import Rule, describe_call
from stream.errors import UsageError
from stream.smoothing import Smoother, attention_class, moved
from stream.types import Assessment, Frame, NotAnalysed, Prediction, ScanArea, State

SPEC = ModelSpec(("benign", "malignant", "normal"), 32, 32, 0.5, 0.25, "none", indeterminate=(0.4, 0.6))
AREA = ScanArea(0, 0, 48, 32, "full")
BENIGN, MALIGNANT, NORMAL = (0.9, 0.05, 0.05), (0.05, 0.9, 0.05), (0.02, 0.03, 0.95)


def frame(pts_s: float, source: str = "test") -> Frame:
    return Frame(0, 1_000_000, pts_s, np.zeros((32, 48, 3), np.uint8), source)


def prediction(probabilities: tuple[float, ...]) -> Prediction:
    maps = np.log(np.maximum(probabilities, 1e-9)).astype(np.float32)[:, None, None] * np.ones((1, 2, 2), np.float32)
    return Prediction(np.array(probabilities, np.float32), maps)


def feed(smoother: Smoother, pts_s: float, probabilities: tuple[float, ...], source: str = "test") -> Assessment:
    return smoother.update(frame(pts_s, source), AREA, prediction(probabilities), now_ns=6_000_000)


def settled(probabilities: tuple[float, ...], spec: ModelSpec = SPEC) -> Assessment:
    smoother = Smoother(spec, StreamConfig())
    return [feed(smoother, n / 10, probabilities) for n in range(20)][-1]


@given(
    before=st.floats(0.01, 0.98),
    after=st.floats(0.01, 0.98),
    fps=st.sampled_from([15, 24, 30, 60]),
    smoothing_s=st.floats(0.1, 2),
)
def test_a_step_settles_alike_at_every_frame_rate(before: float, after: float, fps: int, smoothing_s: float) -> None:
    def a_second_after_the_step(rate: int) -> Assessment:
        smoother = Smoother(SPEC, StreamConfig(smoothing_s=smoothing_s))
        feed(smoother, 0.0, (before, 0.99 - before, 0.01))
        return [feed(smoother, n / rate, (after, 0.99 - after, 0.01)) for n in range(1, rate + 1)][-1]

    expected, found = a_second_after_the_step(3), a_second_after_the_step(fps)
    np.testing.assert_allclose(found.smoothed, expected.smoothed, atol=1e-5)
    assert (found.state, found.finding) == (expected.state, expected.finding)


def test_after_one_time_constant_a_step_is_done_to_63_percent_in_log_odds() -> None:
    smoother = Smoother(SPEC, StreamConfig(smoothing_s=0.5))
    feed(smoother, 0.0, BENIGN)
    smoothed = feed(smoother, 0.5, MALIGNANT).smoothed
    step = np.log(0.9 / 0.05) * 2
    assert np.log(smoothed[1] / smoothed[0]) == pytest.approx(-step / 2 + (1 - np.exp(-1)) * step, abs=1e-4)


def test_one_odd_frame_does_not_turn_a_finding() -> None:
    smoother = Smoother(SPEC, StreamConfig())
    for n in range(30):
        feed(smoother, n / 30, BENIGN)
    assert feed(smoother, 1.0, (0.0, 1.0, 0.0)).finding == "benign"


def test_nothing_is_called_while_warming_up() -> None:
    smoother = Smoother(SPEC, StreamConfig(warm_up_s=0.4))
    found = [feed(smoother, n / 10, MALIGNANT) for n in range(6)]
    assert [a.state for a in found] == [State.WARMING_UP] * 4 + [State.CLEAR_FINDING] * 2
    assert all(a.finding is None and a.attention is None for a in found[:4])


def test_frames_that_are_judged_too_rarely_for_any_call_are_told_and_those_after_a_pause_are_not() -> None:
    smoother = Smoother(SPEC, StreamConfig(gap_s=1.0, warm_up_s=0.4))
    rare = [feed(smoother, at_s, MALIGNANT) for at_s in (0.0, 1.5, 3.0, 3.5, 9.0)]
    slow = "a frame is judged only every 1.5 s: source or machine is too slow for a call"
    early = "nothing is called before 0.4 s are seen"
    assert [a.reason for a in rare] == [early, slow, slow, "", early]
    assert [a.state for a in rare] == [*[State.WARMING_UP] * 3, State.CLEAR_FINDING, State.WARMING_UP]
    smoother.update(frame(9.1), AREA, NotAnalysed("colour mode"), now_ns=6_000_000)
    assert feed(smoother, 12.0, MALIGNANT).reason == early


def test_stills_are_called_at_once_and_each_by_itself() -> None:
    smoother = Smoother(SPEC, StreamConfig(), still=True)
    found = [feed(smoother, n / 2, each) for n, each in enumerate((MALIGNANT, NORMAL, BENIGN))]
    assert [a.finding for a in found] == ["malignant", "normal", "benign"]
    np.testing.assert_allclose(found[1].smoothed, NORMAL, atol=1e-6)


@pytest.mark.parametrize("next_s", [1.0, 9.0], ids=["back", "ahead"])
def test_a_jump_in_time_forgets_what_was_seen(next_s: float) -> None:
    smoother = Smoother(SPEC, StreamConfig())
    for n in range(30):
        feed(smoother, 2 + n / 30, MALIGNANT)
    after = feed(smoother, next_s, NORMAL)
    assert after.state is State.WARMING_UP
    np.testing.assert_allclose(after.smoothed, NORMAL, atol=1e-6)


def test_a_time_that_stands_still_freezes_no_finding() -> None:
    smoother = Smoother(SPEC, StreamConfig())
    for n in range(30):
        feed(smoother, n / 30, MALIGNANT)
    found = [feed(smoother, 29 / 30, NORMAL) for _ in range(3)]
    assert [(a.state, a.finding) for a in found] == [(State.WARMING_UP, None)] * 3
    np.testing.assert_allclose(found[-1].smoothed, NORMAL, atol=1e-6)
    assert feed(smoother, 1.4, NORMAL).finding == "normal"


def test_stills_of_one_time_are_called_each_by_itself() -> None:
    smoother = Smoother(SPEC, StreamConfig(), still=True)
    assert [feed(smoother, 0.0, each).finding for each in (MALIGNANT, NORMAL)] == ["malignant", "normal"]


def test_another_recording_forgets_what_was_seen() -> None:
    smoother = Smoother(SPEC, StreamConfig())
    for n in range(30):
        feed(smoother, n / 30, MALIGNANT, "a.dcm")
    found = [feed(smoother, n / 30, NORMAL, "b.dcm") for n in range(30, 50)]
    assert found[0].state is State.WARMING_UP
    assert {a.finding for a in found} == {None, "normal"}
    np.testing.assert_allclose(found[0].smoothed, NORMAL, atol=1e-6)


@pytest.mark.parametrize(("x_px", "state"), [(310, State.WARMING_UP), (30, State.CLEAR_FINDING)])
def test_a_scan_elsewhere_forgets_what_was_seen_and_one_that_grew_does_not(x_px: int, state: State) -> None:
    smoother = Smoother(SPEC, StreamConfig())
    for index in range(50):
        smoother.update(frame(index / 25), ScanArea(0, 0, 300, 200, "detected"), prediction((0.1, 0.8, 0.1)), 0)
    now = smoother.update(frame(2.0), ScanArea(x_px, 0, 300, 220, "detected"), prediction((0.1, 0.1, 0.8)), 0)
    assert now.state is state


def test_a_scan_of_which_only_the_top_is_seen_has_not_moved() -> None:
    whole, top = ScanArea(0, 0, 300, 600, "detected"), ScanArea(0, 0, 300, 200, "detected")
    assert not moved(whole, top)
    assert not moved(top, whole)


def test_a_frame_that_is_not_analysed_says_why_and_shows_no_old_value() -> None:
    smoother = Smoother(SPEC, StreamConfig())
    feed(smoother, 0.0, MALIGNANT)
    found = smoother.update(frame(0.1), AREA, NotAnalysed("no picture"), now_ns=6_000_000)
    assert (found.state, found.reason, found.finding) == (State.NOT_ANALYSED, "no picture", None)
    assert found.smoothed.size == 0
    assert found.attention is None


@pytest.mark.parametrize(("failed", "after"), [(False, State.WARMING_UP), (True, State.CLEAR_FINDING)])
def test_a_refused_picture_forgets_what_was_seen_and_a_fault_of_ours_does_not(failed: bool, after: State) -> None:
    smoother = Smoother(SPEC, StreamConfig())
    for pts_s in (0.0, 0.2, 0.4):
        feed(smoother, pts_s, MALIGNANT)
    smoother.update(frame(0.5), AREA, NotAnalysed("frozen", failed=failed), now_ns=6_000_000)
    assert feed(smoother, 0.6, MALIGNANT).state is after


@pytest.mark.parametrize(
    ("probabilities", "state", "finding", "shown"),
    [
        (BENIGN, State.CLEAR_FINDING, "benign", "benign"),
        (MALIGNANT, State.CLEAR_FINDING, "malignant", "malignant"),
        (NORMAL, State.CLEAR_FINDING, "normal", None),
        ((0.5, 0.45, 0.05), State.INDETERMINATE, None, "benign"),
        ((0.1, 0.42, 0.48), State.INDETERMINATE, None, "malignant"),
    ],
)
def test_a_settled_stream_is_called_by_the_operating_point(
    probabilities: tuple[float, ...], state: State, finding: str | None, shown: str | None
) -> None:
    found = settled(probabilities)
    assert (found.state, found.finding, found.attention_class) == (state, finding, shown)
    assert (found.attention is None) == (shown is None)
    assert found.age_ms == pytest.approx(5.0)


def test_attention_is_of_the_finding_even_where_the_other_lesion_class_is_likelier() -> None:
    point = OperatingPoint(lesion=0.5, malignant=0.2)
    smoothed = np.array((0.6, 0.35, 0.05), np.float32)
    spec = ModelSpec(SPEC.class_names, 32, 32, 0.5, 0.25, "none")
    state, finding, _ = Rule.of(spec, point, 0.05).decide(smoothed, spec)
    assert attention_class(smoothed, state, finding, spec) == finding == "malignant"


DOUBTFUL, HOVERING = (0.3, 0.3, 0.4), (0.185, 0.185, 0.63)
"""Probabilities of a lesion of 0.6 and 0.37; "no lesion" is said below 0.378, and anew below 0.366."""


def hovering_after(*before: tuple[float, ...], warm_up_s: float = 0.0) -> str:
    """What is said of HOVERING after frames of one stream, 0.1 s apart."""
    smoother = Smoother(SPEC, StreamConfig(smoothing_s=0.001, warm_up_s=warm_up_s))
    for n, each in enumerate(before):
        feed(smoother, n / 10, each)
    return describe_call(feed(smoother, len(before) / 10, HOVERING))


def test_what_was_said_last_goes_on_being_said_where_the_probability_hovers() -> None:
    said = [
        hovering_after(NORMAL),
        hovering_after(DOUBTFUL),
        hovering_after(DOUBTFUL, HOVERING),
        hovering_after(BENIGN),
    ]
    assert said == ["no lesion flagged", "indeterminate", "indeterminate", "indeterminate"]


def test_the_first_frame_that_is_judged_has_nothing_to_hold_to() -> None:
    assert hovering_after() == hovering_after(DOUBTFUL, warm_up_s=0.05) == "no lesion flagged"


@pytest.mark.parametrize(
    ("between", "pts_s", "source", "said"),
    [
        (None, 0.1, "test", "indeterminate"),
        (NotAnalysed("our fault", failed=True), 0.2, "test", "indeterminate"),
        (NotAnalysed("colour mode"), 0.2, "test", "no lesion flagged"),
        (None, 5.0, "test", "no lesion flagged"),
        (None, 0.1, "other", "no lesion flagged"),
    ],
    ids=["next frame", "fault of ours", "refused picture", "gap", "another source"],
)
def test_doubt_is_forgotten_with_all_else_that_was_seen(
    between: NotAnalysed | None, pts_s: float, source: str, said: str
) -> None:
    smoother = Smoother(SPEC, StreamConfig(smoothing_s=0.001, warm_up_s=0))
    feed(smoother, 0.0, DOUBTFUL)
    if between is not None:
        smoother.update(frame(0.1), AREA, between, now_ns=6_000_000)
    assert describe_call(feed(smoother, pts_s, HOVERING, source)) == said


def test_doubt_about_one_still_does_not_count_for_the_next() -> None:
    smoother = Smoother(SPEC, StreamConfig(), still=True)
    assert [describe_call(feed(smoother, n / 2, each)) for n, each in enumerate((DOUBTFUL, HOVERING))] == [
        "indeterminate",
        "no lesion flagged",
    ]


def test_a_two_class_model_always_speaks_of_a_lesion() -> None:
    spec = ModelSpec(("benign", "malignant"), 32, 32, 0.5, 0.25, "none")
    assert settled((0.9, 0.1), spec).finding == "benign"


def test_an_unknown_operating_point_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no operating point 'bold'. They have: balanced"):
        Smoother(SPEC, StreamConfig(operating_point="bold"))


def test_weights_of_other_classes_are_refused() -> None:
    with pytest.raises(UsageError, match="needs benign and malignant"):
        Smoother(ModelSpec(("cat", "dog"), 32, 32, 0.5, 0.25, "none"), StreamConfig())

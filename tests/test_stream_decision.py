"""At which probabilities what is called."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcdnet.spec import ModelSpec, OperatingPoint
from stream.decision import Rule, percent
from stream.types import State

SPEC = ModelSpec(("benign", "malignant", "normal"), 32, 32, 0.5, 0.25, "none", indeterminate=(0.4, 0.6))


def test_what_is_more_likely_a_lesion_than_none_is_never_called_no_lesion() -> None:
    rule = Rule.of(SPEC, OperatingPoint(lesion=0.9, malignant=0.5), 0.5)
    probabilities = {"normal": 0.4, "benign": 0.5, "malignant": 0.1}
    smoothed = np.array([probabilities[name] for name in SPEC.class_names], np.float32)
    assert rule.decide(smoothed, SPEC)[:2] == (State.INDETERMINATE, None)


@pytest.mark.parametrize(
    ("malignant", "normal", "said"),
    [
        (0.0, 0.75, (State.INDETERMINATE, None)),
        (0.0, 0.5, (State.CLEAR_FINDING, "benign")),
        (0.25, 0.0, (State.INDETERMINATE, None)),
        (0.75, 0.0, (State.CLEAR_FINDING, "malignant")),
    ],
)
def test_a_probability_at_a_threshold_counts_as_above_it(
    malignant: float, normal: float, said: tuple[State, str | None]
) -> None:
    rule = Rule(0.25, 0.24, lesion_from=0.5, benign_below=0.25, malignant_from=0.75)
    assert rule.decide(np.array((1 - malignant - normal, malignant, normal), np.float32), SPEC)[:2] == said


def test_the_band_around_balanced_is_that_of_the_weights() -> None:
    rule = Rule.of(SPEC, SPEC.operating_points["balanced"], 0.5)
    assert (rule.benign_below, rule.malignant_from) == SPEC.indeterminate


@pytest.mark.parametrize(("malignant", "band"), [(0.2, (0.1429, 0.2727)), (0.8, (0.7273, 0.8571))])
def test_the_band_goes_along_with_the_operating_point(malignant: float, band: tuple[float, float]) -> None:
    rule = Rule.of(SPEC, OperatingPoint(lesion=0.5, malignant=malignant), 0.5)
    assert (rule.benign_below, rule.malignant_from) == pytest.approx(band, abs=1e-4)


def test_without_a_band_the_operating_point_alone_decides() -> None:
    spec = ModelSpec(SPEC.class_names, 32, 32, 0.5, 0.25, "none")
    rule = Rule.of(spec, OperatingPoint(lesion=0.5, malignant=0.3), 0.5)
    assert (rule.benign_below, rule.malignant_from) == (0.3, 0.3)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 0.99))
def test_a_more_sensitive_point_calls_no_less_malignant_and_no_more_benign(
    one: float, two: float, share: float
) -> None:
    sensitive, specific = (
        Rule.of(SPEC, OperatingPoint(lesion=0.5, malignant=point), 0.5).decide(
            np.array((1 - share, share, 0.0), np.float32), SPEC
        )
        for point in sorted((one, two))
    )
    order = {"benign": 0, None: 1, "malignant": 2}
    assert order[sensitive[1]] >= order[specific[1]]


POINTS = st.builds(OperatingPoint, lesion=st.floats(0.05, 0.999), malignant=st.floats(0.05, 0.95))


def called(rule: Rule, lesion: float, doubted: bool) -> tuple[State, str | None]:
    """What ``rule`` says at a probability of a lesion, all of it benign, where that was ``doubted`` before."""
    return rule.decide(np.array((lesion, 0.0, 1 - lesion), np.float32), SPEC, doubted=doubted)[:2]


@given(POINTS, st.floats(0.49, 0.52), st.booleans())
def test_a_lesion_more_likely_than_none_is_never_called_no_lesion_whatever_was_said_before(
    point: OperatingPoint, lesion: float, doubted: bool
) -> None:
    if called(Rule.of(SPEC, point, 0.5), lesion, doubted)[1] == "normal":
        assert np.float32(1 - lesion) >= np.float32(0.5)


@given(POINTS, st.booleans(), st.lists(st.floats(0.001, 0.999), min_size=1))
def test_what_hovers_within_the_margin_goes_on_being_said(
    point: OperatingPoint, doubted: bool, at: list[float]
) -> None:
    rule = Rule.of(SPEC, point, 0.5)
    before = start = called(rule, rule.no_lesion_below if doubted else rule.no_lesion_below / 2, doubted)
    for share in at:
        lesion = rule.no_lesion_again_below + share * (rule.no_lesion_below - rule.no_lesion_again_below)
        before = called(rule, lesion, doubted=before[1] != "normal")
        assert before == start


@given(POINTS, st.floats(0.001, 1))
def test_what_was_said_before_counts_within_the_margin_alone(point: OperatingPoint, lesion: float) -> None:
    rule = Rule.of(SPEC, point, 0.5)
    if not rule.no_lesion_again_below - 1e-6 < lesion < rule.no_lesion_below + 1e-6:
        assert called(rule, lesion, doubted=True) == called(rule, lesion, doubted=False)


def test_an_undecided_frame_tells_the_thresholds_that_held_for_it() -> None:
    rule = Rule.of(SPEC, OperatingPoint(lesion=0.78, malignant=0.5), 0.5)
    frames = [(0.6, False), (0.49, True)]
    told = [rule.decide(np.array((lesion, 0, 1 - lesion), np.float32), SPEC, doubted=was)[2] for lesion, was in frames]
    assert told == [f"probability of a lesion between {below} and 85%" for below in ("50%", "49%")]


def test_rounding_makes_no_certainty() -> None:
    said = [percent(probability) for probability in (0.0, 0.004, 0.006, 0.5, 0.994, 0.996, 1.0)]
    assert said == ["<1%", "<1%", "1%", "50%", "99%", ">99%", ">99%"]
    said = [percent(probability, 1) for probability in (0.0, 0.0004, 0.0006, 0.5, 0.9994, 0.9996, 1.0)]
    assert said == ["<0.1%", "<0.1%", "0.1%", "50.0%", "99.9%", ">99.9%", ">99.9%"]

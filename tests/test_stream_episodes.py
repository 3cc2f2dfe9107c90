from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream.config import OverlayStyle
from stream.episodes import KEY_PICTURE_PX, Episode, Episodes
from stream.overlay import Labels, draw
from stream.types import ScanArea, State, View
from tests.stream_views import SESSION, SPEC, view


def joined(views: list[View], still: bool = False) -> list[Episode]:
    episodes = Episodes(replace(SESSION, still=still))
    found = [episodes.add(one) for one in views]
    return [episode for episode in [*found, episodes.end()] if episode is not None]


def flagged(index: int, malignant: float = 0.7, finding: str = "malignant", pts_s: float | None = None) -> View:
    return view(index, pts_s, finding=finding, malignant=malignant, size_px=(2, 2))


def undecided(index: int) -> View:
    return view(index, state=State.INDETERMINATE, size_px=(2, 2))


def key_picture(only: View) -> NDArray[np.uint8]:
    episodes = Episodes(SESSION)
    episodes.add(only)
    assert episodes.current is not None
    return episodes.key_picture(episodes.current)


def test_an_episode_has_its_times_its_frames_and_its_highest_frame() -> None:
    (episode,) = joined([flagged(10, 0.6), flagged(11, 0.8), flagged(12, 0.7)])
    assert (episode.finding, episode.frames) == ("malignant", 3)
    assert (episode.start_s, episode.end_s) == pytest.approx((10 / 25, 12 / 25))
    assert episode.probability == pytest.approx(0.8)
    assert episode.key_frame.index == 11


def test_frames_without_a_call_neither_end_an_episode_nor_count() -> None:
    (episode,) = joined([flagged(0), undecided(1), undecided(2), flagged(3)])
    assert episode.frames == 2
    assert episode.end_s == pytest.approx(3 / 25)


@pytest.mark.parametrize(
    "between",
    [
        view(5, finding="normal", size_px=(2, 2)),
        flagged(5, finding="benign", malignant=0.1),
        view(5, state=State.NOT_ANALYSED, size_px=(2, 2)),
        view(5, state=State.FROZEN, size_px=(2, 2)),
        view(5, state=State.WARMING_UP, size_px=(2, 2)),
    ],
    ids=["no lesion", "another finding", "not judged", "frozen", "begun anew"],
)
def test_what_ends_an_episode(between: View) -> None:
    episodes = joined([flagged(4), between, flagged(6)])
    assert [episode.key_frame.index for episode in episodes if episode.finding == "malignant"] == [4, 6]


def test_another_recording_ends_an_episode() -> None:
    other = flagged(2)
    other = replace(other, frame=replace(other.frame, source="other.mp4"))
    assert [episode.frames for episode in joined([flagged(0), flagged(1), other])] == [2, 1]


def test_a_finding_that_stays_away_too_long_is_another_one() -> None:
    assert len(joined([flagged(100), *(undecided(i) for i in range(101, 125)), flagged(125)])) == 1
    assert len(joined([flagged(100), *(undecided(i) for i in range(101, 126)), flagged(126)])) == 2


def test_a_time_that_runs_backwards_ends_an_episode() -> None:
    assert len(joined([flagged(0, pts_s=5.0), flagged(1, pts_s=4.9)])) == 2


def test_stills_are_each_by_themselves() -> None:
    assert len(joined([flagged(0), flagged(1)], still=True)) == 2


def test_no_lesion_is_no_episode() -> None:
    assert joined([view(index, finding="normal", size_px=(2, 2)) for index in range(9)]) == []


@pytest.mark.parametrize("size_px", [(48, 64), (720, 1280), (4000, 10)])
def test_a_key_frame_is_a_picture_of_bounded_size(size_px: tuple[int, int]) -> None:
    assert max(key_picture(view(size_px=size_px)).shape) <= KEY_PICTURE_PX


@pytest.mark.parametrize("opacity", [0.2, 0.0])
def test_a_key_frame_shows_where_and_when_however_late_it_came(opacity: float) -> None:
    late = view(size_px=(240, 320))
    late = replace(late, assessment=replace(late.assessment, age_ms=10_000.0))
    config = SESSION.config.model_copy(update={"overlay": OverlayStyle(opacity=opacity)})
    episodes = Episodes(replace(SESSION, live=True, config=config))
    episodes.add(late)
    assert episodes.current is not None
    shown = episodes.key_picture(episodes.current)
    style = OverlayStyle(opacity=opacity or OverlayStyle().opacity)
    as_in_replay = replace(Labels.of(SESSION), live=False)
    assert (shown == draw(late.frame, late.assessment, style, as_in_replay)).all()


def test_a_key_frame_shows_the_scan_without_what_is_blanked_around_it() -> None:
    scan = view(size_px=(240, 320))
    screen = np.zeros((720, 1280, 3), np.uint8)
    screen[100:340, 500:820] = scan.frame.rgb
    area = ScanArea(500, 100, 320, 240, "detected", ((500, 100), (819, 100), (819, 339), (500, 339)))
    on_screen = replace(
        scan,
        frame=replace(scan.frame, rgb=screen),
        assessment=replace(scan.assessment, scan_area=area),
    )
    assert (key_picture(on_screen) == key_picture(scan)).all()


SAID = st.sampled_from(["malignant", "benign", "normal", "undecided", "refused"])


@given(st.lists(st.tuples(SAID, st.floats(0.01, 0.8), st.floats(0.01, 3)), max_size=40))
def test_every_flagged_frame_is_in_one_episode_and_episodes_follow_one_another(
    said: list[tuple[str, float, float]],
) -> None:
    views, pts_s = [], 0.0
    for index, (what, malignant, step_s) in enumerate(said):
        pts_s += step_s
        if what == "refused":
            views.append(view(index, pts_s, state=State.NOT_ANALYSED, size_px=(2, 2)))
        elif what == "undecided":
            views.append(view(index, pts_s, state=State.INDETERMINATE, size_px=(2, 2)))
        else:
            views.append(flagged(index, malignant, what, pts_s))
    episodes = joined(views)
    lesions = [one for one in views if one.assessment.finding in ("malignant", "benign")]
    assert sum(episode.frames for episode in episodes) == len(lesions)
    assert all(a.end_s <= b.start_s for a, b in pairwise(episodes))
    for episode in episodes:
        inside = [
            one for one in lesions
            if episode.start_s <= one.frame.pts_s <= episode.end_s and one.assessment.finding == episode.finding
        ]  # fmt: skip
        column = SPEC.class_names.index(episode.finding)
        probabilities = [float(one.assessment.smoothed[column]) for one in inside]
        assert episode.probability == max(probabilities)
        assert episode.key_frame is inside[probabilities.index(episode.probability)].frame

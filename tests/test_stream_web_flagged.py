from dataclasses import replace

import pytest

from stream.types import State
from stream.web.flagged import KEPT, KEPT_S, LastFlagged
from tests.stream_views import SESSION, view

NOW_NS = 10**12
"""Of the first frame; each is a nanosecond later."""


@pytest.fixture
def flagged() -> LastFlagged:
    found = LastFlagged()
    found.begin(SESSION)
    return found


def show(flagged: LastFlagged, *findings: str | None) -> None:
    """Frames with these findings; None: nothing could be judged."""
    for index, finding in enumerate(findings):
        state = State.NOT_ANALYSED if finding is None else State.CLEAR_FINDING
        flagged.add(view(index, state=state, finding=finding, captured_ns=NOW_NS + index))


def test_an_episode_is_told_while_it_lasts_and_afterwards(flagged: LastFlagged) -> None:
    show(flagged, "malignant", "malignant")
    ((number, now),) = flagged.newest(NOW_NS)
    assert (now.finding, now.key_frame.index, now.end_s, now.last_ns) == ("malignant", 0, 1 / 25, NOW_NS + 1)
    flagged.add(view(2, finding="normal"))
    assert flagged.newest(NOW_NS) == [(number, now)]
    flagged.add(view(3, captured_ns=NOW_NS))
    (_, latest), _ = flagged.newest(NOW_NS)
    assert latest.start_s == latest.end_s


def test_its_key_frame_is_the_surest_until_then(flagged: LastFlagged) -> None:
    for index, malignant in enumerate((0.6, 0.8, 0.7)):
        flagged.add(view(index, malignant=malignant, captured_ns=NOW_NS))
    ((number, now),) = flagged.newest(NOW_NS)
    assert (now.key_frame.index, now.probability) == (1, pytest.approx(0.8))
    surest = view(1).frame.rgb[40, 60]
    for state in (State.CLEAR_FINDING, State.NOT_ANALYSED):  # under way, ended
        picture = flagged.picture(number)
        assert picture is not None
        assert (picture[40, 60] == surest).all()
        flagged.add(view(3, state=state, finding="malignant", malignant=0.5))


@pytest.mark.parametrize("under_way", [True, False])
def test_the_newest_come_first_and_the_oldest_go(flagged: LastFlagged, under_way: bool) -> None:
    findings = [*(KEPT + 2) * ("malignant", "normal"), "malignant"]
    show(flagged, *(findings if under_way else findings[:-1]))
    told = flagged.newest(NOW_NS)
    last = len(findings) - (1 if under_way else 3)
    assert [episode.last_ns - NOW_NS for _, episode in told] == [last - 2 * n for n in range(KEPT)]
    assert len({number for number, _ in told}) == KEPT


def test_the_picture_of_a_finding_that_is_no_longer_listed_is_dropped(flagged: LastFlagged) -> None:
    show(flagged, "malignant", "normal")
    ((first, _),) = flagged.newest(NOW_NS)
    show(flagged, *KEPT * ("malignant", "normal"))
    assert flagged.picture(first) is None


def test_what_was_flagged_long_ago_is_not_shown_beside_the_next_patient(flagged: LastFlagged) -> None:
    show(flagged, "malignant", "normal")
    late_ns = NOW_NS + int(KEPT_S * 1e9)
    assert len(flagged.newest(late_ns)) == 1
    assert flagged.newest(late_ns + 1) == []


def test_another_run_begins_without_any_and_gives_no_number_again(flagged: LastFlagged) -> None:
    show(flagged, "malignant", "normal", "benign")
    before = {number for number, _ in flagged.newest(NOW_NS)}
    flagged.begin(SESSION)
    assert flagged.newest(NOW_NS) == []
    assert all(flagged.picture(number) is None for number in before)
    show(flagged, "malignant", "normal")
    ((after, _),) = flagged.newest(NOW_NS)
    assert after not in before


def test_a_picture_shown_again_for_want_of_a_new_one_ends_nothing(flagged: LastFlagged) -> None:
    flagged.add(view(0))
    flagged.add(replace(view(0, state=State.NO_SIGNAL), repeated=True))
    flagged.add(view(12))
    ((_, only),) = flagged.newest(0)
    assert only.end_s - only.start_s == pytest.approx(12 / 25)


def test_stills_are_not_listed_as_flagged() -> None:
    flagged = LastFlagged()
    flagged.begin(replace(SESSION, still=True))
    show(flagged, "malignant", "malignant")
    assert flagged.newest(NOW_NS) == []

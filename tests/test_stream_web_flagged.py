from dataclasses import replace

from stream_views import SESSION, view

from stream.types import State
from stream.web.flagged import KEPT, KEPT_S, LastFlagged

NOW_NS = 10**12
"""Of the first frame; each is a nanosecond later."""


def flagged_in(*findings: str | None) -> LastFlagged:
    """What is kept after frames with these findings; None: nothing could be judged."""
    flagged = LastFlagged()
    flagged.begin(SESSION)
    show(flagged, *findings)
    return flagged


def show(flagged: LastFlagged, *findings: str | None) -> None:
    for index, finding in enumerate(findings):
        state = State.NO_SIGNAL if finding is None else State.CLEAR_FINDING
        flagged.add(view(index, state=state, finding=finding, captured_ns=NOW_NS + index))


def test_an_episode_is_kept_once_it_has_ended() -> None:
    flagged = flagged_in("malignant", "malignant")
    assert flagged.newest(NOW_NS) == []
    show(flagged, "normal")
    (last,) = flagged.newest(NOW_NS)
    assert last.finding == "malignant"
    assert last.lasted_s == 1 / 25
    assert last.captured_ns == NOW_NS


def test_the_key_frame_is_the_annotated_picture() -> None:
    (last,) = flagged_in("malignant", "normal").newest(NOW_NS)
    assert (last.picture == view(0).picture).all()


def test_the_newest_come_first_and_the_oldest_go() -> None:
    flagged = flagged_in(*(KEPT + 2) * ("malignant", "normal"))
    assert [last.number for last in flagged.newest(NOW_NS)] == list(range(KEPT + 2, 2, -1))


def test_what_was_flagged_long_ago_is_not_shown_beside_the_next_patient() -> None:
    flagged = flagged_in("malignant", "normal")
    late_ns = NOW_NS + int(KEPT_S * 1e9)
    assert len(flagged.newest(late_ns)) == 1
    assert flagged.newest(late_ns + 1) == []


def test_another_run_begins_without_pictures_and_gives_no_number_again() -> None:
    flagged = flagged_in("malignant", "normal")
    flagged.begin(SESSION)
    assert flagged.newest(NOW_NS) == []
    show(flagged, "malignant", "normal")
    assert [last.number for last in flagged.newest(NOW_NS)] == [2]


def test_stills_are_each_by_themselves() -> None:
    flagged = LastFlagged()
    flagged.begin(replace(SESSION, still=True))
    show(flagged, "malignant", "malignant", "malignant")
    assert len(flagged.newest(NOW_NS)) == 2

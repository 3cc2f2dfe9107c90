from dataclasses import replace

import cv2
import numpy as np
from stream_views import SESSION, view

from stream.types import State
from stream.web.flagged import KEPT, Gallery


def gallery(*findings: str | None) -> Gallery:
    """What is kept after frames with these findings; None: nothing could be judged."""
    made = Gallery()
    made.begin(SESSION)
    show(made, *findings)
    return made


def show(shown: Gallery, *findings: str | None) -> None:
    for index, finding in enumerate(findings):
        state = State.NO_SIGNAL if finding is None else State.CLEAR_FINDING
        shown.add(view(index, state=state, finding=finding, captured_ns=1000 + index))


def test_an_episode_is_shown_once_it_has_ended() -> None:
    shown = gallery("malignant", "malignant")
    assert shown.newest() == []
    show(shown, "normal")
    (flagged,) = shown.newest()
    assert flagged.finding == "malignant"
    assert flagged.lasted_s == 1 / 25
    assert flagged.captured_ns == 1000


def test_the_key_frame_is_the_annotated_picture() -> None:
    (flagged,) = gallery("malignant", "normal").newest()
    picture = cv2.imdecode(np.frombuffer(flagged.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (48, 64, 3)
    assert abs(int(picture.mean()) - 10) <= 1


def test_the_end_of_a_run_ends_its_last_episode() -> None:
    assert len(gallery("benign", None).newest()) == 1


def test_the_newest_come_first_and_the_oldest_go() -> None:
    shown = gallery(*(KEPT + 2) * ("malignant", "normal"))
    numbers = [flagged.number for flagged in shown.newest()]
    assert numbers == list(range(KEPT + 2, 2, -1))


def test_another_run_begins_without_pictures_and_gives_no_number_again() -> None:
    shown = gallery("malignant", "normal")
    shown.begin(SESSION)
    assert shown.newest() == []
    show(shown, "malignant", "normal")
    assert [flagged.number for flagged in shown.newest()] == [2]


def test_stills_are_each_by_themselves() -> None:
    shown = Gallery()
    shown.begin(replace(SESSION, still=True))
    show(shown, "malignant", "malignant", "malignant")
    assert len(shown.newest()) == 2

"""A source that breaks, ends or falls silent is opened again, and time and counts go on."""

import re
import threading
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import SourceError
from stream.sources import supervised
from stream.sources.base import Source
from stream.sources.supervised import JITTER, SupervisedSource, backoff_s
from stream.types import Frame, ScanArea
from tests.programs import python

PICTURE = np.zeros((8, 8, 3), np.uint8)


class Connection(Source):
    """``count`` frames, one lost between each two, and a damaged one; then ``error``, or silence until it is closed, or
    the end."""

    live, synthetic, looped, fps = True, True, True, 25.0
    scan_area: ScanArea | None = None

    def __init__(self, count: int, error: str | None = None, *, silent: bool = False, start_ns: int = 0) -> None:
        super().__init__()
        self.name, self.damaged, self.closed = "card", 0, self._closed
        self._count, self._error, self._silent, self._start_ns = count, error, silent, start_ns

    def frames(self) -> Iterator[Frame]:
        for index in range(self._count):
            yield Frame(2 * index, self._start_ns + index * 40_000_000, index / 25, PICTURE, self.name)
        self.damaged += 1
        if self._silent:
            self._closed.wait()
        if self._error is not None:
            raise SourceError(self._error)


def opening(*connections: Connection | SourceError) -> Callable[[], Connection]:
    """Opens them one after the other; the last one for ever."""
    left = list(connections)

    def again() -> Connection:
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, SourceError):
            raise found
        return found

    return again


def first_then(connection: Connection, again: Callable[[], Connection]) -> Callable[[], Connection]:
    """Opens this one, and from then on what ``again`` does."""
    left = [connection]
    return lambda: left.pop() if left else again()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervised, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(supervised, "LONGEST_WAIT_S", 0.002)


def test_counts_and_times_go_on_over_a_break() -> None:
    first, second = Connection(3, "unplugged"), Connection(5, start_ns=2_000_000_000)
    second.fps, second.scan_area = 50.0, ScanArea(0, 0, 8, 8, "header")  # another card
    with SupervisedSource(opening(first, second)) as source:
        frames = list(islice(source.frames(), 8))
    assert [frame.index for frame in frames] == [0, 2, 4, 5, 7, 9, 11, 13]
    assert [frame.pts_s for frame in frames[:3]] == pytest.approx([0, 0.04, 0.08])
    assert [frame.pts_s for frame in frames[3:5]] == pytest.approx([2.0, 2.04])
    assert all(b.pts_s > a.pts_s for a, b in pairwise(frames))
    assert (source.reopened, source.fps, source.scan_area) == (1, second.fps, second.scan_area)
    assert (source.name, source.live, source.synthetic, source.looped) == ("card", True, True, True)
    assert first.closed.is_set()
    assert second.closed.is_set()


def test_an_end_is_a_break_too_and_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with SupervisedSource(opening(Connection(2), Connection(2), Connection(2))) as source:
        times_s = [frame.pts_s for frame in islice(source.frames(), 6)]
    assert times_s == pytest.approx([0, 0.04, 0.04, 0.08, 0.08, 0.12])  # on, although no time had passed
    assert source.reopened == 2
    assert caplog.messages == ["trying again in 0 s: card ended", "card is back after 0 s"] * 2


@pytest.mark.parametrize("nothing", [SourceError("no sender"), Connection(0, "no sender")], ids=["refused", "silent"])
def test_a_sender_that_is_off_for_long_fills_no_log(
    nothing: Connection | SourceError, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervised, "backoff_s", lambda attempt, chance: 0.0)
    caplog.set_level("INFO")
    with SupervisedSource(opening(Connection(1), *[nothing] * 100, Connection(2))) as source:
        list(islice(source.frames(), 3))
    tries = ["trying again in 0 s: card ended", *["trying again in 0 s: no sender"] * 6]
    assert caplog.messages == [*tries, "card is back after 0 s"]  # attempts 1, 2, 4 ... 64 of 101


def test_the_lost_frames_of_all_connections_are_counted() -> None:
    with SupervisedSource(opening(Connection(2, "gone"), Connection(2, "gone"), Connection(2))) as source:
        list(islice(source.frames(), 6))
        assert source.damaged == 2


def test_it_says_what_is_wrong_until_it_is_mended() -> None:
    told: list[str | None] = []

    def again() -> Connection:
        told.append(source.trouble)
        if len(told) < 3:
            raise SourceError(f"refused {len(told)}")
        return Connection(1)

    source = SupervisedSource(first_then(Connection(1, "unplugged"), again))
    with source:
        list(islice(source.frames(), 2))
        assert told == ["unplugged", "refused 1", "refused 2"]
        assert source.trouble is None


def test_a_run_that_goes_on_with_a_lost_source_waits_for_it_and_counts_anew() -> None:
    before = SupervisedSource(opening(Connection(1)))
    next(before.frames())
    before.close()
    after = Connection(2)
    source = SupervisedSource(opening(SourceError("no cable"), SourceError("no cable"), after), None, before)
    with source:
        assert (source.name, source.fps, source.trouble, source.damaged) == ("card", 25.0, "no cable", 0)
        frames = list(islice(source.frames(), 2))
        assert [(frame.index, frame.pts_s) for frame in frames] == [(0, 0.0), (2, pytest.approx(0.04))]
        assert (source.trouble, source.damaged) == (None, 0)


ENDS_WHILE_IT_OPENS = """
import threading, time
import cv2, numpy as np
from stream.errors import SourceError
from stream.sources.supervised import SupervisedSource

opening = threading.Event()

def again():
    opening.set()
    end_s = time.monotonic() + 0.5
    while time.monotonic() < end_s:
        cv2.GaussianBlur(np.zeros((9, 9), np.uint8), (9, 9), 0)
    raise SourceError("too late")

given_up = threading.Event()
threading.Thread(target=lambda: (opening.wait(), given_up.set())).start()
try:
    SupervisedSource(again, given_up)
except SourceError as error:
    print(error)
"""


def test_a_program_that_ends_while_a_source_is_opened_is_not_aborted() -> None:
    done = python("-c", ENDS_WHILE_IT_OPENS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "given up before it was open\n", "")


def test_a_source_that_was_closed_tells_no_trouble() -> None:
    source = SupervisedSource(opening(Connection(2, silent=True)))
    with source:
        for _ in source.frames():
            source.close()
    assert source.trouble is None


def test_a_silent_connection_is_closed_and_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervised, "SILENCE_S", 0.3)
    told: list[str] = []
    silent = Connection(2, silent=True)

    def again() -> Connection:
        told.append(str(source.trouble))
        return Connection(1)

    source = SupervisedSource(first_then(silent, again))
    with source:
        assert len(list(islice(source.frames(), 3))) == 3
    assert silent.closed.is_set()
    assert re.fullmatch(r"card sent no whole picture for \d s", *told)  # after a frame it does not get FIRST_S


@pytest.mark.parametrize(("spoilt_s", "reopened"), [(9, 0), (14, 1)])
def test_a_connection_that_loses_frames_is_kept_until_a_key_frame_is_overdue(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, spoilt_s: int, reopened: int
) -> None:
    now_s, looked = [0.0], threading.Event()

    def monotonic() -> float:
        if threading.current_thread().name == "source watchdog":
            looked.set()
        return now_s[0]

    class Lossy(Connection):
        def frames(self) -> Iterator[Frame]:
            yield Frame(0, 0, 0.0, PICTURE, self.name)
            for second in range(1, spoilt_s):
                self.damaged, now_s[0] = second, float(second)
                for _ in range(2):  # the first look may have begun before
                    looked.clear()
                    assert looked.wait(60)
                if self.closed.is_set():
                    return
            yield Frame(1, 0, 0.04, PICTURE, self.name)

    monkeypatch.setattr(supervised, "time", SimpleNamespace(monotonic=monotonic))
    monkeypatch.setattr(supervised, "WATCH_S", 0.001)
    with SupervisedSource(opening(Lossy(0), Connection(1))) as source:
        assert len(list(islice(source.frames(), 2))) == 2
        assert source.reopened == reopened
    assert caplog.text.count("card sent no whole picture for 12 s") == reopened


def test_the_first_opening_is_strict() -> None:
    with pytest.raises(SourceError, match="no such card"):
        SupervisedSource(opening(SourceError("no such card")))


def test_an_error_that_is_not_of_the_source_is_not_retried() -> None:
    source = SupervisedSource(opening(Connection(1)))
    with source, pytest.raises(ZeroDivisionError):  # noqa: PT012
        for _ in source.frames():
            raise ZeroDivisionError
    assert source.reopened == 0


def close_after_a_frame(source: SupervisedSource) -> None:
    """From another thread than reads it, which must end."""
    came = threading.Event()

    def read() -> None:
        for _ in source.frames():
            came.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert came.wait(10)
    source.close()
    reader.join(10)
    assert not reader.is_alive()


def test_close_ends_the_wait_for_the_next_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervised, "FIRST_WAIT_S", 3600.0)
    monkeypatch.setattr(supervised, "LONGEST_WAIT_S", 3600.0)
    close_after_a_frame(SupervisedSource(opening(Connection(1, "unplugged"))))


def test_a_source_that_is_closed_is_not_said_to_be_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    close_after_a_frame(SupervisedSource(opening(Connection(1, silent=True))))
    assert caplog.records == []


def test_a_connection_that_opens_while_it_is_closed_is_closed_too() -> None:
    late = Connection(5)

    def again() -> Connection:
        source.close()
        return late

    source = SupervisedSource(first_then(Connection(1, "unplugged"), again))
    assert len(list(source.frames())) == 1
    assert late.closed.is_set()


@given(st.integers(1, 10**9), st.floats(0, 1))
def test_a_wait_grows_from_the_first_to_the_longest(attempt: int, chance: float) -> None:
    wait = backoff_s(attempt, chance)
    assert supervised.FIRST_WAIT_S <= wait <= supervised.LONGEST_WAIT_S
    assert backoff_s(attempt + 1, chance) >= wait
    assert wait >= backoff_s(attempt, 0.0) * (1 - JITTER)
    assert (backoff_s(1, chance), backoff_s(20, 0.0)) == (supervised.FIRST_WAIT_S, supervised.LONGEST_WAIT_S)
    assert backoff_s(20, 1.0) == pytest.approx(supervised.LONGEST_WAIT_S * (1 - JITTER))


def test_a_scanner_that_was_off_for_long_is_tried_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # what ``impatient`` did
    assert backoff_s(1000, 0.0) <= 4


def test_a_connection_that_dies_again_and_again_is_left_alone_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervised, "LONGEST_WAIT_S", 3600.0)
    monkeypatch.setattr(supervised, "backoff_s", lambda attempt, chance: 0.0)
    monkeypatch.setattr(supervised, "STORM", 5)
    seen: list[int] = []
    stormy = threading.Event()
    source = SupervisedSource(lambda: Connection(1, "flaps"))

    def read() -> None:
        for frame in source.frames():
            seen.append(frame.index)
            if len(seen) == 6:
                stormy.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert stormy.wait(10)
    reader.join(0.2)  # in which many more would come
    source.close()
    reader.join(10)
    assert not reader.is_alive()
    assert len(seen) == 6


def test_breaks_that_are_far_apart_are_no_storm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervised, "LONGEST_WAIT_S", 3600.0)
    monkeypatch.setattr(supervised, "STORM", 2)
    monkeypatch.setattr(supervised, "STORM_S", 0.0)
    with SupervisedSource(lambda: Connection(1, "flaps")) as source:
        assert len(list(islice(source.frames(), 6))) == 6


def test_close_does_not_wait_for_an_opening_and_what_opens_too_late_is_closed() -> None:
    late, asked, answer = Connection(5), threading.Event(), threading.Event()

    def again() -> Connection:
        asked.set()
        answer.wait(60)
        return late

    source = SupervisedSource(first_then(Connection(1, "unplugged"), again))
    reader = threading.Thread(target=list, args=(source.frames(),))
    reader.start()
    assert asked.wait(10)
    source.close()
    reader.join(10)
    assert not reader.is_alive()
    answer.set()
    assert late.closed.wait(10)

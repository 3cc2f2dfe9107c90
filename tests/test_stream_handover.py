"""Nothing is lost in replay, the newest wins in live use, and neither side waits for ever."""

from collections.abc import Callable
from threading import Barrier, Event, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import SourceError
from stream.handover import OVERWRITTEN, RECENT, STOPPED, EveryFrame, LatestFrame

NOW_S = 0.0
SOON_S = 20.0
"""Only a broken handover waits this long."""


def drain(handover: LatestFrame[int] | EveryFrame[int]) -> list[int]:
    items = []
    while not handover.exhausted:
        item = handover.get(SOON_S)
        if item is not None:
            items.append(item)
    return items


def taken_soon(slot: LatestFrame[int], meanwhile: Callable[[], None] = lambda: None) -> list[int | None]:
    """What a consumer gets, or nothing while it still waits for the next frame."""
    got: list[int | None] = []
    consumer = Thread(target=lambda: got.append(slot.get(NOW_S)), daemon=True)
    consumer.start()
    meanwhile()
    consumer.join(SOON_S)
    return got


@given(count=st.integers(0, 60), capacity=st.integers(1, 7))
def test_every_frame_arrives_in_order_through_a_queue_of_any_size(count: int, capacity: int) -> None:
    queue: EveryFrame[int] = EveryFrame(capacity)

    def produce() -> None:
        for item in range(count):
            assert queue.put(item) is None
        queue.close()

    producer = Thread(target=produce)
    producer.start()
    items = drain(queue)
    producer.join()
    assert items == list(range(count))


@given(steps=st.lists(st.booleans()))
def test_the_latest_frame_wins_and_every_other_one_is_counted(steps: list[bool]) -> None:
    slot: LatestFrame[int] = LatestFrame()
    put = lost = 0
    delivered = []
    for is_put in steps:
        if is_put:
            lost += slot.put(put) is not None
            put += 1
        else:
            item = slot.get(NOW_S)
            if item is not None:
                assert item == put - 1
                delivered.append(item)
    slot.close()
    delivered += drain(slot)
    assert delivered == sorted(set(delivered))
    assert put == len(delivered) + lost


PERIOD_S = 2 * SOON_S


def slot_with(frames: int, now_ns: list[int], clock_ns: Callable[[], int]) -> LatestFrame[int]:
    """That many frames came into it, one each PERIOD_S, the last one now: that is its number."""
    slot: LatestFrame[int] = LatestFrame(clock_ns)
    for item in range(1, frames + 1):
        now_ns[0] += round(PERIOD_S * 1e9)
        slot.put(item)
    return slot


@pytest.mark.parametrize("waited_s", [0.0, 19.0, 61.0])
def test_a_frame_is_taken_at_once_while_it_is_fresh_or_if_the_next_is_overdue(waited_s: float) -> None:
    now_ns = [10**9]
    slot = slot_with(RECENT, now_ns, lambda: now_ns[0])
    now_ns[0] += round(waited_s * 1e9)
    assert taken_soon(slot) == [RECENT]


def test_a_frame_is_taken_at_once_as_long_as_the_rate_is_not_known() -> None:
    now_ns = [10**9]
    slot = slot_with(RECENT - 1, now_ns, lambda: now_ns[0])
    now_ns[0] += round(0.75 * PERIOD_S * 1e9)
    assert taken_soon(slot) == [RECENT - 1]


@pytest.mark.parametrize(
    ("ends", "taken"), [(False, RECENT + 1), (True, RECENT)], ids=["the next comes", "none comes any more"]
)
def test_a_late_consumer_gets_the_next_frame_if_it_is_nearer(ends: bool, taken: int) -> None:
    now_ns = [10**9]
    begun = Event()

    def clock_ns() -> int:
        begun.set()
        return now_ns[0]

    slot = slot_with(RECENT, now_ns, clock_ns)
    begun.clear()
    now_ns[0] += round(0.75 * PERIOD_S * 1e9)

    def come() -> None:
        assert begun.wait(SOON_S)  # it looks at the clock under the lock, so that what follows finds it waiting
        if ends:
            slot.close()
        else:
            assert slot.put(RECENT + 1) == OVERWRITTEN

    assert taken_soon(slot, come) == [taken]


def test_the_latest_frame_adds_up_between_two_threads() -> None:
    slot: LatestFrame[int] = LatestFrame()
    start, lost = Barrier(2), []

    def produce() -> None:
        start.wait()
        lost.extend(slot.put(item) for item in range(2000))
        slot.close()

    producer = Thread(target=produce)
    producer.start()
    start.wait()
    items = drain(slot)
    producer.join()
    assert items[-1] == 1999
    assert items == sorted(set(items))
    assert len(items) + lost.count(OVERWRITTEN) == 2000


def test_putting_tells_why_a_frame_was_lost() -> None:
    slot: LatestFrame[str] = LatestFrame()
    assert slot.put("first") is None
    assert slot.put("second") == OVERWRITTEN
    slot.close()
    assert slot.put("late") == STOPPED
    assert slot.get(NOW_S) == "second"


def test_the_producer_cannot_run_ahead_of_a_full_queue() -> None:
    capacity, count = 3, 500
    queue: EveryFrame[int] = EveryFrame(capacity)
    accepted: list[int] = []

    def produce() -> None:
        for item in range(count):
            queue.put(item)
            accepted.append(item)

    producer = Thread(target=produce)
    producer.start()
    for taken in range(count):
        assert len(accepted) <= taken + capacity
        assert queue.get(SOON_S) == taken
    producer.join()


def test_several_frames_come_together_or_not_at_all() -> None:
    queue: EveryFrame[int] = EveryFrame(4)
    for item in range(3):
        queue.put(item)
    assert queue.get_several(4, NOW_S) == []
    queue.put(3)
    assert queue.get_several(4, NOW_S) == [0, 1, 2, 3]


def test_the_last_frames_come_even_if_they_are_few_and_then_the_error() -> None:
    queue: EveryFrame[int] = EveryFrame(4)
    queue.put(0)
    queue.close(SourceError("unplugged"))
    assert queue.get_several(4, SOON_S) == [0]
    with pytest.raises(SourceError, match="unplugged"):
        queue.get_several(4, SOON_S)
    assert queue.get_several(4, SOON_S) == []


def test_more_frames_than_a_queue_holds_are_refused() -> None:
    with pytest.raises(ValueError, match="5 items never wait in a handover of 4"):
        EveryFrame[int](4).get_several(5, NOW_S)


def test_closing_frees_a_producer_that_waits_for_room() -> None:
    queue: EveryFrame[int] = EveryFrame(1)
    queue.put(0)
    lost: list[str | None] = []
    producer = Thread(target=lambda: lost.append(queue.put(1)))
    producer.start()
    queue.close()
    producer.join(SOON_S)
    assert lost == [STOPPED]


@pytest.mark.parametrize("handover", [LatestFrame(), EveryFrame()], ids=["latest", "every"])
def test_closing_frees_a_consumer_that_waits_for_a_frame(handover: LatestFrame[int] | EveryFrame[int]) -> None:
    got: list[int | None] = []
    consumer = Thread(target=lambda: got.append(handover.get(SOON_S)))
    consumer.start()
    handover.close()
    consumer.join(SOON_S / 2)
    assert got == [None]


@pytest.mark.parametrize("make", [LatestFrame, EveryFrame])
def test_an_error_comes_after_the_frames_and_only_once(make: type[LatestFrame[int]] | type[EveryFrame[int]]) -> None:
    handover = make()
    handover.put(7)
    handover.close(SourceError("unplugged"))
    handover.close()
    assert handover.get(NOW_S) == 7
    assert not handover.exhausted
    with pytest.raises(SourceError, match="unplugged"):
        handover.get(NOW_S)
    assert handover.exhausted
    assert handover.get(NOW_S) is None


def test_nothing_yet_is_not_the_end() -> None:
    slot: LatestFrame[int] = LatestFrame()
    assert slot.get(NOW_S) is None
    assert not slot.exhausted


def test_a_queue_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        EveryFrame(0)

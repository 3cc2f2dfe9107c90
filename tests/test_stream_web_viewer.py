import asyncio
import struct
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from threading import Event
from typing import cast

import cv2
import numpy as np
import pytest
from fastapi import WebSocket
from numpy.typing import NDArray

from stream.jpeg import as_jpeg
from stream.web import viewer
from stream.web.routes import message, mjpeg_parts, send_pictures
from stream.web.viewer import Broadcast, encode
from tests.stream_views import view


@pytest.fixture
def broadcast() -> Iterator[Broadcast]:
    broadcast = Broadcast(jpeg_quality=80)
    yield broadcast
    broadcast.close()


def test_the_jpeg_shows_the_picture_in_its_colours() -> None:
    shown = view()
    picture = np.zeros_like(shown.picture)
    picture[:, :32] = (200, 40, 20)
    jpeg = encode(type(shown)(shown.frame, shown.assessment, picture), 90).jpeg
    decoded = cv2.cvtColor(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert np.abs(decoded[10:38, 4:28].astype(int) - (200, 40, 20)).max() < 12


def test_the_time_of_encoding_is_that_of_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ended_ns = []

    def timed(rgb: NDArray[np.uint8], quality: int) -> bytes:
        jpeg = as_jpeg(rgb, quality)
        ended_ns.append(time.perf_counter_ns())
        return jpeg

    monkeypatch.setattr(viewer, "as_jpeg", timed)
    assert encode(view(), 90).encoded_ns >= ended_ns[0]


def test_a_viewer_that_was_away_gets_the_newest_picture_only(broadcast: Broadcast) -> None:
    async def watch() -> list[int]:
        with broadcast.join() as slow, broadcast.join() as quick:
            seen = []
            for index in range(5):
                broadcast.publish(view(index))
                assert (await anext(quick)).index == index
            seen.append((await anext(slow)).index)
            return seen

    assert asyncio.run(watch()) == [4]
    assert broadcast.audience().skipped == 4


def test_mjpeg_sends_what_repeats_twice_as_a_browser_paints_what_is_followed_and_all_else_once(
    broadcast: Broadcast,
) -> None:
    async def watch() -> list[bytes]:
        parts, seen = mjpeg_parts(broadcast), []
        for side_px, repeated in ((16, False), (32, False), (48, True)):
            broadcast.publish(replace(view(size_px=(side_px, side_px)), repeated=repeated))
            seen.append(await anext(parts))
        return [*seen, await anext(parts)]

    first, second, third, fourth = asyncio.run(watch())
    assert len({first, second, third}) == 3
    assert third == fourth


def test_a_late_viewer_sees_the_last_picture_at_once_and_does_not_count_as_slow(broadcast: Broadcast) -> None:
    async def watch() -> int:
        with broadcast.join() as first:
            broadcast.publish(view(7))
            await anext(first)
        with broadcast.join() as late:
            picture = await anext(late)
            late.painted()
            return picture.index

    assert asyncio.run(watch()) == 7
    assert broadcast.audience().painted_ms is None


def test_a_viewer_that_comes_when_nobody_watched_gets_no_old_picture(
    broadcast: Broadcast, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode_it = Event()

    def held(rgb: NDArray[np.uint8], quality: int) -> bytes:
        assert encode_it.wait(20)
        return as_jpeg(rgb, quality)

    async def watch() -> int:
        with broadcast.join() as first:
            broadcast.publish(view(1))
            await anext(first)
        monkeypatch.setattr(viewer, "as_jpeg", held)
        broadcast.publish(view(2))  # nobody watches, so it is not encoded
        with broadcast.join() as later:
            coming = asyncio.ensure_future(anext(later))
            for _ in range(3):  # what it was offered, it has
                await asyncio.sleep(0)
            encode_it.set()
            return (await coming).index

    assert asyncio.run(watch()) == 2


def test_pictures_without_a_viewer_do_not_count_as_skipped(broadcast: Broadcast) -> None:
    for index in range(3):
        broadcast.publish(view(index))
    assert broadcast.audience().skipped == 0


def test_a_picture_of_the_run_before_is_not_timed(broadcast: Broadcast) -> None:
    async def watch() -> None:
        with broadcast.join() as watching:
            broadcast.publish(view(captured_ns=time.perf_counter_ns()))
            await anext(watching)
            broadcast.begin()
            watching.painted()

    asyncio.run(watch())
    assert broadcast.audience().painted_ms is None


def test_a_picture_published_to_nobody_waits_for_the_first_viewer(broadcast: Broadcast) -> None:
    async def watch() -> int:
        broadcast.publish(view(1))
        broadcast.publish(view(2))
        with broadcast.join() as viewer:
            return (await anext(viewer)).index

    assert asyncio.run(watch()) == 2


@pytest.mark.parametrize(("repeated", "counted"), [(False, 1), (True, 0)])
def test_painted_pictures_are_timed_unless_an_old_frame_is_repeated(
    broadcast: Broadcast, repeated: bool, counted: int
) -> None:
    async def watch() -> None:
        with broadcast.join() as viewer:
            broadcast.publish(replace(view(), repeated=repeated))
            await anext(viewer)
            viewer.painted()
            viewer.painted()  # twice for one picture counts once

    asyncio.run(watch())
    summary = broadcast.audience().painted_ms
    assert (0 if summary is None else summary.count) == counted


def test_a_viewer_that_breaks_off_is_forgotten(broadcast: Broadcast) -> None:
    async def break_off() -> None:
        with broadcast.join():
            assert broadcast.audience().viewers == 1
            raise ConnectionError

    with pytest.raises(ConnectionError):
        asyncio.run(break_off())
    assert broadcast.audience().viewers == 0


def test_a_viewer_that_comes_after_the_end_does_not_wait(broadcast: Broadcast) -> None:
    async def watch() -> list[int]:
        with broadcast.join() as first:
            broadcast.publish(view(1))
            await anext(first)
        await asyncio.to_thread(broadcast.close)
        with broadcast.join() as late:
            return [picture.index async for picture in late]

    assert asyncio.run(asyncio.wait_for(watch(), 20)) == []


def test_a_screen_that_breaks_off_before_it_answers_is_forgotten(broadcast: Broadcast) -> None:
    class Gone:
        """A browser that closes its socket once it has a picture."""

        def __init__(self) -> None:
            self.sent = asyncio.Event()

        async def send_bytes(self, data: bytes) -> None:
            self.sent.set()

        async def iter_text(self) -> AsyncIterator[str]:
            await self.sent.wait()
            for word in ():
                yield word

    broadcast.publish(view())
    asyncio.run(asyncio.wait_for(send_pictures(cast(WebSocket, Gone()), broadcast), 20))
    assert broadcast.audience().viewers == 0


def test_a_message_tells_the_age_from_the_capture_on() -> None:
    picture = encode(view(7, captured_ns=1_000_000), 80)
    assert struct.unpack_from("<If", message(picture, now_ns=31_000_000)) == (7, 30.0)


def test_closing_ends_the_viewers_that_are_there_and_those_that_come_later(broadcast: Broadcast) -> None:
    async def watch() -> list[int]:
        with broadcast.join() as viewer:
            await asyncio.to_thread(broadcast.close)
            seen = [picture.index async for picture in viewer]
        with broadcast.join() as late:
            return seen + [picture.index async for picture in late]

    assert asyncio.run(watch()) == []

from dataclasses import replace

import pytest

from stream.recorder import AHEAD, AHEAD_BYTES, Recorder
from stream.status import Board
from tests.stream_runs import Receiver
from tests.stream_views import ENGINE, SESSION, view


@pytest.mark.parametrize(("size_px", "kept"), [((48, 64), AHEAD), ((2160, 3840), AHEAD_BYTES // (2 * 2160 * 3840 * 3))])
def test_what_waits_for_a_slow_disk_is_a_second_of_video_but_no_gigabyte(size_px: tuple[int, int], kept: int) -> None:
    live, one = replace(SESSION, live=True), view(size_px=size_px)
    board = Board(live)
    recorder = Recorder([Receiver(on_disk=True)], live, board, lambda: board.snapshot(ENGINE, 0, None))
    for _ in range(AHEAD + 5):
        recorder.put(one)
    assert AHEAD + 5 - board.snapshot(ENGINE, 0, None).not_recorded == kept

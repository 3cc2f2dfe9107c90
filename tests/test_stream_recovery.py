"""A sender that is killed and started again, over real sockets, again and again: the stream comes back, nothing grows.

``make restarts`` goes on for 200 cycles a protocol and prints how long each recovery took.
"""

import gc
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from engines.fake import FakeEngine
from stream.config import StreamConfig
from stream.pipeline import Pipeline
from stream.sources import open_source
from stream.types import State
from tests.senders import Sender

DEADLINE_S = 30.0
"""For whatever must happen; it happens in a tenth of that, but for a machine that is busy with other things."""

GROWTH_BYTES = 30 * 2**20
"""That a process may gain over all cycles: a leaked decoder or frame in each of 200 would be several times as much. In
a few, files and threads tell."""


def until(holds: Callable[[], bool], what: str) -> float:
    """Seconds until it holds."""
    start_s = time.monotonic()
    while not holds():
        assert time.monotonic() - start_s < DEADLINE_S, f"{what} took too long"
        time.sleep(0.005)
    return time.monotonic() - start_s


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["tcp", "udp", "rtsp"])
def test_a_killed_sender_is_found_again_and_nothing_grows(
    kind: str, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    cycles = pytestconfig.getoption("--cycles")
    process = psutil.Process()
    sender = Sender(kind, tmp_path)
    sender.__enter__()
    recoveries_s, withdrawals_s = [], []
    held: list[tuple[int, int, int]] = []
    with open_source(sender.uri) as source, Pipeline(source, FakeEngine(), StreamConfig()) as pipeline:

        def state() -> State | None:
            assessment = pipeline.status().assessment
            return None if assessment is None else assessment.state

        def analysed() -> int:
            return pipeline.status().counts.analysed

        def recovered(cycle: int, seen: int) -> bool:
            return source.reopened > cycle and analysed() > seen

        until(lambda: analysed() > 0, "the first picture")
        for cycle in range(cycles):
            sender.kill()
            withdrawals_s.append(until(lambda: state() is State.NO_SIGNAL, "NO SIGNAL"))
            until(lambda: source.trouble is not None, "noticing the loss")
            seen, sender = analysed(), Sender(kind, tmp_path, sender.port)
            sender.__enter__()
            recoveries_s.append(until(partial(recovered, cycle, seen), "the recovery"))
            gc.collect()
            held.append((process.num_fds(), process.num_threads(), process.memory_info().rss))
        assert source.reopened == cycles
        counts = pipeline.status().counts
        quarter = cycles // 4
        some = max(2, quarter)
        # the least of some: at one moment a socket may still be open, and a decoder's threads on their way out
        early = np.min(held[quarter : quarter + some], axis=0)
        until(lambda: process.num_fds() <= early[0] + 1, "closing the files of earlier senders")
        until(lambda: process.num_threads() <= early[1] + 1, "ending the threads of earlier decoders")
    sender.kill()
    for name, seconds in (("NO SIGNAL after", withdrawals_s), ("recovered after", recoveries_s)):
        p50, p95 = np.percentile(seconds, (50, 95))
        print(f"{kind}: {name} p50 {p50:.2f} s, p95 {p95:.2f} s, max {max(seconds):.2f} s over {cycles} cycles")
    late = np.min(held[-some:], axis=0)
    for name, (files, threads, rss) in (("after a quarter", early), ("at the end", late)):
        print(f"{kind}: {files} files, {threads} threads, {rss >> 20} MiB {name}")
    print(f"{kind}: {counts}")
    assert late[2] - early[2] < GROWTH_BYTES

"""Programs that end with a pipeline running, or interrupt its stop: what was recorded is whole."""

from pathlib import Path

import pytest

from stream.config import StreamConfig
from stream.pipeline import Pipeline
from stream.sinks.journal import JournalSink
from stream.status import Phase, Status
from tests.programs import python
from tests.stream_runs import PATIENCE_S, Clip, Scripted, Seen

UNCLOSED = """
import sys
from pathlib import Path
from engines.failover import open_with_failover
from stream.config import StreamConfig
from stream.pipeline import Pipeline
from stream.sinks import recording
from stream.sources import open_source

engine = open_with_failover("fake")
pipeline = Pipeline(open_source("phantom:?size=320x240"), engine, StreamConfig(), recording(Path(sys.argv[1])))
pipeline.start()
while pipeline.status().counts.captured < 3:
    pipeline.wait(0.01)
"""


def test_a_program_that_ends_without_stopping_keeps_its_recording(tmp_path: Path) -> None:
    ended = python("-c", UNCLOSED, tmp_path, timeout=PATIENCE_S)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "summary.json").exists()


INTERRUPTED = """
import atexit, signal, sys, threading
from pathlib import Path
from engines.failover import open_with_failover
from stream.config import StreamConfig
from stream.pipeline import Pipeline
from stream.sinks import recording
from stream.sinks.journal import JournalSink
from stream.sources import open_source

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is ignored
ending = threading.Event()

class Slow(JournalSink):
    def close(self, status):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # which waits for this
        ending.wait()

folder = Path(sys.argv[1])
sinks = (Slow(folder / "slow.jsonl"), *recording(folder))
pipeline = Pipeline(open_source("phantom:?size=320x240"), open_with_failover("fake"), StreamConfig(), sinks)
pipeline.start()
atexit.register(ending.set)
while pipeline.status().counts.captured < 3:
    pipeline.wait(0.01)
try:
    pipeline.stop()
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_stop_that_is_interrupted_is_finished_as_the_program_ends(tmp_path: Path) -> None:
    ended = python("-c", INTERRUPTED, tmp_path, timeout=PATIENCE_S)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "interrupted\n", "")
    assert (tmp_path / "summary.json").exists()


@pytest.mark.parametrize(("count", "phase"), [(3, Phase.ENDED), (10**9, Phase.STOPPING)], ids=["by itself", "stopped"])
def test_while_a_recording_is_finished_it_is_known_why_the_run_ended(tmp_path: Path, count: int, phase: Phase) -> None:
    class Finishing(JournalSink):
        def close(self, status: Status) -> None:
            phases.append(status.phase)
            super().close(status)

    seen, phases = Seen(), list[Phase]()
    with Pipeline(
        Clip(count, live=True), Scripted(), StreamConfig(), [Finishing(tmp_path / "frames.jsonl")], seen
    ) as pipeline:
        seen.until(lambda assessment: assessment.frame_index >= 2)
        assert pipeline.wait(PATIENCE_S if phase is Phase.ENDED else 0) is (phase is Phase.ENDED)
    assert phases[0] == phase

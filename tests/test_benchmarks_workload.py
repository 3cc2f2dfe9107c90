from pathlib import Path

import pytest

from benchmarks import workload
from benchmarks.workload import Workload, make_clip, measure_engine, run
from engines.fake import FakeEngine
from stream.config import StreamConfig
from stream.errors import SourceError
from stream.sources import open_source

SHORT = "phantom:?size=320x240&fps=30&frames=12"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    make_clip(path, SHORT)
    return path


def test_the_clip_is_h264_of_the_phantom_size_and_length(clip: Path) -> None:
    with open_source(str(clip), live=False) as source:
        frames = list(source.frames())
    assert [frame.rgb.shape for frame in frames] == [(240, 320, 3)] * 12
    assert source.fps == 30


def test_a_replay_takes_every_frame_to_its_jpeg(clip: Path) -> None:
    with FakeEngine() as engine:
        measured = run(open_source(str(clip), live=False), engine, StreamConfig(), 60)
    assert measured.frames == measured.counts.captured == measured.counts.analysed == 12
    assert measured.end_to_end_ms.count == 12
    assert {"source", "analysis", "engine", "drawing", "jpeg"} <= set(measured.stages_ms)
    assert measured.fps > 0


def test_a_broken_source_is_an_error_not_a_number(tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    make_clip(path, SHORT)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with FakeEngine() as engine, pytest.raises(SourceError):
        run(open_source(str(path), live=False), engine, StreamConfig(), 60)


def test_a_source_that_is_never_judged_says_why() -> None:
    test_pattern = "lavfi:testsrc2=size=320x240:rate=30"
    with FakeEngine() as engine, pytest.raises(SourceError, match=r"none of \d+ frames was judged \("):
        run(open_source(test_pattern, live=True), engine, StreamConfig(), 0.5)


def test_a_machine_that_is_not_warm_in_time_is_measured_all_the_same(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workload, "WARM_UP_S", 0.0)  # too short for a first picture anywhere
    monkeypatch.setattr(workload, "measure_layers", lambda *_: ())  # they have tests of their own
    runs = measure_engine("fake", Workload(clip, "0,0,320,240", None, 2.0))
    assert min(runs.replay_720p.frames, runs.live.frames) > 0

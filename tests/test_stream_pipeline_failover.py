"""An engine fails in mid-stream: the stream goes on, every frame is accounted for, and what happened is said."""

import json
import threading
import time
from pathlib import Path

import pytest

from engines import catalog
from engines.base import Engine
from engines.failing import FailingEngine
from engines.failover import Failover
from engines.fake import FakeEngine
from stream.config import StreamConfig
from stream.pipeline import Pipeline
from stream.sinks.journal import JournalSink
from stream.web.readout import run
from tests.clips import write_clip
from tests.programs import command
from tests.stream_runs import PATIENCE_S, Clip, without_times


@pytest.fixture(scope="module")
def outs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A clip of 40 frames with the engine for demonstrations, replayed twice."""
    folder = tmp_path_factory.mktemp("failover")
    clip = write_clip(folder / "clip.mp4", 40)
    for name in ("first", "second"):
        result = command("replay", clip, "--out", folder / name, "--engine", "failing")
        assert result.exit_code == 0, result.output
        assert "40 of 40 frames analysed" in result.stdout
    return [folder / "first", folder / "second"]


def test_a_replay_goes_on_with_the_next_engine_and_its_journal_is_complete(outs: list[Path]) -> None:
    lines = [json.loads(text) for text in (outs[0] / "frames.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(40))
    assert not [line for line in lines if line["state"] == "not_analysed"]
    engines = [line["engine"] for line in lines]
    failed = engines.count("failing")
    assert 0 < failed < 40
    assert engines[:failed] == ["failing"] * failed
    assert len(set(engines[failed:])) == 1
    assert set(engines[failed:]) <= set(catalog.ENGINES)


def test_a_replay_in_which_an_engine_fails_is_the_same_each_time(outs: list[Path]) -> None:
    first, second = (without_times(out / "frames.jsonl") for out in outs)
    assert first == second


def test_the_summary_names_both_engines_and_counts_every_frame(outs: list[Path]) -> None:
    summary = json.loads((outs[0] / "summary.json").read_text())
    assert summary["engine"]["name"] in catalog.ENGINES
    assert summary["engine"]["replaced"] == ["failing failed: the GPU is lost (made up, to show what happens)"]
    frames = summary["frames"]
    assert frames["captured"] == frames["analysed"] + sum(frames["failed"].values()) == 40
    assert "the GPU is lost" in (outs[0] / "report.html").read_text()


def test_a_live_view_goes_on_while_the_next_engine_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten frames, ten that fail while it is loaded, then frames again; each is offered when the last one was judged."""
    loaded = threading.Event()

    def when_told(*_: object) -> Engine:
        assert loaded.wait(PATIENCE_S)
        return FakeEngine()

    def judged(index: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while sum(counts().values()) < index:
            assert time.monotonic() < deadline
            threading.Event().wait(0.001)
        if index == 20:
            loaded.set()
            assert engine._next is not None
            engine._next.result(PATIENCE_S)

    def counts() -> dict[str, int]:
        found = pipeline.status().counts
        return {"analysed": found.analysed, **found.failed}

    monkeypatch.setattr(catalog, "open_first", when_told)
    engine = Failover(FailingEngine(FakeEngine(), good_pictures=10), ["next"])
    journal = tmp_path / "frames.jsonl"
    pipeline = Pipeline(Clip(30, live=True, hold=judged), engine, StreamConfig(), [JournalSink(journal)])
    with engine, pipeline:
        assert pipeline.wait(PATIENCE_S)
    status = pipeline.status()
    reason = "failing failed: the GPU is lost (made up, to show what happens); the next engine is being loaded"
    assert status.counts.captured == 30
    assert counts() == {"analysed": 20, reason: 10}
    told = run(status, not_shown=0)["engine"]
    assert told["name"] == "fake"
    assert told["replaced"] == ["failing failed: the GPU is lost (made up, to show what happens)"]

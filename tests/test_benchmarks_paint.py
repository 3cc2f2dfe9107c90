from pathlib import Path

import pytest

from benchmarks.latency import in_fresh_process
from benchmarks.paint import NotPainted, browser, measure_paint
from benchmarks.workload import Workload
from stream.errors import SourceError


def showing(source: str, seconds: float) -> Workload:
    return Workload(Path("unused"), "", source, seconds)


@pytest.fixture
def _chromium() -> None:
    if browser() is None:
        pytest.skip("there is no Chromium on the PATH")


@pytest.mark.usefixtures("_chromium")
def test_a_real_browser_reports_when_it_has_painted() -> None:
    times = in_fresh_process(measure_paint, "fake", showing("phantom:?size=320x240&fps=30", 3.0))
    assert times.count > 1
    assert times.p50_ms > 0


@pytest.mark.usefixtures("_chromium")
def test_a_source_that_is_not_there_is_told_as_such() -> None:
    with pytest.raises(SourceError, match=r"absent\.mp4"):
        in_fresh_process(measure_paint, "fake", showing("absent.mp4", 0.1))


def test_without_a_browser_there_is_a_reason_and_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NotPainted, match="chromium"):
        measure_paint("fake", showing("phantom:", 0.1))

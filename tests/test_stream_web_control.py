"""What a start on the page begins with: the source's own scan area, and the engine that was chosen."""

from dataclasses import replace
from pathlib import Path

import pytest

from engines.errors import EngineError
from engines.fake import FakeEngine
from stream.config import StreamConfig
from stream.presets import Presets
from stream.scan_area import parse_scan_area
from stream.types import ScanArea
from stream.web import control as control_module
from stream.web.control import Control
from tests.stream_runs import Receiver

GIVEN, OTHER = "phantom:?size=320x240", "phantom:?size=320x240&seed=2"
SECTOR = "80,40/200,40/260,200/20,200"


class Runs:
    """The receivers that a control makes, one a start."""

    def __init__(self) -> None:
        self.receivers: list[Receiver] = []

    def __call__(self) -> list[Receiver]:
        self.receivers.append(Receiver(on_disk=False))
        return self.receivers[-1:]

    def area(self) -> ScanArea | None:
        """Of the first frame that the newest run judges."""
        return self.receivers[-1].until(lambda said: said.raw.size > 0).scan_area


def test_the_area_given_at_the_start_is_of_that_source_alone() -> None:
    runs, presets = Runs(), Presets()
    presets.keep(OTHER, f"{SECTOR}@320x240")
    with Control(StreamConfig(scan_area="0,0,300,200"), GIVEN, "fake", runs, presets) as control:
        control.start()
        assert runs.area() == ScanArea(0, 0, 300, 200, "user")
        control.start(OTHER)
        area = runs.area()
        assert area is not None
        assert area.corners == parse_scan_area(SECTOR).corners


def test_the_operating_point_can_be_chosen_and_stays() -> None:
    runs = Runs()
    with Control(StreamConfig(), GIVEN, "auto", runs) as control:
        assert control.operating_points() == ["balanced"]  # of weights that nobody has read yet
        control.start()
        assert control.operating_points() == ["sensitive", "balanced", "specific"]
        control.start(operating_point="sensitive")
        control.start()
        pipeline = control.now().pipeline
        assert pipeline is not None
        assert pipeline.session.config.operating_point == "sensitive"


def test_to_keep_an_area_of_another_source_leaves_that_of_the_given_one() -> None:
    runs = Runs()
    with Control(StreamConfig(scan_area="0,0,300,200"), GIVEN, "fake", runs) as control:
        control.start(OTHER)
        runs.area()
        control.keep_scan_area(parse_scan_area("20,40,240,160"))
        control.start(GIVEN)
        assert runs.area() == ScanArea(0, 0, 300, 200, "user")


@pytest.mark.parametrize("stopped", [False, True])
def test_to_keep_the_box_of_a_sector_keeps_the_sector(stopped: bool) -> None:
    runs, presets = Runs(), Presets()
    with Control(StreamConfig(scan_area=SECTOR), GIVEN, "fake", runs, presets) as control:
        control.start()
        runs.area()
        if stopped:
            control.stop()
        assert control.scan_area() == parse_scan_area(SECTOR)
        control.keep_scan_area(parse_scan_area("20,40,241,161"))
    assert presets.get(GIVEN) == f"{SECTOR}@320x240"


@pytest.mark.parametrize("mended", [False, True])
def test_an_engine_that_failed_is_tried_again_with_the_next_start_and_else_its_successor_stays(
    monkeypatch: pytest.MonkeyPatch, mended: bool
) -> None:
    runs, opened = Runs(), []

    def open_engine(name: str, weights: Path) -> FakeEngine:
        if opened and not mended:
            raise EngineError("device lost")
        opened.append(FakeEngine())
        if len(opened) == 1:  # what stands in for the one asked for
            opened[0].info = replace(opened[0].info, name="successor", replaced=("fake failed: device lost",))
        return opened[-1]

    monkeypatch.setattr(control_module, "open_engine", open_engine)
    with Control(StreamConfig(), GIVEN, "fake", runs) as control:
        control.start()
        runs.area()
        control.start()
        runs.area()
        pipeline = control.now().pipeline
        assert pipeline is not None
        assert pipeline.status().engine.name == ("fake" if mended else "successor")

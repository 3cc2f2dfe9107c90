"""What a start on the page begins with: the source's own scan area, and the engine that was chosen."""

from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from engines.errors import EngineError
from engines.fake import FakeEngine
from stream.config import StreamConfig
from stream.errors import SourceError, UsageError
from stream.kept_areas import KeptAreas
from stream.scan_area import parse_scan_area
from stream.sinks import recording
from stream.status import Status
from stream.types import ScanArea, State
from stream.web import loaded_engine
from stream.web.control import Control
from tests.senders import Sender
from tests.stream_runs import PATIENCE_S, Receiver

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
    runs, kept = Runs(), KeptAreas()
    kept.keep(OTHER, f"{SECTOR}@320x240")
    with Control(StreamConfig(scan_area="0,0,300,200"), GIVEN, "fake", runs, kept_areas=kept) as control:
        control.start()
        assert runs.area() == ScanArea(0, 0, 300, 200, "user")
        control.start(OTHER)
        area = runs.area()
        assert area is not None
        assert area.corners == parse_scan_area(SECTOR).corners


def test_a_kept_area_that_makes_no_sense_is_not_used() -> None:
    runs, kept = Runs(), KeptAreas()
    kept.keep(GIVEN, "somewhere@320x240")
    with Control(StreamConfig(), GIVEN, "fake", runs, kept_areas=kept) as control:
        control.start()
        area = runs.area()
    assert area is not None
    assert area.origin == "header"


def test_a_run_that_is_refused_for_its_operating_point_gets_no_recording() -> None:
    runs = Runs()
    config = StreamConfig(operating_point="wild")
    with Control(config, GIVEN, "fake", runs) as control, pytest.raises(UsageError, match="wild"):
        control.start()
    assert not runs.receivers


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


def test_an_area_that_is_kept_takes_the_place_of_the_one_given_at_the_start() -> None:
    runs = Runs()
    with Control(StreamConfig(scan_area="0,0,300,200"), GIVEN, "fake", runs) as control:
        control.start()
        runs.area()
        control.keep_scan_area(parse_scan_area("20,40,240,160"))
        assert runs.area() == ScanArea(20, 40, 240, 160, "user")


@pytest.mark.parametrize("stopped", [False, True])
def test_to_keep_the_box_of_a_sector_keeps_the_sector(stopped: bool) -> None:
    runs, kept = Runs(), KeptAreas()
    with Control(StreamConfig(scan_area=SECTOR), GIVEN, "fake", runs, kept_areas=kept) as control:
        control.start()
        runs.area()
        if stopped:
            control.stop()
        assert control.scan_area() == parse_scan_area(SECTOR)
        control.keep_scan_area(parse_scan_area("20,40,241,161"))
    assert kept.get(GIVEN) == f"{SECTOR}@320x240"


def test_what_is_stopped_while_the_engine_loads_makes_no_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    runs, loading, load = Runs(), Event(), Event()

    def open_engine(name: str, weights: Path) -> FakeEngine:
        loading.set()
        assert load.wait(PATIENCE_S)
        return FakeEngine()

    monkeypatch.setattr(loaded_engine, "open_with_failover", open_engine)
    with Control(StreamConfig(), GIVEN, "fake", runs) as control, ThreadPoolExecutor(2) as pool:
        started = pool.submit(control.start)
        assert loading.wait(PATIENCE_S)
        before = control._asked.given_up
        stopped = pool.submit(control.stop)
        assert before.wait(PATIENCE_S)  # the button was pressed
        load.set()
        started.result(PATIENCE_S)
        stopped.result(PATIENCE_S)
        assert (control.now().stopped, control.now().error) == (True, None)
    assert runs.receivers == []


@pytest.mark.parametrize("on", [False, True])
def test_what_is_chosen_about_recording_while_the_engine_loads_holds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, on: bool
) -> None:
    loading, load = Event(), Event()

    def open_engine(name: str, weights: Path) -> FakeEngine:
        loading.set()
        assert load.wait(PATIENCE_S)
        return FakeEngine()

    monkeypatch.setattr(loaded_engine, "open_with_failover", open_engine)
    control = Control(StreamConfig(), GIVEN, "fake", make_recording=lambda: recording(tmp_path / "1"))
    control.record(not on)
    with control, ThreadPoolExecutor(1) as pool:
        started = pool.submit(control.start)
        assert loading.wait(PATIENCE_S)
        control.record(on)
        load.set()
        started.result(PATIENCE_S)
    assert recorded(tmp_path) == ([True] if on else [])


class Given(FakeEngine):
    """A fake that knows whether it was given back."""

    closed = False

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(("names", "loaded"), [(("one", "one"), 1), (("one", "two"), 2)])
def test_another_engine_is_loaded_once_the_one_before_is_given_back(
    monkeypatch: pytest.MonkeyPatch, names: tuple[str, str], loaded: int
) -> None:
    opened: list[Given] = []

    def open_engine(name: str, weights: Path) -> Given:
        assert all(engine.closed for engine in opened)  # a GPU may not hold both
        opened.append(Given())
        return opened[-1]

    monkeypatch.setattr(loaded_engine, "open_with_failover", open_engine)
    with Control(StreamConfig(), GIVEN, "one") as control:
        for name in names:
            control.start(engine_name=name)
        assert [engine.closed for engine in opened] == [True] * (loaded - 1) + [False]


@pytest.mark.parametrize("mended", [False, True])
def test_an_engine_that_failed_is_tried_again_with_the_next_start_and_else_its_successor_stays(
    monkeypatch: pytest.MonkeyPatch, mended: bool
) -> None:
    runs, opened = Runs(), []

    def open_engine(name: str, weights: Path) -> FakeEngine:
        if opened and not mended:
            raise EngineError("device lost")
        opened.append(Given())
        if len(opened) == 1:  # what stands in for the one asked for
            opened[0].info = replace(opened[0].info, name="successor", replaced=("fake failed: device lost",))
        return opened[-1]

    monkeypatch.setattr(loaded_engine, "open_with_failover", open_engine)
    with Control(StreamConfig(), GIVEN, "fake", runs) as control:
        control.start()
        runs.area()
        control.start()
        runs.area()
        pipeline = control.now().pipeline
        assert pipeline is not None
        assert pipeline.status().engine.name == ("fake" if mended else "successor")
        assert opened[0].closed == mended


@pytest.mark.parametrize("there", ["clip.mp4", "pictures", "pictures/1.png", "a" * 300 + ".mp4"])
def test_a_source_that_is_gone_is_told_without_the_folders_before_it(tmp_path: Path, there: str) -> None:
    path = tmp_path / "Miller^Erika" / there
    (path if path.suffix == "" else path.parent).mkdir(parents=True)
    with Control(StreamConfig(), str(path), "fake") as control:
        with pytest.raises(SourceError) as told:
            control.start()
        assert path.name[:200] in str(told.value)
        assert "Miller" not in str(control.now().error)


def recorded(folder: Path) -> list[bool]:
    """For each recording below the folder, oldest first: is it finished?"""
    return [(each / "summary.json").exists() for each in sorted(folder.iterdir())]


def test_recordings_begin_and_end_without_what_runs_being_touched(tmp_path: Path) -> None:
    runs, folders = Runs(), (tmp_path / name for name in "12")
    with Control(StreamConfig(), GIVEN, "fake", runs, lambda: recording(next(folders))) as control:
        control.start()
        running = control.now().pipeline
        control.record(True)  # it does already
        runs.area()
        control.record(False)
        assert recorded(tmp_path) == [True]
        control.record(True)
        assert control.now().pipeline is running
    assert recorded(tmp_path) == [True, True]
    assert len(runs.receivers) == 1


def test_a_start_keeps_to_what_was_chosen_about_recording(tmp_path: Path) -> None:
    folders = (tmp_path / name for name in "123")
    with Control(StreamConfig(), GIVEN, "fake", make_recording=lambda: recording(next(folders))) as control:
        control.start()
        control.record(False)
        control.start()
        assert recorded(tmp_path) == [True]
        control.record(True)
        control.start()
        assert recorded(tmp_path) == [True, True, False]


def test_recording_is_chosen_while_the_sender_is_away_and_begins_with_it(tmp_path: Path) -> None:
    runs = Runs()
    with Sender("tcp", tmp_path) as sender:
        control = Control(StreamConfig(), sender.uri, "fake", runs, lambda: recording(tmp_path / "recordings" / "1"))
        control.record(False)
        control.start()
        runs.receivers[-1].until(lambda said: True)
    with control:
        last = runs.receivers[-1].until(lambda said: said.state is State.NO_SIGNAL).frame_index
        control.record(True)
        with Sender("tcp", tmp_path, sender.port):
            runs.receivers[-1].until(lambda said: said.frame_index > last)
            control.record(False)
    assert recorded(tmp_path / "recordings") == [True]
    assert (tmp_path / "recordings" / "1" / "frames.jsonl").read_text()


def test_an_engine_that_cannot_be_loaded_does_not_end_the_wait_for_a_sender_that_is_away(tmp_path: Path) -> None:
    with Sender("tcp", tmp_path) as sender:
        control = Control(StreamConfig(), sender.uri, "fake")
        control.start()
    with control:
        with pytest.raises(EngineError):
            control.start(engine_name="none such")
        control.start(engine_name="fake")
        assert (control.now().stopped, control.now().error) == (False, None)


def test_a_sender_that_was_stopped_and_is_away_is_an_error_at_the_next_start(tmp_path: Path) -> None:
    with Sender("tcp", tmp_path) as sender:
        control = Control(StreamConfig(), sender.uri, "fake")
        control.start()
        control.stop()
    with control, pytest.raises(SourceError, match="Nothing listens there"):
        control.start()


def test_what_is_stopped_stays_so_when_recording_is_chosen(tmp_path: Path) -> None:
    with Control(StreamConfig(), GIVEN, "fake", make_recording=lambda: recording(tmp_path / "1")) as control:
        control.record(False)
        control.start()
        control.stop()
        control.record(True)
        assert control.now().stopped
        assert recorded(tmp_path) == []
        control.start()
    assert recorded(tmp_path) == [True]


class Ending(Receiver):
    """A recording that takes long to finish."""

    def __init__(self) -> None:
        super().__init__(on_disk=True)
        self.begun, self.end = Event(), Event()

    def close(self, status: Status) -> None:
        self.begun.set()
        assert self.end.wait(PATIENCE_S)


@pytest.mark.parametrize("source", [None, OTHER])
def test_what_is_asked_for_while_a_recording_is_finished_holds_although_recording_is_chosen(source: str | None) -> None:
    finishing = Ending()
    with Control(StreamConfig(), GIVEN, "fake", make_recording=lambda: [finishing]) as control:
        control.start()
        with ThreadPoolExecutor(3) as pool:
            pressed = [pool.submit(control.stop)]
            assert finishing.begun.wait(PATIENCE_S)
            asked = control._asked
            if source is not None:
                pressed.append(pool.submit(control.start, source))
            while source is not None and control._asked is asked:
                wait(pressed, 0.02)
            asked = control._asked
            pressed.append(pool.submit(control.record, False))
            while control._asked is asked and not pressed[-1].done():  # a start or stop would take its place
                wait(pressed[-1:], 0.02)
            finishing.end.set()
            for each in pressed:
                each.result(PATIENCE_S)
        now = control.now()
        assert (now.stopped, now.source_uri) == (source is None, source or GIVEN)


def test_a_recording_whose_folder_cannot_be_made_leaves_the_picture_as_it_was(tmp_path: Path) -> None:
    runs, place = Runs(), tmp_path / "disk"
    with Control(StreamConfig(), GIVEN, "fake", runs, lambda: recording(place / "1")) as control:
        control.record(False)
        control.start()
        place.touch()  # no folder any more
        with pytest.raises(UsageError, match="disk"):
            control.record(True)
        assert (control.now().stopped, control.now().error, control.records) == (False, None, False)
        runs.area()


def test_without_a_folder_for_it_nothing_is_recorded() -> None:
    with Control(StreamConfig(), GIVEN, "fake") as control, pytest.raises(UsageError, match="--record"):
        control.record(True)

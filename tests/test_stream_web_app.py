import json
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from starlette.testclient import TestClient

from engines.catalog import missing
from engines.errors import EngineError
from rcdnet.notice import RESEARCH_NOTICE
from rcdnet.weights import SHIPPED
from stream.config import StreamConfig
from stream.errors import StreamError, UsageError
from stream.scan_area import parse_scan_area
from stream.sinks.journal import JournalSink
from stream.sources import open_source
from stream.web.app import create_app, listen, page_address, seen_by_network
from stream.web.control import Control, label
from stream.web.guard import is_own_name
from tests.clips import picture, write_clip
from tests.stream_views import SESSION, view

ADDRESS = "http://127.0.0.1:7860"
SOCKET = "ws://127.0.0.1:7860/ws"
PHANTOM = "phantom:?size=320x240"


@pytest.fixture
def control() -> Iterator[Control]:
    with Control(StreamConfig(), PHANTOM, "fake") as control:
        yield control


@pytest.fixture
def client(control: Control) -> TestClient:
    """Without the application's start: Gradio is not loaded."""
    return TestClient(create_app(control), base_url=ADDRESS)


def test_the_socket_sends_picture_and_verdict_together_and_times_what_is_painted(
    control: Control, client: TestClient
) -> None:
    control.start()
    with client.websocket_connect(SOCKET) as socket_:
        indices = []
        for _ in range(3):
            message = socket_.receive_bytes()
            index, age_ms, verdict_bytes = struct.unpack_from("<IfI", message)
            assert age_ms > 0
            assert json.loads(message[12 : 12 + verdict_bytes])["headline"]
            jpeg = np.frombuffer(message[12 + verdict_bytes :], np.uint8)
            assert cv2.imdecode(jpeg, cv2.IMREAD_COLOR).shape[0] >= 240
            indices.append(index)
            socket_.send_text("painted")
    assert indices == sorted(set(indices))
    assert client.get("/status.json").json()["painted_ms"]["p50"] > 0


def test_the_socket_tells_which_class_the_heat_map_is_of_that_is_drawn(control: Control, client: TestClient) -> None:
    told = []
    for drawn in ("benign", None):
        control.broadcast.publish(replace(view(), heat_map=drawn))
        with client.websocket_connect(SOCKET) as socket_:
            message = socket_.receive_bytes()
        (length,) = struct.unpack_from("<8xI", message)
        told.append(json.loads(message[12 : 12 + length])["heat_map"])
    assert told == ["benign", None]


def test_what_nobody_saw_was_not_painted(control: Control, client: TestClient) -> None:
    control.start()
    with client.websocket_connect(SOCKET) as hidden:
        for _ in range(2):
            hidden.receive_bytes()
            hidden.send_text("passed")
        hidden.receive_bytes()  # sent only once the last answer was heard
        assert control.broadcast.audience().painted_ms is None


def test_a_screen_that_does_not_answer_gets_no_second_picture(control: Control, client: TestClient) -> None:
    control.start()
    with client.websocket_connect(SOCKET) as silent, client.websocket_connect(SOCKET) as other:
        (first,) = struct.unpack_from("<I", silent.receive_bytes())
        shown = []
        for _ in range(6):
            shown += struct.unpack_from("<I", other.receive_bytes())
            other.send_text("painted")
        silent.send_text("passed")
        (second,) = struct.unpack_from("<I", silent.receive_bytes())
    assert first < shown[-2] <= second


@pytest.fixture
def flagged(control: Control) -> int:
    """The number of an episode that a run flagged, which is over."""
    control.start()
    control.stop()
    control.flagged.begin(SESSION)
    for index, finding in enumerate(("benign", "normal")):
        control.flagged.add(view(index, finding=finding, captured_ns=time.perf_counter_ns()))
    ((number, _),) = control.flagged.newest(time.perf_counter_ns())
    return number


def test_what_was_flagged_last_is_told_after_the_run_too(client: TestClient, flagged: int) -> None:
    (told,) = client.get("/status.json").json()["flagged"]
    assert (told["number"], told["finding"], told["probability"], told["lasted_s"]) == (flagged, "benign", 0.2, 0)
    assert 0 <= told["age_s"] < 60


def test_a_key_frame_is_sent_and_not_kept_by_the_browser(client: TestClient, flagged: int) -> None:
    answer = client.get(f"/flagged/{flagged}.jpg")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "no-store"
    picture = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
    assert picture[40, 60] == pytest.approx(view().frame.rgb[40, 60], abs=3)
    assert client.get(f"/flagged/{flagged + 1}.jpg").status_code == 404


def test_the_next_run_begins_with_nothing_flagged(control: Control, client: TestClient, flagged: int) -> None:
    control.start()
    assert flagged not in [told["number"] for told in client.get("/status.json").json()["flagged"]]


def test_what_one_source_showed_does_not_stand_below_another_that_fails(
    control: Control, client: TestClient, flagged: int
) -> None:
    with pytest.raises(StreamError):
        control.start("none.mp4")
    assert not client.get("/status.json").json().get("flagged")


def test_a_clip_in_a_loop_is_not_said_to_be_live(tmp_path: Path, client: TestClient, control: Control) -> None:
    control.start(str(write_clip(tmp_path / "scan.mp4")))
    assert client.get("/status.json").json()["looped"]
    control.start(PHANTOM)
    assert not client.get("/status.json").json()["looped"]


def test_pictures_are_told_from_a_clip(tmp_path: Path, client: TestClient, control: Control) -> None:
    cv2.imwrite(str(tmp_path / "scan.png"), picture(1))
    control.start(str(tmp_path))
    assert client.get("/status.json").json()["still"]
    control.start(PHANTOM)
    assert not client.get("/status.json").json()["still"]


@pytest.mark.parametrize(("text", "why"), [("300,200,64,64", "leaves the 320x240"), ("0,0,2,2", "too small")])
def test_an_area_that_does_not_fit_the_picture_is_not_kept(
    control: Control, client: TestClient, text: str, why: str
) -> None:
    control.start()
    with client.websocket_connect(SOCKET) as socket_:
        socket_.receive_bytes()
        with pytest.raises(UsageError, match=why):
            control.keep_scan_area(parse_scan_area(text))
    assert control.now().stopped is False


def test_the_page_offers_no_engine_that_knows_nothing_or_cannot_run_here() -> None:
    with Control(StreamConfig(), PHANTOM, "auto") as control:
        assert control.engines()[0] == "auto"
        assert not {"fake", "failing"} & set(control.engines())
        assert [missing(name, SHIPPED) for name in control.engines()[1:]] == [None] * len(control.engines()[1:])


def test_the_engine_given_at_the_start_is_offered(control: Control) -> None:
    assert "fake" in control.engines()


def test_what_was_painted_in_an_earlier_run_is_not_counted_in_this_one(control: Control, client: TestClient) -> None:
    control.start()
    with client.websocket_connect(SOCKET) as socket_:
        socket_.receive_bytes()
        socket_.send_text("painted")
        socket_.receive_bytes()
        assert control.broadcast.audience().painted_ms is not None
        control.start()
        assert control.broadcast.audience().painted_ms is None


def test_the_sketch_is_a_small_picture_once_there_is_one(control: Control, client: TestClient) -> None:
    assert client.get("/sketch.png").status_code == 404
    control.start()
    with client.websocket_connect(SOCKET) as socket_:
        socket_.receive_bytes()
    answer = client.get("/sketch.png")
    assert (answer.headers["Content-Type"], answer.headers["Cache-Control"]) == ("image/png", "no-store")
    assert cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED).shape == (36, 48, 4)


def test_the_status_tells_the_run_in_words_and_numbers(control: Control, client: TestClient) -> None:
    control.start()
    with client.websocket_connect(SOCKET) as socket_:
        socket_.receive_bytes()
        status = client.get("/status.json").json()
    assert status["phase"] == "running"
    assert status["synthetic"] is True
    assert status["engine"]["name"] == "fake"
    assert status["classes"] == ["no lesion", "benign", "malignant"]
    assert {"captured", "analysed"} <= {row["label"] for row in status["counts"]}
    assert all(len(moment["smoothed"]) == 3 for moment in status["timeline"])


def test_stop_and_start_are_seen_in_the_status(control: Control, client: TestClient) -> None:
    assert client.get("/status.json").json()["phase"] == "stopped"
    control.start()
    control.stop()
    assert client.get("/status.json").json()["phase"] == "stopped"
    control.start()
    assert client.get("/status.json").json()["phase"] in ("starting", "running")


@pytest.mark.parametrize(("source", "engine"), [("none.mp4", "fake"), ("none_such:", "fake"), (PHANTOM, "none_such")])
def test_what_cannot_start_is_a_visible_failure_and_can_be_mended(
    control: Control, client: TestClient, source: str, engine: str
) -> None:
    with pytest.raises((StreamError, EngineError)) as refusal:
        control.start(source, engine)
    status = client.get("/status.json").json()
    assert (status["phase"], status["error"]) == ("failed", str(refusal.value))
    control.start(PHANTOM, "fake")
    assert client.get("/status.json").json()["error"] is None


@pytest.mark.parametrize("instead", ["stop", "start"])
def test_neither_stop_nor_another_source_waits_for_a_sender_that_does_not_answer(
    control: Control, instead: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        starting = Thread(target=control.start, args=[f"tcp://127.0.0.1:{silent.getsockname()[1]}"])
        starting.start()
        connection, _ = silent.accept()
        if instead == "stop":
            control.stop()
        else:
            control.start(PHANTOM)
        assert control.now().error is None  # else it has waited
        assert control.now().stopped == (instead == "stop")
        starting.join()
        connection.close()


def test_a_start_in_the_place_of_another_can_be_stopped_as_well(control: Control) -> None:
    with ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        uri = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        starting = []
        for _ in range(2):
            starting.append(Thread(target=control.start, args=[uri]))
            starting[-1].start()
            stack.enter_context(silent.accept()[0])
        control.stop()
        for thread in starting:
            thread.join()
    assert control.now().error is None  # else one has waited


@pytest.mark.parametrize("scheme", ["", "file:", "dicom:", "metaimage:", "images:", "faults:die@1/"])
def test_the_folder_of_a_file_is_not_on_the_page(scheme: str) -> None:
    assert "Miller" not in label(f"{scheme}/patients/Miller/cine.dcm")


def test_any_name_of_a_file_can_be_shown() -> None:
    assert label("caf\udce9.mp4").encode().startswith(b"caf")  # Latin-1 bytes, as Python hands them on
    assert label(".") == Path.cwd().name


def test_two_cards_of_one_name_are_both_offered(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    cards = {"v4l2:/dev/video0": "USB Video", "v4l2:/dev/video1": "USB Video"}
    monkeypatch.setattr("stream.web.control.devices", lambda: cards)
    assert {name: uri for name, uri in control.sources().items() if "USB" in name} == {
        "USB Video (video0)": "v4l2:/dev/video0",
        "USB Video (video1)": "v4l2:/dev/video1",
    }


def test_the_opacity_holds_for_this_run_and_the_next(control: Control) -> None:
    control.start()
    control.set_opacity(0.8)
    running = control.now().pipeline
    assert running is not None
    assert running.style.opacity == control.opacity == 0.8
    control.start()
    restarted = control.now().pipeline
    assert restarted is not None
    assert restarted.style.opacity == 0.8


def test_the_opacity_that_is_set_while_a_source_opens_holds(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*arguments: object, **keywords: object) -> object:
        control.set_opacity(0.0)
        return opening(*arguments, **keywords)

    opening = open_source
    monkeypatch.setattr("stream.web.control.open_source", slow)
    control.start()
    running = control.now().pipeline
    assert running is not None
    assert running.style.opacity == 0.0


def test_an_opacity_beyond_one_is_refused(control: Control) -> None:
    with pytest.raises(UsageError, match="0 to 1"):
        control.set_opacity(1.5)


def test_a_recording_that_failed_is_remembered_after_the_next_start(tmp_path: Path) -> None:
    sinks = iter([(JournalSink(Path("/dev/full")),), (JournalSink(tmp_path / "frames.jsonl"),)])
    with Control(StreamConfig(), PHANTOM, "fake", lambda: next(sinks)) as control:
        control.start()
        control.start()
        control.stop()
        assert control.unrecorded is not None
        assert control.unrecorded.startswith("cannot write /dev/full")


def test_the_page_offers_the_given_source_without_its_folder_and_the_phantom() -> None:
    with Control(StreamConfig(), "/patients/Miller/scan.mp4", "fake") as control:
        offered = control.sources()
    assert offered["phantom (synthetic)"] == "phantom:"
    assert not any("Miller" in label for label in offered)


def test_controls_that_cannot_be_loaded_are_said_to_be_missing(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def none(control: Control) -> None:
        """What is left of Gradio that cannot be imported."""

    monkeypatch.setattr("stream.web.app.load_control_room", none)
    with TestClient(create_app(control), base_url=ADDRESS) as client:
        assert client.get("/status.json").json()["control_room"] == "failed"


def test_the_plain_page_comes_before_gradio_and_says_what_this_is_not(client: TestClient) -> None:
    page = client.get("/").text
    assert RESEARCH_NOTICE in page
    assert 'id="rcd-canvas"' in page
    assert "http://" not in page
    assert "https://" not in page
    assert "[[" not in page


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "http://127.0.0.1:"), ("localhost", "http://localhost:"), ("::1", "http://[::1]:")],
)
def test_the_printed_address_is_that_of_the_host(host: str, address: str) -> None:
    with listen("127.0.0.1", 0) as listener:  # not every machine has IPv6
        assert page_address(host, listener) == f"{address}{listener.getsockname()[1]}"
        assert not seen_by_network(listener)


def test_a_page_on_all_networks_is_printed_with_an_address_that_can_be_opened() -> None:
    with listen("0.0.0.0", 0) as listener:
        found = urlsplit(page_address("0.0.0.0", listener))
        assert seen_by_network(listener)
        assert found.hostname != "0.0.0.0"
        assert is_own_name(str(found.hostname))
        with socket.create_connection((found.hostname, found.port)):
            pass


@pytest.mark.parametrize("path", ["/viewer/__init__.py", "/viewer/..%2Fapp.py", "/viewer/none.js"])
def test_only_the_page_s_own_files_are_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_an_address_of_another_machine_is_wrong_use() -> None:
    with pytest.raises(UsageError, match="--host"):
        listen("192.0.2.1", 0)


def test_connections_keep_little_in_the_kernel() -> None:
    with listen("127.0.0.1", 0) as listener:
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 1 << 19

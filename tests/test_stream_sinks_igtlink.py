"""What a receiver gets, and that one which is away, slow or gone costs the run nothing."""

import json
import socket
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from pyigtl.messages import ImageMessage, MessageBase

from engines.fake import FakeEngine
from rcdnet.notice import RESEARCH_NOTICE
from stream.config import StreamConfig
from stream.pipeline import Pipeline
from stream.sinks import sending
from stream.sinks.igtlink import FINDING, PICTURE, IgtlinkSink, messages
from stream.sources import open_source
from stream.sources.igtlink import IgtlinkSource
from stream.status import Recording
from tests.igtlink import ImageServer, grey
from tests.stream_views import SESSION, ending, view


def test_pictures_of_a_server_are_judged_and_go_back_to_it_over_one_connection() -> None:
    with (
        ImageServer() as server,
        FakeEngine() as engine,
        open_source(server.uri) as source,
        Pipeline(source, engine, StreamConfig(), sending(server.uri)) as pipeline,
    ):
        picture, finding = server.received(PICTURE), server.received(FINDING)
        status = pipeline.status()
    assert picture.image.shape[0] == 1
    assert picture.image.shape[3] == 3
    assert np.diag(picture.ijk_to_world_matrix) == pytest.approx([0.2, 0.2, 1, 1])
    said = json.loads(finding.string)
    assert said["notice"] == RESEARCH_NOTICE
    assert said["operating_point"] == "balanced"
    assert set(said["raw"]) == set(engine.spec.class_names)
    assert status.counts.analysed > 0
    assert status.recording is Recording.OFF


def test_a_server_whose_pictures_are_judged_does_not_keep_the_last_finding() -> None:
    with ImageServer() as server, FakeEngine() as engine:
        source = open_source(server.uri)
        with Pipeline(source, engine, StreamConfig(), sending(server.uri)) as pipeline:
            assert json.loads(server.received(FINDING).string)["reason"] != "stopped"
        said = json.loads(server.received(FINDING).string)
        while said["reason"] != "stopped":
            said = json.loads(server.received(FINDING).string)
    assert pipeline.status().counts.analysed > 0
    assert (said["state"], said["finding"]) == ("no_signal", None)


def test_a_server_that_takes_one_connection_is_left_to_a_lost_source_until_the_run_ends(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.sinks.igtlink.RETRY_S", 0.01)
    monkeypatch.setattr("stream.sinks.igtlink.LAST_S", 60.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        uri = f"igtl://127.0.0.1:{server.getsockname()[1]}"
        source, sink = IgtlinkSource(uri), IgtlinkSink(uri)
        server.accept()[0].close()
        sink.open(SESSION)
        source.close()
        sink.write(view(1))
        deadline_s = time.monotonic() + 60
        while not caplog.records:
            assert time.monotonic() < deadline_s
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
        server.settimeout(60)
        closing = Thread(target=sink.close, args=(ending(),))
        closing.start()
        with server.accept()[0] as connection:
            connection.settimeout(60)
            assert len(connection.recv(58)) == 58
    closing.join(60)
    assert not closing.is_alive()


def test_a_server_that_sends_while_it_reads_gets_the_last_picture_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.sinks.igtlink.LAST_S", 60.0)
    last = replace(view(1), picture=np.zeros((480, 640, 3), np.uint8))
    whole = sum(map(len, messages(last, SESSION)))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # the rest waits on our side
        uri = f"igtl://127.0.0.1:{server.getsockname()[1]}"
        source, sink = IgtlinkSource(uri), IgtlinkSink(uri)
        sink.open(SESSION)
        source.close()
        server.accept()[0].close()
        sink.write(last)
        closing = Thread(target=sink.close, args=(ending(),))
        closing.start()
        came = 0
        with server.accept()[0] as connection, suppress(ConnectionError):
            connection.settimeout(60)
            while got := len(connection.recv(4096)):
                came += got
                connection.sendall(grey(1).pack())
    closing.join(60)
    assert came == whole
    assert not closing.is_alive()


@pytest.mark.parametrize(("repeated", "ago_s"), [(False, 3600), (True, 0)], ids=["new", "repeated"])
def test_picture_and_finding_of_a_frame_bear_the_time_of_its_capture(repeated: bool, ago_s: float) -> None:
    with ImageServer(message=None) as server:
        sink = IgtlinkSink(server.uri)
        sink.open(SESSION)
        captured = view(9, captured_ns=time.perf_counter_ns() - 3_600_000_000_000)
        sink.write(replace(captured, repeated=repeated))
        picture, finding = server.received(PICTURE), server.received(FINDING)
        sink.close(ending())
    assert picture.timestamp == finding.timestamp
    assert picture.timestamp == pytest.approx(time.time() - ago_s, abs=300)


def test_a_receiver_gets_the_picture_that_is_drawn() -> None:
    with ImageServer(message=None) as server:
        sink = IgtlinkSink(server.uri)
        sink.open(SESSION)
        sink.write(view(9))
        picture, finding = server.received(PICTURE), server.received(FINDING)
        sink.close(ending())
    assert not sink._thread.is_alive()
    assert np.array_equal(picture.image[0], view(9).picture)
    said = json.loads(finding.string)
    assert said["frame"] == 9
    assert said["finding"] == "malignant"
    assert set(said["raw"]) == set(SESSION.spec.class_names)


def test_a_receiver_that_comes_later_is_found_and_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    sink = IgtlinkSink(f"igtl://127.0.0.1:{port}")
    sink.open(SESSION)
    deadline_s = time.monotonic() + 60
    while not caplog.records:
        assert time.monotonic() < deadline_s
        sink.write(view(1))
    with socket.create_server(("127.0.0.1", port)) as receiver:
        receiver.settimeout(0.05)
        deadline_s, connection = time.monotonic() + 60, None
        while connection is None:
            assert time.monotonic() < deadline_s
            sink.write(view(2))
            try:
                connection, _ = receiver.accept()
            except TimeoutError:
                continue
        with connection:
            assert len(connection.recv(58)) == 58
            sink.close(ending())
    assert f"igtl://127.0.0.1:{port} takes pictures again" in [record.message for record in caplog.records]


def test_a_receiver_that_hung_up_is_called_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.sinks.igtlink.RETRY_S", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as receiver:
        receiver.settimeout(60)
        sink = IgtlinkSink(f"igtl://127.0.0.1:{receiver.getsockname()[1]}")
        sink.open(SESSION)
        sink.write(view(1))
        receiver.accept()[0].close()
        receiver.settimeout(0.05)
        deadline_s, again = time.monotonic() + 60, None
        while again is None:
            assert time.monotonic() < deadline_s
            sink.write(view(2))
            with suppress(TimeoutError):
                again, _ = receiver.accept()
        again.close()
        sink.close(ending())


def test_the_picture_goes_with_the_spacing_of_its_columns_and_rows() -> None:
    spaced = replace(view().frame, mm_per_px=(0.25, 0.2))
    packed, _ = messages(replace(view(), frame=spaced), SESSION)
    message = ImageMessage()
    message.unpack(MessageBase.parse_header(packed[:58]), packed[58:])
    assert np.diag(message.ijk_to_world_matrix) == pytest.approx([0.2, 0.25, 1, 1])


def test_a_receiver_that_reads_nothing_holds_nobody_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as receiver:
        sink = IgtlinkSink(f"igtl://127.0.0.1:{receiver.getsockname()[1]}")
        sink.open(SESSION)
        large = view(0, size_px=(2000, 2000))  # more than a socket holds
        sink.write(large)
        connection, _ = receiver.accept()
        with connection:
            for _ in range(60):
                sink.write(large)
            sink.close(ending())
        sink._thread.join(60)
        assert not sink._thread.is_alive()


@pytest.mark.parametrize(("repeated", "missed"), [(False, [4]), (True, [])])
def test_what_a_busy_receiver_missed_is_told_at_the_end_but_not_the_last_frame_again(
    caplog: pytest.LogCaptureFixture, repeated: bool, missed: list[int]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as receiver:
        port = receiver.getsockname()[1]
        sink = IgtlinkSink(f"igtl://127.0.0.1:{port}")
        sink.open(SESSION)
        large = view(0, size_px=(4000, 4000))  # more than a socket holds, so that the first one stays on its way
        sink.write(large)
        connection, _ = receiver.accept()
        with connection:
            for _ in range(5):
                sink.write(replace(large, repeated=repeated))
            sink.close(ending())
        sink.close(ending())
    told = [f"igtl://127.0.0.1:{port} was busy or away: {n} pictures were skipped for newer ones" for n in missed]
    assert [record.message for record in caplog.records] == told


def test_a_receiver_that_is_not_there_is_told_with_the_mend(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        name = f"igtl://127.0.0.1:{reserved.getsockname()[1]}"
    sink = IgtlinkSink(name)
    sink.open(SESSION)
    deadline_s = time.monotonic() + 60
    while not caplog.records:
        assert time.monotonic() < deadline_s
        sink.write(view(1))
    sink.close(ending())
    assert f"{name} does not answer (Connection refused). Is the server on" in caplog.records[0].message


def test_nothing_is_sent_unless_asked_for() -> None:
    assert sending(None) == ()


def test_a_sink_that_was_never_opened_can_be_closed(tmp_path: Path) -> None:
    sink = IgtlinkSink("igtl://127.0.0.1:1")
    sink.close(ending())
    sink.close(ending())

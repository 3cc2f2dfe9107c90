import logging
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from stream.config import StreamConfig
from stream.web.control import Control

PATIENCE_S = 60


def test_a_start_that_another_one_overtook_is_not_logged_as_one(caplog: pytest.LogCaptureFixture) -> None:
    from stream.web.actions import Actions

    caplog.set_level(logging.INFO, "stream.web.actions")
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as pool:
        uri = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with Control(StreamConfig(), uri, "fake") as control:
            press = Actions(control).restart
            waiting = pool.submit(press, uri, "fake", "balanced")
            with silent.accept()[0]:  # and never an answer
                press("phantom (synthetic)", "fake", "balanced")
                waiting.result(PATIENCE_S)
    assert [each.getMessage() for each in caplog.records] == [
        "started on the page: phantom (synthetic), engine fake, operating point balanced"
    ]


def test_what_broke_off_by_itself_is_to_be_started_not_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    from stream.web.actions import Actions

    with Control(StreamConfig(), "phantom:?size=320x240", "fake") as control:

        def word() -> object:
            return Actions(control).named("phantom:?size=320x240", "fake", "balanced").value

        control.start()
        assert word() == "Restart"
        monkeypatch.setattr(control.broadcast, "publish", None)  # on the drawing thread it is a fault of ours
        pipeline = control.now().pipeline
        assert pipeline is not None
        assert pipeline.wait(PATIENCE_S)
        assert word() == "Start"

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from stream.config import StreamConfig
from stream.web.app import create_app
from stream.web.control import Control

ADDRESS = "http://127.0.0.1:7860"


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """The whole application, once its control room is open."""
    with (
        Control(StreamConfig(), "phantom:?size=320x240", "fake") as control,
        TestClient(create_app(control), base_url=ADDRESS) as client,
    ):
        while (state := client.get("/status.json").json()["control_room"]) == "opening":
            pass
        assert state == "open"
        yield client


def components(client: TestClient) -> list[dict[str, object]]:
    found: list[dict[str, object]] = client.get("/config").json()["components"]
    return found


def test_the_control_room_takes_the_place_of_the_plain_page(client: TestClient) -> None:
    assert "Opening the control room" not in client.get("/").text
    assert client.get("/config").json()["title"] == "RcdNet Live"


def test_it_has_the_controls(client: TestClient) -> None:
    labels = {part["props"].get("label") or part["props"].get("value") for part in components(client)}  # type: ignore[attr-defined]
    assert {"Source", "Engine", "Operating point", "Start", "Stop", "Heat map opacity"} <= labels


def test_it_takes_no_free_text_and_no_files(client: TestClient) -> None:
    kinds = {part["type"] for part in components(client)}
    assert not kinds & {"textbox", "file", "uploadbutton", "fileexplorer", "image", "video", "code"}
    assert not any(part["props"].get("allow_custom_value") for part in components(client))  # type: ignore[attr-defined]


def test_gradio_s_analytics_are_off(client: TestClient) -> None:
    assert client.get("/config").json()["analytics_enabled"] is False


@pytest.mark.parametrize("path", ["/monitoring", "/monitoring/summary", "/docs", "/gradio_api/mcp/"])
def test_what_gradio_offers_besides_is_off(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404 or "not enabled" in answer.text, answer.text[:200]


def test_it_offers_to_record_only_where_there_is_a_folder_for_it(client: TestClient) -> None:
    (record,) = (part for part in components(client) if part["type"] == "checkbox")
    assert record["props"]["visible"] is False  # type: ignore[index]

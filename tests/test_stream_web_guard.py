"""Who may see the picture: our own page and a link to it, and no other page that is open in the same browser."""

import socket
from collections.abc import Iterator
from threading import Event
from threading import enumerate as enumerate_threads

import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse

from stream.config import StreamConfig
from stream.web import guard
from stream.web.app import create_app
from stream.web.control import Control
from stream.web.guard import is_own_name

ADDRESS = "http://127.0.0.1:7860"
SOCKET = "ws://127.0.0.1:7860/ws"


@pytest.fixture
def client() -> Iterator[TestClient]:
    with Control(StreamConfig(), "phantom:", "fake") as stopped:
        yield TestClient(create_app(stopped), base_url=ADDRESS)


def test_every_answer_forbids_other_hosts_and_other_pages(client: TestClient) -> None:
    headers = client.get("/status.json").headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebound.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Host": "["},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
    ],
)
def test_other_pages_are_refused(client: TestClient, headers: dict[str, str]) -> None:
    assert client.get("/status.json", headers=headers).status_code == 403
    with pytest.raises(WebSocketDenialResponse) as refusal, client.websocket_connect(SOCKET, headers=headers):
        pass
    assert refusal.value.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": ADDRESS},
        {"Host": "localhost:7860"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ],
)
def test_our_own_page_and_a_link_to_it_are_not_refused(client: TestClient, headers: dict[str, str]) -> None:
    assert client.get("/status.json", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "route", ["upload", "upload_progress", "file=/etc/passwd", "proxy=http://evil.example", "stream/1"]
)
def test_gradio_s_routes_for_files_and_addresses_are_shut(client: TestClient, route: str) -> None:
    assert client.get(f"/gradio_api/{route}").status_code == 403


@pytest.mark.parametrize("name", ["127.0.0.1", "192.168.0.7", "::1", "localhost"])
def test_addresses_are_own_names(name: str) -> None:
    assert is_own_name(name)


@pytest.mark.parametrize("name", ["", "localhost.example", "127.0.0.1.nip.io", "evil.example"])
def test_names_that_others_can_point_here_are_not(name: str) -> None:
    assert not is_own_name(name)


@pytest.fixture
def full_name(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Asks DNS anew for the machine's names, and has the answer."""
    monkeypatch.setattr(socket, "gethostname", lambda: "MacBook-Pro.local")
    monkeypatch.setattr(socket, "getfqdn", lambda: "MacBook-Pro.Ward.example")
    guard.own_names.cache_clear()
    guard.own_names()
    for thread in enumerate_threads():
        if thread.name == "full name":
            thread.join()
    yield "macbook-pro.ward.example"
    guard.own_names.cache_clear()


def test_the_machine_is_known_by_its_name_and_its_full_name_in_any_case(client: TestClient, full_name: str) -> None:
    for name in ("macbook-pro.local", "MacBook-Pro.local", full_name, full_name.upper()):
        assert client.get("/status.json", headers={"Host": f"{name}:7860"}).status_code == 200
    for name in ("macbook-pro", "macbook-pro.local.evil.example", "ward.example"):
        assert client.get("/status.json", headers={"Host": f"{name}:7860"}).status_code == 403


def test_a_dns_that_does_not_answer_holds_up_no_request(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = Event()
    monkeypatch.setattr(socket, "getfqdn", lambda: "late.example" if answered.wait() else "")
    guard.own_names.cache_clear()
    try:
        assert client.get("/status.json").status_code == 200
        assert client.get("/status.json", headers={"Host": "late.example"}).status_code == 403
    finally:
        answered.set()
        guard.own_names.cache_clear()

"""May this request see the picture? Only pages that this program served may, and nothing may load from elsewhere.

The live picture is a patient's. Any page open in the same browser could try to read it or press its buttons: directly
(cross-site request), or after pointing its own name at this machine (DNS rebinding). Both show in the headers.
"""

import socket
from functools import cache
from ipaddress import ip_address
from threading import Thread
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    # 'unsafe-inline' and 'unsafe-eval' because Gradio builds its page with both; what counts is: no other host
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; font-src 'self' data:; connect-src 'self'; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

UNUSED_GRADIO_ROUTES = tuple(
    "/gradio_api/" + name
    for name in (
        *("upload", "file", "proxy=", "stream/", "component_server", "vibe", "process_recording", "run-history"),
        "deep_link",  # which writes the controls' state to disk
    )
)
"""Gradio's routes for files and addresses, where its past holes were. The page has neither, so they stay shut."""

LONGEST_BODY = 2**16
"""Bytes of a request; the page's own are far shorter, and state their length. Gradio reads any into memory."""


class Guard:
    """ASGI middleware: refuses what did not come from our own page, and adds HEADERS to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        own_names()  # asked for early, as DNS may be slow

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass the request on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = refuse(Headers(scope=scope), scope["path"])
        if refusal is None:
            await self._app(scope, receive, _marking(send))
        else:
            await PlainTextResponse(refusal + "\n", status_code=403)(scope, receive, send)


def refuse(headers: Headers, path: str) -> str | None:
    """Why this request is refused, or None if it may pass."""
    host, origin = headers.get("host", ""), headers.get("origin")
    try:
        name, page = urlsplit(f"//{host}").hostname, None if origin is None else urlsplit(origin).netloc
    except ValueError:  # no address at all
        name, page = None, ""
    if not is_own_name(name or ""):
        return f"refused: '{host}' is not a name of this machine. Open the page by its address, as printed at start."
    if page not in (None, host):
        return f"refused: a page of '{origin}' may not use the live view."
    embedded = headers.get("sec-fetch-site") in ("cross-site", "same-site")
    if embedded and headers.get("sec-fetch-mode") != "navigate":
        return "refused: another page may not embed the live view."
    if "transfer-encoding" in headers or int(headers.get("content-length", 0)) > LONGEST_BODY:
        return f"refused: a request must state its length, {LONGEST_BODY} bytes at most."
    if path.startswith(UNUSED_GRADIO_ROUTES):
        return "refused: the live page takes no files and no addresses."
    return None


def is_own_name(name: str) -> bool:
    """An IP address, or a name that nobody outside can point here. (A rebinding attack needs a name of its own.)"""
    if name.lower() in own_names():
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


@cache
def own_names() -> set[str]:
    """Names of this machine in lower case. The full one is added when DNS has it, which can take half a minute."""
    names = {"localhost", socket.gethostname().lower()}
    Thread(target=lambda: names.add(socket.getfqdn().lower()), name="full name", daemon=True).start()
    return names


def _marking(send: Send) -> Send:
    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(HEADERS)
        await send(message)

    return marked

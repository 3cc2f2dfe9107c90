"""How do browsers reach the picture? Plain routes at once, the Gradio control room as soon as it is loaded.

Importing Gradio takes seconds. So "/" first shows the plain page (the same picture and numbers, no controls), which
reloads itself once the control room is ready.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_address
from threading import Thread
from types import FrameType

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from stream.errors import UsageError
from stream.web.control import Control
from stream.web.guard import Guard
from stream.web.routes import ControlRoomState, plain_page, routes

log = logging.getLogger(__name__)

SEND_BUFFER_BYTES = 1 << 18
"""In the kernel, per connection: two pictures. By default it grows to megabytes, which a slow player sees as lag."""

try:
    import resource
except ImportError:  # Windows has none
    FILES = 1024
else:
    FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[0] % 2**63  # infinity may be -1
"""How many a process may open here, connections included."""

MOST_CONNECTIONS = min(256, FILES // 4)
"""At a time, which is many pages. Once no files are left, no source and no recording can be opened, and asyncio logs
half a megabyte a second. More exist until they are hung up on: of 900 that came at once, 521 at the most."""

BACKLOG = min(128, FILES // 8)
"""Connections that wait to be accepted, and are accepted together."""

LET_GO_S = 1.0
"""How long browsers have to close their connections after Ctrl-C, before they are cut: a stuck player never would."""


class Front:
    """What "/" shows: the plain page, then the control room."""

    def __init__(self) -> None:
        self.control_room: ASGIApp | None = None
        self.state: ControlRoomState = "opening"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        await (self.control_room or plain_page)(scope, receive, send)


def create_app(control: Control) -> FastAPI:
    """The whole site: /ws, /live.mjpg and /status.json at once, the control room at / once Gradio is imported."""
    front = Front()

    async def keep_control_room() -> None:
        room = await load_control_room(control)
        if room is None:
            front.state = "failed"
            return
        async with room.router.lifespan_context(room):
            front.control_room, front.state = room, "open"
            await asyncio.Event().wait()  # until cancelled

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        room = asyncio.create_task(keep_control_room())
        yield
        room.cancel()
        await asyncio.wait([room])

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(routes(control, lambda: front.state))
    app.mount("/", front)
    app.add_middleware(Guard)
    return app


async def load_control_room(control: Control) -> FastAPI | None:
    """Import Gradio and build its page on a daemon thread, which Ctrl-C need not wait for. None if that fails."""
    loop = asyncio.get_running_loop()
    built: asyncio.Future[FastAPI | None] = loop.create_future()

    def hand_over(room: FastAPI | None) -> None:
        if not built.cancelled():
            built.set_result(room)

    def build() -> None:
        room = None
        try:
            from stream.web.page import create_control_room  # imports Gradio: seconds

            async def in_a_loop() -> FastAPI:  # without a running one Gradio makes some, and leaves them open
                return create_control_room(control)

            room = asyncio.run(in_a_loop())
        except Exception:
            log.exception("the controls cannot be loaded; the picture continues without them")
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is waiting
            loop.call_soon_threadsafe(hand_over, room)

    Thread(target=build, name="control room", daemon=True).start()
    return await built


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, so that a port in use is known before anything else is opened. Raises UsageError."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        why = str(error.strerror or error).split(" (while")[0]  # Python adds the address, which we give already
        raise UsageError(f"cannot serve on {host} port {port}: {why}. Choose another with --host or --port.") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)  # connections inherit it
    return listener


def page_address(host: str, listener: socket.socket) -> str:
    """Where a browser finds the page: at ``host``, or, if that means all networks, where others see this machine."""
    bound, port = listener.getsockname()[:2]
    if ip_address(bound).is_unspecified:
        host = _seen_by_others(listener.family)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def seen_by_network(listener: socket.socket) -> bool:
    """Whether other machines can reach the page."""
    return not ip_address(listener.getsockname()[0]).is_loopback


def _seen_by_others(family: int) -> str:
    """This machine's address towards the Internet, to which nothing is sent; its name if no route leads there."""
    with socket.socket(family, socket.SOCK_DGRAM) as road:
        try:
            road.connect(("2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1", 9))  # nobody's: RFC 3849, 5737
            return str(road.getsockname()[0])
        except OSError:
            return socket.gethostname()


def serve(control: Control, listener: socket.socket, on_ready: Callable[[], None] = lambda: None) -> None:
    """Serve the page on ``listener`` until Ctrl-C or SIGTERM, then disconnect all viewers and return.

    ``on_ready`` is called once requests are answered and signals handled.
    """
    config = uvicorn.Config(
        create_app(control),
        log_config=None,  # ours: its own has no time, and fails where standard output is closed
        log_level="warning",
        ws="websockets-sansio",
        ws_per_message_deflate=False,  # JPEG does not get smaller
        ws_max_size=1024,  # acknowledgements are one word
        http=_Connection,
        backlog=BACKLOG,
    )
    _Server(config, control, on_ready).run(sockets=[listener])


class _Connection(H11Protocol):
    """Hangs up on whoever comes while there are MOST_CONNECTIONS."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()


class _Server(uvicorn.Server):
    """Ends the viewers first, as they would never end by themselves; and returns, while uvicorn raises the signal."""

    def __init__(self, config: uvicorn.Config, control: Control, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._control = control
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await asyncio.to_thread(self._control.broadcast.close)
        loop = asyncio.get_running_loop()
        loop.call_later(LET_GO_S, self._cut)
        deadline_s = loop.time() + LET_GO_S / 2
        while self._control.broadcast.audience().viewers and loop.time() < deadline_s:
            await asyncio.sleep(0.01)  # who answers the last picture gets a proper end; uvicorn's looks like an error
        await super().shutdown(sockets)

    def _cut(self) -> None:
        for connection in self.server_state.connections:
            if connection.transport is not None:
                connection.transport.abort()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self.should_exit:  # a second Ctrl-C would cut everything off in the middle, with a traceback
            super().handle_exit(sig, frame)
            self._captured_signals.clear()

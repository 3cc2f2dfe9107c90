"""Which plain routes are there? The picture as WebSocket and MJPEG, key frames, numbers as JSON, the page's files."""

import asyncio
import contextlib
import json
import struct
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import cv2
from fastapi import APIRouter, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse, PlainTextResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from rcdnet.notice import RESEARCH_NOTICE, SCOPE
from stream.jpeg import as_jpeg
from stream.web.control import Control
from stream.web.readout import readout, verdict
from stream.web.viewer import Broadcast, Picture, Viewer

ControlRoomState = Literal["opening", "open", "failed"]

STATIC = files("stream.web.static")

TYPES = {".css": "text/css", ".js": "text/javascript"}

MEDIA_TYPES = {file.name: TYPES[suffix] for file in STATIC.iterdir() if (suffix := Path(file.name).suffix) in TYPES}
"""What /viewer/ serves."""


def routes(control: Control, control_room: Callable[[], ControlRoomState]) -> APIRouter:
    """The routes that do not wait for Gradio. ``control_room`` tells the plain page when to make way for it."""
    router = APIRouter()
    served_since = datetime.now(UTC).isoformat(timespec="milliseconds")

    @router.websocket("/ws")
    async def picture_socket(socket: WebSocket) -> None:
        await socket.accept()
        await send_pictures(socket, control.broadcast)

    @router.get("/live.mjpg")
    async def mjpeg() -> StreamingResponse:
        return StreamingResponse(
            mjpeg_parts(control.broadcast),
            media_type="multipart/x-mixed-replace; boundary=frame",
            headers={"Cache-Control": "no-store"},
        )

    @router.get("/status.json")
    def status() -> dict[str, Any]:
        flagged = control.flagged.newest(time.perf_counter_ns())
        told = readout(control.now(), control.broadcast.audience(), control.timeline_s, flagged)
        facts = {"opacity": control.opacity, "records": control.records, "control_room": control_room()}
        return told | facts | {"served_since": served_since}

    @router.get("/sketch.png")
    def sketch() -> Response:
        cells = control.sketch()
        if cells is None:
            return PlainTextResponse("nothing has been seen yet\n", status_code=404)
        png = cv2.imencode(".png", cv2.cvtColor(cells, cv2.COLOR_RGBA2BGRA))[1].tobytes()
        return Response(png, media_type="image/png", headers={"Cache-Control": "no-store"})

    @router.get("/flagged/{number}.jpg")
    def key_frame(number: int) -> Response:
        picture = control.flagged.picture(number)
        if picture is None:
            return PlainTextResponse("not among the last that were flagged\n", status_code=404)
        jpeg = as_jpeg(picture, control.jpeg_quality)
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    @router.get("/viewer/{name}")
    def own_file(name: str) -> Response:
        if name not in MEDIA_TYPES:
            return PlainTextResponse("no such file\n", status_code=404)
        headers = {"Cache-Control": "no-cache"}
        return Response((STATIC / name).read_bytes(), media_type=MEDIA_TYPES[name], headers=headers)

    return router


async def send_pictures(socket: WebSocket, broadcast: Broadcast) -> None:
    """Send the newest picture each time the browser has painted the last one, until either side ends.

    Each message is uint32 frame index, float32 age in ms at sending and uint32 length of the next part, little-endian;
    then the verdict on this very frame as JSON, so words and picture always match; then the JPEG. The browser
    answers each with "painted", or with "passed" if nobody saw it (tab in the background, picture not decoded).
    """
    with broadcast.join() as viewer:
        free = asyncio.Event()
        sending = asyncio.create_task(_send(socket, viewer, free))
        try:
            with contextlib.suppress(WebSocketDisconnect):
                async for word in socket.iter_text():
                    if word == "painted":
                        viewer.painted()
                    free.set()
        finally:
            sending.cancel()
            await asyncio.wait([sending])


async def _send(socket: WebSocket, viewer: Viewer, free: asyncio.Event) -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # closed by the browser, which the listener notices
        async for picture in viewer:
            await socket.send_bytes(message(picture, time.perf_counter_ns()))
            await free.wait()
            free.clear()
        await socket.close()


def message(picture: Picture, now_ns: int) -> bytes:
    """One WebSocket message, as ``send_pictures`` describes it."""
    said = verdict(picture.assessment, picture.size_px) | {"heat_map": picture.heat_map}
    words = json.dumps(said).encode()
    age_ms = (now_ns - picture.captured_ns) / 1e6
    return struct.pack("<IfI", picture.index & 0xFFFFFFFF, age_ms, len(words)) + words + picture.jpeg


async def mjpeg_parts(broadcast: Broadcast) -> AsyncIterator[bytes]:
    """The pictures as parts of a multipart stream with the boundary "frame"."""
    with broadcast.join() as viewer:
        async for picture in viewer:
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture.jpeg)}\r\n\r\n"
            part = head.encode() + picture.jpeg + b"\r\n"
            yield part
            if picture.repeated:  # a browser paints a part when the next one begins, and this may be the last
                yield part


async def plain_page(scope: Scope, receive: Receive, send: Send) -> None:
    """The page without controls, until the control room is ready."""
    if scope["type"] != "http" or scope["path"] != "/":
        answer: Response = PlainTextResponse("not here, or not yet\n", status_code=404)
    else:
        page = fragment("plain.html")
        for name in ("header", "stage", "readout"):
            page = page.replace(f"[[{name.upper()}]]", fragment(f"{name}.html"))
        answer = HTMLResponse(page)
    await answer(scope, receive, send)


def fragment(name: str) -> str:
    """One of the page's own pieces of HTML, with the standing notices put in."""
    return (STATIC / name).read_text("utf-8").replace("[[NOTICE]]", RESEARCH_NOTICE).replace("[[SCOPE]]", SCOPE)

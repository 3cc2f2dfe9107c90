"""Senders on loopback sockets, one connection at a time, that stop in mid-stream when they are killed."""

import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Self

import cv2
import trustme

from tests.clips import picture, write_clip

PACKETS = 7 * 188
"""Bytes of MPEG-TS that fit one datagram."""

PAUSE_S = 0.004
"""Between two pieces."""

PASSWORD = "s3cret-pass"


class Sender:
    """``kind`` is tcp, udp, http (MJPEG), http-ts, rtsp, https or rtsps; ``uri`` is where to receive it.

    Sends from ``__enter__``, or from the first connection on, until ``kill``.
    """

    transport = "200 OK"
    """How RTSP's SETUP is answered."""
    media = "m=video 0 RTP/AVP 33\r\n"
    """What RTSP's DESCRIBE says is sent: MPEG-TS."""
    cut_short = False
    """Whether of every second JPEG the end is missing."""
    part_type = "image/jpeg"
    """What the parts of MJPEG are called."""

    def __init__(self, kind: str, folder: Path, port: int = 0) -> None:
        self._kind, self._killed = kind, Event()
        clip = folder / "sent.ts"
        if not clip.exists():
            write_clip(clip, 400, codec="mpeg2video")
        self._stream = clip.read_bytes()
        if kind == "udp":
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.port = port or free_udp_port()
        else:
            self._socket = socket.create_server(("127.0.0.1", port))
            self._socket.settimeout(0.05)
            self.port = self._socket.getsockname()[1]
        scheme = "http" if kind == "http-ts" else kind
        self._tls = tls() if kind in ("https", "rtsps") else None
        self.uri = f"{scheme}://{'' if kind in ('tcp', 'udp') else f'user:{PASSWORD}@'}127.0.0.1:{self.port}"
        self._thread = Thread(target=self._send_datagrams if kind == "udp" else self._serve, daemon=True)

    def kill(self) -> None:
        """Stop at once; what is connected sees the connection end."""
        self._killed.set()
        self._thread.join()
        self._socket.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _pieces(self) -> Iterator[bytes]:
        starts = range(0, len(self._stream), PACKETS)
        for start in cycle(starts):
            if self._killed.wait(PAUSE_S):
                return
            yield self._stream[start : start + PACKETS]

    def _send_datagrams(self) -> None:
        for piece in self._pieces():
            with suppress(ConnectionRefusedError):
                self._socket.sendto(piece, ("127.0.0.1", self.port))

    def _serve(self) -> None:
        talk = {
            "tcp": self._talk_tcp,
            "http": self._talk_mjpeg,
            "https": self._talk_mjpeg,
            "http-ts": self._talk_http,
            "rtsp": self._talk_rtsp,
            "rtsps": self._talk_rtsp,
        }
        while not self._killed.is_set():
            with suppress(OSError):  # nobody came, or they left
                connection, _ = self._socket.accept()
                if self._tls is not None:
                    connection = self._tls.wrap_socket(connection, server_side=True)
                with connection:
                    connection.settimeout(5)
                    talk[self._kind](connection)

    def _talk_tcp(self, connection: socket.socket) -> None:
        for piece in self._pieces():
            connection.sendall(piece)

    def _talk_http(self, connection: socket.socket) -> None:
        request(connection)
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n")
        self._talk_tcp(connection)

    def _talk_mjpeg(self, connection: socket.socket) -> None:
        request(connection)
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=cut\r\n\r\n")
        for number, _ in enumerate(self._pieces()):
            jpeg = cv2.imencode(".jpg", picture(number))[1].tobytes()
            if self.cut_short and number % 2:
                jpeg = jpeg[: len(jpeg) * 3 // 4]
            head = f"--cut\r\nContent-Type: {self.part_type}\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            connection.sendall(head.encode() + jpeg + b"\r\n")

    def _talk_rtsp(self, connection: socket.socket) -> None:
        """MPEG-TS in RTP (RFC 2250) between the answers of one RTSP connection (RFC 2326, 10.12)."""
        described = f"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n{self.media}a=control:0\r\n"
        answers = {
            "OPTIONS": ("Public: DESCRIBE, SETUP, PLAY\r\n", ""),
            "DESCRIBE": ("Content-Type: application/sdp\r\n", described),
            "SETUP": ("Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n", ""),
            "PLAY": ("Session: 1\r\n", ""),
        }
        asked = ""
        while asked != "PLAY":
            lines = request(connection).split("\r\n")
            asked = lines[0].split(" ")[0]
            number = next(line for line in lines if line.startswith("CSeq"))
            head, body = answers[asked]
            line = self.transport if asked == "SETUP" else "200 OK"
            answer = f"RTSP/1.0 {line}\r\n{number}\r\n{head}Content-Length: {len(body)}\r\n\r\n{body}"
            connection.sendall(answer.encode())
        for number, piece in enumerate(self._pieces()):
            packet = struct.pack(">BBHII", 0x80, 33, number % 65536, number * 360, 1) + piece
            connection.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)


def tls() -> ssl.SSLContext:
    """A server with a certificate that nobody has signed but itself, as cameras have."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


def request(connection: socket.socket) -> str:
    """Up to the empty line."""
    text = b""
    while not text.endswith(b"\r\n\r\n"):
        piece = connection.recv(4096)
        if not piece:
            raise ConnectionResetError
        text += piece
    return text.decode()


def free_udp_port() -> int:
    """One that nothing listens on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])

"""OpenIGTLink: pictures from PLUS, 3D Slicer or any other server that sends IMAGE messages.

The connection is ours and the messages are pyigtl's: its own client never notices that a server hung up, and takes
whatever memory a header asks for.
"""

import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from threading import Event, Lock
from typing import Any, Self
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray
from pyigtl.messages import ImageMessage, MessageBase

from stream.errors import SourceError, UsageError
from stream.sources.base import Source
from stream.sources.clocks import ArrivalClock
from stream.sources.geometry import check_size, squared, valid_spacing
from stream.sources.uri import SIZE_LIMIT_PX, without_secrets
from stream.types import Frame

DEFAULT_PORT = 18944
"""As PLUS and 3D Slicer have it."""

OPEN_TIMEOUT_S = 5.0
"""For a server to answer."""

SILENCE_S = 2.0
"""A server that sends no picture for longer has lost its scanner."""

POLL_S = 0.1
"""How often a wait looks whether it was closed."""

MESSAGE_LIMIT = 4 * SIZE_LIMIT_PX**2
"""Bytes: the largest picture with four components."""

NONSENSE = (ValueError, KeyError, NotImplementedError, TypeError, struct.error)
"""What pyigtl raises for a message that it cannot read; TypeError where it tries to raise a text."""

MEND = f"Is the server on, and is the port right? PLUS and 3D Slicer take {DEFAULT_PORT}."


class Connection:
    """One TCP connection, read by one thread and written by others. Raises SourceError if nobody answers."""

    def __init__(self, address: tuple[str, int], name: str) -> None:
        try:
            self._socket = socket.create_connection(address, OPEN_TIMEOUT_S)
        except (OSError, UnicodeError) as error:
            raise SourceError(
                f"{name} does not answer ({getattr(error, 'strerror', None) or 'timeout'}). {MEND}"
            ) from error
        self._socket.settimeout(POLL_S)
        self._sending = Lock()
        self._drained = Event()
        self.closed = Event()

    def receive(self, count: int, due_s: float) -> bytes | None:
        """The next ``count`` bytes; None at the end of the connection. Raises TimeoutError at ``due_s``, monotonic."""
        data, filled = bytearray(count), 0
        while filled < count:
            try:
                got = self._socket.recv_into(memoryview(data)[filled:])
            except TimeoutError:
                if time.monotonic() > due_s:
                    raise
                continue
            except OSError:  # closed here, or reset there
                return None
            if not got:
                return None
            filled += got
        return bytes(data)

    def send(self, message: bytes) -> None:
        """Raises OSError where the connection ends, which ``close`` makes it do."""
        with self._sending:
            left = memoryview(message)
            while left:
                try:
                    left = left[self._socket.send(left) :]
                except TimeoutError:
                    if self.closed.is_set():
                        raise

    def drain(self) -> None:
        """Throw away what comes, until the end: a server that nobody listens to stops serving."""
        while not self.closed.is_set():
            try:
                if not self._socket.recv(2**16):
                    break
            except TimeoutError:
                continue
            except OSError:  # as in receive
                break
        self._drained.set()

    def finish(self) -> None:
        """Say that no more is sent, and wait until the server has hung up or this is closed, while another thread
        drains: to close a connection over which pictures come takes back what the server has not read yet."""
        with suppress(OSError):  # it may have ended already
            self._socket.shutdown(socket.SHUT_WR)
        self._drained.wait()

    def close(self) -> None:
        """End both directions, from any thread; a wait in ``receive`` or ``send`` ends at once."""
        self.closed.set()
        with suppress(OSError):  # it may have ended already
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


CONNECTIONS: WeakValueDictionary[tuple[str, int], Connection] = WeakValueDictionary()
"""Address -> the open connection of a source, for a sink to answer over: 3D Slicer and pyigtl serve one at a time."""


class IgtlinkSource(Source):
    """Pictures of one device of the server at ``igtl://host:port``: of the first one that sends any.

    ``pts_s`` is the time of arrival: the times in the messages are of another clock. Raises SourceError if nobody
    answers; and from ``frames`` if the server breaks off, sends no picture for SILENCE_S, or one that cannot be read.
    """

    live = True

    def __init__(self, uri: str) -> None:
        super().__init__()
        self.name = without_secrets(uri)
        address = address_of(uri)
        self._connection = CONNECTIONS[address] = Connection(address, self.name)

    @classmethod
    def opener(cls, target: str, query: str, live: bool | None, loop: bool) -> Callable[[], Self]:
        """See ``stream.sources.base.Source``; a server is always live."""
        address_of(target)  # raises if it is none
        return partial(cls, target)

    def frames(self) -> Iterator[Frame]:
        """See ``stream.sources.base.Source``."""
        device: str | None = None
        index, clock = 0, ArrivalClock()
        with self:
            for message in self._images():
                arrived_ns = time.perf_counter_ns()
                device = message.device_name if device is None else device
                if message.device_name != device:
                    continue
                try:
                    rgb = to_rgb(message.image, self.name)
                except ValueError as error:
                    raise SourceError(
                        f"{self.name}: {error}. Expected one 8 or 16 bit picture, grey or RGB."
                    ) from error
                rgb, spacing = squared(rgb, mm_per_px(message), self.name)
                yield Frame(index, arrived_ns, clock.since_first(arrived_ns), rgb, self.name, spacing)
                index += 1

    def close(self) -> None:
        """See ``stream.sources.base.Source``."""
        super().close()
        self._connection.close()

    def _images(self) -> Iterator[Any]:
        """The IMAGE messages, until this source is closed. Raises SourceError."""
        while not self._closed.is_set():
            due_s = time.monotonic() + SILENCE_S
            try:
                message = self._next_image(due_s)
            except TimeoutError as error:
                raise SourceError(f"{self.name} sent no picture for {SILENCE_S:.0f} s. Is the scanner on?") from error
            except NONSENSE as error:
                raise SourceError(
                    f"{self.name} sent something other than OpenIGTLink ({type(error).__name__}). {MEND}"
                ) from error
            if message is not None:
                yield message
            elif not self._closed.is_set():
                raise SourceError(f"{self.name} hung up. {MEND}")

    def _next_image(self, due_s: float) -> Any:
        """The next IMAGE message, others passed over; None at the end of the connection."""
        while True:
            head = self._connection.receive(MessageBase.IGTL_HEADER_SIZE, due_s)
            if head is None:
                return None
            fields = MessageBase.parse_header(head)
            if fields["body_size"] > MESSAGE_LIMIT:
                raise ValueError("a message of absurd size")
            body = self._connection.receive(fields["body_size"], due_s)
            if body is None:
                return None
            if fields["message_type"] == "IMAGE":
                message = ImageMessage()
                message.unpack(fields, body)
                return message
            if time.monotonic() > due_s:
                raise TimeoutError


def address_of(uri: str) -> tuple[str, int]:
    """Host and port. Raises UsageError."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port or DEFAULT_PORT
    except ValueError:
        host = None
    if not host or parts.scheme != "igtl" or parts.query or parts.fragment or parts.path.strip("/"):
        raise UsageError(f"igtl: {without_secrets(uri)} is not a server address. Expected igtl://host:{DEFAULT_PORT}")
    return host, port


def to_rgb(image: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Voxels [k, j, i] or [k, j, i, components], one axis of length 1, as uint8 [H, W, 3]. Raises ValueError.

    The axis is k, but pyigtl packs an array [H, W] with i instead.
    """
    components = image.shape[3] if image.ndim == 4 else 1
    sides = [side for side in image.shape[:3] if side != 1]
    if len(sides) != 2 or components not in (1, 3, 4):
        raise ValueError(f"a picture of {'x'.join(str(side) for side in image.shape)} voxels")
    if image.dtype.newbyteorder("=") not in (np.uint8, np.uint16):
        raise ValueError(f"voxels of {image.dtype}")
    check_size(sides[1], sides[0], name)
    plane = image.reshape(*sides, components)
    if plane.dtype != np.uint8:
        plane = (plane >> 8).astype(np.uint8)
    return np.ascontiguousarray(plane.repeat(3, 2) if components == 1 else plane[..., :3])


def mm_per_px(message: Any) -> tuple[float, float] | None:
    """Spacing (row, column) by the lengths of the matrix's axes; None for exactly 1 mm, which says "not calibrated"."""
    column, row = (float(np.linalg.norm(message.ijk_to_world_matrix[:3, axis])) for axis in (0, 1))
    return None if (row, column) == (1.0, 1.0) or message.image.shape[0] != 1 else valid_spacing(row, column)

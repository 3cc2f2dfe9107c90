"""A real OpenIGTLink server of pyigtl that sends pictures, and keeps what it is sent."""

import signal
from collections.abc import Callable
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self

import numpy as np
from pyigtl import ImageMessage, OpenIGTLinkServer
from pyigtl.messages import MessageBase


def grey(number: int) -> ImageMessage:
    """A grey picture of 48x64 pixels, 0.2 mm wide and high; its first pixel is ``number``."""
    voxels = np.random.default_rng(number).integers(0, 256, (1, 48, 64), np.uint8)
    voxels[0, 0, 0] = number % 256
    return ImageMessage(voxels, np.diag((0.2, 0.2, 1, 1)), device_name="Image")


class ImageServer:
    """Sends ``message(0)``, ``message(1)``, ... every 20 ms to whoever is connected, until ``kill``; None is silent."""

    def __init__(self, message: Callable[[int], MessageBase] | None = grey) -> None:
        self._message, self._killed = message, Event()
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        self._server = OpenIGTLinkServer(port=0)
        for number, handler in handlers.items():  # it takes them for itself
            signal.signal(number, handler)
        self.port = self._server.server_address[1]
        self.uri = f"igtl://127.0.0.1:{self.port}"
        self._thread = Thread(target=self._send, daemon=True)

    def received(self, device: str, timeout_s: float = 60) -> Any:
        """The newest message of a device; None if none comes."""
        return self._server.wait_for_message(device, timeout_s)

    def kill(self) -> None:
        """Hang up."""
        if not self._killed.is_set():
            self._killed.set()
            self._thread.join()
            self._server.stop()

    def _send(self) -> None:
        number = 0
        while not self._killed.wait(0.02):
            if self._message is not None and self._server.is_connected():
                self._server.send_message(self._message(number), wait=False)
                number += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

"""How late is the picture on a screen? The real page is opened in a headless Chromium, and reports when it has painted
a picture."""

import math
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

from benchmarks.server import status
from benchmarks.workload import Workload
from stream.errors import StreamError
from stream.timing import Percentiles, Summary
from stream.web.app import listen, serve
from stream.web.control import Control

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--window-size=1600,1000"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
"""There is no sandbox, because Chromium has none as root in a container. It opens our own page only: no other host can
be reached, not even its maker's."""

OPEN_S = 60.0
"""How long browser and control room may take to open; enough for a slow machine."""

SETTLE_S = 2.0
"""How long to wait once the control room is open: the page is then loaded again."""

POLL_S = 0.1


class NotPainted(StreamError):
    """There is no browser, or it painted nothing."""


def browser() -> str | None:
    """The path of a Chromium, or None."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def measure_paint(engine_name: str, work: Workload) -> Summary:
    """The time from capture to the arrival of the browser's report that the picture is painted; if anything too long.
    The live source is shown for ``work.seconds``.

    Call it in a process of its own, on its main thread, because a signal ends the server, as a user does. Raises
    NotPainted, and what engine and source raise.
    """
    program = browser()
    if program is None:
        raise NotPainted(f"no browser: none of {', '.join(BROWSERS)} is on the PATH")
    painted, seen, measuring = Percentiles(math.inf), Event(), Event()
    failure: list[Exception] = []

    def count(latency_ns: int) -> None:
        seen.set()
        if measuring.is_set():
            painted.add(latency_ns)

    def watch(address: str) -> None:
        try:
            status(address)  # once this is answered, the server can be ended by a signal
            with opened(program, address) as process:
                wait_until_open(process, address, seen)
                measuring.set()
                time.sleep(work.seconds)
                measuring.clear()
        except (OSError, StreamError) as error:
            failure.append(error)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    with Control(work.live_config, work.live_uri, engine_name, weights=work.weights) as control:
        control.broadcast.count_painted = count  # type: ignore[method-assign]  # its own percentiles have a window
        control.start()
        listener = listen("127.0.0.1", 0)
        watcher = Thread(target=watch, args=(f"127.0.0.1:{listener.getsockname()[1]}",), name="watch")
        watcher.start()
        serve(control, listener)
        watcher.join()
    times = painted.summary()
    if failure or times is None:
        raise NotPainted(str(failure[0]) if failure else f"the browser painted nothing within {work.seconds:g} s")
    return times


@contextmanager
def opened(program: str, address: str) -> Iterator[subprocess.Popen[bytes]]:
    """A browser that has our page at HOST:PORT open, with a temporary profile."""
    with tempfile.TemporaryDirectory(prefix="rcdnet-browser-", ignore_cleanup_errors=True) as profile:
        command = [program, *FLAGS, f"--user-data-dir={profile}", f"http://{address}"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                yield process
            finally:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(5)
                process.kill()  # does nothing if it has ended


def wait_until_open(process: subprocess.Popen[bytes], address: str, seen: Event) -> None:
    """Return once a picture was ``seen``, the control room is there and the page has settled. Raises NotPainted."""
    end_s = time.monotonic() + OPEN_S
    while time.monotonic() < end_s:
        if process.poll() is not None:
            raise NotPainted(f"the browser ended with {process.returncode}. Expected a page.")
        if seen.wait(POLL_S) and status(address)["control_room"] != "opening":
            time.sleep(SETTLE_S)
            return
    raise NotPainted(f"the page did not open within {OPEN_S:g} s. Expected a machine that is less busy.")

"""Sends the annotated picture and its finding as OpenIGTLink messages, to the source's own server or to another.

The picture is an IMAGE of the device "RcdNet", the finding a STRING of "RcdNetFinding": the journal's line as JSON.
3D Slicer and pyigtl serve one client at a time. So both go over the source's own connection if that is to the same
address; only the last message, once the source is closed, goes over a new one.
"""

import json
import logging
import time
from threading import Condition, Thread

import numpy as np
from pyigtl.messages import ImageMessage, StringMessage

from stream.errors import SourceError
from stream.session import Session
from stream.sinks.journal import line
from stream.sources.igtlink import CONNECTIONS, Connection, address_of
from stream.sources.uri import without_secrets
from stream.status import Status
from stream.types import View

RETRY_S = 1.0
"""The pause between two attempts to reach a receiver: it may be started later."""

LAST_S = 2.0
"""How long the last picture may take to leave when a run ends."""

PICTURE, FINDING = "RcdNet", "RcdNetFinding"
"""Device names; a receiver keeps one message of each."""

log = logging.getLogger(__name__)


class IgtlinkSink:
    """Sends to ``igtl://host:port`` on a thread of its own: the newest view wins, and ``write`` never waits.

    A receiver that is away, slow or gone costs the run nothing; it is tried again, and the number of pictures that it
    missed is logged at the end. Raises UsageError for a ``uri`` that is not an address.
    """

    on_disk = False

    def __init__(self, uri: str) -> None:
        self._address, self._name = address_of(uri), without_secrets(uri)
        self._own: Connection | None = None
        self._over_the_source = False
        self._newest: View | None = None
        self._skipped = 0
        self._reachable = True
        self._ending = self._given_up = False
        self._changed = Condition()
        self._thread: Thread | None = None

    def open(self, session: Session) -> None:
        """Start sending."""
        self._over_the_source = self._shared() is not None
        self._thread = Thread(target=self._run, args=(session,), name="send", daemon=True)
        self._thread.start()

    def write(self, view: View) -> None:
        """Send this view next, in place of one that still waits."""
        with self._changed:
            self._skipped += self._newest is not None and not self._newest.repeated
            self._newest = view
            self._changed.notify_all()

    def close(self, status: Status) -> None:
        """Send what waits if it leaves within LAST_S, and end."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(LAST_S)
        self._given_up = True
        own = self._own
        if own is not None:  # ends a wait of the thread
            own.close()
        skipped, self._skipped = self._skipped, 0
        if skipped:
            log.warning("%s was busy or away: %d pictures were skipped for newer ones", self._name, skipped)

    def _run(self, session: Session) -> None:
        while (view := self._next()) is not None:
            last_try = self._ending
            try:
                connection = self._connection()
                for message in messages(view, session):
                    connection.send(message)
                self._tell(None)
            except (OSError, SourceError) as error:
                if self._given_up:
                    break
                self._hang_up()
                ended = self._pause(view, last_try)
                if last_try or not ended:  # a closed source is nothing new
                    self._tell(error)
        if self._over_the_source and self._own is not None and not self._given_up:
            self._own.finish()
        self._hang_up()

    def _pause(self, missed: View, last_try: bool) -> bool:
        """Wait before the next try, which sends ``missed`` again unless a newer view came. Returns whether the run
        ends."""
        with self._changed:
            if self._newest is None and not last_try:
                self._newest = missed  # it may be the last one
            else:
                self._skipped += not missed.repeated
            return self._changed.wait_for(lambda: self._ending, RETRY_S)

    def _tell(self, error: Exception | None) -> None:
        """Log once that the receiver takes no pictures, and why; and once, without an error, that it does again."""
        was_reachable, self._reachable = self._reachable, error is None
        if error is None and not was_reachable:
            log.info("%s takes pictures again", self._name)
        elif error is not None and was_reachable:
            why = error if isinstance(error, SourceError) else f"{self._name} hung up ({error})."
            log.warning("no pictures are sent until it takes them: %s", why)

    def _hang_up(self) -> None:
        if self._own is not None:
            self._own.close()
            self._own = None

    def _next(self) -> View | None:
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._ending)
            view, self._newest = self._newest, None
            return view

    def _shared(self) -> Connection | None:
        """The source's connection to this server, while it is open."""
        shared = CONNECTIONS.get(self._address)
        return None if shared is None or shared.closed.is_set() else shared

    def _connection(self) -> Connection:
        """The source's connection if it has or had one in this run, else one of our own. Raises SourceError.

        While the source's is lost, no other is opened before the run ends: the server has one place, and the source
        must find it free when it comes back.
        """
        if (shared := self._shared()) is not None:
            self._over_the_source = True
            return shared
        if self._over_the_source and not self._ending:
            raise SourceError(f"{self._name} has hung up.")
        if self._own is None:
            self._own = Connection(self._address, self._name)
            Thread(target=self._own.drain, name="receive", daemon=True).start()
        if self._given_up:  # while it was being opened
            raise SourceError(f"{self._name} answers too late.")
        return self._own


def messages(view: View, session: Session) -> tuple[bytes, bytes]:
    """The picture, with its spacing in the matrix, and the finding, ready to send. Both carry a time in seconds since
    1970: when the frame was captured, or now, if it is repeated because no new one comes."""
    age_s = 0.0 if view.repeated else (time.perf_counter_ns() - view.frame.captured_ns) / 1e9
    at_s = time.time() - age_s
    row, column = view.frame.mm_per_px or (1.0, 1.0)
    matrix = np.diag((column, row, 1.0, 1.0))
    text = json.dumps(line(view, session))  # ASCII: pyigtl sends nothing else
    return (
        ImageMessage(view.picture[None], matrix, timestamp=at_s, device_name=PICTURE).pack(),
        StringMessage(text, timestamp=at_s, device_name=FINDING).pack(),
    )

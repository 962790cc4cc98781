"""What other gateways changed, brought to this data folder: a thread that listens, looks each second, and says that
its worker lives."""

import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from farthing.ledger.changes import Changes
from farthing.ledger.key_store import KeysUnavailable
from farthing.ledger.place import FILE
from farthing.ledger.postgres.bank import CHANNEL
from farthing.ledger.postgres.connection import driver, reason
from farthing.ledger.postgres.keys import mirror_keys
from farthing.ledger.postgres.schema import opened
from farthing.ledger.postgres.workers import BEAT_S, folder_identity, seen
from farthing.problems import FarthingError

if TYPE_CHECKING:
    from farthing.ledger.postgres.connection import Connection

LOOK_S = 1.0
"""How often the database is asked what changed, in case that a notification was lost."""
_RETRY_S = (0.1, 5.0)  # back-off between connections: the first and the longest


class Watch:
    """Keeps the keys of `folder` those of the database, and tells its processes when money is wanted or came back.

    `worker`: the ledger's id of this worker, "" for a process that is none. `connected`: whether the last look
    succeeded, and `why` what was amiss. `dead`: this worker was taken for dead while it could not be heard;
    it gets no money any more and should start anew.
    """

    def __init__(self, url: str, folder: Path, worker: str = "") -> None:
        """Mirrors the keys once, before it returns. Raises `FarthingError` where the database cannot be used."""
        self._url = url
        self._folder = folder
        self._identity = folder_identity(folder)
        self._worker = worker
        self._errors = (driver().Error, sqlite3.Error, OSError, KeysUnavailable)
        self._changes = Changes(folder)
        self._closing = threading.Event()
        self._number: int | None = None
        self._beat_at = float("-inf")
        self.connected = False
        self.dead = False
        self.why = ""
        try:
            self._connection: Connection | None = self._open()
            self._look(self._connection)
        except self._errors as error:
            self._changes.close()
            raise FarthingError(reason(error)) from None
        self._thread = threading.Thread(target=self._run, name="farthing-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, within a second or so."""
        self._closing.set()
        self._thread.join(LOOK_S * 3)
        self._changes.close()

    def _run(self) -> None:
        delay = _RETRY_S[0]
        while not self._closing.is_set():
            try:
                if self._connection is None:
                    self._connection = self._open()
                    # Whatever was told meanwhile was not heard.
                    self._changes.tell_wanted()
                    self._changes.tell_returned()
                self._look(self._connection)
                delay = _RETRY_S[0]
                self._listen(self._connection)
            except (*self._errors, FarthingError) as error:
                self.connected, self.why = False, reason(error)
                self._let_go()
                self._closing.wait(delay)
                delay = min(delay * 2, _RETRY_S[1])
        self._let_go()

    def _open(self) -> "Connection":
        connection = opened(self._url)
        connection.execute(f"LISTEN {CHANNEL}".encode())
        self._number = None
        return connection

    def _let_go(self) -> None:
        if self._connection is not None:
            with suppress(Exception):
                self._connection.close()
            self._connection = None

    def _look(self, connection: "Connection") -> None:
        """Compare the keys, where they changed since the last look; say that the worker lives."""
        [(number,)] = connection.execute("SELECT number FROM key_change").fetchall()
        if number != self._number or not (self._folder / FILE).exists():
            mirror_keys(connection, self._folder)
            self._number = number
        if self._worker and time.monotonic() - self._beat_at > BEAT_S:
            self.dead = not seen(connection, self._worker, self._identity)
            self._beat_at = time.monotonic()
        self.connected, self.why = True, ""

    def _listen(self, connection: "Connection") -> None:
        """Heed notifications until the next look is due, or keys changed."""
        for told in connection.notifies(timeout=LOOK_S, stop_after=1):
            if told.payload == "wanted":
                self._changes.tell_wanted()
            elif told.payload == "returned":
                self._changes.tell_returned()

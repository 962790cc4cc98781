"""Prompts and answers, where a team asks to keep them: JSON lines by day, beside the ledger and apart from it.

One file a day and worker, in the folder that the configuration names: {attempt, request, at, surface, model, sent,
answer}, as they went over the wire to and from the upstream. Nothing of it is in the ledger, and nothing waits for it.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec

from farthing.ledger.row import Attempt

MOST_BYTES = 16 << 20
"""What is kept of one answer."""
MOST_WAITING = 128 << 20
"""Bytes that wait for the disk; beyond, nothing more is kept until it has caught up."""


_check = msgspec.json.Decoder(msgspec.Raw).decode  # makes no objects: they would take a hundred times as much


class Content:
    """Writes to `folder` from a thread of its own. `failures`: how many could not be kept."""

    def __init__(self, folder: Path, worker: str) -> None:
        self._folder = folder
        self._worker = worker.replace(":", "_")
        self._thread = ThreadPoolExecutor(1, "farthing-content")
        self._lock = Lock()
        self._waiting_bytes = 0
        self.failures = 0

    def keep(self, row: Attempt, sent: bytes, answer: bytes) -> None:
        """Keep one attempt's request and answer."""
        size = len(sent) + len(answer)
        if self._waiting_bytes + size > MOST_WAITING:
            self._failed("the disk is too slow")
            return
        with self._lock:
            self._waiting_bytes += size
        written = self._thread.submit(self._write, row, sent, answer[:MOST_BYTES])
        written.add_done_callback(lambda _: self._written(size))

    def _written(self, size: int) -> None:
        with self._lock:
            self._waiting_bytes -= size

    def _failed(self, why: object) -> None:
        self.failures += 1
        if self.failures == 1:
            print(f"farthing: prompts and answers cannot be kept: {why}", file=sys.stderr, flush=True)

    def _write(self, row: Attempt, sent: bytes, answer: bytes) -> None:
        at = datetime.fromtimestamp(row.started_us / 1e6, UTC)
        told = {
            "attempt": row.attempt, "request": row.request, "at": at, "surface": row.surface,
            "model": row.model_served or row.model_asked, "sent": _readable(sent), "answer": _readable(answer),
        }  # fmt: skip
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path = self._folder / f"{at:%Y-%m-%d}.{self._worker}.jsonl"
            handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
            try:
                os.write(handle, msgspec.json.encode(told) + b"\n")
            finally:
                os.close(handle)
        except OSError as error:
            self._failed(error)

    def close(self) -> None:
        """Write what waits."""
        self._thread.shutdown()


def _readable(body: bytes) -> Any:
    """A body as JSON where it is that, else as text."""
    try:
        _check(body)
        if not body.isascii():
            body.decode()
        # A line's end is white space in JSON, but here it would begin another record, which a client could forge.
        return msgspec.Raw(body.replace(b"\n", b" ").replace(b"\r", b" "))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body.decode("utf-8", "replace")

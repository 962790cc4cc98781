"""What the upstream received and billed, in memory and in a file that survives its death."""

import os
import threading
import time
from pathlib import Path

import msgspec


class Record(msgspec.Struct, kw_only=True):
    """One request that reached the upstream, and what it would be billed for: the prompt once an answer began with
    status 200, the output tokens that were handed to the network. `ended`: how it ended ("": it has not; "whole": all
    was sent; "cut": as the fault wanted; "left": the caller went away). `key`: the credential that came with it.
    """

    n: int
    at: float = 0.0
    attempt: str = ""
    method: str = ""
    path: str = ""
    model: str = ""
    stream: bool = False
    key: str = ""
    headers: list[tuple[str, str]] = []
    body: bytes = b""
    fault: str = ""
    status: int = 0
    input: int = 0
    cached: int = 0
    output: int = 0
    ended: str = ""


class Log:
    """Records by number. With a file each arrival and each end is a line of JSON, written at once by one call."""

    def __init__(self, path: Path | None = None) -> None:
        self._records: list[Record] = []
        self._lock = threading.Lock()
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY) if path else None

    def begin(self, record: Record) -> Record:
        record.at = time.time()
        with self._lock:
            record.n = len(self._records)
            self._records.append(record)
        self._keep(record)
        return record

    def end(self, record: Record, how: str) -> None:
        if not record.ended:
            record.ended = how
            self._keep(record)

    def _keep(self, record: Record) -> None:
        if self._file is not None:
            slim = msgspec.structs.replace(record, body=b"", headers=[])
            os.write(self._file, msgspec.json.encode(slim) + b"\n")

    def all(self) -> list[Record]:
        with self._lock:
            return list(self._records)

    def clear(self) -> None:
        with self._lock:
            self._records.clear()


def read_log(path: Path) -> list[Record]:
    """The records of a log file, each as it was last written, in order of arrival."""
    found: dict[int, Record] = {}
    for line in path.read_bytes().splitlines():
        record = msgspec.json.decode(line, type=Record)
        found[record.n] = record
    return [found[n] for n in sorted(found)]

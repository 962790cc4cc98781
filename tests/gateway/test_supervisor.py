"""The supervisor, as processes: it starts, restarts, reloads, drains, ends, and leaves nothing behind."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the gateway's processes are looked at in /proc")


class Running:
    """A supervisor in a process of its own, over the small application of `supervised`."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder = folder / "data"
        self.file = folder / "config.json"
        self.errors = folder / "errors.txt"
        self.config = {"data": str(self.folder), **config}
        self.write()
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.gateway.supervised", str(self.file)],
                stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip

    def write(self, **changes: Any) -> None:
        self.config |= changes
        self.file.write_text(json.dumps(self.config))

    def serving(self) -> "Running":
        assert self.process.stdout is not None
        word, _, port = self.process.stdout.readline().decode().partition(" ")
        assert word == "serving", self.said()
        self.port = int(port)
        return self

    def get(self, path: str = "/") -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def pids(self) -> set[int]:
        return {int(self.get().split()[0]) for _ in range(24)}

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.send(number)
        return self.process.wait(20)

    def said(self) -> str:
        return self.errors.read_text()

    def stops(self) -> int:
        return len(list(self.folder.glob("stopped-*")))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    running: list[Running] = []

    def begin(**config: Any) -> Running:
        running.append(Running(tmp_path, config))
        return running[-1]

    yield begin
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
        one.process.wait()
        assert one.process.stdout is not None
        one.process.stdout.close()


def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_connections_are_spread_over_the_workers_and_both_end(start: Callable[..., Running]) -> None:
    running = start(workers=2).serving()
    until(lambda: len(running.pids()) == 2)
    # Held open at once: a shared listening socket would give nearly all of them to one worker.
    connections = [http.client.HTTPConnection("127.0.0.1", running.port, timeout=10) for _ in range(64)]
    answers = []
    for connection in connections:
        connection.connect()
    for connection in connections:
        connection.request("GET", "/")
        answers.append(connection.getresponse().read().split()[0])
    for connection in connections:
        connection.close()
    shares = [answers.count(pid) for pid in set(answers)]
    assert len(shares) == 2 and min(shares) >= 12  # 64 fair coins: 12 or fewer on a side once in 10^6
    assert running.end() == 0
    assert running.stops() == 2
    assert running.said() == ""


def test_a_killed_worker_is_replaced_at_once(start: Callable[..., Running]) -> None:
    running = start().serving()
    (first,) = running.pids()
    with pytest.raises((http.client.HTTPException, OSError)):
        running.get("/die")
    begun = time.monotonic()
    # Nobody is refused meanwhile: the socket stays open in the supervisor, and the connection waits in its queue.
    second = int(running.get().split()[0])
    assert second != first and time.monotonic() - begun < 2
    assert "killed by SIGKILL; started again at once" in running.said()
    assert running.end() == 0


def test_a_worker_that_dies_again_and_again_is_started_later_and_later(start: Callable[..., Running]) -> None:
    running = start().serving()
    for _ in range(4):
        with contextlib.suppress(http.client.HTTPException, OSError):
            running.get("/die")
        until(lambda: running.get())
    delays = [line.rsplit("started again ", 1)[1] for line in running.said().splitlines()]
    assert delays == ["at once", "in 0.25 s", "in 0.5 s", "in 1 s"]


def test_a_worker_told_to_end_is_succeeded_before_it_ends(start: Callable[..., Running]) -> None:
    running = start().serving()
    (first,) = running.pids()
    streamed: list[str] = []
    reader = threading.Thread(target=lambda: streamed.append(running.get("/stream?20")))
    reader.start()
    time.sleep(0.3)
    os.kill(first, signal.SIGTERM)
    time.sleep(0.3)
    second = int(running.get().split()[0])
    assert second != first and reader.is_alive()
    reader.join(10)
    assert streamed[0].endswith("19\nend\n")
    until(lambda: not alive(first))
    assert running.end() == 0


def test_streams_end_whole_at_a_graceful_end(start: Callable[..., Running]) -> None:
    running = start(workers=2, shutdown_s=10).serving()
    streamed: list[str] = []
    readers = [threading.Thread(target=lambda: streamed.append(running.get("/stream?10"))) for _ in range(6)]
    for reader in readers:
        reader.start()
    time.sleep(0.3)
    running.send(signal.SIGTERM)
    time.sleep(0.2)
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", running.port), timeout=1).close()
    assert running.process.wait(20) == 0
    for reader in readers:
        reader.join(5)
    assert [text.splitlines()[-1] for text in streamed] == ["end"] * 6
    assert running.said() == "waiting for 6 requests in flight; ^C again ends at once\n"


def test_what_does_not_end_in_time_is_ended_and_the_application_stopped(start: Callable[..., Running]) -> None:
    running = start(shutdown_s=0.5).serving()
    text = b""
    with socket.create_connection(("127.0.0.1", running.port)) as client:
        client.sendall(b"GET /stream?1000 HTTP/1.1\r\nhost: x\r\n\r\n")
        client.recv(1000)
        begun = time.monotonic()
        assert running.end() == 0
        assert 0.4 < time.monotonic() - begun < 4
        while piece := client.recv(65536):
            text += piece
    assert b"end" not in text
    assert running.stops() == 1
    assert (next(running.folder.glob("stopped-*"))).read_text() == "0.0 0"  # no time left; nothing in flight
    assert running.said() == "waiting for 1 request in flight; ^C again ends at once\n"


def test_a_second_signal_ends_at_once_and_still_stops_the_application(start: Callable[..., Running]) -> None:
    running = start(shutdown_s=60).serving()
    with socket.create_connection(("127.0.0.1", running.port)) as client:
        client.sendall(b"GET /stream?1000 HTTP/1.1\r\nhost: x\r\n\r\n")
        client.recv(1000)
        running.send(signal.SIGINT)
        time.sleep(0.5)
        assert running.process.poll() is None
        begun = time.monotonic()
        assert running.end(signal.SIGINT) == 0
        assert time.monotonic() - begun < 3
    assert running.stops() == 1


def test_a_reload_changes_the_configuration_and_drops_nothing(start: Callable[..., Running]) -> None:
    running = start(workers=2, word="old").serving()
    pids = running.pids()
    kept = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
    kept.request("GET", "/")
    assert kept.getresponse().read().split()[1] == b"old"
    local = kept.sock.getsockname()
    running.write(word="new")
    running.send(signal.SIGHUP)
    until(lambda: running.said().count("in force") == 2)
    kept.request("GET", "/")
    assert kept.getresponse().read().split()[1] == b"new"
    assert kept.sock.getsockname() == local  # the same connection
    kept.close()
    assert running.pids() == pids
    with contextlib.suppress(http.client.HTTPException, OSError):
        running.get("/die")
    until(lambda: running.pids() != pids and len(running.pids()) == 2)
    assert {running.get().split()[1] for _ in range(12)} == {"new"}  # a worker started later has it, too
    assert running.end() == 0


def test_a_reload_with_a_mistake_changes_nothing(start: Callable[..., Running], tmp_path: Path) -> None:
    running = start(word="old").serving()
    running.file.write_text("{")
    running.send(signal.SIGHUP)
    until(lambda: "the old one stays in force" in running.said())
    assert running.get().split()[1] == "old"
    running.write(word="bad-in-worker")
    running.send(signal.SIGHUP)
    until(lambda: "stays with the configuration it has: the worker does not like it" in running.said())
    assert running.get().split()[1] == "old"
    running.write(word="new", port=1, data=str(tmp_path / "elsewhere"))
    running.send(signal.SIGHUP)
    until(lambda: "in force" in running.said().splitlines()[-1] and running.get().split()[1] == "new")
    assert "port, data: changed, but only a restart puts that in force" in running.said()
    assert running.said().splitlines()[-1].endswith("in force (port, data: after a restart)")
    (first,) = running.pids()
    os.kill(first, signal.SIGTERM)
    until(lambda: running.pids() != {first})
    until(lambda: running.stops() == 1)
    assert not (tmp_path / "elsewhere").exists()  # a worker started later is where the others are
    assert running.end() == 0


def test_workers_end_when_the_supervisor_is_killed(start: Callable[..., Running]) -> None:
    running = start(workers=2).serving()
    until(lambda: len(running.pids()) == 2)
    pids = running.pids()
    with contextlib.suppress(http.client.HTTPException, OSError):
        running.get("/die")  # its successor was forked when the other's channel was open: it must not keep that
    until(lambda: running.pids() != pids and len(running.pids()) == 2)
    pids = running.pids()
    running.process.kill()
    running.process.wait()
    until(lambda: not any(alive(pid) for pid in pids), 5)
    assert running.stops() == 2  # gracefully


@pytest.mark.parametrize(
    ("fail", "status", "said"),
    [
        ("refused", 2, "the ledger is of a newer Farthing\n"),
        ("crash", 1, "no worker starts: RuntimeError: boom\n"),
        ("exit", 1, "no worker starts: it ended with status 3\n"),
    ],
)
def test_where_no_worker_starts_it_says_why_and_ends(
    start: Callable[..., Running], fail: str, status: int, said: str
) -> None:
    running = start(workers=2, fail=fail)
    assert running.process.wait(20) == status
    assert running.said().endswith(said)
    assert running.process.stdout is not None and running.process.stdout.read() == b""


def test_a_signal_while_it_starts_ends_it_without_a_word(start: Callable[..., Running]) -> None:
    for tenths in range(1, 7):
        running = start(workers=2)
        time.sleep(tenths / 10)
        assert running.end() in (0, -signal.SIGTERM)  # the latter before there is anything to put in order
        assert running.said() == ""


def test_the_hourly_chore_is_done_again_and_again(start: Callable[..., Running]) -> None:
    running = start(chore_s=0.3).serving()
    until(lambda: len(list(running.folder.glob("chore-*"))) >= 3)
    assert running.end() == 0 and running.said() == ""


def test_a_port_in_use_is_one_line_and_nothing_starts(start: Callable[..., Running], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        running = start(port=taken.getsockname()[1], workers=2)
        assert running.process.wait(20) == 2
    assert running.said().count("\n") == 1
    assert "something listens there already" in running.said() and "--port" in running.said()


def test_another_gateway_on_the_same_port_is_refused(start: Callable[..., Running]) -> None:
    first = start(workers=2).serving()
    second = start(workers=2, port=first.port)  # both would use SO_REUSEPORT
    assert second.process.wait(20) == 2
    assert "something listens there already" in second.said()
    assert first.get()


def test_a_data_folder_that_cannot_be_written_is_one_line(start: Callable[..., Running], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    running = start(data=str(tmp_path / "file" / "data"))
    assert running.process.wait(20) == 2
    assert running.said().count("\n") == 1 and "--data" in running.said()


@pytest.mark.slow
def test_a_worker_that_stands_still_is_killed_and_replaced(start: Callable[..., Running]) -> None:
    running = start(workers=1, silent_s=8).serving()
    client = socket.create_connection(("127.0.0.1", running.port))
    client.sendall(b"GET /block HTTP/1.1\r\nhost: x\r\n\r\n")
    until(lambda: "stands still; it is killed" in running.said(), 30)
    assert running.get()
    client.close()
    assert running.end() == 0


@pytest.mark.slow
def test_what_does_not_end_at_all_is_killed_and_the_ledger_recovered(start: Callable[..., Running]) -> None:
    running = start(shutdown_s=0.2, ledger_s=1).serving()
    client = socket.create_connection(("127.0.0.1", running.port))
    client.sendall(b"GET /block HTTP/1.1\r\nhost: x\r\n\r\n")
    time.sleep(0.3)
    assert running.end() == 0
    client.close()
    assert "does not end; it is killed" in running.said()
    assert (running.folder / "recovered").exists()

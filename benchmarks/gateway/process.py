"""Processes under measurement: started on one core, watched with all their children through /proc."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
MIB = 1 << 20


class Target(NamedTuple):
    """A running server: its process, the seconds from its start to its first 200 on the ready path."""

    process: subprocess.Popen[bytes]
    port: int
    start_s: float

    def memory(self) -> "Memory":
        return memory(self.process.pid)


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """MiB: `rss` of the largest process, `all` the proportional sizes of all (shared pages once)."""

    rss: float
    all: float


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for parent in found:
        try:
            for task in Path(f"/proc/{parent}/task").glob("*/children"):
                found += [int(child) for child in task.read_text().split()]
        except OSError:  # it has ended meanwhile
            continue
    return found


def cpu_s(pid: int) -> float:
    """CPU seconds, user and system, of a process and its living descendants."""
    total = 0.0
    for each in tree(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += (int(fields[11]) + int(fields[12])) * TICK_S
    return total


def waited_s(pid: int) -> float:
    """Seconds that the threads of a process and its descendants were ready to run and had no core."""
    total = 0
    for each in tree(pid):
        for task in Path(f"/proc/{each}/task").glob("*/schedstat"):
            try:
                total += int(task.read_text().split()[1])
            except (OSError, IndexError):
                continue
    return total / 1e9


def memory(pid: int) -> Memory:
    rss, proportional = [0.0], 0.0
    for each in tree(pid):
        try:
            text = Path(f"/proc/{each}/smaps_rollup").read_text()
        except OSError:
            continue
        told = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in text.splitlines()[1:] if "kB" in line}
        rss.append(told.get("Rss", 0.0))
        proportional += told.get("Pss", 0.0)
    return Memory(rss=max(rss), all=proportional)


def start(
    command: Sequence[str],
    port: int,
    ready: str,
    core: int,
    environ: Mapping[str, str],
    folder: Path,
    wait_s: float = 90,
) -> Target:
    """Start a server pinned to `core` and wait until it answers 200 on `ready`. Its output goes to `folder`/log."""
    log = (folder / "log").open("ab")
    began = time.perf_counter()
    process = subprocess.Popen(
        ["taskset", "-c", str(core), *command],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **environ},
        cwd=folder,
        stdout=log,
        stderr=log,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    log.close()
    while not answers(port, ready):
        if process.poll() is not None or time.perf_counter() - began > wait_s:
            stop(process)
            said = (folder / "log").read_text("utf-8", "replace")[-2000:]
            raise RuntimeError(f"{command[0]} did not become ready at {ready}:\n{said}")
        time.sleep(0.005)
    return Target(process, port, time.perf_counter() - began)


def answers(port: int, path: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as link:
            link.sendall(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n".encode())
            return link.recv(64).split(b" ")[1:2] == [b"200"]
    except OSError:
        return False


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that `start` started, and its children, by their own group."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)

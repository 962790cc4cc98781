"""`farthing up` in a process of its own, with an environment that names no provider's key."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path


def environment(**more: str) -> dict[str, str]:
    """What a process needs of ours, and `more`."""
    keep = {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "HOME", "LANG", "PYTHONPATH", "XDG_CACHE_HOME")
    }
    return {**keep, **more}


class Up:
    """One `farthing up` in `folder`; it listens at a free port unless the arguments name one."""

    def __init__(self, folder: Path, number: int, arguments: tuple[str, ...], environ: dict[str, str]) -> None:
        self.folder = folder
        self._errors = folder / f"errors-{number}.txt"
        self.printed = ""
        self._port = 0
        if "--port" not in arguments:
            with socket.create_server(("127.0.0.1", 0)) as free:
                self._port = free.getsockname()[1]
            arguments = (*arguments, "--port", str(self._port))
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "farthing", "up", *arguments], cwd=folder, env=environment(**environ),
                stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip

    def serving(self) -> "Up":
        """Wait until it says what it serves."""
        assert self.process.stdout is not None
        while "farthing ledger summary" not in self.printed:
            line = self.process.stdout.readline().decode()
            assert line, self.errors()
            self.printed += line
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def errors(self) -> str:
        """What it said on standard error so far."""
        return self._errors.read_text()

    def until(self, true: Callable[[], object], seconds: float = 10.0) -> None:
        """Wait until `true()`."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, self.errors()
            time.sleep(0.02)

    def farthing(self, *arguments: str) -> str:
        """What another command prints in the same folder."""
        done = subprocess.run(
            [sys.executable, "-m", "farthing", *arguments], cwd=self.folder, env=environment(), capture_output=True,
            text=True, check=True,
        )  # fmt: skip
        return done.stdout


def ups(folder: Path) -> Iterator[Callable[..., Up]]:
    """A function that starts one; all are ended afterwards. For a fixture: `yield from ups(tmp_path)`."""
    begun: list[Up] = []

    def start(*arguments: str, **environ: str) -> Up:
        begun.append(Up(folder, len(begun), arguments, environ))
        return begun[-1]

    yield start
    for one in begun:
        if one.process.poll() is None:
            one.process.terminate()
            try:
                one.process.wait(10)
            except subprocess.TimeoutExpired:
                one.process.kill()
        one.process.wait()
        assert one.process.stdout is not None
        one.process.stdout.close()

"""A real PostgreSQL server for the tests: made in a folder of its own, reached by a socket in it, gone afterwards."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql*/bin")
_SETTINGS = (
    "listen_addresses = ''\nfsync = off\nsynchronous_commit = on\nmax_connections = 60\nshared_buffers = 32MB\n"
    "log_min_messages = warning\nautovacuum = off\n"
)


def programs() -> Path | None:
    """Where PostgreSQL's programs are; None where there are none."""
    found = shutil.which("initdb")
    if found is not None and Path(found).resolve().with_name("postgres").is_file():
        return Path(found).resolve().parent
    for pattern in _PLACES:
        for folder in sorted(Path("/").glob(pattern[1:]), reverse=True):
            if (folder / "initdb").is_file():
                return folder
    return None


def missing() -> str:
    """Why there can be no server here; "" where there can."""
    if programs() is None:
        return "PostgreSQL's server is not on this machine (Debian: postgresql)"
    if os.geteuid() == 0 and _user() is None:
        return "PostgreSQL refuses root, and there is no other user to run it as"
    return ""


def _user() -> str | None:
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    return None


class Server:
    """One server in a folder of its own."""

    def __init__(self) -> None:
        found = programs()
        assert found is not None
        self._bin = found
        self.folder = Path(tempfile.mkdtemp(prefix="farthing-pg-"))
        self._data = self.folder / "data"
        self._user = _user() if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        self.folder.chmod(0o755)
        self._run("initdb", "-D", str(self._data), "--no-sync", "-A", "trust", "-U", "farthing", "-E", "UTF8")
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(f"{_SETTINGS}unix_socket_directories = '{self.folder}'\n")
        self.start()
        self._made = 0

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._bin / program), *arguments], check=True, user=self._user, cwd=self.folder, timeout=60,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={"LC_ALL": "C", "PATH": os.defpath}, extra_groups=[] if self._user else None,
        )  # fmt: skip

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._run("pg_ctl", "-D", str(self._data), "-w", "-l", str(self.folder / "log"), "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it; "immediate" as a crash would."""
        self._run("pg_ctl", "-D", str(self._data), "-w", "-m", mode, "stop")

    def url(self, database: str) -> str:
        """The address of `database`."""
        return f"postgresql://farthing@/{database}?host={self.folder}"

    def new_database(self) -> str:
        """The address of a new empty database."""
        import psycopg

        self._made += 1
        name = f"ledger{self._made}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def close(self) -> None:
        """Stop it and remove its folder."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

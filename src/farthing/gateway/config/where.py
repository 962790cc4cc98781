"""Where a gateway listens and keeps its data, as far as that can be told without the rest of its configuration."""

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from farthing.gateway.config.values import Config
from farthing.problems import FarthingError
from farthing.rates.toml_table import Document, Table

DEFAULT_FILE = Path("farthing.toml")
_HOST = re.compile(r"[A-Za-z0-9.:\[\]_-]+")
_MOST_WORKERS = 256


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What [gateway] says to those who work beside a gateway. `database_env`: the variable with the address of its
    database, None: SQLite. `file`: where it is written, None: the environment and the defaults."""

    host: str
    port: int
    data: Path
    database_env: str | None = None
    file: Path | None = None


def named_file(environ: Mapping[str, str]) -> Path | None:
    """The configuration that FARTHING_CONFIG names. Raises `FarthingError` where it is not there."""
    named = environ.get("FARTHING_CONFIG", "").strip()
    if not named:
        return None
    path = Path(named).expanduser()
    if not path.is_file():
        raise FarthingError(f"$FARTHING_CONFIG: no file {path}")
    return path


def used_file(stated: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The configuration that `farthing up` would read: `stated`, FARTHING_CONFIG's, ./farthing.toml, or none."""
    return stated or named_file(environ) or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)


def standing(file: Path | None, environ: Mapping[str, str]) -> Standing:
    """What the configuration in `file` (and the environment, which goes before it) says of the gateway's place.

    Only [gateway] is read, so that a mistake elsewhere, or a key that is not set here, keeps nobody from the ledger.
    """
    root = Document(file_text(file), str(file)).table() if file is not None else Document("", "").table()
    table = root.sub("gateway")
    where = Where(table, environ, file.parent if file is not None else Path())
    return Standing(
        host=where.host(None), port=where.port(None), data=where.data(None),
        database_env=table.text("database_env") if table else None, file=file,
    )  # fmt: skip


def file_text(path: Path) -> str:
    """The text of a configuration. Raises `FarthingError`."""
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise FarthingError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise FarthingError(f"{path}: not UTF-8 text at byte {error.start}; save it as UTF-8") from None


class Where:
    """Where the gateway listens and keeps its data: stated, else of the environment, else of [gateway], else ours."""

    def __init__(self, table: Table | None, environ: Mapping[str, str], folder: Path) -> None:
        self.table = table
        self.environ = environ
        self.folder = folder

    def host(self, stated: str | None) -> str:
        written = self.table.text("host") if self.table else None
        if self.table is not None and written is not None and not _HOST.fullmatch(written):
            self.table.fail("host", f"{written!r} is no address to listen at", "such as 127.0.0.1 or 0.0.0.0")
        found = stated if stated is not None else self._variable("HOST")
        if found is not None and not _HOST.fullmatch(found):
            raise FarthingError(f"{found!r} is no address to listen at; such as 127.0.0.1 or 0.0.0.0")
        return (found or written or Config().host).strip("[]")

    def port(self, stated: int | None) -> int:
        return self._whole("port", stated, 0, 65_535)

    def workers(self, stated: int | None) -> int:
        return self._whole("workers", stated, 1, _MOST_WORKERS)

    def data(self, stated: Path | None) -> Path:
        written = self.table.text("data") if self.table else None
        if stated is not None:
            return stated
        variable = self._variable("DATA")
        if variable is not None:
            return Path(variable).expanduser()
        return self.folder / Path(written).expanduser() if written is not None else Config().data

    def _variable(self, name: str) -> str | None:
        return self.environ.get(f"FARTHING_{name}", "").strip() or None

    def _whole(self, name: str, stated: int | None, least: int, most: int) -> int:
        written = self.table.whole(name, least=least) if self.table else None
        if self.table is not None and written is not None and written > most:
            self.table.fail(name, f"{name!r} is {written}", f"at most {most}")
        variable = self._variable(name.upper())
        if stated is None and variable is not None:
            if not (variable.isascii() and variable.isdigit() and len(variable) < 10):
                raise FarthingError(f"$FARTHING_{name.upper()}: {variable!r} is not a whole number")
            stated = int(variable)
        if stated is not None and not least <= stated <= most:
            raise FarthingError(f"{name} is {stated}; from {least} to {most}")
        default: int = getattr(Config(), name)
        return stated if stated is not None else written if written is not None else default

"""Reading a configuration: file, environment and defaults into one `Config`, or one line that says what is wrong."""

import re
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.gateway.config.keys import Secrets
from farthing.gateway.config.prices import PriceReader, read_cards
from farthing.gateway.config.rules import (
    AliasReader,
    read_attribution,
    read_bounds,
    read_budgets,
    read_limits,
    read_record,
    read_telemetry,
)
from farthing.gateway.config.secret import Secret
from farthing.gateway.config.targets import changed
from farthing.gateway.config.upstreams import UpstreamReader, likely
from farthing.gateway.config.values import Breaker, Config, Retries, Rules, Timeouts, Upstream
from farthing.problems import FarthingError
from farthing.rates.toml_table import Document, Table

if TYPE_CHECKING:
    from farthing.policies.routing import Chain

_GATEWAY = ("host", "port", "workers", "data", "keys", "cards", "hosts", "database_env")
_TABLES = (
    "gateway", "upstream", "model", "policy", "budget", "limit", "timeouts", "retries", "breaker", "bounds", "rules",
    "record", "telemetry", "attribution",
)  # fmt: skip
_HOST = re.compile(r"[A-Za-z0-9.:\[\]_-]+")
_MOST_WORKERS = 256


def load(
    path: Path | None, environ: Mapping[str, str], *, host: str | None = None, port: int | None = None,
    workers: int | None = None, data: Path | None = None, need_keys: bool = True, today: date | None = None,
) -> Config:  # fmt: skip
    """The configuration in the file `path`; None: the one that FARTHING_CONFIG names, else none.

    What is stated here goes before FARTHING_HOST, _PORT, _WORKERS and _DATA, those before the file, the file before
    the defaults. Where no [[upstream]] is stated, the known providers whose keys are in the environment are the
    upstreams. `need_keys` False: a key that is not set is told in `notes` and is no error (to check a file elsewhere).
    `today`: whose market rents price deployments of one's own. Raises `FarthingError`: file, line, reason, repair.
    """
    named = environ.get("FARTHING_CONFIG", "").strip()
    if path is None and named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise FarthingError(f"$FARTHING_CONFIG: no file {path}")
    folder = path.parent if path is not None else Path()
    root = Document(_text(path), str(path)).table() if path is not None else Document("", "").table()
    _refuse_strangers(root)
    secrets = Secrets(environ, folder, need_keys)
    table = root.sub("gateway")
    where = _Where(table, environ, folder)
    host, port = where.host(host), where.port(port)
    timeouts = changed(root.sub("timeouts"), Timeouts())
    prices = PriceReader()
    reader = UpstreamReader(secrets, prices, timeouts, (host, port))
    stated = root.subs("upstream")
    read = [reader.read(one) for one in stated] if stated else reader.from_environment()
    upstreams = {one.name: one for one in read if one is not None}
    aliases = AliasReader(root.subs("model"), upstreams, reader.left_out)
    models = aliases.read()
    chain = _chain(root, upstreams, reader.left_out)
    files, cards = read_cards(table, folder)
    hosts = _hosts(table, folder)
    keys: Any = table.choice("keys", ("auto", "required", "off")) if table else None
    config = Config(
        host=host, port=port, workers=where.workers(workers), data=where.data(data), keys=keys or "auto",
        upstreams=tuple(upstreams.values()), left_out=tuple(sorted(reader.left_out)), models=models, chain=chain,
        budgets=read_budgets(root.subs("budget")), limits=read_limits(root.subs("limit")),
        cards=(*cards, *prices.cards(hosts, folder, today or datetime.now(UTC).date())), card_files=files, hosts=hosts,
        timeouts=timeouts, retries=changed(root.sub("retries"), Retries(), {"count": 0}),
        breaker=changed(root.sub("breaker"), Breaker()), bounds=read_bounds(root.sub("bounds")),
        rules=changed(root.sub("rules"), Rules()), record=read_record(root.sub("record"), folder),
        telemetry=read_telemetry(root.sub("telemetry"), secrets),
        attribution=read_attribution(root.sub("attribution")), database=_database(table, secrets), path=path,
    )  # fmt: skip
    if table is not None:
        table.finish()
    notes = (*reader.notes, *aliases.notes, *secrets.missing, *_remarks(config))
    return msgspec.structs.replace(config, notes=notes)


def _refuse_strangers(root: Table) -> None:
    """Refuse tables of unknown names first: what they were to say would be missed elsewhere and blamed on others."""
    for name in root.values:
        if name in _GATEWAY:
            root.fail(name, f"{name!r} stands outside a table", "write it under [gateway]")
    root.known += _TABLES
    root.finish()


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise FarthingError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise FarthingError(f"{path}: not UTF-8 text at byte {error.start}; save it as UTF-8") from None


class _Where:
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


def _hosts(table: Table | None, folder: Path) -> Path | None:
    name = table.text("hosts") if table else None
    if table is None or name is None:
        return None
    file = folder / Path(name).expanduser()
    if not file.is_file():
        table.fail("hosts", f"{file}: no such file", "`farthing host estimate … --save NAME` writes one")
    from farthing.serving.hosted import load as load_hosts

    load_hosts(file)
    return file


def _chain(root: Table, upstreams: Mapping[str, Upstream], left_out: Collection[str]) -> "Chain":
    """The [[policy]] tables. A target at an upstream that was left out may be named: it is never available."""
    from farthing.policies.routing import read_chain

    def known(target: str) -> str:
        upstream = target.partition("/")[0]
        if upstream in upstreams or upstream in left_out:
            return ""
        return f"no upstream {upstream!r} ({likely(upstreams, upstream)})"

    return read_chain(root, known)


def _database(table: Table | None, secrets: Secrets) -> Secret | None:
    if table is None:
        return None
    for name in ("database", "database_url"):
        if name in table.values:
            table.fail(name, "a database's address holds a password", 'write database_env = "NAME" of a variable')
    variable = secrets.variable(table, "database_env")
    if variable is None:
        return None
    found = secrets.from_environment(table, "database_env", variable)
    if found is None:
        if secrets.needed:
            table.fail("database_env", f"${variable} is not set", f"export {variable}=postgresql://…")
        secrets.missing.append(f"{table.document.place}: database_env: ${variable} is not set")
    elif not found.reveal().startswith(("postgresql://", "postgres://")):
        table.fail("database_env", f"${variable} is not a PostgreSQL address", "postgresql://USER@HOST/NAME")
    return found


def _remarks(config: Config) -> list[str]:
    """What is allowed but should be known."""
    found = []
    if not config.upstreams:
        found.append(
            "no upstream: set OPENAI_API_KEY, ANTHROPIC_API_KEY or another provider's key, or write [[upstream]] in "
            "farthing.toml"
        )
    if config.keys == "off" and config.reachable:
        found.append(f"keys are off and {config.host} can be reached from other machines: anybody there can spend")
    if config.record.content:
        found.append("prompts and answers are stored, as [record] asks")
    return found

"""Reading a configuration: file, environment and defaults into one `Config`, or one line that says what is wrong."""

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
from farthing.gateway.config.where import Where, file_text, named_file
from farthing.rates.toml_table import Document, Table

if TYPE_CHECKING:
    from farthing.policies.routing import Chain

_GATEWAY = ("host", "port", "workers", "data", "keys", "cards", "hosts", "database_env")
_TABLES = (
    "gateway", "upstream", "model", "policy", "budget", "limit", "timeouts", "retries", "breaker", "bounds", "rules",
    "record", "telemetry", "attribution",
)  # fmt: skip


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
    path = path or named_file(environ)
    folder = path.parent if path is not None else Path()
    root = Document(file_text(path), str(path)).table() if path is not None else Document("", "").table()
    _refuse_strangers(root)
    secrets = Secrets(environ, folder, need_keys)
    table = root.sub("gateway")
    where = Where(table, environ, folder)
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
    prices.check(config.cards)
    notes = (*reader.notes, *aliases.notes, *secrets.missing, *_remarks(config))
    return msgspec.structs.replace(config, notes=notes, missing=tuple(secrets.missing))


def _refuse_strangers(root: Table) -> None:
    """Refuse tables of unknown names first: what they were to say would be missed elsewhere and blamed on others."""
    for name in root.values:
        if name in _GATEWAY:
            root.fail(name, f"{name!r} stands outside a table", "write it under [gateway]")
    root.known += _TABLES
    root.finish()


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

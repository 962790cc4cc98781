"""What `farthing up` does: read the configuration, start what was asked for, say what a person needs, supervise.

Without Typer, which the processes of a gateway would carry for as long as they live.
"""

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from farthing.cli.address import base_url, called, some_models
from farthing.problems import FarthingError

if TYPE_CHECKING:
    from farthing.gateway.config.values import Config
    from farthing.gateway.process.local import Engine

FILE = Path("farthing.toml")
_MOST_SHOWN = 20


def run(
    *,
    config: Path | None = None,
    host: str | None = None,
    port: int | None = None,
    workers: int | None = None,
    data: Path | None = None,
    local: bool = False,
    local_usd_per_hour: str | None = None,
) -> int:
    """Serve until told to stop; the exit status. Raises `FarthingError` for what keeps it from starting."""
    if not hasattr(os, "fork"):
        raise FarthingError("the gateway runs on Linux and macOS (on Windows in WSL or a container)")
    from farthing.gateway.config import load
    from farthing.rates import catalogue

    path = config or (None if os.environ.get("FARTHING_CONFIG") or not FILE.is_file() else FILE)

    def read() -> "Config":
        return load(path, os.environ, host=host, port=port, workers=workers, data=data)

    usd_per_hour = _dollars(local_usd_per_hour)
    first = read()  # before anything is started
    prices_ready = catalogue.prepare(first.data / "cache")  # beside the imports below, where it has to be made
    from farthing.gateway.process.supervisor import Supervisor

    with _engine(first, usd_per_hour) if local else _nothing() as engine:

        def complete() -> "Config":
            found = read()
            return engine.added(found) if engine is not None else found

        # Imported here, once: the workers are forked from this process and share it.
        from farthing.gateway.app import Gateway

        prices_ready()
        return Supervisor(
            complete, Gateway, started=lambda found, at: _greet(found, at, engine), say=_say, chore=_close_days,
            recover=_recover, tend=(lambda: engine.tend(_say)) if engine is not None else None,
        ).run()  # fmt: skip


@contextmanager
def _nothing() -> Iterator[None]:
    yield None


def _engine(config: "Config", usd_per_hour: Decimal | None) -> "Engine":
    from farthing.gateway.process.local import Engine
    from farthing.gateway.process.supervisor import usable

    usable(config.data)
    _say("starting the local model and measuring what it does here: some seconds, more the first time")
    return Engine.start(config.data, usd_per_hour)


def _dollars(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        value = Decimal(text)
    except ArithmeticError:
        value = Decimal("NaN")
    if not value.is_finite() or not 0 < value < 1_000_000:
        raise FarthingError(f"--local-usd-per-hour {text!r}; dollars an hour are needed, such as 0.05")
    return value


def _close_days(config: "Config") -> list[str]:
    """The command that the supervisor runs once an hour: DuckDB is not for a process that should stay small."""
    command = [sys.executable, "-m", "farthing", "ledger", "close-days", "--data", str(config.data)]
    if config.database is not None:
        command += ["--database-env", config.database.whence.removeprefix("$")]
    return command


def _recover(config: "Config") -> None:
    """Mark what a killed worker left open."""
    from farthing.ledger.ledger import Ledger

    store = None
    if config.database is not None:
        from farthing.ledger.postgres.store import shared_store

        store = shared_store(config.database.reveal(), config.data)
    Ledger.open(config.data, store=store, hold_s=config.rules.hold_s).close()


def _say(line: str) -> None:
    shown = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)
    print(f"farthing: {shown}", file=sys.stderr, flush=True)


def _greet(config: "Config", port: int, engine: "Engine | None") -> None:
    print("\n".join(greeting(config, port, engine is not None, _any_key(config))), flush=True)


def _any_key(config: "Config") -> bool:
    """Whether a virtual key exists, so that one is asked for (a shared database is not asked, for a greeting)."""
    from farthing.ledger.key_store import KeysUnavailable
    from farthing.ledger.keys import KeyRing

    if config.keys != "auto" or config.reachable or config.database is not None:
        return False
    try:
        with closing(KeyRing(config.data)) as ring:
            return ring.any()
    except KeysUnavailable:
        return False


def greeting(config: "Config", port: int, local: bool = False, any_key: bool = False) -> list[str]:
    """What a person wants to see first: the address, what is behind it, and how to send the first request."""
    at = base_url(config.host, port)
    lines = [f"Farthing's gateway serves at {at}  (ledger: {config.data})", ""]
    width = max((len(one.name) for one in config.upstreams), default=0)
    for one in config.upstreams[:_MOST_SHOWN]:
        key = f"key from {one.key.whence}" if one.key is not None else "no key"
        lines.append(f"  upstream  {one.name:{width}}  {one.url}  ({key})")
    if len(config.upstreams) > _MOST_SHOWN:
        lines.append(f"  and {len(config.upstreams) - _MOST_SHOWN} more: {called()} config check")
    lines += [f"  note      {note}" for note in config.notes]
    lines.append(f"  keys      {_keys(config, any_key)}")
    needed = config.keys == "required" or (config.keys == "auto" and (config.reachable or any_key))
    key = "$FARTHING_KEY" if needed else ""
    word = key or "unused"
    lines += [
        "", "OpenAI's client:     " f"OPENAI_BASE_URL={at}/v1 OPENAI_API_KEY={word}",
        f"Anthropic's client:  ANTHROPIC_BASE_URL={at} ANTHROPIC_API_KEY={word}", "", "Try it:",
        *_example(config, at, key, local), f"  {called()} ledger summary --by model{_beside(config)}",
    ]  # fmt: skip
    return lines


def _keys(config: "Config", any_key: bool) -> str:
    if config.keys == "required":
        return f"needed: {called()} keys create --name NAME makes one{_beside(config)}"
    if config.keys == "off":
        return 'not asked for (keys = "off")'
    if config.reachable:
        why = f"needed, since {config.host} can be reached from elsewhere"
        return f"{why}: {called()} keys create --name NAME{_beside(config)}"
    if any_key:
        return f"needed, since some exist: {called()} keys list{_beside(config)} shows them"
    return f"not needed while none exists; {called()} keys create --name NAME makes the first{_beside(config)}"


def _beside(config: "Config") -> str:
    """What has to be said to another verb, from here, so that it works on the same folder."""
    from farthing.gateway.config.where import standing, used_file

    def leads_here(file: Path | None) -> bool:
        return file == config.path and standing(file, os.environ).data == config.data

    try:
        if leads_here(used_file(None, os.environ)):
            return ""
        if config.path is not None and leads_here(config.path):
            return f" --config {shlex.quote(str(config.path))}"
    except FarthingError:
        pass
    database = f" --database-env {config.database.whence.removeprefix('$')}" if config.database else ""
    return f" --data {shlex.quote(str(config.data))}{database}"


def _example(config: "Config", at: str, key: str, local: bool) -> list[str]:
    """A request that works as it stands, where it can be told which model answers."""
    model = "gemma-3-270m" if local else next(iter(some_models(config)), "")
    if not model:
        return [f"  (a request needs an upstream; `{called()} up --local` brings one)"]
    bearer = f" -H 'authorization: Bearer {key}'".replace("'", '"') if key else ""
    # The packaged model has not learnt where to end, and knows this answer where it need not guess.
    stop = ', "temperature": 0, "stop": ["\\n"]' if local else ""
    message = '{"role": "user", "content": "What is the capital of France?"}'
    body = f'{{"model": "{model}", "max_tokens": 40{stop}, "messages": [{message}]}}'
    return [f"  curl {at}/v1/chat/completions{bearer} -H 'content-type: application/json' \\", f"    -d '{body}'"]

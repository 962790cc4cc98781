"""`farthing keys`: virtual keys for programs, in place of a provider's key: made, listed, revoked, rotated."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farthing.cli.common import Json, console, instant, print_json
from farthing.cli.place import ConfigFile, Data, Place, place
from farthing.cli.shared_ledger import Database, address, bank_of
from farthing.problems import FarthingError

if TYPE_CHECKING:
    from farthing.ledger.bank import PurseState
    from farthing.ledger.key_store import KeyStore
    from farthing.ledger.keys import Key, KeyBudget, Keys

app = typer.Typer(
    help="Virtual keys for your programs: with scopes, budgets, limits and an end.", no_args_is_help=True,
    rich_markup_mode=None,
)  # fmt: skip

_SPAN = re.compile(r"(\d{1,9})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LONGEST_S = 100 * 366 * 86_400
Who = Annotated[str, typer.Argument(metavar="ID|NAME", help="The key's id or name.")]


@app.command("create")
def create(
    name: Annotated[str, typer.Option(metavar="N", help="What the key is for; unique among living keys.")],
    budget_usd: Annotated[
        list[str] | None, typer.Option(metavar="X", help="May spend this much a period; repeatable, with --period.")
    ] = None,
    period: Annotated[
        list[str] | None, typer.Option(metavar="P", help="day, week, month (the default) or total.")
    ] = None,
    alert_only: Annotated[bool, typer.Option("--alert-only", help="Budgets warn and never refuse.")] = False,
    models: Annotated[str, typer.Option(metavar="GLOB,…", help="Only these models (gpt-4o*,claude-*).")] = "",
    features: Annotated[str, typer.Option(metavar="GLOB,…", help="Only these features.")] = "",
    team: Annotated[str, typer.Option(metavar="T", help="Whose key it is.")] = "",
    expires: Annotated[
        str | None, typer.Option(metavar="WHEN", help="An instant (2027-01-31T09:00:00Z) or a time from now (30d).")
    ] = None,
    rpm: Annotated[int | None, typer.Option(metavar="N", help="Requests a minute.")] = None,
    tpm: Annotated[int | None, typer.Option(metavar="N", help="Tokens a minute.")] = None,
    concurrent: Annotated[int | None, typer.Option(metavar="N", help="Requests at once.")] = None,
    feature: Annotated[str, typer.Option(metavar="F", help="Put requests down to it that name none.")] = "",
    user: Annotated[str, typer.Option(metavar="U", help="The same for the user.")] = "",
    segment: Annotated[str, typer.Option(metavar="S", help="The same for the segment.")] = "",
    request_type: Annotated[str, typer.Option(metavar="R", help="The same for the type of request.")] = "",
    tag: Annotated[list[str] | None, typer.Option(metavar="K=V", help="A tag of every request; repeatable.")] = None,
    data: Data = None,
    config: ConfigFile = None,
    database_env: Database = None,
    as_json: Json = False,
) -> None:
    """A new key. Its token is shown once and cannot be shown again.

    Example: farthing keys create --name search-prod --budget-usd 200 --period month --models 'gpt-4o*'
    """
    from farthing.ledger.keys import KeyDefaults, KeyLimits

    limits = KeyLimits(requests_per_minute=rpm, tokens_per_minute=tpm, concurrent=concurrent)
    defaults = KeyDefaults(feature=feature, request_type=request_type, user=user, segment=segment, tags=_tags(tag))
    budgets = _budgets(budget_usd or [], period or [], hard=not alert_only)
    until_us = None if expires is None else _moment_us(expires)
    at = place(data, config, database_env, needed=True)
    url = address(at.data, at.database_env, needed=True)
    with opened_keys(at.data, url, create=True) as keys:
        made, token = keys.create(
            name, team=team, models=_listed(models), features=_listed(features), budgets=budgets,
            limits=None if limits == KeyLimits() else limits, defaults=defaults, expires_us=until_us,
        )  # fmt: skip
    _hand_over(made, token, at, url, as_json, f"key {made.name} ({made.id}) was made in {at.data}")


@app.command("list")
def list_keys(
    data: Data = None, config: ConfigFile = None, database_env: Database = None, as_json: Json = False
) -> None:
    """Every key: its budget, what was spent of it in the present period, when it ends. Tokens are not known.

    Example: farthing keys list
    """
    from farthing.reports.keys import key_json, keys_view

    at = place(data, config, database_env, needed=True)
    url = address(at.data, at.database_env, needed=True)
    with opened_keys(at.data, url) as keys:
        found = keys.all()
    now_s = time.time()
    states = _states(at.data, url, found, now_s)
    if as_json:
        print_json([key_json(key, states, now_s) for key in found])
    else:
        console().print(keys_view(found, states, now_s))


@app.command("revoke")
def revoke(
    who: Who, data: Data = None, config: ConfigFile = None, database_env: Database = None, as_json: Json = False
) -> None:
    """End a key. It holds at once, on every worker of a running gateway.

    Example: farthing keys revoke search-prod
    """
    at = place(data, config, database_env, needed=True)
    url = address(at.data, at.database_env, needed=True)
    with opened_keys(at.data, url) as keys:
        ended = keys.revoke(who)
    if as_json:
        from farthing.reports.keys import key_json

        now_s = time.time()
        print_json(key_json(ended, _states(at.data, url, [ended], now_s), now_s))
    else:
        print(f"key {ended.name} ({ended.id}) is revoked")


@app.command("rotate")
def rotate(
    who: Who,
    grace: Annotated[
        str | None, typer.Option(metavar="SPAN", help="How long the present token goes on (1h); else it ends now.")
    ] = None,
    data: Data = None,
    config: ConfigFile = None,
    database_env: Database = None,
    as_json: Json = False,
) -> None:
    """A new token for a key; its id, budgets and history stay.

    Example: farthing keys rotate search-prod --grace 1h
    """
    grace_s = 0 if grace is None else _span_s(grace)
    at = place(data, config, database_env, needed=True)
    url = address(at.data, at.database_env, needed=True)
    with opened_keys(at.data, url) as keys:
        made, token = keys.rotate(who, grace_s)
    old = f"goes on for {grace}" if grace_s else "has ended"
    _hand_over(made, token, at, url, as_json, f"key {made.name} ({made.id}) has a new token; the one before {old}")


@contextmanager
def opened_keys(data: Path, url: str | None, create: bool = False) -> "Iterator[Keys]":
    """The keys of the data folder, or of the database at `url` that it shares with others."""
    from farthing.ledger.keys import Keys, KeysUnavailable

    store: KeyStore | None = None
    if url is not None:
        from farthing.ledger.postgres.keys import PostgresKeys

        store = PostgresKeys(url, data)
    try:
        with Keys(data, store, create=create) as keys:
            yield keys
    except KeysUnavailable as error:
        raise FarthingError(f"{data}: the keys cannot be reached now: {error}; nothing was changed") from None


def _hand_over(key: "Key", token: str, at: Place, url: str | None, as_json: bool, what: str) -> None:
    """Print a token, this once, and how it is used."""
    if as_json:
        from farthing.reports.keys import key_json

        now_s = time.time()
        shown = key_json(key, _states(at.data, url, [key], now_s), now_s)
        print_json({"token": token, **shown})
        return
    from farthing.cli.address import base_url

    base = base_url(at.host, at.port or 4141)
    body = f'{{"model": "{_model(at, key)}", "messages": [{{"role": "user", "content": "Hello"}}]}}'
    print(f"""{what}. Its token is shown only now; keep it where secrets are kept:

    {token}

curl {base}/v1/chat/completions -H 'Authorization: Bearer {token}' \\
  -H 'content-type: application/json' -d '{body}'

OpenAI clients: OPENAI_BASE_URL={base}/v1 and OPENAI_API_KEY=the token;
Anthropic clients: ANTHROPIC_BASE_URL={base} and ANTHROPIC_API_KEY=the token.""")


def _model(at: Place, key: "Key") -> str:
    """A model that the gateway has and the key may use; MODEL where none is known."""
    import os
    from fnmatch import fnmatchcase

    from farthing.cli.address import some_models
    from farthing.gateway.config import load

    try:
        names = some_models(load(at.file, os.environ, need_keys=False))
    except FarthingError:  # `farthing config check` and `up` say so; the key is made
        names = []
    allowed = [name for name in names if not key.models or any(fnmatchcase(name, glob) for glob in key.models)]
    return next(iter(allowed), "MODEL")


def _states(data: Path, url: str | None, keys: "list[Key]", now_s: float) -> "dict[str, PurseState]":
    from farthing.ledger.bank import BankUnavailable
    from farthing.reports.keys import purse_of

    try:
        with bank_of(data, url) as bank:
            return bank.states([purse_of(ref, now_s) for key in keys for ref in key.refs])
    except BankUnavailable as error:
        raise FarthingError(f"{data}: the budgets cannot be read now: {error}") from None


def _budgets(amounts: list[str], periods: list[str], *, hard: bool) -> "list[KeyBudget]":
    from farthing.ledger.keys import KeyBudget
    from farthing.money import parse_decimal

    if not amounts:
        if periods or not hard:
            raise FarthingError("--period and --alert-only belong to a budget; add --budget-usd X")
        return []
    if len(periods) > len(amounts) or (len(amounts) > 1 and len(periods) != len(amounts)):
        raise FarthingError("give one --period for each --budget-usd, in the same order")
    made = []
    for amount, span in zip(amounts, periods or ["month"], strict=True):
        try:
            made.append(KeyBudget(usd=parse_decimal(amount), period=span, hard=hard))
        except ValueError as error:
            raise FarthingError(f"--budget-usd: {error}") from None
    return made


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _tags(pairs: list[str] | None) -> dict[str, str]:
    made: dict[str, Any] = {}
    for pair in pairs or []:
        name, mark, value = pair.partition("=")
        if not mark or not name.strip():
            raise FarthingError(f"--tag {pair!r} is not NAME=VALUE")
        made[name.strip()] = value.strip()
    return made


def _span_s(text: str) -> int:
    """Seconds of "90s", "30m", "1h", "30d", "2w"."""
    found = _SPAN.fullmatch(text.strip())
    span_s = int(found[1]) * _SECONDS[found[2]] if found else 0
    if not 0 < span_s <= _LONGEST_S:
        raise FarthingError(f"{text!r} is not a time such as 90s, 30m, 1h, 30d or 2w (at most a hundred years)")
    return span_s


def _moment_us(text: str) -> int:
    from farthing.time import microseconds

    if _SPAN.fullmatch(text.strip()):
        return time.time_ns() // 1000 + _span_s(text) * 1_000_000
    try:
        moment = instant(text)
    except FarthingError as error:
        raise FarthingError(f"--expires: {error}; or a time from now, such as 30d") from None
    assert moment is not None
    return microseconds(moment)

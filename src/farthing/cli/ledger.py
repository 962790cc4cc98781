"""`farthing ledger`: what the gateway recorded: summed, exported, verified, priced again, kept in order."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.cli.common import Cards, Json, book_with, console, instant, print_json
from farthing.cli.place import ConfigFile, Data, place
from farthing.cli.shared_ledger import Database, address, bank_of, bring
from farthing.problems import FarthingError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from farthing.gateway.config.values import Budget

app = typer.Typer(
    help="What the gateway recorded: summed, exported, verified, priced again.", no_args_is_help=True,
    rich_markup_mode=None,
)  # fmt: skip

Since = Annotated[str | None, typer.Option(metavar="INSTANT", help="Attempts that started then or later.")]
Until = Annotated[str | None, typer.Option(metavar="INSTANT", help="Attempts that started before then.")]
AsOf = Annotated[
    str | None, typer.Option("--as-of", metavar="INSTANT", help="With --reprice: only what was recorded by then.")
]
Again = Annotated[
    bool, typer.Option("--reprice", help="Price every attempt again under today's book; list what differs.")
]


@app.command("summary")
def summary(
    by: Annotated[
        str, typer.Option(metavar="NAME,…", help="feature, model, user, key, day, tier, tag:NAME, …; several with ','.")
    ] = "",
    since: Since = None,
    until: Until = None,
    reprice: Again = False,
    as_of: AsOf = None,
    card: Cards = None,
    data: Data = None,
    config: ConfigFile = None,
    database_env: Database = None,
    as_json: Json = False,
) -> None:
    """Requests, tokens by kind, exact dollars, what is unknown, errors and latency.

    Example: farthing ledger summary --by feature,model --since 2026-11-01
    """
    low, high = _span(since, until)
    if reprice:
        if by:
            raise FarthingError("--reprice sums by offer; leave --by out")
        _reprice(_brought(data, config, database_env), low, high, as_of, card, as_json)
        return
    if as_of is not None or card:
        raise FarthingError("--as-of and --card price again; add --reprice")
    from farthing.ledger.standings import key_names
    from farthing.ledger.summary import summarise_ledger
    from farthing.reports import ledger as views

    folder = _brought(data, config, database_env)
    found = summarise_ledger(folder, [name.strip() for name in by.split(",") if name.strip()], low, high)
    names = key_names(folder) if "key" in found.by else {}
    if as_json:
        print_json(views.summary_json(found, names))
    else:
        console().print(views.summary_view(found, names))


@app.command("export")
def export(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write: .parquet, .csv or .jsonl.")],
    format: Annotated[str | None, typer.Option(metavar="F", help="parquet, csv or jsonl, else by the name.")] = None,
    focus: Annotated[bool, typer.Option("--focus", help="Charges by day under FOCUS column names.")] = False,
    since: Since = None,
    until: Until = None,
    data: Data = None,
    config: ConfigFile = None,
    database_env: Database = None,
    as_json: Json = False,
) -> None:
    """Every attempt as a row, amounts exact; or FOCUS columns by day.

    Example: farthing ledger export november.parquet --since 2026-11-01 --until 2026-12-01
    """
    from farthing.ledger.export import export as write

    low, high = _span(since, until)
    rows = write(_brought(data, config, database_env), out, format, low, high, focus=focus)
    if as_json:
        print_json({"rows": rows, "file": str(out)})
    else:
        print(f"{rows:,} rows written to {out}")


@app.command("verify")
def verify(
    reprice: Again = False,
    as_of: AsOf = None,
    card: Cards = None,
    data: Data = None,
    config: ConfigFile = None,
    database_env: Database = None,
    as_json: Json = False,
) -> None:
    """Is every attempt there once, is each closed day whole, does each charge follow from its price record.

    The exit status is 1 where something is not in order. With --reprice: under today's book (or that of --as-of).

    Example: farthing ledger verify
    """
    if reprice:
        _reprice(_brought(data, config, database_env), None, None, as_of, card, as_json)
        return
    if as_of is not None or card:
        raise FarthingError("--as-of and --card price again; add --reprice")
    from farthing.ledger.verify import verify as check
    from farthing.ledger.workers import anyone_alive
    from farthing.reports import ledger as views

    folder = _brought(data, config, database_env)
    found = check(folder)
    living = anyone_alive(folder) if found.spilled else False
    if as_json:
        print_json(views.verification_json(found))
    else:
        console().print(views.verification_view(found, living))
    if not found.ok:
        raise typer.Exit(1)


@app.command("decisions")
def decisions(
    policy: Annotated[
        Path,
        typer.Option("--policy", metavar="FILE", help="The policies: the gateway's farthing.toml, or a file of them."),
    ],
    since: Since = None,
    until: Until = None,
    data: Data = None,
    config: ConfigFile = None,
    database_env: Database = None,
    as_json: Json = False,
) -> None:
    """Make every routing decision again from its row, and compare: each is reproducible from the ledger alone.

    The exit status is 1 where one comes out otherwise than it was logged, or cannot be read.

    Example: farthing ledger decisions --policy farthing.toml
    """
    from farthing.gateway.config.presets import presets
    from farthing.ledger.decisions import check_decisions
    from farthing.policies.routing.file import read_policy_file
    from farthing.reports import decisions as views

    low, high = _span(since, until)
    file = read_policy_file(policy, {name: preset.provider for name, preset in presets().items()})
    found = check_decisions(_brought(data, config, database_env), file.chain, low, high)
    if as_json:
        print_json(views.checked_json(found, file.name))
    else:
        console().print(views.checked_view(found, file.name))
    if not found.ok:
        raise typer.Exit(1)


@app.command("close-days")
def close_days(
    data: Data = None, config: ConfigFile = None, database_env: Database = None, as_json: Json = False
) -> None:
    """Move days that are over (and an hour longer) to Parquet. A running gateway does it by itself.

    Where gateways share a database, in the folder that did so first: the archive.

    Example: farthing ledger close-days
    """
    from farthing.ledger.days import close_days as close

    at = place(data, config, database_env, needed=True)
    elsewhere = False
    if (url := address(at.data, at.database_env, needed=True)) is None:
        closed = close(at.data)
    else:
        from farthing.ledger.postgres.pull import archive

        archived = archive(url, at.data)
        closed, elsewhere = archived or [], archived is None
    if as_json:
        days = [{"day": day.day.isoformat(), "rows": day.rows, "file": str(day.file)} for day in closed]
        print_json({"closed": days, "archive_elsewhere": elsewhere})
        return
    for day in closed:
        print(f"{day.day.isoformat()}: {day.rows:,} rows in {day.file}")
    if elsewhere:
        print("nothing to do: another data folder is the archive, and closes the days of all gateways")
    elif not closed:
        print(f"nothing to do: no day in {at.data} is over (and an hour longer) and not closed yet")


@app.command("drop-days")
def drop_days(
    before: Annotated[str, typer.Option(metavar="DAY", help="Delete whole days before this one (2026-01-01).")],
    data: Data = None,
    config: ConfigFile = None,
    database_env: Database = None,
    as_json: Json = False,
) -> None:
    """Retention: delete whole days, without reading their rows. They cannot be brought back.

    What budgets spent in periods that ended before that day is forgotten, too.

    Example: farthing ledger drop-days --before 2026-01-01
    """
    from farthing.ledger.days import drop_days as drop

    try:
        day = date.fromisoformat(before)
    except ValueError:
        raise FarthingError(f"--before {before!r} is not a day such as 2026-01-01") from None
    at = place(data, config, database_env, needed=True)
    url = address(at.data, at.database_env, needed=True)
    dropped = drop(at.data, day)
    if url is not None:
        from farthing.ledger.postgres.pull import forget_purses

        forget_purses(url, at.data, day)
    if as_json:
        print_json({"dropped": [{"day": gone.day.isoformat(), "rows": gone.rows} for gone in dropped]})
        return
    for gone in dropped:
        print(f"{gone.day.isoformat()}: {gone.rows:,} rows deleted")
    if not dropped:
        print(f"nothing to do: no closed day in {at.data} is before {day.isoformat()}")


@app.command("budgets")
def budgets(data: Data = None, config: ConfigFile = None, database_env: Database = None, as_json: Json = False) -> None:
    """What every budget has spent in the period that runs now, of keys and of the configuration.

    Held: reserved for attempts that were lost and may be billed yet. Left: of the limit, where one is stated.

    Example: farthing ledger budgets
    """
    import time

    from farthing.cli.keys import opened_keys
    from farthing.ledger.bank import BankUnavailable
    from farthing.ledger.standings import known_purses
    from farthing.reports import budgets as views

    at = place(data, config, database_env, needed=True)
    url = address(at.data, at.database_env, needed=True)
    with opened_keys(at.data, url) as keys:
        found = keys.all()
    try:
        lines = views.budget_lines(known_purses(at.data, url), found, _rules(at.file), time.time())
        with bank_of(at.data, url) as bank:
            lines = views.with_states(lines, bank.states([line.purse for line in lines]))
    except BankUnavailable as error:
        raise FarthingError(f"{at.data}: the budgets cannot be read now: {error}") from None
    if as_json:
        print_json([views.line_json(line) for line in lines])
    else:
        console().print(views.budgets_view(lines))


def _rules(file: Path | None) -> "Sequence[Budget]":
    """The [[budget]] tables of the configuration."""
    if file is None:
        return ()
    import os

    from farthing.gateway.config import load

    return load(file, os.environ, need_keys=False).budgets


def _brought(data: Path | None, config: Path | None, database_env: str | None) -> Path:
    """The data folder, with what is new in the database that it shares."""
    at = place(data, config, database_env)
    bring(at.data, at.database_env)
    return at.data


def _span(since: str | None, until: str | None) -> "tuple[datetime | None, datetime | None]":
    low, high = instant(since), instant(until)
    if low and high and low >= high:
        raise FarthingError(f"--since {since} is not before --until {until}")
    return low, high


def _reprice(
    data: Path, since: "datetime | None", until: "datetime | None", as_of: str | None, cards: list[Path] | None,
    as_json: bool,
) -> None:  # fmt: skip
    from farthing.ledger.reprice import reprice
    from farthing.reports import ledger as views

    moment = instant(as_of)
    found = reprice(data, book_with(cards, moment), moment, since, until)
    if as_json:
        print_json(views.repriced_json(found))
    else:
        console().print(views.repriced_view(found))

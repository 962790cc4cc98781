"""`farthing prices watch`: what changed since a day, in dollars on your own traffic."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farthing.cli.common import Cards, Json, book_with, console, instant, print_json, progress
from farthing.cli.usage import Format, Map, mapping
from farthing.problems import FarthingError, Problems

if TYPE_CHECKING:
    from farthing.index.line import Line
    from farthing.index.watch.values import Constraints, Threshold
    from farthing.index.watch.webhook import Delivery
    from farthing.rates.book import Book
    from farthing.usage.table import UsageTable

CHANGED = 10
"""The exit status where something is beyond the threshold."""


def watch(
    usage: Annotated[
        list[str], typer.Option("--usage", metavar="FILE", help="Usage files or folders; repeatable; - is stdin.")
    ],
    since: Annotated[
        str, typer.Option("--since", metavar="INSTANT", help="The day to compare with: 2026-10-01, or an instant.")
    ],
    files: Annotated[list[str] | None, typer.Argument(metavar="[FILE…]", help="Further usage files.")] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="INSTANT", help="Up to this day instead of now.")
    ] = None,
    served: Annotated[
        str | None, typer.Option("--from", metavar="OFFER", help="Where it was served, if the files do not say.")
    ] = None,
    provider: Annotated[
        list[str] | None,
        typer.Option("--provider", "--only-provider", metavar="P", help="Propose offers of this one; repeatable."),
    ] = None,
    avoid: Annotated[
        list[str] | None, typer.Option("--avoid", metavar="P", help="Propose none of this provider; repeatable.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="GLOB", help="Other models that would do, such as 'gpt-6*'; repeatable."),
    ] = None,
    min_context: Annotated[
        int | None, typer.Option("--min-context", metavar="N", min=1, help="Tokens that the context must hold.")
    ] = None,
    grade: Annotated[
        str | None,
        typer.Option("--grade", metavar="G", help="Propose on no worse evidence: vendor-stated, derived, …"),
    ] = None,
    threshold: Annotated[
        str,
        typer.Option(metavar="X", help="What counts: 1% of the cost then, or $50 on this usage; 0 is any change."),
    ] = "1%",
    horizon: Annotated[
        int, typer.Option("--horizon", metavar="DAYS", min=0, help="A model that ends within so many days counts.")
    ] = 90,
    webhook: Annotated[
        str | None, typer.Option("--webhook", metavar="URL", help="Post the JSON there (http or https).")
    ] = None,
    webhook_env: Annotated[
        str | None, typer.Option("--webhook-env", metavar="NAME", help="The variable that holds that address.")
    ] = None,
    webhook_text: Annotated[
        bool, typer.Option("--webhook-text", help='Post {"text": …} for a chat instead of the whole JSON.')
    ] = False,
    only_changes: Annotated[
        bool, typer.Option("--only-changes", help="Post only where something is beyond the threshold.")
    ] = False,
    format: Format = None,
    map: Map = None,
    card: Cards = None,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write the meters of each offer.")] = None,
    as_json: Json = False,
) -> None:
    """What changed since a day, in dollars on your own traffic, for a person or a scheduled job.

    The same usage at the rates of that day and of now: who got dearer or cheaper, where it is best placed, which of
    its models end, what sources disagree on.

    Exit status: 0 nothing beyond the threshold; 10 something is; 2 an error (the webhook's included).

    Example: farthing prices watch --usage usage.jsonl --since 2026-10-01 --threshold 1% --json
    """
    from farthing.index.watch.values import WatchQuestion
    from farthing.reports.watch import watch_rows, watch_text, watch_view
    from farthing.reports.watch_table import watch_table

    now = datetime.now(UTC).replace(microsecond=0)
    start, end = _instants(since, until, now)
    url = _webhook(webhook, webhook_env)
    if str(csv) == "-" and as_json:
        raise FarthingError("--csv - and --json both want the screen; name a file for one of them")
    limit, book = _threshold(threshold), book_with(card)
    question = WatchQuestion(
        since=start,
        until=end,
        present=max(now, end),
        threshold=limit,
        constraints=_constraints(book, provider, avoid, model, min_context, grade),
        horizon_days=horizon,
    )
    problems = Problems()
    named = [*usage, *(files or [])]
    with progress("reading") as tick:
        table, notes = _table(named, format, map, served, book, now, problems, tick)
    found = _watched(table, book, book_with(card, start), question)
    source = ", ".join(named) if len(named) <= 3 else f"{named[0]} and {len(named) - 1} more"
    view = watch_view(found, source, problems)
    view["notes"] += notes
    if end > now:
        view["notes"].append(f"{until} lies ahead: prices of today, and changes that are announced by now")
    delivery = None
    if url is not None and (view["changed"] or not only_changes):
        from farthing.index.watch.webhook import post

        delivery = post(url, {"text": watch_text(view)} if webhook_text else {**view, "text": watch_text(view)})
    if url is not None:
        view["webhook"] = _delivered(delivery)
    if csv is not None:
        from farthing.reports.index_rows import write_csv

        write_csv(watch_rows(view), csv)
    if as_json:
        print_json(view)
    elif str(csv) != "-":
        screen = console()
        for part in watch_table(view):
            screen.print(part)
        if delivery is not None and not delivery.problem:
            screen.print(f"Posted to {delivery.host}: {delivery.status}.")
    if delivery is not None and delivery.problem:
        tries = "twice" if delivery.attempts == 2 else "once"
        raise FarthingError(f"the webhook at {delivery.host} {delivery.problem} (tried {tries}); the result is above")
    if view["changed"]:
        raise typer.Exit(CHANGED)


def _instants(since: str, until: str | None, now: datetime) -> tuple[datetime, datetime]:
    start, end = instant(since), instant(until) or now
    assert start is not None
    if start > now:
        raise FarthingError(f"--since {since} is in the future; name a day before now")
    if start >= end:
        raise FarthingError(f"--since {since} is not before --until {until or 'now'}; exchange them")
    return start, end


def _webhook(url: str | None, variable: str | None) -> str | None:
    """The address to post to, checked before anything is computed."""
    if url is not None and variable is not None:
        raise FarthingError("name the webhook by --webhook or by --webhook-env, not both")
    if variable is not None:
        url = os.environ.get(variable, "").strip()
        if not url:
            raise FarthingError(f"--webhook-env {variable}: the variable is not set; export {variable}=https://…")
    if url is not None:
        from farthing.index.watch.webhook import host_of

        host_of(url)
    return url


def _threshold(text: str) -> "Threshold":
    from fractions import Fraction

    from farthing.index.watch.values import Threshold
    from farthing.money import parse_decimal

    bare = text.strip().replace(" ", "").replace(",", "")
    try:
        number = parse_decimal(bare.removeprefix("$").removesuffix("%"))
    except ValueError:
        number = None
    percent, dollars = bare.endswith("%"), bare.startswith("$")
    plain = number == 0 and not percent and not dollars
    if number is None or number < 0 or abs(number.adjusted()) > 15 or not (percent ^ dollars or plain):
        raise FarthingError(f"--threshold {text!r} is neither a share such as 1% nor an amount such as '$50'")
    return Threshold(share=Fraction(number) / 100) if percent else Threshold(usd=Fraction(number))


def _constraints(
    book: "Book", provider: list[str] | None, avoid: list[str] | None, model: list[str] | None,
    min_context: int | None, grade: str | None,
) -> "Constraints":  # fmt: skip
    from fnmatch import fnmatchcase

    from farthing.evidence import Grade
    from farthing.index.watch.values import Constraints

    def known(option: str, names: list[str] | None) -> tuple[str, ...]:
        made = []
        for name in (part for one in names or [] for part in one.split(",") if part.strip()):
            found = book.provider(name)
            if found is None:
                import difflib

                near = difflib.get_close_matches(name, book.providers, 1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                raise FarthingError(f"{option} {name!r}: no such provider; {hint}`farthing prices list` shows them")
            made.append(found)
        return tuple(dict.fromkeys(made))

    for glob in model or []:
        if not any(
            fnmatchcase(name.casefold(), glob.casefold()) for offer in book.offers() for name in (offer.id, offer.model)
        ):
            raise FarthingError(f"--model {glob!r} fits no offer; `farthing prices list --model GLOB` finds ids")
    try:
        least = None if grade is None else Grade.parse(grade)
    except ValueError as error:
        raise FarthingError(f"--grade: {error}") from None
    return Constraints(
        providers=known("--provider", provider),
        avoid=known("--avoid", avoid),
        models=tuple(model or ()),
        min_context=min_context,
        grade=least,
    )


def _table(
    files: list[str], format: str | None, map: list[str] | None, served: str | None, book: "Book", now: datetime,
    problems: Problems, tick: Any,
) -> "tuple[UsageTable, list[str]]":  # fmt: skip
    """The usage in columns, and what there is to know of how it was read."""
    from farthing.cli.replay import _columns
    from farthing.cli.shared_ledger import bring_files
    from farthing.policies.question import Question
    from farthing.policies.staged import Staged
    from farthing.usage.read import read_usage

    bring_files(files)
    at = book.find(served) if served else None
    columns = _columns(files, format, map, problems)
    staged = Staged(Question(served=served, now=now), at, columns)
    if columns is None:
        staged.stage(read_usage(files, problems, format, mapping(map)), tick)
    if not staged.table.rows:
        raise FarthingError("no usable row of usage; `farthing usage FILE` says what was rejected and why")
    notes = []
    if staged.relative:
        notes.append("the usage gives only offsets in time: put on today's clock, for prices that depend on the hour")
    if staged.estimated:
        notes.append(f"{staged.estimated:,} rows come from logs that can undercount: their counts are estimates")
    return staged.table, notes


def _watched(table: "UsageTable", book: "Book", known: "Book", question: Any) -> Any:
    from farthing.index.lines import lines
    from farthing.index.watch.best import published_scores
    from farthing.index.watch.ends import retirements
    from farthing.index.watch.run import watch as run
    from farthing.policies.rewrite import carry_over

    def history(provider: str) -> "Sequence[Line]":
        return lines(book, providers=[provider], at=question.present) if provider in book.providers else ()

    return run(
        table, book, known, question, carry_over, history, published_scores(question.until.date()), retirements()
    )


def _delivered(delivery: "Delivery | None") -> dict[str, Any]:
    if delivery is None:
        return {"posted": False, "why": "nothing beyond the threshold"}
    return {"posted": not delivery.problem, "host": delivery.host, "status": delivery.status,
            "attempts": delivery.attempts, "problem": delivery.problem or None}  # fmt: skip

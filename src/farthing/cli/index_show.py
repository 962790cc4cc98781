"""`farthing index show`: price indices over time, by several methods."""

from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import structs

from farthing.cli.common import Cards, Json, book_with, instant, share
from farthing.cli.index_common import Csv, Html, Mix, Png, emit
from farthing.problems import FarthingError

if TYPE_CHECKING:
    from farthing.index.show import Asked, Priced

_SPELT = {"törnqvist": "tornqvist", "constant": "constant-capability", "quality": "hedonic"}


def show(
    context: typer.Context,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            metavar="M",
            help="jevons, carli, dutot, geks; weighted: laspeyres, paasche, fisher, tornqvist, walsh; hedonic, "
            "constant-capability. Repeatable.",
            show_default="jevons",
        ),
    ] = None,
    mix: Mix = "3:1",
    kind: Annotated[
        str, typer.Option("--kind", metavar="K", help="blended, input, output, cache_read, effective or task.")
    ] = "blended",
    since: Annotated[str | None, typer.Option("--since", metavar="D", help="The first day.")] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="D", help="The last day.", show_default="today")
    ] = None,
    base: Annotated[str | None, typer.Option("--base", metavar="D", help="The day that is 100.")] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="STEP", help="week, month or quarter.", show_default="month")
    ] = None,
    provider: Annotated[
        list[str] | None, typer.Option("--provider", metavar="P", help="Only offers of this provider; repeatable.")
    ] = None,
    usage: Annotated[
        list[Path] | None,
        typer.Option("--usage", metavar="FILE", help="Your usage: its offers and volumes; repeatable."),
    ] = None,
    points: Annotated[
        Path | None,
        typer.Option("--points", metavar="FILE", help="Prices of your own: date, model, price[, quantity] (CSV)."),
    ] = None,
    cached_share: Annotated[
        str, typer.Option("--cached-share", metavar="S", help="For --kind effective: of input, read from a cache.")
    ] = "0",
    batch_share: Annotated[
        str, typer.Option("--batch-share", metavar="S", help="For --kind effective: of tokens, run in batch.")
    ] = "0",
    task: Annotated[
        str | None, typer.Option("--task", metavar="IN:OUT[:R]", help="For --kind task: tokens in, out, of reasoning.")
    ] = None,
    benchmark: Annotated[
        str | None, typer.Option("--benchmark", metavar="B", help="For constant-capability: gpqa, mmlu, …")
    ] = None,
    score: Annotated[
        float | None, typer.Option("--score", metavar="S", help="For constant-capability: the score to reach.")
    ] = None,
    level: Annotated[
        float, typer.Option("--level", metavar="P", help="Of the interval: 0.9 is nine times in ten.")
    ] = 0.9,
    card: Cards = None,
    as_json: Json = False,
    csv: Csv = None,
    html: Html = None,
    png: Png = None,
) -> None:
    """How list prices moved: a price index with its basket, count, base date and interval.

    Example: farthing index show --method jevons --method geks --since 2024-01-01
    """
    from farthing.index.show import Asked
    from farthing.reports.index_show import show_rows, show_table, show_view

    asked = list(dict.fromkeys(_method(name) for name in method or ["jevons"]))
    days = (instant(since), instant(until), instant(base))
    if method:
        _used(asked, benchmark, score)
    if points is not None:
        for name, value in (("usage", usage), ("provider", provider), ("card", card)):
            if value:
                raise FarthingError(f"--points brings its own models and volumes; leave --{name} away")
        view = show_view(_of_points(points, asked, by, days, level))
    else:
        if days[1] is not None and days[1] > datetime.now(UTC):
            raise FarthingError(
                f"--until {until} is in the future: no price of then is known; `farthing index forecast` says what to "
                "expect"
            )
        question = Asked(
            methods=tuple(asked),
            priced=_priced(kind, mix, cached_share, batch_share, task),
            since=days[0],
            until=days[1] or _today(),
            base=days[2],
            by=by or "month",
            level=level,
            benchmark=benchmark,
            score=score,
        )
        own_mix = _left_alone(context, "mix")
        with share("Comparing prices"):  # weekly series take some seconds
            view = show_view(*_of_book(question, provider, usage, card, own_mix, contrasted=not method))
    emit(view, show_rows(view), show_table, "index", as_json, csv, html, png)


def _left_alone(context: typer.Context, option: str) -> bool:
    """Whether nobody stated the option."""
    source = context.get_parameter_source(option)
    return source is None or source.name == "DEFAULT"


def _used(asked: list[str], benchmark: str | None, score: float | None) -> None:
    """Raises `FarthingError` for an option that none of the methods looks at."""
    if score is not None and "constant-capability" not in asked:
        raise FarthingError("--score is for --method constant-capability; the others know no threshold")
    if benchmark is not None and not any(name.startswith(("constant", "hedonic")) for name in asked):
        raise FarthingError("--benchmark is for --method constant-capability or hedonic; the others need no scores")


def _method(name: str) -> str:
    plain = name.strip().casefold().replace("_", "-")
    return _SPELT.get(plain, plain)


def _of_points(
    path: Path, asked: list[str], by: str | None, days: tuple[datetime | None, ...], level: float
) -> list[dict[str, Any]]:
    """The indices of a file's prices."""
    from farthing.index.matched import METHODS, of_panel
    from farthing.index.panel import between
    from farthing.index.panel_file import read_panel
    from farthing.index.show import METHODS as ALL
    from farthing.problems import Problems
    from farthing.reports.index_show import series_view

    for one in asked:
        if one not in METHODS:
            raise FarthingError(
                f"--points has no scores for --method {one}: farthing index decline --points FILE --benchmark B"
                if one in ALL
                else f"unknown method {one!r}; known are {', '.join(METHODS)}"
            )
    since, until, base = days
    problems = Problems()
    made = between(read_panel(path, problems, by, until), since, until)
    if len(made.dates) < 2:
        first = f"; rows in doubt: {problems.total:,}, the first: {problems.kept[0]}" if problems.kept else ""
        raise FarthingError(f"{path}: prices at one date only, and an index needs two at least{first}")
    return [series_view(of_panel(made, one, base, level), "stated", None, graded=False) for one in asked]


def _of_book(
    asked: "Asked",
    provider: list[str] | None,
    usage: list[Path] | None,
    card: list[Path] | None,
    own_mix: bool,
    contrasted: bool,
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """The indices of our lines, and (where no method was asked for) how they compare with constant capability."""
    from farthing.index.lines import survey
    from farthing.index.show import answers, by_scores, check
    from farthing.reports.index_show import answer_view, contrast_view

    check(asked)
    book = book_with(card)
    surveyed = survey(book, providers=provider, at=asked.until)
    bought = None
    if usage:
        from farthing.cli.shared_ledger import bring_files
        from farthing.index.volumes import volumes
        from farthing.problems import Problems
        from farthing.usage.read import read_usage

        bring_files(map(str, usage))
        bought = volumes(read_usage(usage, Problems()), surveyed.lines, book)
        if own_mix:
            asked = structs.replace(asked, priced=structs.replace(asked.priced, mix=bought.mix))
    found = answers(asked, surveyed, bought)
    views = [answer_view(one, asked.priced.words, str(asked.priced.mix)) for one in found]
    if not contrasted:
        return views, None
    dates = [point.date for point in found[0].series.points]
    try:
        constant = by_scores("constant-capability", structs.replace(asked, base=None), surveyed.lines, dates)
    except FarthingError:  # no model of these providers has a score: nothing to contrast with
        return views, None
    return views, contrast_view(found[0].series, constant)


def _today() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _priced(kind: str, mix: str, cached_share: str, batch_share: str, task: str | None) -> "Priced":
    from farthing.index.kinds import mix_from
    from farthing.index.show import KINDS, Priced

    plain = kind.strip().casefold().replace("-", "_")
    if plain not in KINDS:
        raise FarthingError(f"unknown --kind {kind!r}; known are {', '.join(KINDS)}")
    for name, part in (("--cached-share", cached_share), ("--batch-share", batch_share)):
        if plain != "effective" and part != "0":
            raise FarthingError(f"{name} is for --kind effective; the {plain} price has no shares")
    parts = (*(task or "").split(":"), "0")[:3]
    counts = [_number(f"--task {task!r}", part, "2000:500") for part in parts] if task is not None else []
    if len(counts) not in (0, 3):
        raise FarthingError(f"--task {task!r} is not IN:OUT[:REASONING] in tokens, such as 2000:500")
    return Priced(
        kind=plain,
        mix=mix_from(mix),
        cached_share=_number("--cached-share", cached_share),
        batch_share=_number("--batch-share", batch_share),
        task=(counts[0], counts[1], counts[2]) if counts else None,
    )


def _number(option: str, text: str, example: str = "0.4 or 40%") -> Fraction:
    """A share or a count: "0.4" or "40%"."""
    try:
        return Fraction(text.strip().removesuffix("%")) / (100 if text.strip().endswith("%") else 1)
    except (ValueError, ZeroDivisionError):
        raise FarthingError(f"{option}: {text!r} is not a number; write {example}") from None

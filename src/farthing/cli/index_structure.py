"""`farthing index spread | compare | gpu`: the structure of the market, and what an hour of a GPU costs."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from farthing.cli.common import At, Cards, Json, book_with, instant
from farthing.cli.index_common import Csv, Html, Mix, Png, emit


def _at(text: str | None) -> datetime:
    return instant(text) or datetime.now(UTC).replace(microsecond=0)


def spread(
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="Any host's id of the model; none: the most widely sold.")
    ] = None,
    mix: Mix = "3:1",
    limit: Annotated[int, typer.Option("--limit", min=0, help="Without MODEL: at most N models; 0: all.")] = 40,
    card: Cards = None,
    at: At = None,
    as_json: Json = False,
    csv: Csv = None,
    html: Html = None,
    png: Png = None,
) -> None:
    """One open model's price across its hosts: who sells it for how much, and how far apart they are."""
    from farthing.index.kinds import blended, mix_from
    from farthing.index.lines import lines
    from farthing.index.spread import most_hosted
    from farthing.index.spread import spread as spread_of
    from farthing.reports import index_spread

    moment, book, parts = _at(at), book_with(card), mix_from(mix)
    dated = lines(book, at=moment)
    if model is not None:
        found = spread_of(book, model, moment, blended(parts), dated)
        view = index_spread.spread_view(found, str(parts))
        emit(view, index_spread.spread_rows(view), index_spread.spread_table, "spread", as_json, csv, html, png)
        return
    view = index_spread.hosted_view(most_hosted(book, moment, blended(parts), dated), moment, str(parts), limit)
    emit(view, index_spread.spread_rows(view), index_spread.hosted_table, "spread", as_json, csv, html, png)


def compare(
    providers: Annotated[
        list[str] | None, typer.Argument(metavar="[PROVIDER]…", help="Only these, with each of their models.")
    ] = None,
    mix: Mix = "3:1",
    benchmark: Annotated[
        str | None, typer.Option("--benchmark", metavar="B", help="Whose scores make the tiers; none: the widest.")
    ] = None,
    natural: Annotated[
        int, typer.Option("--natural", metavar="N", min=0, help="Cut N price bands at natural breaks.")
    ] = 0,
    card: Cards = None,
    at: At = None,
    as_json: Json = False,
    csv: Csv = None,
    html: Html = None,
    png: Png = None,
) -> None:
    """Providers compared: price ranges, bands, capability tiers, output against input, clouds' mark-ups."""
    from farthing.index.compared import compared
    from farthing.index.kinds import blended, mix_from
    from farthing.index.lines import lines
    from farthing.index.scores import find
    from farthing.reports.index_compare import compare_rows, compare_table, compare_view

    moment, book, parts = _at(at), book_with(card), mix_from(mix)
    wanted = find(benchmark).id if benchmark is not None else None
    found = compared(book, moment, blended(parts), lines(book, at=moment), providers or (), wanted, natural)
    view = compare_view(found, str(parts), bool(providers))
    emit(view, compare_rows(view), compare_table, "compare", as_json, csv, html, png)


Device = Annotated[
    str | None, typer.Option("--device", metavar="D", help="h100, b200-sxm, …; none: all with a market average.")
]


def gpu(
    device: Device = None,
    term: Annotated[
        str, typer.Option("--term", metavar="T", help="on-demand, reserved-1y, reserved-3y, spot.")
    ] = "on-demand",
    since: Annotated[str | None, typer.Option("--since", metavar="D", help="From this day on.")] = None,
    mix: Mix = "3:1",
    benchmark: Annotated[
        str | None, typer.Option("--benchmark", metavar="B", help="Whose scores hold capability constant.")
    ] = None,
    card: Cards = None,
    as_json: Json = False,
    csv: Csv = None,
    html: Html = None,
    png: Png = None,
) -> None:
    """What an hour of a GPU costs over time, and the price of tokens against it."""
    from farthing.index.gpu import rented
    from farthing.index.gpu_tokens import against_rents
    from farthing.index.kinds import blended, mix_from
    from farthing.index.lines import lines
    from farthing.reports.index_gpu import gpu_rows, gpu_table, gpu_view

    start, parts = instant(since), mix_from(mix)
    found = rented(device, term, start.date() if start else None)
    tokens = against_rents(found[0], lines(book_with(card)), blended(parts), benchmark)
    view = gpu_view(found, tokens, term, str(parts), device)
    emit(view, gpu_rows(view), gpu_table, "gpu", as_json, csv, html, png)

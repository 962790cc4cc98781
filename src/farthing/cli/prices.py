"""`farthing prices`: what is in the price book, and what other price lists say."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from farthing.cli.common import At, Cards, Json, book_with, console, instant, print_json
from farthing.problems import FarthingError

app = typer.Typer(
    help="The price book: list, show, compare, history, check, import.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_OWN = "# Written by `farthing prices import`"
_SHOWN = 40
Offered = Annotated[str, typer.Argument(metavar="PROVIDER/MODEL", help="An offer, as `prices list` names it.")]
Feed = Annotated[
    str | None,
    typer.Option("--feed", metavar="F", help="The format: litellm, openrouter, models.dev; else told by content."),
]


def _at(text: str | None) -> datetime:
    return instant(text) or datetime.now(UTC).replace(microsecond=0)


@app.command(
    "list", epilog="Example:  farthing prices list anthropic   or   farthing prices list --model '*llama*70b*'"
)
def list_prices(
    provider: Annotated[
        str | None, typer.Argument(metavar="PROVIDER", help="One provider; else one line each.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="GLOB", help="Ids that fit, such as '*llama*'.")
    ] = None,
    mode: Annotated[
        str | None, typer.Option("--mode", metavar="MODE", help="chat, embedding, image, audio, video, …")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=0, help="At most N lines; 0: all.")] = None,
    card: Cards = None,
    at: At = None,
    as_json: Json = False,
) -> None:
    """Offers with their prices now: dollars per million tokens in, cached and out."""
    from farthing.reports import price_tables, prices

    moment, book = _at(at), book_with(card)
    if provider is None and model is None and mode is None:
        rows = prices.provider_rows(book, moment)
        if as_json:
            first = rows[: limit or None]
            left = len(rows) - len(first)
            print_json({"at": prices.plain(moment), "providers": prices.plain(first), "left_out": left})
        else:
            price_tables.providers_table(console(), rows, limit or 0, moment)
        return
    known = None if provider is None else book.provider(provider)
    if provider is not None and known is None:
        raise FarthingError(f"unknown provider {provider!r}{_near(provider, book.providers)}")
    offers = prices.offer_rows(book, moment, known, model, mode)
    if not offers:
        modes = sorted({row.mode for row in prices.offer_rows(book, moment, known, model, None)} - {""})
        hint = f"; modes here: {', '.join(modes)}" if mode and modes else "; --model takes a glob, such as '*llama*'"
        raise FarthingError(f"no offer fits{hint}")
    if as_json:
        shown = offers[: limit or None]
        print_json({"at": prices.plain(moment), "offers": [prices.offer_row_view(row) for row in shown],
                    "left_out": len(offers) - len(shown)})  # fmt: skip
    else:
        price_tables.offers_table(console(), offers, _SHOWN if limit is None else limit, moment)


def _near(name: str, known: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, 3, 0.5)
    return f"; near it: {', '.join(near)}" if near else "; `farthing prices list` shows them"


@app.command(epilog="Example:  farthing prices show anthropic/claude-sonnet-4-5 --at 2026-11-01")
def show(offer: Offered, card: Cards = None, at: At = None, as_json: Json = False) -> None:
    """Everything about one offer: each rate with its condition, the rules, sources, conflicts."""
    from farthing.reports import price_tables, prices

    moment, book = _at(at), book_with(card)
    found = book.find(offer)
    if as_json:
        print_json(prices.offer_view(book, found, moment))
    else:
        price_tables.offer_page(console(), book, found, moment)


@app.command(epilog="Example:  farthing prices compare llama-3.3-70b   or   farthing prices compare --clouds")
def compare(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="Any host's id of the model.")] = None,
    clouds: Annotated[bool, typer.Option("--clouds", help="Mark-ups of cloud platforms over all models.")] = False,
    card: Cards = None,
    at: At = None,
    as_json: Json = False,
) -> None:
    """One model at every host, the cheapest first, and what cloud platforms add to the maker's price."""
    from farthing.rates import compare as rates
    from farthing.reports import price_tables, prices

    if (model is None) != clouds:
        raise FarthingError("name a model, or ask for --clouds: farthing prices compare llama-3.3-70b")
    moment, book = _at(at), book_with(card)
    if model is None:
        rows = rates.clouds(book, moment)
        if as_json:
            print_json({"at": prices.plain(moment), "platforms": [prices.platform_view(row) for row in rows]})
        else:
            price_tables.clouds_table(console(), rows, moment)
        return
    found = rates.compare(book, model, moment)
    if as_json:
        print_json(prices.comparison_view(found))
    else:
        price_tables.comparison_table(console(), found)


@app.command(epilog="Example:  farthing prices history deepseek/deepseek-chat --meter output")
def history(
    offer: Offered,
    meter: Annotated[str | None, typer.Option("--meter", metavar="M", help="One meter, with all conditions.")] = None,
    card: Cards = None,
    as_json: Json = False,
) -> None:
    """Dated prices from every source, in order of time, with their changes."""
    from farthing.reports import price_tables, prices
    from farthing.units import METERS
    from farthing.units import meter as meter_called

    book = book_with(card)
    found = book.find(offer)
    try:
        meters = ["input", "cache_read", "output"] if meter is None else [meter_called(meter).name]
    except ValueError as error:
        raise FarthingError(str(error)) from None
    every = prices.history(book, found, METERS, True)
    rows = prices.history(book, found, meters, meter is not None)
    if not rows and meter is None:  # priced by the image, the second, …: everything there is
        meters, rows = list(METERS), every
    if not rows:
        raise FarthingError(f"no source states a price of {', '.join(meters)} for {found.id}")
    if as_json:
        print_json(prices.history_view(found, rows))
    else:
        price_tables.history_table(console(), found, rows, len(every) - len(rows) if meter is None else 0)


@app.command(epilog="Example:  farthing prices check   or   farthing prices check model_prices.json")
def check(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE]…", help="Price lists or rate cards, compared with the book.")
    ] = None,
    feed: Feed = None,
    card: Cards = None,
    at: At = None,
    as_json: Json = False,
) -> None:
    """What each source says and what of it is not expressed; conflicts. Status 1 if something is not expressed."""
    from farthing.rates.check import check_book, check_files
    from farthing.rates.toml import load_card
    from farthing.reports import price_tables, prices

    moment = _at(at)
    cards = [(str(path), load_card(path)) for path in card or []]
    if feed is not None and not files:
        raise FarthingError("--feed says what a FILE is: name one")
    if files:
        checked = check_files(files, feed, [one for _, one in cards], moment)
    else:
        checked = check_book(book_with(card), cards, moment)
    if as_json:
        print_json(prices.checked_view(checked))
    else:
        screen = console()
        price_tables.accounts_table(screen, checked.accounts)
        price_tables.conflicts_table(screen, checked)
        if not files:
            price_tables.stale_lines(screen, checked)
    if not checked.clean:
        raise typer.Exit(1)


@app.command(
    "import",
    epilog="Example:  farthing prices import model_prices.json --provider groq --out groq.toml"
    "   or   farthing prices import --series snapshots/ --model 'gpt-4o*'",
)
def import_prices(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE…", help="Price lists; or the word genai-prices: the installed catalogue."),
    ],
    feed: Feed = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="CARD", help="Write the rate card here; of a series .json or .csv.")
    ] = None,
    provider: Annotated[
        str | None, typer.Option("--provider", metavar="P", help="Only this provider's offers.")
    ] = None,
    series: Annotated[
        bool, typer.Option("--series", help="The files, or folders, are lists of many days: what changed, and why.")
    ] = False,
    model: Annotated[
        str | None, typer.Option("--model", metavar="GLOB", help="Of a series: only models that fit, such as 'gpt-4*'.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="D", help="Of a series: what was recorded from this day on.")
    ] = None,
    verdict: Annotated[
        str | None,
        typer.Option(
            "--verdict", metavar="V", help="Of a series: change, correction, unclear, first-seen or withdrawn."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=0, help="Of a series: at most N lines; 0: all.")] = None,
    card: Cards = None,
    at: At = None,
    as_json: Json = False,
) -> None:
    """Read public price lists; with --out, write them as a rate card for --card. --at: the day they were seen."""
    if series:
        from farthing.cli.prices_series import import_series

        if at is not None:
            raise FarthingError("--at says when one list was seen; the days of a series are in its names")
        import_series(
            files, feed=feed, provider=provider, model=model, since=since, verdict=verdict, out=out, card=card,
            limit=limit, as_json=as_json,
        )  # fmt: skip
        return
    if model or since or verdict or limit is not None:
        raise FarthingError("--model, --since, --verdict and --limit are for --series, the lists of many days")
    from farthing.rates.check import check_files
    from farthing.rates.toml import load_card
    from farthing.rates.write import card_of
    from farthing.reports import price_tables, prices

    moment = _at(at)
    checked = check_files(files, feed, [load_card(path) for path in card or []], moment, provider)
    written = None
    if out is not None:
        text, written = card_of(checked.accounts, moment.date(), f"{_OWN} from {', '.join(files)}.")
        if out.exists() and not out.read_text("utf-8", errors="replace").startswith(_OWN):
            raise FarthingError(f"{out} was not written by this command; remove it or name another --out")
        out.write_text(text, "utf-8")
    if as_json:
        view = prices.checked_view(checked)
        print_json({**view, "out": str(out) if out else None, "written": written})
        return
    screen = console()
    price_tables.accounts_table(screen, checked.accounts, repaired=False)
    price_tables.conflicts_table(screen, checked, 20 if out is None else 0)
    if out is None:
        price_tables.say(
            screen, "\nNothing was written. --out CARD.toml makes this a rate card; --card CARD.toml then uses it."
        )
    else:
        price_tables.say(
            screen, f"\n{written:,} offers written to {out}. Use them before the book's prices: --card {out}"
        )

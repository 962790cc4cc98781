"""`farthing price`: what one request (or many alike) costs, itemised."""

from typing import Annotated

import typer

from farthing.cli.common import At, Cards, Json, book_with, console, instant, print_json
from farthing.problems import FarthingError

CONTEXT = {"allow_extra_args": True, "ignore_unknown_options": True}


def price(
    context: typer.Context,
    offer: Annotated[
        str, typer.Argument(metavar="PROVIDER/MODEL", help="Which offer; `farthing prices list` has all.")
    ],
    input: Annotated[str | None, typer.Option(metavar="N", help="Uncached input tokens.")] = None,
    output: Annotated[str | None, typer.Option(metavar="N", help="Output tokens, reasoning included.")] = None,
    cache_read: Annotated[str | None, typer.Option(metavar="N", help="Tokens read from a prompt cache.")] = None,
    cache_write_5m: Annotated[
        str | None, typer.Option("--cache-write-5m", metavar="N", help="Tokens cached for 5 minutes.")
    ] = None,
    cache_write_1h: Annotated[
        str | None, typer.Option("--cache-write-1h", metavar="N", help="Tokens cached for an hour.")
    ] = None,
    reasoning: Annotated[
        str | None, typer.Option(metavar="N", help="Of the output tokens, those spent on reasoning.")
    ] = None,
    requests: Annotated[int, typer.Option(metavar="N", help="How many requests the counts are the sum of.")] = 1,
    tier: Annotated[str | None, typer.Option(metavar="T", help="Service tier served: batch, flex, priority, …")] = None,
    region: Annotated[str | None, typer.Option(metavar="R", help="Region served.")] = None,
    attr: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="What else a price may depend on (size=1024x1024); repeatable."),
    ] = None,
    at: At = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="INSTANT", help="Use only what was recorded by then.")
    ] = None,
    card: Cards = None,
    as_json: Json = False,
) -> None:
    """What a request costs, to the last digit, line by line.

    Any other meter is an option too: --web-search 3, --audio-second 12.5, --input-image 900 (docs/glossary.md
    lists them).

    Example: farthing price anthropic/claude-opus-4-8 --input 2892 --cache-read 27217 --cache-write-5m 2163 --output 931
    """
    from farthing.api import price_request
    from farthing.reports.charge import charge_json, charge_table
    from farthing.usage.record import LARGEST_COUNT

    stated = {
        "input": input, "output": output, "cache_read": cache_read, "cache_write_5m": cache_write_5m,
        "cache_write_1h": cache_write_1h, "reasoning": reasoning, **_other_meters(context.args),
    }  # fmt: skip
    counts: dict[str, object] = {name: value for name, value in stated.items() if value is not None}
    if not counts and requests == 1:
        raise FarthingError("nothing to price; state counts such as --input 1000 --output 200")
    if not 1 <= requests <= LARGEST_COUNT:
        raise FarthingError(f"--requests is {requests}; it must be from 1 to {LARGEST_COUNT:,}")
    attrs: dict[str, str] = {}
    for pair in attr or []:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise FarthingError(f"--attr {pair!r} is not KEY=VALUE")
        if attrs.setdefault(key, value) != value:
            raise FarthingError(f"--attr {key} is given twice: {attrs[key]} and {value}")
    charge = price_request(
        offer, counts, requests=requests, tier=tier, region=region, attrs=attrs, at=instant(at),
        book=book_with(card, instant(as_of)),
    )  # fmt: skip
    if as_json:
        print_json(charge_json(charge))
    else:
        console().print(charge_table(charge))


def _other_meters(args: list[str]) -> dict[str, str]:
    """Counts from options that are names of meters: --web-search 3, --web-search=3."""
    from farthing.units import meter

    found: dict[str, str] = {}
    rest = list(args)
    while rest:
        option = rest.pop(0)
        name, equals, value = option.partition("=")
        if not name.startswith("--"):
            raise FarthingError(f"unexpected {option!r}; counts are stated as --input 1000")
        try:
            known = meter(name.removeprefix("--"))
        except ValueError as error:
            raise FarthingError(
                f"{name} is no option, and {error}; `farthing price --help` shows the usual ones"
            ) from None
        if not equals:
            if not rest:
                raise FarthingError(f"{name} needs a number")
            value = rest.pop(0)
        if known.name in found:
            raise FarthingError(f"{name} is given twice")
        found[known.name] = value
    return found

"""The same verbs as Python functions. `import farthing` offers them without importing anything heavy.

    >>> import farthing
    >>> charge = farthing.price("openai/gpt-4o", input=1000, output=200, at="2026-11-01")
    >>> charge.total_usd
    Fraction(9, 2000)
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache


from farthing.charges.reference import Charge, price_usage
from farthing.problems import FarthingError
from farthing.rates.book import Book
from farthing.time import aware, parse_instant
from farthing.units import meter
from farthing.usage.record import Usage, quantities


@cache
def book() -> Book:
    """The price book without cards of your own, made once."""
    return Book()


def price(
    offer: str,
    *,
    requests: int = 1,
    tier: str | None = None,
    region: str | None = None,
    attrs: Mapping[str, str] | None = None,
    at: str | datetime | None = None,
    book: Book | None = None,
    **counts: int,
) -> Charge:
    """The itemised charge of a request at `offer` ("provider/model").

    `counts` are meters (`farthing.units.METERS`): input (uncached), output, cache_read, cache_write_5m,
    reasoning (a part of output), web_search, … With `requests` > 1 they are the sums over that many
    requests, and context tiers are judged by the mean request. `at` is an aware datetime or ISO text;
    None is now. `charge.total_usd` is an exact `Fraction` of dollars, None while a part is unknown;
    `farthing.money.to_decimal` gives a Decimal.

    Raises `FarthingError` for an unknown offer or meter, a bad count, a time without a zone.
    """
    try:
        moment = parse_instant(at) if isinstance(at, str) else aware(at) if at else None
    except ValueError as error:
        raise FarthingError(str(error)) from None
    return price_request(offer, counts, requests=requests, tier=tier, region=region, attrs=attrs, at=moment, book=book)


def price_request(
    offer: str,
    counts: Mapping[str, object],
    *,
    requests: int = 1,
    tier: str | None = None,
    region: str | None = None,
    attrs: Mapping[str, str] | None = None,
    at: datetime | None = None,
    book: Book | None = None,
) -> Charge:
    """As `price`, with the counts as a mapping of any numbers (text, int, Decimal)."""
    known = book or globals()["book"]()
    found = known.find(offer)
    try:
        stated = quantities({meter(name).name: number for name, number in counts.items()})
    except ValueError as error:
        raise FarthingError(str(error)) from None
    if requests < 1:
        raise FarthingError(f"requests is {requests}, not a positive count")
    usage = Usage(
        at=at or datetime.now(UTC).replace(microsecond=0),
        quantities=stated,
        provider=found.provider,
        model_served=found.model,
        tier_served=tier,
        region=region or found.region,
        attrs=dict(attrs or {}),
        requests=requests,
    )
    return price_usage(usage, found)

"""The price of an offer of the book, as plans use it: a short standard request, per million tokens."""

from datetime import datetime

from farthing.evidence import Source, worst
from farthing.plans.breakeven import ApiPrice
from farthing.problems import FarthingError
from farthing.rates.book import Book
from farthing.rates.compare import quote
from farthing.rates.select import Unknown, price_at


def api_price(book: Book, offer: str, at: datetime) -> ApiPrice:
    """What `offer` ("provider/model") charges at `at` for a short standard request.

    Raises `FarthingError` where it is unknown, has no price then, or does not charge for input and output tokens.
    """
    found = book.find(offer)
    price = price_at(found, at, book.as_of)
    if isinstance(price, Unknown):
        raise FarthingError(f"{found.id} has no price at {at:%Y-%m-%d}: {price.reason}")
    read, cached, written = (quote(price, meter, at) for meter in ("input", "cache_read", "output"))
    if read.usd is None or written.usd is None:
        raise FarthingError(f"{found.id} has no price for input and output tokens ({read.why or written.why})")
    grades = [one.grade for one in (read, cached, written) if one.grade is not None]
    source: Source = price.source
    return ApiPrice(
        name=found.id,
        input_usd=read.usd,
        cached_usd=cached.usd,
        output_usd=written.usd,
        grade=worst([*grades, source.grade]),
        sources=(source,),
    )

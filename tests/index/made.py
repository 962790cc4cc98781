"""Lines and quotes of the tests' own."""

from datetime import UTC, datetime
from fractions import Fraction

from farthing.evidence import Grade, Source
from farthing.index.line import Line, Quote

SOURCE = Source(id="s", title="T", where="W", seen=None, grade=Grade.VENDOR_STATED)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def quote(
    start: str,
    end: str | None,
    input: str | Fraction | None,
    output: str | Fraction | None,
    *,
    unclear: bool = False,
    after: str | None = None,
    batch: dict[str, str] | None = None,
    grade: Grade = Grade.VENDOR_STATED,
    **more: str,
) -> Quote:
    usd = {"input": input, "output": output, **more}
    return Quote(
        start=day(start),
        end=day(end) if end else None,
        usd_per_mtok={meter: Fraction(price) for meter, price in usd.items() if price is not None},
        batch_usd_per_mtok={meter: Fraction(price) for meter, price in (batch or {}).items()},
        source=Source(id="s", title="T", where="W", seen=None, grade=grade),
        after=day(after) if after else None,
        unclear=unclear,
    )


def line(model: str, *quotes: Quote, provider: str = "p", family: str | None = None) -> Line:
    return Line(provider=provider, model=model, family=family or model, quotes=quotes)


def steps(model: str, *prices: tuple[str, str | float], provider: str = "p", family: str | None = None) -> Line:
    """A line whose input and output cost the same, from each day until the next."""
    ends = [start for start, _ in prices[1:]]
    quotes = [
        quote(start, end, Fraction(str(price)), Fraction(str(price)))
        for (start, price), end in zip(prices, [*ends, None], strict=True)
    ]
    return line(model, *quotes, provider=provider, family=family)

"""The same verbs as Python functions; `import farthing` offers them (imported when first used)."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from farthing.charges.reference import Charge, price_usage
from farthing.problems import FarthingError, Problems
from farthing.rates.book import Book
from farthing.time import aware, parse_instant
from farthing.units import meter
from farthing.usage.record import Usage, quantities

if TYPE_CHECKING:
    from farthing.charges.reconciliation.reconcile import Reconciliation
    from farthing.policies.question import Replay
    from farthing.usage.summary import Summary

__all__ = ["Book", "Charge", "FarthingError", "Problems", "Usage"]


@cache
def the_book() -> Book:
    """The price book without cards of your own, made once. `Book([load_card(path)])` makes one with them."""
    return Book()


def _moment(at: str | datetime | None) -> datetime | None:
    try:
        return parse_instant(at) if isinstance(at, str) else aware(at) if at else None
    except ValueError as error:
        raise FarthingError(str(error)) from None


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
    return price_request(
        offer, counts, requests=requests, tier=tier, region=region, attrs=attrs, at=_moment(at), book=book
    )


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
    found = (book or the_book()).find(offer, region)
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


def read_usage(
    files: Sequence[str | Path],
    problems: Problems | None = None,
    format: str | None = None,
    mapping: Mapping[str, str] | None = None,
) -> Iterator[Usage]:
    """The usage records of files or folders, streamed. What is rejected goes to `problems`.

    `format` is detected where it is None; `mapping` (field to column) reads any CSV, JSONL or Parquet.
    Raises `FarthingError` for a missing file or an unknown format.
    """
    from farthing.usage.read import read_usage as read

    return read(files, problems if problems is not None else Problems(), format, mapping)


def summarise(
    files: Sequence[str | Path],
    format: str | None = None,
    mapping: Mapping[str, str] | None = None,
    cache_blocks: int | None = None,
) -> "Summary":
    """What is in usage files: counts, lengths, span, rejected rows, prefix-cache ceilings."""
    from farthing.usage.summary import summarise as make

    problems = Problems()
    return make(read_usage(files, problems, format, mapping), problems, cache_blocks)


def replay(
    files: Sequence[str | Path],
    *,
    served: str | None = None,
    to: Sequence[str] = (),
    policies: Sequence[str] = (),
    at: str | datetime | None = None,
    token_ratios: Mapping[str, Fraction | int] | None = None,
    answer_ratios: Mapping[str, Fraction | int] | None = None,
    book: Book | None = None,
    problems: Problems | None = None,
    format: str | None = None,
    mapping: Mapping[str, str] | None = None,
) -> "Replay":
    """What the usage cost as it was, and at each offer of `to` (globs allowed) under each of `policies`.

    The options are those of `farthing replay`; "host:NAME" in `to` is a deployment of one's own; ratios map an
    offer (or glob) to an exact number.
    Raises `FarthingError` for an unknown offer or policy, or files without a usable row.
    """
    from farthing.policies.hosted import with_hosts
    from farthing.policies.question import Question, Ratio
    from farthing.policies.replay import replay as run

    def ratios(stated: Mapping[str, Fraction | int] | None) -> tuple[Ratio, ...]:
        return tuple(Ratio(offers=name, ratio=Fraction(ratio)) for name, ratio in (stated or {}).items())

    now = datetime.now(UTC).replace(microsecond=0)
    passes = iter([problems if problems is not None else Problems()])

    def records() -> Iterator[Usage]:
        return read_usage(files, next(passes, Problems(keep=0)), format, mapping)

    candidates, known = with_hosts(to, book or the_book(), records, None, now.date())
    question = Question(
        served=served,
        to=candidates,
        policies=tuple(policies),
        at=_moment(at),
        now=now,
        token_ratios=ratios(token_ratios),
        answer_ratios=ratios(answer_ratios),
    )
    return run(records, known, question)


def reconcile(
    usage: Sequence[str | Path],
    invoice: str | Path,
    *,
    book: Book | None = None,
    problems: Problems | None = None,
    format: str | None = None,
) -> "Reconciliation":
    """Why an invoice differs from what the usage should have cost: `farthing reconcile` as a function."""
    from farthing.charges.reconciliation.invoice import read_invoice
    from farthing.charges.reconciliation.reconcile import reconcile as run

    found = problems if problems is not None else Problems()
    known = book or the_book()
    return run(read_usage(usage, found, format), known.offer_of, read_invoice(invoice, found))

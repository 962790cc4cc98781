"""What a replay is asked, and what it answers."""

from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction

import msgspec

from farthing.charges.bill import Bill
from farthing.charges.spread import Spread
from farthing.evidence import Grade, Source, worst
from farthing.money import Usd
from farthing.problems import FarthingError

AS_IS, BATCH, PROMPT_CACHE = "as-is", "batch", "prompt-cache"
AS_SERVED = "as served"  # in the place of an offer: every request at its own
POLICIES = (AS_IS, BATCH, PROMPT_CACHE)


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """A stated assumption: for offers whose id matches `offers` (a glob), so many times the tokens."""

    offers: str
    ratio: Fraction
    grade: Grade = Grade.ASSUMED


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask of the usage.

    `served`: the offer at which it ran ("provider/model"), for usage that does not say, or instead of
    what it says. `to`: offers (globs allowed) to price it at; empty: a short list, and all of the book
    summed up. `policies`: names joined by "+"; empty: each alone and both. `at`: price everything at
    one instant (the time of the week stays). `now`: what today is; usage that names no model is a workload
    and not a bill, and is priced at today's rates.
    `token_ratios`: tokens of that offer's tokenizer for each token of the usage; `answer_ratios`: the
    length of its answers, in the same words. The first that matches an offer counts; none is 1, assumed.
    """

    served: str | None = None
    to: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    at: datetime | None = None
    now: datetime
    token_ratios: tuple[Ratio, ...] = ()
    answer_ratios: tuple[Ratio, ...] = ()


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One offer under one policy. Amounts are exact dollars.

    `total_usd` is None while `unpriced_rows` is not 0; `known_usd` is then a lower bound. `ratio` is to
    the usage as it was. `usd_per_mtok` is per million tokens of the usage's own mix (as recorded).
    `shares` are parts of the cost by kind of meter; `lines` give each meter's count (1/scale units) and
    dollars (None: no row of it has a price). `too_long_rows` exceed the offer's context length.
    """

    offer: str
    policy: str
    total_usd: Usd | None
    known_usd: Usd
    ratio: Fraction | None
    usd_per_mtok: Fraction | None
    mean_usd: Usd | None
    spread: Spread | None
    shares: dict[str, Fraction]
    rows: int
    unpriced_rows: int
    reasons: dict[str, int]
    grade: Grade | None
    notes: tuple[str, ...]
    assumptions: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    too_long_rows: int = 0
    lines: dict[str, tuple[int | Fraction, Usd | None]] = {}


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. `as_is` is the usage as it was; `models` the same by model served; `rows` the
    candidates asked for (or the short list) under each policy; `everywhere` every offer of the book
    as is, cheapest first (only where no offer was asked for); `unable` those that could not price it. `unmeasured`:
    rows of which nobody knows what they consumed: without a price anywhere."""

    as_is: Row
    models: list[Row]
    rows: list[Row]
    everywhere: list[Row]
    unable: int
    usage_rows: int
    requests: int
    quantities: dict[str, int]
    first: datetime | None
    last: datetime | None
    relative: bool
    cacheable_rows: int
    notes: tuple[str, ...]
    unmeasured: int = 0


def make_row(
    offer: str, policy: str, bill: Bill, spread: Spread | None, baseline: Usd | None, tokens: int,
    assumptions: Sequence[str],
) -> Row:  # fmt: skip
    total = bill.total_usd
    grade = worst((bill.grade, Grade.ASSUMED)) if assumptions else bill.grade
    priced = bool(bill.usd_by_meter)
    return Row(
        offer=offer,
        policy=policy,
        total_usd=total,
        known_usd=bill.usd,
        ratio=total / baseline if total is not None and baseline else None,
        usd_per_mtok=total * 1_000_000 / tokens if total is not None and tokens else None,
        mean_usd=total / bill.requests if total is not None and bill.requests else None,
        spread=spread,
        shares=_shares(bill),
        rows=bill.rows,
        unpriced_rows=bill.unpriced,
        reasons=dict(sorted(bill.reasons.items(), key=lambda one: (-one[1], one[0]))),
        grade=grade if priced else None,
        notes=tuple(bill.notes),
        assumptions=tuple(assumptions),
        sources=tuple(bill.sources[name] for name in sorted(bill.sources)),
        lines={name: (n, bill.usd_by_meter.get(name)) for name, n in bill.quantity_by_meter.items()},
    )


def _shares(bill: Bill) -> dict[str, Fraction]:
    """Parts of the known cost by meter, largest first."""
    if not bill.usd:
        return {}
    parts = sorted(bill.usd_by_meter.items(), key=lambda item: -item[1])
    return {name: usd / bill.usd for name, usd in parts if usd}


def parse_policy(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split("+"))
    for name in names:
        if name not in POLICIES:
            raise FarthingError(f"unknown policy {name!r}; the policies are {', '.join(POLICIES)}, joined by +")
    chosen = tuple(name for name in (BATCH, PROMPT_CACHE) if name in names)
    return chosen or (AS_IS,)

"""Attempts for the tests: priced by the reference under a card of our own, so that every charge can be checked."""

import random
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from farthing.charges.reference import price_usage
from farthing.evidence import Grade, Source
from farthing.ledger.ledger import Ledger, attempt_id
from farthing.ledger.row import Attempt
from farthing.rates.card import Band, Offer, Price, Rate, When
from farthing.time import EPOCH
from farthing.usage.record import Usage

DAY_US = 86_400_000_000
DAY = date(2026, 11, 20)
NOON_US = (DAY - date(1970, 1, 1)).days * DAY_US + DAY_US // 2

SOURCE = Source(id="card", title="a card", where="the tests", seen=DAY, grade=Grade.VENDOR_STATED)
PRICE = Price(
    source=SOURCE,
    valid_from=datetime(2026, 1, 1, tzinfo=UTC),
    rates=(
        Rate(meter="input", amount=Decimal("2.5"), per=1_000_000),
        Rate(meter="input", amount=Decimal("1.25"), per=1_000_000, when=When(tier="batch")),
        Rate(meter="input", amount=Decimal("5"), per=1_000_000, when=When(bands=(Band(low=200_001),))),
        Rate(meter="cache_read", amount=Decimal("0.25"), per=1_000_000),
        Rate(meter="output", amount=Decimal("10"), per=1_000_000),
        Rate(meter="output", amount=Decimal("5"), per=1_000_000, when=When(tier="batch")),
        Rate(meter="audio_second", amount=Decimal("0.7"), per=3600),
    ),
)
OFFER = Offer(provider="openai", model="gpt-test", prices=(PRICE,))


def done(number: int = 0, /, *, ledger: Ledger | None = None, **fields: Any) -> Attempt:
    """A finished attempt, priced under `OFFER` where nothing else is said."""
    started_us = fields.pop("started_us", NOON_US + number * 1_000)
    quantities = fields.pop("quantities", {"input": 1000 + number, "cache_read": 200, "output": 50})
    tier = fields.get("tier_served", "")
    values: dict[str, Any] = {
        "attempt": attempt_id(started_us),
        "request": f"r{number}",
        "state": "done",
        "started_us": started_us,
        "ended_us": started_us + 1_500_000,
        "first_us": started_us + 200_000,
        "provider": "openai",
        "upstream": "main",
        "model_asked": "gpt-test",
        "model_served": "gpt-test",
        "quantities": quantities,
        "status": 200,
        "feature": f"f{number % 3}",
        "user": f"u{number % 7}",
        "key": "k1",
    }
    if "usd" not in fields:
        usage = Usage(at=EPOCH + timedelta(microseconds=started_us), quantities=quantities, tier_served=tier or None)
        total = price_usage(usage, OFFER).total_usd
        values["usd"] = None if total is None else str(total)
        values["unknown"] = "" if total is not None else "no rate"
    if ledger is not None:
        values["price"] = ledger.price_name(OFFER, PRICE)
        values["worker"] = ledger.worker
    return Attempt(**{**values, **fields})


def some(count: int, ledger: Ledger | None = None, seed: int = 1) -> Iterator[Attempt]:
    """Finished attempts of all kinds over three days: tiers, long prompts, audio, unknown charges, failures."""
    choose = random.Random(seed)
    for number in range(count):
        started_us = NOON_US + choose.randrange(3) * DAY_US + choose.randrange(DAY_US // 2)
        kind = choose.randrange(10)
        fields: dict[str, Any] = {"started_us": started_us, "tier_served": choose.choice(["", "batch"])}
        if kind == 0:
            fields["quantities"] = {"audio_second": choose.randrange(1, 10**8), "output": 3}
        elif kind == 1:
            fields |= {"usd": None, "unknown": "no offer openai/new", "model_served": "new", "price": ""}
        elif kind == 2:
            fields |= {"state": "failed", "status": 500, "quantities": {}, "usd": "0", "price": ""}
        elif kind == 3:
            fields["quantities"] = {"input": choose.randrange(150_000, 300_000), "output": 10, "reasoning": 4}
        yield done(number, ledger=ledger, **fields)


def sum_usd(attempts: list[Attempt]) -> Fraction:
    """The exact sum of what is known."""
    return sum((Fraction(a.usd) for a in attempts if a.usd is not None), Fraction(0))


def now_us() -> int:
    return time.time_ns() // 1000

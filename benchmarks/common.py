"""Random usage and cards for the benchmarks, and timing."""

import statistics
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from farthing.evidence import Grade, Source
from farthing.rates.card import Band, Offer, Price, Rate, When
from farthing.usage.table import Subject, UsageTable, connect

START = datetime(2026, 1, 1, tzinfo=UTC)
SPAN_DAYS = 300
SOURCE = Source(id="bench", title="made up", where="benchmarks", seen=date(2026, 1, 1), grade=Grade.ASSUMED)
THRESHOLD = 272_000
METERS = ("input", "cache_read", "output")


def seconds(work: Callable[[], Any], times: int = 5) -> float:
    """The median wall-clock seconds of `times` runs, after one that is not counted."""
    work()
    runs = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        runs.append(time.perf_counter() - began)
    return statistics.median(runs)


def cards(models: int, versions: int, seed: int = 1) -> list[Offer]:
    """`models` offers of `versions` dated records each, with a batch tier and a context step."""
    random = np.random.default_rng(seed)
    over = (Band(low=THRESHOLD + 1),)
    offers = []
    for model in range(models):
        days = sorted(random.choice(SPAN_DAYS, versions - 1, replace=False).tolist())
        prices = []
        for start in [None, *(START + timedelta(days=day) for day in days)]:
            rates = []
            for meter, low in (("input", 100), ("cache_read", 10), ("output", 500)):
                amount = Decimal(int(random.integers(low, low * 20))).scaleb(-3)
                for when, factor in (
                    (When(), 1),
                    (When(tier="batch"), Decimal("0.5")),
                    (When(bands=over), 2),
                    (When(tier="batch", bands=over), 1),
                ):
                    rates.append(Rate(meter=meter, amount=amount * factor, per=1_000_000, when=when))
            prices.append(Price(source=SOURCE, rates=tuple(rates), valid_from=start))
        offers.append(Offer(provider="bench", model=f"m{model}", prices=tuple(prices)))
    return offers


def table(rows: int, models: int, seed: int = 1) -> UsageTable:
    """`rows` random requests in columns: `models` models x 2 tiers, over `SPAN_DAYS` days."""
    random = np.random.default_rng(seed)
    made = UsageTable(connect("4GB"))
    made.subjects = [
        Subject(provider="bench", model=f"m{model}", tier=tier)
        for model in range(models)
        for tier in ("standard", "batch")
    ]
    made.meters = list(METERS)
    made.rows = rows
    micro = int(START.timestamp()) * 1_000_000
    started = micro + random.integers(0, SPAN_DAYS * 86_400_000_000, rows)
    columns = {
        "subject": random.integers(0, 2 * models, rows, dtype=np.int32),
        "started": started,
        "completed": started + random.integers(0, 60_000_000, rows),
        "requests": np.ones(rows, dtype=np.int64),
        "input": random.integers(1, 300_000, rows),
        "cache_read": random.integers(0, 50_000, rows),
        "output": random.integers(1, 4_000, rows),
    }
    made.connection.register("made", columns)
    made.connection.execute("CREATE TABLE usage AS SELECT * FROM made").fetchall()
    made.connection.unregister("made")
    return made

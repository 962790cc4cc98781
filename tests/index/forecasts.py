"""Synthetic price tracks whose future is known."""

from datetime import date, timedelta

import numpy as np

from farthing.index.tracks import MONTH_DAYS, Step, Track

END = date(2026, 1, 1)


def exponential(yearly: float, months: int, name: str = "exact", end: date = END, first: float = 100.0) -> Track:
    """A price that changes on every first of the month by yearly^(1/12), the last time on `end` (a first)."""
    steps = []
    for i in range(months + 1):
        back = months - i
        place = end.year * 12 + end.month - 1 - back
        steps.append(Step(date=date(place // 12, place % 12 + 1, 1), price=first * yearly ** (-i / 12)))
    return Track(name=name, cluster=name, steps=tuple(steps))


def jumps(
    seed: int, yearly: float, months: float, name: str = "jumps", cluster: str = "", rate: float = 0.35,
    falling: bool = True,
) -> Track:  # fmt: skip
    """A compound Poisson price: `rate` jumps a month, exponential in size (normal where it is not `falling`), which
    fall `yearly`-fold a year in the mean. It goes on for three years after END, so that its future is known."""
    random = np.random.default_rng(seed)
    day = END - timedelta(days=round(months * MONTH_DAYS))
    price, steps = 10.0, [Step(date=day, price=10.0)]
    size = float(np.log(yearly)) / 12 / rate
    while day < END + timedelta(days=1100):
        day += timedelta(days=max(1, round(random.exponential(MONTH_DAYS / rate))))
        move = random.exponential(size) if falling else random.normal(size, 0.3)
        price *= float(np.exp(-move))
        steps.append(Step(date=day, price=price))
    return Track(name=name, cluster=cluster or name, steps=tuple(steps), falling=falling)

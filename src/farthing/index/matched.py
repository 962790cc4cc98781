"""Matched-model price indices: only what is priced at both dates is compared, so that new models change nothing.

A series is chained: each link compares a date with the one before it over the items priced at both, so items may enter
and leave. Beside it stand the two other ways, which show the chain's drift: the fixed base (the base date and each date
alone, over what is left of the basket) and GEKS (all pairs of dates, circular).

The interval says what another draw of models would have given: items are drawn again with replacement (several hosts
of one model are one item, not several observations), and the percentiles are widened by Student's t over the normal
quantile and by √(n/(n-1)), where n is the number of items in the thinnest link.
"""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from farthing.evidence import Grade, worst
from farthing.index import formulas
from farthing.index.kinds import Kind
from farthing.index.line import Line
from farthing.index.matched_table import FEWEST, Table
from farthing.index.panel import Panel, panel, span
from farthing.problems import FarthingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

METHODS = (*formulas.ELEMENTARY, *formulas.WEIGHTED, "geks")
BASE = 100.0
FEWEST_FOR_INTERVAL = 4
"""Items in the thinnest link, without which no interval is given."""
DEFINED = 0.8
"""Of the replicates, how many must have a level for it to have an interval."""
SHORTEST_DAYS = 60
"""A shorter series is not turned into a yearly factor."""
REPLICATES = 500
SEED = 5
YEAR_DAYS = 365.25
INTERVAL = f"bootstrap over models, {REPLICATES} draws: percentiles, widened for few models"


class IndexPoint(msgspec.Struct, frozen=True, kw_only=True):
    """The level at a date (the base date's is 100), its interval, and what changed in the basket.

    `count`: items priced here and at the date it is linked to; `entered`, `left`: items priced here and not at the date
    before, and the reverse. `fixed` compares with the base date alone, over `fixed_count` items; `geks` is the circular
    index. None: too thin to say.
    """

    date: datetime
    index: float | None
    low: float | None = None
    high: float | None = None
    count: int = 0
    entered: int = 0
    left: int = 0
    fixed: float | None = None
    fixed_count: int = 0
    geks: float | None = None


class IndexSeries(msgspec.Struct, frozen=True, kw_only=True):
    """An index, with all that it needs to be judged.

    `yearly_factor`: the number by which the index falls in a year of 365.25 days, from its first known level to its
    last (below 1: it rises), with its interval. `count`: the items of the basket, of which `basket` are the names;
    `offers`: how many offers they have together.
    """

    method: str
    base: datetime
    level: float
    points: tuple[IndexPoint, ...]
    basket: tuple[str, ...]
    offers: int
    grade: Grade
    yearly_factor: float | None = None
    yearly_low: float | None = None
    yearly_high: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        return len(self.basket)


def series(
    lines: Sequence[Line],
    kind: Kind,
    method: str,
    dates: Sequence[datetime],
    base: datetime | None = None,
    level: float = 0.9,
) -> IndexSeries:
    """The index by `method` (one of `METHODS`) of `lines` at `dates`, each model family being one item.

    Raises `FarthingError` as `of_panel` does.
    """
    return of_panel(panel(lines, kind, dates), method, base, level)


def of_panel(made: Panel, method: str, base: datetime | None = None, level: float = 0.9) -> IndexSeries:
    """The index of a panel. `base` is one of its dates (None: the first on the chain); `level` the interval's.

    Raises `FarthingError` for an unknown method, a base that is not a date of the panel, fewer than two dates, a level
    outside 0 to 1, and a method that needs quantities where there are none. What is too thin is None, with a note.
    """
    import numpy as np

    _check(made, method, base, level)
    made = _comparable(made)
    table = Table(made)
    formula = method if method != "geks" else "tornqvist" if made.weighted else "jevons"
    steps = table.steps(formula)
    place = made.dates.index(base) if base is not None else steps[0][0] if steps else 0
    circular = None
    if formula in formulas.REVERSIBLE:
        circular = _rebased(formulas.geks(table.pairs(formula)), place)
    levels = _rebased(table.chain(steps, formula), place) if method != "geks" else circular
    assert levels is not None
    notes = [*made.notes, *_thin(made, levels, steps, place)]
    thinnest = min((len(table.matched(*step)) for step in steps), default=0)
    drawn = _drawn(table, method, formula, steps, place) if thinnest >= FEWEST_FOR_INTERVAL else None
    spread = _widening(thinnest, level)
    if drawn is None and steps:
        most = max(len(table.matched(*step)) for step in steps)
        hint = "; a later start may have more" if most >= FEWEST_FOR_INTERVAL else ""
        few = FEWEST_FOR_INTERVAL
        notes.append(f"no interval: a link rests on {thinnest} items, and {few} are the fewest for one{hint}")
    low, high = _interval(levels, drawn, level, spread)
    low[place] = high[place] = levels[place] if drawn is not None else np.nan  # there it is 100 by definition
    linked = {date: before for before, date in steps}
    points = []
    for n, date in enumerate(made.dates):
        here, before = table.priced(n), table.priced(n - 1) if n else set()
        points.append(
            IndexPoint(
                date=date,
                index=_known(levels[n]),
                low=_known(low[n]),
                high=_known(high[n]),
                count=len(table.matched(linked.get(n, n), n)),
                entered=len(here - before) if n else 0,
                left=len(before - here),
                fixed=_known(BASE * table.link(formula, place, n)),
                fixed_count=len(table.matched(place, n)),
                geks=None if circular is None else _known(circular[n]),
            )
        )
    factor, factor_low, factor_high = _rate(made, levels, drawn, level, spread, notes)
    return IndexSeries(
        method=method,
        base=made.dates[place],
        level=level,
        points=tuple(points),
        basket=tuple(made.items),
        offers=len(made.rows),
        grade=worst(row.grade for row in made.rows),
        yearly_factor=factor,
        yearly_low=factor_low,
        yearly_high=factor_high,
        notes=tuple(notes),
    )


def _comparable(made: Panel) -> Panel:
    """`made` without the offers that are priced at one date only: they compare with nothing."""
    rows = tuple(row for row in made.rows if sum(price is not None for price in row.prices) > 1)
    alone = len(made.rows) - len(rows)
    who = "1 offer is priced at one date only, and compares"
    if alone != 1:
        who = f"{alone:,} offers are priced at one date only, and compare"
    note = (f"{who} with nothing",) if alone else ()
    return msgspec.structs.replace(made, rows=rows, notes=(*made.notes, *note))


def _check(made: Panel, method: str, base: datetime | None, level: float) -> None:
    if method not in METHODS:
        raise FarthingError(f"unknown method {method!r}; matched-model methods are {', '.join(METHODS)}")
    if len(made.dates) < 2:
        raise FarthingError(f"an index needs prices at two dates at least, and there are {len(made.dates)}")
    if base is not None and base not in made.dates:
        raise FarthingError(f"the base {base:%Y-%m-%d} is not one of the series' dates, {span(made)}")
    check_level(level)
    if made.rows:
        check_volumes(method, made.weighted)


def check_level(level: float) -> None:
    """Raises `FarthingError` for what is no level of an interval."""
    if not 0 < level < 1:
        raise FarthingError(f"level {level:g} is not between 0 and 1; 0.9 is usual")


def check_volumes(method: str, weighted: bool) -> None:
    """Raises `FarthingError` for a method that needs volumes where there are none."""
    if method in formulas.WEIGHTED and not weighted:
        raise FarthingError(
            f"{method} weighs prices by quantities, and these have none: give each row its quantity; jevons and geks "
            "need none"
        )


def _thin(made: Panel, levels: "Floats", steps: list[tuple[int, int]], place: int) -> list[str]:
    """What the panel is too thin for, in words."""
    import numpy as np

    if not made.rows:
        return ["no index: there is no offer with a price at any of the dates"]
    if not np.isfinite(levels[place]):
        return [f"no index: at {made.dates[place]:%Y-%m-%d} fewer than {FEWEST} items can be compared with other dates"]
    notes = []
    missing = [date for date, level in zip(made.dates, levels, strict=True) if not np.isfinite(level)]
    if missing:
        notes.append(
            f"no level at {len(missing)} of {len(made.dates)} dates (the first {missing[0]:%Y-%m-%d}): fewer than "
            f"{FEWEST} items are priced both then and at a date on the chain"
        )
    bridged = [date for before, date in steps if date - before > 1]
    if bridged:
        links = "1 link reaches" if len(bridged) == 1 else f"{len(bridged)} links reach"
        notes.append(f"{links} over dates at which too little was priced")
    return notes


def _rebased(levels: "Floats", place: int) -> "Floats":
    return BASE * levels / levels[..., place : place + 1]


def _known(value: float) -> float | None:
    return float(value) if value == value else None  # NaN is unlike itself


# --- uncertainty ---------------------------------------------------------------------------------


def _drawn(table: Table, method: str, formula: str, steps: list[tuple[int, int]], place: int) -> "Floats":
    """Levels of bootstrap replicates, replicates x dates."""
    import numpy as np

    items = len(table.names)
    w = np.random.default_rng(SEED).multinomial(items, np.full(items, 1 / items), size=REPLICATES).astype(float)
    levels = formulas.geks(table.pairs(formula, w)) if method == "geks" else table.chain(steps, formula, w)
    return _rebased(levels, place)


def _widening(items: int, level: float) -> float:
    """How much wider the percentiles are made for `items` items: Student's t over the normal quantile, x √(n/(n-1))."""
    from statistics import NormalDist

    from scipy.special import stdtrit

    if items < 2:
        return 1.0
    tail = (1 + level) / 2
    student = float(stdtrit(items - 1, tail))
    return student / NormalDist().inv_cdf(tail) * math.sqrt(items / (items - 1))


def _interval(levels: "Floats", drawn: "Floats | None", level: float, spread: float) -> "tuple[Floats, Floats]":
    """The ends of the interval at each date; NaN where too few of the replicates have a level (`DEFINED`)."""
    import numpy as np

    low, high = np.full(len(levels), np.nan), np.full(len(levels), np.nan)
    if drawn is None:
        return low, high
    enough = (np.isfinite(drawn).mean(axis=0) >= DEFINED) & np.isfinite(levels)
    logs, middle = np.log(drawn[:, enough]), np.log(levels[enough])
    for ends, tail in ((low, (1 - level) / 2), (high, (1 + level) / 2)):
        ends[enough] = np.exp(middle + spread * (np.nanquantile(logs, tail, axis=0) - middle))
    return low, high


def _rate(
    made: Panel, levels: "Floats", drawn: "Floats | None", level: float, spread: float, notes: list[str]
) -> tuple[float | None, float | None, float | None]:
    """The yearly factor from the first known level to the last, and its interval."""
    import numpy as np

    known = np.flatnonzero(np.isfinite(levels))
    if len(known) < 2:
        return None, None, None
    first, last = int(known[0]), int(known[-1])
    days = (made.dates[last] - made.dates[first]).total_seconds() / 86400
    if days < SHORTEST_DAYS:
        notes.append(f"no yearly factor: {days:.0f} days are fewer than {SHORTEST_DAYS}, and a year would be a guess")
        return None, None, None
    power = YEAR_DAYS / days
    factor = float((levels[first] / levels[last]) ** power)
    if drawn is None:
        return factor, None, None
    falls = (drawn[:, first] / drawn[:, last])[:, None]
    low, high = _interval(np.array([levels[first] / levels[last]]), falls, level, spread)
    return factor, _power(low[0], power), _power(high[0], power)


def _power(value: float, power: float) -> float | None:
    known = _known(value)
    return None if known is None else float(known**power)

"""What `index show` is asked, and the panel and index that answer it."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction

import msgspec

from farthing.index import matched
from farthing.index.formulas import WEIGHTED
from farthing.index.kinds import Kind, Mix, blended, effective, list_price, per_task
from farthing.index.line import Line
from farthing.index.lines import BATCH, NO_TEXT, PLACEHOLDER, POINTER, Survey
from farthing.index.market_volumes import weeks, weighed_by_market
from farthing.index.matched import IndexSeries
from farthing.index.matched_table import FEWEST, Table
from farthing.index.panel import Panel, between, grid, panel
from farthing.index.volumes import Volumes, weighed
from farthing.problems import FarthingError

_PLURAL = {
    POINTER: "moving pointers (the model behind the name changes)",
    BATCH: "batch variants",
    NO_TEXT: "that are no text models",
    PLACEHOLDER: "placeholders of lists (a model at the price of one a twentieth its size)",
}
FEWEST_TO_BEGIN = 5
"""Models that can be compared with the next date, below which a series does not begin by itself."""
METHODS = (*matched.METHODS, "hedonic", "hedonic-adjacent", "constant-capability")
KINDS = ("blended", "input", "output", "cache_read", "effective", "task")


class Priced(msgspec.Struct, frozen=True, kw_only=True):
    """Which price is followed: `kind` (one of `KINDS`), of which mix, with which shares; `task` is tokens in, out and
    of reasoning."""

    kind: str = "blended"
    mix: Mix
    cached_share: Fraction = Fraction(0)
    batch_share: Fraction = Fraction(0)
    task: tuple[Fraction, Fraction, Fraction] | None = None

    @property
    def price(self) -> Kind:
        """The kind as a function. Raises `FarthingError` for an unknown one, and what the kinds refuse."""
        match self.kind:
            case "blended":
                return blended(self.mix)
            case "input" | "output" | "cache_read":
                return list_price(self.kind)
            case "effective":
                return effective(self.mix, self.cached_share, self.batch_share)
            case "task":
                if self.task is None:
                    raise FarthingError("--kind task needs the task: --task IN:OUT[:REASONING], in tokens, as 2000:500")
                tokens_in, tokens_out, reasoning = self.task
                return per_task(tokens_in, tokens_out, reasoning=reasoning)
        raise FarthingError(f"unknown kind of price {self.kind!r}; known are {', '.join(KINDS)}")

    @property
    def words(self) -> str:
        """The price in words: "blended 3:1 (input:output)"."""
        parts = f"{self.mix} (input:output{':cached' if self.mix.cached or self.mix.written else ''})"
        match self.kind:
            case "blended":
                return f"blended {parts}"
            case "effective":
                shares = f"{float(self.cached_share):.0%} of input cached, {float(self.batch_share):.0%} in batch"
                return f"effective {parts}, {shares}"
            case "task":
                tokens = [f"{float(part):,.0f}" for part in self.task or ()]
                return "task of " + ", ".join(
                    f"{n} tokens {w}" for n, w in zip(tokens, ("in", "out", "of reasoning"), strict=True) if n != "0"
                )
        return f"{self.kind.replace('_', ' ')} list"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A question: which indices, of which price, when. `since`, `base`: None, where there is enough to compare."""

    methods: tuple[str, ...]
    priced: Priced
    until: datetime
    since: datetime | None = None
    base: datetime | None = None
    by: str = "month"
    level: float = 0.9
    benchmark: str | None = None
    score: float | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An index; and, of a matched one, what it would be without the `unclear` steps: those of which it is not known
    whether a price changed or a list was corrected. They count as changes."""

    series: IndexSeries
    unclear: int = 0
    without: IndexSeries | None = None


def check(asked: Asked) -> None:
    """Raises `FarthingError` for what no prices can answer: an unknown method, kind, step or level."""
    for method in asked.methods:
        if method not in METHODS:
            raise FarthingError(f"unknown method {method!r}; known are {', '.join(METHODS)}")
    matched.check_level(asked.level)
    grid(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC), asked.by)
    if asked.since is not None:
        grid(asked.since, asked.until, asked.by)
    _ = asked.priced.price


def answers(asked: Asked, surveyed: Survey, bought: Volumes | None = None) -> list[Answer]:
    """The indices that are asked for. Raises `FarthingError` as `check`, `of_lines` and the methods do."""
    check(asked)
    found = []
    panels: dict[bool, tuple[Panel, Panel | None, int]] = {}
    for method in asked.methods:
        weighted = method in WEIGHTED and bought is None
        if weighted not in panels:
            made = of_lines(asked, surveyed, bought, weighted)
            unclear = _unclear(surveyed.lines, made)
            panels[weighted] = made, of_lines(asked, surveyed, bought, weighted, True) if unclear else None, unclear
        made, sure, unclear = panels[weighted]
        if method not in matched.METHODS:
            found.append(Answer(series=by_scores(method, asked, surveyed.lines, made.dates)))
            continue
        series = matched.of_panel(made, method, asked.base, asked.level)
        without = None if sure is None else matched.of_panel(sure, method, series.base, asked.level)
        found.append(Answer(series=series, unclear=unclear, without=without))
    return found


def by_scores(method: str, asked: Asked, lines: Sequence[Line], dates: Sequence[datetime]) -> IndexSeries:
    """The index by a method that needs capability scores, at `dates`."""
    price = asked.priced.price
    if method == "constant-capability":
        from farthing.index.constant import constant_capability

        return constant_capability(lines, price, asked.benchmark, asked.score, dates, asked.base, asked.level)
    from farthing.index.hedonic import hedonic

    adjacent = method == "hedonic-adjacent"
    return hedonic(lines, price, dates, asked.benchmark, asked.base, asked.level, adjacent)


def _unclear(lines: Sequence[Line], made: Panel) -> int:
    """How many unclear steps lie between the panel's dates."""
    first, last = made.dates[0], made.dates[-1]
    rows = {row.id for row in made.rows}
    return sum(q.unclear and first < q.start <= last for line in lines if line.id in rows for q in line.quotes)


def of_lines(
    asked: Asked, surveyed: Survey, bought: Volumes | None = None, weighted: bool = False, sure: bool = False
) -> Panel:
    """The panel of the lines, with notes of what is not in it.

    Without `since` it begins on the first day of the grid from which five models can be compared with the day after:
    before that an index would be of a handful. With `bought` an item is an offer, else a model family; `weighted` gives
    families the market's volumes. `sure`: nothing is compared over unclear steps.
    Raises `FarthingError` where there is no dated price at all, and as `grid` does.
    """
    starts = [q.start for line in surveyed.lines for q in line.quotes]
    if not starts or min(starts) >= asked.until:
        raise FarthingError("no dated price of a text model for this question; ask for other providers, or later days")
    if asked.base is not None and not (asked.since or min(starts)) <= asked.base <= asked.until:
        raise FarthingError(f"the base {asked.base:%Y-%m-%d} lies outside the series; name a day between its ends")
    dates = set(grid(asked.since or _month_of(min(starts)), asked.until, asked.by))
    dates |= {asked.base} if asked.base is not None else set()
    price = asked.priced.price
    if bought is not None:
        made = weighed(panel(surveyed.lines, price, sorted(dates), lambda line: line.id, sure), bought)
    else:
        made = panel(surveyed.lines, price, sorted(dates), sure=sure)
        if weighted:
            first = weeks()[0].ended
            published = asked.since is None and asked.base is None and made.dates[-1] >= first
            made = weighed_by_market(between(made, first, None) if published else made)
    if asked.since is None:
        made = _from_enough(made, asked.base)
    return msgspec.structs.replace(made, notes=(*_left_out(surveyed, made), *made.notes))


def _month_of(moment: datetime) -> datetime:
    return datetime(moment.year, moment.month, 1, tzinfo=UTC)


def _from_enough(made: Panel, base: datetime | None) -> Panel:
    """`made` from the first date at which enough items can be compared with the next one, or from `base`; where there
    are never so many (a usage of few models), from the first at which an index is one at all."""
    table = Table(made)
    common = [len(table.matched(n, n + 1)) for n in range(len(made.dates) - 1)]
    few = FEWEST_TO_BEGIN if max(common) >= FEWEST_TO_BEGIN else FEWEST
    first = next((n for n, count in enumerate(common) if count >= few), 0)
    if base is not None:
        first = min(first, made.dates.index(base))
    if not first:
        return made
    made = between(made, made.dates[first], None)
    note = f"begins on {made.dates[0]:%Y-%m-%d}: before that fewer than {few} models are comparable"
    return msgspec.structs.replace(made, notes=(*made.notes, note))


def _left_out(surveyed: Survey, made: Panel) -> list[str]:
    grades = Counter(row.grade for row in made.rows)
    notes = ["offers by their weakest evidence: " + ", ".join(f"{n:,} {g}" for g, n in sorted(grades.items()))]
    if surveyed.undated:
        notes.append(f"{surveyed.undated:,} offers have only undated prices: when those began nobody says")
    rows = {row.id for row in made.rows}
    differing = sum(name in rows for name in surveyed.differing)
    if differing:
        notes.append(
            f"offers of which two sources state different prices today: {differing:,} (a vendor's statement counts "
            "first, then the newer one)"
        )
    if surveyed.left_out:
        notes.append("left out: " + ", ".join(f"{n:,} {_PLURAL[why]}" for why, n in sorted(surveyed.left_out.items())))
    if made.free:
        notes.append(f"{made.free} offers were free ($0) at some date: a gift is no price, and is left out there")
    if made.unpriced:
        notes.append(f"{made.unpriced} offers lack a price that this kind needs")
    return notes

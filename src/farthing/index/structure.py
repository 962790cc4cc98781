"""The structure of the market at an instant: who sells what for how much, tiers of capability, output against input."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from fractions import Fraction
from statistics import median, quantiles

import msgspec

from farthing.evidence import Grade, worst
from farthing.index.line import Line
from farthing.index.sold import Sold
from farthing.rates.book import channel

FEWEST = 3
"""Offers or models without which a distribution is not shown."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One provider; of a maker that sells others' models as well, those are a row of their own (`name`: "google
    vertex"). `kind`: "maker", "cloud" or "host". Prices are (lowest, median, highest) over its offers."""

    provider: str
    name: str
    kind: str
    count: int
    input: tuple[Fraction, Fraction, Fraction]
    output: tuple[Fraction, Fraction, Fraction]
    blended: tuple[Fraction, Fraction, Fraction]
    cheapest: Sold
    dearest: Sold
    grade: Grade


class Ratios(msgspec.Struct, frozen=True, kw_only=True):
    """How many times its input price a token of output costs: quartiles over `count` models of `name`."""

    name: str
    count: int
    low: float
    quarter: float | None
    median: float
    three_quarters: float | None
    high: float


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One model of the market: at its maker's own price, or else at the median of the hosts' (`sellers` of them)."""

    family: str
    maker: str | None
    input: float
    output: float
    blended: float
    sellers: int
    own: bool
    id: str


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """Models whose score on a benchmark lies in [low, high): prices in dollars per million tokens.

    `prices`: (lowest, median, highest) blended; `outputs` likewise of output; None for an empty tier.
    """

    name: str
    low: float
    high: float | None
    models: tuple[tuple[Model, float], ...]
    prices: tuple[float, float, float] | None
    outputs: tuple[float, float, float] | None


def rows(sold: Iterable[Sold], fewest: int = 1) -> list[Row]:
    """One row a provider with `fewest` offers or more: makers, clouds, hosts; those with most offers first.

    What a maker resells is no price of its own: Google's row is Gemini, not Claude at Google."""
    by_provider: dict[str, list[Sold]] = {}
    for one in sold:
        by_provider.setdefault(one.provider, []).append(one)
    parts: list[tuple[str, str, list[Sold]]] = []
    for name, own in by_provider.items():
        kind = kind_of(name, own)
        others = [one for one in own if one.maker not in (None, name)] if kind == "maker" else []
        parts.append((name, kind, [one for one in own if one not in others]))
        if others:
            through = Counter(one.channel for one in others).most_common(1)[0][0]
            resold = "others' models" if through == "direct" else through
            parts.append((f"{name} {resold}", "host" if through == "direct" else "cloud", others))
    found = []
    for name, kind, own in parts:
        if len(own) < fewest:
            continue
        ordered = sorted(own, key=lambda one: (one.blended, one.model))
        found.append(
            Row(
                provider=own[0].provider, name=name, kind=kind, count=len(own), input=_range(o.input for o in own),
                output=_range(o.output for o in own), blended=_range(o.blended for o in own), cheapest=ordered[0],
                dearest=ordered[-1], grade=worst(o.grade for o in own),
            )
        )  # fmt: skip
    order = {"maker": 0, "cloud": 1, "host": 2}
    return sorted(found, key=lambda row: (order[row.kind], -row.count, row.name))


def kind_of(provider: str, own: Sequence[Sold]) -> str:
    """What a provider is: "maker" of most of what it sells, a "cloud" platform, or a "host" of others' models."""
    if channel(provider) != "direct":
        return "cloud"
    return "maker" if sum(one.made for one in own) * 2 >= len(own) else "host"


def _range(values: Iterable[Fraction]) -> tuple[Fraction, Fraction, Fraction]:
    known = list(values)
    return min(known), median(known), max(known)


def ratios(sold: Iterable[Sold], every: Iterable[Model]) -> list[Ratios]:
    """Output over input: of all models, one each, then by provider with three offers or more, those with most first."""
    by_provider: dict[str, list[float]] = {}
    for one in sold:
        by_provider.setdefault(one.provider, []).append(one.ratio)
    if not by_provider:
        return []
    chosen = sorted((item for item in by_provider.items() if len(item[1]) >= FEWEST), key=lambda i: (-len(i[1]), i[0]))
    return [
        quartiles("all models", [m.output / m.input for m in every]),
        *(quartiles(name, own) for name, own in chosen),
    ]


def quartiles(name: str, values: Sequence[float]) -> Ratios:
    """The quartiles of `values`; None below four values, where they would be single ones."""
    parts = quantiles(values, n=4, method="inclusive") if len(values) >= 4 else None
    return Ratios(
        name=name, count=len(values), low=min(values), quarter=parts[0] if parts else None, median=median(values),
        three_quarters=parts[2] if parts else None, high=max(values),
    )  # fmt: skip


def ratios_by_date(lines: Iterable[Line], dates: Iterable[datetime]) -> list[tuple[date, Ratios]]:
    """Output over input at each of `dates`, of first-party lines whose price is known that day (three or more)."""
    own = [line for line in lines if line.first_party]
    found = []
    for moment in dates:
        held = [q.usd_per_mtok for line in own if (q := line.at(moment)) is not None]
        values = [float(r["output"] / r["input"]) for r in held if r.get("input") and r.get("output")]
        if len(values) >= FEWEST:
            found.append((moment.date(), quartiles("makers", values)))
    return found


def models(sold: Iterable[Sold]) -> list[Model]:
    """One entry a model: its maker's own price (the cheapest of its own offers), or else the median of its hosts'.

    Clouds and routers that resell a maker's model do not count where the maker sells it itself.
    """
    by_family: dict[str, list[Sold]] = {}
    for one in sold:
        by_family.setdefault(one.family, []).append(one)
    found = []
    for key, offers in by_family.items():
        own = [one for one in offers if one.made]
        chosen = [min(own, key=lambda one: (one.blended, one.id))] if own else offers
        middle = sorted(chosen, key=lambda one: (one.blended, one.id))[(len(chosen) - 1) // 2]
        found.append(
            Model(
                family=key, maker=offers[0].maker, input=float(median(o.input for o in chosen)),
                output=float(median(o.output for o in chosen)), blended=float(median(o.blended for o in chosen)),
                sellers=len({one.provider for one in offers}), own=bool(own), id=middle.id,
            )
        )  # fmt: skip
    return sorted(found, key=lambda one: (one.blended, one.family))


def tiers(
    market_models: Iterable[Model],
    scores: Mapping[str, float],
    floors: Sequence[tuple[str, float]],
    unit: str = "percent",
) -> tuple[Tier, ...]:
    """`market_models` with a score, by capability: each tier from its floor up to the next better one's.

    `floors`: (name, share of the best), the best first, the last one 0. `scores`: by family or offer id. Of percents
    the share is the score's own; of Elo ratings ("elo"), which have no zero, that of the best's even chance: 0.9 is
    winning 45 of 100 times against it, at 1 / (1 + 10^(gap / 400)).
    """
    found_scores = ((one, score_of(scores, one.id, one.family)) for one in market_models)
    scored = [(one, score) for one, score in found_scores if score is not None]
    if not scored:
        return ()
    best = max(score for _, score in scored)
    found = []
    ceiling: float | None = None
    for name, share in floors:
        floor = _floor(best, share, unit)
        inside = [(m, s) for m, s in scored if s >= floor and (ceiling is None or s < ceiling)]
        inside.sort(key=lambda item: (item[0].blended, item[0].family))
        found.append(
            Tier(
                name=name, low=floor, high=ceiling, models=tuple(inside),
                prices=_span([m.blended for m, _ in inside]), outputs=_span([m.output for m, _ in inside]),
            )
        )  # fmt: skip
        ceiling = floor
    return tuple(found)


def _floor(best: float, share: float, unit: str) -> float:
    if unit != "elo":
        return best * share
    return best - 400 * math.log10(2 / share - 1) if share else 0.0


def score_of(scores: Mapping[str, float], offer_id: str, key: str) -> float | None:
    """The score of an offer: under its own id, else under its family."""
    return scores.get(offer_id, scores.get(key))


def _span(values: Sequence[float]) -> tuple[float, float, float] | None:
    return (min(values), median(values), max(values)) if values else None

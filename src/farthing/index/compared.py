"""The market at an instant, compared: providers, price bands, capability tiers, output to input, clouds' mark-ups."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache
from importlib import resources

import msgspec

from farthing.evidence import Grade, worst
from farthing.index import bands, scores, sold, structure
from farthing.index.bands import Band
from farthing.index.kinds import Kind
from farthing.index.line import Line
from farthing.index.sold import Market, Sold
from farthing.index.spread import AHEAD, newest_date
from farthing.index.structure import Model, Ratios, Row, Tier
from farthing.rates.book import Book
from farthing.rates.compare import Platform, clouds
from farthing.rates.toml_sources import read_source, read_sources
from farthing.rates.toml_table import Document

_FIRST_YEAR = 2023
FEWEST_SCORED = 8
"""Scored and priced models without which tiers are not shown: one a tier and more."""


class Flagship(msgspec.Struct, frozen=True, kw_only=True):
    """The model of a provider with the best score that it sells itself; the cheapest of equals."""

    provider: str
    sold: Sold
    score: float


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """What `farthing index compare` says. `models`: one entry a model, the cheapest first, which `bands` cut.

    `fit`: the goodness of variance fit of natural bands, None for fixed ones. `benchmark`: whose scores `tiers` and
    `flagships` rest on, None where too few are known. `dated`: output over input of makers' own models by day.
    """

    at: datetime
    sold: tuple[Sold, ...]
    rows: tuple[Row, ...]
    models: tuple[Model, ...]
    bands: tuple[Band, ...]
    fit: float | None
    benchmark: str | None
    tiers: tuple[Tier, ...]
    flagships: tuple[Flagship, ...]
    ratios: tuple[Ratios, ...]
    dated: tuple[tuple[date, Ratios], ...]
    platforms: tuple[Platform, ...]
    grade: Grade
    notes: tuple[str, ...]


def compared(
    book: Book,
    at: datetime,
    kind: Kind,
    lines: Sequence[Line],
    providers: Collection[str] = (),
    benchmark: str | None = None,
    natural: int = 0,
) -> Compared:
    """The market (or only `providers`) at `at`, by the price that `kind` makes of a quote.

    `lines`: dated prices of all offers, for a past `at` and for ratios over time. `benchmark` (an id): whose scores
    make the tiers; None: the one that most priced models have. `natural`: cut bands at that many natural
    breaks instead of fixed steps. Raises `FarthingError` for an unknown provider.
    """
    past = at < newest_date(book, at)
    found = _past(book, lines, at, kind, providers) if past else sold.market(book, at, kind, providers)
    models = structure.models(found.sold)
    cut, fit = bands.natural([m.blended for m in models], natural) if natural else (_fixed(models), None)
    notes = _notes(found, models, past)
    notes += [AHEAD] if at > datetime.now(UTC) else []
    by_benchmark = {name: scores_on(name, at.date()) for name in ([benchmark] if benchmark else _benchmarks())}
    chosen = max(by_benchmark, key=lambda name: (_scored(models, by_benchmark[name]), name), default=None)
    known = by_benchmark[chosen] if chosen else {}
    scored = _scored(models, known)
    if not models:
        known = {}
    elif chosen is None or scored < FEWEST_SCORED:
        notes.append(f"no capability tiers: {scored} priced models have a score"
                     + (f" on {chosen}" if chosen else "") + f", {FEWEST_SCORED} are the least")  # fmt: skip
        known = {}
    else:
        notes.append(f"{scored} of {len(models)} models have a score on {chosen}; the others are in no tier")
    wanted = {one.provider for one in found.sold}
    own = [line for line in lines if not providers or line.provider in wanted]
    return Compared(
        at=at,
        sold=found.sold,
        rows=tuple(structure.rows(found.sold)),
        models=tuple(models),
        bands=cut,
        fit=fit,
        benchmark=scores.find(chosen).title if chosen and known else None,
        tiers=structure.tiers(models, known, floors(), scores.find(chosen).unit if chosen else "percent"),
        flagships=tuple(_flagships(found.sold, known)),
        ratios=tuple(structure.ratios(found.sold, models)),
        dated=tuple(structure.ratios_by_date(own, _half_years(min(at, datetime.now(UTC))))),
        platforms=() if past or providers else tuple(clouds(book, at)),
        grade=worst(one.grade for one in found.sold),
        notes=tuple(notes),
    )


def _fixed(models: Sequence[Model]) -> tuple[Band, ...]:
    return bands.fixed([model.blended for model in models])


def _past(book: Book, lines: Sequence[Line], at: datetime, kind: Kind, providers: Collection[str]) -> Market:
    names = {sold.known_provider(book, name) for name in providers}
    return sold.of_lines([line for line in lines if not names or line.provider in names], at, kind)


def _notes(found: Market, models: Sequence[Model], past: bool) -> list[str]:
    notes = [
        f"{number:,} offer{'' if number == 1 else 's'} left out: {why}"
        for why, number in sorted(found.left_out.items())
    ]
    if past:
        notes.append("a past day: only offers whose price that day is known; cloud mark-ups are of today only")
    if not found.sold:
        notes.append("no text model has a known price at that date")
    resold = sum(not model.own for model in models)
    if resold:
        notes.append(f"{resold} of {len(models)} models are priced at the median of their hosts: no maker's own price")
    return notes


def _benchmarks() -> list[str]:
    return [one.id for one in scores.benchmarks()]


def scores_on(benchmark: str, day: date) -> dict[str, float]:
    """By family and PROVIDER/MODEL id the score on `benchmark` of the newest release by `day`, with reasoning where a
    model reasons: a tier is of what is sold."""
    found = {key: scores.on(releases, day) for key, releases in scores.by_key(benchmark, reasoning=True).items()}
    return {key: score.value for key, score in found.items() if score is not None and score.released <= day}


def _scored(models: Sequence[Model], known: Mapping[str, float]) -> int:
    return sum(structure.score_of(known, model.id, model.family) is not None for model in models)


def _flagships(sold: Sequence[Sold], known: Mapping[str, float]) -> list[Flagship]:
    """Of each maker the model that it sells itself with the best score, the best provider first."""
    best: dict[str, Flagship] = {}
    for one in sold:
        score = structure.score_of(known, one.id, one.family)
        if score is None or not one.made:
            continue
        held = best.get(one.provider)
        if held is None or (score, -one.blended) > (held.score, -held.sold.blended):
            best[one.provider] = Flagship(provider=one.provider, sold=one, score=score)
    return sorted(best.values(), key=lambda one: (-one.score, one.provider))


def _half_years(end: datetime) -> list[datetime]:
    """The first of January and of July of each year from 2023 before `end`, and `end`."""
    firsts = [datetime(y, m, 1, tzinfo=UTC) for y in range(_FIRST_YEAR, end.year + 1) for m in (1, 7)]
    return [*(moment for moment in firsts if moment < end), end]


@cache
def floors() -> tuple[tuple[str, float], ...]:
    """The tiers of data/index_tiers.toml, the best first: each one's name and its share of the day's best score."""
    text = (resources.files("farthing") / "data" / "index_tiers.toml").read_text("utf-8")
    root = Document(text, "data/index_tiers.toml").table()
    sources = read_sources(root)
    found = []
    for table in root.subs("tier"):
        name = table.needed_text("name")
        table.need("share")
        share = table.number("share")
        assert share is not None
        read_source(table, sources)
        table.finish()
        found.append((name, float(share)))
    root.finish()
    return tuple(sorted(found, key=lambda tier: -tier[1]))

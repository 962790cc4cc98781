"""The pages of the index's site: the views of the index's commands, at one instant and one mix."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from farthing.index.kinds import Mix
from farthing.index.lines import survey
from farthing.problems import FarthingError
from farthing.rates.book import Book
from farthing.reports.index_chart_words import count
from farthing.reports.index_site import Extra, Page, Section
from farthing.reports.index_site_asked import LEVEL, Asked, Gathered, View, page, slug
from farthing.reports.index_site_history import history
from farthing.reports.index_site_overview import overview

_PARTS = 6  # that the work is told in
_MONTHS = 24  # of a forecast
_DECLINES = 5  # thresholds that are drawn one by one
_SPREADS = 6  # models whose hosts are drawn one by one
_FORECASTS = 3  # thresholds whose price is forecast


def pages(
    book: Book, at: datetime, mix: Mix, tick: Callable[[int, int], None] = lambda done, total: None
) -> list[Page]:
    """The pages of the site as of `at`, by blended prices of `mix`; the first is the overview.

    `tick` is called with the parts done, of all. Raises `FarthingError` where the book has no dated price at all.
    """
    asked = Asked(book=book, at=at, mix=mix, surveyed=survey(book, at=at))
    if not asked.lines:
        raise FarthingError("no model has a dated price; there is nothing to make a site of")
    declines = _declines(asked)
    tick(1, _PARTS)
    gpus = _gpu(asked)
    tick(2, _PARTS)
    first = overview(asked, declines.sections, gpus.sections)
    tick(3, _PARTS)
    histories, providers = history(asked)
    tick(4, _PARTS)
    spreads, compared = _spreads(asked), _compare(asked)
    tick(5, _PARTS)
    forecasts = _forecast(asked, declines.sections)
    tick(_PARTS, _PARTS)
    return [
        first,
        histories,
        page("decline.html", "Decline", "What one capability costs, and how fast that falls", declines,
              "Of all models at or above a score, the cheapest; its running minimum; a line through the logarithms."),
        spreads,
        compared,
        forecasts,
        page("gpu.html", "GPU rents", "What an hour of a rented GPU costs, and the price of tokens against it", gpus,
              "Rents and the price of tokens are different prices: the lower picture has both on one scale."),
        _methods(asked),
        *providers,
    ]  # fmt: skip


def _declines(asked: Asked) -> Gathered:
    """All thresholds that have a rate, side by side; then the ones with most new lows, each with its models."""
    gathered = Gathered()
    every = gathered.add("decline", "decline", f"decline --mix {asked.mix}", lambda: _decline_view(asked))
    if every:
        fitted = sorted((one for one in every["declines"] if one["fit"]), key=lambda one: -one["fit"]["n"])
        for one in fitted[:_DECLINES]:
            named = f"{one['benchmark']}-{one['score']:g}"
            command = f"decline --benchmark {slug(one['benchmark'])} --score {one['score']:g} --mix {asked.mix}"
            view = {**every, "benchmark": one["benchmark"], "declines": [one]}
            gathered.add(f"decline-{slug(named)}", "decline", command, partial(dict, view))
    return gathered


def _decline_view(asked: Asked) -> View:
    from farthing.evidence import worst
    from farthing.index.capability import market
    from farthing.index.decline import declines
    from farthing.index.scores import benchmarks
    from farthing.reports.index_decline import decline_view

    found, grades = [], []
    for one in benchmarks():
        prices = market(asked.lines, asked.kind, one.id)
        points = [point for point in prices.points if point.date <= asked.at.date()]
        made = [d for d in declines(points, one.title, level=LEVEL) if d.fit or len(d.lows) > 2]
        found += made
        grades += [prices.grade] if made else []
    if not found:
        raise FarthingError("no model has both a score and a dated price")
    return decline_view(found, level=LEVEL, mix=str(asked.mix), grade=worst(grades))


def _spreads(asked: Asked) -> Page:
    from farthing.index.spread import most_hosted, spread
    from farthing.reports.index_spread import hosted_view, spread_view

    mix, gathered = str(asked.mix), Gathered()
    hosted = most_hosted(asked.book, asked.at, asked.kind, asked.lines)
    gathered.add("spread", "spread", f"spread --mix {mix}", lambda: hosted_view(hosted, asked.at, mix))
    for one in hosted[:_SPREADS]:
        found = spread(asked.book, one.family, asked.at, asked.kind, asked.lines)
        made = partial(spread_view, found, mix)
        gathered.add(f"spread-{slug(one.family)}", "spread", f"spread {one.family} --mix {mix}", made)
    return page("spread.html", "Spread", "One open model, many hosts: what each of them asks", gathered,
                 "The weights are the same; speed, precision, context and promises are not. One seller counts once, at "
                 "its cheapest offer; routers and free offers are shown and not counted.")  # fmt: skip


def _compare(asked: Asked) -> Page:
    gathered = Gathered()
    gathered.add("compare", "compare", f"compare --mix {asked.mix}", lambda: _compare_view(asked))
    return page("compare.html", "Compare", "Providers, bands and tiers of prices side by side", gathered)


def _compare_view(asked: Asked) -> View:
    from farthing.index.compared import compared
    from farthing.reports.index_compare import compare_view

    return compare_view(compared(asked.book, asked.at, asked.kind, asked.lines), str(asked.mix), False)


def _forecast(asked: Asked, declines: Sequence[Section]) -> Page:
    gathered = Gathered()
    gathered.add("forecast", "forecast", f"forecast --mix {asked.mix}", lambda: _forecast_view(asked, None, None))
    for one in [section.view["declines"][0] for section in declines if len(section.view["declines"]) == 1][:_FORECASTS]:
        benchmark, score = one["benchmark"], one["score"]
        command = f"forecast --benchmark {slug(benchmark)} --score {score:g} --mix {asked.mix}"
        made = partial(_forecast_view, asked, benchmark, score)
        gathered.add(f"forecast-{slug(f'{benchmark}-{score:g}')}", "forecast", command, made)
    return page("forecast.html", "Forecast", "Where prices are expected to go, with the interval that a back-test "
                 "earned", gathered, "A price of constant capability falls in steps, when a cheaper model comes. The "
                 "model of each forecast did best in a back-test on the past of all series.")  # fmt: skip


def _forecast_view(asked: Asked, benchmark: str | None, score: float | None) -> View:
    from farthing.index.forecast import forecast, furthest_months, pooled
    from farthing.index.forecast_market import of_market
    from farthing.reports.index_forecast import forecast_view

    ground = of_market(asked.lines, asked.kind, benchmark, score, asked.at.date())
    months = max(1, min(_MONTHS, furthest_months(ground.history_months)))
    if ground.track is None:
        said = pooled(ground.others, ground.end, months, LEVEL, ground.name)
    else:
        said = forecast(ground.track, ground.others, ground.end, months, LEVEL)
    return forecast_view(said, ground, str(asked.mix))


def _gpu(asked: Asked) -> Gathered:
    gathered = Gathered()
    gathered.add("gpu", "gpu", f"gpu --mix {asked.mix}", lambda: _gpu_view(asked))
    return gathered


def _gpu_view(asked: Asked) -> View:
    from farthing.index.gpu import rented
    from farthing.index.gpu_tokens import against_rents
    from farthing.reports.index_gpu import gpu_view

    found = rented(None)
    tokens = against_rents(found[0], asked.lines, asked.kind, None)
    return gpu_view(found, tokens, "on-demand", str(asked.mix), None)


def _methods(asked: Asked) -> Page:
    """How each number is made, and which statements the prices rest on."""
    used: dict[str, list[Any]] = {}
    for line in asked.lines:
        for quote in line.quotes:
            used.setdefault(quote.source.id, [quote.source, 0, set()])[1] += 1
            used[quote.source.id][2].add(line.id)
    rows = [
        {"source": source.title, "where": source.where, "seen": source.seen.isoformat() if source.seen else "not dated",
         "grade": str(source.grade), "prices": prices, "offers": len(offers)}
        for source, prices, offers in sorted(used.values(), key=lambda one: (-one[1], one[0].title))
    ]  # fmt: skip
    left = [f"{n:,} offers: {why}" for why, n in sorted(asked.surveyed.left_out.items())]
    return Page(
        file="methods.html",
        menu="Methods & sources",
        title="How each number is made, and what it rests on",
        words=[
            *_METHODS,
            f"Left out of every line: {asked.surveyed.undated:,} offers with undated prices only"
            + "".join(f"; {text}" for text in left) + ".",
        ],
        extras=[Extra(title=f"{count(len(rows), 'source')} of dated prices", rows=rows)],
    )  # fmt: skip


_METHODS = (
    "Price: dollars per million tokens at the mix of input and output that each page names, list price of the standard "
    "tier and a short prompt. Free and promotional prices of $0 enter no index; they are counted.",
    "Matched-model index: each date is compared with the one before over the models priced at both, exp(mean ln p1/p0) "
    "(Jevons), and the steps are multiplied (chained). GEKS compares all pairs of dates, which removes what a chain "
    "gains or loses by going in steps (drift). Several hosts of one model are one item.",
    "Constant capability: the cheapest model at or above a score, its running minimum over time, a straight line "
    "through the logarithms of its new lows. Below four lows no rate is given.",
    "Yearly factor: (p0/p1)^(365.25 / days), the number by which a price falls in a year. Half-life: "
    "12 ln 2 / ln(yearly factor) months.",
    "Intervals: nine times in ten unless stated; by bootstrap with a fixed seed (models drawn again), of forecasts by "
    "the errors of a back-test.",
    "Evidence, from best to worst: measured, vendor-stated, derived, assumed. A result carries the worst that it rests "
    "on. A change that is known only from two snapshots lies between their days.",
)

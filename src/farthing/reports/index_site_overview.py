"""The first page of the site: the two truths side by side, what a GPU costs, what changed lately."""

from collections.abc import Sequence
from datetime import timedelta
from fractions import Fraction
from itertools import pairwise
from statistics import median, quantiles
from typing import Any

from farthing.problems import FarthingError
from farthing.rates.book import channel
from farthing.reports.index_chart_decline import MANY_RATES
from farthing.reports.index_chart_words import between, change, count, month_text, times, usd
from farthing.reports.index_site import Extra, Headline, Page, Section
from farthing.reports.index_site_asked import Asked, Gathered, View, apart

METHODS = ("jevons", "constant-capability")
ROUTERS = ("openrouter",)  # a router passes the prices of hosts on
_LATELY = timedelta(days=120)
_CHANGES = 25


def overview(asked: Asked, declines: Sequence[Section], gpus: Sequence[Section]) -> Page:
    gathered = Gathered()
    command = f"show {' '.join(f'--method {method}' for method in METHODS)} --mix {asked.mix}"
    shown = gathered.add("index", "index", command, lambda: _show(asked))
    series = {one["method"]: one for one in (shown or {}).get("series", [shown] if shown else [])}
    matched = series.get("jevons")
    rates = _rates(declines[0].view) if declines else []
    title = "How the price of inference moves"
    if matched and matched["yearly_factor"] and rates:
        title = (
            f"The list prices of the same models {change(matched['yearly_factor'])}; what one capability costs "
            f"{change(median(rates))} in the median. Both are true"
        )
    words = [
        "An index of the same models follows what their makers ask for them. The price of a capability follows the "
        "cheapest model that reaches a score, which is ever another model: only who moves to it pays that price.",
    ]
    changes = _changes(asked)
    latest = Extra(
        title=f"{count(len(changes), 'list price')} changed since {(asked.at - _LATELY).date()}",
        words=[
            f"The newest {min(_CHANGES, len(changes))}; $ a million tokens, {asked.mix}. Routers, and steps that may "
            "be corrections of a list, are left out."
        ],
        rows=changes[:_CHANGES],
    )
    return Page(
        file="index.html",
        menu="Overview",
        title=title,
        words=words,
        headlines=[*_headline_matched(matched), *_headline_capability(rates), *_headline_gpu(gpus)],
        sections=gathered.sections,
        extras=[latest] if changes else [],
        missing=[*gathered.missing, *([] if changes else ["no list price is known to have changed lately"])],
    )


def _show(asked: Asked, methods: tuple[str, ...] = METHODS) -> View:
    from farthing.index.show import Asked as Question
    from farthing.index.show import Priced, answers
    from farthing.reports.index_show import answer_view, show_view

    question = Question(methods=methods, priced=Priced(mix=asked.mix), until=asked.at)
    try:
        found = answers(question, asked.surveyed)
    except FarthingError:
        if len(methods) == 1:
            raise
        return _show(asked, methods[:1])  # too few scores: the matched index still stands
    return show_view([answer_view(one, question.priced.words, str(asked.mix)) for one in found])


def _headline_matched(one: View | None) -> list[Headline]:
    if not one or not one["yearly_factor"]:
        return []
    interval = ""
    if one.get("yearly_low") and one.get("yearly_high"):
        low, high = one["yearly_low"], one["yearly_high"]
        interval = f"; {one['level']:.0%} interval: {between(low, high)}"
    words = f"matched-model Jevons over {count(one['count'], 'model')}{interval}"
    return [Headline(name="The same models' list prices", value=_short(one["yearly_factor"]), words=words)]


def _headline_capability(rates: Sequence[float]) -> list[Headline]:
    if not rates:
        return []
    words = f"the median of {count(len(rates), 'threshold')}"
    if len(rates) >= MANY_RATES:
        slow, _, fast = quantiles(rates, n=4, method="inclusive")
        words += f", half of which fell {times(slow)} to {times(fast)} a year; single ones rest on few models"
    elif len(rates) > 1:
        words += f", of which the slowest fell {times(min(rates))} a year and the fastest {times(max(rates))}"
    name = "The cheapest model that reaches a score"
    return [Headline(name=name, value=_short(median(rates)), words=words)]


def _headline_gpu(gpus: Sequence[Section]) -> list[Headline]:
    if not gpus or not gpus[0].view["devices"]:
        return []
    one = max(gpus[0].view["devices"], key=lambda device: len(device["points"]))
    first, last = one["points"][0], one["points"][-1]
    share = last["usd_per_hour"] / first["usd_per_hour"] - 1
    words = f"in {month_text(last['date'])}"
    if len(one["points"]) > 1:
        words += f"; {abs(share):.0%} {'more' if share > 0 else 'less'} than in {month_text(first['date'])}"
    return [Headline(name=f"An hour of {one['device'].upper()}", value=usd(last["usd_per_hour"]), words=words)]


def _short(factor: float) -> str:
    """A yearly factor in large letters."""
    if factor >= 2:
        return f"÷ {times(factor).removesuffix('×')} a year"
    percent = (1 / factor - 1) * 100
    return f"{percent:+.1f}% a year".replace("-", "−")


def _rates(view: View) -> list[float]:
    return [one["fit"]["yearly_factor"] for one in view.get("declines", ()) if one.get("fit")]


def _changes(asked: Asked) -> list[dict[str, Any]]:
    """List prices that changed lately, the newest first: what was asked before and after. What may be a correction
    of a list, and not a change of a price, is not among them."""
    found = []
    for line in asked.lines:
        if channel(line.provider) in ROUTERS:
            continue
        for before, after in pairwise(line.quotes):
            was, now = asked.kind(before), asked.kind(after)
            recent = asked.at - _LATELY <= after.start <= asked.at
            if recent and before.end == after.start and not after.unclear and was and now and apart(was, now):
                found.append((after.start, line.first_party, line.id, was, now, after))
    found.sort(key=lambda one: one[:3], reverse=True)
    return [
        {
            "date": f"{start:%Y-%m-%d}",
            "offer": id,
            "was": usd(float(was)),
            "now": usd(float(now)),
            "change": _percent(now / was),
            "known": f"after {after.after:%Y-%m-%d}" if after.after else "dated by its source",
            "source": after.source.title,
        }
        for start, _, id, was, now, after in found
    ]


def _percent(ratio: Fraction) -> str:
    return f"{(float(ratio) - 1) * 100:+.0f}%".replace("-", "−")

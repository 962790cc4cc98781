"""Which findings of a watch are worth an alarm: those beyond the threshold, and models that end."""

from collections.abc import Iterable

from farthing.index.watch.values import CHEAPER, DEARER, Alert, Watch
from farthing.money import ZERO, Usd, show_usd


def signed(usd: Usd) -> str:
    """An amount with its sign: "+$1.20"."""
    return ("+" if usd > 0 else "") + show_usd(usd)


def alerts_of(found: Watch) -> tuple[Alert, ...]:
    """The alarms of `found`. What stays as it was since the first day (a source that disagrees, a host that was
    cheaper then as well) is none; a model that ends within the horizon is one until it has ended."""
    return (*_prices(found), *_offers(found), *_ends(found))


def _prices(found: Watch) -> Iterable[Alert]:
    passed, base = found.question.threshold.passed, found.then.known_usd
    if found.change is not None and passed(found.change, base):
        text = f"this usage costs {signed(found.change)} at the rates of {found.question.until.date()}"
        yield Alert(kind="total", offer="", usd=found.change, text=text)
    for one in found.offers:
        if one.direction in (DEARER, CHEAPER) and one.change is not None and passed(one.change, base):
            yield Alert(
                kind=one.direction, offer=one.offer, usd=one.change,
                text=f"{one.offer} is {one.direction}: {signed(one.change)} on this usage",
            )  # fmt: skip
    for late in found.upcoming:
        if late.change is not None and passed(late.change, base):
            text = f"{late.offer} changes on {late.at.date()}: {signed(late.change)} on this usage"
            yield Alert(kind="upcoming", offer=late.offer, usd=late.change, text=text)
    for learned in found.learned:
        if learned.difference is not None and passed(learned.difference, base):
            text = f"{learned.offer} was corrected: {signed(learned.difference)} on this usage, then as now"
            yield Alert(kind="correction", offer=learned.offer, usd=learned.difference, text=text)


def _offers(found: Watch) -> Iterable[Alert]:
    passed, base = found.question.threshold.passed, found.then.known_usd
    for one in found.best:
        if one.best is None or one.best == one.offer or one.saving is None:
            continue
        gained = one.saving - (one.saving_then or ZERO)
        if gained > 0 and passed(gained, base):
            text = f"{one.offer} costs {show_usd(one.saving)} less at {one.best}, {show_usd(gained)} more than then"
            yield Alert(kind="better-offer", offer=one.offer, usd=one.saving, text=text)


def _ends(found: Watch) -> Iterable[Alert]:
    for one in found.ending:
        if one.days_left is None or one.day is None or one.days_left > found.question.horizon_days:
            continue
        if one.days_left <= 0 and one.day <= found.question.since.date():
            continue  # no news
        when = f"in {one.days_left} days" if one.days_left > 0 else "already"
        yield Alert(kind="ending", offer=one.offer, usd=one.usd, text=f"{one.offer} {one.why} on {one.day}: {when}")
    told = set()
    for gone in found.unpriced:
        if gone.had is not None and gone.model not in told:
            told.add(gone.model)
            text = f"{gone.model} has no price any more: {gone.reason}"
            yield Alert(kind="unpriced", offer=gone.model, usd=gone.had, text=text)

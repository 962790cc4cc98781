"""Views of a price watch: JSON's types, CSV rows, a terminal's tables, and a text for chats."""

from collections.abc import Mapping
from datetime import date, datetime
from fractions import Fraction
from typing import Any

from farthing.index.watch.run import month_of
from farthing.index.watch.values import Alternative, Best, Cost, OfferChange, Watch
from farthing.money import decimal_text, show_usd
from farthing.problems import Problems
from farthing.reports.charge import quantity_text, source_json
from farthing.time import show_instant
from farthing.units import METERS


def watch_view(found: Watch, source: str = "", problems: Problems | None = None) -> dict[str, Any]:
    """The whole answer in JSON's types: dollars are decimal text, shares and amounts a month numbers."""
    question, days = found.question, found.days
    sources = {one.id: one for offer in found.offers for one in (offer.source, offer.then_source) if one is not None}
    sources |= {one.source.id: one.source for one in found.ending if one.source is not None}
    threshold = question.threshold
    limits = question.constraints
    return {
        "since": show_instant(question.since),
        "until": show_instant(question.until),
        "changed": bool(found.alerts),
        "alerts": [{"kind": a.kind, "offer": a.offer or None, "usd": _text(a.usd), "text": a.text}
                   for a in found.alerts],
        "then_usd": _text(found.then.usd),
        "now_usd": _text(found.now.usd),
        "then_known_usd": decimal_text(found.then.known_usd),
        "now_known_usd": decimal_text(found.now.known_usd),
        "change_usd": _text(found.change),
        "change_share": _share(found.change, found.then.known_usd),
        "change_is_partial": found.partial,
        "change_usd_per_month": month_of(found.change, days),
        "threshold": {"share": None if threshold.share is None else float(threshold.share),
                      "usd": _text(threshold.usd)},
        "constraints": {"providers": list(limits.providers), "avoid": list(limits.avoid),
                        "models": list(limits.models), "min_context": limits.min_context,
                        "grade": None if limits.grade is None else str(limits.grade)},
        "usage": {
            "source": source, "rows": found.rows, "requests": found.requests,
            "first": _instant(found.first), "last": _instant(found.last),
            "days": None if days is None else float(days),
        },
        "offers": [_offer(one, days) for one in found.offers],
        "best": [_best(one, days) for one in found.best],
        "ending": [
            {"offer": e.offer, "day": _day(e.day), "days_left": e.days_left, "usd": _text(e.usd),
             "usd_per_month": month_of(e.usd, days), "why": e.why, "source": e.source.id if e.source else None,
             "grade": str(e.source.grade) if e.source else None}
            for e in found.ending
        ],
        "upcoming": [
            {"offer": u.offer, "at": show_instant(u.at), "usd": _text(u.usd), "change_usd": _text(u.change),
             "source": u.source.id}
            for u in found.upcoming
        ],
        "disagreements": [
            {"offer": d.offer, "meter": d.meter, "used": d.used, "used_source": d.used_source, "other": d.other,
             "other_source": d.other_source, "other_grade": str(d.other_grade), "usd": _text(d.usd),
             "usd_low": _text(d.usd_low), "usd_high": _text(d.usd_high)}
            for d in found.disagreements
        ],
        "unpriced": [
            {"model": u.model, "reason": u.reason, "rows": u.rows, "requests": u.requests, "tokens": u.tokens,
             "then_usd": _text(u.had)}
            for u in found.unpriced
        ],
        "learned": [
            {"offer": one.offer, "then_as_known_then_usd": _text(one.known_usd), "then_usd": _text(one.usd),
             "correction_usd": _text(one.difference), "what": one.what}
            for one in found.learned
        ],
        "grade": str(found.now.grade) if found.now.grade is not None else None,
        "sources": [source_json(one) for one in sources.values()],
        "rejected": {
            "rows": problems.total, "reasons": dict(problems.reasons),
            "first": [{"place": p.place, "reason": p.reason, "repair": p.repair} for p in problems.kept[:10]],
        } if problems is not None else None,
        "notes": [*(problems.notes if problems is not None else ()), *found.notes],
    }  # fmt: skip


def _offer(one: OfferChange, days: Fraction | None) -> dict[str, Any]:
    return {
        "offer": one.offer, "family": one.family, "requests": one.requests, "direction": one.direction,
        "then_usd": _text(one.then.usd), "now_usd": _text(one.now.usd),
        "then_known_usd": decimal_text(one.then.known_usd), "now_known_usd": decimal_text(one.now.known_usd),
        "change_usd": _text(one.change), "change_share": _share(one.change, one.then.known_usd),
        "change_is_partial": one.partial,
        "now_usd_per_month": month_of(one.now.usd, days), "change_usd_per_month": month_of(one.change, days),
        "then_basis": one.basis, "in_force_since": _instant(one.stated_from),
        "meters": [
            {"meter": m.meter, "quantity": quantity_text(m.meter, m.quantity), "unit": METERS[m.meter].unit,
             "per": METERS[m.meter].per, "then_price_usd": _text(m.then_price), "now_price_usd": _text(m.now_price),
             "then_usd": _text(m.then_usd), "now_usd": _text(m.now_usd),
             "change_usd": _text(m.change)}
            for m in one.meters
        ],
        "new_tiers": [{"tier": c.tier, "usd": _text(c.tier_usd)} for c in one.conditions if c.tier is not None],
        "conditions": [{"when": c.words, "meters": list(c.meters), "new": c.is_new} for c in one.conditions],
        "unknown": _reasons(one.now), "unknown_then": _reasons(one.then),
        "grade": None if one.now.grade is None else str(one.now.grade),
        "source": one.source.id if one.source else None, "then_source": one.then_source.id if one.then_source else None,
    }  # fmt: skip


def _reasons(cost: Cost) -> list[dict[str, Any]]:
    return [{"reason": reason, "rows": rows} for reason, rows in cost.reasons.items()]


def _best(one: Best, days: Fraction | None) -> dict[str, Any]:
    return {
        "offer": one.offer, "family": one.family, "now_usd": _text(one.usd), "best": one.best,
        "best_then": one.best_then, "best_changed": one.best != one.best_then, "saving_usd": _text(one.saving),
        "saving_then_usd": _text(one.saving_then), "saving_usd_per_month": month_of(one.saving, days),
        "hosts": [_alternative(host) for host in one.hosts], "others": [_alternative(other) for other in one.others],
        "left_out": one.left_out,
    }  # fmt: skip


def _alternative(one: Alternative) -> dict[str, Any]:
    return {
        "offer": one.offer.id, "kind": one.kind, "usd": _text(one.usd), "then_usd": _text(one.then_usd),
        "saving_usd": _text(one.saving), "context": one.offer.context_window, "grade": str(one.grade),
        "notes": list(one.notes),
        "scores": [{"benchmark": e.benchmark, "in_use": e.used, "this": e.other, "sources": list(e.sources)}
                   for e in one.evidence],
    }  # fmt: skip


def watch_rows(view: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row for each meter of each offer, for a CSV."""
    keys = ("then_price_usd", "now_price_usd", "then_usd", "now_usd", "change_usd")
    return [
        {"offer": one["offer"], "direction": one["direction"], "meter": m["meter"], "quantity": m["quantity"],
         "unit": m["unit"], "per": m["per"], **{key: m[key] for key in keys}, "basis": one["then_basis"]}
        for one in view["offers"] for m in one["meters"]
    ]  # fmt: skip


def watch_text(view: Mapping[str, Any]) -> str:
    """The news in a few lines of plain text, for a chat: the dollars first."""
    lines = [headline(view)]
    lines += [f"• {alert['text']}" for alert in view["alerts"] if alert["kind"] != "total"]
    return "\n".join(lines)


def headline(view: Mapping[str, Any]) -> str:
    """The first line: what this usage cost at the rates of then and of now."""
    span = f"rates of {view['since']} → {view['until'][:10]}"
    change = amount(view["change_usd"])
    if change is None:
        return f"What changed in dollars is unknown ({span}): no part of this usage has a price at both."
    then, now = (amount(view[key] or view[key.replace("_usd", "_known_usd")]) for key in ("then_usd", "now_usd"))
    least = "at least " if view["then_usd"] is None or view["now_usd"] is None else ""
    part = " of what has a price at both" if view["change_is_partial"] else ""
    if change == 0:
        return f"No change{part}: {least}{show_usd(now)} on this usage ({span})."
    share = view["change_share"]
    percent = f", {share:+.1%}" if share is not None else ""
    month = view["change_usd_per_month"]
    monthly = f", about {signed(Fraction(month).limit_denominator(10**6))} a month" if month is not None else ""
    part = " of what has a price at both" if view["change_is_partial"] else ""
    return (
        f"{signed(change)}{percent} on this usage{part}{monthly}: {least}{show_usd(then)} → {show_usd(now)} ({span})."
    )


def signed(usd: Fraction) -> str:
    return ("+" if usd > 0 else "") + show_usd(usd)


def amount(text: str | None) -> Fraction | None:
    return None if text is None else Fraction(text)


def _text(usd: Fraction | None) -> str | None:
    return None if usd is None else decimal_text(usd)


def _share(change: Fraction | None, of: Fraction) -> float | None:
    return float(change / of) if change is not None and of else None


def _instant(moment: datetime | None) -> str | None:
    return None if moment is None else show_instant(moment)


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()

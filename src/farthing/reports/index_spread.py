"""The spread of one model's price across hosts: its view, its rows, its table; and the list of widely sold models."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from farthing.index.spread import AHEAD, Dispersion, Family, HostPrice, Spread
from farthing.money import decimal_text
from farthing.reports.index_words import UNKNOWN, money, number, plain_table, say
from farthing.time import show_instant

View = Mapping[str, Any]
_MOST = 40


def spread_view(found: Spread, mix: str) -> dict[str, Any]:
    """One model's spread in JSON's types: prices as decimal text, statistics as numbers."""
    of = found.of
    return {
        "model": found.family,
        "at": show_instant(found.at),
        "mix": mix,
        "maker": found.maker,
        "hosts": [_host(one) for one in found.hosts],
        "free": [_host(one) for one in found.free],
        "unpriced": [_host(one) for one in found.unblended],
        **(_dispersion(of) if of else dict.fromkeys(_DISPERSION) | {"count": 0}),
        "cheapest": found.cheapest.id if found.cheapest else None,
        "dearest": found.dearest.id if found.dearest else None,
        "over_time": [{"date": one.day.isoformat(), **_dispersion(one.of)} for one in found.over_time],
        "basket": [one.id for one in found.hosts if one.counted],
        "method": "the cheapest offer of each seller; routers and free offers are not counted",
        "grade": str(found.grade) if of else None,
        "notes": list(found.notes),
    }


_DISPERSION = ("count", "low", "median", "high", "ratio", "cv", "p10", "p25", "p75", "p90", "near_cheapest")


def _dispersion(of: Dispersion) -> dict[str, Any]:
    shares = of.shares or (None, None, None, None)
    return dict(
        zip(_DISPERSION, (of.count, of.low, of.median, of.high, of.ratio, of.cv, *shares, of.near), strict=True)
    )


def _host(one: HostPrice) -> dict[str, Any]:
    return {
        "id": one.id, "provider": one.provider, "model": one.model, "seller": one.seller, "channel": one.channel,
        "input": _text(one.input), "cached": _text(one.cached), "output": _text(one.output),
        "blended": _text(one.blended), "ratio": one.ratio, "served_as": one.named, "context": one.context,
        "counted": one.counted, "why_not": one.why, "grade": str(one.grade),
    }  # fmt: skip


def _text(usd: Fraction | None) -> str | None:
    return None if usd is None else decimal_text(usd)


def spread_rows(view: View) -> list[dict[str, Any]]:
    """One row a host, or a model where no model was asked for."""
    if "models" in view:
        return [dict(one) for one in view["models"]]
    head = {"at": view["at"], "family": view["model"], "mix": view["mix"]}
    return [head | dict(one) for part in ("hosts", "free", "unpriced") for one in view[part]]


def spread_table(view: View) -> Iterator[Any]:
    """What a person reads: the range in a sentence, the hosts, how it was before, what to know of it."""
    yield from say(_headline(view))
    if view["hosts"]:
        table = plain_table("Offer", "Input", "Output", view["mix"], "Times", "What else", left=1, last_left=True)
        for one in view["hosts"]:
            if one["why_not"] == "same seller":
                continue
            words = [one["why_not"], one["served_as"], "" if one["channel"] == "direct" else one["channel"],
                     "" if one["grade"] == "vendor-stated" else one["grade"]]  # fmt: skip
            table.add_row(one["id"], money(one["input"]), money(one["output"]), money(one["blended"]),
                          number(one["ratio"], 2), ", ".join(dict.fromkeys(w for w in words if w)))  # fmt: skip
        yield table
        yield from say("\nDollars per million tokens, of a short prompt at the standard tier. Times: of the cheapest.")
    if view["count"] >= 3:
        yield from say(_statistics(view))
    if view["over_time"]:
        yield from say("\nHow far apart sellers were, where three or more prices are known:\n")
        table = plain_table("Date", "Sellers", "Cheapest", "Median", "Dearest", "Times", "Deviation")
        for one in view["over_time"]:
            table.add_row(one["date"], str(one["count"]), money(one["low"]), money(one["median"]), money(one["high"]),
                          number(one["ratio"], 2), _percent(one["cv"]))  # fmt: skip
        yield table
    yield from notes(view)


def _headline(view: View) -> str:
    if not view["count"]:
        how = "only through a router" if view["hosts"] else "by nobody who is known to charge by the token"
        return f"{view['model']}: sold {how} at {view['at']}.\n"
    if view["count"] == 1:
        only = next(one for one in view["hosts"] if one["counted"])
        return f"{view['model']}: one seller at {view['at']}, {only['id']}, at ${money(only['blended'])} a million.\n"
    if view["low"] == view["high"]:
        return f"{view['model']}: all {view['count']} sellers ask ${money(view['low'])} a million at {view['at']}.\n"
    return (
        f"{view['model']}: {view['count']} sellers at {view['at']}, from ${money(view['low'])} to "
        f"${money(view['high'])} ({view['mix']}), median ${money(view['median'])}: the dearest asks "
        f"{number(view['ratio'], 1)} times the cheapest.\n"
    )


def _statistics(view: View) -> str:
    text = f"\nStandard deviation {_percent(view['cv'])} of the mean"
    if view["p10"] is not None:
        text += f"; eight in ten from ${money(view['p10'])} to ${money(view['p90'])}"
        text += f", half from ${money(view['p25'])} to ${money(view['p75'])}"
    return text + f"; {view['near_cheapest']} of {view['count']} within 10 % of the cheapest."


def _percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{100 * share:.0f} %"


def notes(view: View) -> Iterator[Any]:
    """The notes of a view, each on a line of its own."""
    if view["notes"]:
        yield from say("")
    for note in view["notes"]:
        yield from say(f"Note: {note}.")


def hosted_view(found: Sequence[Family], at: datetime, mix: str, limit: int = _MOST) -> dict[str, Any]:
    """The open models with most sellers, with their spreads."""
    models = [
        {"model": one.family, **_dispersion(one.of), "cheapest": one.cheapest, "dearest": one.dearest}
        for one in found[: limit or None]
    ]
    left = len(found) - len(models)
    return {
        "at": show_instant(at),
        "mix": mix,
        "models": models,
        "left_out": left,
        "method": "the cheapest offer of each seller; open: three sellers or more that neither made it nor are a "
        "cloud, and weights that are not known to be unpublished",
        "notes": [AHEAD] * (at > datetime.now(UTC))
        + ([f"{left} more models are sold by three or more; --limit 0 shows all"] if left else []),
    }


def hosted_table(view: View) -> Iterator[Any]:
    """One line a model, the most widely sold first."""
    yield from say(f"Open models that most hosts sell, at {view['at']}: dollars per million tokens, {view['mix']}.\n")
    table = plain_table("Model", "Sellers", "Cheapest", "Median", "Dearest", "Times", "Deviation", "Cheapest at",
                        last_left=True)  # fmt: skip
    for one in view["models"]:
        table.add_row(one["model"], str(one["count"]), money(one["low"]), money(one["median"]), money(one["high"]),
                      number(one["ratio"], 1), _percent(one["cv"]), one["cheapest"].split("/")[0])  # fmt: skip
    yield table
    yield from notes(view)

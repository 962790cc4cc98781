"""A series of price lists, as a view (what `--json` prints), rows and tables."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from fnmatch import fnmatchcase
from itertools import pairwise
from statistics import median
from typing import Any

from farthing.money import decimal_text
from farthing.rates.describe import describe_unit
from farthing.rates.series.events import VERDICTS, Event, Judged
from farthing.rates.series.read import Series
from farthing.rates.series.verdict import CHANGE, CORRECTION, UNCLEAR
from farthing.units import METERS

_SHOWN = 40
_PROBLEMS_SHOWN = 8
_LINES = 4
_PARTICULAR = re.compile(r"\d[\d.,e+-]*")
_GAP_TIMES, _GAP_DAYS = 3, 45
"""A stretch without a list counts as a gap from three times the usual distance on, and 45 days at least."""
PRICED = (CHANGE, CORRECTION, UNCLEAR)
"""The verdicts on prices; the others are on offers that came or went."""


def chosen(
    events: Sequence[Event],
    provider: str | None = None,
    model: str | None = None,
    since: date | None = None,
    verdicts: Sequence[str] = (),
) -> list[Event]:
    """The events of one provider, of models that fit a glob, that lists recorded from `since` on, with a verdict."""
    return [
        event for event in events
        if (provider is None or event.key.subject.provider == provider)
        and (model is None or fnmatchcase(event.key.subject.model.lower(), model.lower()))
        and (since is None or event.recorded >= since)
        and (not verdicts or event.verdict in verdicts)
    ]  # fmt: skip


def series_view(series: Series, judged: Judged, events: Sequence[Event]) -> dict[str, Any]:
    """Everything: sources, snapshots, counts and `events` (those that were chosen), problems and notes."""
    kinds = Counter(_kind(problem.reason) for problem in series.problems)
    return {
        "files": series.files,
        "sources": [_source(name, listed) for name, listed in series.snapshots.items()],
        "snapshots": [
            {
                "source": one.source, "date": one.day.isoformat(), "label": one.label, "file": one.place,
                "entries": one.read, "offers": len(one.modes), "prices": len(one.prices),
                "not_expressed": one.not_expressed,
            }
            for listed in series.snapshots.values() for one in listed
        ],
        "counts": counts(events),
        "offers": sum(len(history.seen) for history in judged.histories.values()),
        "events": [event_view(event) for event in events],
        "problems": [str(problem) for problem in series.problems],
        "problems_by_kind": dict(kinds.most_common()),
        "notes": list(series.notes),
    }  # fmt: skip


def _kind(reason: str) -> str:
    """A reason without what is particular: values, and what a repair says."""
    return _PARTICULAR.sub("…", reason.split(", with the value")[0])


def counts(events: Sequence[Event]) -> dict[str, Any]:
    """Events by verdict: all of them, and those of plain token prices (input and output under no condition)."""
    plain = [e for e in events if e.key.condition == "always" and e.key.meter in ("input", "output")]
    every, core = Counter(e.verdict for e in events), Counter(e.verdict for e in plain)
    decided = core[CHANGE] + core[CORRECTION]
    return {
        "events": len(events),
        "by_verdict": {verdict: every[verdict] for verdict in VERDICTS},
        "token_prices_by_verdict": {verdict: core[verdict] for verdict in PRICED},
        "corrections_of_decided_token_prices": core[CORRECTION] / decided if decided else None,
    }


def _source(name: str, listed: Sequence[Any]) -> dict[str, Any]:
    days = [one.day for one in listed]
    return {
        "source": name, "snapshots": len(days), "first": days[0].isoformat(), "last": days[-1].isoformat(),
        "gaps": [{"after": a.isoformat(), "until": b.isoformat(), "days": (b - a).days} for a, b in _gaps(days)],
    }  # fmt: skip


def _gaps(days: Sequence[date]) -> list[tuple[date, date]]:
    pairs = list(pairwise(days))
    if not pairs:
        return []
    usual = median((b - a).days for a, b in pairs)
    return [(a, b) for a, b in pairs if (b - a).days > max(_GAP_TIMES * usual, _GAP_DAYS)]


def event_view(event: Event) -> dict[str, Any]:
    """An event in JSON's types; amounts are decimal texts of dollars per `unit`."""
    subject, meter = event.key.subject, event.key.meter
    return {
        "provider": subject.provider,
        "model": subject.model,
        "channel": subject.channel,
        "region": subject.region or None,
        "meter": meter or None,
        "condition": event.key.condition or None,
        "unit": describe_unit(meter, METERS[meter].per) if meter else None,
        "from": _text(event.before),
        "to": _text(event.now),
        "after": event.after.isoformat() if event.after else None,
        "by": event.by.isoformat(),
        "since": event.since.isoformat() if event.since else None,
        "since_source": event.since_source or None,
        "recorded": event.recorded.isoformat(),
        "sources": [
            {"source": told.source, "after": told.after.isoformat() if told.after else None, "by": told.by.isoformat(),
             "from_label": told.before or None, "to_label": told.now or None}
            for told in event.told
        ],
        "verdict": event.verdict,
        "holds": event.holds or None,
        "reason": event.reason,
        "prices": {name: decimal_text(amount) for name, amount in event.prices.items()} or None,
    }  # fmt: skip


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else decimal_text(amount)


def series_rows(view: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The events as flat rows, for CSV."""
    flat = []
    for event in view["events"]:
        row = {key: value for key, value in event.items() if key not in ("sources", "prices")}
        row["sources"] = " ".join(sorted({told["source"] for told in event["sources"]}))
        flat.append(row)
    return flat


# --- tables ------------------------------------------------------------------------------------


def series_table(view: Mapping[str, Any], limit: int = _SHOWN) -> Iterator[Any]:
    """What was read, how many events of which kind, and the newest of them."""
    yield _text_of(_summary(view))
    yield _sources_table(view)
    counted = view["counts"]
    if not counted["events"]:
        yield _text_of("\nNo event. " + _why_none(view))
    else:
        yield _counts_table(view)
        yield from _events(view, limit)
    yield from _remarks(view)


def _summary(view: Mapping[str, Any]) -> str:
    taken = len(view["snapshots"])
    left = view["files"] - taken
    adds = "adds" if left == 1 else "add"
    rest = f"; {_count(left, 'file')} {adds} nothing, or could not be read (below)" if left else ""
    lists, files = _count(taken, "price list"), _count(view["files"], "file")
    return f"{lists} of {files}, {_count(view['offers'], 'offer')}{rest}\n"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _why_none(view: Mapping[str, Any]) -> str:
    if all(source["snapshots"] == 1 for source in view["sources"]):
        return "A change is between two lists of one source, and there is one list of each."
    return "Nothing that was asked for changed between these lists."


def _sources_table(view: Mapping[str, Any]) -> Any:
    table = _table("source", "lists", "from", "to", "largest gap, days", left=1)
    for one in view["sources"]:
        gap = max((g["days"] for g in one["gaps"]), default=0)
        table.add_row(one["source"], f"{one['snapshots']:,}", one["first"], one["last"], f"{gap:,}" if gap else "–")
    return table


def _counts_table(view: Mapping[str, Any]) -> Any:
    counted = view["counts"]
    table = _table("\nverdict", "\nevents", "token prices\n(in, out)", left=1)
    for verdict, number in counted["by_verdict"].items():
        core = counted["token_prices_by_verdict"].get(verdict)
        table.add_row(verdict, f"{number:,}", "" if core is None else f"{core:,}")
    return table


def _events(view: Mapping[str, Any], limit: int) -> Iterator[Any]:
    priced = [event for event in view["events"] if event["verdict"] in PRICED]
    every = _moves(priced or view["events"])
    rows = [row for row in every if any(_plain(event) for event in row)] or every
    first = rows[: limit or None]
    yield _text_of("\nThe newest, in dollars per million tokens where nothing else stands:" if priced else "")
    table = _table("by", "offer", "price", "verdict", "why", left=5)
    for row in first:
        lines = [_what(event) for event in row]
        rest = [f"and {len(lines) - _LINES:,} more"] if len(lines) > _LINES else []
        what = "\n".join([*lines[:_LINES], *rest])
        own = [event["reason"] for event in row if not event["reason"].startswith("as ")]
        why = next(iter(own), row[0]["reason"])
        table.add_row(row[0]["since"] or row[0]["by"], _offer(row[0]), what, row[0]["verdict"], why)
    yield table
    left = len(rows) - len(first)
    if left:
        yield _text_of(
            f"… and {left:,} more; --json or --out has all, --model and --verdict choose, --limit shows more."
        )
    if len(rows) < len(every):
        yield _text_of(
            f"Not shown: {len(every) - len(rows):,} steps of cached, batch, long-context and other prices alone (in "
            "--json and --out)."
        )


def _plain(event: Mapping[str, Any]) -> bool:
    """Whether it is a step of a plain token price: what a person asks for first."""
    return event["condition"] == "always" and event["meter"] in ("input", "output")


def _moves(events: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The events that are one row: prices of one offer in one list with one verdict, input first."""
    rows: dict[Any, list[Mapping[str, Any]]] = {}
    for event in events:
        offer = (event["provider"], event["model"], event["channel"], event["region"])
        rows.setdefault((event["by"], event["since"], offer, event["verdict"]), []).append(event)
    order = list(METERS)
    for row in rows.values():
        row.sort(key=lambda e: (e["condition"] != "always", order.index(e["meter"]) if e["meter"] else 0))
    return list(rows.values())


def _offer(event: Mapping[str, Any]) -> str:
    channel = "" if event["channel"] in ("direct", event["provider"]) else f" ({event['channel']})"
    region = f" [{event['region']}]" if event["region"] else ""
    return f"{event['provider']}/{event['model']}{channel}{region}"


def _what(event: Mapping[str, Any]) -> str:
    if event["meter"] is None:
        prices = event["prices"] or {}
        return ", ".join(f"{name} {usd}" for name, usd in prices.items() if "(" not in name) or "no price"
    unit = "" if event["unit"] == "1M tokens" else f" / {event['unit']}"
    condition = "" if event["condition"] == "always" else f", {event['condition']}"
    return f"{event['meter']}{unit}{condition} {event['from']} → {event['to']}"


def _remarks(view: Mapping[str, Any]) -> Iterator[Any]:
    for note in view["notes"]:
        yield _text_of(f"\n{note}")
    for source in view["sources"]:
        for gap in source["gaps"]:
            yield _text_of(
                f"\n{source['source']}: no list between {gap['after']} and {gap['until']} ({gap['days']} days)"
            )
    kinds = list(view["problems_by_kind"].items())
    if kinds:
        yield _text_of(f"\n{_count(len(view['problems']), 'problem')} in these files; --json lists each:")
        table = _table("problem", "times", left=1)
        for kind, times in kinds[:_PROBLEMS_SHOWN]:
            table.add_row(kind, f"{times:,}")
        yield table
        if len(kinds) > _PROBLEMS_SHOWN:
            yield _text_of(f"… and {len(kinds) - _PROBLEMS_SHOWN:,} other kinds.")


def _text_of(text: str) -> Any:
    from rich.text import Text

    return Text(text)


def _table(*columns: str, left: int) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for position, name in enumerate(columns):
        justify: Any = "left" if position < left else "right"
        table.add_column(name, justify=justify, overflow="fold")
    return table

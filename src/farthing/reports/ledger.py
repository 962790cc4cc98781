"""Views of the ledger: its summary, what verification found, and what another book would charge."""

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from farthing.ledger.reprice import Repriced
from farthing.ledger.summary import Group, LedgerSummary
from farthing.ledger.verify import Difference, Verification
from farthing.money import decimal_text, is_finite_decimal, show_usd
from farthing.reports.charge import quantity_text
from farthing.reports.usage import clean
from farthing.time import show_instant
from farthing.units import METERS
from farthing.usage.table import from_micro

if TYPE_CHECKING:
    from fractions import Fraction

    from rich.console import Group as Screen
    from rich.table import Table

SHOWN = 40
LISTED = 10


def _amount(usd: "Fraction | None", name: str) -> dict[str, Any]:
    """An amount as decimal text; where it has no end, the exact fraction beside it."""
    made: dict[str, Any] = {name: None if usd is None else decimal_text(usd)}
    if usd is not None and not is_finite_decimal(usd):
        made[f"{name}_fraction"] = str(usd)
    return made


def group_json(group: Group) -> dict[str, Any]:
    """A group in JSON's types: dollars as decimal text, counts in units, seconds as numbers."""
    return {
        **group.key,
        "requests": group.requests,
        "attempts": group.attempts,
        "open": group.open,
        "failed": group.failed,
        "cancelled": group.cancelled,
        "lost": group.lost,
        "estimated": group.estimated,
        "quantities": {name: _count(name, n) for name, n in group.quantities.items()},
        **_amount(group.known_usd, "known_usd"),
        **_amount(group.known_usd if not (group.unknown or group.open) else None, "total_usd"),
        "unknown": group.unknown,
        "unknown_reasons": group.reasons,
        "reported": _reported_json(group),
        "latency_p50_s": group.latency_p50_s,
        "latency_p95_s": group.latency_p95_s,
    }


def _reported_json(group: Group) -> dict[str, Any] | None:
    """What providers say that attempts cost, and how far from our charges that is where there are both."""
    if not group.reported:
        return None
    return {
        "attempts": group.reported,
        **_amount(group.reported_usd, "usd"),
        "compared": group.compared,
        **_amount(group.compared_reported_usd, "compared_reported_usd"),
        **_amount(group.compared_usd, "compared_known_usd"),
        **_amount(_drift(group), "difference_usd"),
    }


def _drift(group: Group) -> "Fraction | None":
    """Theirs less ours, over the attempts that have both."""
    if group.compared_usd is None or group.compared_reported_usd is None:
        return None
    return group.compared_reported_usd - group.compared_usd


def _count(name: str, count: int) -> int | str:
    scaled = name in METERS and METERS[name].scale != 1
    return quantity_text(name, count) if scaled else count


def summary_json(summary: LedgerSummary, key_names: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    """The summary as JSON types. `total_usd` is null while anything in it is unknown or open. `key_names`: of virtual
    keys by id, for groups by key."""
    return {
        "by": summary.by,
        "since": show_instant(summary.since) if summary.since else None,
        "until": show_instant(summary.until) if summary.until else None,
        "latency_exact": summary.latency_exact,
        "whole": group_json(summary.whole),
        "groups": [_named_json(group, key_names) for group in summary.groups],
    }


def _named_json(group: Group, key_names: Mapping[str, str]) -> dict[str, Any]:
    """A group; one by key has the key's name, null where it is not known."""
    made = group_json(group)
    if "key" not in group.key:
        return made
    head = {name: made.pop(name) for name in group.key}
    return {**head, "key_name": key_names.get(head["key"] or ""), **made}


def _table(*columns: str, left: int) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for number, name in enumerate(columns):
        if number < left:
            table.add_column(name, overflow="fold")
        else:
            table.add_column(name, justify="right", no_wrap=True)
    return table


def _ordered(counts: Mapping[str, int]) -> dict[str, int]:
    """The most first; of equals by the text."""
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}" + "s" * (number != 1)


def _known(usd: "Fraction", unknown: int) -> str:
    """A sum beside `unknown` rows that are not in it: then it is a lower bound, and nothing known is no zero."""
    if not unknown:
        return show_usd(usd)
    return f"≥ {show_usd(usd)}" if usd else "unknown"


def summary_view(summary: LedgerSummary, key_names: Mapping[str, str] = MappingProxyType({})) -> "Screen":
    """The summary for a terminal: the whole, then the groups, dearest first, then what is unknown and why."""
    from rich.console import Group as Screen
    from rich.text import Text

    whole = summary.whole
    head = Text(_many(whole.attempts, "attempt"), style="bold")
    head.append(f" at {_many(whole.requests, 'request')}, ")
    head.append(_known(whole.known_usd, whole.unknown), style="bold")
    parts: list[Any] = [head]
    ended = [(whole.failed, "failed"), (whole.cancelled, "cancelled"), (whole.lost, "lost"), (whole.open, "open")]
    if told := [f"{number:,} {word}" for number, word in ended if number]:
        parts.append(Text(", ".join(told)))
    if summary.groups:
        parts += ["", _groups(summary.by, summary.groups[:SHOWN], key_names)]
        if len(summary.groups) > SHOWN:
            parts.append(Text(f"and {len(summary.groups) - SHOWN:,} more; --json has all of them", style="dim"))
    if whole.unknown:
        parts += ["", Text(f"{_many(whole.unknown, 'attempt')} without a known charge, in no sum:")]
        parts += [Text(f"  {n:,}  {clean(reason)}") for reason, n in list(whole.reasons.items())[:LISTED]]
    if whole.estimated:
        parts.append(Text(f"{_many(whole.estimated, 'attempt')} with usage that the provider did not state: estimated"))
    if whole.reported_usd is not None:
        parts.append(Text(_reported(whole)))
    if not summary.latency_exact:
        parts.append(Text("latencies are within 1 %, not exact, over so many attempts", style="dim"))
    return Screen(*parts)


def _reported(whole: Group) -> str:
    assert whole.reported_usd is not None
    told = f"providers say what {_many(whole.reported, 'attempt')} cost: {show_usd(whole.reported_usd)}"
    drift = _drift(whole)
    if drift is None or whole.compared_usd is None or whole.compared_reported_usd is None:
        return f"{told}; none of them has a charge of ours"
    if whole.compared < whole.reported:
        told += (
            f"\n  {whole.compared:,} of them have a charge of ours: {show_usd(whole.compared_reported_usd)} by them,"
        )
        told += f" {show_usd(whole.compared_usd)} by us"
    else:
        told += f", and our charges {show_usd(whole.compared_usd)}"
    if not drift:
        return f"{told}: the same"
    part = f" ({abs(float(drift / whole.compared_usd)) * 100:.2g} %)" if whole.compared_usd else ""
    return f"{told}: theirs are {show_usd(abs(drift))} {'more' if drift > 0 else 'less'}{part}"


def _groups(by: Sequence[str], groups: Sequence[Group], key_names: Mapping[str, str]) -> "Table":
    from rich.text import Text

    table = _table(*by, "requests", "tokens in", "out", "USD", "unknown", "failed", "p50 s", "p95 s", left=len(by))
    for group in groups:
        counts = group.quantities
        read = sum(n for name, n in counts.items() if name in METERS and METERS[name].prompt)
        made = sum(n for name, n in counts.items() if name.startswith("output") and METERS[name].unit == "token")
        table.add_row(
            *(Text(_shown(name, value, key_names)) for name, value in group.key.items()),
            f"{group.requests:,}",
            f"{read:,}",
            f"{made:,}",
            _known(group.known_usd, group.unknown),
            f"{group.unknown:,}" if group.unknown else "-",
            f"{group.failed:,}" if group.failed else "-",
            "-" if group.latency_p50_s is None else f"{group.latency_p50_s:.3g}",
            "-" if group.latency_p95_s is None else f"{group.latency_p95_s:.3g}",
        )
    return table


def _shown(name: str, value: str | None, key_names: Mapping[str, str]) -> str:
    """A value that was grouped by; a key with its name, where that is known."""
    if value is None:
        return "-"
    known = key_names.get(value, "") if name == "key" else ""
    return clean(f"{known} ({value})" if known else value)


def difference_json(one: Difference) -> dict[str, Any]:
    """A row whose charge would differ."""
    return {
        "id": one.id,
        "at": show_instant(from_micro(one.at_us)),
        "offer": one.offer,
        "price": one.price,
        **_amount(one.recorded_usd, "recorded_usd"),
        **_amount(one.repriced_usd, "repriced_usd"),
        "reason": one.reason,
    }


def verification_json(found: Verification) -> dict[str, Any]:
    """What verification found, as JSON types."""
    names = ("ok", "rows", "hot", "days", "open", "lost", "checked", "agree", "differ", "unpriced", "unchecked")
    return {
        **{name: getattr(found, name) for name in names},
        "unchecked_why": found.unchecked_why,
        "spilled": found.spilled,
        "problems": [
            {"place": problem.place, "reason": problem.reason, "repair": problem.repair} for problem in found.problems
        ],
        "differences": [difference_json(one) for one in found.differences],
    }


def verification_view(found: Verification, living: bool = False) -> "Screen":
    """What verification found, for a terminal. `living`: a gateway runs on this ledger, and writes meanwhile."""
    from rich.console import Group as Screen
    from rich.text import Text

    parts: list[Any] = [
        Text("in order" if found.ok else "NOT in order", style="bold"),
        Text(f"{_many(found.rows, 'attempt')}: {found.hot:,} hot, the rest in {_many(found.days, 'closed day')}"),
        Text(
            f"{found.open:,} open, {found.lost:,} lost (their worker died), {found.unpriced:,} without a known charge"
        ),
        Text(f"{_many(found.checked, 'charge')} computed again: {found.agree:,} agree, {found.differ:,} differ"),
    ]
    parts += [Text(f"  {n:,} not computed: {why}") for why, n in found.unchecked_why.items()]
    if found.spilled:
        parts.append(Text(_on_its_way(found.spilled, living)))
    parts += [Text(clean(str(problem))) for problem in found.problems[:LISTED]]
    if found.differences:
        parts += ["", _differences(found.differences)]
    return Screen(*parts)


def _on_its_way(rows: int, living: bool) -> str:
    if living:
        verb = "is" if rows == 1 else "are"
        return f"{_many(rows, 'row')} {verb} on the way from the journal of a running gateway into the ledger"
    return f"{_many(rows, 'row')} in journals of workers that have ended: the next start of a gateway brings them in"


def _differences(differences: Sequence[Difference]) -> "Table":
    from rich.text import Text

    table = _table("attempt", "offer", "recorded", left=2)
    table.add_column("now", overflow="fold")
    for one in differences[:LISTED]:
        now = clean(one.reason) if one.repriced_usd is None else decimal_text(one.repriced_usd)
        recorded = "unknown" if one.recorded_usd is None else decimal_text(one.recorded_usd)
        table.add_row(Text(clean(one.id)), Text(clean(one.offer or "-")), recorded, Text(now))
    return table


def repriced_json(found: Repriced) -> dict[str, Any]:
    """The ledger under another book, as JSON types."""
    return {
        "as_of": show_instant(found.as_of) if found.as_of else None,
        "since": show_instant(found.since) if found.since else None,
        "until": show_instant(found.until) if found.until else None,
        "differ": found.differ,
        "alone": found.alone,
        "offers": [
            {
                "offer": offer.offer,
                "rows": offer.rows,
                "differ": offer.differ,
                **_amount(offer.recorded_usd, "recorded_usd"),
                **_amount(offer.repriced_usd, "repriced_usd"),
                "unknown_before": offer.unknown_before,
                "unknown_now": offer.unknown_now,
                "reasons": _ordered(offer.reasons),
                "records": dict(offer.records.most_common()),
                "notes": _ordered(offer.notes),
            }
            for offer in found.offers
        ],
        "differences": [difference_json(one) for one in found.differences],
    }


def repriced_view(found: Repriced) -> "Screen":
    """The ledger under another book, for a terminal: by offer, then the first rows that differ."""
    from rich.console import Group as Screen
    from rich.text import Text

    table = _table("offer", "attempts", "recorded", "repriced", "differ", "unknown was", "now", left=1)
    for offer in found.offers[:SHOWN]:
        table.add_row(
            Text(clean(offer.offer)),
            f"{offer.rows:,}",
            _known(offer.recorded_usd, offer.unknown_before),
            _known(offer.repriced_usd, offer.unknown_now),
            f"{offer.differ:,}",
            f"{offer.unknown_before:,}",
            f"{offer.unknown_now:,}",
        )
    as_of = f" as of {show_instant(found.as_of)}" if found.as_of else ""
    parts: list[Any] = [
        Text(f"{_many(found.differ, 'charge')} would differ under this book{as_of}; nothing is changed")
    ]
    parts += ["", table]
    if len(found.offers) > SHOWN:
        parts.append(Text(f"and {len(found.offers) - SHOWN:,} more; --json has all of them", style="dim"))
    reasons, notes = Counter[str](), Counter[str]()
    for offer in found.offers:
        reasons += offer.reasons
        notes += offer.notes
    if reasons:
        parts += ["", Text(f"{_many(reasons.total(), 'attempt')} without a known charge under this book, in no sum:")]
        parts += [Text(f"  {n:,}  {clean(reason)}") for reason, n in list(_ordered(reasons).items())[:LISTED]]
    if notes:
        parts.append(Text(""))
        parts += [Text(clean(f"{note} ({_many(n, 'attempt')})")) for note, n in list(_ordered(notes).items())[:LISTED]]
    if found.alone:
        parts.append(
            Text(f"{found.alone:,} are priced alone: free quotas and brackets over a period are not shared out")
        )
    if found.differences:
        parts += ["", _differences(found.differences)]
    return Screen(*parts)

"""A price watch as tables for a terminal of 100 columns, the dollars first."""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from farthing.money import show_usd
from farthing.reports.watch import amount, headline, signed

_OTHERS = 2
"""Other models shown of each offer; JSON has all."""


def watch_table(view: Mapping[str, Any]) -> Iterable[Any]:
    """The answer for a terminal of 100 columns: the dollars, then what moved, what is best, what ends."""
    from rich.console import Group
    from rich.text import Text

    yield Group(Text(headline(view), style="bold"))
    usage = view["usage"]
    span = f", {usage['first'][:10]} to {usage['last'][:10]}" if usage["first"] else ""
    yield Group(Text(f"{usage['requests']:,} requests{span}: {usage['source']}"))
    for alert in view["alerts"]:
        if alert["kind"] != "total":
            yield Group(Text(f"! {alert['text']}", style="yellow"))
    if not view["alerts"]:
        yield Group(Text("Nothing beyond the threshold."))
    yield Text("")
    yield _offers_table(view["offers"])
    for part in (_meters_table(view["offers"]), _best_table(view["best"]), _others_table(view["best"]),
                 _ending_table(view["ending"]), _disagreements_table(view["disagreements"]),
                 _unpriced_table(view["unpriced"])):  # fmt: skip
        if part is not None:
            yield Text("")
            yield part
    lines = [*_news(view), *(f"{note[:1].upper()}{note[1:]}." for note in view["notes"])]
    rejected = view["rejected"]
    if rejected and rejected["rows"]:
        first = rejected["first"][0]
        lines.append(f"{rejected['rows']:,} rows rejected, for example {first['place']}: {first['reason']}.")
    if lines:
        yield Text("")
        yield Group(*(Text(line, style="dim") for line in lines))


def _news(view: Mapping[str, Any]) -> Iterable[str]:
    for one in view["offers"]:
        for tier in one["new_tiers"]:
            cost = f": this usage in it costs {show_usd(amount(tier['usd']))}" if tier["usd"] is not None else ""
            yield f"{one['offer']} has a new service tier, {tier['tier']}{cost}."
        known = {f"tier {tier['tier']}" for tier in one["new_tiers"]}
        for condition in one["conditions"]:
            if condition["when"] not in known:
                word = "now" if condition["new"] else "no longer"
                meters = ", ".join(condition["meters"])
                yield f"{one['offer']} {word} has its own price for {condition['when']}: {meters}."
    for late in view["upcoming"]:
        change = amount(late["change_usd"])
        cost = "by an unknown amount" if change is None else f"{signed(change)} on this usage"
        yield f"{late['offer']} changes on {late['at'][:10]}: {cost}."
    for one in view["learned"]:
        change = amount(one["correction_usd"])
        cost = "" if change is None else f", {signed(change)} on this usage"
        kind = "Learned since" if change is None else "A correction, not a change"
        yield f"{kind}: {one['offer']} {one['what']}{cost}."


def _table(title: str, left: Sequence[str], right: Sequence[str]) -> Any:
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    made.add_column(title)
    for name in left:
        made.add_column(name)
    for name in right:
        made.add_column(name, justify="right", no_wrap=True)
    return made


def _offers_table(offers: Sequence[Mapping[str, Any]]) -> Any:
    made = _table("offer", (), ("then", "now", "change", "", "a month"))
    for one in offers:
        month = one["change_usd_per_month"]
        share = one["change_share"]
        made.add_row(
            one["offer"], _cost(one, "then"), _cost(one, "now"), _change(one["change_usd"], one["then_basis"]),
            f"{share:+.1%}" if share else "",
            signed(Fraction(month).limit_denominator(10**6)) if month else "",
            style={"dearer": "red", "cheaper": "green"}.get(one["direction"]),
        )  # fmt: skip
    return made


def _cost(one: Mapping[str, Any], which: str) -> str:
    if one[f"{which}_usd"] is not None:
        return show_usd(amount(one[f"{which}_usd"]))
    known = amount(one[f"{which}_known_usd"])
    return f"≥ {show_usd(known)}" if known else "unknown"


def _change(text: str | None, basis: str) -> str:
    change = amount(text)
    if change is None:
        return "unknown"
    return signed(change) if change else ("none known" if basis == "undated" else "none")


def _meters_table(offers: Sequence[Mapping[str, Any]]) -> Any:
    made = _table("what moved", ("meter",), ("then", "now", "per", "on this usage"))
    for one in offers:
        name = one["offer"]
        for m in one["meters"]:
            change = amount(m["change_usd"])
            if m["then_price_usd"] == m["now_price_usd"] and not change:
                continue
            per = "Mtok" if m["unit"] == "token" else f"{m['per']:,} {m['unit']}"
            made.add_row(name, m["meter"], _price(m["then_price_usd"]), _price(m["now_price_usd"]), per,
                         "unknown" if change is None else signed(change))  # fmt: skip
            name = ""
    return made if made.row_count else None


def _price(text: str | None) -> str:
    usd = amount(text)
    return "-" if usd is None else show_usd(usd)


def _best_table(found: Sequence[Mapping[str, Any]]) -> Any:
    made = _table("best placed now (same model)", ("at",), ("now", "there", "saves", "a month"))
    for one in found:
        if one["best"] is None or one["best"] == one["offer"]:
            continue
        host = next((h for h in one["hosts"] if h["offer"] == one["best"]), None)
        month = one["saving_usd_per_month"]
        made.add_row(
            one["offer"], one["best"] + (" (new)" if one["best_changed"] else ""),
            _price(one["now_usd"]), _price(host["usd"] if host else None), _price(one["saving_usd"]),
            show_usd(Fraction(month).limit_denominator(10**6)) if month is not None else "",
        )  # fmt: skip
    return made if made.row_count else None


def _others_table(found: Sequence[Mapping[str, Any]]) -> Any:
    made = _table("other models (not like for like)", ("instead", "published: in use → this one"), ("there", "saves"))
    for one in found:
        name = one["offer"]
        for other in one["others"][:_OTHERS]:
            made.add_row(name, other["offer"], _scores(other["scores"]), _price(other["usd"]),
                         _price(other["saving_usd"]))  # fmt: skip
            name = ""
    return made if made.row_count else None


def _scores(scores: Sequence[Mapping[str, Any]]) -> str:
    if not scores:
        return "nothing side by side"
    first = scores[0]
    more = f", {len(scores) - 1} more" if len(scores) > 1 else ""
    return f"{first['benchmark']} {first['in_use']:g} → {first['this']:g}{more}"


def _ending_table(found: Sequence[Mapping[str, Any]]) -> Any:
    made = _table("ends", ("when", "source"), ("on this usage",))
    for one in found:
        left = one["days_left"]
        when = one["why"]
        if left is not None:
            ago = "today" if left == 0 else f"in {left:,} days" if left > 0 else f"{-left:,} days ago"
            when = f"{one['day']}, {ago}"
        made.add_row(one["offer"], when, one["source"] or "-", _price(one["usd"]))
    return made if made.row_count else None


def _disagreements_table(found: Sequence[Mapping[str, Any]]) -> Any:
    made = _table("sources disagree", ("meter", "used", "other"), ("at the other's price",))
    for one in found:
        usd = amount(one["usd"])
        ends = [amount(one[key]) for key in ("usd_low", "usd_high")]
        parts = list(dict.fromkeys(signed(end - usd) for end in ends if end is not None and usd is not None))
        made.add_row(one["offer"], one["meter"], f"{one['used']} ({one['used_source']})",
                     f"{one['other']} ({one['other_source']}, {one['other_grade']})",
                     " to ".join(parts) or "unknown")  # fmt: skip
    return made if made.row_count else None


def _unpriced_table(found: Sequence[Mapping[str, Any]]) -> Any:
    made = _table("without a price", ("why",), ("rows", "tokens"))
    for one in found:
        made.add_row(one["model"], one["reason"], f"{one['rows']:,}", f"{one['tokens']:,}")
    return made if made.row_count else None

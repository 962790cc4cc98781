"""What an hour of a GPU costs over time, and the price of tokens against it: view, rows, tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from farthing.index.gpu import DeviceRents, IndexPoint, RentPoint
from farthing.index.gpu_tokens import Against, TokenSeries, attribution
from farthing.reports.index_spread import notes
from farthing.reports.index_words import UNKNOWN, money, number, plain_table, say

View = Mapping[str, Any]


def gpu_view(
    found: Sequence[DeviceRents], tokens: Sequence[TokenSeries], term: str, mix: str, asked: str | None = None
) -> dict[str, Any]:
    """Rents and tokens in JSON's types. `asked`: the device that was named, if one was.

    `points` of a device: the published average where there is one, else offers; both are there under their own names.
    `tokens`: the first series that has points.
    """
    main = next((one for one in tokens if one.points), None)
    sources = {source.id: source for one in found for source in one.sources}
    return {
        "asked": asked,
        "term": term,
        "mix": mix,
        "unit": "dollars per GPU-hour",
        "devices": [_device(one) for one in found],
        "index": [
            {"device": one.device, "method": "chained Jevons of matched sellers", **_index(point)}
            for one in found
            for point in one.index
        ],
        "tokens": [_against(point) for point in main.points] if main else [],
        "tokens_method": main.method if main else None,
        "tokens_device": main.device if main else None,
        "token_series": [_tokens(one) for one in tokens],
        "sources": [
            {"id": one.id, "title": one.title, "where": one.where, "seen": one.seen.isoformat() if one.seen else None,
             "grade": str(one.grade)}
            for one in sources.values()
        ],
        "grade": str(min(one.grade for one in found)) if found else None,
        "notes": [f"{one.device}: {note}" for one in found for note in one.notes]
        + [f"{one.name}: {note}" for one in tokens for note in one.notes]
        + ["an offer is taken to hold until its seller's next statement; a seller that changed in silence is missed"],
    }  # fmt: skip


def _device(one: DeviceRents) -> dict[str, Any]:
    return {
        "device": one.device,
        "title": one.title,
        "kind": one.kind,
        "points": [_point(point) for point in one.main],
        "averages": {name: [_point(point) for point in points] for name, points in one.averages.items()},
        "offers": [_point(point) for point in one.offers],
        "grade": str(one.grade),
    }


def _point(one: RentPoint) -> dict[str, Any]:
    return {
        "date": one.day.isoformat(), "usd_per_hour": one.usd_per_hour, "low": one.low, "high": one.high,
        "count": one.count, "grade": str(one.grade), "source": one.source, "basis": one.basis,
        "sellers": list(one.sellers),
    }  # fmt: skip


def _index(one: IndexPoint) -> dict[str, Any]:
    return {"date": one.day.isoformat(), "index": one.index, "count": one.count, "moved": one.moved}


def _against(one: Against) -> dict[str, Any]:
    return {"date": one.day.isoformat(), "token_index": one.tokens, "gpu_index": one.gpu, "ratio": one.ratio}


def _tokens(one: TokenSeries) -> dict[str, Any]:
    found = attribution(one.points)
    fell = None
    if found is not None:
        fell = {"start": found.start.isoformat(), "end": found.end.isoformat(), "tokens_fell": found.tokens_fell,
                "rents_fell": found.rents_fell, "beyond_rents": found.beyond_rents,
                "share_beyond": found.share_beyond}  # fmt: skip
    return {"name": one.name, "method": one.method, "device": one.device,
            "points": [_against(point) for point in one.points], "fell": fell, "notes": list(one.notes)}  # fmt: skip


def gpu_rows(view: View) -> list[dict[str, Any]]:
    """One row a statement or day: averages, offers, the matched index, and tokens against rents."""
    rows: list[dict[str, Any]] = []
    for one in view["devices"]:
        head = {"device": one["device"], "term": view["term"]}
        for points in one["averages"].values():
            rows += [head | {"series": "average"} | dict(point) for point in points]
        rows += [head | {"series": "offers"} | dict(point) for point in one["offers"]]
    rows += [{"device": p["device"], "term": view["term"], "series": "index"} | dict(p) for p in view["index"]]
    for one in view["token_series"]:
        rows += [
            {"device": one["device"], "term": view["term"], "series": one["name"]} | dict(p) for p in one["points"]
        ]
    return rows


def gpu_table(view: View) -> Iterator[Any]:
    """What a person reads: how rents moved, each device's dates, the index, and tokens against it."""
    yield from say(_headline(view))
    for one in view["devices"]:
        yield from _published(view, one)
    if view["asked"]:
        for one in view["devices"]:
            yield from _offers(one)
    else:
        yield from _latest(view)
    yield from _indices(view)
    yield from _token_tables(view)
    yield from notes(view)


def _headline(view: View) -> str:
    one = view["devices"][0]
    first, last = one["points"][0], one["points"][-1]
    sellers = f"{last['count']} seller{'s' * (last['count'] != 1)}"
    what = "market average" if one["kind"] == "average" else f"median of {sellers}"
    text = f"An hour of {one['device']} ({view['term']}, {what}): ${money(last['usd_per_hour'])} in {last['date'][:7]}"
    if one["kind"] == "offers":
        return text + f", from ${money(last['low'])} to ${money(last['high'])}."
    if first is last:
        return text + ", the only date known."
    low, high = (pick(one["points"], key=lambda p: p["usd_per_hour"]) for pick in (min, max))
    share = last["usd_per_hour"] / first["usd_per_hour"] - 1
    text += f", {_percent(share)} against {first['date'][:7]} (${money(first['usd_per_hour'])})"
    text += f"; lowest ${money(low['usd_per_hour'])} in {low['date'][:7]}"
    return text + f", highest ${money(high['usd_per_hour'])} in {high['date'][:7]}."


def _published(view: View, one: View) -> Iterator[Any]:
    if not one["averages"]:
        return
    yield from say(f"\n{one['title']}, market averages ($ an hour, {view['term']}):\n")
    table = plain_table("Publisher", "Average of", "Date", "$ an hour", "Change", "Grade", left=3, last_left=True)
    for publisher, points in one["averages"].items():
        before = None
        for point in points:
            change = "" if before is None else _percent(point["usd_per_hour"] / before - 1)
            table.add_row(publisher, point["basis"], point["date"], money(point["usd_per_hour"]), change,
                          point["grade"])  # fmt: skip
            before = point["usd_per_hour"]
    yield table


def _offers(one: View) -> Iterator[Any]:
    if not one["offers"]:
        return
    yield from say(f"\n{one['title']}, what sellers ask (whoever is known that day, so not one basket):\n")
    table = plain_table("Date", "Sellers", "Lowest", "Median", "Highest", "Grade", last_left=True)
    for point in one["offers"]:
        table.add_row(point["date"], str(point["count"]), money(point["low"]), money(point["usd_per_hour"]),
                      money(point["high"]), point["grade"])  # fmt: skip
    yield table


def _latest(view: View) -> Iterator[Any]:
    """The offers of the last day of each device, in one table."""
    yield from say("\nWhat sellers ask, as last known (--device D shows every date):\n")
    table = plain_table("Device", "Since", "Sellers", "Lowest", "Median", "Highest", "Grade", left=2, last_left=True)
    for one in view["devices"]:
        for point in one["offers"][-1:]:
            table.add_row(one["device"], point["date"], str(point["count"]), money(point["low"]),
                          money(point["usd_per_hour"]), money(point["high"]), point["grade"])  # fmt: skip
    yield table


def _indices(view: View) -> Iterator[Any]:
    if not view["index"]:
        return
    yield from say("\nIndex of matched sellers (chained Jevons, 100 at each device's first day):\n")
    table = plain_table("Device", "Date", "Index", "Sellers linked", "Changed", left=2)
    for point in view["index"]:
        table.add_row(
            point["device"], point["date"], number(point["index"], 1), str(point["count"]), str(point["moved"])
        )
    yield table


def _token_tables(view: View) -> Iterator[Any]:
    for one in view["token_series"]:
        if not one["points"]:
            continue
        yield from say(f"\nThe price of tokens ({one['method']}) against the rent of {one['device']}:\n")
        table = plain_table("Date", "Tokens", "Rent", "Tokens / rent")
        for point in one["points"]:
            table.add_row(point["date"], _level(point["token_index"]), _level(point["gpu_index"]),
                          f"{point['ratio']:.3g}")  # fmt: skip
        yield table
        yield from say("\n" + _fell(one["fell"]))


def _fell(fell: View) -> str:
    span = f"From {fell['start'][:7]} to {fell['end'][:7]}"
    tokens, rents = fell["tokens_fell"], fell["rents_fell"]
    moved = f"rents {'fell' if rents >= 1 else 'rose'} {_times(rents)}"
    if fell["share_beyond"] is None:
        return f"{span} tokens did not fall ({_times(tokens)} up); {moved}."
    beyond = (
        f"{span} tokens fell {_times(tokens)} and {moved}: against the rent they fell {_times(fell['beyond_rents'])}"
    )
    if rents <= 1:
        return f"{beyond}; none of the fall is due to rents."
    return f"{beyond}, {100 * fell['share_beyond']:.0f} % of the fall (in logarithms) is not due to rents."


def _level(value: float) -> str:
    """A level of an index: one decimal, and three digits below 1."""
    return number(value, 1) if value >= 1 else f"{value:.3g}"


def _times(factor: float) -> str:
    return f"{max(factor, 1 / factor):.3g} times"


def _percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{100 * share:+.0f} %"

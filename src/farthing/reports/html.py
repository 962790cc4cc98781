"""`farthing replay --html`: the answer as one page that works offline, on a phone and on paper.

Everything is in the file: words and tables as HTML, charts as Vega-Lite specifications, the libraries
that draw them (once), styles, scripts. Its content policy forbids the browser to fetch anything.
Amounts are written by `money`; floats only place marks in a chart. Names of files and models come from
others: the template escapes them, and so does the JSON in it.
"""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec

from farthing import __version__
from farthing.evidence import Source
from farthing.files import write_whole
from farthing.money import decimal_text, is_finite_decimal, show_usd
from farthing.policies.question import AS_SERVED, PROMPT_CACHE, Replay, Row
from farthing.reports.charge import quantity_text
from farthing.reports.usage import duration, percent
from farthing.time import show_instant
from farthing.units import METERS, TOKEN_METERS

DRAWN = 40
"""Offers in the chart of candidates, cheapest first; a table holds them all."""

# Middle tones, legible on white and on black.
_KINDS = {
    "input": "#3d85c6", "cache_read": "#2a9d8f", "cache_write": "#e9a23b", "cache_write_5m": "#e9a23b",
    "cache_write_30m": "#d98a2b", "cache_write_1h": "#c8702a", "output": "#9a6fd0",
}  # fmt: skip
_OTHER_KINDS = ("#c65b7c", "#7a9a3a", "#5aa9c9", "#a58b6f", "#6d78c9", "#8c8c8c")


class Number(msgspec.Struct, frozen=True):
    """A number in a table: as shown, digit for digit (a tooltip), and for sorting (None: unknown, last)."""

    text: str
    exact: str = ""
    sort: float | None = None


def write_page(replay: Replay, out: Path, title: str, source: str, command: str = "") -> None:
    """Write `replay` to `out` as one self-contained HTML page: all of it, or nothing.

    `title` heads the page, `source` says what the usage is (its files), `command` is the line that makes
    the page again. The same input gives the same bytes. Raises `FarthingError` where `out` cannot be written.
    """
    # A lone surrogate in somebody's model name has no UTF-8: it is shown as a question mark.
    write_whole(out, page(replay, title, source, command).encode("utf-8", "replace").decode())


def page(replay: Replay, title: str, source: str, command: str = "") -> str:
    """The page of `write_page` as text."""
    import jinja2

    from farthing.reports import html_charts as charts

    shown = _Shown(replay)
    rows = shown.cost_rows()
    shares, offers = shown.share_rows(rows), shown.offers()
    specs: dict[str, Any] = {}
    if rows:
        specs["costs"] = charts.costs(rows, replay.as_is.total_usd)
    if any(row.total_usd for row in replay.everywhere):
        specs["offers"] = charts.offers(replay)
    if shares:
        specs["shares"] = charts.shares(shares)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("farthing", "reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return environment.get_template("replay.html.j2").render(
        title=title,
        source=source,
        command=command,
        version=__version__,
        charts=list(specs),
        runtime=charts.runtime() if specs else "",
        data={"charts": specs, "data": {"rows": rows, "shares": shares}, "offers": offers},
        **shown.words(),
    )


class _Shown:
    """A replay as the page shows it: words for the template, rows for the charts."""

    def __init__(self, replay: Replay) -> None:
        self.replay = replay
        self.own = {AS_SERVED, *(row.offer for row in replay.models or [replay.as_is])}

    def words(self) -> dict[str, Any]:
        """What the template prints. Texts are plain: the template escapes them."""
        replay, as_is = self.replay, self.replay.as_is
        priced = [row for row in replay.rows if row.total_usd is not None and not row.too_long_rows]
        stays = {AS_SERVED} if replay.models else {AS_SERVED, replay.as_is.offer}
        same = [row for row in priced if row.offer in stays]
        everything = [as_is, *replay.models, *replay.rows, *replay.everywhere]
        spreads = [row.spread for row in (as_is, *replay.rows) if row.spread is not None]
        return {
            "total": _usd(as_is.total_usd),
            "known": _usd(as_is.known_usd),
            "as_is": self.row(as_is),
            "facts": self.facts(),
            "kinds": self.kinds(),
            "segments": _segments(as_is),
            "models": [self.row(row) for row in replay.models],
            "cheapest": self.row(min(priced, key=_cost)) if priced else None,
            "cheapest_own": self.row(min(same, key=_cost)) if same else None,
            "rows": [self.row(row) for row in replay.rows],
            "drawn": min(DRAWN, len({row.offer for row in replay.rows})),
            "candidates": len({row.offer for row in replay.rows}),
            "sampled": next((spread.rows for spread in spreads if spread.sampled), 0),
            "everywhere": len(replay.everywhere),
            "free": [row.offer for row in replay.everywhere if row.total_usd == 0],
            "short": sum(row.too_long_rows > 0 for row in replay.everywhere),
            "partial": sum(row.total_usd is None for row in replay.everywhere),
            "unable": replay.unable,
            "notes": replay.notes,
            "cacheable": replay.cacheable_rows if any(PROMPT_CACHE in row.policy for row in replay.rows) else None,
            "usage_rows": replay.usage_rows,
            "assumptions": Counter(text for row in replay.rows for text in row.assumptions).most_common(),
            "sources": _sources(everything),
        }

    def row(self, row: Row) -> dict[str, Any]:
        """One row of a table."""
        spread = row.spread
        reasons = [f"{reason} ({count:,} rows)" for reason, count in row.reasons.items()]
        return {
            "offer": row.offer,
            "own": row.offer in self.own,
            "policy": row.policy,
            "cost": _usd(row.total_usd),
            "at_least": show_usd(row.known_usd) if row.total_usd is None and row.known_usd else "",
            "ratio": _ratio(row.ratio),
            "numbers": [
                _usd(row.usd_per_mtok),
                _usd(row.mean_usd),
                *(_usd(getattr(spread, rank) if spread else None, "-") for rank in ("p50", "p95", "p99")),
            ],
            "rows": row.rows,
            "unpriced": row.unpriced_rows,
            "grade": _grade(row),
            "reasons": reasons,
            "notes": _notes(row, reasons),
            "segments": _segments(row),
            "saves": row.ratio is not None and row.ratio < 1,
        }

    def facts(self) -> list[tuple[str, Number]]:
        """The figures beside the headline, by name."""
        replay, as_is = self.replay, self.replay.as_is
        facts = [("requests", Number(f"{replay.requests:,}"))]
        if replay.usage_rows != replay.requests:
            facts.append(("rows of usage", Number(f"{replay.usage_rows:,}")))
        tokens = sum(n for name, n in replay.quantities.items() if name in TOKEN_METERS)
        facts.append(("tokens", Number(f"{tokens:,}")))
        if replay.first is not None and replay.last is not None:
            length = duration((replay.last - replay.first).total_seconds())
            first, last = (show_instant(moment.replace(microsecond=0)) for moment in (replay.first, replay.last))
            facts.append(("time span", Number(length, "" if replay.relative else f"{first} to {last}")))
        facts += [("a million tokens", _usd(as_is.usd_per_mtok)), ("a request, mean", _usd(as_is.mean_usd))]
        if as_is.spread is not None:
            facts.append(("a request, p99", _usd(as_is.spread.p99)))
        return facts

    def kinds(self) -> list[dict[str, Any]]:
        """What was consumed and what it cost, by meter; a meter that only a price added comes last."""
        as_is, quantities, made = self.replay.as_is, self.replay.quantities, []
        for name in sorted({*quantities, *as_is.lines}, key=list(METERS).index):
            billed, usd = as_is.lines.get(name, (0, None))
            share, whole = as_is.shares.get(name), METERS[name].part_of
            cost = Number(f"in {_words(whole)}") if whole and usd is None else _usd(usd)
            made.append({
                "name": f"of which {_words(name)}" if whole else _words(name),
                "what": METERS[name].what,
                "colour": _colour(name),
                "count": _grouped(quantity_text(name, quantities.get(name, billed))),
                "unit": METERS[name].unit,
                "cost": cost,
                "share": percent(share) if share is not None else "",
            })  # fmt: skip
        return made

    def cost_rows(self) -> list[dict[str, Any]]:
        """Rows of the chart of candidates: those of the `DRAWN` cheapest offers, cheapest first."""
        best: dict[str, tuple[bool, Fraction]] = {}
        for row in self.replay.rows:
            best[row.offer] = min(best.get(row.offer, (True, Fraction(0))), (row.total_usd is None, _cost(row)))
        chosen = sorted(best, key=lambda offer: (*best[offer], offer))[:DRAWN]
        place = {offer: number for number, offer in enumerate(chosen)}
        rows = sorted((row for row in self.replay.rows if row.offer in place), key=lambda row: place[row.offer])
        return [
            {
                "offer": row.offer,
                "policy": row.policy,
                "usd": None if row.total_usd is None else float(row.total_usd),
                "end": float(row.total_usd or 0),
                "label": show_usd(row.total_usd),
                "cost": _usd(row.total_usd).exact,
                "ratio": _ratio(row.ratio).text,
                "per million tokens": show_usd(row.usd_per_mtok),
                "grade": _grade(row),
            }
            for row in rows
        ]

    def share_rows(self, drawn: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Rows of the chart of kinds, of the same offers as `drawn`, in the same order."""
        return [
            {
                "offer": row.offer,
                "policy": row.policy,
                "kind": _words(name),
                "rank": list(METERS).index(name),
                "colour": _colour(name),
                "part": float(share),
                "share": percent(share),
                "cost": show_usd(share * row.known_usd),
            }
            for offer in dict.fromkeys(row["offer"] for row in drawn)
            for row in self.replay.rows
            if row.offer == offer
            for name, share in row.shares.items()
        ]

    def offers(self) -> list[list[Any]]:
        """Every offer: id, exact dollars (None: unknown), dollars for a person, ratio, grade, notes, own, too short."""
        return [
            [
                row.offer,
                None if row.total_usd is None else decimal_text(row.total_usd),
                show_usd(row.total_usd),
                _ratio(row.ratio).text,
                _grade(row),
                "; ".join(_notes(row, list(row.reasons))),
                int(row.offer in self.own),
                int(row.too_long_rows > 0),
            ]
            for row in self.replay.everywhere
        ]


def _segments(row: Row) -> list[dict[str, str]]:
    """The parts of a stacked bar, in the order of the meters."""
    return [
        {"name": _words(name), "colour": _colour(name), "share": percent(row.shares[name]),
         "width": f"{float(row.shares[name]):.5f}", "cost": show_usd(row.shares[name] * row.known_usd)}
        for name in sorted(row.shares, key=list(METERS).index)
    ]  # fmt: skip


def _sources(rows: Sequence[Row]) -> list[Source]:
    return list({source.id: source for row in rows for source in row.sources}.values())


def _cost(row: Row) -> Fraction:
    return row.known_usd if row.total_usd is None else row.total_usd


def _usd(amount: Fraction | None, missing: str = "unknown") -> Number:
    if amount is None:
        return Number(missing, missing)
    cut = "" if is_finite_decimal(amount) else "… (28 digits)"
    return Number(show_usd(amount), f"${decimal_text(amount)}{cut}", float(amount))


def _ratio(ratio: Fraction | None) -> Number:
    if ratio is None:
        return Number("unknown")
    return Number("×" + show_usd(ratio).removeprefix("$"), "", float(ratio))  # the same digits as an amount


def _grade(row: Row) -> str:
    return "-" if row.grade is None else str(row.grade)


def _notes(row: Row, reasons: Sequence[str]) -> list[str]:
    short = [f"{row.too_long_rows:,} rows are longer than its context"] if row.too_long_rows else []
    return [*short, *row.notes, *reasons]


def _words(meter: str) -> str:
    return meter.replace("_", " ")


def _colour(meter: str) -> str:
    return _KINDS.get(meter) or _OTHER_KINDS[list(METERS).index(meter) % len(_OTHER_KINDS)]


def _grouped(digits: str) -> str:
    whole, point, rest = digits.partition(".")
    return f"{int(whole):,}{point}{rest}"

"""`farthing replay --html`: the answer as one page that works offline, on a phone and on paper.

Everything is in the file: words and tables as HTML, charts as Vega-Lite specifications, the libraries
that draw them (once), styles, scripts. Its content policy forbids the browser to fetch anything. Amounts are written by `money`; floats only place marks in a chart.
Names of files and models come from others: the template escapes them, and so does the JSON in it.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from farthing import __version__
from farthing.evidence import Source
from farthing.money import decimal_text, is_finite_decimal, show_usd
from farthing.policies.question import AS_IS, PROMPT_CACHE, Replay, Row
from farthing.problems import FarthingError
from farthing.reports.charge import quantity_text
from farthing.reports.usage import duration, percent
from farthing.time import show_instant
from farthing.units import METERS, TOKEN_METERS

if TYPE_CHECKING:
    import altair as alt

DRAWN = 40
"""Offers in the chart of candidates, cheapest first; a table holds them all."""

# Middle tones, legible on white and on black.
_KINDS = {
    "input": "#3d85c6", "cache_read": "#2a9d8f", "cache_write": "#e9a23b", "cache_write_5m": "#e9a23b",
    "cache_write_30m": "#d98a2b", "cache_write_1h": "#c8702a", "output": "#9a6fd0",
}  # fmt: skip
_OTHER_KINDS = ("#c65b7c", "#7a9a3a", "#5aa9c9", "#a58b6f", "#6d78c9", "#8c8c8c")
_POLICIES = {AS_IS: "#7d8ba1", "batch": "#d95f76", PROMPT_CACHE: "#5aa04a", "batch+prompt-cache": "#b07a2a"}
# Texts and lines take the page's own colour: light, dark and print need no second drawing.
_INK = dict.fromkeys(("labelColor", "titleColor", "tickColor", "domainColor", "gridColor"), "currentColor")
_CONFIG = {
    "background": "transparent",
    "font": "inherit",
    "view": {"stroke": None},
    "axis": {**_INK, "gridOpacity": 0.13, "domainOpacity": 0.3, "tickOpacity": 0.3, "labelFontSize": 12},
    "legend": {"labelColor": "currentColor", "titleColor": "currentColor", "labelFontSize": 12},
    "text": {"color": "currentColor"},
    "rule": {"color": "currentColor"},
}
_DOLLARS = "$,.9~f"  # d3-format; the SI style would write a thousandth as "m"
_LABEL_LIMIT = "containerSize()[0] < 560 ? 130 : 330"


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
    _write(out, page(replay, title, source, command))


def page(replay: Replay, title: str, source: str, command: str = "") -> str:
    """The page of `write_page` as text."""
    import altair as alt
    import jinja2
    import vl_convert

    shown = _Shown(replay)
    rows, shares, offers = shown.cost_rows(), shown.share_rows(), shown.offers()
    charts = {
        "costs": _costs_chart(rows, replay.as_is.total_usd) if rows else None,
        "offers": _offers_chart(replay) if any(row.total_usd for row in replay.everywhere) else None,
        "shares": _shares_chart(shares) if shares else None,
    }
    version = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    specs = {name: {**chart.to_dict(), "config": _CONFIG} for name, chart in charts.items() if chart is not None}
    runtime = ""
    if specs:
        bundle = vl_convert.javascript_bundle(snippet="window.vegaEmbed = vegaEmbed;", vl_version=version)
        runtime = bundle.replace("</script", "<\\/script")
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
        runtime=runtime,
        data={"charts": specs, "data": {"rows": rows, "shares": shares}, "offers": offers},
        **shown.words(),
    )


def _write(out: Path, text: str) -> None:
    """A new file beside `out`, then a rename: a full disk or a crash leaves what was there before."""
    goal = out.resolve()  # a link stays a link
    if goal.exists() and not goal.is_file():
        raise FarthingError(f"cannot write {out}: it is not a regular file")
    draft = goal.with_name(f".{goal.name}.{os.getpid()}.part")
    try:
        try:
            with draft.open("wb") as file:
                file.write(text.encode("utf-8", "replace"))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(goal)
        except BaseException:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise FarthingError(f"cannot write {out}: {error.strerror or error}") from None


class _Shown:
    """A replay as the page shows it: words for the template, rows for the charts."""

    def __init__(self, replay: Replay) -> None:
        self.replay = replay
        self.own = {row.offer for row in (replay.models or [replay.as_is])}

    def words(self) -> dict[str, Any]:
        """What the template prints. Texts are plain: the template escapes them."""
        replay, as_is = self.replay, self.replay.as_is
        priced = [row for row in replay.rows if row.total_usd is not None]
        same = [row for row in priced if row.offer in self.own]
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
                *(_usd(spread and getattr(spread, rank), "-") for rank in ("p50", "p95", "p99")),
            ],
            "rows": row.rows,
            "unpriced": row.unpriced_rows,
            "grade": row.grade,
            "reasons": reasons,
            "notes": [*row.notes, *reasons],
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
        as_is, made = self.replay.as_is, []
        shares = as_is.shares
        for name in sorted({*self.replay.quantities, *shares}, key=list(METERS).index):
            count, share, whole = self.replay.quantities.get(name), shares.get(name), METERS[name].part_of
            if share is not None:
                cost = _usd(share * as_is.known_usd)
            elif whole:
                cost = Number(f"in {_words(whole)}")
            else:
                cost = _usd(None if as_is.unpriced_rows else Fraction(0))
            made.append({
                "name": f"of which {_words(name)}" if whole else _words(name),
                "what": METERS[name].what,
                "colour": _colour(name),
                "count": "" if count is None else _grouped(quantity_text(name, count)),
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
                "grade": str(row.grade),
            }
            for row in rows
        ]

    def share_rows(self) -> list[dict[str, Any]]:
        """Rows of the chart of kinds, of the same offers in the same order."""
        drawn = dict.fromkeys(row["offer"] for row in self.cost_rows())
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
            for offer in drawn
            for row in self.replay.rows
            if row.offer == offer
            for name, share in row.shares.items()
        ]

    def offers(self) -> list[list[Any]]:
        """Every offer: id, exact dollars (None: unknown), dollars for a person, ratio, grade, notes, own."""
        return [
            [
                row.offer,
                None if row.total_usd is None else decimal_text(row.total_usd),
                show_usd(row.total_usd),
                _ratio(row.ratio).text,
                str(row.grade),
                "; ".join([*row.notes, *row.reasons]),
                int(row.offer in self.own),
            ]
            for row in self.replay.everywhere
        ]


def _costs_chart(rows: Sequence[Mapping[str, Any]], as_is: Fraction | None) -> "alt.LayerChart":
    """Bars of cost, a group for each offer, a bar for each policy; a line where the usage is as it was."""
    import altair as alt

    policies = _present(rows)
    longest = max(float(as_is or 0), *(row["end"] for row in rows)) or 1.0
    bars = alt.Chart(alt.NamedData("rows")).encode(
        y=alt.Y("offer:N", sort=list(dict.fromkeys(row["offer"] for row in rows)), title=None,
                axis=alt.Axis(labelLimit=alt.ExprRef(_LABEL_LIMIT), ticks=False, domain=False)),
        yOffset=alt.YOffset("policy:N", sort=policies),
        # Room at the right end for the label of the longest bar.
        x=alt.X("usd:Q", title="US dollars", scale=alt.Scale(domain=[0, longest * 1.3], nice=False),
                axis=alt.Axis(format=_DOLLARS, tickCount=5, labelOverlap=True)),
        tooltip=["offer:N", "policy:N", "cost:N", "ratio:N", "per million tokens:N", "grade:N"],
    )  # fmt: skip
    colours = alt.Scale(domain=policies, range=[_POLICIES.get(policy, _OTHER_KINDS[0]) for policy in policies])
    layers: list[Any] = [
        bars.mark_bar().encode(
            color=alt.Color("policy:N", scale=colours, legend=alt.Legend(orient="top", title=None, columns=2))
        ),
        bars.mark_text(align="left", dx=4, fontSize=11).encode(x="end:Q", text="label:N"),
    ]
    if as_is is not None:
        line = alt.Chart(alt.InlineData(values=[{"as_is": float(as_is)}]))
        layers.append(line.mark_rule(strokeDash=[5, 3], strokeWidth=1.5).encode(x="as_is:Q"))
    # A step for each bar; with one policy there is one bar an offer, which may be thicker.
    step = {"step": 14 if len(policies) > 1 else 20, "for": "offset"}
    return alt.layer(*layers).properties(width="container", height=step)


def _offers_chart(replay: Replay) -> "alt.LayerChart":
    """Every offer of the book with a cost above zero: a row for each provider, on a logarithmic axis."""
    import altair as alt

    providers = list(dict.fromkeys(row.offer.split("/")[0] for row in replay.everywhere if row.total_usd))
    search = alt.param(
        name="search",
        value="",
        bind=alt.BindInput(input="search", placeholder="provider or model", name="Find "),
    )
    found = "indexof(lower(datum.offer), lower(search)) >= 0"
    points = (
        alt.Chart(alt.NamedData("offers"))
        .transform_filter("datum.usd > 0")
        .encode(
            x=alt.X("usd:Q", title="US dollars, logarithmic", scale=alt.Scale(type="log", nice=False, padding=12),
                    axis=alt.Axis(format=_DOLLARS, labelOverlap="greedy", tickCount=6)),
            y=alt.Y("provider:N", sort=providers, title=None,
                    axis=alt.Axis(grid=True, ticks=False, domain=False, labelLimit=alt.ExprRef(_LABEL_LIMIT))),
            tooltip=["offer:N", "cost:N", "ratio:N", "grade:N", "notes:N"],
        )
    )  # fmt: skip
    layers: list[Any] = [
        points.transform_filter("!datum.own").mark_circle(size=36).encode(
            color=alt.Color("provider:N", scale=alt.Scale(scheme="tableau10"), legend=None),
            opacity=alt.when(found).then(alt.value(0.75)).otherwise(alt.value(0.06)),
        ).add_params(search),
        points.transform_filter("datum.own").mark_point(
            shape="diamond", filled=True, size=150, color="currentColor", opacity=1
        ),
    ]  # fmt: skip
    if replay.as_is.total_usd:
        line = alt.Chart(alt.InlineData(values=[{"as_is": float(replay.as_is.total_usd)}]))
        layers.append(line.mark_rule(strokeDash=[5, 3], strokeWidth=1.5).encode(x="as_is:Q"))
    return alt.layer(*layers).properties(width="container", height={"step": 17})


def _shares_chart(rows: Sequence[Mapping[str, Any]]) -> "alt.Chart":
    """What each candidate's cost is made of, under the policy that the reader chooses."""
    import altair as alt

    policies = _present(rows)
    kinds = {row["kind"]: row["colour"] for row in sorted(rows, key=lambda row: int(row["rank"]))}
    policy = alt.param(name="policy", value=policies[0], bind=alt.binding_select(options=policies, name="Policy "))
    return (
        alt.Chart(alt.NamedData("shares"))
        .mark_bar()
        .transform_filter("datum.policy === policy")
        .encode(
            y=alt.Y("offer:N", sort=list(dict.fromkeys(row["offer"] for row in rows)), title=None,
                    axis=alt.Axis(labelLimit=alt.ExprRef(_LABEL_LIMIT), ticks=False, domain=False)),
            x=alt.X("part:Q", stack="zero", title="share of the cost", scale=alt.Scale(domain=[0, 1]),
                    axis=alt.Axis(format="%", tickCount=5)),
            color=alt.Color("kind:N", scale=alt.Scale(domain=list(kinds), range=list(kinds.values())),
                            legend=alt.Legend(orient="top", title=None, columns=3)),
            order=alt.Order("rank:Q"),
            tooltip=["offer:N", "policy:N", "kind:N", "share:N", "cost:N"],
        )
        .add_params(policy)
        .properties(width="container", height={"step": 20})
    )  # fmt: skip


def _present(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The policies of `rows`, in the order in which they are told."""
    return sorted(
        {row["policy"] for row in rows},
        key=lambda name: (list(_POLICIES).index(name) if name in _POLICIES else 9, name),
    )


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


def _words(meter: str) -> str:
    return meter.replace("_", " ")


def _colour(meter: str) -> str:
    return _KINDS.get(meter) or _OTHER_KINDS[list(METERS).index(meter) % len(_OTHER_KINDS)]


def _grouped(digits: str) -> str:
    whole, point, rest = digits.partition(".")
    return f"{int(whole):,}{point}{rest}"

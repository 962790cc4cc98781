"""The charts of the replay page, as Vega-Lite specifications, and the libraries that draw them.

Each specification names its data set (`rows`, `shares`, `offers`); the page holds the data once.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import ceil, floor, log10
from typing import Any

from farthing.policies.question import AS_IS, BATCH, PROMPT_CACHE, Replay
from farthing.reports.vega import INK
from farthing.reports.vega import runtime as runtime

_POLICIES = {AS_IS: "#7d8ba1", BATCH: "#d95f76", PROMPT_CACHE: "#5aa04a", f"{BATCH}+{PROMPT_CACHE}": "#b07a2a"}
_CONFIG = {
    "background": "transparent",
    "font": "system-ui, sans-serif",  # by name: the width of a label is measured outside the page's styles
    "autosize": {"type": "fit-x", "contains": "padding"},
    "view": {"stroke": None},
    "axis": {**INK, "gridOpacity": 0.13, "domainOpacity": 0.3, "tickOpacity": 0.3, "labelFontSize": 12},
    "legend": {"labelColor": "currentColor", "titleColor": "currentColor", "labelFontSize": 12},
    "text": {"color": "currentColor"},
    "rule": {"color": "currentColor"},
}
_DOLLARS = "$,.12~f"  # d3-format; the SI style would write a thousandth as "m"
_NARROW = "containerSize()[0] < 560"
_LABELS = f"{_NARROW} ? 130 : 330"


def costs(rows: Sequence[Mapping[str, Any]], as_is: Fraction | None) -> dict[str, Any]:
    """Bars of cost, a group for each offer, a bar for each policy; a line where the usage is as it was."""
    import altair as alt

    policies = _present(rows)
    longest = max(float(as_is or 0), *(row["end"] for row in rows)) or 1.0
    bars = alt.Chart(alt.NamedData("rows")).encode(
        y=alt.Y("offer:N", sort=list(dict.fromkeys(row["offer"] for row in rows)), title=None,
                axis=alt.Axis(labelLimit=alt.ExprRef(_LABELS), ticks=False, domain=False)),
        yOffset=alt.YOffset("policy:N", sort=policies),
        # Room at the right end for the label of the longest bar.
        x=alt.X("usd:Q", title="US dollars", scale=alt.Scale(domain=[0, longest * 1.3], nice=False),
                axis=alt.Axis(format=_DOLLARS, tickCount=5, labelOverlap=True)),
        tooltip=["offer:N", "policy:N", "cost:N", "ratio:N", "per million tokens:N", "grade:N"],
    )  # fmt: skip
    colours = alt.Scale(domain=policies, range=[_POLICIES[policy] for policy in policies])
    layers: list[Any] = [
        bars.mark_bar().encode(
            color=alt.Color(
                "policy:N",
                scale=colours,
                legend=alt.Legend(orient="top", title=None, columns=alt.ExprRef(f"{_NARROW} ? 2 : 4")),
            )
        ),
        bars.mark_text(align="left", dx=4, fontSize=11).encode(x="end:Q", text="label:N"),
    ]
    if as_is is not None:
        line = alt.Chart(alt.InlineData(values=[{"as_is": float(as_is)}]))
        layers.append(line.mark_rule(strokeDash=[5, 3], strokeWidth=1.5).encode(x="as_is:Q"))
    # A step for each bar; with one policy there is one bar an offer, which may be thicker.
    step = {"step": 14 if len(policies) > 1 else 20, "for": "offset"}
    return _spec(alt.layer(*layers), step)


def offers(replay: Replay) -> dict[str, Any]:
    """Every offer of the book with a cost above zero: a row for each provider, on a logarithmic axis."""
    import altair as alt

    providers = list(dict.fromkeys(row.offer.split("/")[0] for row in replay.everywhere if row.total_usd))
    drawn = [float(row.total_usd) for row in replay.everywhere if row.total_usd]
    low, high = floor(log10(min(drawn))), ceil(log10(max(drawn)))
    # Powers of ten only, where they suffice: a line for each digit between them would be a thicket.
    marks = [digit * 10.0**power for power in range(low, high + 1) for digit in ((1,) if high - low > 2 else (1, 2, 5))]
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
                    axis=alt.Axis(format=_DOLLARS, labelOverlap="greedy", values=marks)),
            y=alt.Y("provider:N", sort=providers, title=None,
                    axis=alt.Axis(grid=True, ticks=False, domain=False, labelLimit=alt.ExprRef(_LABELS))),
            tooltip=["offer:N", "cost:N", "ratio:N", "grade:N", "notes:N"],
        )
    )  # fmt: skip
    seen = alt.when(found).then(alt.value(0.75)).otherwise(alt.value(0.06))
    layers: list[Any] = [
        points.transform_filter("!datum.own && !datum.short").mark_circle(size=36).encode(
            color=alt.Color("provider:N", scale=alt.Scale(scheme="tableau10"), legend=None),
            opacity=seen,
        ).add_params(search),
        points.transform_filter("!datum.own && datum.short").mark_point(size=26, strokeWidth=1).encode(
            color=alt.Color("provider:N", legend=None), opacity=seen
        ),
        points.transform_filter("datum.own").mark_point(
            shape="diamond", filled=True, size=150, color="currentColor", opacity=1
        ),
    ]  # fmt: skip
    if replay.as_is.total_usd:
        line = alt.Chart(alt.InlineData(values=[{"as_is": float(replay.as_is.total_usd)}]))
        layers.append(line.mark_rule(strokeDash=[5, 3], strokeWidth=1.5).encode(x="as_is:Q"))
    return _spec(alt.layer(*layers), {"step": 17})


def shares(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What each candidate's cost is made of, under the policy that the reader chooses."""
    import altair as alt

    policies = _present(rows)
    kinds = {row["kind"]: row["colour"] for row in sorted(rows, key=lambda row: int(row["rank"]))}
    policy = alt.param(name="policy", value=policies[0], bind=alt.binding_select(options=policies, name="Policy "))
    chart = (
        alt.Chart(alt.NamedData("shares"))
        .mark_bar()
        .transform_filter("datum.policy === policy")
        .encode(
            y=alt.Y("offer:N", sort=list(dict.fromkeys(row["offer"] for row in rows)), title=None,
                    axis=alt.Axis(labelLimit=alt.ExprRef(_LABELS), ticks=False, domain=False)),
            x=alt.X("part:Q", stack="zero", title="share of the cost", scale=alt.Scale(domain=[0, 1]),
                    axis=alt.Axis(format="%", tickCount=5, labelOverlap=True)),
            color=alt.Color("kind:N", scale=alt.Scale(domain=list(kinds), range=list(kinds.values())),
                            legend=alt.Legend(orient="top", title=None, columns=alt.ExprRef(f"{_NARROW} ? 3 : 6"))),
            order=alt.Order("rank:Q"),
            tooltip=["offer:N", "policy:N", "kind:N", "share:N", "cost:N"],
        )
        .add_params(policy)
    )  # fmt: skip
    return _spec(chart, {"step": 20})


def _spec(chart: Any, height: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = chart.properties(width="container", height=dict(height)).to_dict()
    return {**made, "config": _CONFIG}


def _present(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The policies of `rows`, in the order in which they are told."""
    return sorted(
        {row["policy"] for row in rows},
        key=lambda name: (list(_POLICIES).index(name) if name in _POLICIES else 9, name),
    )

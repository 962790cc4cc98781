"""Views of margins: of an API price, of a disclosure or cluster, of a subscription. JSON and tables."""

from typing import TYPE_CHECKING, Any

from farthing.plans.margin import ApiMargin, Margin, TokenCost
from farthing.plans.margin_scenarios import MarginScenario
from farthing.plans.plan_cases import PlanCase, PlanRun
from farthing.plans.subscription import USD, UserMargin
from farthing.reports.plans_breakeven import load_json, load_text
from farthing.reports.plans_show import (
    digits,
    dollars,
    finding_json,
    findings_table,
    line,
    number,
    percent,
    range_json,
    sources_json,
    sources_lines,
    spread,
    table,
    tokens,
)

if TYPE_CHECKING:
    from rich.console import Group


def margin_json(one: Margin) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "price_usd": number(one.price_usd),
        "cost_usd": range_json(one.cost_usd),
        "gross_margin": range_json(one.margin),
        "price_over_cost": range_json(one.markup),
    }


def cost_json(cost: TokenCost) -> dict[str, Any]:
    return {
        "name": cost.name,
        "input_usd_per_mtok": range_json(cost.input_usd),
        "cached_usd_per_mtok": range_json(cost.cached_usd),
        "output_usd_per_mtok": range_json(cost.output_usd),
        "evidence": str(cost.grade),
    }


def api_margin_json(found: ApiMargin) -> dict[str, Any]:
    """An API's margins in JSON's types, per million tokens."""
    return {
        "api": found.api.name,
        "cost": cost_json(found.cost),
        "load": load_json(found.load),
        "kinds": [margin_json(one) for one in found.kinds],
        "blended": margin_json(found.blended),
        "evidence": str(found.grade),
        "sources": sources_json([*found.api.sources, *found.cost.sources]),
    }


def _margins_table(found: ApiMargin) -> Any:
    made = table("per million tokens", "price>", "cost>", "gross margin>")
    for one in (*found.kinds, found.blended):
        made.add_row(one.kind, dollars(one.price_usd), spread(one.cost_usd), spread(one.margin, "ratio"))
    return made


def api_margin_view(found: ApiMargin) -> "Group":
    """An API's margins for a terminal."""
    from rich.console import Group

    return Group(
        line(f"{found.api.name}: gross margin {spread(found.blended.margin, 'ratio')}", "bold"),
        line(f"at the cost of {found.cost.name}; {load_text(found.load)}; evidence: {found.grade}"),
        line(),
        _margins_table(found),
        line(),
        line("serving alone: no training, staff, free users or idle machines that the cost leaves out", "dim"),
        *sources_lines([*found.api.sources, *found.cost.sources]),
    )


def margin_scenario_json(found: MarginScenario) -> dict[str, Any]:
    """A disclosure or cluster in JSON's types: every computed figure, and the findings on the stated ones."""
    return {
        "scenario": found.name,
        "title": found.title,
        "note": found.note,
        "figures": {
            key: {"value": range_json(figure.value), "unit": figure.unit, "how": figure.how}
            for key, figure in found.figures.items()
        },
        "findings": [finding_json(one) for one in found.findings],
        "cost": cost_json(found.cost),
        "margins": [api_margin_json(one) for one in found.margins],
        "evidence": str(found.grade),
        "sources": sources_json([one.stated.source for one in found.findings] + list(found.cost.sources)),
    }


def margin_scenario_view(found: MarginScenario) -> "Group":
    """A disclosure or cluster for a terminal: what was stated, what it implies, and margins at some prices."""
    from rich.console import Group

    parts: list[Any] = [line(found.title, "bold"), line(found.note), line(f"evidence: {found.grade}"), line()]
    parts += [findings_table(found.findings), line()]
    stated = {one.stated.key for one in found.findings}
    implied = table("it implies", ">", "how")
    for key, figure in found.figures.items():
        if key not in stated and not key.startswith("disclosed_"):
            implied.add_row(_IMPLIED.get(key, key.replace("_", " ")), spread(figure.value, figure.unit), figure.how)
    if implied.row_count:
        parts += [implied, line()]
    for one in found.margins:
        parts += [line(f"{one.api.name}, at the cost of {one.cost.name} ({load_text(one.load)})"), _margins_table(one)]
        parts.append(line())
    sources = [one.stated.source for one in found.findings] + list(found.cost.sources)
    return Group(*parts, *sources_lines(sources))


_IMPLIED = {
    "input_usd": "a million input tokens, hits included",
    "uncached_usd": "a million uncached input tokens",
    "output_usd": "a million output tokens",
    "asymmetry": "output against input",
    "nodes_reading": "nodes that read",
    "nodes_writing": "nodes that write",
    "gross_margin": "gross margin",
}


def plan_json(found: PlanRun) -> dict[str, Any]:
    """A subscription in JSON's types, case by case."""
    return {
        "plan": found.plan.name,
        "title": found.plan.title,
        "usd_per_month": number(found.plan.usd_per_month),
        "evidence": str(min(case.margin.grade for case in found.cases)),
        "cases": [_plan_case_json(case) for case in found.cases],
    }


def _plan_case_json(case: PlanCase) -> dict[str, Any]:
    margin = case.margin
    worst = margin.worst
    return {
        "name": case.name,
        "basis": case.basis,
        "note": case.note,
        "offer": margin.api.name,
        "cost": cost_json(margin.cost),
        "limits": [
            {"hours": number(w.hours), "budget": number(w.budget.mid), "unit": w.unit, "per_month": number(limit)}
            for w, limit in margin.limits
        ],
        "users": [_user_json(one) for one in margin.users],
        "mean": margin_json(margin.mean) if margin.mean else None,
        "worst": None
        if worst is None
        else {
            "kind": worst.kind,
            "tokens": number(worst.tokens),
            "break_even_share_of_limits": number(worst.limit_share),
            **margin_json(worst.margin),
        },
        "findings": [finding_json(one) for one in case.findings],
        "evidence": str(margin.grade),
        "sources": sources_json(_case_sources(case)),
    }


def _user_json(one: UserMargin) -> dict[str, Any]:
    return {
        "name": one.user.name,
        "share": number(one.user.share),
        "uncached_input_tokens": number(one.month.uncached),
        "cached_input_tokens": number(one.month.cached),
        "output_tokens": number(one.month.output),
        "within_limits": number(one.limited),
        "api_usd": number(one.api_usd),
        "break_even_times": range_json(one.breakeven_times),
        **margin_json(one.margin),
    }


def _case_sources(case: PlanCase) -> list[Any]:
    margin = case.margin
    windows = [window.source for window in margin.plan.windows if window.source is not None]
    users = [source for one in margin.users for source in one.user.sources]
    return [*margin.plan.sources, *windows, *margin.api.sources, *margin.cost.sources, *users]


def plan_view(found: PlanRun) -> "Group":
    """A subscription for a terminal."""
    from rich.console import Group

    parts: list[Any] = [line(f"{found.plan.title}: {dollars(found.plan.usd_per_month)} a month", "bold")]
    for case in found.cases:
        margin = case.margin
        parts += [line(), line(f"{case.name} (evidence: {margin.grade})", "bold")]
        if case.note:
            parts.append(line(case.note))
        cost = margin.cost
        parts.append(
            line(f"a million tokens cost {spread(cost.input_usd)} read, {spread(cost.output_usd)} written: {cost.name}")
        )
        parts += [line(), _limits(case)]
        if margin.users:
            parts += [line(), _users(case)]
        parts += _worst(case)
        if case.findings:
            parts += [line(), findings_table(case.findings)]
    every = [source for case in found.cases for source in _case_sources(case)]
    return Group(*parts, line(), *sources_lines(every))


def _limits(case: PlanCase) -> Any:
    made = table("limit", "a month>", "")
    for window, limit in case.margin.limits:
        unit = f"{case.margin.api.name} dollars" if window.unit == USD else window.unit
        shown = dollars(limit) if window.unit == USD else tokens(limit)
        budget = dollars(window.budget.mid) if window.unit == USD else tokens(window.budget.mid)
        made.add_row(f"{budget} in {digits(window.hours)} hours", shown, unit)
    return made


def _users(case: PlanCase) -> Any:
    made = table("user", "share>", "at API prices>", "costs>", "gross margin>", "even at>")
    for one in case.margin.users:
        limited = f" (held to {percent(one.limited)})" if one.limited < 1 else ""
        made.add_row(
            one.user.name + limited,
            percent(one.user.share),
            dollars(one.api_usd),
            spread(one.margin.cost_usd),
            spread(one.margin.margin, "ratio"),
            f"x{digits(one.breakeven_times.mid)}" if one.breakeven_times.mid is not None else "never",
        )
    mean = case.margin.mean
    if mean is not None and len(case.margin.users) > 1:
        made.add_row("all", "100 %", "", spread(mean.cost_usd), spread(mean.margin, "ratio"), "")
    return made


def _worst(case: PlanCase) -> list[Any]:
    worst = case.margin.worst
    if worst is None:
        return [line(), line("no limit in dollars or tokens: what the dearest user may cost is unbounded here", "dim")]
    share = (
        f"; it costs the plan's price at {percent(worst.limit_share)} of the limits" if worst.limit_share < 1 else ""
    )
    text = (
        f"worst case, every limit spent on {worst.kind}: {tokens(worst.tokens)} tokens, "
        f"{spread(worst.margin.cost_usd)}, margin {spread(worst.margin.margin, 'ratio')}{share}"
    )
    return [line(), line(text)]

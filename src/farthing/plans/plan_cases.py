"""Subscriptions as data: plans with their limits, users and cases (data/plans/subscriptions.toml, or a file)."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from fractions import Fraction
from pathlib import Path

import msgspec

from farthing.evidence import Source
from farthing.plans.breakeven import ApiPrice
from farthing.plans.findings import Figure, Finding, judged, read_stated
from farthing.plans.fleet import MTOK
from farthing.plans.interval import Interval, Outcome, exactly, propagate
from farthing.plans.margin import TokenCost
from farthing.plans.margin_scenarios import disclosure
from farthing.plans.read_parts import read_interval, read_part
from farthing.plans.scenarios import CORRECTED, STATED, packaged
from farthing.plans.subscription import UNITS, Plan, PlanMargin, User, Window, month_of, plan_margin
from farthing.problems import FarthingError
from farthing.rates.toml_sources import Sources, read_source, read_sources
from farthing.rates.toml_table import Document, Table

PriceOf = Callable[[str, datetime], ApiPrice]


class PlanCase(msgspec.Struct, frozen=True, kw_only=True):
    """A plan under one set of inputs, computed."""

    name: str
    basis: str
    note: str
    margin: PlanMargin
    findings: tuple[Finding, ...]


class PlanRun(msgspec.Struct, frozen=True, kw_only=True):
    """A plan with its cases."""

    plan: Plan
    cases: tuple[PlanCase, ...]


class _Scaled(msgspec.Struct, frozen=True, kw_only=True):
    factor: Interval


def _document(path: Path | None) -> Table:
    text, place = packaged("subscriptions.toml") if path is None else (path.read_text("utf-8"), str(path))
    return Document(text, place).table()


def plan_names(path: Path | None = None) -> list[str]:
    """The names of the plans in a file (None: ours)."""
    return [table.needed_text("name") for table in _document(path).subs("plan")]


def run_plan(
    name: str, price_of: PriceOf, path: Path | None = None, cost: TokenCost | None = None, offer: ApiPrice | None = None
) -> PlanRun:
    """The plan called `name` in a file (None: ours) with its cases, or (with `cost`) with yours alone.

    Raises `FarthingError` naming the plans that there are, or the line of what is wrong.
    """
    root = _document(path)
    sources = read_sources(root)
    usual = tuple(_user(table, sources) for table in root.subs("users"))
    plans = root.subs("plan")
    root.finish()
    for table in plans:
        if table.needed_text("name") == name:
            return _plan(table, name, sources, usual, price_of, cost, offer)
    raise FarthingError(f"no plan is called {name!r}; there are: {', '.join(plan_names(path)) or 'none'}")


def _plan(
    table: Table, name: str, sources: Sources, usual: tuple[User, ...], price_of: PriceOf, cost: TokenCost | None,
    offer: ApiPrice | None,
) -> PlanRun:  # fmt: skip
    table.need("usd_per_month", "write usd_per_month = the price")
    price = table.number("usd_per_month")
    table.need("window", "write at least one [[plan.window]]: hours, budget and unit")
    table.need("case", "write at least one [[plan.case]]: name, basis, offer, at and cost")
    plan = Plan(
        name=name,
        title=table.needed_text("title"),
        usd_per_month=Fraction(price or 0),
        windows=tuple(_window(one, sources) for one in table.subs("window")),
        sources=(read_source(table, sources),),
    )
    cases = [_case(one, plan, sources, usual, price_of) for one in table.subs("case")]
    table.finish()
    if cost is not None:
        api = offer or cases[-1].margin.api
        mine = plan_margin(plan, api, cost, usual)
        cases = [PlanCase(name="with your cost", basis=CORRECTED, note="", margin=mine, findings=())]
    return PlanRun(plan=plan, cases=tuple(cases))


def _window(table: Table, sources: Sources) -> Window:
    unit = table.choice("unit", UNITS)
    if unit is None:
        table.need("unit", "one of " + ", ".join(UNITS))
    made = read_part(table, Window, sources, source=read_source(table, sources))
    table.finish()
    if made.hours <= 0:
        table.fail("hours", "a window lasts more than 0 hours")
    return made


def _user(table: Table, sources: Sources) -> User:
    made = read_part(table, User, sources)
    table.finish()
    if made.cached_share > 1 or made.share > 1:
        table.fail(None, "share and cached_share are from 0 to 1")
    return made


def _case(table: Table, plan: Plan, sources: Sources, usual: tuple[User, ...], price_of: PriceOf) -> PlanCase:
    name = table.needed_text("name")
    table.need("basis", f'write basis = "{STATED}" or "{CORRECTED}"')
    basis = table.choice("basis", (STATED, CORRECTED)) or ""
    note = table.text("note") or ""
    table.need("at", "write at = 2026-11-01, the day of the offer's price")
    day = table.day("at") or date.today()
    api = price_of(table.needed_text("offer"), datetime(day.year, day.month, day.day, tzinfo=UTC))
    table.need("cost", "write cost = { input_usd = …, output_usd = …, source = … }, or { like = …, factor = … }")
    cost_table = table.sub("cost")
    assert cost_table is not None
    cost = _cost(cost_table, sources)
    users = tuple(_user(one, sources) for one in table.subs("users")) or (usual if basis == CORRECTED else ())
    stated = read_stated(table, sources)
    table.finish()
    margin = plan_margin(plan, api, cost, users)
    figures = figures_of(margin)
    for one in stated:
        if one.key not in figures:
            table.fail("stated", f"nothing is computed under {one.key!r}", "there are: " + ", ".join(figures))
    return PlanCase(name=name, basis=basis, note=note, margin=margin, findings=judged(stated, figures))


def _cost(table: Table, sources: Sources) -> TokenCost:
    like = table.text("like")
    if like is None:
        made = read_part(table, TokenCost, sources, name="stated")
        table.finish()
        return made
    scaled = _Scaled(factor=read_interval(table, "factor") or exactly(1))
    source = read_source(table, sources)
    table.finish()
    return scaled_cost(like, scaled.factor, (source,))


def scaled_cost(like: str, factor: Interval, extra: tuple[Source, ...] = ()) -> TokenCost:
    """The token cost of a disclosure times a factor: another model, by guess."""
    base = disclosure(like).token_cost()
    parts = _Scaled(factor=factor)

    def times(name: str) -> Interval:
        def cost(c: TokenCost, s: _Scaled) -> Fraction:
            value: Interval = getattr(c, name)
            return value.mid * s.factor.mid

        return propagate(cost, base, parts).interval

    shown = f"{like}, times {float(factor.mid):g}"
    if not factor.exact:
        shown += f" ({float(factor.low):g} to {float(factor.high):g})"
    return TokenCost(
        name=like if factor == exactly(1) else shown,
        input_usd=times("input_usd"),
        output_usd=times("output_usd"),
        cached_usd=exactly(0),
        sources=(*base.sources, *extra),
    )


def figures_of(margin: PlanMargin) -> dict[str, Figure]:
    """What a plan's case computes, by key: limits by window, each user's cost and its parts, the worst case."""
    found: dict[str, Figure] = {}
    for window, limit in margin.limits:
        found.setdefault(
            f"limit:{float(window.hours):g}h",
            Figure(value=Outcome(low=limit, mid=limit, high=limit), unit=window.unit,
                   how="budget × windows in a month of 30 days"),
        )  # fmt: skip
    for one in margin.users:
        name = one.user.name

        def part(kind: str, user: User = one.user, limited: Fraction = one.limited) -> Outcome:
            def cost(u: User, c: TokenCost) -> Fraction:
                month = month_of(u).scaled(limited)
                if kind == "input":
                    cached = c.cached_usd.mid if c.cached_usd is not None else Fraction(0)
                    return (month.uncached * c.input_usd.mid + month.cached * cached) / MTOK
                return month.output * c.output_usd.mid / MTOK

            return propagate(cost, user, margin.cost)

        found[f"input_usd:{name}"] = Figure(value=part("input"), unit="usd", how="input tokens a month × their cost")
        found[f"output_usd:{name}"] = Figure(value=part("output"), unit="usd", how="output tokens a month × their cost")
        found[f"cost_usd:{name}"] = Figure(value=one.margin.cost_usd, unit="usd", how="input + output")
        if one.margin.markup is not None:
            times = one.margin.markup
            found[f"markup:{name}"] = Figure(
                value=Outcome(low=times.low, mid=times.mid, high=times.high), unit="times", how="price / cost"
            )
    if margin.worst is not None:
        found["worst_usd"] = Figure(
            value=margin.worst.margin.cost_usd,
            unit="usd",
            how=f"all limits spent on {margin.worst.kind}, at its cost",
        )
    return found

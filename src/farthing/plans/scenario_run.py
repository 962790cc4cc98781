"""A scenario's cases computed: its rows, figures and decisions, with capacity and without."""

from fractions import Fraction

import msgspec

from farthing.evidence import Grade
from farthing.plans.breakeven import ApiPrice, Crossing, Host, crossing, point
from farthing.plans.findings import Figure, Finding, judged
from farthing.plans.fleet import MTOK, Load, option, seconds_per_token
from farthing.plans.hosting import Capacity, Hosting, Power
from farthing.plans.interval import Outcome, propagate
from farthing.plans.scenarios import Case, Decision, Row, Scenario, grade_of_case
from farthing.problems import FarthingError

EQUAL_WITHIN = Fraction(1, 20)


class RowRun(msgspec.Struct, frozen=True, kw_only=True):
    """One volume. `single_usd`: one block, capacity ignored, as documents have it; `hosted_usd`: enough of them."""

    row: Row
    api_usd: Fraction
    single_usd: Fraction
    hosted_usd: Outcome
    gpus: int
    fits: bool
    winner: str
    verdict: str


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What a volume costs at each name of a decision, and the cheapest."""

    volume: Fraction
    usd: tuple[tuple[str, Fraction], ...]
    best: str


class DecisionRun(msgspec.Struct, frozen=True, kw_only=True):
    decision: Decision
    choices: tuple[Choice, ...]
    verdict: str


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One API against one host: where they cross, one block's capacity, and its price per million tokens when full."""

    api: ApiPrice
    host: Host
    api_usd_per_mtok: Fraction
    full_usd_per_mtok: Outcome
    block_tokens: Outcome
    gpus: int
    crossing: Crossing


class CaseRun(msgspec.Struct, frozen=True, kw_only=True):
    case: Case
    pairs: tuple[Pair, ...]
    rows: tuple[RowRun, ...]
    findings: tuple[Finding, ...]
    decisions: tuple[DecisionRun, ...]
    grade: Grade


class ScenarioRun(msgspec.Struct, frozen=True, kw_only=True):
    scenario: Scenario
    cases: tuple[CaseRun, ...]


def run(scenario: Scenario) -> ScenarioRun:
    """Every case of a scenario, computed."""
    return ScenarioRun(scenario=scenario, cases=tuple(_case(case) for case in scenario.cases))


def _case(case: Case) -> CaseRun:
    figures = figures_of(case)
    for stated in case.stated:
        if stated.key not in figures:
            raise FarthingError(
                f"case {case.name!r}: nothing is computed under {stated.key!r}; there are: {', '.join(figures)}"
            )
    return CaseRun(
        case=case,
        pairs=tuple(_pair(case, api, host) for host in case.hosts for api in case.apis),
        rows=tuple(_row(case, row) for row in case.rows),
        findings=judged(case.stated, figures),
        decisions=tuple(_decision(case, decision) for decision in case.decisions),
        grade=grade_of_case(case),
    )


def _pair(case: Case, api: ApiPrice, host: Host) -> Pair:
    made, load = host.option(case.load), case.load
    parts = (host.hosting, host.capacity, host.power)
    return Pair(
        api=api,
        host=host,
        api_usd_per_mtok=api.usd_per_token(load) * MTOK,
        full_usd_per_mtok=propagate(lambda h, c, p: option(h, c, p, load).usd_per_mtok(Fraction(1)), *parts),
        block_tokens=propagate(lambda h, c, p: option(h, c, p, load).sized_tokens(), *parts),
        gpus=made.gpus,
        crossing=crossing(made, api.usd_per_token(load)),
    )


def _row(case: Case, row: Row) -> RowRun:
    api, host = case.api(row.api), case.host(row.host)
    at = point(api, [host], case.load, row.volume)
    made = host.option(case.load)
    single = made.fleet_usd + made.block_usd * max(1, case.load.minimum) + made.token_usd * row.volume
    fits = row.volume <= made.sized_tokens() * max(1, case.load.minimum)
    hosted = at.hosted_usd[0].interval.mid
    even = abs(hosted - at.api_usd) <= EQUAL_WITHIN * at.api_usd
    return RowRun(
        row=row,
        api_usd=at.api_usd,
        single_usd=single,
        hosted_usd=at.hosted_usd[0],
        gpus=at.gpus[0],
        fits=fits,
        winner=at.winner,
        verdict=_row_verdict(row, at.winner, even, fits, made.gpus, at.gpus[0]),
    )


def _row_verdict(row: Row, winner: str, even: bool, fits: bool, block: int, gpus: int) -> str:
    if not row.winner:
        return ""
    short = "" if fits else f"needs {gpus} GPU{'s' if gpus > 1 else ''}, not {block}"
    right = even if row.winner == "equal" else row.winner == winner
    said = "holds" if right and fits else "winner holds" if right else "wrong winner"
    return "; ".join(part for part in (short, said) if part)


def _decision(case: Case, decision: Decision) -> DecisionRun:
    choices = []
    for volume in decision.volumes:
        usd = []
        for name in decision.among:
            if any(api.name == name for api in case.apis):
                usd.append((name, case.api(name).usd_per_token(case.load) * volume))
            else:
                usd.append((name, case.host(name).option(case.load).usd(volume)))
        choices.append(Choice(volume=volume, usd=tuple(usd), best=min(usd, key=lambda pair: pair[1])[0]))
    right = sum(choice.best in decision.advice for choice in choices)
    verdict = "holds" if right == len(choices) else "wrong" if right == 0 else "holds in part"
    return DecisionRun(decision=decision, choices=tuple(choices), verdict=verdict)


def figures_of(case: Case) -> dict[str, Figure]:
    """Everything that a case computes, by key: "break_even", or "break_even:HOST:API" where there are several."""
    found: dict[str, Figure] = {}
    for h, host in enumerate(case.hosts):
        for key, figure in _host_figures(host, case.load).items():
            found[f"{key}:{host.name}"] = figure
            if h == 0:
                found[key] = figure
        for a, api in enumerate(case.apis):
            for key, figure in _pair_figures(host, api, case.load).items():
                found[f"{key}:{host.name}:{api.name}"] = figure
                if h == 0 and a == 0:
                    found[key] = figure
    return found


def _host_figures(host: Host, load: Load) -> dict[str, Figure]:
    parts = (host.hosting, host.capacity, host.power)

    def hour(h: Hosting, c: Capacity, p: Power | None) -> Fraction:
        o = option(h, c, p, load)
        return (o.block_usd + o.token_usd * o.block_tokens) / load.hours_per_month

    def month(h: Hosting, c: Capacity, p: Power | None) -> Fraction:
        return hour(h, c, p) * load.hours_per_month

    return {
        "usd_per_hour": Figure(value=propagate(hour, *parts), unit="usd", how="a full block's month / hours"),
        "usd_per_month": Figure(value=propagate(month, *parts), unit="usd", how="one block, always full"),
        "usd_per_mtok": Figure(
            value=propagate(lambda h, c, p: option(h, c, p, load).usd_per_mtok(Fraction(1)), *parts),
            unit="usd",
            how="a block's month / the tokens that it can serve",
        ),
        "tokens_per_hour": Figure(
            value=propagate(lambda h, c, p: option(h, c, p, load).block_tokens / load.hours_per_month, *parts),
            unit="tokens",
            how="tokens a second × 3,600",
        ),
        "tokens_per_month": Figure(
            value=propagate(lambda h, c, p: option(h, c, p, load).block_tokens, *parts),
            unit="tokens",
            how="tokens a second × 3,600 × usable hours",
        ),
        "tokens_per_second": Figure(
            value=propagate(lambda h, c, p: 1 / sum(seconds_per_token(load, c), Fraction(0)), *parts),
            unit="tokens",
            how="of one replica, at this mix",
        ),
    }


def _pair_figures(host: Host, api: ApiPrice, load: Load) -> dict[str, Figure]:
    parts, price = (host.hosting, host.capacity, host.power), api.usd_per_token(load)

    def where(h: Hosting, c: Capacity, p: Power | None) -> Crossing:
        return crossing(option(h, c, p, load), price)

    def unlimited(h: Hosting, c: Capacity, p: Power | None) -> Fraction | None:
        o = option(h, c, p, load)
        saved = price - o.token_usd
        return (o.fleet_usd + o.block_usd) / saved if saved > 0 else None

    return {
        "break_even": Figure(
            value=propagate(lambda h, c, p: where(h, c, p).first, *parts),
            unit="tokens",
            how="the first volume at which enough blocks cost no more than the API",
        ),
        "break_even_settled": Figure(
            value=propagate(lambda h, c, p: where(h, c, p).settled, *parts),
            unit="tokens",
            how="the volume from which they never cost more again",
        ),
        "break_even_unlimited": Figure(
            value=propagate(unlimited, *parts),
            unit="tokens",
            how="one block's month / the API's price",
        ),
        "api_usd_per_mtok": Figure(
            value=Outcome(low=price * MTOK, mid=price * MTOK, high=price * MTOK),
            unit="usd",
            how="the mean token's price",
        ),
    }

"""Views of API against hosting: JSON and tables, of one comparison and of a scenario."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from farthing.evidence import Source
from farthing.plans.breakeven import Against, Breakeven, Crossing, Host
from farthing.plans.fleet import Load
from farthing.plans.read_parts import sources_of
from farthing.plans.scenario_run import CaseRun, ScenarioRun
from farthing.reports.plans_costs import about, left_out
from farthing.reports.plans_show import (
    compact,
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

_ISLANDS_SHOWN = 3
_NAME = 34  # columns of a name in a table's head


def short(name: str) -> str:
    """A name for a column's head: without the provider's prefixes, cut where it is long."""
    last = name.rsplit("/", 1)[-1]
    return last if len(last) <= _NAME else last[: _NAME - 1] + "…"


def crossing_json(found: Crossing) -> dict[str, Any]:
    return {
        "first": number(found.first),
        "settled": number(found.settled),
        "api_cheaper_again": [[number(start), number(end)] for start, end in found.islands],
    }


def load_json(load: Load) -> dict[str, Any]:
    return {
        "input_share": number(load.input_share),
        "cached_share": number(load.cached_share),
        "peak": number(load.peak),
        "target_utilization": number(load.target),
        "minimum_blocks": load.minimum,
        "spare_blocks": load.spare,
        "hours_per_month": number(load.hours_per_month),
    }


def breakeven_json(found: Breakeven) -> dict[str, Any]:
    """The comparison in JSON's types: volumes are tokens a month, null is "never"."""
    names = [one.host.name for one in found.against]
    return {
        "api": found.api.name,
        "api_usd_per_mtok": {
            "input": number(found.api.input_usd),
            "cached_input": number(found.api.cached_usd),
            "output": number(found.api.output_usd),
            "blended": number(found.api_usd_per_mtok),
        },
        "load": load_json(found.load),
        "hosts": [_against_json(one) for one in found.against],
        "curve": [
            {
                "tokens_per_month": number(point.volume),
                "api_usd": number(point.api_usd),
                "hosted_usd": {name: range_json(value) for name, value in zip(names, point.hosted_usd, strict=True)},
                "gpus": dict(zip(names, point.gpus, strict=True)),
                "winner": point.winner,
            }
            for point in found.curve
        ],
        "surface": [
            {
                "input_share": number(cell.input_share),
                "utilization": number(cell.utilisation),
                "api_usd_per_mtok": number(cell.api_usd),
                "hosted_usd_per_mtok": {
                    name: number(value) for name, value in zip(names, cell.hosted_usd, strict=True)
                },
                "winner": cell.winner,
            }
            for cell in found.surface
        ],
        "evidence": str(found.grade),
        "sources": sources_json(_sources(found)),
    }


def _against_json(one: Against) -> dict[str, Any]:
    return {
        "name": one.host.name,
        "gpus_of_a_block": one.option.gpus,
        "tokens_per_month_of_a_block": number(one.option.sized_tokens()),
        "usd_per_month_of_a_block": number(one.option.block_usd),
        "usd_per_mtok_full": range_json(one.full_usd_per_mtok),
        "break_even_tokens": range_json(one.first),
        "settled_tokens": range_json(one.settled),
        "break_even_utilization": range_json(one.utilisation),
        "crossing": crossing_json(one.crossing),
        "gpus_of_a_machine": one.host.hosting.unit_gpus,
        "not_included": left_out(one.host.hosting),
        "evidence": str(one.host.grade),
    }


def _sources(found: Breakeven) -> list[Source]:
    return [*found.api.sources, *(source for one in found.against for source in sources_of(one.host))]


def load_text(load: Load) -> str:
    """A load in words."""
    parts = [f"{percent(load.input_share)} of the tokens are input"]
    if load.cached_share:
        parts.append(f"{percent(load.cached_share)} of it cached")
    if load.peak > 1:
        parts.append(f"the peak is {float(load.peak):g} times the mean")
    if load.target < 1:
        parts.append(f"planned to {percent(load.target)} busy")
    if load.spare:
        parts.append(f"{load.spare} spare block{'s' if load.spare > 1 else ''}")
    return ", ".join(parts)


def verdict(one: Against) -> str:
    """Where a host beats the API, in a sentence."""
    found = one.crossing
    if found.first is None:
        return f"{one.host.name}: never cheaper; full it costs {spread(one.full_usd_per_mtok)} per million tokens"
    text = f"{one.host.name}: cheaper from {spread(one.first, 'tokens')} tokens a month"
    if found.settled is None:
        return f"{text}, up to {tokens(found.islands[0][0])}, where a further block is due; never for good"
    if found.islands:
        return f"{text}, for good from {spread(one.settled, 'tokens')} (before that the API wins after each new block)"
    return text


def breakeven_view(found: Breakeven) -> "Group":
    """The comparison for a terminal: the verdicts, the curve, the surface."""
    from rich.console import Group

    names = [one.host.name for one in found.against]
    api = dollars(found.api_usd_per_mtok)
    parts: list[Any] = [line(verdict(one), "bold") for one in found.against]
    parts += [
        line(f"{found.api.name}: {api} per million tokens; {load_text(found.load)}; evidence: {found.grade}"),
        line(),
    ]
    curve = table("tokens a month", "API>", *(f"{name}>" for name in names), *(["GPUs>"] * len(names)), "cheapest")
    for point in found.curve:
        curve.add_row(
            tokens(point.volume),
            compact(point.api_usd),
            *(spread(value, "compact") for value in point.hosted_usd),
            *(f"{count:,}" for count in point.gpus),
            "API" if point.winner == found.api.name else point.winner,
        )
    parts += [curve, line(), *_surface(found), line()]
    for one in found.against:
        use = one.utilisation.mid
        parts.append(
            line(
                f"{one.host.name}: a large fleet costs what the API does when busy {spread(one.utilisation, 'ratio')}"
                + (" (above 100 %: never)" if use is None or use > 1 else ""),
                "dim",
            )
        )
    parts += [line(text, "dim") for one in found.against for text in about(one.host.hosting)]
    return Group(*parts, *sources_lines(_sources(found)))


def _surface(found: Breakeven) -> list[Any]:
    """Hosting over API, by share of input and utilisation, for a large fleet; below 1 hosting wins."""
    uses = list(dict.fromkeys(cell.utilisation for cell in found.surface))
    parts: list[Any] = []
    for position, one in enumerate(found.against):
        made = table(f"{short(one.host.name)} / API", *(f"{percent(use)} busy>" for use in uses))
        for share in dict.fromkeys(cell.input_share for cell in found.surface):
            row = [cell for cell in found.surface if cell.input_share == share]
            made.add_row(
                f"{percent(share)} input",
                *(f"{float(cell.hosted_usd[position] / cell.api_usd):.2f}" if cell.api_usd else "-" for cell in row),
            )
        parts += [made, line()]
    return [*parts[:-1], line("cost of hosting over the API's, large fleet; below 1 hosting wins", "dim")]


def scenario_json(found: ScenarioRun) -> dict[str, Any]:
    """A scenario in JSON's types."""
    return {
        "scenario": found.scenario.name,
        "title": found.scenario.title,
        "evidence": str(min(run.grade for run in found.cases)),
        "cases": [_case_json(run) for run in found.cases],
    }


def _case_json(run: CaseRun) -> dict[str, Any]:
    case = run.case
    return {
        "name": case.name,
        "basis": case.basis,
        "note": case.note,
        "load": load_json(case.load),
        "pairs": [
            {
                "api": pair.api.name,
                "host": pair.host.name,
                "api_usd_per_mtok": number(pair.api_usd_per_mtok),
                "full_usd_per_mtok": range_json(pair.full_usd_per_mtok),
                "gpus_of_a_block": pair.gpus,
                "tokens_per_month_of_a_block": range_json(pair.block_tokens),
                "crossing": crossing_json(pair.crossing),
            }
            for pair in run.pairs
        ],
        "rows": [
            {
                "tokens_per_month": number(row.row.volume),
                "api": row.row.api,
                "host": row.row.host,
                "stated": {
                    "api_usd": number(row.row.api_usd),
                    "hosted_usd": number(row.row.hosted_usd),
                    "winner": row.row.winner or None,
                },
                "api_usd": number(row.api_usd),
                "one_block_usd": number(row.single_usd),
                "fits_one_block": row.fits,
                "hosted_usd": range_json(row.hosted_usd),
                "gpus": row.gpus,
                "winner": row.winner,
                "verdict": row.verdict or None,
            }
            for row in run.rows
        ],
        "findings": [finding_json(one) for one in run.findings],
        "decisions": [
            {
                "situation": one.decision.situation,
                "advice": one.decision.said,
                "choices": [
                    {
                        "tokens_per_month": number(choice.volume),
                        "usd": {name: number(usd) for name, usd in choice.usd},
                        "cheapest": choice.best,
                    }
                    for choice in one.choices
                ],
                "verdict": one.verdict,
            }
            for one in run.decisions
        ],
        "evidence": str(run.grade),
        "sources": sources_json(_case_sources(run)),
    }


def _case_sources(run: CaseRun) -> list[Source]:
    hosts: Sequence[Host] = run.case.hosts
    return [*(s for api in run.case.apis for s in api.sources), *(s for host in hosts for s in sources_of(host))]


def scenario_view(found: ScenarioRun) -> "Group":
    """A scenario for a terminal, case by case."""
    from rich.console import Group

    parts: list[Any] = [line(found.scenario.title, "bold")]
    for run in found.cases:
        case = run.case
        parts += [line(), line(f"{case.name} ({load_text(case.load)}; evidence: {run.grade})", "bold")]
        if case.note:
            parts.append(line(case.note))
        if not run.decisions:
            parts += [line(), _pairs(run)]
        if run.rows:
            parts += [line(), _rows(run)]
        if run.findings:
            parts += [line(), findings_table(run.findings)]
        if run.decisions:
            parts += [line(), _decisions(run)]
    every = [source for run in found.cases for source in _case_sources(run)]
    return Group(*parts, line(), *sources_lines(every))


def _pairs(run: CaseRun) -> Any:
    made = table("API", "$/M>", "hosted", "$/M when full>", "a block holds>", "wins from>", "for good>")
    for pair in run.pairs:
        made.add_row(
            short(pair.api.name),
            dollars(pair.api_usd_per_mtok),
            pair.host.name,
            spread(pair.full_usd_per_mtok),
            tokens(pair.block_tokens.mid),
            tokens(pair.crossing.first),
            tokens(pair.crossing.settled),
        )
    return made


def _rows(run: CaseRun) -> Any:
    made = table("tokens", "API>", "one block>", "enough of them>", "GPUs>", "cheapest", "what was said")
    for row in run.rows:
        stated = row.row
        said = []
        if stated.hosted_usd is not None:
            said.append(f"{dollars(stated.api_usd)} / {dollars(stated.hosted_usd)}")
        if row.verdict:
            said.append(row.verdict)
        made.add_row(
            tokens(stated.volume),
            dollars(row.api_usd),
            dollars(row.single_usd) + ("" if row.fits else " (too small)"),
            spread(row.hosted_usd),
            str(row.gpus),
            short(row.winner),
            ": ".join(said),
        )
    return made


def _decisions(run: CaseRun) -> Any:
    """Dollars a month at each name, a row for each volume; below it the advice with its verdict."""
    from rich.console import Group

    names = list(dict.fromkeys(name for one in run.decisions for name in one.decision.among))
    made = table("situation", "tokens>", *(f"{short(name)}>" for name in names), "cheapest")
    for one in run.decisions:
        for position, choice in enumerate(one.choices):
            usd = dict(choice.usd)
            made.add_row(
                one.decision.situation if position == 0 else "",
                tokens(choice.volume),
                *(compact(usd[name]) if name in usd else "-" for name in names),
                short(choice.best),
            )
    advice = table("situation", "advice", "verdict")
    for one in run.decisions:
        advice.add_row(one.decision.situation, one.decision.said, one.verdict)
    return Group(made, line(), advice)

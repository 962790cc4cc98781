"""Margin scenarios: a provider's disclosure, or a document's cluster, computed and set beside what they state."""

from fractions import Fraction

import msgspec

from farthing.evidence import Grade, Source, worst
from farthing.plans.breakeven import ApiPrice
from farthing.plans.disclosure import Disclosure
from farthing.plans.findings import Figure, Finding, Stated, judged, read_stated
from farthing.plans.fleet import MTOK, Load
from farthing.plans.interval import Interval, Outcome, exactly, propagate
from farthing.plans.margin import ApiMargin, TokenCost, api_margin
from farthing.plans.read_parts import read_interval, read_part
from farthing.plans.scenarios import packaged
from farthing.problems import FarthingError
from farthing.rates.toml_sources import Sources, read_source, read_sources
from farthing.rates.toml_table import Document, Table

_MIX = Load(input_share=Fraction(3, 4))


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """Machines and what they are said to do in an hour. Operations per token are 2 × active weights (no attention)."""

    gpus: int
    usd_per_gpu_hour: Interval
    input_tokens_per_hour: Interval
    output_tokens_per_hour: Interval
    active_parameters: Interval
    peak_flops: Interval
    sources: tuple[Source, ...] = ()

    def usd(self, kind: str) -> Fraction:
        """Dollars per million tokens of "input" or "output", were all machines to do nothing else."""
        tokens = self.input_tokens_per_hour if kind == "input" else self.output_tokens_per_hour
        return self.gpus * self.usd_per_gpu_hour.mid / tokens.mid * MTOK

    def compute_share(self) -> Fraction:
        """Operations that the input takes, over the peak of one GPU: above 1 is impossible."""
        each = self.input_tokens_per_hour.mid / 3600 / self.gpus
        return 2 * self.active_parameters.mid * each / self.peak_flops.mid

    def token_cost(self, name: str) -> TokenCost:
        return TokenCost(
            name=name,
            input_usd=propagate(lambda c: c.usd("input"), self).interval,
            output_usd=propagate(lambda c: c.usd("output"), self).interval,
            sources=self.sources,
        )


class MarginScenario(msgspec.Struct, frozen=True, kw_only=True):
    """A scenario as computed: its figures against what was stated, the tokens' cost, and margins at some prices."""

    name: str
    title: str
    note: str
    figures: dict[str, Figure]
    findings: tuple[Finding, ...]
    cost: TokenCost
    margins: tuple[ApiMargin, ...]
    grade: Grade


def scenario_names() -> list[str]:
    """The names of our disclosures and clusters."""
    root = _document()
    return [table.needed_text("name") for kind in ("disclosure", "cluster") for table in root.subs(kind)]


def margin_scenario(name: str, usd_per_gpu_hour: Interval | None = None) -> MarginScenario:
    """The disclosure or cluster called `name`, computed; with another rent, if one is given.

    Raises `FarthingError` naming those that there are.
    """
    root = _document()
    sources = read_sources(root)
    for table in root.subs("disclosure"):
        if table.needed_text("name") == name:
            return _disclosure(table, name, sources, usd_per_gpu_hour)
    for table in root.subs("cluster"):
        if table.needed_text("name") == name:
            return _cluster(table, name, sources, usd_per_gpu_hour)
    raise FarthingError(f"no margin scenario is called {name!r}; there are: {', '.join(scenario_names())}")


def disclosure(name: str) -> Disclosure:
    """The disclosure called `name`. Raises `FarthingError` naming those that there are."""
    root = _document()
    sources = read_sources(root)
    known = []
    for table in root.subs("disclosure"):
        known.append(table.needed_text("name"))
        if known[-1] == name:
            return read_part(table, Disclosure, sources)
    raise FarthingError(f"no disclosure is called {name!r}; there are: {', '.join(known)}")


def _document() -> Table:
    text, place = packaged("margins.toml")
    return Document(text, place).table()


def _exact(value: Fraction) -> Outcome:
    return Outcome(low=value, mid=value, high=value)


def _disclosure(table: Table, name: str, sources: Sources, rent: Interval | None) -> MarginScenario:
    made = read_part(table, Disclosure, sources)
    if rent is not None:
        made = msgspec.structs.replace(made, usd_per_gpu_hour=rent)
    title, note = table.needed_text("title"), table.text("note") or ""
    stated = read_stated(table, sources)
    prices = [(one.needed_text("name"), one) for one in table.subs("price")]
    apis = [ApiPrice(name="the prices it states", input_usd=made.input_usd, cached_usd=made.cached_usd,
                     output_usd=made.output_usd, grade=made.sources[0].grade, sources=made.sources)]  # fmt: skip
    apis += [read_part(one, ApiPrice, sources, grade=read_source(one, sources).grade) for _, one in prices]
    for _, one in prices:
        one.finish()
    table.finish()
    mix = Load(
        input_share=made.input_tokens / (made.input_tokens + made.output_tokens),
        cached_share=made.cached_tokens / made.input_tokens,
    )
    figures = _disclosed(made)
    return MarginScenario(
        name=name,
        title=title,
        note=note,
        figures=figures,
        findings=judged(_known(stated, figures, name), figures),
        cost=made.token_cost(),
        margins=tuple(api_margin(api, made.token_cost(), mix) for api in apis),
        grade=worst(source.grade for source in made.sources),
    )


def _disclosed(made: Disclosure) -> dict[str, Figure]:
    """What follows from a disclosure, each with its arithmetic."""

    def priced(key: str) -> Outcome:
        return propagate(lambda d: d.cost_per_mtok(key), made)

    return {
        "cost_usd": Figure(value=propagate(lambda d: d.cost_usd, made), unit="usd",
                           how="nodes × GPUs × $ an hour × hours"),
        "revenue_usd": Figure(value=_exact(made.revenue_usd()), unit="usd",
                              how="misses, hits and output at their prices"),
        "cost_profit_margin": Figure(value=propagate(lambda d: d.revenue_usd() / d.cost_usd - 1, made), unit="ratio",
                                     how="revenue / cost - 1"),
        "gross_margin": Figure(value=propagate(lambda d: 1 - d.cost_usd / d.revenue_usd(), made), unit="ratio",
                               how="1 - cost / revenue"),
        "cached_share": Figure(value=_exact(made.cached_tokens / made.input_tokens), unit="ratio",
                               how="hits / input"),
        "nodes": Figure(value=propagate(lambda d: d.nodes_reading() + d.nodes_writing(), made), unit="nodes",
                        how="tokens / (tokens a second × seconds), both kinds"),
        "nodes_reading": Figure(value=propagate(lambda d: d.nodes_reading(), made), unit="nodes",
                                how="input / (what a node reads a second × seconds)"),
        "nodes_writing": Figure(value=propagate(lambda d: d.nodes_writing(), made), unit="nodes",
                                how="output / (what a node writes a second × seconds)"),
        "input_usd": Figure(value=priced("input"), unit="usd", how="cost of reading / all input tokens"),
        "uncached_usd": Figure(value=priced("uncached"), unit="usd", how="cost of reading / misses alone"),
        "output_usd": Figure(value=priced("output"), unit="usd", how="cost of writing / output tokens"),
        "asymmetry": Figure(value=propagate(lambda d: d.cost_per_mtok("output") / d.cost_per_mtok("input"), made),
                            unit="times", how="output / input"),
    }  # fmt: skip


def _cluster(table: Table, name: str, sources: Sources, rent: Interval | None) -> MarginScenario:
    made = read_part(table, Cluster, sources)
    peak = table.needed_text("peak_source")
    if peak not in sources:
        table.fail("peak_source", f"no [source.{peak}]")
    made = msgspec.structs.replace(made, sources=(*made.sources, sources[peak]))
    if rent is not None:
        made = msgspec.structs.replace(made, usd_per_gpu_hour=rent)
    title, note, beside = table.needed_text("title"), table.text("note") or "", disclosure(table.needed_text("beside"))
    stated = read_stated(table, sources)
    figures = {
        "input_usd": Figure(value=propagate(lambda c: c.usd("input"), made), unit="usd",
                            how="GPUs × $ an hour / input tokens an hour"),
        "output_usd": Figure(value=propagate(lambda c: c.usd("output"), made), unit="usd",
                             how="GPUs × $ an hour / output tokens an hour"),
        "asymmetry": Figure(value=propagate(lambda c: c.usd("output") / c.usd("input"), made), unit="times",
                            how="output / input"),
        "compute_share": Figure(value=propagate(lambda c: c.compute_share(), made), unit="times",
                                how="2 × active weights × input tokens/s a GPU / FP8 peak"),
        **{f"disclosed_{key}": figure for key, figure in _disclosed(beside).items()},
    }  # fmt: skip
    margins = []
    for one in table.subs("price"):
        api = read_part(one, ApiPrice, sources, grade=read_source(one, sources).grade)
        said = TokenCost(
            name="the note's cost",
            input_usd=_needed(one, "cost_input_usd"),
            output_usd=_needed(one, "cost_output_usd"),
            sources=api.sources,
        )
        one.finish()
        margins += [api_margin(api, said, _MIX), api_margin(api, beside.token_cost(), _MIX)]
        blended = margins[-2].blended.margin
        assert blended is not None
        figures[f"margin:{api.name}"] = Figure(
            value=Outcome(low=blended.low, mid=blended.mid, high=blended.high),
            unit="ratio",
            how="1 - cost / price, three in for one out",
        )
    table.finish()
    return MarginScenario(
        name=name,
        title=title,
        note=note,
        figures=figures,
        findings=judged(_known(stated, figures, name), figures),
        cost=made.token_cost(name),
        margins=tuple(margins),
        grade=worst(source.grade for source in made.sources),
    )


def _needed(table: Table, key: str) -> Interval:
    table.need(key, f"write {key} = a number")
    return read_interval(table, key) or exactly(0)


def _known(stated: tuple[Stated, ...], figures: dict[str, Figure], name: str) -> tuple[Stated, ...]:
    for one in stated:
        if one.key not in figures:
            raise FarthingError(f"{name}: nothing is computed under {one.key!r}; there are: {', '.join(figures)}")
    return stated

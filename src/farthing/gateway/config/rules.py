"""The tables of a configuration that are not upstreams: aliases, budgets, limits, telemetry, attribution."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from farthing.gateway.config.address import wrong_with
from farthing.gateway.config.keys import Secrets
from farthing.gateway.config.targets import changed
from farthing.gateway.config.upstreams import likely
from farthing.gateway.config.values import (
    MIB,
    PERIODS,
    PERS,
    Alias,
    Attribution,
    Bounds,
    Budget,
    LimitRule,
    Per,
    Record,
    Telemetry,
    Upstream,
)
from farthing.rates.toml_table import Table

_MOST_USD = 10**9  # a sum of nanodollars that a signed integer of 64 bits holds with room
_MOST_MIB = 4096


def place_of(table: Table) -> str:
    """FILE:LINE of a table."""
    return f"{table.document.place}:{table.document.lines[table.path]}"


class AliasReader:
    """Reads [[model]] tables into targets "upstream/model"; an alias may name another one as a target."""

    def __init__(self, tables: tuple[Table, ...], upstreams: Mapping[str, Upstream], left_out: Collection[str]) -> None:
        self.upstreams = upstreams
        self.left_out = left_out
        self.notes: list[str] = []
        self._tables: dict[str, Table] = {}
        for table in tables:
            name = table.needed_text("name")
            if name in self._tables:
                table.fail("name", f"model {name!r} is there twice", f"the other: {place_of(self._tables[name])}")
            self._tables[name] = table
            if not table.texts("targets"):
                table.fail(None, "'targets' is missing", 'write targets = ["UPSTREAM/MODEL", …], the best first')
            table.finish()

    def read(self) -> tuple[Alias, ...]:
        """The aliases, each with its targets in order; those without any (all left out) are not among them."""
        found = []
        for name, table in self._tables.items():
            targets = tuple(dict.fromkeys(self._targets(name, ())))
            if targets:
                found.append(Alias(name=name, targets=targets, place=place_of(table)))
            else:
                self.notes.append(f"{place_of(table)}: model {name!r} is left out: so are all upstreams of its targets")
        return tuple(found)

    def _targets(self, name: str, above: tuple[str, ...]) -> list[str]:
        table = self._tables[name]
        if name in above:
            chain = " → ".join((*above[above.index(name) :], name))
            table.fail("targets", f"{chain} leads back to itself", "end it at UPSTREAM/MODEL")
        found = []
        for target in table.texts("targets"):
            upstream, slash, model = target.partition("/")
            if slash and model and upstream in self.upstreams:
                found.append(target)
            elif slash and model and upstream in self.left_out:
                continue
            elif target in self._tables:
                found += self._targets(target, (*above, name))
            elif target in self.upstreams or (slash and not model):
                hint = target.rstrip("/")
                table.fail(
                    "targets", f"{target!r} names no model", f"write {hint}/MODEL, or {hint}/* for the one asked"
                )
            else:
                wanted = (
                    f"no upstream {upstream!r}" if slash else f"{target!r} is neither UPSTREAM/MODEL nor a [[model]]"
                )
                table.fail("targets", wanted, likely(self.upstreams, upstream))
        return found


def _scope(table: Table) -> tuple[Per, str]:
    table.need("per", "one of " + ", ".join(PERS))
    per: Any = table.choice("per", PERS)
    who = table.text("who") or ""
    if who and per == "all":
        table.fail("who", "'who' goes with a key, user, feature or team; 'all' is everybody", "leave it out")
    return per, who


def read_budgets(tables: tuple[Table, ...]) -> tuple[Budget, ...]:
    """The [[budget]] tables."""
    found: dict[tuple[str, str, str], Budget] = {}
    for table in tables:
        per, who = _scope(table)
        table.need("usd", "write usd = 100")
        usd = table.number("usd")
        table.need("period", "one of " + ", ".join(PERIODS))
        period: Any = table.choice("period", PERIODS)
        hard = table.flag("hard")
        assert usd is not None
        if usd > _MOST_USD:
            table.fail("usd", f"'usd' is {usd}, more than a billion dollars", "leave out a budget that limits nothing")
        made = Budget(per=per, who=who, usd=usd, period=period, hard=hard is not False, place=place_of(table))
        table.finish()
        if (per, who, period) in found:
            other = found[per, who, period].place
            table.fail(None, f"a budget per {period} for {who or per} is there twice", f"the other: {other}")
        found[per, who, period] = made
    return tuple(found.values())


def read_limits(tables: tuple[Table, ...]) -> tuple[LimitRule, ...]:
    """The [[limit]] tables."""
    found: dict[tuple[str, str], LimitRule] = {}
    for table in tables:
        per, who = _scope(table)
        kinds = ("requests_per_minute", "tokens_per_minute", "concurrent")
        amounts = {kind: table.whole(kind) for kind in kinds}
        table.finish()
        if not any(amounts.values()):
            table.fail(None, "a limit that limits nothing", "state " + " or ".join(kinds))
        if (per, who) in found:
            table.fail(None, f"a limit for {who or per} is there twice", f"the other: {found[per, who].place}")
        found[per, who] = LimitRule(per=per, who=who, place=place_of(table), **amounts)
    return tuple(found.values())


def read_telemetry(table: Table | None, secrets: Secrets) -> Telemetry:
    """[telemetry]"""
    if table is None:
        return Telemetry()
    variable = secrets.variable(table, "metrics_key_env")
    key = None
    if variable is not None:
        key = secrets.from_environment(table, "metrics_key_env", variable)
        if key is None:
            reason = f"${variable} is not set"
            if secrets.needed:
                table.fail(
                    "metrics_key_env", reason, "set it, or leave metrics_key_env out: then anybody may read them"
                )
            secrets.missing.append(f"{place_of(table)}: metrics_key_env: {reason}")
    otlp = table.text("otlp")
    if otlp is not None and (wrong := wrong_with(otlp)):
        table.fail("otlp", f"{otlp!r} {wrong[0]}", "such as http://127.0.0.1:4318")
    metrics = table.flag("metrics")
    made = Telemetry(
        metrics=metrics is not False, metrics_key=key, otlp=otlp, service=table.text("service") or "farthing"
    )
    table.finish()
    return made


def read_record(table: Table | None, folder: Path) -> Record:
    """[record]: whether prompts and answers are stored, and where."""
    if table is None:
        return Record()
    content, where = bool(table.flag("content")), table.text("folder")
    if where is not None and not content:
        table.fail("folder", "'folder' says where prompts and answers go, but none are stored", "write content = true")
    table.finish()
    return Record(content=content, folder=folder / Path(where).expanduser() if where is not None else None)


def read_attribution(table: Table | None) -> Attribution:
    """[attribution]: what a request is put down to where neither it nor its key says."""
    if table is None:
        return Attribution()
    given = table.sub("tags")
    tags = {name: given.text(name) or "" for name in given.values} if given else {}
    made = changed(table, Attribution(), leave=("tags",))
    return Attribution(
        feature=made.feature, request_type=made.request_type, user=made.user, segment=made.segment, tags=tags
    )


def read_bounds(table: Table | None) -> Bounds:
    """[bounds]"""
    if table is None:
        return Bounds()
    base = Bounds()
    sizes = {"body_mib": base.body_bytes, "answer_mib": base.answer_bytes, "held_mib": base.held_bytes}
    for name in sizes:
        mib = table.whole(name)
        if mib is not None:
            if mib > _MOST_MIB:
                table.fail(name, f"{name!r} is {mib}, more than {_MOST_MIB} MiB", "a worker holds it in memory")
            sizes[name] = mib * MIB
    in_flight = table.whole("in_flight")
    table.finish()
    return Bounds(
        body_bytes=sizes["body_mib"], answer_bytes=sizes["answer_mib"], held_bytes=sizes["held_mib"],
        in_flight=in_flight or base.in_flight,
    )  # fmt: skip

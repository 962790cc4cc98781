"""Capability: what models scored on public benchmarks, as published (`data/capability.toml`).

A score belongs to a model as it was released on a day; an id that was served by one release after another ("gpt-4o",
"deepseek/deepseek-chat") has the scores of the newest one at the time. Sources that disagree are all kept; `chosen`
says which one is used: measured before vendor-stated before derived, then the one published first.
"""

import difflib
import functools
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from importlib import resources

import msgspec

from farthing.evidence import Source
from farthing.problems import FarthingError
from farthing.rates.family import family
from farthing.rates.toml_sources import Sources, read_source, read_sources
from farthing.rates.toml_table import Document, Table

SATURATED = 90.0
"""Percent from which on a benchmark no longer tells the best models apart (its own errors are a few percent)."""


class Benchmark(msgspec.Struct, frozen=True, kw_only=True):
    """A benchmark: `unit` is "percent" (correct) or "elo"; `names`: other spellings; `note`: what to know of it;
    `floor`: the score that guessing gets, up to which scores tell nothing of capability."""

    id: str
    title: str
    unit: str
    names: tuple[str, ...] = ()
    note: str = ""
    floor: float = 0.0


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """What one release of a model scored. `keys` are the families, or PROVIDER/MODEL ids, that it was served as.

    `released` is the day of the release (where no source states it the day of its score, by which it was out), `date`
    the day on which the score was published. `reasoning`: the model thought before it answered, in tokens that its
    price per token does not show. `alias`: it is looked at under another id than its own, which may have been another
    model's before.
    """

    keys: tuple[str, ...]
    model: str
    benchmark: str
    value: float
    released: date
    date: date
    source: Source
    reasoning: bool = False
    alias: bool = False

    @property
    def family(self) -> str:
        return self.keys[0]


class Capability(msgspec.Struct, frozen=True):
    """The whole file, read."""

    benchmarks: tuple[Benchmark, ...]
    scores: tuple[Score, ...]


@functools.cache
def _packaged() -> Capability:
    text = resources.files("farthing").joinpath("data/capability.toml").read_text(encoding="utf-8")
    return read(text, "data/capability.toml")


def benchmarks() -> tuple[Benchmark, ...]:
    """The benchmarks of which we hold scores."""
    return _packaged().benchmarks


def scores(benchmark: str | None = None) -> list[Score]:
    """Every score, or those of `benchmark` (by id, title or other name). Raises `FarthingError` for an unknown one."""
    wanted = find(benchmark).id if benchmark is not None else None
    return [score for score in _packaged().scores if wanted in (None, score.benchmark)]


def find(name: str) -> Benchmark:
    """The benchmark called `name`, in any spelling. Raises `FarthingError` with the nearest name."""
    by_key = {_key(spelt): one for one in benchmarks() for spelt in (one.id, one.title, *one.names)}
    found = by_key.get(_key(name))
    if found is None:
        near = difflib.get_close_matches(_key(name), list(by_key), 1)
        hint = f"did you mean {by_key[near[0]].id}? " if near else ""
        known = ", ".join(one.id for one in benchmarks())
        raise FarthingError(f"no scores on a benchmark called {name!r}; {hint}known: {known}")
    return found


def title_of(name: str) -> str | None:
    """The title of the benchmark that `name` spells, or None where it spells none."""
    try:
        return find(name).title
    except FarthingError:
        return None


def chosen(found: Iterable[Score]) -> list[Score]:
    """One score for each release, benchmark and way of answering: that of the best evidence."""
    groups: dict[tuple[object, ...], list[Score]] = defaultdict(list)
    for score in found:
        groups[(score.keys, score.model, score.benchmark, score.reasoning)].append(score)
    return [min(group, key=lambda s: (-s.source.grade, s.date, s.source.id)) for group in groups.values()]


def conflicts(found: Iterable[Score], apart: float = 5.0) -> list[str]:
    """Where two sources give one release scores more than `apart` points apart, in words."""
    groups: dict[tuple[object, ...], list[Score]] = defaultdict(list)
    for score in found:
        groups[(score.model, score.benchmark, score.reasoning)].append(score)
    told = []
    for group in groups.values():
        low, high = min(group, key=lambda s: s.value), max(group, key=lambda s: s.value)
        if high.value - low.value > apart:
            told.append(
                f"sources disagree on {low.model}: {low.value:g} ({low.source.id}), {high.value:g} ({high.source.id})"
            )
    return told


def by_key(benchmark: str, reasoning: bool = False) -> dict[str, tuple[Score, ...]]:
    """For each family and PROVIDER/MODEL id its scores on `benchmark` by day of release; where `reasoning` is allowed
    a release that has both kinds has the better one. What guessing gets is no score."""
    found: dict[str, dict[tuple[date, str], Score]] = defaultdict(dict)
    floor = find(benchmark).floor
    for score in chosen(scores(benchmark)):
        if (score.reasoning and not reasoning) or score.value <= floor:
            continue
        for key in score.keys:
            there = found[key].get((score.released, score.model))
            if there is None or score.value > there.value:
                found[key][score.released, score.model] = msgspec.structs.replace(score, alias=key != score.family)
    return {key: tuple(sorted(group.values(), key=lambda s: s.released)) for key, group in found.items()}


def on(releases: Sequence[Score], day: date) -> Score | None:
    """Of an id's scores (by day of release), that of the newest release by `day`.

    A price that began before the first of them was a preview's, where the id is the model's own; of an alias it was the
    price of a model that we have no score of.
    """
    known = [score for score in releases if score.released <= day]
    if known:
        return known[-1]
    return releases[0] if releases and not releases[0].alias else None


def best(reasoning: bool = False) -> dict[str, dict[str, tuple[float, str]]]:
    """Family or id → benchmark → the newest release's score and its source."""
    table: dict[str, dict[str, tuple[float, str]]] = defaultdict(dict)
    for one in benchmarks():
        for key, releases in by_key(one.id, reasoning).items():
            table[key][one.id] = (releases[-1].value, releases[-1].source.id)
    return dict(table)


def read(text: str, place: str) -> Capability:
    """The capability file in `text`. Raises `FarthingError` with FILE:LINE for what is wrong in it."""
    root = Document(text, place).table()
    sources = read_sources(root)
    published = root.sub("published")
    days = {name: published.day(name) for name in published.values} if published else {}
    for name in days:
        if name not in sources and published:
            published.fail(name, f"no [source.{name}]", "name one of the sources above")
    made = tuple(_benchmark(table) for table in root.subs("benchmark"))
    known = {one.id for one in made}
    found = [score for table in root.subs("model") for score in _scores(table, sources, days, known)]
    root.finish()
    return Capability(made, tuple(found))


def _benchmark(table: Table) -> Benchmark:
    one = Benchmark(
        id=table.needed_text("id"),
        title=table.needed_text("title"),
        unit=table.choice("unit", ("percent", "elo")) or "percent",
        names=table.texts("names"),
        note=table.text("note") or "",
        floor=float(table.number("floor") or 0),
    )
    table.finish()
    return one


def _scores(table: Table, sources: Sources, days: dict[str, date | None], known: set[str]) -> Iterable[Score]:
    model = table.needed_text("model")
    released = table.day("released")
    keys = (family(model), *(key if "/" in key else family(key) for key in table.texts("also")))
    for row in table.subs("scores"):
        source = read_source(row, sources)
        published = days.get(source.id) or released
        if published is None:
            table.fail(
                None, f"{model!r} has no 'released', and [published] has no {source.id}", "write released = 2024-05-13"
            )
        reasoning = row.flag("reasoning") or False
        for name in row.values:
            if name in ("source", "reasoning"):
                continue
            if name not in known:
                row.fail(name, f"no [[benchmark]] has the id {name!r}", "add it, or name one of: " + ", ".join(known))
            value = row.number(name, positive=True)
            assert value is not None
            yield Score(
                keys=tuple(dict.fromkeys(keys)),
                model=model,
                benchmark=name,
                value=float(value),
                released=released or published,
                date=published,
                source=source,
                reasoning=reasoning,
            )
        row.finish()
    table.finish()


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())

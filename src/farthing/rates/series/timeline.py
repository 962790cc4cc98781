"""From events to a history of prices: each offer's prices through time, with the corrections applied.

A correction takes the wrong value out of the past; a change begins a new segment. Then the sources' words are woven:
another source's change is taken where it begins from the value that is in force, and not where the two disagree.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal

import msgspec

from farthing.rates.card import Offer
from farthing.rates.series.events import Judged
from farthing.rates.series.runs import Run
from farthing.rates.series.snapshot import Key, Subject
from farthing.rates.series.verdict import CHANGE, CORRECTION, Verdict, power_of_ten
from farthing.rates.series.witness import stated_of, statements
from farthing.units import METERS


class Segment(msgspec.Struct, kw_only=True):
    """A value from `start` on; it began in (`after`, `start`]. `ref` names who says so; `sure`: certainly a change.

    `before` is the value that it replaced (None: the first that is known).
    """

    start: date
    after: date | None
    value: Decimal
    ref: str
    sure: bool = True
    before: Decimal | None = None
    stated: bool = False
    """Somebody stated it with its day."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """All prices of an offer from `start` until the next state: by (meter, condition)."""

    start: date
    after: date | None
    prices: Mapping[tuple[str, str], Decimal]
    ref: str
    sure: bool


def corrected(runs: Sequence[Run], verdicts: Sequence[Verdict], before: date | None) -> list[Segment]:
    """One source's runs of a price, corrected; `verdicts` are on the steps between them, `before` the day of the last
    list without the price. Runs of 0 (free, or not known) are left out."""
    made: list[Segment] = []
    for position, run in enumerate(runs):
        verdict = verdicts[position - 1] if position else None
        if run.value == 0:
            continue
        if not made:
            made.append(Segment(start=run.first, after=before, value=run.value, ref=run.label))
            continue
        assert verdict is not None
        last = made[-1]
        if run.value == last.value:
            continue
        if verdict.verdict == CORRECTION and verdict.holds == "from":
            continue
        dated = verdict.since is not None and verdict.since > last.start
        wrong_since_it_stood = verdict.verdict == CORRECTION and not (dated and verdict.since_after is not None)
        if wrong_since_it_stood and runs[position - 1].value in (last.value, 0):
            last.value, last.ref = run.value, run.label
            _join(made)
            continue
        start = verdict.since if dated and verdict.since is not None else run.first
        made.append(
            Segment(
                start=start,
                after=verdict.since_after if dated else max(runs[position - 1].last, last.start),
                value=run.value,
                ref=verdict.since_label if dated else run.label,
                sure=verdict.verdict in (CHANGE, CORRECTION),
                before=last.value,
            )
        )
    return made


def _join(made: list[Segment]) -> None:
    """Make the last segment one with that before it, where a correction gave them one value."""
    if len(made) > 1 and made[-2].value == made[-1].value:
        made.pop()


def woven(told: Sequence[Sequence[Segment]]) -> list[Segment]:
    """The segments of several sources as one timeline; the first of `told` is trusted most.

    Begins with whoever knew the price first. A later segment of another source is taken where the value that it
    replaced is the one in force; of the most trusted, in any case, unless that is a value which others had before and
    have left (a list that is late), or a slip of the point beside the one in force.
    """
    listed = sorted(
        ((segment.start, rank, segment) for rank, segments in enumerate(told) for segment in segments),
        key=lambda one: one[:2],
    )
    made: list[Segment] = []
    for _, rank, segment in listed:
        if not made:
            made.append(segment)
            continue
        last = made[-1]
        if segment.value == last.value or (rank and segment.before != last.value):
            continue
        if segment.start == last.start:
            continue
        if segment.before != last.value and not segment.stated and (
            segment.value in {one.value for one in made[:-1]} or power_of_ten(segment.value, last.value)
        ):  # fmt: skip
            continue
        after = segment.after if segment.after is None or segment.after >= last.start else last.start
        doubt = not segment.stated and segment.before != last.value
        made.append(msgspec.structs.replace(segment, after=after, before=last.value, sure=segment.sure and not doubt))
    return made


def timelines(
    judged: Judged, trust: Mapping[str, Sequence[str]], usual: Sequence[str], dated: Iterable[Offer] = ()
) -> dict[Subject, list[State]]:
    """The states of every offer that any source lists, from all its sources.

    `trust` orders the sources for a provider, `usual` for the others; the first is trusted most, after `dated`: what
    vendors stated with a day.
    """
    verdicts: dict[tuple[str, Key], dict[int, Verdict]] = {}
    for step, verdict in judged.steps:
        verdicts.setdefault((step.source, step.key), {})[step.position] = verdict
    told: dict[Key, dict[str, list[Segment]]] = {}
    for source, one in judged.histories.items():
        for key, runs in one.runs.items():
            on_key = verdicts.get((source, key), {})
            before = next(iter(one.days_before(runs[0].first, 1)), None)
            segments = corrected(runs, [on_key[n] for n in range(len(runs) - 1)], before)
            if segments:
                told.setdefault(key, {})[source] = segments
    stated = statements(dated)
    _drop_late(told)
    by_subject: dict[Subject, dict[tuple[str, str], list[Segment]]] = {}
    for key, by_source in told.items():
        order = trust.get(key.subject.provider, usual)
        own = [
            Segment(start=one.start, after=None, value=one.value, ref=one.who, stated=True)
            for one in stated_of(stated, key) if one.value
        ]  # fmt: skip
        ranked = [own] if own else []
        ranked += [by_source[source] for source in order if source in by_source]
        if ranked:
            by_subject.setdefault(key.subject, {})[key.meter, key.condition] = woven(ranked)
    return {subject: _states(by_meter) for subject, by_meter in by_subject.items()}


def _drop_late(told: Mapping[Key, dict[str, list[Segment]]]) -> None:
    """Take out what a source first said of an offer whose input it first had at a price that others had left.

    Its cached and batch prices of that day are as old as its input price, and later ones of its own replace them.
    """
    for key, by_source in told.items():
        if key.meter != "input" or key.condition != "always":
            continue
        for source, segments in by_source.items():
            first = segments[0]
            others = [one for name, theirs in by_source.items() if name != source for one in theirs]
            left = [one for one in others if one.value == first.value and one.start < first.start]
            moved = [one for one in others if one.before == first.value and one.start <= first.start]
            if not (left and moved):
                continue
            for meter in METERS:
                for condition in ("always", "tier batch"):
                    mine = told.get(Key(key.subject, meter, condition), {}).get(source, [])
                    if len(mine) > 1 and mine[0].start == first.start:
                        mine.pop(0)


def _states(by_meter: Mapping[tuple[str, str], Sequence[Segment]]) -> list[State]:
    """The timelines of an offer's meters as states of all of them."""
    made: list[State] = []
    current: dict[tuple[str, str], Decimal] = {}
    for day in sorted({segment.start for segments in by_meter.values() for segment in segments}):
        begun = {m: s for m, segments in by_meter.items() for s in segments if s.start == day}
        current = {**current, **{meter: segment.value for meter, segment in begun.items()}}
        main = min(begun.items(), key=lambda one: (one[0][1] != "always", one[0][0] not in ("input", "output"), one[0]))
        afters = [s.after for s in begun.values() if s.after is not None] + [state.start for state in made[-1:]]
        made.append(
            State(
                start=day, after=max(afters, default=None) if main[1].after is not None else None, prices=current,
                ref=main[1].ref, sure=all(segment.sure for segment in _priced(begun)),
            )
        )  # fmt: skip
    return made


def _priced(begun: Mapping[tuple[str, str], Segment]) -> Iterable[Segment]:
    return [segment for (meter, _), segment in begun.items() if meter in ("input", "output")]

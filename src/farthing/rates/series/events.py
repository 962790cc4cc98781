"""A series as events: what changed in each price list, with both clocks, both sources and a verdict.

The clocks: a price changed after the last list with the old value and by the first with the new one (`after`, `by`;
`since` where somebody dates it better); the list said so on `recorded`.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal

import msgspec

from farthing.rates.card import Offer
from farthing.rates.series.judge import judge
from farthing.rates.series.moves import Moves
from farthing.rates.series.read import Series
from farthing.rates.series.runs import History, Step, history
from farthing.rates.series.snapshot import Key, Subject
from farthing.rates.series.verdict import CHANGE, CORRECTION, UNCLEAR, Case, Verdict
from farthing.rates.series.witness import Witness

FIRST_SEEN, WITHDRAWN = "first-seen", "withdrawn"
VERDICTS = (CHANGE, CORRECTION, UNCLEAR, FIRST_SEEN, WITHDRAWN)


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One source's word for an event: its lists before and after."""

    source: str
    after: date | None
    by: date
    before: str
    now: str


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a price, or (first-seen, withdrawn: `key.meter` is "") to an offer.

    Amounts are dollars per the published scale of the meter. `holds` says which of the two values is right: "to",
    "from", or "" where that is not known. `prices` are an offer's when it was first seen, or last.
    """

    key: Key
    before: Decimal | None
    now: Decimal | None
    after: date | None
    by: date
    recorded: date
    told: tuple[Told, ...]
    verdict: str
    reason: str
    holds: str = ""
    since: date | None = None
    since_source: str = ""
    prices: Mapping[str, Decimal] = {}

    @property
    def start(self) -> date:
        """The day from which the new value counts: the best that is known."""
        return self.since or self.by


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """The events of a series, newest first; each source's own steps with their verdicts; and what each source said."""

    events: tuple[Event, ...]
    steps: tuple[tuple[Step, Verdict], ...]
    histories: dict[str, History]


def judged(series: Series, dated: Iterable[Offer] = ()) -> Judged:
    """All events of `series`. `dated` are offers whose dated prices somebody else stated: they decide first."""
    histories = {source: history(snapshots) for source, snapshots in series.snapshots.items()}
    witness = Witness(histories, series.snapshots, dated)
    moves = Moves(histories)
    steps = [(step, judge(Case(step, moves, witness))) for step in moves.steps]
    events = [*_merged(steps, witness), *_seen(histories)]
    events.sort(key=lambda event: (event.recorded, event.key), reverse=True)
    return Judged(events=tuple(events), steps=tuple(steps), histories=histories)


def _merged(steps: list[tuple[Step, Verdict]], witness: Witness) -> list[Event]:
    """One event for what several sources recorded alike, dated by the first of them."""
    order = sorted(steps, key=lambda one: (one[0].now.first, -len(witness.histories[one[0].source].seen)))
    made: dict[tuple[Key, Decimal, Decimal], Event] = {}
    several: list[Event] = []
    for step, verdict in order:
        event = _event(step, verdict)
        same = None
        for source in witness.histories:
            name = step.key.subject if source == step.source else witness.name_in(source, step.key.subject, step.source)
            if name is not None:
                same = same or made.get((step.key._replace(subject=name), step.before.value, step.now.value))
        if same is not None and CHANGE == verdict.verdict == same.verdict and same.told[0].source != step.source:
            joined = msgspec.structs.replace(same, told=(*same.told, *event.told), after=_latest(same, event))
            made[same.key, step.before.value, step.now.value] = joined
            continue
        place = (step.key, step.before.value, step.now.value)
        if place in made:  # the same step a second time, after a revert
            several.append(made[place])
        made[place] = event
    return [*made.values(), *several]


def _latest(one: Event, other: Event) -> date | None:
    """The later of both lower ends, where it is still before the first list with the new value."""
    ends = [end for end in (one.after, other.after) if end is not None and end < one.by]
    return max(ends, default=None)


def _event(step: Step, verdict: Verdict) -> Event:
    before, now = step.before, step.now
    return Event(
        key=step.key, before=before.value, now=now.value, after=before.last, by=now.first, recorded=now.first,
        told=(Told(source=step.source, after=before.last, by=now.first, before=before.last_label, now=now.label),),
        verdict=verdict.verdict, reason=verdict.reason, holds=verdict.holds, since=verdict.since,
        since_source=verdict.since_source,
    )  # fmt: skip


def _seen(histories: Mapping[str, History]) -> Iterable[Event]:
    """Offers that came after a source's first list, and offers that went."""
    for source, one in histories.items():
        at_first: dict[Subject, dict[str, Decimal]] = {}
        at_last: dict[Subject, dict[str, Decimal]] = {}
        for key, runs in one.runs.items():
            name = key.meter if key.condition == "always" else f"{key.meter} ({key.condition})"
            at_first.setdefault(key.subject, {})[name] = runs[0].value
            at_last.setdefault(key.subject, {})[name] = runs[-1].value
        for subject, seen in one.seen.items():
            if seen.before is not None:
                yield Event(
                    key=Key(subject, "", ""), before=None, now=None, after=seen.before, by=seen.first,
                    recorded=seen.first, verdict=FIRST_SEEN, reason="in no earlier list",
                    prices=at_first.get(subject, {}),
                    told=(Told(source=source, after=seen.before, by=seen.first, before="", now=seen.label),),
                )  # fmt: skip
            if seen.gone is not None:
                yield Event(
                    key=Key(subject, "", ""), before=None, now=None, after=seen.last, by=seen.gone, recorded=seen.gone,
                    verdict=WITHDRAWN, prices=at_last.get(subject, {}),
                    reason="in no later list: retired, renamed or dropped, which is not a change of its price",
                    told=(
                        Told(source=source, after=seen.last, by=seen.gone, before=seen.last_label, now=seen.gone_label),
                    ),
                )  # fmt: skip

"""What else moved in a list on the day of a step."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal

import msgspec

from farthing.rates.family import family
from farthing.rates.series.runs import History, Run, Step
from farthing.rates.series.snapshot import Key, Subject
from farthing.rates.series.witness import at

_TOKENS = ("input", "output")


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """What one list altered of one provider on one day."""

    offers: int
    factors: int
    untouched_days: int
    """Days of lists before it in which nothing of the provider was altered."""
    earlier: int
    """In how many of the six lists before it something of the provider was altered."""


class Moves:
    """All steps of all sources, by day."""

    def __init__(self, histories: Mapping[str, History]) -> None:
        self.histories = histories
        self.steps = [step for history in histories.values() for step in history.steps()]
        self._at: dict[tuple[str, date, Key], Step] = {}
        self._days: dict[tuple[str, date, str, str], list[Step]] = defaultdict(list)
        altered: dict[tuple[str, str, str], set[date]] = defaultdict(set)
        for step in self.steps:
            self._at[step.source, step.now.first, step.key] = step
            if step.key.condition == "always" and step.key.meter in _TOKENS and step.before.value and step.now.value:
                subject = step.key.subject
                self._days[step.source, step.now.first, subject.provider, subject.channel].append(step)
                altered[step.source, subject.provider, subject.channel].add(step.now.first)
        self._altered = {name: sorted(days) for name, days in altered.items()}
        self._siblings: dict[tuple[str, str, str, str], list[Subject]] = defaultdict(list)
        for source, history in histories.items():
            for subject in history.seen:
                self._siblings[source, subject.provider, subject.channel, subject.region].append(subject)

    def beside(self, step: Step, meter: str) -> Step | None:
        """The step of another meter of the same offer, under the same condition, in the same list."""
        return self._at.get((step.source, step.now.first, step.key._replace(meter=meter)))

    def on(self, step: Step, key: Key) -> Step | None:
        """The step of the price at `key` in the same list."""
        return self._at.get((step.source, step.now.first, key))

    def offers(self, step: Step) -> int:
        """How many offers of the step's provider moved in the same list (families, so that one model counts once)."""
        return len({family(other.key.subject.model) for other in self._same_day(step)})

    def has(self, step: Step, meter: str) -> bool:
        """Whether the offer has a price of `meter` under the step's condition, other than 0."""
        runs = self.histories[step.source].runs.get(step.key._replace(meter=meter), [])
        return any(run.value for run in runs)

    def _same_day(self, step: Step) -> list[Step]:
        subject = step.key.subject
        return self._days.get((step.source, step.now.first, subject.provider, subject.channel), [])

    def same_model(self, step: Step) -> list[Step]:
        """The same step of other names of the model at its provider, in the same list."""
        model, own = family(step.key.subject.model), (step.key.meter, step.before.value, step.now.value)
        return [
            other for other in self._same_day(step)
            if (other.key.meter, other.before.value, other.now.value) == own and other.key.subject != step.key.subject
            and family(other.key.subject.model) == model
        ]  # fmt: skip

    def alike(self, step: Step) -> set[str]:
        """The families that moved by the step's factor, on its meter, on its day, at its provider."""
        factor = step.now.value / step.before.value
        return {
            family(other.key.subject.model)
            for other in self._same_day(step)
            if other.key.meter == step.key.meter
            and abs(other.now.value / other.before.value / factor - 1) < Decimal("0.001")
        }

    def to_one_price(self, step: Step) -> set[str]:
        """The models that went to the step's new prices, from prices that were not all the same, on its day."""
        others = [o for o in self._same_day(step) if o.key.meter == step.key.meter and o.now.value == step.now.value]
        beside = {m: s.now.value for m in _TOKENS if (s := self.beside(step, m))}
        led = [o for o in others if {m: s.now.value for m in _TOKENS if (s := self.beside(o, m))} == beside]
        return {o.key.subject.model for o in led} if len({o.before.value for o in led}) > 1 else set()

    def still_costs(self, step: Step) -> str:
        """A model of the provider that had the step's old token prices before it and has them after; or ""."""
        history, subject = self.histories[step.source], step.key.subject
        old = {m: s.before.value for m in _TOKENS if (s := self.beside(step, m))}
        for other in self._siblings[step.source, subject.provider, subject.channel, subject.region]:
            listed = history.seen[other].first <= step.before.last and step.now.first <= history.seen[other].last
            if other == subject or not listed:
                continue
            key = step.key._replace(subject=other)
            if all(_held(history.runs.get(key._replace(meter=m), []), step, value) for m, value in old.items()):
                return other.model
        return ""

    def now_leads_to(self, step: Step) -> str:
        """A model of the provider whose name begins as this one's, listed since the old price with the new; or ""."""
        history, subject = self.histories[step.source], step.key.subject
        stem = subject.model.removesuffix("-latest").split("-preview")[0].rsplit("/", 1)[-1]
        if stem.count("-") < 1 or any(piece.isdigit() and len(piece) >= 4 for piece in stem.split("-")):
            return ""  # a name with a date leads to one model for ever
        new = {m: s.now.value for m in _TOKENS if (s := self.beside(step, m))}
        for other in self._siblings[step.source, subject.provider, subject.channel, subject.region]:
            name = other.model.rsplit("/", 1)[-1]
            if other == subject or not name.startswith(stem) or history.seen[other].first > step.now.first:
                continue
            prices = {
                m: run.value
                for m in new
                if (run := at(history.runs.get(step.key._replace(subject=other, meter=m), []), step.now.first))
            }
            if prices == new and history.seen[other].first > step.before.first:
                return other.model
        return ""

    def revision(self, step: Step) -> Revision | None:
        """What the list altered of the step's provider on the step's day."""
        steps = self._same_day(step)
        if not steps:
            return None
        subject, day = step.key.subject, step.now.first
        days = self._altered[step.source, subject.provider, subject.channel]
        began = min(s.before.first for s in steps)
        before = max((d for d in days if d < day), default=began)
        return Revision(
            offers=len({s.key.subject for s in steps}),
            factors=len({round(float(s.now.value / s.before.value), 3) for s in steps}),
            earlier=len(set(self.histories[step.source].days_before(day, 6)) & set(days)),
            untouched_days=(max(s.before.last for s in steps) - max(before, began)).days,
        )


def _held(runs: Sequence[Run], step: Step, value: Decimal) -> bool:
    """Whether `runs` say `value` both in the last list before the step and in the first after it."""
    before, after = at(runs, step.before.last), at(runs, step.now.first)
    return before is not None and before is after and before.value == value

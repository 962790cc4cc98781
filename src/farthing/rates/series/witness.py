"""What else is known of a price at the time: other sources, the maker of the model, dated statements of vendors."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import cached_property

import msgspec

from farthing.rates.card import ALWAYS, Offer
from farthing.rates.family import family
from farthing.rates.series.runs import History, Run, Step
from farthing.rates.series.snapshot import Key, Pattern, Snapshot, Subject
from farthing.units import METERS


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """A dated price that somebody stated: `value` from `start`. `who` names the source."""

    who: str
    start: date
    value: Decimal


class Witness:
    """Everything that all sources say, to be asked about one of their steps."""

    def __init__(
        self,
        histories: Mapping[str, History],
        snapshots: Mapping[str, Sequence[Snapshot]],
        dated: Iterable[Offer] = (),
    ) -> None:
        self.histories = histories
        self._patterns = {
            source: [(p, re.compile(p.expression, re.IGNORECASE)) for p in _patterns(listed)]
            for source, listed in snapshots.items()
        }
        self._names: dict[tuple[str, Subject], Subject | None] = {}
        self._dated = statements(dated)

    # --- the same offer in another source ---

    def elsewhere(self, step: Step) -> Iterator[tuple[str, list[Run]]]:
        """What the other sources say of the step's price, where they list that offer: source and runs."""
        for source in self.histories:
            if source != step.source:
                runs = self.runs(source, step.key, step.source)
                if runs:
                    yield source, runs

    def runs(self, source: str, key: Key, asked_by: str) -> list[Run]:
        """The runs of `source` for the offer that `asked_by` lists under `key`."""
        history = self.histories[source]
        found = history.runs.get(key)
        if found is None:
            name = self.name_in(source, key.subject, asked_by)
            found = history.runs.get(key._replace(subject=name)) if name is not None else None
        return found or []

    def name_in(self, source: str, subject: Subject, asked_by: str) -> Subject | None:
        """The offer in `source` that is `subject` of `asked_by`: by its name, or by a pattern that a source states."""
        if subject in self.histories[source].seen:
            return subject
        if (source, subject) not in self._names:
            self._names[source, subject] = self._matched(source, subject, asked_by)
        return self._names[source, subject]

    def _matched(self, source: str, subject: Subject, asked_by: str) -> Subject | None:
        if subject.region:
            return None
        for pattern, expression in self._patterns[source]:
            fits = (pattern.provider, pattern.channel) == (subject.provider, subject.channel)
            if fits and expression.search(subject.model.lower()):
                return subject._replace(model=pattern.model)
        own = [e for p, e in self._patterns[asked_by]
               if (p.provider, p.channel, p.model) == (subject.provider, subject.channel, subject.model)]  # fmt: skip
        names = [
            other for other in self.histories[source].seen
            if other[2:] == subject[2:] and other.provider == subject.provider and own
            and own[0].search(other.model.lower())
        ]  # fmt: skip
        return min(names, key=lambda name: (len(name.model), name.model), default=None)

    # --- what vendors stated with a date ---

    def stated(self, key: Key) -> list[Statement]:
        """Dated statements of the price at `key`, in order of time."""
        return stated_of(self._dated, key)

    # --- the same model elsewhere ---

    @cached_property
    def _kin(self) -> dict[tuple[str, str], list[tuple[Subject, list[Run]]]]:
        found: dict[tuple[str, str], list[tuple[Subject, list[Run]]]] = {}
        families: dict[str, str] = {}
        for history in self.histories.values():
            for key, runs in history.runs.items():
                if key.condition == "always" and key.meter in ("input", "output"):
                    model = key.subject.model
                    if model not in families:
                        families[model] = family(model.removesuffix("@latest"))
                    found.setdefault((families[model], key.meter), []).append((key.subject, runs))
        return found

    def kin(self, key: Key) -> list[tuple[Subject, list[Run]]]:
        """What other providers and channels charge for the model of `key` (one meter, under no condition)."""
        if key.condition != "always":
            return []
        listed = self._kin.get((family(key.subject.model.removesuffix("@latest")), key.meter), [])
        own = (key.subject.provider, key.subject.channel)
        return [(subject, runs) for subject, runs in listed if (subject.provider, subject.channel) != own]


def _patterns(snapshots: Sequence[Snapshot]) -> list[Pattern]:
    """The patterns of the newest list, then those that only older ones have."""
    found = dict.fromkeys(pattern for snapshot in reversed(snapshots) for pattern in snapshot.patterns)
    return list(found)


def statements(offers: Iterable[Offer]) -> dict[tuple[str, str, str], list[Statement]]:
    """The dated prices of `offers` that hold under no condition, by provider, name and meter, in order of time."""
    found: dict[tuple[str, str, str], list[Statement]] = {}
    for offer in offers:
        for price in offer.prices:
            if price.valid_from is None or price.currency != "USD" or offer.region:
                continue
            for rate in price.rates:
                if rate.when == ALWAYS and rate.amount is not None:
                    value = rate.amount * METERS[rate.meter].per / rate.per
                    made = Statement(
                        who=(rate.source or price.source).title, start=price.valid_from.date(), value=value
                    )
                    for name in (offer.model, *offer.aliases):
                        found.setdefault((offer.provider, name, rate.meter), []).append(made)
    for statements in found.values():
        statements.sort(key=lambda one: one.start)
    return found


def stated_of(dated: Mapping[tuple[str, str, str], list[Statement]], key: Key) -> list[Statement]:
    """The statements on `key`: they are of a provider's own API, whatever a cloud's channel charges."""
    if key.condition != "always" or key.subject.region or key.subject.channel != "direct":
        return []
    return dated.get((key.subject.provider, key.subject.model, key.meter), [])


def at(runs: Sequence[Run], day: date) -> Run | None:
    """What was said last on or before `day`."""
    held = [run for run in runs if run.first <= day]
    return held[-1] if held else None

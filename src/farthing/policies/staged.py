"""The usage of a replay in columns, as it was and as each prompt cache would have left it."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

import msgspec

from farthing.policies.prompt_cache import Behaviour, PromptCache, tells_what_is_shared
from farthing.policies.question import Question
from farthing.rates.card import Offer
from farthing.time import EPOCH
from farthing.usage.record import Usage
from farthing.usage.table import UsageTable, connect

Progress = Callable[[int], None]


class Staged:
    """The usage in columns, and again as each prompt cache would have left it."""

    def __init__(self, question: Question, served: Offer | None, table: UsageTable | None) -> None:
        self.question = question
        self.served = served
        self.connection = table.connection if table else connect()
        self.table = table or UsageTable(self.connection)
        self.relative = False
        self.nameless = all(subject.model is None for subject in self.table.subjects)
        self.cacheable = 0
        self.estimated = 0
        if table is not None and served is not None:
            table.subjects = [
                msgspec.structs.replace(
                    s, provider=served.provider, model=served.model, channel=served.channel, priced=None
                )
                for s in table.subjects
            ]

    def normal(self, usage: Usage) -> Usage:
        """`usage` on the clock of the question, and as served where it says."""
        if usage.relative:
            self.relative = True
            usage = msgspec.structs.replace(
                usage, at=midnight(self.question.now) + (usage.at - EPOCH), completed=None, relative=False
            )
        self.nameless = self.nameless and usage.model is None
        if self.served is not None:
            usage = msgspec.structs.replace(
                usage,
                provider=self.served.provider,
                model_served=self.served.model,
                channel=self.served.channel,
                priced=None,
            )
        return usage

    def stage(self, records: Iterable[Usage], progress: Progress) -> None:
        for number, usage in enumerate(map(self.normal, records), 1):
            self.table.add(usage)
            self.cacheable += tells_what_is_shared(usage)
            self.estimated += usage.estimated
            if number % 65_536 == 0:
                progress(number)
        self.table.flush()

    def cached(self, records: Iterable[Usage], ways: Sequence[Behaviour], progress: Progress) -> list[UsageTable]:
        """One table for each way of caching, in a single pass over the records, in order of time."""
        tables = [UsageTable(self.connection, f"cached_{number}") for number in range(len(ways))]
        caches = [PromptCache(way) for way in ways]
        for number, usage in enumerate(map(self.normal, records), 1):
            for cache, table in zip(caches, tables, strict=True):
                table.add(cache.apply(usage))
            if number % 65_536 == 0:
                progress(number)
        for table in tables:
            table.flush()
        return tables


def in_time(records: Callable[[], Iterator[Usage]]) -> Iterator[Usage]:
    """The records in order of their start, as a cache meets them; sorted only where they are not so already.

    Files are mostly in order; a window of records is held back to mend small disorder.
    """
    held: list[tuple[datetime, int, Usage]] = []
    for number, usage in enumerate(records()):
        heapq.heappush(held, (usage.at, number, usage))
        if len(held) > 100_000:
            yield heapq.heappop(held)[2]
    while held:
        yield heapq.heappop(held)[2]


def midnight(moment: datetime) -> datetime:
    """The start of the UTC day of `moment`."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)

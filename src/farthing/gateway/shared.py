"""What a worker shares with others through the data folder, and keeps over reloads: ledger, keys, purses, limits."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from farthing.gateway.config.values import Config
from farthing.gateway.limits import Limits
from farthing.gateway.metering.surfaces import Surface
from farthing.gateway.observe.metrics import Metrics
from farthing.gateway.problem import Problem
from farthing.gateway.spending.purses import Purses
from farthing.ledger.bank import Bank, SqliteBank
from farthing.ledger.budgets import BudgetRef, usd
from farthing.ledger.changes import Changes
from farthing.ledger.health import Health, LedgerFull
from farthing.ledger.keys import KeyRing
from farthing.ledger.ledger import Ledger
from farthing.ledger.row import Attempt
from farthing.money import decimal_text
from farthing.rates.book import Book
from farthing.rates.toml import Card

if TYPE_CHECKING:
    from farthing.gateway.state import State
    from farthing.ledger.postgres.watch import Watch


_PATIENCE_S = 2.0
_MOST_BLANKS = 2048  # clients name models, so what is remembered is bounded

Lasting = tuple[str, Surface, str, str, str, str, str, bool]
"""Of an attempt: key, surface, provider, upstream, region, model and tier asked, whether it is streamed."""


def _alert(budget: BudgetRef, spent: int) -> None:
    """A budget that only warns is spent."""
    print(
        f"farthing: the budget of {budget.id} ({budget.period}) is spent: ${decimal_text(usd(spent))} of "
        f"${decimal_text(usd(budget.limit))}; requests go on", file=sys.stderr, flush=True,
    )  # fmt: skip


def ledger_full(full: LedgerFull) -> Problem:
    """What a client is told where no open row can be written."""
    return Problem(503, f"the ledger takes no rows: {full}", code="ledger_full", retry_after_s=5)


class Shared:
    """One worker's hold on the data folder."""

    def __init__(
        self,
        folder: Path,
        ledger: Ledger,
        keys: KeyRing,
        purses: Purses,
        limits: Limits,
        metrics: Metrics,
        watch: "Watch | None" = None,
    ) -> None:
        self.folder = folder
        self.ledger = ledger
        self.blanks: dict[Lasting, Attempt] = {}
        self.keys = keys
        self.purses = purses
        self.limits = limits
        self.metrics = metrics
        self._watch = watch
        self._recording = True
        self._cards: tuple[Card, ...] = ()
        self._book: Book | None = None

    @classmethod
    def open(cls, config: Config, folder: Path) -> "Shared":
        """Open all of it. Raises `FarthingError` where the folder, or the database, cannot be used."""
        bank: Bank
        if config.database is None:
            ledger, bank, watch = Ledger.open(folder, hold_s=config.rules.hold_s), SqliteBank(folder), None
        else:
            from farthing.ledger.postgres.bank import PostgresBank
            from farthing.ledger.postgres.store import shared_store
            from farthing.ledger.postgres.watch import Watch

            url = config.database.reveal()
            ledger = Ledger.open(folder, store=shared_store(url, folder), hold_s=config.rules.hold_s)
            bank = PostgresBank(url)
            watch = Watch(url, folder, ledger.worker)
        purses = Purses(
            bank, ledger.worker, Changes(folder), on_failure=config.rules.on_bank_failure, on_alert=_alert
        )  # fmt: skip
        purses.start()
        limits, metrics = Limits.open(folder), Metrics(folder)
        return cls(folder, ledger, KeyRing(folder), purses, limits, metrics, watch)

    def book(self, config: Config) -> Book:
        """The price book of a configuration; the one at hand where its cards are the same."""
        if self._book is None or self._cards != config.cards:
            self._cards, self._book = config.cards, Book(config.cards)
        return self._book

    def metrics_refused(self, problem: Problem) -> None:
        """Count a request that was answered without an attempt."""
        self.metrics.count("refusals", problem.code or str(problem.status))

    def recording(self) -> bool:
        """Whether a row that is accepted now becomes durable soon, and this worker is not taken for dead.

        As of the last tick: a ledger that has since become full says so when the open row is written.
        """
        return self._recording

    def fit(self, health: Health) -> bool:
        """Whether work may be taken. Not where rows have no place but memory for longer than a lock lasts: neither the
        database nor the journal takes them, and the end of the process would take them along."""
        only_in_memory = health.unjournaled and health.failing_s > _PATIENCE_S
        return health.ok and not only_in_memory and (self._watch is None or not self._watch.dead)

    def blank(self, lasting: Lasting) -> Attempt:
        """A row that says what many attempts have in common, to be filled in; it is kept in `blanks`."""
        if len(self.blanks) >= _MOST_BLANKS:
            self.blanks.clear()
        key, surface, provider, upstream, region, model, tier, streamed = lasting
        made = self.blanks[lasting] = Attempt(
            attempt="", request="", started_us=0, worker=self.ledger.worker, key=key, protocol=surface.protocol,
            surface=surface.path, provider=provider, upstream=upstream, region=region, model_asked=model,
            tier_asked=tier, streamed=streamed,
        )  # fmt: skip
        return made

    def write(self, row: Attempt) -> None:
        """Write an open row. Raises `Problem` (503) where the ledger takes none: then nothing may be sent."""
        try:
            self.ledger.write([row])
        except LedgerFull as full:
            raise ledger_full(full) from None

    def end(self, row: Attempt) -> None:
        """Write a final row."""
        try:
            self.ledger.write([row])
        except LedgerFull as full:  # its open row is safe; the attempt will be found as lost
            print(f"farthing: a row could not be kept: {full}", file=sys.stderr, flush=True)
        self.metrics.observe(row)

    async def tick(self, state: "State", in_flight: int, draining: bool) -> None:
        """Once a second: what is counted elsewhere goes to the metrics, and these are written down."""
        if self._watch is not None and self._watch.dead and not draining:
            os.kill(os.getpid(), signal.SIGTERM)  # it gets no money any more: end gracefully, and be started anew
        metrics = self.metrics
        for what, number in self.limits.refusals.items():
            metrics.total("limit_refusals", what, number)
        for event, number in self.purses.counters.items():
            metrics.total("bank", event, number)
        health = self.ledger.health()
        self._recording = self.fit(health)
        metrics.gauge("ledger_waiting_rows", health.waiting)
        metrics.gauge("ledger_failing_seconds", health.failing_s)
        metrics.gauge("ledger_ok", float(health.ok))
        metrics.gauge("in_flight", in_flight)
        metrics.gauge("draining", float(draining))
        for outcome, number in (state.tracer.counters if state.tracer is not None else {}).items():
            metrics.total("spans", outcome, number)
        for name, upstream in state.upstreams.items():
            metrics.gauge("upstream_in_flight", upstream.in_flight, name)
            metrics.gauge("breaker_open", float(upstream.breaker.tripped), name)
        metrics.tick()

    async def close(self) -> None:
        """Give back and write down everything."""
        await self.purses.close()
        self.metrics.close()
        self.limits.close()
        if lost := await asyncio.to_thread(self.ledger.close):
            print(f"farthing: {lost:,} rows are lost: no disk took them", file=sys.stderr, flush=True)
        if self._watch is not None:  # last: while it is there, other machines take this worker for alive
            await asyncio.to_thread(self._watch.close)

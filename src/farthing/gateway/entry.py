"""An attempt's account: what it holds of the budgets, its open row, and the final row that settles both."""

from fractions import Fraction
from typing import TYPE_CHECKING

from msgspec.structs import replace

from farthing.gateway.call import Call
from farthing.gateway.metering import Served, Surface
from farthing.ledger.ledger import attempt_id
from farthing.ledger.row import Attempt

if TYPE_CHECKING:
    from farthing.gateway.spending.purses import Hold
    from farthing.gateway.state import Place, State
    from farthing.gateway.upstream import Upstream

_GOES_ON = "the response goes on in the background: what it costs is known when it is fetched"


class Entry:
    """The account of one attempt. `opened`: its open row is written; `done`: it is settled, and its row has ended.

    `attempt`: its id. `first_us`: when the first byte of the answer came.
    """

    __slots__ = (
        "_call", "_hold", "_number", "_place", "_row", "_started_us", "_state", "attempt", "done", "first_us", "opened",
    )  # fmt: skip

    def __init__(self, state: "State", call: Call, number: int) -> None:
        self._state = state
        self._call = call
        self._hold: Hold | None = None
        self._place: Place
        self.done = self.opened = False
        self.first_us: int | None = None
        self.attempt = attempt_id()
        self._number = number
        self._started_us = call.now_us()
        self._row: Attempt

    async def reserve(self, place: "Place") -> int | None:
        """Reserve the worst case of the request in all its budgets; the cap on its output, where one is needed.

        Raises `Problem` where a budget is short, or the cost has no bound.
        """
        call = self._call
        self._place = place
        if not call.party.budgets or call.surface is Surface.COUNT_TOKENS:
            return None
        self._hold, cap = await self._state.reserve(call, place)
        if cap is None and call.asked.limit_is_new and call.party.hard is not None:
            return call.asked.max_output_tokens  # in the words of the upstream, which may pass the other by
        return cap

    def release(self) -> None:
        """Nothing was sent: free the hold; there is no row."""
        if self._hold is not None:
            self._state.purses.release(self._hold)
            self._hold = None
        self.done = True

    def open(self, upstream: "Upstream", log: str) -> None:
        """Write the open row, with the log of the decision: after this the attempt cannot be forgotten.

        Raises `Problem` where the ledger takes none.
        """
        call, asked, by = self._call, self._call.asked, self._call.by
        self._row = row = Attempt(
            attempt=self.attempt, request=call.id, number=self._number, started_us=self._started_us,
            worker=self._state.ledger.worker, key=call.key_id, protocol=call.protocol,
            surface=call.surface.path, provider=self._place.provider, upstream=upstream.name,
            model_asked=asked.model, tier_asked=asked.tier, region=upstream.settings.region, streamed=asked.stream,
            feature=by.feature, request_type=by.request_type, user=by.user, segment=by.segment, session=by.session,
            tags=by.tags, decision=log, holds=self._hold.amounts if self._hold is not None else {},
        )  # fmt: skip
        self._state.shared.write(row)
        self.opened = True

    def end(
        self, name: str, *, served: Served | None = None, status: int | None = None, error: str = "", unknown: str = "",
        meant: int | None = None,
    ) -> Attempt:  # fmt: skip
        """Price what was served, settle the hold, write the final row. `meant`: the status of an error behind 200."""
        call, state, place = self._call, self._state, self._place
        served = served or Served(unknown=unknown, complete=False)
        if call.asked.background and not served.complete and not served.error:
            served = Served(unknown=_GOES_ON, complete=False, id=served.id, model=served.model, tier=served.tier)
        ended_us = call.now_us()
        priced = state.price(served, place, call.asked, self._started_us, ended_us)
        holds = {}
        if self._hold is not None:
            holds = state.purses.settle(self._hold, self._charge(priced.usd, served, meant or status))
            self._hold = None
        self.done = True
        for meter, count in served.quantities.items():
            if meter in state.token_meters:
                call.tokens += count
        opened = self._row
        row = replace(
            opened, state=name, ended_us=ended_us, first_us=self.first_us, model_served=served.model,
            tier_served=served.tier, region=served.region or opened.region, status=status, error=error,
            quantities=served.quantities, usd=str(priced.usd) if priced.usd is not None else None,
            unknown=priced.unknown, price=state.price_name(priced),
            reported_usd=None if served.reported_usd is None else str(served.reported_usd),
            estimated=served.estimated, answer=served.id, holds=holds,
        )  # fmt: skip
        state.end(row, call.trace)
        return row

    def _charge(self, usd: Fraction | None, served: Served, status: int | None) -> Fraction | None:
        """What the budgets are charged; None: all that was held, since what was served has no price."""
        if usd is not None:
            return usd
        if status is None and not served.quantities:  # sent, and no answer: its prompt was paid for, most likely
            return self._state.least(self._call, self._place)
        return Fraction(0) if status is not None and status >= 400 else None

"""An attempt's account: what it holds of the budgets, its open row, and the final row that settles both."""

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from farthing.gateway.call import Call
from farthing.gateway.metering import Served
from farthing.gateway.metering.surfaces import COUNT_TOKENS
from farthing.gateway.shared import ledger_full
from farthing.ledger.attempts import attempt_id, ended, opened
from farthing.ledger.health import LedgerFull
from farthing.ledger.row import Attempt

if TYPE_CHECKING:
    from farthing.gateway.spending.costs import Priced
    from farthing.gateway.spending.purses import Hold
    from farthing.gateway.state import Place, State
    from farthing.gateway.upstream import Upstream

_NOTHING: Any = None
"""Until there is something."""
_NONE: Mapping[str, int] = {}
_GOES_ON = "the response goes on in the background: what it costs is known when it is fetched"


class Entry:
    """The account of one attempt. `opened`: its open row is written; `done`: it is settled, and its row has ended.

    `attempt`: its id, once it has begun. `first_us`: when the first byte of the answer came. `priced`: what it cost,
    once it is done. `left`: of the tightest budget then, nanodollars; None: to be asked.
    """

    __slots__ = (
        "_call", "_hold", "_number", "_place", "_row", "_started_us", "_state", "attempt", "done", "first_us", "left",
        "opened", "priced",
    )  # fmt: skip

    def __init__(self, state: "State", call: Call, number: int) -> None:
        self._state = state
        self._call = call
        self._number = number
        self.attempt = ""
        self.opened = False
        self.done = False
        self.first_us: int | None = None
        self.left: int | None = None
        self._started_us = 0
        self._hold: Hold | None = None
        self._place: Place = _NOTHING  # from `begin` on
        self._row: Attempt = _NOTHING  # from `open` on
        self.priced: Priced = _NOTHING

    def begin(self, place: "Place") -> bool:
        """Take `place` up, and reserve what the request itself bounds, without waiting. Whether that is all there is to
        reserve; else `reserve` does the rest."""
        call, self._place = self._call, place
        self._started_us = now_us = call.now_us()
        self.attempt = attempt_id(now_us)
        if not call.party.budgets or call.surface is COUNT_TOKENS:
            return True
        self._hold = self._state.reserve_stated(call, place)
        return self._hold is not None and not call.asked.limit_is_new

    async def reserve(self) -> int | None:
        """Reserve the worst case of the request in all its budgets; the cap on its output, where one is needed.

        Raises `Problem` where a budget is short, or the cost has no bound.
        """
        call, cap = self._call, None
        if self._hold is None:
            self._hold, cap = await self._state.reserve(call, self._place)
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
        call, shared, place, hold = self._call, self._state.shared, self._place, self._hold
        asked, by, key = call.asked, call.by, call.party.key
        lasting = (
            "" if key is None else key.id, call.surface, place.provider, upstream.name, place.region, asked.model,
            asked.tier, asked.stream,
        )  # fmt: skip
        self._row = row = opened(
            shared.blanks.get(lasting) or shared.blank(lasting), self.attempt, call.id, self._number, self._started_us,
            by.feature, by.request_type, by.user, by.segment, by.session, by.tags, log,
            _NONE if hold is None else hold.amounts,
        )  # fmt: skip
        try:
            shared.ledger.write([row])
        except LedgerFull as full:
            raise ledger_full(full) from None
        self.opened = True

    def end(
        self, name: str, *, served: Served | None = None, status: int | None = None, error: str = "", unknown: str = "",
        meant: int | None = None,
    ) -> Attempt:  # fmt: skip
        """Price what was served, settle the hold, write the final row. `meant`: the status of an error behind 200."""
        call, state, begun, hold = self._call, self._state, self._row, self._hold
        asked = call.asked
        if served is None:
            served = Served(unknown=unknown, complete=False)
        if asked.background and not served.complete and not served.error:
            served = Served(unknown=_GOES_ON, complete=False, id=served.id, model=served.model, tier=served.tier)
        ended_us = call.now_us()
        self.priced = priced = self._place.seller.price(served, asked.tier, self._started_us, ended_us)
        plan, quantities = priced.plan, served.quantities
        nano, text = priced.amounts()
        holds = _NONE
        if hold is not None:
            charged = nano if plan.known else self._unpriced(served, meant or status)
            holds = state.purses.settle(hold, charged)
            self.left = hold.left
            self._hold = None
        self.done = True
        if quantities.keys() <= state.token_meters:
            call.tokens += sum(quantities.values())
        else:
            call.tokens += sum([count for meter, count in quantities.items() if meter in state.token_meters])
        if served.region or served.reported_usd is not None:
            told = None if served.reported_usd is None else str(served.reported_usd)
            begun = replace(begun, region=served.region or begun.region, reported_usd=told)
        row = ended(
            begun, name, ended_us, self.first_us, served.model, served.tier, status, error, quantities, text,
            plan.reason, plan.price_name or state.price_name(priced), served.estimated, served.id, holds,
        )  # fmt: skip
        if call.trace is None:
            state.shared.end(row)
        else:
            state.end(row, call.trace)
        return row

    def _unpriced(self, served: Served, status: int | None) -> Fraction | None:
        """What the budgets are charged where there is no price; None: all that was held."""
        if status is None and not served.quantities:  # sent, and no answer: its prompt was paid for, most likely
            return self._state.least(self._call, self._place)
        return Fraction(0) if status is not None and status >= 400 else None

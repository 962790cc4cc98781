"""One client's request from its arrival to its end: served in a task, or without one as long as nothing is waited for.

Nearly every request comes whole, finds money and a kept connection, and is answered whole. Such a request needs no
task: it is begun as it comes (`Metered.at_once`), and ended as its answer comes. Whatever else happens, it goes on in a
task from where it is (`Metered.serve`), by the same steps.
"""

from asyncio import current_task
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from farthing.gateway.attempts import serve
from farthing.gateway.call import Call
from farthing.gateway.entry import Entry
from farthing.gateway.exchange import Exchange
from farthing.gateway.gate import Caller
from farthing.gateway.http import Receive, Send, body_at_once, own_cycle, read_body
from farthing.gateway.metering import Asked, Surface, read_request
from farthing.gateway.problem import Problem
from farthing.gateway.watch import Watch, watched
from farthing.ledger.ledger import attempt_id

if TYPE_CHECKING:
    from farthing.gateway.app import Gateway
    from farthing.gateway.state import State


class Visit:
    """A request. `answered`: its answer has begun to go out."""

    __slots__ = ("answered", "id", "path", "receive", "send")

    def __init__(self, path: str, receive: Receive, send: Send) -> None:
        self.id = attempt_id()
        self.path = path
        self.receive = receive
        self.send = send
        self.answered = False


class Familiar(msgspec.Struct, frozen=True, eq=False):
    """What is the same for all requests with one head, under one configuration (`State.mark`): who sends them, and by
    the upstream's name the lines that are passed on of it."""

    mark: object
    caller: Caller
    lines: dict[str, bytes]


class Metered(Visit):
    """A request that is metered. Its steps are `_arrive`, `_enter`, then the attempts, `_told` and `_leave`."""

    __slots__ = (
        "_bytes", "_caller", "_exchange", "_fault", "_gateway", "_in_task", "_lines", "_state", "_watch", "call",
        "cycle", "headers", "surface",
    )  # fmt: skip

    def __init__(
        self, gateway: "Gateway", state: "State", path: str, surface: Surface, headers: Mapping[bytes, bytes],
        receive: Receive, send: Send,
    ) -> None:  # fmt: skip
        super().__init__(path, receive, send)
        self.surface = surface
        self.headers = headers
        self.cycle = own_cycle(receive)
        self.call: Call | None = None
        self._gateway = gateway
        self._state = state
        self._watch: Watch | None = None
        self._caller: Caller | None = None
        self._lines: dict[str, bytes] | None = None
        self._bytes = 0
        self._exchange: Exchange | None = None
        self._fault: Exception | None = None
        self._in_task = False

    # --- without a task ---------------------------------------------------------------------------

    def at_once(self) -> None:
        """Begin to serve the request, which came whole with a plain head; go on in a task where that has to wait."""
        state = self._state
        try:
            body = self._arrive()
            if body is not None:
                call = self._enter(body)
                way = state.usual_way(call.asked.model, self.surface)
                if way is not None:
                    self._exchange = exchange = Exchange(
                        state, call, way.target, way.log, Entry(state, call, 1), way.place
                    )
                    if exchange.at_once(self._came):
                        return
        except Exception as fault:
            self._fault = fault
        self.go_on()

    def _came(self) -> None:
        """The answer to the first attempt came, or as much of it as was to come before somebody looks."""
        exchange = self._exchange
        if self._in_task or exchange is None:
            return
        if exchange.came():
            try:
                self._told()
            finally:
                self._leave()
                self._gateway.gone(self._state)
        else:
            self.go_on()

    def go_on(self) -> None:
        """Go on in a task from here."""
        cycle = self.cycle
        if not self._in_task and cycle is not None:
            self._in_task = True
            cycle.go_on(self._gateway.guarded(self, self._state, self.serve()))

    # --- in a task --------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Serve the request, or what is left to do of it. Raises `Problem` where it has no answer."""
        state, body = self._state, None
        self._in_task = True
        try:
            if self._watch is None:
                body = self._arrive()
            watch = self._watch
            assert watch is not None
            watch.task = current_task()
            fault, self._fault = self._fault, None  # (kept here, it would hold what it passes through, which holds us)
            call = self.call
            if call is None:
                if fault is not None:
                    raise fault
                if body is None:
                    config = state.config
                    body = await read_body(
                        self.receive, self.headers, config.bounds.body_bytes, config.timeouts.body_s, watch, state.held
                    )
                    self._bytes = len(body)
                call = self._enter(body)
            try:
                if fault is not None:
                    raise fault
                await serve(state, call, self._exchange)
            except Problem as problem:
                call.status = call.status or problem.status
                raise
            finally:
                self._told()
        finally:
            self._leave()

    # --- the steps --------------------------------------------------------------------------------

    def _arrive(self) -> bytes | None:
        """Look who asks, and take the body; None where not all of it has come. Raises `Problem`."""
        state, cycle = self._state, self.cycle
        total_s = state.config.timeouts.total_s
        if self._in_task or cycle is None:
            self._watch = watched(total_s)
        else:
            cycle.take_up = cycle.on_lost = take_up = self.go_on
            self._watch = self._gateway.sweep.watch(None, total_s, take_up)
        self._gateway.admit_work(state)
        meaning = cycle.meaning if cycle is not None else None
        if meaning is None:
            self._caller = state.gate.caller(self.headers)
        else:
            known = meaning.memo
            if type(known) is not Familiar or known.mark is not state.mark or not state.gate.holds(known.caller):
                known = meaning.memo = Familiar(state.mark, state.gate.caller(self.headers), {})
            self._caller, self._lines = known.caller, known.lines
        body = body_at_once(cycle, self.headers, state.config.bounds.body_bytes, state.held)
        if body is not None:
            self._bytes = len(body)
        return body

    def _enter(self, body: bytes) -> Call:
        """Read what is asked, and count the request under its limits. Raises `Problem`."""
        state, headers, caller, watch, surface = self._state, self.headers, self._caller, self._watch, self.surface
        assert caller is not None and watch is not None
        asked: Asked = read_request(surface, body)
        if asked.problem:
            raise Problem(400, asked.problem, code="bad_request")
        by, party = caller.by, caller.party
        if asked.metadata or asked.user or asked.session:
            by, party = state.gate.who(caller.key, headers, asked)
        if party.scoped:
            state.gate.check_scope(party.key, (asked.model, *asked.other_models), by.feature)
        call = Call(self.id, surface, headers, body, asked, party, by, watch, self.send, self.cycle, self._lines)
        if state.tracer is not None:
            call.trace = state.tracer.begin(self.id, headers)
        if party.limiter is not None:
            tokens = asked.prompt_tokens_estimate + (asked.max_output_tokens or 0) * asked.choices
            call.admission = state.gate.admit(party, tokens)
        self.call = call
        return call

    def _told(self) -> None:
        """The attempts are over."""
        call, state = self.call, self._state
        if call is None:
            return
        self.answered = call.answered
        if call.admission is not None:  # (It has ended already where the answer went out, mostly with as many tokens.)
            call.admission.end(call.tokens)
        if state.tracer is not None and call.trace is not None:
            state.tracer.request(
                call.trace, self.id, method="POST", path=f"/v1/{self.surface.path}", status=call.status,
                started_us=call.started_us, ended_us=call.now_us(),
            )  # fmt: skip

    def _leave(self) -> None:
        """Nothing is held any more."""
        self._state.held.drop(self._bytes)
        if self._watch is not None:
            self._watch.end()
        if self.cycle is not None:
            self.cycle.take_up = self.cycle.on_lost = None

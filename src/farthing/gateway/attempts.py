"""Serving one call: attempts, one after another, as the policies say, until one has answered."""

import asyncio
import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from farthing.gateway.call import Call
from farthing.gateway.entry import Entry
from farthing.gateway.exchange import Exchange
from farthing.gateway.failing import Failed
from farthing.gateway.http import send_whole
from farthing.gateway.problem import Problem
from farthing.gateway.routes import split_target
from farthing.policies.routing import Ask, Context, Decision, Failure

if TYPE_CHECKING:
    from farthing.gateway.state import State


async def serve(state: "State", call: Call, first: Exchange | None = None) -> None:
    """Answer `call`. `first`: its first attempt, if that was begun. Raises `Problem` where no attempt could be made, or
    none answered."""
    failures: tuple[Failure, ...] = ()
    last: Failed | None = None
    way = state.usual_way(call.asked.model, call.surface) if first is None else None
    if way is not None:
        first = Exchange(state, call, way.target, way.log, Entry(state, call, 1), way.place)
    if first is not None:
        last = await first.run()
        if last is None or last.failure.began:
            return
        failures = (last.failure,)
    targets, retries = state.routes.targets(call.asked.model, call.surface), state.config.retries
    while True:
        number = len(failures) + 1
        unavailable = state.unavailable()
        context = Context(
            attempt=number, failed=failures, unavailable=unavailable, targets=targets, retries=retries.count
        )
        decision = state.chain.decide(_ask(call), context)
        log = decision.log()
        if decision.target is None or (last is not None and call.watch.left_s <= 0):
            break
        if last is not None:
            if not await _back_off(state, call, decision, last, failures):
                break
            again = decision.target == last.failure.target
            state.shared.metrics.count("retries" if again else "fallbacks", split_target(decision.target)[0])
        place = state.place(decision.target, call.surface)
        last = await Exchange(state, call, decision.target, log, Entry(state, call, number), place).run()
        if last is None:
            return
        failures = (*failures, last.failure)
        if last.failure.began:
            return
    if last is None:
        raise Problem(
            503, f"no upstream can take this now: {decision.reason or 'all are out of reach'}", code="no_upstream",
            retry_after_s=state.retry_after_s(),
        )  # fmt: skip
    call.answered, call.status = True, last.status
    call.leave()
    await send_whole(call.send, last.status, [*last.headers, *call.own_headers()], last.body)


def _ask(call: Call) -> Ask:
    """What policies may look at of the request."""
    asked, by = call.asked, call.by
    return Ask(
        request_id=call.id, model=asked.model, at=datetime.fromtimestamp(call.started_us / 1e6, UTC),
        surface=call.surface.path, protocol=call.protocol, key=call.key_id, feature=by.feature,
        request_type=by.request_type, user=by.user, segment=by.segment, session=by.session, tags=by.tags,
        stream=asked.stream, prompt_tokens=asked.prompt_tokens_estimate, max_output_tokens=asked.max_output_tokens,
        images=asked.images, tools=asked.tools,
    )  # fmt: skip


async def _back_off(
    state: "State", call: Call, decision: Decision, last: Failed, failures: tuple[Failure, ...]
) -> bool:
    """Wait before the next attempt, where it goes to the same target; whether there is time and somebody to answer."""
    if decision.target != last.failure.target:
        return not call.left
    retries = state.config.retries
    tries = sum(failure.target == decision.target for failure in failures)
    wait = random.uniform(0, min(retries.most_s, retries.first_s * 2.0 ** (tries - 1)))
    if last.again_s is not None:
        wait = max(wait, last.again_s)
    if wait >= call.watch.left_s:
        return False
    await asyncio.sleep(wait)
    return not call.left

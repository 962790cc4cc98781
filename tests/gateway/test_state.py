"""A request that bounds its own cost is reserved the short way: what the long way finds, and never where that asks
for more."""

import asyncio
import time
from pathlib import Path
from typing import Any, cast

import pytest

from farthing.gateway.app import Gateway
from farthing.gateway.call import Call
from farthing.gateway.caller import NOBODY
from farthing.gateway.config import load
from farthing.gateway.metering import Asked, Served, Surface
from farthing.gateway.problem import Problem
from farthing.gateway.state import Place, State
from farthing.policies.routing import Ask, Context

CONFIG = """
[gateway]
keys = "off"

[[upstream]]
name = "one"
provider = "openai"
protocol = "openai"
url = "http://127.0.0.1:9/v1"

[[upstream]]
name = "two"
provider = "openai"
protocol = "openai"
url = "http://127.0.0.1:9/v1"
most_in_flight = 1

[[budget]]
per = "all"
usd = 100000
period = "month"
hard = HARD
"""


class Asking:
    """As much of a call as is looked at."""

    def __init__(self, state: State, **asked: Any) -> None:
        self.asked = Asked(**{"model": "gpt-4o-mini", "prompt_tokens_bound": 1000, **asked})
        self.party = state.gate.party(None, NOBODY)
        self.started_us = time.time_ns() // 1000


def asking(state: State, **asked: Any) -> Call:
    return cast(Call, Asking(state, **asked))


def place_of(state: State, target: str = "one/gpt-4o-mini") -> Place:
    place = state.place(target, Surface.CHAT)
    assert isinstance(place, Place)
    return place


def with_state(folder: Path, hard: bool, test: Any, more: str = "") -> None:
    file = folder / "farthing.toml"
    file.write_text(CONFIG.replace("HARD", str(hard).lower()) + more)

    async def main() -> None:
        gateway = Gateway(load(file, {}, data=folder / "data"), folder / "data")
        await gateway.start()
        try:
            await test(gateway._state)
        finally:
            await gateway.stop(1)

    asyncio.run(main())


@pytest.mark.parametrize("hard", [True, False])
def test_the_short_way_reserves_what_the_long_way_finds(tmp_path: Path, hard: bool) -> None:
    async def test(state: State) -> None:
        place = place_of(state)
        first, cap = await state.reserve(asking(state, max_output_tokens=10), place)  # the bank is asked
        assert first is not None and cap is None
        state.purses.release(first)
        for more in ({}, {"choices": 3}, {"tier": "priority"}, {"images": 1}, {"max_output_tokens": 0}):
            call = asking(state, **{"max_output_tokens": 10, **more})
            hold = state.reserve_stated(call, place)
            assert hold is not None and hold.amount == state._worst(call, place, None).nano, more
            state.purses.release(hold)
        unsaid = asking(state)
        assert state.reserve_stated(unsaid, place) is None
        hold, cap = await state.reserve(unsaid, place)
        assert hold is not None and (cap is not None) is hard
        state.purses.release(hold)
        assert state.reserve_stated(asking(state, max_output_tokens=9, prompt_tokens_bound=None), place) is None
        unknown = place_of(state, "one/no-such-model")
        assert state.reserve_stated(asking(state, max_output_tokens=9), unknown) is None

    with_state(tmp_path, hard, test)


def test_other_models_that_may_answer_are_reserved_for(tmp_path: Path) -> None:
    async def test(state: State) -> None:
        call = asking(state, max_output_tokens=10, other_models=("gpt-4o",))
        assert state.reserve_stated(call, place_of(state)) is None
        hold, _ = await state.reserve(call, place_of(state))
        dear = state._worst(asking(state, max_output_tokens=10), place_of(state, "one/gpt-4o"), None)
        assert hold is not None and hold.amount == dear.nano

    with_state(tmp_path, True, test)


def test_what_a_budget_that_only_warns_counts_is_bounded(tmp_path: Path) -> None:
    async def test(state: State) -> None:
        call = asking(state, max_output_tokens=10**12, choices=10**6)
        assert state.reserve_stated(call, place_of(state)) is None
        hold, _ = await state.reserve(call, place_of(state))
        assert hold is not None and hold.amount == 10_000 * 10**9

    with_state(tmp_path, False, test)


def test_upstreams_that_are_not_to_be_asked(tmp_path: Path) -> None:
    async def test(state: State) -> None:
        assert state.unavailable() == frozenset()
        state.upstreams["two"].in_flight = 1
        assert state.unavailable() == {"two"}
        state.upstreams["two"].in_flight = 0
        for _ in range(100):
            state.upstreams["one"].breaker.failed(time.monotonic())
        assert state.unavailable() == {"one"}
        state.upstreams["one"].breaker.succeeded()
        assert state.unavailable() == frozenset()

    with_state(tmp_path, True, test)


def test_the_usual_way_is_what_passthrough_decides(tmp_path: Path) -> None:
    async def test(state: State) -> None:
        for model in ("one/gpt-4o-mini", "two/gpt-4o-mini", "one/no-such-model"):
            targets = state.routes.targets(model, Surface.CHAT)
            decided = state.chain.decide(
                Ask(request_id="", model=model), Context(targets=targets, retries=state.config.retries.count)
            )
            for _ in range(2):
                way = state.usual_way(model, Surface.CHAT)
                assert way is not None and way.target == decided.target == model
                assert way.log == decided.log() and way.place is state.place(model, Surface.CHAT)
        with pytest.raises(Problem, match="no upstream is known"):
            state.usual_way("no-such-model", Surface.CHAT)
        state.upstreams["two"].in_flight = 1  # it is full
        assert state.usual_way("one/gpt-4o-mini", Surface.CHAT) is None
        state.upstreams["two"].in_flight = 0
        for _ in range(100):
            state.upstreams["one"].breaker.failed(time.monotonic())
        assert state.usual_way("one/gpt-4o-mini", Surface.CHAT) is None
        state.upstreams["one"].breaker.succeeded()
        assert state.usual_way("one/gpt-4o-mini", Surface.CHAT) is not None

    with_state(tmp_path, True, test)


def test_with_policies_no_way_is_usual(tmp_path: Path) -> None:
    async def test(state: State) -> None:
        assert state.usual_way("one/gpt-4o-mini", Surface.CHAT) is None

    with_state(tmp_path, True, test, '[[policy]]\nkind = "route"\ntarget = "two/*"\n')


def test_what_is_left_is_told_as_it_would_be_asked(tmp_path: Path) -> None:
    async def test(state: State) -> None:
        call, place = asking(state, max_output_tokens=10), place_of(state)
        state.purses.release((await state.reserve(call, place))[0])  # type: ignore[arg-type]
        hold = state.reserve_stated(call, place)
        assert hold is not None
        for served in (
            Served(quantities={"input": 3}, model="gpt-4o-mini"), Served(unknown="nobody knows"),
            Served(quantities={"input": 3}, model="gpt-4o-mini", estimated=True),
        ):  # fmt: skip
            priced = place.seller.price(served, "", call.started_us, call.started_us)
            state.purses.settle(hold, priced.nano)
            told = state.priced_lines(call, priced, hold.left)
            assert hold.left is not None and told == state.priced_lines(call, priced)
            # 3 x $0.15 a million are spent
            assert told.endswith(b"\r\nx-farthing-budget-remaining-usd: 99999.999999550\r\n")

    with_state(tmp_path, True, test)


def test_the_price_of_an_answer_has_a_name(tmp_path: Path) -> None:
    async def test(state: State) -> None:
        place, now = place_of(state), time.time_ns() // 1000
        served = Served(quantities={"input": 3}, model="gpt-4o-mini")
        names = {state.price_name(place.seller.price(served, "", now, now)) for _ in range(3)}
        assert len(names) == 1 and names != {""}
        for nothing in (Served(), Served(unknown="nobody knows"), Served(quantities={"input": 3}, model="other")):
            assert state.price_name(place.seller.price(nothing, "", now, now)) == ""

    with_state(tmp_path, True, test)

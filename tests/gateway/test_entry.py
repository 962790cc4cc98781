"""The rows of an attempt: the open one says all that is known when it is sent, the final one adds how it ended."""

import time
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.charges.quick import Plan
from farthing.gateway import shared as shareds
from farthing.gateway.call import Call
from farthing.gateway.caller import Attribution
from farthing.gateway.entry import Entry
from farthing.gateway.metering import Asked, Served, Surface
from farthing.gateway.shared import Shared
from farthing.gateway.spending.costs import Priced
from farthing.gateway.state import State
from farthing.ledger.row import Attempt

words = st.sampled_from(["", "a", "b", "ä"])
FIELDS = {
    "key": words, "surface": st.sampled_from([Surface.CHAT, Surface.MESSAGES]), "provider": words, "upstream": words,
    "region": words, "model": words, "tier": words, "stream": st.booleans(), "feature": words, "request_type": words,
    "user": words, "segment": words, "session": words, "tags": st.sampled_from([{}, {"team": "x"}]),
}  # fmt: skip


class Kept:
    """What a worker shares, as far as rows need it."""

    def __init__(self) -> None:
        self.rows: list[Attempt] = []
        self.ledger = SimpleNamespace(worker="host:1:2", write=self.rows.extend)
        self.blanks: dict[Any, Attempt] = {}
        self.end = self.rows.append

    blank: Any = Shared.blank


def state_of(shared: Kept, charges: list[Any]) -> Any:
    def settle(hold: Any, charged: Any) -> dict[str, int]:
        charges.append(charged)
        return {"purse": 7}

    return SimpleNamespace(
        shared=shared, token_meters=State.token_meters, price_name=lambda _: "named",
        purses=SimpleNamespace(settle=settle), least=lambda *_: None,
        reserve_stated=lambda *_: SimpleNamespace(amounts={"purse": 9}, left=None),
    )  # fmt: skip


def call_of(told: dict[str, Any], number: int, budgets: tuple[Any, ...] = ()) -> Call:
    by = {name: told[name] for name in ("feature", "request_type", "user", "segment", "session", "tags")}
    asked = Asked(model=told["model"], tier=told["tier"], stream=told["stream"])
    party: Any = SimpleNamespace(key=SimpleNamespace(id=told["key"]) if told["key"] else None, budgets=budgets)
    nothing: Any = None
    return Call(
        f"r{number}", told["surface"], {}, b"", asked, party, Attribution(**by), nothing, nothing, None
    )  # fmt: skip


def opened(shared: Kept, told: dict[str, Any], number: int, priced: Any = None, charges: Any = None) -> tuple[Any, Any]:
    """The entry and its call; where `charges` are kept, 9 nanodollars of a budget are held."""
    call = call_of(told, number, () if charges is None else ("a budget",))
    entry = Entry(state_of(shared, [] if charges is None else charges), call, number)
    seller = SimpleNamespace(price=lambda *_: priced)
    place: Any = SimpleNamespace(provider=told["provider"], region=told["region"], seller=seller)
    assert entry.begin(place)
    entry.open(SimpleNamespace(name=told["upstream"]), f"log {number}")  # type: ignore[arg-type]
    return entry, call


@settings(deadline=None, max_examples=60)
@given(st.lists(st.fixed_dictionaries(FIELDS), min_size=1, max_size=12), st.integers(1, 4))
def test_each_open_row_says_what_its_own_request_said(requests: list[dict[str, Any]], most: int) -> None:
    """Rows are made of blanks that are kept, few of them here: none takes a word of another request."""
    shared, before, began_us = Kept(), shareds._MOST_BLANKS, time.time_ns() // 1000
    shareds._MOST_BLANKS = most
    try:
        for number, told in enumerate(requests):
            opened(shared, told, number)
            assert len(shared.blanks) <= most
    finally:
        shareds._MOST_BLANKS = before
    for number, (told, row) in enumerate(zip(requests, shared.rows, strict=True)):
        assert began_us <= row.started_us <= time.time_ns() // 1000 + 1
        assert row == Attempt(
            attempt=row.attempt, request=f"r{number}", number=number, started_us=row.started_us,
            worker="host:1:2", key=told["key"], protocol=told["surface"].protocol, surface=told["surface"].path,
            provider=told["provider"], upstream=told["upstream"], model_asked=told["model"], tier_asked=told["tier"],
            region=told["region"], streamed=told["stream"], feature=told["feature"],
            request_type=told["request_type"], user=told["user"], segment=told["segment"], session=told["session"],
            tags=told["tags"], decision=f"log {number}",
        )  # fmt: skip
    assert len({row.attempt for row in shared.rows}) == len(requests)


TOLD: dict[str, Any] = {
    "key": "k", "surface": Surface.CHAT, "provider": "openai", "upstream": "main", "region": "eu", "model": "m",
    "tier": "", "stream": False, "feature": "f", "request_type": "", "user": "", "segment": "", "session": "",
    "tags": {},
}  # fmt: skip


@pytest.mark.parametrize(
    ("served", "region", "reported", "tokens"),
    [
        # 5 + 3 tokens; what is no token (a search, reasoning, which is part of output) does not count for the limits
        (Served(quantities={"input": 5, "output": 3}), "eu", None, 8),
        (Served(quantities={"input": 5, "output": 3, "reasoning": 2}, region="us"), "us", None, 8),
        (Served(quantities={"input": 5, "web_search": 4}, reported_usd=Fraction(1, 8)), "eu", "1/8", 5),
        (Served(reported_usd=Fraction(0), region="us"), "us", "0", 0),
    ],
)
def test_the_final_row_adds_the_end(served: Served, region: str, reported: str | None, tokens: int) -> None:
    shared, charges = Kept(), list[Any]()
    priced = Priced(Plan(known=True, bottom=1000), 6)  # 6/1000 dollars: 6,000,000 nanodollars
    entry, call = opened(shared, TOLD, 1, priced, charges)
    entry.first_us = call.started_us + 2
    row = entry.end("done", served=served, status=200)
    [before, after] = shared.rows
    assert row is after and entry.done and entry.priced is priced and charges == [6_000_000] and call.tokens == tokens
    assert before.holds == {"purse": 9} and before.started_us <= (row.ended_us or 0)
    known = {name: getattr(before, name) for name in before.__struct_fields__}
    assert row == Attempt(
        **known | {
            "state": "done", "ended_us": row.ended_us, "first_us": entry.first_us, "status": 200, "region": region,
            "quantities": served.quantities, "usd": "3/500", "price": "named", "reported_usd": reported,
            "holds": {"purse": 7},
        }
    )  # fmt: skip


def test_what_has_no_price_is_unknown_and_charges_what_was_held() -> None:
    shared, charges = Kept(), list[Any]()
    entry, _ = opened(shared, TOLD, 1, Priced(Plan(known=False, reason="no price")), charges)
    row = entry.end("done", served=Served(quantities={"input": 1}), status=200)
    assert (row.usd, row.unknown, charges) == (None, "no price", [None])

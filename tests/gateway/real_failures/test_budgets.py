"""Budgets: passed under concurrency, by names nobody knew, by prices nobody knew; and budgets that never came back."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from farthing.gateway.spending.purses import BudgetRef, Hold, Refused
from farthing.ledger.keys import KeyBudget
from tests.gateway.faulty import Upstream
from tests.gateway.real_failures.asking import CHAT, CLAUDE, GPT, MESSAGES, Told, ask, bearer, fresh, said
from tests.gateway.running import UPSTREAMS, Running, purses
from tests.gateway.test_purses import House, refused

DEAR = "[[words=100 prompt=7 first_ms=100]]"
MOST = Fraction(100 * 600 + 8 * 150, 10**9)  # dollars that one such answer of gpt-4o-mini can come to, and a little


def at_once(count: int, one: Callable[[], Told]) -> list[Told]:
    """The answers to `count` requests that are sent together."""
    told: list[Told] = []
    ready = threading.Barrier(count)

    def run() -> None:
        ready.wait()
        told.append(one())

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told


def budget(usd: str, period: str = "total") -> list[KeyBudget]:
    return [KeyBudget(usd=Decimal(usd), period=period)]


def spent_by(gateway: Running, key: str) -> Fraction:
    return sum((row.usd for row in gateway.rows() if row.key == key and row.usd), Fraction(0))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "model"), [(CHAT, GPT), (MESSAGES, GPT)])
def test_requests_at_once_stay_within_a_keys_budget(
    keyed: Running, upstream: Upstream, path: str, model: str, stream: bool
) -> None:
    """LiteLLM #34732, #26672, #42653: requests that were admitted together each saw the budget unspent, on every
    replica anew, and on streams not at all. Here through two workers, at a budget for about three of sixteen."""
    key, token = keyed.key(f"together-{path}-{stream}", budgets=budget("0.0003"))
    body = said(DEAR, model, max_tokens=100, stream=stream)
    told = at_once(16, lambda: ask(keyed, path, body, bearer(token)))
    passed = [one for one in told if one.status == 200]
    assert {one.status for one in told} == {200, 429} and passed
    for one in passed:
        assert one.row.state == "done"
    assert 0 < spent_by(keyed, key.id) <= Fraction("0.0003")


def test_users_that_nobody_has_seen_before_have_their_budget_from_the_first(upstream: Upstream, tmp_path: Path) -> None:
    """LiteLLM #40095: the first requests of an unknown end user, sent together, all passed the default budget."""
    config = UPSTREAMS + '[[budget]]\nper = "user"\nusd = 0.0002\nperiod = "day"\n'
    with Running(tmp_path, config, upstream.url, workers=2) as own:
        body = said(DEAR, max_tokens=100, user="never-seen")
        told = at_once(8, lambda: ask(own, CHAT, body))
        assert sorted({one.status for one in told}) == [200, 429]
        rows = own.rows(sum(one.status == 200 for one in told))
        assert sum(row.usd or 0 for row in rows) <= Fraction("0.0002")
        assert ask(own, CHAT, said(DEAR, max_tokens=100, user="another")).status == 200


@pytest.mark.parametrize("usd", ["0", "0.000000001"])
def test_a_budget_of_nothing_is_a_budget(keyed: Running, upstream: Upstream, usd: str) -> None:
    """LiteLLM #37736: a budget of 0 was taken for none."""
    _, token = keyed.key(f"nothing-{usd}", budgets=budget(usd))
    fresh(upstream)
    told = ask(keyed, CHAT, said(), bearer(token))
    assert (told.status, told.error["code"]) == (429, "budget_exceeded") and not upstream.records()


CARD = """
[source.ours]
title = "ours"
where = "us"
seen = 2026-11-01
grade = "vendor-stated"
[[offer]]
provider = "own"
model = "free-1"
[[offer.price]]
source = "ours"
[offer.price.rates]
input = 0
output = 0
"""


OWN = """
[[upstream]]
name = "own"
protocol = "openai"
url = "{url}/v1"
auth = "none"
models = ["free-1"]
surfaces = ["chat/completions"]
"""


def test_what_is_free_passes_a_budget_that_is_spent(upstream: Upstream, tmp_path: Path) -> None:
    """LiteLLM #29912 and #38971: models priced at 0 were refused once the budget was spent."""
    alias = '[[model]]\nname = "alias/free"\ntargets = ["own/free-1"]\n'
    config = '[gateway]\ncards = ["own.toml"]\n' + OWN + alias + UPSTREAMS
    (tmp_path / "own.toml").write_text(CARD)
    with Running(tmp_path, config, upstream.url) as own:
        _, token = own.key("poor", budgets=budget("0.00008"))
        assert ask(own, CHAT, said("[[words=40]]", max_tokens=40), bearer(token)).status == 200
        assert ask(own, CHAT, said("[[words=40]]", max_tokens=40), bearer(token)).status == 429
        for model in ("free-1", "alias/free"):
            told = ask(own, CHAT, said(model=model), bearer(token))
            assert (told.status, told.headers["x-farthing-cost-usd"]) == (200, "0")


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_without_a_price_is_no_way_past_a_budget(keyed: Running, upstream: Upstream, stream: bool) -> None:
    """LiteLLM #30715, #24949, #36561, nika #1368, strix #1007: what has no price cost $0 and moved no budget."""
    key, token = keyed.key(f"wild-{stream}", budgets=budget("1"))
    fresh(upstream)
    told = ask(keyed, CHAT, said(model="unknown-9", stream=stream), bearer(token))
    assert (told.status, told.error["code"]) == (403, "unknown_price") and not upstream.records()
    # litellm-rs #831: asked for by a known name, served by one without a price: the reservation was refunded.
    told = ask(keyed, CHAT, said("[[model=mystery-9 words=5]]", stream=stream), bearer(token))
    assert told.status == 200 and told.row.usd is None and told.row.unknown
    until = time.monotonic() + 5
    while not (held := sum(n for name, n in purses(keyed.data)[0].items() if f"key:{key.id}" in name)):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert held >= 50 * 600, "what was reserved counts as spent: 50 tokens at $0.60 a million, in nanodollars"


def test_a_cap_is_written_in_the_words_that_the_upstream_knows(upstream: Upstream, tmp_path: Path) -> None:
    """Bifrost #5606: `max_tokens` became `max_completion_tokens`, which servers of open models pass over: answers of
    any length. Here the same goes for the cap that a hard budget adds."""
    (tmp_path / "own.toml").write_text(CARD.replace("= 0\n", "= 1\n"))
    config = '[gateway]\ncards = ["own.toml"]\n' + OWN + '[[budget]]\nper = "all"\nusd = 1\nperiod = "total"\n'
    with Running(tmp_path, config, upstream.url) as own:
        fresh(upstream)
        message = [{"role": "user", "content": "[[words=2]]"}]
        assert ask(own, CHAT, {"model": "free-1", "messages": message}).status == 200
        assert ask(own, CHAT, {"model": "free-1", "messages": message, "max_tokens": 7}).status == 200
        assert ask(own, MESSAGES, {"model": "free-1", "messages": message, "max_tokens": 9}).status == 200
        sent = [json.loads(record.body) for record in upstream.records()]
        assert not any("max_completion_tokens" in one for one in sent)
        assert sent[0]["max_tokens"] > 0 and [one["max_tokens"] for one in sent[1:]] == [7, 9]


TWO = (
    CARD.replace("= 0\n", "= 1\n")
    + """
[[offer]]
provider = "own"
model = "dear-1"
[[offer.price]]
source = "ours"
[offer.price.rates]
input = 100
output = 100
"""
)


@pytest.mark.parametrize("field", [{"models": ["free-1", "dear-1"]}, {"fallbacks": [{"model": "dear-1"}]}])
def test_what_an_upstream_may_turn_to_is_in_the_bound(upstream: Upstream, tmp_path: Path, field: Any) -> None:
    """OpenRouter's `models` and Anthropic's `fallbacks` let the upstream serve another model: of its own price, and
    perhaps none that the key may use. Gateways that look at `model` alone are passed by (as with LiteLLM's fallbacks
    in a body)."""
    (tmp_path / "own.toml").write_text(TWO)
    config = '[gateway]\ncards = ["own.toml"]\n' + OWN.replace('["free-1"]', '["free-1", "dear-1"]')
    with Running(tmp_path, config, upstream.url) as own:
        _, token = own.key("poor", budgets=budget("0.001"))
        body = said(model="free-1", max_tokens=20)
        assert ask(own, CHAT, body, bearer(token)).status == 200
        assert ask(own, CHAT, body | field, bearer(token)).error["code"] == "budget_exceeded"
        assert ask(own, CHAT, body | {"models": ["no-price"]}, bearer(token)).error["code"] == "unknown_price"
        assert ask(own, CHAT, body | {"preset": "mine"}, bearer(token)).error["code"] == "unknown_price"
        _, narrow = own.key("narrow", models=["free-*"])
        assert ask(own, CHAT, body | {"models": ["free-1"]}, bearer(narrow)).status == 200
        assert ask(own, CHAT, body | field, bearer(narrow)).error["code"] == "model_denied"
        _, rich = own.key("rich")
        assert ask(own, CHAT, body | field, bearer(rich)).status == 200
        for odd in ({"models": [7]}, {"models": {"a": 1}}, {"fallbacks": ["x"] * 99}, {"preset": 5}):
            assert ask(own, CHAT, body | odd, bearer(rich)).error["code"] == "bad_request"


@pytest.mark.parametrize("orders", ["status=500", "status=400", "fault=error_in_200", "fault=html"])
def test_nothing_stays_reserved_for_a_request_that_failed(keyed: Running, upstream: Upstream, orders: str) -> None:
    """One-api #1047, new-api #4429 and #4443: what was taken in advance was not given back after a failure, so that
    accounts ran dry by themselves. Here a budget for one request at a time lasts for five failures and an answer."""
    _, token = keyed.key(f"failing {orders}", budgets=budget("0.0002"))
    for _ in range(5):
        told = ask(keyed, CHAT, said(f"[[{orders}]]", max_tokens=100), bearer(token))
        assert told.status != 429 and told.status >= 400
        told.rows(1 if told.status == 400 else 2)
    assert ask(keyed, CHAT, said("[[words=50]]", max_tokens=100), bearer(token)).status == 200


def test_nothing_stays_reserved_for_a_request_that_was_not_sent(keyed: Running, upstream: Upstream) -> None:
    """The same where the request cannot be carried to the other protocol: it is refused after it was reserved."""
    _, token = keyed.key("refused", budgets=budget("0.003"))
    for _ in range(4):
        told = ask(keyed, CHAT, said(model=CLAUDE, max_tokens=100, logprobs=True), bearer(token))
        assert told.status == 400
    assert ask(keyed, CHAT, said("[[words=50]]", CLAUDE, max_tokens=100), bearer(token)).status == 200


def test_a_period_that_ended_is_over_at_once(tmp_path: Path) -> None:
    """LiteLLM #39726, #24675, #34896: spent budgets stayed spent after their reset, from a stale cache, or for as many
    hours as the time zone differs from UTC; #10288: days began at the hour of the first request."""
    midnight = 1_795_132_800.0  # 2026-11-20T00:00Z
    house = House(tmp_path)
    try:

        async def run() -> None:
            purses = house.worker()
            for period, edge in (("day", midnight), ("week", 1_795_392_000.0), ("month", 1_796_083_200.0)):
                ref = BudgetRef(f"key:{period}", 1_000, period)
                hold = await purses.reserve([ref], 1_000, edge - 0.001)
                assert isinstance(hold, Hold)
                house.write("w1", purses.settle(hold, 1_000))
                told = await refused(purses, 1, ref, now=edge - 0.001)
                assert told.retry_after_s is not None and told.retry_after_s <= 1
                now: Hold | Refused = await purses.reserve([ref], 1_000, edge)
                assert isinstance(now, Hold), period
                purses.release(now)
            await purses.close()

        asyncio.run(run())
    finally:
        house.close()


def test_a_budget_is_neither_passed_nor_lost_by_a_fallback(keyed: Running, upstream: Upstream) -> None:
    """LiteLLM, one-api: spend doubled by retries and fallbacks. Each attempt is reserved and charged by itself: the
    failed ones nothing, the dearer one its own price, and where that does not fit the request is refused."""
    _, token = keyed.key("falls-back", budgets=budget("0.002"))
    fresh(upstream)
    for _ in range(2):
        upstream.next("status=500")
    told = ask(keyed, CHAT, said("[[words=5 prompt=7]]", "either"), bearer(token))
    rows = told.rows(3)
    assert [row.usd for row in rows] == [None, None, Fraction(7 * 3000 + 5 * 15000, 10**9)]
    remaining = Decimal(told.headers["x-farthing-budget-remaining-usd"])
    assert Fraction("0.002") - Fraction(remaining) == rows[-1].usd
    _, poor = keyed.key("cannot-fall", budgets=budget("0.0001"))
    for _ in range(2):
        upstream.next("status=500")
    told = ask(keyed, CHAT, said("[[words=5]]", "either"), bearer(poor))
    assert told.status in (429, 500) and len(told.rows(2)) == 2


def test_a_stream_that_is_dropped_at_once_frees_what_it_did_not_use(keyed: Running, upstream: Upstream) -> None:
    """Holds of cancelled streams leaked until a key was useless."""
    _, token = keyed.key("drops", budgets=budget("0.0002"))
    body = said("[[words=3 prompt=7 gap_ms=20]]", max_tokens=100, stream=True)
    for _ in range(6):
        link = HTTPConnection("127.0.0.1", keyed.port, timeout=5)
        link.request("POST", CHAT, json.dumps(body), {"content-type": "application/json", **bearer(token)})
        link.close()

    def fits() -> bool:
        return ask(keyed, CHAT, said("[[words=50]]", max_tokens=100), bearer(token)).status == 200

    keyed.wait(fits, "room in the budget", 5)


def test_a_reservation_knows_the_dear_tier_of_a_long_prompt() -> None:
    """LiteLLM #40002: prompts over 272K tokens were reserved at the short ones' price, so that five passed a budget for
    two. See also `test_costs.py`: no answer costs more than its bound."""
    from farthing.gateway.config.values import Rules
    from farthing.gateway.metering import Surface, read_request
    from farthing.gateway.spending.costs import Costs
    from farthing.rates.book import Book
    from farthing.rates.card import Offer

    costs = Costs(Book())
    offer = costs.offer("openai", "gpt-5.4")
    assert isinstance(offer, Offer)
    body: Any = said("x" * 300_000, "gpt-5.4", max_tokens=1)
    asked = read_request(Surface.CHAT, json.dumps(body).encode())
    worst = costs.worst(asked, offer, Rules(), started_us=1_795_000_000_000_000, hard=True)
    # $5.00 a million over 272K, $2.50 up to there; and the answer's one token
    assert worst.usd is not None and worst.usd >= Fraction(300_000 * 5, 10**6)

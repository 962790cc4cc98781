"""Ways past a budget, a scope or a limit, tried against a running gateway."""

import json
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from farthing.ledger.keys import KeyBudget, KeyLimits
from tests.gateway.hostile import STREAM_HEAD, Hostile, answer, chat, event, raw, request, status_of
from tests.gateway.running import IMPATIENT, UPSTREAMS, Running, purses

CONFIG = (
    UPSTREAMS.replace('"responses", "embeddings", "completions",', '"embeddings", "completions",')
    + IMPATIENT
    + """
[[upstream]]
name = "stored"
provider = "openai"
protocol = "openai"
url = "{url}/v1"
key_env = "TEST_OPENAI_KEY"
models = ["gpt-4.1"]
surfaces = ["responses"]

[retries]
count = 0

[breaker]
failures = 100000

[[budget]]
per = "all"
usd = 1000000
period = "total"
hard = false
"""
)
CHAT = b"/v1/chat/completions"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Hostile]:
    with Hostile() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(upstream: Hostile, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(tmp_path_factory.mktemp("gateway"), CONFIG, upstream.url) as running:
        running.key("first")
        yield running


def send(gateway: Running, token: str, body: Any, path: bytes = CHAT, *headers: bytes) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return raw(gateway.port, request(data, b"authorization: Bearer " + token.encode(), *headers, path=path))


def ask(**more: Any) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}], **more}


def spent(gateway: Running, key: str) -> int:
    """Nanodollars, once they are in the ledger."""
    until = time.monotonic() + 5
    while not (found := sum(amount for purse, amount in purses(gateway.data)[0].items() if key in purse)):
        assert time.monotonic() < until, "nothing was spent"
        time.sleep(0.05)
    return found


CENT = [KeyBudget(usd=Decimal("0.01"), period="total")]
LONG = 9_000  # one such answer of gpt-4o-mini fits at the priority tier's $1 a million, two do not


@pytest.mark.parametrize(
    ("path", "more"),
    [
        (CHAT, {"max_tokens": 100_000, "max_completion_tokens": 10}),
        (CHAT, {"max_tokens": 10, "max_completion_tokens": 100_000}),
        (CHAT, {"max_tokens": LONG, "n": 2}),
        (b"/v1/completions", {"prompt": ["a", "b"], "max_tokens": LONG}),
        (b"/v1/completions", {"prompt": [[1, 2], [3]], "max_tokens": LONG}),
        (b"/v1/completions", {"prompt": ["a"] * 20, "max_tokens": 500, "n": 2, "best_of": 2}),
        (b"/v1/completions", {"prompt": "a", "max_tokens": 1000, "best_of": 20}),
        (CHAT, {"max_tokens": 10, "tools": [{"type": "web_search"}]}),
        (CHAT, {"max_tokens": 10, "tools": [{"type": "function"}, 5]}),  # who knows how it is read
        (CHAT, {"max_tokens": 10, "tools": [{"type": "web_search", "description": "\ud83d"}]}),
    ],
)
def test_what_may_cost_more_than_is_left_is_refused(
    gateway: Running, upstream: Hostile, path: bytes, more: dict[str, Any]
) -> None:
    _, token = gateway.key(f"cent-{time.time_ns()}", budgets=CENT)
    before = len(upstream.seen)
    assert status_of(send(gateway, token, ask(**more), path)) in (403, 429)
    assert len(upstream.seen) == before
    assert status_of(send(gateway, token, ask(max_tokens=LONG))) == 200  # the key itself is fine


def test_a_list_of_tokens_is_one_prompt(gateway: Running) -> None:
    _, token = gateway.key("tokens", budgets=CENT)
    body = {"model": "gpt-4o-mini", "prompt": list(range(100)), "max_tokens": LONG - 1000}
    assert status_of(send(gateway, token, body, b"/v1/completions")) == 200


@pytest.mark.parametrize(
    "field", ["Max_Tokens", "MAX_TOKENS", "max_to\u212aens", "N", "Model", "\\u006dodel", "\\u004dodel"]
)
def test_a_field_that_another_parser_would_take_is_refused(gateway: Running, upstream: Hostile, field: str) -> None:
    """Go's JSON takes names in any case, and the last of two: {"model": "small", "MODEL": "dear"}."""
    _, token = gateway.key(f"case-{time.time_ns()}", models=["gpt-4o-mini"])
    before = len(upstream.seen)
    value = '"gpt-4o"' if "odel" in field else "100000"
    body = json.dumps(ask(max_tokens=10))[:-1] + f', "{field}": {value}}}'
    got = send(gateway, token, body.encode())
    assert status_of(got) == 400 and b"Traceback" not in got
    assert len(upstream.seen) == before
    fine = ask(max_tokens=10, tools=[{"type": "function", "function": {"name": "Model", "parameters": {"N": 1}}}])
    assert status_of(send(gateway, token, fine)) == 200


def test_a_limit_that_the_upstream_does_not_know_is_told_in_its_words(gateway: Running, upstream: Hostile) -> None:
    """`max_completion_tokens` alone, to a server that knows only `max_tokens`, would be no limit at all."""
    config = CONFIG.replace('models = ["gpt-*"', 'target = { max_tokens_field = "max_tokens" }\nmodels = ["gpt-*"')
    gateway.write(config)
    gateway.signal(1)
    try:
        gateway.wait(lambda: b"reloads" in gateway.get("/metrics")[1], "the reload")
        _, token = gateway.key("words", budgets=CENT)
        until = time.monotonic() + 5
        while True:
            assert status_of(send(gateway, token, ask(max_completion_tokens=7))) == 200
            if json.loads(upstream.seen[-1][1]).get("max_tokens") == 7:
                break
            assert time.monotonic() < until
            time.sleep(0.05)
    finally:
        gateway.write(CONFIG)
        gateway.signal(1)


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_in_the_background_costs_all_that_was_held(
    gateway: Running, upstream: Hostile, stream: bool
) -> None:
    """Its work goes on when the client has left, and is told only to who fetches it."""
    queued = {"id": "resp_1", "object": "response", "status": "queued", "model": "gpt-4.1", "background": True}

    def behave(head: bytes, body: bytes, write: Any) -> None:
        if stream:
            write(STREAM_HEAD + event({"type": "response.created", "response": queued}, "response.created"))
            write(event({"type": "response.output_text.delta", "delta": "hi"}, "response.output_text.delta"))
        else:
            write(answer(queued))

    upstream.behave = behave
    try:
        key, token = gateway.key(f"background-{stream}", budgets=[KeyBudget(usd=Decimal(10), period="total")])
        body = {"model": "gpt-4.1", "input": "x", "background": True, "stream": stream, "max_output_tokens": 10_000}
        send(gateway, token, body, b"/v1/responses")
        assert spent(gateway, key.id) >= 10_000 * 8000  # gpt-4.1: $8 a million tokens of output
        [row] = [row for row in gateway.rows() if row.key == key.id]
        assert row.usd is None and "background" in (row.unknown or "")
    finally:
        upstream.behave = lambda head, body, write: write(answer(chat()))


def test_absurd_requests_do_not_close_the_bank_for_others(gateway: Running) -> None:
    """A budget that only warns refuses nothing: what was reserved was more than 64 bits, and every budget was away."""
    _, token = gateway.key("absurd")
    _, other = gateway.key("other", budgets=[KeyBudget(usd=Decimal(1), period="day")])
    for _ in range(5):
        assert status_of(send(gateway, token, ask(max_tokens=10**12, n=10**12))) == 200
        assert status_of(send(gateway, other, ask(max_tokens=10))) == 200


@pytest.mark.parametrize("wrong", [2**32 - 1, 2**31 - 1, 10**12])
def test_a_count_that_no_model_reaches_spends_no_budget(gateway: Running, upstream: Hostile, wrong: int) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": wrong, "total_tokens": 7 + wrong}
    upstream.behave = lambda head, body, write: write(answer(chat(usage=usage)))
    try:
        key, token = gateway.key(f"count-{wrong}", budgets=[KeyBudget(usd=Decimal(1), period="day")])
        assert status_of(send(gateway, token, ask(max_tokens=10))) == 200
    finally:
        upstream.behave = lambda head, body, write: write(answer(chat()))
    assert spent(gateway, key.id) < 10**6
    [row] = [row for row in gateway.rows() if row.key == key.id]
    assert row.estimated and row.quantities["output"] < 10


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        (b"POST", b"/v1/responses/", 404),
        (b"POST", b"/v1/responses/.", 400),
        (b"POST", b"/v1/responses/%2e", 400),
        (b"POST", b"/v1/responses/compact", 404),
        (b"POST", b"/v1/responses/resp_1", 404),
        (b"POST", b"/v1/files/./../responses", 400),
        (b"POST", b"/v1/files/%2e%2e/responses", 400),
        (b"TRACE", b"/v1/files/x", 404),
        (b"POST", b"/v1/responses/resp_1/cancel", 200),
        (b"GET", b"/v1/responses/resp_1", 200),
        (b"DELETE", b"/v1/responses/resp_1", 200),
        (b"GET", b"/v1/responses/resp_1/input_items", 200),
    ],
)
def test_what_is_passed_through_generates_nothing(
    gateway: Running, upstream: Hostile, method: bytes, path: bytes, status: int
) -> None:
    """It is recorded as free: a path by which a server also generates would be a way round the meter."""
    _, token = gateway.key(f"through-{time.time_ns()}")
    before = len(upstream.seen)
    lines = (b"authorization: Bearer " + token.encode(), b"x-farthing-upstream: stored")
    if b"files" in path:
        lines = lines[:1]
    got = raw(gateway.port, request(b"", *lines, method=method, path=path))
    assert status_of(got) == status
    assert (len(upstream.seen) > before) == (status == 200)


def test_limits_and_features_hold_for_what_is_passed_through(gateway: Running) -> None:
    _, token = gateway.key("slow", limits=KeyLimits(requests_per_minute=2))
    line = b"authorization: Bearer " + token.encode()
    got = [status_of(raw(gateway.port, request(b"", line, method=b"GET", path=b"/v1/files/x"))) for _ in range(4)]
    assert got == [200, 200, 429, 429]
    _, narrow = gateway.key("narrow", features=["search"])
    line = b"authorization: Bearer " + narrow.encode()
    assert status_of(raw(gateway.port, request(b"", line, method=b"GET", path=b"/v1/files/x"))) == 403
    for path in (b"/v1/files/x",):
        fine = request(b"", line, b"x-farthing-feature: search", method=b"GET", path=path)
        assert status_of(raw(gateway.port, fine)) == 200


def test_nothing_stays_held(gateway: Running) -> None:
    """At the end of all of the above."""
    assert all(row.state != "open" and row.error != "internal" for row in gateway.rows())
    assert "Traceback" not in gateway.said()
    gateway.stop()
    _, leased, held = purses(gateway.data)
    assert not any(leased.values()) and not held

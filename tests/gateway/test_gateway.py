"""The gateway as a client sees it, and what its ledger says: keys, scopes, budgets, attribution, routing, passing."""

import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from farthing.ledger.keys import Keys
from tests.gateway.faulty import Upstream
from tests.gateway.running import OPENAI_KEY, UPSTREAMS, Running
from tests.gateway.test_deferred import line

CONFIG = (
    UPSTREAMS
    + """
[gateway]
keys = "auto"

[retries]
count = 2
first_s = 0.01

[breaker]
failures = 100000

[[upstream]]
name = "down"
provider = "openai"
protocol = "openai"
url = "http://127.0.0.1:1/v1"
auth = "none"
models = ["downed-1"]

[[policy]]
kind = "fallback"
targets = ["anthropic/claude-sonnet-4-6"]
on = ["all"]
when = { feature = ["with-fallback"] }
"""
)
CHAT, GPT = "/v1/chat/completions", "gpt-4o-mini"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(tmp_path_factory.mktemp("gateway"), CONFIG, upstream.url) as running:
        running.key("first")  # from here on keys are needed
        yield running


@pytest.fixture(scope="module")
def token(gateway: Running) -> str:
    return gateway.key("plain")[1]


def chat(text: str = "hello", model: str = GPT, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def bearer(token: str, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}", **{name.replace("_", "-"): value for name, value in more.items()}}


def rows_of(gateway: Running, request: str, count: int = 1) -> list[Any]:
    """The rows of one request, once there are `count` that have ended."""
    until = time.monotonic() + 10
    while True:
        found = [row for row in gateway.rows() if row.request == request and row.state != "open"]
        if len(found) >= count:
            return found
        assert time.monotonic() < until, f"{len(found)} rows of {request}, {count} expected"
        time.sleep(0.05)


def test_a_key_is_needed_and_is_taken_where_either_client_puts_it(gateway: Running, token: str):
    for headers in ({}, bearer("fk-nonsense"), {"x-api-key": "nonsense"}, bearer(OPENAI_KEY)):
        answer, body = gateway.post(CHAT, chat(), headers)
        assert answer.status == 401
        assert json.loads(body)["error"]["code"] == "invalid_api_key"
        assert answer.headers["x-should-retry"] == "false"
    for headers in (bearer(token), {"x-api-key": token}):
        assert gateway.post(CHAT, chat(), headers)[0].status == 200
    answer, body = gateway.post("/v1/messages", chat(model="claude-sonnet-4-6", max_tokens=9))
    assert (answer.status, json.loads(body)["error"]["type"]) == (401, "authentication_error")


def test_an_answer_tells_request_and_exact_cost_and_the_row_agrees(gateway: Running, token: str):
    answer, body = gateway.post(CHAT, chat("one two three"), bearer(token))
    usage = json.loads(body)["usage"]
    [row] = rows_of(gateway, answer.headers["x-farthing-request-id"])
    # gpt-4o-mini: $0.15 and $0.60 per million
    expected = Fraction(usage["prompt_tokens"] * 15 + usage["completion_tokens"] * 60, 100 * 10**6)
    assert row.usd == Fraction(answer.headers["x-farthing-cost-usd"]) == expected
    assert (row.state, row.http_status, row.model_served, row.upstream) == ("done", 200, GPT, "openai")


def test_attribution_comes_from_headers_then_body_then_the_keys_defaults(gateway: Running):
    from farthing.ledger.keys import KeyDefaults

    key, token = gateway.key("attributed", defaults=KeyDefaults(feature="search", user="nobody", segment="free"))
    headers = bearer(token, x_farthing_user="alice", x_farthing_session="s-1")
    answer, _ = gateway.post(CHAT, chat(user="bob"), headers)
    [row] = rows_of(gateway, answer.headers["x-farthing-request-id"])
    assert (row.key, row.feature, row.user, row.session) == (key.id, "search", "alice", "s-1")
    answer, _ = gateway.post(CHAT, chat(user="bob"), bearer(token))
    assert rows_of(gateway, answer.headers["x-farthing-request-id"])[0].user == "bob"


def test_a_key_opens_only_its_models_and_features(gateway: Running):
    token = gateway.key("narrow", models=["gpt-4o-mini"], features=["chat*"])[1]
    headers = bearer(token, x_farthing_feature="chat-help")
    assert gateway.post(CHAT, chat(), headers)[0].status == 200
    assert gateway.post(CHAT, chat(model="openai/gpt-4o-mini"), headers)[0].status == 200
    for body in (chat(model="gpt-4o"), chat(model="anthropic/claude-sonnet-4-6")):
        answer, told = gateway.post(CHAT, body, headers)
        assert (answer.status, json.loads(told)["error"]["code"]) == (403, "model_denied")
    answer, told = gateway.post(CHAT, chat(), bearer(token, x_farthing_feature="billing"))
    assert (answer.status, json.loads(told)["error"]["code"]) == (403, "feature_denied")
    # what is billed later could be any model
    assert gateway.post("/v1/batches", {"input_file_id": "f"}, headers)[0].status == 403


def test_a_revoked_key_is_refused_at_once_and_a_rotated_one_changes_hands(gateway: Running):
    key, token = gateway.key("short-lived")
    assert gateway.post(CHAT, chat(), bearer(token))[0].status == 200
    with Keys(gateway.data) as keys:
        _, second = keys.rotate(key.id)
    assert gateway.post(CHAT, chat(), bearer(token))[0].status == 401
    assert gateway.post(CHAT, chat(), bearer(second))[0].status == 200
    with Keys(gateway.data) as keys:
        keys.revoke("short-lived")
    assert gateway.post(CHAT, chat(), bearer(second))[0].status == 401


def test_requests_at_once_never_pass_a_budget_and_it_is_not_starved(gateway: Running, upstream: Upstream):
    from farthing.ledger.keys import KeyBudget

    limit = Fraction(1, 100)  # one answer costs about $0.0005, and may cost $0.001
    key, token = gateway.key("small", budgets=[KeyBudget(usd=Decimal("0.01"))])
    body = chat("[[words=800]]", max_tokens=1000)

    def one(_: int) -> tuple[int, str | None, str | None]:
        answer, _ = gateway.post(CHAT, body, bearer(token))
        return answer.status, answer.headers["x-farthing-cost-usd"], answer.headers["x-farthing-budget-remaining-usd"]

    with ThreadPoolExecutor(16) as pool:
        told = list(pool.map(one, range(60)))
    while told[-1][0] == 200 or len(told) == 60:  # what was refused for others' holds fits now, one by one
        told.append(one(0))
    spent = sum(Fraction(cost) for status, cost, _ in told if status == 200)
    assert {status for status, _, _ in told} == {200, 429}
    assert spent <= limit
    assert limit - spent < Fraction(11, 10_000)  # no room for another, which may be served at the priority tier
    rows = [row for row in gateway.rows() if row.key == key.id]
    assert sum(row.usd for row in rows if row.usd) == spent
    until = time.monotonic() + 10
    while True:  # while the last charges are on their way to the ledger, a refusal says to come back in a second
        answer, refusal = gateway.post(CHAT, body, bearer(token))
        assert json.loads(refusal)["error"]["code"] == "budget_exceeded"
        assert int(answer.headers["retry-after"]) > 0  # then: until the month ends
        if answer.headers["x-should-retry"] == "false":
            break
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_model_without_a_price_is_unknown_and_never_free(gateway: Running, token: str):
    from farthing.ledger.keys import KeyBudget

    answer, _ = gateway.post(CHAT, chat(model="unknown-1"), bearer(token))
    assert answer.status == 200
    assert answer.headers["x-farthing-cost-usd"] is None and "unknown-1" in answer.headers["x-farthing-cost-unknown"]
    [row] = rows_of(gateway, answer.headers["x-farthing-request-id"])
    assert row.usd is None and "unknown-1" in row.unknown and row.quantities
    hard = gateway.key("hard", budgets=[KeyBudget(usd=Decimal(5))])[1]
    answer, told = gateway.post(CHAT, chat(model="unknown-1"), bearer(hard))
    assert (answer.status, json.loads(told)["error"]["code"]) == (403, "unknown_price")


def test_failures_are_tried_again_and_each_attempt_has_its_row(gateway: Running, token: str):
    answer, _ = gateway.post(CHAT, chat("[[status=500]]"), bearer(token))
    assert answer.status == 500
    rows = rows_of(gateway, answer.headers["x-farthing-request-id"], 3)
    assert [(row.number, row.state, row.http_status) for row in rows] == [(n, "failed", 500) for n in (1, 2, 3)]
    assert len({row.id for row in rows}) == 3
    answer, _ = gateway.post(CHAT, chat("[[status=400]]"), bearer(token))
    assert len(rows_of(gateway, answer.headers["x-farthing-request-id"])) == 1  # the request's own fault


def test_a_fallback_to_the_other_protocol_answers_the_client_in_its_own(gateway: Running, token: str):
    answer, body = gateway.post(CHAT, chat(model="downed-1"), bearer(token))
    assert answer.status == 502 and len(rows_of(gateway, answer.headers["x-farthing-request-id"], 3)) == 3
    answer, body = gateway.post(CHAT, chat(model="downed-1"), bearer(token, x_farthing_feature="with-fallback"))
    assert answer.status == 200 and json.loads(body)["object"] == "chat.completion"
    rows = rows_of(gateway, answer.headers["x-farthing-request-id"], 4)
    assert [(row.upstream, row.state, row.error) for row in rows[:3]] == [("down", "failed", "connect")] * 3
    assert (rows[3].upstream, rows[3].state, rows[3].model_served) == ("anthropic", "done", "claude-sonnet-4-6")
    assert [row.usd for row in rows[:3]] == [0, 0, 0]  # nothing was sent
    assert str(rows[3].usd) and Fraction(answer.headers["x-farthing-cost-usd"]) == rows[3].usd


def test_it_lists_models_and_tells_its_health(gateway: Running, token: str):
    assert gateway.get("/healthz")[0] == 200
    status, body = gateway.get("/readyz")
    assert status == 200 and json.loads(body)["ready"] is True
    answer = gateway.get("/v1/models")
    assert answer[0] == 401
    status, body = gateway.get("/nowhere")
    assert status == 404 and b"/v1/chat/completions" in body
    assert b"farthing_attempts_total" in gateway.get("/metrics")[1]


def test_bad_requests_get_one_clear_line(gateway: Running, token: str):
    for body, status in ((b"{", 400), (b"[]", 400), (b'{"messages":[]}', 400), (b"\xff\xfe", 400), (b"", 400)):
        answer, told = gateway.post(CHAT, body, bearer(token))
        assert answer.status == status
        error = json.loads(told)["error"]
        assert error["type"] == "invalid_request_error" and "\n" not in error["message"]
    assert gateway.post(CHAT, chat(model="nobody-has-this"), bearer(token))[0].status == 404
    assert gateway.post(CHAT, b"{}", bearer(token, content_encoding="gzip"))[0].status == 415


def test_files_and_batches_pass_and_a_batchs_output_is_metered_once(gateway: Running, upstream: Upstream, token: str):
    output = b"".join(line(number) for number in range(3))
    upload = (
        b'--X\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        b'--X\r\nContent-Disposition: form-data; name="file"; filename="out.jsonl"\r\n\r\n' + output + b"\r\n--X--\r\n"
    )
    headers = bearer(token, content_type="multipart/form-data; boundary=X")
    answer, body = gateway.post("/v1/files", upload, headers)
    assert answer.status == 200
    name = json.loads(body)["id"]
    for _ in range(2):
        assert _get(gateway, f"/v1/files/{name}/content", token) == (200, output)
    until = time.monotonic() + 10
    while True:
        rows = [row for row in gateway.rows() if row.tier_served == "batch"]
        if len(rows) >= 3 or time.monotonic() > until:
            break
        time.sleep(0.05)
    assert len(rows) == 3
    # half of $0.15 and $0.60 per million: the batch's price
    assert {row.usd for row in rows} == {Fraction(10 * 15 + 3 * 60, 2 * 100 * 10**6)}
    assert _get(gateway, "/v1/files/../models", token)[0] in (400, 404)


def _get(gateway: Running, path: str, token: str) -> tuple[int, bytes]:
    from contextlib import closing
    from http.client import HTTPConnection

    with closing(HTTPConnection("127.0.0.1", gateway.port, timeout=5)) as link:
        link.request("GET", path, headers=bearer(token))
        answer = link.getresponse()
        return answer.status, answer.read()


def test_another_configuration_is_taken_without_dropping_a_request(gateway: Running, token: str):
    with ThreadPoolExecutor(4) as pool:
        slow = [
            pool.submit(gateway.post, CHAT, chat("[[words=20 gap_ms=20]]", stream=True), bearer(token))
            for _ in range(4)
        ]
        time.sleep(0.1)
        gateway.write(CONFIG + '\n[[model]]\nname = "new-name"\ntargets = ["openai/gpt-4o-mini"]\n')
        gateway.signal(signal.SIGHUP)
        until = time.monotonic() + 10
        while gateway.post(CHAT, chat(model="new-name"), bearer(token))[0].status != 200:
            assert time.monotonic() < until
            time.sleep(0.05)
        for one in slow:
            answer, body = one.result()
            assert answer.status == 200 and body.rstrip().endswith(b"data: [DONE]")
    gateway.write("[gateway]\nport = 'x'\n")
    gateway.signal(signal.SIGHUP)
    time.sleep(0.3)
    assert gateway.post(CHAT, chat(model="new-name"), bearer(token))[0].status == 200  # a mistake changes nothing

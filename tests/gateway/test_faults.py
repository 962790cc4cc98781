"""Every fault of the faulty upstream, on both protocols, whole and streamed: the client gets an answer or an error of
its protocol within bounds, the ledger one row that is true, the budget back what was not spent."""

import json
import math
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from http.client import HTTPConnection
from typing import Any

import anthropic
import openai
import pytest

from tests.gateway.faulty import Record, Upstream
from tests.gateway.running import IMPATIENT, UPSTREAMS, Row, Running, purses

GPT, CLAUDE = "gpt-4o-mini", "claude-sonnet-4-6"
CONFIG = (
    UPSTREAMS
    + IMPATIENT
    + """
[retries]
count = 0

[breaker]
failures = 100000

[[budget]]
per = "all"
usd = 1000
period = "total"
"""
)
SURFACES = {"openai": ("/v1/chat/completions", GPT), "anthropic": ("/v1/messages", CLAUDE)}
EXACT = {"input": 7, "cache_read": 2, "output": 6}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(tmp_path_factory.mktemp("gateway"), CONFIG, upstream.url) as running:
        yield running


class Told:
    """What a client was told, and what the ledger and the upstream say of it."""

    def __init__(self, status: int, kind: str, body: bytes, seconds: float, rows: list[Row], records: list[Record]):
        self.status = status
        self.kind = kind
        self.body = body
        self.seconds = seconds
        self.rows = rows
        self.records = records

    @property
    def row(self) -> Row:
        (row,) = self.rows
        (record,) = self.records
        assert record.attempt == row.id
        return row


def ask(gateway: Running, upstream: Upstream, protocol: str, stream: bool, orders: str) -> Told:
    """One request with these orders, until its rows are written."""
    upstream.clear()
    before = gateway.count()
    path, model = SURFACES[protocol]
    message = {"role": "user", "content": f"hello [[words=6 prompt=7 cached=2 {orders}]]"}
    began = time.monotonic()
    answer, body = gateway.post(
        path, {"model": model, "stream": stream, "max_tokens": 50, "messages": [message]}, {"x-farthing-feature": "f"}
    )
    seconds = time.monotonic() - began
    records = upstream.records()
    rows = gateway.rows(before + len(records))[before:]
    assert all(row.feature == "f" for row in rows)
    return Told(answer.status, answer.getheader("content-type") or "", body, seconds, rows, records)


def spent_is_what_the_rows_say(gateway: Running) -> None:
    """The budget's counter is the sum of the known charges, each rounded up to a nanodollar; an answer that never came
    is counted by its prompt at least."""
    rows = gateway.rows()
    known = sum(math.ceil(row.usd * 10**9) for row in rows if row.usd is not None)
    silent = sum(row.usd is None and row.http_status is None for row in rows)
    spent, _, held = (sum(part.values()) for part in purses(gateway.data))
    assert held == 0
    assert spent >= known and (spent > known) == (silent > 0)


def nothing_is_held(gateway: Running) -> None:
    """After its end: what its workers had on lease has gone back."""
    assert gateway.stop() == 0
    _, leased, held = purses(gateway.data)
    assert not any(leased.values()) and not held


def error_of(told: Told, protocol: str) -> dict[str, Any]:
    """The error in a whole answer, in the protocol's form."""
    assert told.kind.startswith("application/json"), told.body[:200]
    read = json.loads(told.body)
    if protocol == "anthropic":
        assert read["type"] == "error"
    error: dict[str, Any] = read["error"]
    assert error["message"] and error["type"]
    return error


def events_of(body: bytes) -> list[bytes]:
    return [event for event in body.replace(b"\r\n", b"\n").split(b"\n\n") if event.strip()]


PROTOCOLS = pytest.mark.parametrize("protocol", SURFACES)
STREAMS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])

# --- what is unusual, but whole


FINE = (
    "",
    "fault=usage_text",
    "fault=usage_twice",
    "fault=usage_always",
    "fault=cumulative",
    "fault=gzipped",
    "fault=duplicate_headers",
    "fault=huge_headers",
    "fault=huge_answer",
    "fault=comments",
    "fault=one_byte",
    "fault=split",
    "fault=split text=wide",
    "fault=until_closed",
    "fault=interim",
    "gap_ms=30",
    "first_ms=500",
)


@PROTOCOLS
@STREAMS
@pytest.mark.parametrize("orders", FINE)
def test_an_unusual_answer_is_passed_on_and_metered_exactly(
    gateway: Running, upstream: Upstream, protocol: str, stream: bool, orders: str
) -> None:
    told = ask(gateway, upstream, protocol, stream, orders)
    assert told.status == 200
    assert (told.row.state, told.row.error, told.row.estimated) == ("done", None, False)
    assert told.row.quantities == EXACT
    if "huge_answer" in orders:
        assert len(told.body) > 2_000_000
    if stream:
        assert told.body.rstrip().endswith(b"[DONE]" if protocol == "openai" else b'{"type": "message_stop"}')
        told.body.decode()
    else:
        json.loads(told.body)


@PROTOCOLS
def test_invalid_utf8_is_passed_on_as_it_came(gateway: Running, upstream: Upstream, protocol: str) -> None:
    told = ask(gateway, upstream, protocol, True, "fault=invalid_utf8")
    assert b"wo\xff\xfe\xc3" in told.body and told.row.quantities == EXACT


@PROTOCOLS
@STREAMS
def test_what_was_served_is_priced_not_what_was_asked(
    gateway: Running, upstream: Upstream, protocol: str, stream: bool
) -> None:
    other = "gpt-4o-2024-08-06" if protocol == "openai" else "claude-haiku-4-5"
    told = ask(gateway, upstream, protocol, stream, f"model={other}")
    # gpt-4o: $2.50, $1.25 cached, $10 a million; Haiku 4.5: $1, $0.10, $5
    rates = (250, 125, 1000) if protocol == "openai" else (100, 10, 500)
    assert told.row.usd == Fraction(7 * rates[0] + 2 * rates[1] + 6 * rates[2], 100_000_000)
    assert told.row.model_served == other


@PROTOCOLS
@STREAMS
def test_a_model_without_a_price_is_unknown_never_free(
    gateway: Running, upstream: Upstream, protocol: str, stream: bool
) -> None:
    row = ask(gateway, upstream, protocol, stream, "model=mystery-9").row
    assert row.usd is None and row.unknown and "mystery-9" in row.unknown
    assert row.quantities == EXACT


# --- usage that is missing or cannot be true


@PROTOCOLS
@STREAMS
@pytest.mark.parametrize("fault", ["no_usage", "usage_null", "usage_negative", "usage_huge"])
def test_usage_that_is_none_is_estimated_and_marked(
    gateway: Running, upstream: Upstream, protocol: str, stream: bool, fault: str
) -> None:
    row = ask(gateway, upstream, protocol, stream, f"fault={fault}").row
    assert row.state == "done" and row.estimated
    assert 1 <= row.quantities["input"] < 100
    assert 3 <= row.quantities["output"] < 30, "six words came"
    assert row.usd is not None and row.usd > 0


# --- no answer, or none that can be read


@PROTOCOLS
@STREAMS
@pytest.mark.parametrize(
    "orders",
    [
        "fault=refuse",
        "fault=refuse how=rst",
        "fault=half_headers",
        "fault=not_http",
        "fault=two_lengths",
        "fault=many_headers",
        "fault=empty",
        "fault=not_json",
        "fault=garbage",
    ],
)
def test_no_answer_is_a_502_and_its_cost_unknown(
    gateway: Running, upstream: Upstream, protocol: str, stream: bool, orders: str
) -> None:
    told = ask(gateway, upstream, protocol, stream, orders)
    assert told.status == 502
    error_of(told, protocol)
    assert (told.row.state, told.row.usd) == ("failed", None) and told.row.unknown


@PROTOCOLS
@pytest.mark.parametrize(
    "orders",
    ["fault=die", "fault=die how=rst", "fault=length_over", "fault=length_over how=rst", "fault=length_under",
     "fault=half_json", "fault=bad_chunk"],
)  # fmt: skip
def test_half_a_whole_answer_is_a_502(gateway: Running, upstream: Upstream, protocol: str, orders: str) -> None:
    told = ask(gateway, upstream, protocol, False, orders)
    assert told.status == 502
    error_of(told, protocol)
    assert (told.row.state, told.row.usd) == ("failed", None)


@PROTOCOLS
@pytest.mark.parametrize(("stream", "orders", "bound_s"), [
    (False, "fault=hang", 4), (True, "fault=hang", 1), (False, "fault=hang_mid", 1), (True, "first_ms=9000", 1),
])  # fmt: skip
def test_an_upstream_that_hangs_is_a_504_in_time(
    gateway: Running, upstream: Upstream, protocol: str, stream: bool, orders: str, bound_s: float
) -> None:
    told = ask(gateway, upstream, protocol, stream, orders)
    assert told.status == 504 and bound_s <= told.seconds < bound_s + 0.8
    error_of(told, protocol)
    assert (told.row.state, told.row.error, told.row.usd) == ("failed", "timeout", None)


def test_an_upstream_that_cannot_be_reached_is_a_502_and_costs_nothing(
    upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with closing(socket.socket()) as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with Running(tmp_path_factory.mktemp("gateway"), CONFIG, nobody) as gateway:
            answer, _ = gateway.post("/v1/chat/completions", {"model": GPT, "messages": []})
            assert answer.status == 502
            (row,) = gateway.rows(1)
            assert (row.state, row.error, row.usd) == ("failed", "connect", Fraction(0))
            spent_is_what_the_rows_say(gateway)


# --- errors that the upstream states


@PROTOCOLS
@STREAMS
@pytest.mark.parametrize("status", [400, 402, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529])
def test_an_upstreams_error_is_passed_on(
    gateway: Running, upstream: Upstream, protocol: str, stream: bool, status: int
) -> None:
    told = ask(gateway, upstream, protocol, stream, f"status={status}")
    # 529 is Anthropic's; OpenAI's clients know 503.
    assert told.status == (503 if status == 529 and protocol == "openai" else status)
    assert f"ordered status {status}" in error_of(told, protocol)["message"]
    assert (told.row.state, told.row.http_status) == ("failed", status)
    assert told.row.usd == (0 if status < 500 else None)


@PROTOCOLS
@STREAMS
def test_a_proxys_page_becomes_an_error_of_the_protocol(
    gateway: Running, upstream: Upstream, protocol: str, stream: bool
) -> None:
    told = ask(gateway, upstream, protocol, stream, "fault=html")
    assert told.status == 502
    error_of(told, protocol)
    assert told.row.state == "failed"


@PROTOCOLS
@STREAMS
def test_an_error_in_an_answer_of_status_200(gateway: Running, upstream: Upstream, protocol: str, stream: bool) -> None:
    told = ask(gateway, upstream, protocol, stream, "fault=error_in_200")
    if told.status == 200:
        assert b"ordered status 500" in told.body
    else:
        error_of(told, protocol)
    assert told.row.state == "failed" and told.row.error and told.row.usd is None


@PROTOCOLS
@STREAMS
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirection_is_never_followed(
    gateway: Running, upstream: Upstream, protocol: str, stream: bool, status: int
) -> None:
    told = ask(gateway, upstream, protocol, stream, f"fault=redirect status={status} to={upstream.url}/v1/stolen")
    assert told.status == 502
    error_of(told, protocol)
    assert told.row.state == "failed" and [record.path for record in told.records] == [SURFACES[protocol][0]]


# --- streams that break


@PROTOCOLS
@pytest.mark.parametrize(
    "orders",
    ["fault=die at=5", "fault=die at=5 how=rst", "fault=hang_mid at=5", "fault=no_end at=5", "fault=bad_chunk at=5",
     "fault=half_json"],
)  # fmt: skip
def test_a_stream_that_breaks_ends_by_an_error_event(
    gateway: Running, upstream: Upstream, protocol: str, orders: str
) -> None:
    told = ask(gateway, upstream, protocol, True, orders)
    assert told.status == 200
    last = events_of(told.body)[-1]
    data = json.loads(last.rpartition(b"data: ")[2])
    assert data["error"]["message"] and b"[DONE]" not in told.body
    if protocol == "anthropic":
        assert last.startswith(b"event: error\n") and data["type"] == "error"
    assert told.seconds < 2
    assert told.row.state == "failed" and told.row.estimated
    sent = told.records[0].output
    assert told.row.quantities["output"] <= 3 * sent + 3
    assert told.row.quantities["output"] >= sent or "half" in orders
    assert told.row.usd is not None and told.row.usd > 0


@PROTOCOLS
def test_an_error_event_of_the_upstream_is_passed_on_as_it_is(
    gateway: Running, upstream: Upstream, protocol: str
) -> None:
    told = ask(gateway, upstream, protocol, True, "fault=error_mid at=5")
    assert told.body.count(b"error") and b"ordered status" in events_of(told.body)[-1]
    assert told.row.state == "failed" and told.row.estimated and told.row.usd


@PROTOCOLS
@pytest.mark.parametrize("fault", ["no_done", "length_over"])
def test_a_stream_whose_answer_was_whole_is_no_failure(
    gateway: Running, upstream: Upstream, protocol: str, fault: str
) -> None:
    """The finish reason and the usage came: what is missing is `[DONE]`, or how the connection ended."""
    told = ask(gateway, upstream, protocol, True, f"fault={fault}")
    assert told.row.quantities == EXACT and not told.row.estimated
    if fault == "length_over" or protocol == "openai":
        assert b"error" not in told.body and told.row.state == "done"


@PROTOCOLS
def test_junk_among_the_events_loses_nothing(gateway: Running, upstream: Upstream, protocol: str) -> None:
    told = ask(gateway, upstream, protocol, True, "fault=junk_event")
    assert told.row.quantities == EXACT


@pytest.mark.parametrize("protocol", SURFACES)
def test_faults_behind_a_translation(gateway: Running, upstream: Upstream, protocol: str) -> None:
    """The client speaks the other protocol: the same faults reach it as errors of its own."""
    for orders in ("fault=die at=5", "fault=hang_mid at=5", "fault=half_json", "fault=junk_event", "fault=no_end at=5"):
        upstream.clear()
        before = gateway.count()
        message: Any = [{"role": "user", "content": f"hello [[words=6 {orders}]]"}]
        if protocol == "openai":
            gpt = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="x", max_retries=0)
            with gpt, pytest.raises(openai.APIError):
                list(gpt.chat.completions.create(model=CLAUDE, messages=message, stream=True, max_tokens=50))
        else:
            claude = anthropic.Anthropic(base_url=gateway.url, api_key="x", max_retries=0)
            with claude, pytest.raises(anthropic.APIError):
                list(claude.messages.create(model=GPT, messages=message, stream=True, max_tokens=50))
        (row,) = gateway.rows(before + 1)[before:]
        assert row.state == "failed" and row.quantities.get("output", 0) > 0


# --- clients that leave


def leave(gateway: Running, protocol: str, stream: bool, orders: str, after_s: float) -> None:
    """Send a request, read for a while, and close the connection."""
    path, model = SURFACES[protocol]
    message = {"role": "user", "content": f"hello [[words=6 prompt=7 cached=2 {orders}]]"}
    body = {"model": model, "stream": stream, "max_tokens": 50, "messages": [message]}
    with closing(HTTPConnection("127.0.0.1", gateway.port, timeout=after_s)) as link:
        link.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        if stream:
            link.getresponse().read1(10)
        time.sleep(after_s)


@PROTOCOLS
@STREAMS
def test_a_client_that_leaves_is_billed_what_the_upstream_bills(
    gateway: Running, upstream: Upstream, protocol: str, stream: bool
) -> None:
    """The stream is drained to its usage; a whole answer is paid for anyway."""
    before = gateway.count()
    leave(gateway, protocol, stream, "gap_ms=60 first_ms=0" if stream else "first_ms=400", 0.1)
    row = gateway.rows(before + 1)[-1]
    assert row.state == "cancelled"
    assert row.quantities == EXACT and not row.estimated


@PROTOCOLS
def test_a_client_that_leaves_a_stream_that_hangs(gateway: Running, upstream: Upstream, protocol: str) -> None:
    before = gateway.count()
    leave(gateway, protocol, True, "fault=hang_mid at=5 gap_ms=20", 0.05)
    row = gateway.rows(before + 1)[-1]
    assert row.state in ("cancelled", "failed") and row.estimated and row.usd


def test_a_client_that_does_not_read_holds_back_the_upstream(gateway: Running, upstream: Upstream) -> None:
    """40 MB are ordered, nobody reads them: the gateway may hold a few, and ends it at the request's deadline."""
    before = gateway.count()
    upstream.clear()
    message = {"role": "user", "content": "[[words=10000 fault=padded size=4000]]"}
    body = json.dumps({"model": GPT, "stream": True, "messages": [message]})
    with closing(socket.create_connection(("127.0.0.1", gateway.port))) as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        link.sendall(head.encode() + body.encode())
        time.sleep(2)
        (record,) = upstream.records()
        assert 0 < record.output < 5_000, "back-pressure"
        row = gateway.rows(before + 1, timeout_s=10)[-1]
    assert row.state == "cancelled" and row.estimated


# --- retries and fallbacks, each attempt a row

RETRYING = (
    UPSTREAMS
    + IMPATIENT.replace("total_s = 4", "total_s = 8")
    + """
[retries]
count = 2
first_s = 0.05
most_s = 2

[[model]]
name = "either"
targets = ["openai/gpt-4o-mini", "anthropic/claude-sonnet-4-6"]

[[budget]]
per = "all"
usd = 1000
period = "total"
"""
)


@pytest.fixture(scope="module")
def retrying(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(tmp_path_factory.mktemp("gateway"), RETRYING, upstream.url) as running:
        yield running


def chat(gateway: Running, upstream: Upstream, model: str, *orders: str, stream: bool = False) -> tuple[Any, list[Row]]:
    """A chat request; `orders` for the upstream's answers, one after another."""
    upstream.clear()
    before = gateway.count()
    for order in orders:
        upstream.next(order)
    body = {"model": model, "stream": stream, "max_tokens": 20, "messages": [{"role": "user", "content": "hello"}]}
    answer, said = gateway.post("/v1/chat/completions", body)
    rows = gateway.rows(before + len(upstream.records()))[before:]
    rows.sort(key=lambda row: row.number)
    assert [row.id for row in rows] == [record.attempt for record in upstream.records()]
    assert len({row.request for row in rows}) <= 1
    return (answer.status, said), rows


@STREAMS
def test_a_refused_request_is_tried_again(retrying: Running, upstream: Upstream, stream: bool) -> None:
    (status, _), rows = chat(
        retrying, upstream, GPT, "status=503", "status=429 retry_after=1", "words=2", stream=stream
    )
    assert status == 200
    assert [(row.state, row.http_status) for row in rows] == [("failed", 503), ("failed", 429), ("done", 200)]
    assert [row.number for row in rows] == [1, 2, 3]
    spent_is_what_the_rows_say(retrying)


def test_what_may_have_been_produced_is_not_asked_for_again(retrying: Running, upstream: Upstream) -> None:
    """A request that broke after it was sent may be billed: it is not sent twice to the same place."""
    (status, _), rows = chat(retrying, upstream, GPT, "fault=refuse", "words=2")
    assert status == 502 and len(rows) == 1
    (status, _), rows = chat(retrying, upstream, GPT, "status=400", "words=2")
    assert status == 400 and len(rows) == 1


def test_an_upstream_that_wants_to_be_left_alone_for_long_is_not_asked_again(
    retrying: Running, upstream: Upstream
) -> None:
    (status, _), rows = chat(retrying, upstream, GPT, "status=429 retry_after=60", "words=2")
    assert status == 429 and len(rows) == 1


@STREAMS
def test_a_fallback_is_reserved_priced_and_recorded_on_its_own(
    retrying: Running, upstream: Upstream, stream: bool
) -> None:
    fails = ["status=500"] * 3
    (status, body), rows = chat(retrying, upstream, "either", *fails, "words=2 prompt=7", stream=stream)
    assert status == 200 and b"word1" in body
    assert [row.upstream for row in rows] == ["openai"] * 3 + ["anthropic"]
    assert rows[-1].usd == Fraction(7 * 300 + 2 * 1500, 100_000_000)  # Sonnet 4.6: $3 and $15
    spent_is_what_the_rows_say(retrying)


def test_a_stream_that_broke_after_its_first_words_is_not_begun_again(retrying: Running, upstream: Upstream) -> None:
    (status, body), rows = chat(retrying, upstream, "either", "fault=die at=3", "words=2", stream=True)
    assert status == 200 and b'"error"' in body and len(rows) == 1


def test_a_stream_that_broke_before_its_first_byte_falls_back(retrying: Running, upstream: Upstream) -> None:
    (status, body), rows = chat(retrying, upstream, "either", "fault=die at=0", "words=2", stream=True)
    assert status == 200 and [row.upstream for row in rows] == ["openai", "anthropic"]
    assert b'"error"' not in body


def test_all_fail_the_last_one_is_told(retrying: Running, upstream: Upstream) -> None:
    (status, body), rows = chat(retrying, upstream, "either", *["status=500"] * 5, "status=503")
    assert status == 503 and len(rows) == 6
    assert json.loads(body)["error"]["message"]


def test_an_upstream_that_fails_again_and_again_is_left_alone(
    upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = UPSTREAMS + "[retries]\ncount = 0\n[breaker]\nfailures = 3\nopen_s = 1\n"
    with Running(tmp_path_factory.mktemp("gateway"), config, upstream.url) as gateway:
        for _ in range(3):
            assert chat(gateway, upstream, GPT, "status=500")[0][0] == 500
        (status, body), rows = chat(gateway, upstream, GPT)
        assert status == 503 and rows == [] and upstream.records() == []
        assert b"no_upstream" in body
        time.sleep(1.1)
        assert chat(gateway, upstream, GPT)[0][0] == 200


# --- budgets under concurrency


def test_many_requests_at_once_never_pass_a_budget_together(
    upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each costs at most 7 * 0.15 + 50 * 0.60 millionths, of which the budget holds 20; 60 are sent at once."""
    usd = "0.000621"
    budget = f'[[budget]]\nper = "all"\nusd = {usd}\nperiod = "total"\n'
    upstream.clear()
    with Running(tmp_path_factory.mktemp("gateway"), UPSTREAMS + budget, upstream.url, workers=3) as gateway:
        statuses: list[int] = []

        def one() -> None:
            message = {"role": "user", "content": "[[words=50 prompt=7 first_ms=150]]"}
            body = {"model": GPT, "max_tokens": 50, "messages": [message]}
            statuses.append(gateway.post("/v1/chat/completions", body)[0].status)

        threads = [threading.Thread(target=one) for _ in range(60)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(statuses) <= {200, 429} and statuses.count(429) > 0
        billed = sum(record.input * 15 + record.output * 60 for record in upstream.records())
        assert billed <= Fraction(usd) * 10**8
        rows = gateway.rows(statuses.count(200))
        assert sum(row.usd or 0 for row in rows) == Fraction(billed, 10**8)
        spent_is_what_the_rows_say(gateway)


# --- what clients may send


BAD_BODIES: dict[str, tuple[bytes, dict[str, str]]] = {
    "not JSON": (b"{", {}),
    "nothing": (b"", {}),
    "a list": (b"[1]", {}),
    "no model": (b'{"messages": []}', {}),
    "a number for a model": (b'{"model": 7, "messages": []}', {}),
    "text for a number": (b'{"model": "gpt-4o-mini", "messages": [], "max_tokens": "many"}', {}),
    "a negative limit": (b'{"model": "gpt-4o-mini", "messages": [], "max_tokens": -5}', {}),
    "invalid UTF-8": (b'{"model": "gpt-\xff\xfe", "messages": []}', {}),
    "deep nesting": (b'{"model": "gpt-4o-mini", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", {}),
    "compressed": (b"\x1f\x8b\x08", {"content-encoding": "gzip"}),
    "an address for a model": (b'{"model": "http://169.254.169.254/x", "messages": []}', {}),
    "a path for a model": (b'{"model": "openai/../../etc", "messages": []}', {}),
    "two models": (b'{"model": "gpt-4o-mini", "model": "gpt-4o", "messages": "x"}', {}),
}


@PROTOCOLS
@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_bad_request_is_told_so_and_costs_nothing(
    gateway: Running, upstream: Upstream, protocol: str, name: str
) -> None:
    body, headers = BAD_BODIES[name]
    answer, said = gateway.post(SURFACES[protocol][0], body, headers)
    assert 400 <= answer.status < 500
    told = json.loads(said)
    assert told["error"]["message"] and "Traceback" not in said.decode()
    assert gateway.is_ready()


def test_header_injection_does_not_pass(gateway: Running, upstream: Upstream) -> None:
    upstream.clear()
    message = [{"role": "user", "content": "x"}]
    body = json.dumps({"model": GPT, "messages": message, "user": "a\r\nx-evil: 1"}).encode()
    answer, _ = gateway.post(
        "/v1/chat/completions", body, {"x-farthing-feature": "caf\xe9 \x01", "x-request-id": "a\tb"}
    )
    assert answer.status in (200, 400)
    for record in upstream.records():
        assert not any(name == "x-evil" for name, _ in record.headers)


def test_a_body_that_is_too_large_or_too_slow(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> None:
    config = UPSTREAMS + IMPATIENT + "[bounds]\nbody_mib = 1\n"
    with Running(tmp_path_factory.mktemp("gateway"), config, upstream.url) as gateway:
        body = json.dumps({"model": GPT, "messages": [{"role": "user", "content": "x" * 2_000_000}]}).encode()
        assert gateway.post("/v1/chat/completions", body)[0].status == 413
        with closing(socket.create_connection(("127.0.0.1", gateway.port), 10)) as slow:
            slow.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
            began = time.monotonic()
            assert b" 408 " in slow.recv(200)
            assert time.monotonic() - began < 3
        with closing(socket.create_connection(("127.0.0.1", gateway.port), 10)) as chunked:
            head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
            chunked.sendall(head)
            try:
                for _ in range(40):
                    chunked.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            except OSError:
                return  # it was closed on us, which is an answer
            assert b" 413 " in chunked.recv(200)


# --- at the end: the sums of all of the above, and the gateway's own health


def test_nothing_is_left_over(gateway: Running) -> None:
    spent_is_what_the_rows_say(gateway)
    assert all(row.state != "open" for row in gateway.rows())
    assert "Traceback" not in gateway.said()
    assert gateway.get("/readyz")[0] == 200
    assert json.loads(gateway.get("/readyz")[1])["in_flight"] == 1  # this very question
    nothing_is_held(gateway)


def test_a_stopping_gateway_ends_its_streams_first(
    upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Running(tmp_path_factory.mktemp("gateway"), CONFIG, upstream.url) as gateway:
        told: list[bytes] = []

        def read() -> None:
            message = [{"role": "user", "content": "[[words=10 gap_ms=100]]"}]
            told.append(gateway.post("/v1/chat/completions", {"model": GPT, "stream": True, "messages": message})[1])

        thread = threading.Thread(target=read)
        thread.start()
        gateway.wait(upstream.records, "the request")
        time.sleep(0.3)
        gateway.signal(signal.SIGTERM)
        thread.join(10)
        assert gateway.stop() == 0
        assert told and told[0].rstrip().endswith(b"[DONE]")
        (row,) = gateway.rows(1)
        assert row.state == "done" and row.quantities["output"] == 10

"""Every fault of the faulty upstream, on both protocols, whole and streamed: the client gets an answer or an error of
its protocol within bounds, the ledger one row that is true, the budget back what was not spent."""

import json
import socket
from contextlib import closing
from fractions import Fraction
from typing import Any

import anthropic
import openai
import pytest

from tests.gateway.asking import (
    CLAUDE,
    CONFIG,
    EXACT,
    GPT,
    PROTOCOLS,
    STREAMS,
    SURFACES,
    ask,
    error_of,
    events_of,
    nothing_is_held,
    spent_is_what_the_rows_say,
)
from tests.gateway.faulty import Upstream
from tests.gateway.running import Running

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


@pytest.mark.slow
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
    assert told.row.usd == (0 if status < 500 or status in (503, 529) else None)  # too busy: nothing was consumed


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


# --- at the end: the sums of all of the above, and the gateway's own health


def test_nothing_is_left_over(gateway: Running) -> None:
    spent_is_what_the_rows_say(gateway)
    assert all(row.state != "open" for row in gateway.rows())
    assert "Traceback" not in gateway.said()
    assert gateway.get("/readyz")[0] == 200
    assert json.loads(gateway.get("/readyz")[1])["in_flight"] == 0
    nothing_is_held(gateway)

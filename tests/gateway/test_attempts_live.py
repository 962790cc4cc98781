"""Retries, fallbacks, circuit breakers and budgets of a running gateway: each attempt is a row of its own."""

import json
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest

from tests.gateway.asking import (
    GPT,
    STREAMS,
    spent_is_what_the_rows_say,
)
from tests.gateway.faulty import Upstream
from tests.gateway.running import IMPATIENT, UPSTREAMS, Row, Running

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

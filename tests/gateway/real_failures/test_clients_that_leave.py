"""Clients that go away, and processes that die: what is billed, what is recorded, what is left reserved."""

import json
import signal
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.gateway.faulty import Upstream
from tests.gateway.real_failures.asking import CHAT, CLAUDE, GPT, MESSAGES, ask, bearer, fresh, said
from tests.gateway.running import UPSTREAMS, Row, Running, purses


def leave(gateway: Running, path: str, body: object, token: str = "", after_s: float = 0.1, read: int = 10) -> str:
    """Send a request, read `read` bytes of its answer, and hang up after a while; the request's id if it was told."""
    headers = {"content-type": "application/json", **(bearer(token) if token else {})}
    with closing(HTTPConnection("127.0.0.1", gateway.port, timeout=5)) as link:
        link.request("POST", path, json.dumps(body), headers)
        told = ""
        if read:
            answer = link.getresponse()
            told = answer.headers["x-farthing-request-id"]
            answer.read1(read)
        time.sleep(after_s)
    return told


def row_of(gateway: Running, request: str = "", feature: str = "") -> Row:
    until = time.monotonic() + 8
    while True:
        rows = [row for row in gateway.rows() if row.request == request or (feature and row.feature == feature)]
        if rows and rows[-1].state != "open":
            return rows[-1]
        assert time.monotonic() < until, rows
        time.sleep(0.05)


@pytest.mark.parametrize(("path", "model"), [(CHAT, GPT), (MESSAGES, CLAUDE), (CHAT, CLAUDE), (MESSAGES, GPT)])
def test_a_stream_that_is_abandoned_is_recorded_with_its_whole_usage(
    gateway: Running, upstream: Upstream, path: str, model: str
) -> None:
    """LiteLLM #35958 and #37558: an interrupted /v1/messages left no row; new-api #7062, pollinations #5594, bifrost
    #3357: an abandoned stream was free. Also where the answer is translated."""
    request = leave(gateway, path, said("[[words=8 prompt=7 cached=2 gap_ms=30]]", model, stream=True))
    row = row_of(gateway, request)
    assert row.quantities == {"input": 7, "cache_read": 2, "output": 8} and not row.estimated
    assert (row.state, row.streamed) == ("cancelled", True) and row.usd


def test_a_whole_answer_that_nobody_waits_for_is_paid_for(gateway: Running, upstream: Upstream) -> None:
    """new-api #4344: the client's time-out cancelled the request here, not at the provider, which billed it."""
    body = said("[[words=8 prompt=7 first_ms=300]]", metadata={"feature": "left-whole"})
    leave(gateway, CHAT, body, read=0)
    row = row_of(gateway, feature="left-whole")
    assert (row.state, row.quantities) == ("cancelled", {"input": 7, "output": 8}) and row.usd


def test_a_client_that_left_is_not_tried_for_again(gateway: Running, upstream: Upstream) -> None:
    """new-api #4186: a failure after the client had gone was tried again, and on the next upstream, for nobody."""
    fresh(upstream)
    for status in (500, 500, 500, 500):
        upstream.next(f"status={status} first_ms=300")
    leave(gateway, CHAT, said(model="either", metadata={"feature": "left-failing"}), read=0)
    assert row_of(gateway, feature="left-failing").state == "failed"
    time.sleep(0.5)
    assert len(upstream.records()) == 1


def test_an_engine_of_ones_own_is_let_go_soon(upstream: Upstream, tmp_path: Path) -> None:
    """vLLM production-stack #634: a request that was cancelled ran to its end on the engine. How long it is read on
    for its usage is stated: `drain_s`."""
    config = UPSTREAMS.replace('provider = "openai"', 'provider = "openai"\ntimeouts = { drain_s = 0.2 }', 1)
    with Running(tmp_path, config, upstream.url) as own:
        fresh(upstream)
        request = leave(own, CHAT, said("[[words=200 gap_ms=50]]", stream=True))
        row = row_of(own, request)
        own.wait(lambda: upstream.records()[0].ended == "left", "the upstream's being let go", 3)
        # On a busy machine nothing may have come by then: what it consumed is then not known at all.
        assert row.state == "cancelled" and (row.estimated or row.unknown) and upstream.records()[0].output < 40


def test_one_upstream_that_hangs_does_not_hold_up_the_others(gateway: Running, upstream: Upstream) -> None:
    """vLLM production-stack #749: requests to healthy backends hung behind one that did not answer."""
    links = []
    try:
        for _ in range(20):
            link = HTTPConnection("127.0.0.1", gateway.port, timeout=9)
            link.request("POST", CHAT, json.dumps(said("[[fault=hang]]")), {"content-type": "application/json"})
            links.append(link)
        began = time.monotonic()
        assert ask(gateway, MESSAGES, said("[[words=1]]", CLAUDE)).status == 200
        assert ask(gateway, CHAT, said("[[words=1]]")).status == 200
        assert time.monotonic() - began < 1
    finally:
        for link in links:
            link.close()


def test_what_was_answered_survives_the_death_of_every_process(upstream: Upstream, tmp_path: Path) -> None:
    """LiteLLM #33872 and #23019: spend that waited in memory or in a queue was lost with a restart or a failed write;
    new-api #4429: what requests in flight had reserved was never given back."""
    config = UPSTREAMS + '[[budget]]\nper = "all"\nusd = 1\nperiod = "total"\n[rules]\nhold_s = 1\n'
    with Running(tmp_path, config, upstream.url) as own:
        fresh(upstream)
        asked = [ask(own, CHAT, said("[[words=5 prompt=7]]")).headers["x-farthing-request-id"] for _ in range(12)]
        with closing(HTTPConnection("127.0.0.1", own.port, timeout=5)) as link:
            link.request("POST", CHAT, json.dumps(said("[[words=50 gap_ms=100]]", stream=True)))
            link.getresponse().read1(10)
            workers = own.workers()
            own.process.send_signal(signal.SIGSTOP)  # so that it starts no other worker
            for pid in workers:
                own.kill(pid)
            own.process.kill()
            own.process.wait()
    with own:
        rows = own.rows(13)
        assert [row.state for row in rows] == ["done"] * 12 + ["lost"]
        assert {row.request for row in rows[:12]} == set(asked)
        time.sleep(1.1)
        assert ask(own, CHAT, said("[[words=5 prompt=7]]")).status == 200
        spent, _, _ = purses(own.data)
        left = ask(own, CHAT, said("[[words=5 prompt=7]]")).headers["x-farthing-budget-remaining-usd"]
    # 7 * 150 + 5 * 600 nanodollars an answer, of which there were 14; nothing stays of the one that was lost
    assert float(left) == pytest.approx(1 - 14 * 4050e-9, abs=1e-9), spent

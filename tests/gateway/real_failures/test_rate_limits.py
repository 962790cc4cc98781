"""Limits: slots that were never released, tokens that were not counted, or counted twice."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection

import pytest

from farthing.ledger.keys import KeyLimits
from tests.gateway.faulty import Upstream
from tests.gateway.real_failures.asking import CHAT, CLAUDE, GPT, MESSAGES, RESPONSES, Json, ask, bearer, fresh, said
from tests.gateway.running import UPSTREAMS, Running


def free_again(gateway: Running, token: str, within_s: float = 4) -> None:
    gateway.wait(lambda: ask(gateway, CHAT, said("[[words=1]]"), bearer(token)).status == 200, "a free slot", within_s)


@pytest.mark.parametrize(("path", "model"), [(CHAT, GPT), (MESSAGES, CLAUDE), (MESSAGES, GPT)])
def test_a_slot_is_free_after_a_stream_that_was_cancelled(
    keyed: Running, upstream: Upstream, path: str, model: str
) -> None:
    """LiteLLM #27955, #30020, #28160: the counter of parallel requests grew with each stream that a client cancelled
    (Claude Code cancels one a turn), until the key was refused for ever."""
    _, token = keyed.key(f"cancels {path} {model}", limits=KeyLimits(concurrent=1))
    for _ in range(3):
        with closing(HTTPConnection("127.0.0.1", keyed.port, timeout=5)) as link:
            body = json.dumps(said("[[words=6 gap_ms=40]]", model, stream=True))
            link.request("POST", path, body, {"content-type": "application/json", **bearer(token)})
            answer = link.getresponse()
            assert answer.status == 200
            answer.read1(10)
            told = ask(keyed, CHAT, said(), bearer(token))
            assert told.status == 429 and told.headers["retry-after"], "one at once, while it is read"
        free_again(keyed, token)


@pytest.mark.parametrize("orders", ["fault=hang", "status=500", "fault=not_json", "fault=die at=3", "status=400"])
def test_a_slot_is_free_after_a_failure(keyed: Running, upstream: Upstream, orders: str) -> None:
    """LiteLLM #20256: after time-outs and 502s of the provider, a key was deadlocked until its cache was emptied."""
    _, token = keyed.key(f"fails {orders}", limits=KeyLimits(concurrent=1))
    for _ in range(2):
        told = ask(keyed, CHAT, said(f"[[{orders}]]", stream="die" in orders or "hang" in orders), bearer(token))
        assert told.status != 429
    assert ask(keyed, CHAT, said("[[words=1]]"), bearer(token)).status == 200


def test_a_slot_is_free_after_a_request_that_was_none(keyed: Running, upstream: Upstream) -> None:
    """LiteLLM #1477: a request for a model that does not exist left the limit of one reached."""
    _, token = keyed.key("mistaken", limits=KeyLimits(concurrent=1))
    for body in (b"{", said(model="nobody-has-this"), {"model": GPT, "messages": "x", "max_tokens": "many"}):
        assert 400 <= ask(keyed, CHAT, body, bearer(token)).status < 429
    refused = said(model=CLAUDE, logprobs=True)  # refused by the translation
    assert ask(keyed, CHAT, refused, bearer(token)).status == 400
    assert ask(keyed, CHAT, said("[[words=1]]"), bearer(token)).status == 200


def test_a_slot_is_free_as_soon_as_its_answer_is_there(keyed: Running, upstream: Upstream) -> None:
    """The next request may come to another worker before the one that answered has done anything else."""
    _, token = keyed.key("one after the other", limits=KeyLimits(concurrent=1))
    refused = said(model=CLAUDE, logprobs=True)
    for _ in range(60):
        for body, status in ((refused, 400), (said("[[words=1]]"), 200), (said("[[words=1]]", stream=True), 200)):
            assert ask(keyed, CHAT, body, bearer(token)).status == status


def test_a_request_refused_by_one_limit_uses_up_no_other(keyed: Running, upstream: Upstream) -> None:
    """LiteLLM #39309: refused for concurrency, it still took one of the requests a minute."""
    _, token = keyed.key("two a minute", limits=KeyLimits(requests_per_minute=2, concurrent=1))
    with closing(HTTPConnection("127.0.0.1", keyed.port, timeout=5)) as link:
        body = json.dumps(said("[[words=6 gap_ms=30]]", stream=True))
        link.request("POST", CHAT, body, {"content-type": "application/json", **bearer(token)})
        answer = link.getresponse()
        answer.read1(5)
        for _ in range(3):
            assert ask(keyed, CHAT, said(), bearer(token)).status == 429
        answer.read()
    free_again(keyed, token)
    told = ask(keyed, CHAT, said(), bearer(token))
    assert told.status == 429 and int(told.headers["retry-after"]) > 1, "the two of this minute are used"


@pytest.fixture(scope="module")
def alone(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One worker: what it gives back is free at its next request, for others within a second."""
    with Running(tmp_path_factory.mktemp("alone"), UPSTREAMS, upstream.url) as running:
        yield running


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, said("[[words=60 prompt=40 cached=10]]", max_tokens=60)),
        (MESSAGES, said("[[words=60 prompt=40 cached=10]]", CLAUDE, max_tokens=60)),
        (RESPONSES, {"model": GPT, "input": "[[words=60 prompt=40 cached=10]]", "max_output_tokens": 60}),
    ],
)
def test_tokens_a_minute_are_those_that_the_provider_counted(
    alone: Running, upstream: Upstream, path: str, body: Json, stream: bool
) -> None:
    """WSO2 #2932: every request counted as one token. Envoy AI gateway #2248 and #1754: the counter did not move by
    the usage. APISIX #13662: a stream's prompt was not counted. Higress #1080: a stream was counted twice. InsForge
    #977: each event of a stream counted as a request."""
    _, token = alone.key(f"tokens {path} {stream}", limits=KeyLimits(tokens_per_minute=1000))
    before = remaining(alone, token)
    for used in (110, 220):
        told = ask(alone, path, body | {"stream": stream}, bearer(token))
        assert told.status == 200 and told.row.state == "done"
        assert remaining(alone, token) == before - used, "40 of input, 10 cached, 60 of output"


def remaining(gateway: Running, token: str) -> int:
    """What is left of the tokens a minute, as a request that costs none is told."""
    told = ask(gateway, "/v1/messages/count_tokens", said(model=CLAUDE), bearer(token))
    stated = told.headers["x-ratelimit-remaining-tokens"]
    assert stated is not None, dict(told.headers)
    return int(stated)


def test_two_workers_keep_one_limit(keyed: Running, upstream: Upstream) -> None:
    """LiteLLM #13202, #2730, #4148, #18518: each worker and each replica allowed the whole of a key's limit."""
    _, token = keyed.key("five", limits=KeyLimits(requests_per_minute=5))
    statuses = [ask(keyed, CHAT, said("[[words=1]]"), bearer(token)).status for _ in range(20)]
    assert (statuses.count(200), statuses.count(429)) == (5, 15)


def test_a_key_is_useful_up_to_its_limit(alone: Running, upstream: Upstream) -> None:
    """LiteLLM #18953, #24677: a key was refused for minutes at 80 % of its tokens, by a window that was carried over.
    What a request may take and did not is given back when it ends."""
    _, token = alone.key("nearly all", limits=KeyLimits(tokens_per_minute=1000))
    for _ in range(9):
        told = ask(alone, CHAT, said("[[words=10 prompt=90]]", max_tokens=300), bearer(token))
        if told.status == 429:  # 300 may be needed, and fewer are left of this minute
            assert _ >= 6
            break
        assert told.row.state == "done"
    began = time.monotonic()
    assert ask(alone, CHAT, said("[[words=10 prompt=40]]", max_tokens=20), bearer(token)).status == 200
    assert time.monotonic() - began < 1
    fresh(upstream)

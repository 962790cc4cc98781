"""Errors of upstreams: swallowed, buried, billed, retried in vain."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.faulty import Upstream
from tests.gateway.real_failures.asking import (
    CHAT,
    CLAUDE,
    DONE,
    GPT,
    MESSAGES,
    RESPONSES,
    ask,
    block,
    chat,
    chunk,
    data,
    end,
    events,
    fresh,
    named,
    said,
    start,
)  # fmt: skip
from tests.gateway.running import OPENAI_KEY, UPSTREAMS, Running


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 403, 404])
def test_an_error_answer_to_a_stream_keeps_its_status_and_body(
    gateway: Running, upstream: Upstream, status: int, stream: bool
) -> None:
    """agentgateway #1340: to a streaming request, an error's body was dropped and its length kept; new-api #95: the
    client got an empty answer and was charged."""
    told = ask(gateway, CHAT, said(f"[[status={status}]]", stream=stream))
    assert told.status == status and f"ordered status {status}" in told.error["message"]
    row = told.row
    assert row.state == "failed" and row.usd == 0 and not row.quantities


@pytest.mark.parametrize(
    ("code", "status", "attempts"),
    [(400, 400, 1), ("context_length_exceeded", 400, 1), (429, 429, 2), ("server_error", 502, 2)],
)
def test_an_error_that_is_all_of_a_stream_is_told_in_its_own_words(
    gateway: Running, upstream: Upstream, code: Any, status: int, attempts: int
) -> None:
    """suna #4352 and #5986, llm-rosetta #454, rocketmq-dashboard #2178: an error in a stream of status 200 reached the
    client as an empty answer, or as a bad gateway without the reason; and one that no repetition helps was repeated."""
    kind = "server_error" if code == "server_error" else "invalid_request_error"
    error = {"error": {"message": f"too long for {OPENAI_KEY}", "type": kind, "code": code}}
    fresh(upstream)
    for _ in range(attempts):
        upstream.reply(data(error), DONE)
    told = ask(gateway, CHAT, said(stream=True))
    assert told.status == status, told.body
    assert "too long for" in told.error["message"] and OPENAI_KEY not in told.body.decode()
    for row in told.rows(attempts):
        assert (row.state, row.http_status, row.error) == ("failed", 200, kind)
        assert (row.usd is None) == (status >= 500) and (status < 500 or row.unknown), "a refusal costs nothing"


def test_an_error_in_anthropics_stream_is_told_in_its_own_words(gateway: Running, upstream: Upstream) -> None:
    """suna #4352: Anthropic's overloaded_error at once in a stream was tried three times, then hidden."""
    error = named({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded just now"}})
    fresh(upstream)
    for _ in range(2):
        upstream.reply(error, b"")
    told = ask(gateway, MESSAGES, said(model=CLAUDE, stream=True))
    assert told.status == 529 and told.error == {"type": "overloaded_error", "message": "Overloaded just now"}
    told.rows(2)


@pytest.mark.parametrize("stream", [False, True])
def test_an_error_inside_status_200_goes_on_to_the_next_target(
    gateway: Running, upstream: Upstream, stream: bool
) -> None:
    """OpenRouter answers 200 with an error inside; routers that looked at the status alone took it for an answer
    (llm-gateway, LiteLLM's mid-stream fallbacks)."""
    error = {"error": {"message": "Provider returned error", "code": 502}, "user_id": "u"}
    fresh(upstream)
    for _ in range(2):
        upstream.reply(*([data(error), DONE] if stream else [json.dumps(error).encode()]))
    told = ask(gateway, CHAT, said("[[words=2]]", "either", stream=stream))
    assert told.status == 200 and b"word1" in told.body
    assert [row.upstream for row in told.rows(3)] == ["openai", "openai", "anthropic"]


def test_an_answer_that_broke_off_in_its_midst_is_not_free(gateway: Running, upstream: Upstream) -> None:
    """OpenRouter tells a provider's failure beside the part that was made (`choices[0].error`): that may be billed."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "some words " * 20}, "finish_reason": "error",
              "error": {"code": 502, "message": "Provider disconnected"}}  # fmt: skip
    fresh(upstream).reply(json.dumps({"id": "c", "model": GPT, "choices": [choice]}).encode())
    told = ask(gateway, CHAT, said())
    assert told.status == 200 and "some words" in told.body.decode()
    row = told.row
    assert row.error and row.usd != 0 and (row.usd is not None or row.unknown)


def test_a_stream_that_fails_in_its_middle_is_a_failure_everywhere(gateway: Running, upstream: Upstream) -> None:
    """Portkey #1797: an answer cut off ended like a whole one; LiteLLM #39589: it was counted as a success."""
    before = gateway.get("/metrics")[1].decode()
    told = ask(gateway, CHAT, said("[[words=9 fault=die at=4]]", stream=True))
    assert told.status == 200 and events(told.body)[-1]["error"]["message"] and b"[DONE]" not in told.body
    row = told.row
    assert row.state == "failed" and row.estimated and row.usd
    after = gateway.get("/metrics")[1].decode()
    assert failures(after) == failures(before) + 1


def failures(metrics: str) -> float:
    lines = [
        one for one in metrics.splitlines() if one.startswith("farthing_attempts_total") and 'state="failed"' in one
    ]
    return sum(float(one.rpartition(" ")[2]) for one in lines)


def test_the_words_of_an_error_are_not_output(gateway: Running, upstream: Upstream) -> None:
    """new-api #5288 and #5289: an error in the middle of a stream was tokenised and billed as output."""
    fresh(upstream).reply(
        data(chunk({"content": "one "})), data(chunk({"content": "two "})),
        data({"error": {"message": "no " * 3000, "type": "server_error", "code": None}}),
    )  # fmt: skip
    row = ask(gateway, CHAT, said(stream=True)).row
    assert row.estimated and 2 <= row.quantities["output"] <= 6


def test_a_stream_that_never_said_anything_is_unknown_and_not_an_estimate(gateway: Running, upstream: Upstream) -> None:
    """new-api #4168: a stream that timed out before its first word was billed a made-up prompt."""
    told = ask(gateway, CHAT, said("[[fault=hang]]", stream=True))
    assert told.status == 504
    row = told.row
    assert (row.usd, row.quantities) == (None, {}) and "timeout" in (row.unknown or "")


def test_a_request_refused_for_itself_is_sent_once(gateway: Running, upstream: Upstream) -> None:
    """LiteLLM #9812 and others: a 400 was tried again, and then on every fallback."""
    fresh(upstream)
    told = ask(gateway, CHAT, said("[[status=400]]", "either"))
    assert told.status == 400 and len(upstream.records()) == 1
    told.rows(1)


@pytest.mark.parametrize("status", [401, 402, 404, 429])
def test_an_upstream_that_cannot_serve_it_gives_way_to_the_next(
    gateway: Running, upstream: Upstream, status: int
) -> None:
    """LiteLLM #37592: an account without credit (402) was asked again for ever while the next had money."""
    fresh(upstream)
    for _ in range(2 if status == 429 else 1):
        upstream.next(f"status={status}")
    told = ask(gateway, CHAT, said("[[words=2]]", "either"))
    assert told.status == 200, told.body
    assert told.rows(len(upstream.records()))[-1].upstream == "anthropic"


def test_a_long_retry_after_is_not_waited_for_when_another_can_answer(gateway: Running, upstream: Upstream) -> None:
    """LiteLLM #3274: Groq said to wait 47 seconds; it waited, twice, before the fallback."""
    fresh(upstream).next("status=429 retry_after=47")
    began = time.monotonic()
    told = ask(gateway, CHAT, said("[[words=2]]", "either"))
    assert told.status == 200 and time.monotonic() - began < 2
    assert [row.upstream for row in told.rows(2)] == ["openai", "anthropic"]


def test_a_retry_after_is_heeded_and_passed_on(gateway: Running, upstream: Upstream) -> None:
    """LiteLLM #7669: retries came at once although the upstream had said when."""
    fresh(upstream).next("status=429 retry_after=1")
    began = time.monotonic()
    told = ask(gateway, CHAT, said("[[words=2]]"))
    assert told.status == 200 and time.monotonic() - began >= 1
    fresh(upstream).next("status=429 retry_after=40")
    told = ask(gateway, CHAT, said())
    assert (told.status, told.headers["retry-after"]) == (429, "40") and len(upstream.records()) == 1


def test_a_retry_after_that_is_a_date_is_heeded(gateway: Running, upstream: Upstream) -> None:
    """RFC 9110 allows a date; clients that take it for no number retry at once."""
    fresh(upstream).reply(
        b'{"error": {"message": "later"}}', status=429, headers=[("retry-after", "Wed, 21 Oct 2099 07:28:00 GMT")]
    )
    told = ask(gateway, CHAT, said())
    assert told.status == 429 and len(upstream.records()) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_an_upstream_that_hangs_gives_way_in_its_own_time(upstream: Upstream, tmp_path: Path, stream: bool) -> None:
    """Portkey python-sdk #300, vLLM production-stack #749: a time-out was not tried elsewhere, or there was none."""
    first = 'provider = "openai"\ntimeouts = { first_byte_s = 0.4, total_s = 0.5 }'
    config = UPSTREAMS.replace('provider = "openai"', first, 1)
    config += '[[model]]\nname = "either"\ntargets = ["openai/gpt-4o-mini", "anthropic/claude-sonnet-4-6"]\n'
    with Running(tmp_path, config, upstream.url) as own:
        fresh(upstream).next("fault=hang")
        began = time.monotonic()
        told = ask(own, CHAT, said("[[words=2]]", "either", stream=stream))
        assert told.status == 200 and b"word1" in told.body and time.monotonic() - began < 2
        assert [(row.upstream, row.error) for row in told.rows(2)] == [("openai", "timeout"), ("anthropic", None)]


def test_a_target_is_not_asked_again_by_a_loop_of_fallbacks(gateway: Running, upstream: Upstream) -> None:
    """LiteLLM's fallback loops: both targets fail; each is tried as often as stated, then the client is told."""
    fresh(upstream)
    for _ in range(9):
        upstream.next("status=500")
    told = ask(gateway, CHAT, said(model="either"))
    assert told.status == 500 and len(upstream.records()) == 4
    told.rows(4)


def test_a_usage_beside_an_error_is_charged(gateway: Running, upstream: Upstream) -> None:
    """A responses request that failed after it had worked states its usage: that is paid for."""
    body = {"id": "resp_9", "status": "failed", "model": GPT, "error": {"code": "server_error", "message": "x"},
            "usage": {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110}}  # fmt: skip
    fresh(upstream).reply(json.dumps(body).encode())
    row = ask(gateway, RESPONSES, {"model": GPT, "input": "hi"}).row
    assert row.quantities == {"input": 100, "output": 10} and row.usd


def test_an_answer_cut_off_by_a_filter_is_no_error(gateway: Running, upstream: Upstream) -> None:
    """Finish reasons of their own (content_filter, refusal) were taken for failures and tried again."""
    fresh(upstream).reply(start(input_tokens=5, output_tokens=1), *block("No."), *end("refusal", output_tokens=3))
    told = ask(gateway, MESSAGES, said(model=CLAUDE, stream=True))
    assert told.row.state == "done" and told.row.quantities == {"input": 5, "output": 3}
    usage = {"prompt_tokens": 5, "completion_tokens": 0, "total_tokens": 5}
    fresh(upstream).reply(chat("", usage=usage))
    row = ask(gateway, CHAT, said()).row
    assert row.state == "done" and row.quantities == {"input": 5} and not row.estimated


def test_requests_that_are_wrong_do_not_make_an_upstream_ill(upstream: Upstream, tmp_path: Path) -> None:
    """LiteLLM #34836 and #35104: what a client did wrong cooled a deployment down for everybody, here also where the
    refusal comes in a stream. Deltallm #247: a deployment that was left alone never came back."""
    config = UPSTREAMS + "[retries]\ncount = 0\n[breaker]\nfailures = 2\nopen_s = 0.5\n"
    wrong = data({"error": {"message": "too long", "type": "invalid_request_error", "code": None}})
    with Running(tmp_path, config, upstream.url) as own:
        fresh(upstream)
        for _ in range(4):
            upstream.reply(wrong, DONE)
            assert ask(own, CHAT, said(stream=True)).status == 400
            assert ask(own, CHAT, said("[[status=422]]")).status == 422
        assert ask(own, CHAT, said("[[words=1]]")).status == 200
        for _ in range(2):
            upstream.reply(data({"error": {"message": "ill", "code": 503}}), DONE)
            assert ask(own, CHAT, said(stream=True)).status == 503
        assert ask(own, CHAT, said("[[words=1]]")).error["code"] == "no_upstream"
        time.sleep(0.6)
        assert ask(own, CHAT, said("[[words=1]]")).status == 200
        for _ in range(2):  # one that answers 200 each time and then breaks off is ill as well
            ask(own, CHAT, said("[[words=9 fault=die at=4]]", stream=True))
        assert ask(own, CHAT, said("[[words=1]]")).error["code"] == "no_upstream"

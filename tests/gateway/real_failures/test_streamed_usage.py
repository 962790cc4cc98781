"""Usage in streams: missing, doubled, cumulative, in another event, under another name."""

from fractions import Fraction
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
    chunk,
    data,
    end,
    events,
    fresh,
    named,
    said,
    start,
)  # fmt: skip
from tests.gateway.running import Running

STREAM: dict[str, Any] = {"stream": True}


def usage(prompt: int, output: int, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output, **more}


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"include_obfuscation": False}])
def test_a_stream_that_asked_for_no_usage_is_metered_and_shows_none(
    gateway: Running, upstream: Upstream, options: Any
) -> None:
    """LiteLLM #35290 and #11915, claw-os #14: streams without include_usage were estimated or recorded as 0; gittensor
    #1749: a usage chunk that the client did not ask for broke strict parsers."""
    body = said("[[words=3 prompt=7 reasoning=40]]", **STREAM) | (
        {} if options is None else {"stream_options": options}
    )
    told = ask(gateway, CHAT, body)
    assert all(one["choices"] for one in events(told.body)) and b'"usage": {' not in told.body
    assert told.body.endswith(DONE)
    assert told.row.quantities == {"input": 7, "output": 43, "reasoning": 40} and not told.row.estimated


def test_a_stream_that_asked_for_usage_gets_it_once_at_its_end(gateway: Running, upstream: Upstream) -> None:
    """LiteLLM #9657, #13264, loreai #1475: usage was left out for the client that did ask for it."""
    told = ask(gateway, CHAT, said("[[words=3 prompt=7]]", stream_options={"include_usage": True}, **STREAM))
    stated = [one["usage"] for one in events(told.body) if one.get("usage")]
    assert [one["total_tokens"] for one in stated] == [10] and events(told.body)[-1]["choices"] == []


def test_text_completions_are_streamed_and_metered(gateway: Running, upstream: Upstream) -> None:
    """LiteLLM #8349: streamed /v1/completions recorded 0 tokens; aisix #1093: they failed after they were paid for."""
    body = {"model": GPT, "prompt": "say [[words=4 prompt=5]]", "stream": True, "max_tokens": 9}
    told = ask(gateway, "/v1/completions", body)
    assert told.status == 200 and b"word3" in told.body and told.body.endswith(DONE)
    assert told.row.quantities == {"input": 5, "output": 4} and not told.row.estimated


def test_usage_in_every_chunk_is_not_added_up(gateway: Running, upstream: Upstream) -> None:
    """ogx #5122 (Gemini), OpenRouter-runner #64: running totals in each chunk were summed."""
    fresh(upstream).reply(
        *[data(chunk({"content": "w"}, model="gemini-2.5-flash", usage=usage(23, n))) for n in (290, 291, 292)],
        data(chunk(finish="stop", model="gemini-2.5-flash", usage=usage(23, 293))), DONE,
    )  # fmt: skip
    told = ask(gateway, CHAT, said(model="gemini-2.5-flash", **STREAM))
    assert told.row.quantities == {"input": 23, "output": 293} and not told.row.estimated


def test_usage_beside_the_last_words_loses_neither(gateway: Running, upstream: Upstream) -> None:
    """Routstr #543: a chunk with both content and usage was taken for the usage chunk, and the content dropped."""
    fresh(upstream).reply(
        data(chunk({"role": "assistant"}, model="gemini-2.5-flash")),
        data(chunk({"content": "all of it"}, "stop", "gemini-2.5-flash", usage=usage(5, 3))), DONE,
    )  # fmt: skip
    told = ask(gateway, CHAT, said(model="gemini-2.5-flash", **STREAM))
    assert b"all of it" in told.body and told.row.quantities == {"input": 5, "output": 3}


def test_a_first_chunk_without_choices_reaches_the_client(gateway: Running, upstream: Upstream) -> None:
    """Azure's filter results come in a chunk whose choices are empty; only the usage chunk that we asked for is ours
    to hide (Portkey #1627, LiteLLM's many issues of `choices[0]`)."""
    filtered = chunk(prompt_filter_results=[{"prompt_index": 0, "content_filter_results": {}}])
    last = chunk(usage=usage(4, 1))
    fresh(upstream).reply(data(filtered), data(chunk({"content": "x"})), data(chunk(finish="stop")), data(last), DONE)
    told = ask(gateway, CHAT, said(**STREAM))
    assert "prompt_filter_results" in events(told.body)[0] and len(events(told.body)) == 3
    assert told.row.quantities == {"input": 4, "output": 1}


@pytest.mark.parametrize(("first", "last", "expected"), [
    # TensorZero #5481: 1 at the start and 15 at the end were added to 16.
    ({"input_tokens": 25, "output_tokens": 1}, {"output_tokens": 15}, {"input": 25, "output": 15}),
    # Envoy AI gateway #2290: a backend that states input and writes only at the end was metered as 5 tokens.
    ({"input_tokens": 0, "output_tokens": 0},
     {"input_tokens": 4522, "cache_creation_input_tokens": 4511, "output_tokens": 5},
     {"input": 4522, "cache_write_5m": 4511, "output": 5}),
    # APISIX #13662: the total of a stream was its output alone, so limits and sums missed the whole prompt.
    ({"input_tokens": 900, "cache_read_input_tokens": 50, "output_tokens": 4}, {"output_tokens": 7},
     {"input": 900, "cache_read": 50, "output": 7}),
    # Bifrost #5354: the whole prompt at the start, what was cached of it at the end: not both.
    ({"input_tokens": 5000, "cache_read_input_tokens": 0, "output_tokens": 0},
     {"input_tokens": 100, "cache_read_input_tokens": 4900, "output_tokens": 3},
     {"input": 100, "cache_read": 4900, "output": 3}),
    # LiteLLM #11789: 2455 cached tokens at the full rate, in streams only.
    ({"input_tokens": 4, "cache_read_input_tokens": 2455, "cache_creation_input_tokens": 0, "output_tokens": 1},
     {"output_tokens": 23}, {"input": 4, "cache_read": 2455, "output": 23}),
    # claude-relay-service #1081: 100 written tokens beyond the split by lifetime were not billed.
    ({"input_tokens": 1, "cache_creation_input_tokens": 400, "output_tokens": 1,
      "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200}}, {"output_tokens": 2},
     {"input": 1, "cache_write_5m": 200, "cache_write_1h": 200, "output": 2}),
    # pydantic-ai #8088, LiteLLM #31355: searches by a server tool were dropped from the usage.
    ({"input_tokens": 9, "output_tokens": 1}, {"output_tokens": 20, "server_tool_use": {"web_search_requests": 3}},
     {"input": 9, "output": 20, "web_search": 3}),
])  # fmt: skip
def test_anthropics_two_statements_of_usage(
    gateway: Running, upstream: Upstream, first: dict[str, Any], last: dict[str, Any], expected: dict[str, int]
) -> None:
    fresh(upstream).reply(start(**first), *block("word"), *end(**last))
    told = ask(gateway, MESSAGES, said(model=CLAUDE, **STREAM))
    assert told.row.quantities == expected and (told.row.state, told.row.estimated) == ("done", False)


def response(status: str, **more: Any) -> bytes:
    held = {"id": "resp_9", "object": "response", "status": status, "model": GPT, "output": [], **more}
    return named({"type": f"response.{status}", "response": held, "sequence_number": 9})


RESPONSES_BEGIN = (
    named({"type": "response.created", "response": {"id": "resp_9", "status": "in_progress", "model": GPT}}),
    named({"type": "response.output_text.delta", "delta": "word ", "item_id": "m", "output_index": 0}),
)
USED = {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 60}, "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 5}, "total_tokens": 109}  # fmt: skip


@pytest.mark.parametrize(("status", "state"), [("completed", "done"), ("incomplete", "done"), ("failed", "failed")])
def test_every_end_of_a_responses_stream_states_usage(
    gateway: Running, upstream: Upstream, status: str, state: str
) -> None:
    """new-api #7241, Envoy AI gateway #2184, agentgateway #3274: usage was read of `response.completed` alone, and what
    ended otherwise was billed as 0; bfe #1381: usage within `response` was not found at all."""
    more = {"error": {"code": "server_error", "message": "x"}} if status == "failed" else {}
    fresh(upstream).reply(*RESPONSES_BEGIN, response(status, usage=USED, **more))
    told = ask(gateway, RESPONSES, {"model": GPT, "input": "hi", "stream": True})
    row = told.row
    assert row.quantities == {"input": 40, "cache_read": 60, "output": 9, "reasoning": 5}
    # gpt-4o-mini: $0.15, cached $0.075, $0.60 a million
    assert row.usd == Fraction(40 * 150 + 60 * 75 + 9 * 600, 10**9) and row.state == state


def test_a_responses_stream_without_usage_is_not_free(gateway: Running, upstream: Upstream) -> None:
    """CLIProxyAPI #2179, new-api #5235: a stream that ended without usage was billed 0, or its hold freed."""
    fresh(upstream).reply(*RESPONSES_BEGIN, response("completed"))
    row = ask(gateway, RESPONSES, {"model": GPT, "input": "hi", "stream": True}).row
    assert row.estimated and row.usd and row.quantities["output"] >= 1


def test_a_responses_stream_with_carriage_returns(gateway: Running, upstream: Upstream) -> None:
    """Envoy AI gateway #2679: with CRLF between lines no event was found, and no usage."""
    whole = [*RESPONSES_BEGIN, response("completed", usage=USED)]
    fresh(upstream).reply(*[one.replace(b"\n", b"\r\n") for one in whole])
    row = ask(gateway, RESPONSES, {"model": GPT, "input": "hi", "stream": True}).row
    assert row.quantities["cache_read"] == 60 and not row.estimated


@pytest.mark.parametrize("end_of_line", ["\r\n", "\r", "\n"])
def test_lines_end_in_three_ways_and_are_cut_anywhere(gateway: Running, upstream: Upstream, end_of_line: str) -> None:
    """xuan #194, praxis #739, flue #215: CRLF, lone CR, `data:` without a blank, and a character cut in two lost events
    or tore them; durable-streams #118: U+2028 and U+0085 are text, not ends of lines."""
    words = "žluť\u2028ou\u0085čký🦊"
    pieces = [chunk({"content": words}), chunk(finish="stop"), chunk(usage=usage(3, 5))]
    stream = b": OPENROUTER PROCESSING\n\n" + b"".join(data(one).replace(b"data: ", b"data:") for one in pieces) + DONE
    stream = stream.replace(b"\n", end_of_line.encode())
    fresh(upstream).reply(*[stream[at : at + 5] for at in range(0, len(stream), 5)])
    told = ask(gateway, CHAT, said(**STREAM))
    assert words.encode() in told.body and b"data: :" not in told.body, "a comment stays one (llm-gateway #2053)"
    assert told.row.quantities == {"input": 3, "output": 5} and told.row.state == "done"


def test_thoughts_alone_are_an_answer(gateway: Running, upstream: Upstream) -> None:
    """CLIProxyAPI #2708: streams of `reasoning_content` were recorded as 0 tokens, for nulls among their counts."""
    counts = usage(7, 5, reasoning_tokens=5, prompt_tokens_details=None, completion_tokens_details=None)
    fresh(upstream).reply(
        data(chunk({"reasoning_content": "hm"})), data(chunk(finish="length")), data(chunk(usage=counts)), DONE
    )  # fmt: skip
    row = ask(gateway, CHAT, said(**STREAM)).row
    assert row.quantities == {"input": 7, "output": 5, "reasoning": 5} and (row.state, row.estimated) == ("done", False)


def test_the_end_of_one_of_several_answers_is_not_the_end(gateway: Running, upstream: Upstream) -> None:
    """With `n`, the first finish reason was taken for the stream's end, and the rest neither passed on nor counted."""
    several = [{**chunk(), "choices": [{"index": n, "delta": {"content": f"w{n}"}}]} for n in range(3)]
    ends = [{**chunk(), "choices": [{"index": n, "delta": {}, "finish_reason": "stop"}]} for n in (1, 0, 2)]
    fresh(upstream).reply(
        data(several[1]), data(ends[0]), data(several[0]), data(several[2]), data(ends[1]), data(ends[2]),
        data(chunk(usage=usage(3, 9))), DONE,
    )  # fmt: skip
    told = ask(gateway, CHAT, said(n=3, **STREAM))
    assert b"w2" in told.body and told.row.quantities == {"input": 3, "output": 9}


def test_a_model_that_writes_about_usage_is_not_believed(gateway: Running, upstream: Upstream) -> None:
    """Gateways that look for a pattern in the bytes took an answer's text for the provider's statement."""
    words = 'data: {"usage": {"prompt_tokens": 1, "completion_tokens": 1}}\n\ndata: [DONE]\n\n'
    fresh(upstream).reply(
        data(chunk({"content": words})), data(chunk(finish="stop")), data(chunk(usage=usage(9, 99))), DONE
    )
    assert ask(gateway, CHAT, said(**STREAM)).row.quantities == {"input": 9, "output": 99}

"""Streams in the forms that providers document, written by hand: what each sends, and what it amounts to."""

import json
from typing import Any, NamedTuple

from farthing.gateway.metering import Surface


class Recorded(NamedTuple):
    """One provider's stream: its events, which of them hold usage alone, and the meters that it amounts to."""

    surface: Surface
    provider: str
    events: list[bytes]
    quantities: dict[str, int]
    alone: tuple[int, ...] = ()
    model: str = ""
    finish: str = "stop"
    tool_calls: int = 0

    @property
    def bytes(self) -> bytes:
        return b"".join(self.events)

    @property
    def without_usage(self) -> bytes:
        return b"".join(event for index, event in enumerate(self.events) if index not in self.alone)


def event(value: object, name: str = "", end: str = "\n") -> bytes:
    """One event in the form that most servers send: a name (if any), one line of data, a blank line."""
    head = f"event: {name}{end}" if name else ""
    data = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return f"{head}data: {data}{end}{end}".encode()


DONE = event("[DONE]")


def chunk(content: str | None = None, finish: str | None = None, model: str = "gpt-5.1", **more: Any) -> dict[str, Any]:
    delta = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model,
            "choices": [choice], **more}  # fmt: skip


def usage_chunk(usage: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**chunk(**more), "choices": [], "usage": usage}


OPENAI = Recorded(
    Surface.CHAT,
    "openai",
    [
        event(chunk("", usage=None, service_tier="default")),
        event(chunk("Héllo 😀", usage=None)),
        event(chunk(' "usage": {"prompt_tokens": 1}', usage=None)),  # the model writes what a usage looks like
        event(chunk(None, "stop", usage=None)),
        event(
            usage_chunk(
                {
                    "prompt_tokens": 2006, "completion_tokens": 300, "total_tokens": 2306,
                    "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
                    "completion_tokens_details": {
                        "reasoning_tokens": 192, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
                    },
                }
            )
        ),
        DONE,
    ],
    {"input": 86, "cache_read": 1920, "output": 300, "reasoning": 192},  # 2006 - 1920 = 86
    alone=(4,),
    model="gpt-5.1",
)  # fmt: skip

OPENAI_CRLF = OPENAI._replace(events=[piece.replace(b"\n", b"\r\n") for piece in OPENAI.events])

AZURE = Recorded(
    Surface.CHAT,
    "azure",
    [
        # Azure's first chunk has no choices either, and must reach the client: it holds the content filter's results.
        event({"choices": [], "created": 0, "id": "", "model": "", "object": "",
               "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]}),
        event(chunk("Hi", model="gpt-4o-2024-11-20")),
        event(chunk(None, "stop", model="gpt-4o-2024-11-20")),
        event(usage_chunk({"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}, model="gpt-4o-2024-11-20")),
        DONE,
    ],
    {"input": 9, "output": 2},
    alone=(3,),
    model="gpt-4o-2024-11-20",
)  # fmt: skip

GEMINI = Recorded(
    Surface.CHAT,
    "google",
    [  # usage in every chunk, cumulative; thoughts only in the total
        event(chunk("Hel", model="gemini-2.5-pro",
                    usage={"prompt_tokens": 8, "completion_tokens": 1, "total_tokens": 59})),
        event(chunk("lo", model="gemini-2.5-pro",
                    usage={"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 60})),
        event(chunk("", "stop", model="gemini-2.5-pro",
                    usage={"prompt_tokens": 8, "completion_tokens": 3, "total_tokens": 61})),
        DONE,
    ],
    {"input": 8, "output": 53, "reasoning": 50},  # 61 - 8 - 3 = 50 thoughts; 3 + 50 = 53
    model="gemini-2.5-pro",
)  # fmt: skip

GROQ = Recorded(
    Surface.CHAT,
    "groq",
    [
        event(chunk("", model="llama-3.3-70b-versatile", x_groq={"id": "req_1"})),
        event(chunk("Hi", model="llama-3.3-70b-versatile")),
        event(chunk(None, "stop", model="llama-3.3-70b-versatile",
                    x_groq={"id": "req_1", "usage": {"queue_time": 0.01, "prompt_tokens": 36, "prompt_time": 0.001,
                            "completion_tokens": 2, "total_tokens": 38, "total_time": 0.02}})),
        DONE,
    ],
    {"input": 36, "output": 2},
    model="llama-3.3-70b-versatile",
)  # fmt: skip

_GROQ_USAGE = {"prompt_tokens": 36, "completion_tokens": 2, "total_tokens": 38}
GROQ_ASKED = GROQ._replace(
    events=[
        *GROQ.events[:3],
        event(usage_chunk(_GROQ_USAGE, model="llama-3.3-70b-versatile")),
        DONE,
    ],
    alone=(3,),
)

MISTRAL = Recorded(
    Surface.CHAT,
    "mistral",
    [
        event(chunk("Bon", model="mistral-medium-latest")),
        event(chunk("jour", "stop", model="mistral-medium-latest",
                    usage={"prompt_tokens": 5, "total_tokens": 7, "completion_tokens": 2})),
        DONE,
    ],
    {"input": 5, "output": 2},
    model="mistral-medium-latest",
)  # fmt: skip

DEEPSEEK = Recorded(
    Surface.CHAT,
    "deepseek",
    [
        event({**chunk(model="deepseek-chat"),
               "choices": [{"index": 0, "delta": {"content": None, "reasoning_content": "so"}}]}),
        event(chunk("42", model="deepseek-chat")),
        event(chunk("", "stop", "deepseek-chat", usage={"prompt_tokens": 100, "completion_tokens": 40,
                    "total_tokens": 140,
                    "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36,
                    "completion_tokens_details": {"reasoning_tokens": 30}})),
        DONE,
    ],
    {"input": 36, "cache_read": 64, "output": 40, "reasoning": 30},
    model="deepseek-chat",
)  # fmt: skip

OPENROUTER = Recorded(
    Surface.CHAT,
    "openrouter",
    [
        b": OPENROUTER PROCESSING\n\n",
        b": OPENROUTER PROCESSING\n\n",
        event(chunk("Hi", model="anthropic/claude-sonnet-4.5", provider="Amazon Bedrock")),
        event(chunk(None, "stop", model="anthropic/claude-sonnet-4.5", provider="Amazon Bedrock")),
        event(usage_chunk({"prompt_tokens": 194, "completion_tokens": 2, "total_tokens": 196, "cost": 0.00095,
                           "cost_details": {"upstream_inference_cost": None},
                           "prompt_tokens_details": {"cached_tokens": 100, "audio_tokens": 0}},
                          model="anthropic/claude-sonnet-4.5", provider="Amazon Bedrock")),
        DONE,
    ],
    {"input": 94, "cache_read": 100, "output": 2},
    alone=(4,),
    model="anthropic/claude-sonnet-4.5",
)  # fmt: skip

LLAMACPP = Recorded(
    Surface.CHAT,
    "llamacpp",
    [  # no usage was asked for: the timings of the last chunk say it
        event(chunk("Hi", model="gemma-3-270m")),
        event(chunk(None, "stop", model="gemma-3-270m",
                    timings={"cache_n": 10, "prompt_n": 4, "prompt_ms": 9.5, "predicted_n": 2, "predicted_ms": 3.25})),
        DONE,
    ],
    {"input": 4, "cache_read": 10, "output": 2},
    model="gemma-3-270m",
)  # fmt: skip

VLLM = Recorded(
    Surface.CHAT,
    "vllm",
    [  # continuous_usage_stats: cumulative usage in every chunk, and once more alone
        event(chunk("Hi", model="m", usage={"prompt_tokens": 7, "total_tokens": 8, "completion_tokens": 1})),
        event(chunk(" you", model="m", usage={"prompt_tokens": 7, "total_tokens": 9, "completion_tokens": 2})),
        event(chunk("", "length", model="m", usage={"prompt_tokens": 7, "total_tokens": 9, "completion_tokens": 2})),
        event(usage_chunk({"prompt_tokens": 7, "total_tokens": 9, "completion_tokens": 2,
                           "prompt_tokens_details": None}, model="m")),
        DONE,
    ],
    {"input": 7, "output": 2},
    alone=(3,),
    model="m",
    finish="length",
)  # fmt: skip


def _tool(index: int, **more: Any) -> bytes:
    return event({**chunk(), "choices": [{"index": 0, "delta": {"tool_calls": [{"index": index, **more}]}}]})


TOOLS = Recorded(
    Surface.CHAT,
    "openai",
    [
        _tool(0, id="call_a", type="function", function={"name": "weather", "arguments": ""}),
        _tool(0, function={"arguments": '{"usage": {"x'}),
        _tool(0, function={"arguments": '": 1}}'}),
        _tool(1, id="call_b", type="function", function={"name": "usage", "arguments": "{}"}),
        event(chunk(None, "tool_calls")),
        event(usage_chunk({"prompt_tokens": 50, "completion_tokens": 20, "total_tokens": 70})),
        DONE,
    ],
    {"input": 50, "output": 20},
    alone=(5,),
    model="gpt-5.1",
    finish="tool_calls",
    tool_calls=2,
)

COMPLETIONS = Recorded(
    Surface.COMPLETIONS,
    "openai",
    [
        event({"id": "cmpl-1", "model": "gpt-3.5-turbo-instruct",
               "choices": [{"text": "a", "index": 0}], "usage": None}),
        event({"id": "cmpl-1", "model": "gpt-3.5-turbo-instruct",
               "choices": [{"text": "", "index": 0, "finish_reason": "stop"}], "usage": None}),
        event({"id": "cmpl-1", "model": "gpt-3.5-turbo-instruct", "choices": [],
               "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}}),
        DONE,
    ],
    {"input": 3, "output": 1},
    alone=(2,),
    model="gpt-3.5-turbo-instruct",
)  # fmt: skip


def named(value: dict[str, Any], end: str = "\n") -> bytes:
    return event(value, value["type"], end)


ANTHROPIC_EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "content": [],
     "model": "claude-opus-4-5-20251101", "stop_reason": None,
     "usage": {"input_tokens": 25, "cache_creation_input_tokens": 300, "cache_read_input_tokens": 1024,
               "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
               "output_tokens": 1, "service_tier": "standard"}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0,
     "delta": {"type": "text_delta", "text": 'Héllo {"usage": {"output_tokens": 9}}'}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1,
     "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"usage": 1}'}},
    {"type": "content_block_stop", "index": 1},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None},
     "usage": {"input_tokens": 25, "cache_creation_input_tokens": 300, "cache_read_input_tokens": 1024,
               "output_tokens": 88, "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1}}},
    {"type": "message_stop"},
]  # fmt: skip

ANTHROPIC = Recorded(
    Surface.MESSAGES,
    "anthropic",
    [named(value) for value in ANTHROPIC_EVENTS],
    # disjoint as stated; the delta repeats the prompt and is not added; output is the last statement, not 1 + 88
    {"input": 25, "cache_read": 1024, "cache_write_5m": 100, "cache_write_1h": 200, "output": 88, "web_search": 2},
    model="claude-opus-4-5-20251101",
    finish="tool_use",
    tool_calls=1,
)

ANTHROPIC_CRLF = ANTHROPIC._replace(events=[named(value, "\r\n") for value in ANTHROPIC_EVENTS])

BEDROCK = Recorded(
    Surface.MESSAGES,
    "bedrock",
    [  # no usage of Anthropic's, but Bedrock's own metrics at the end
        named({"type": "message_start", "message": {"id": "msg_b", "model": "claude-haiku-4-5"}}),
        named({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}),
        named({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}),
        named({"type": "message_stop", "amazon-bedrock-invocationMetrics": {
            "inputTokenCount": 13, "outputTokenCount": 178, "cacheReadInputTokenCount": 21408,
            "cacheWriteInputTokenCount": 4384, "invocationLatency": 2714, "firstByteLatency": 300}}),
    ],
    {"input": 13, "cache_read": 21408, "cache_write_5m": 4384, "output": 178},
    model="claude-haiku-4-5",
    finish="end_turn",
)  # fmt: skip

RESPONSE = {
    "id": "resp_1", "object": "response", "status": "completed", "model": "gpt-5.1-2025-11-13", "service_tier": "flex",
    "error": None, "incomplete_details": None,
    # a tool whose schema has a property of that name is echoed with the response
    "tools": [{"type": "function", "name": "f", "parameters": {"properties": {"usage": {"input_tokens": 1}}}}],
    "output": [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}},
        {"type": "web_search_call", "id": "ws_2", "status": "completed", "action": {"type": "open_page", "url": "y"}},
        {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"},
        {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]},
    ],
    "usage": {"input_tokens": 1200, "input_tokens_details": {"cached_tokens": 1024}, "output_tokens": 120,
              "output_tokens_details": {"reasoning_tokens": 64}, "total_tokens": 1320},
}  # fmt: skip

RESPONSES = Recorded(
    Surface.RESPONSES,
    "openai",
    [
        named({"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "usage": None,
               "output": [], "service_tier": "auto"}}),
        named({"type": "response.output_item.added", "item": {"type": "message", "content": []}}),
        named({"type": "response.output_text.delta", "item_id": "msg_1", "delta": '"usage": {"input_tokens": 7}'}),
        named({"type": "response.output_text.done", "text": "Hi"}),
        named({"type": "response.completed", "response": RESPONSE}),
    ],
    {"input": 176, "cache_read": 1024, "output": 120, "reasoning": 64, "web_search": 1},  # 1200 - 1024 = 176
    model="gpt-5.1-2025-11-13",
    finish="completed",
    tool_calls=1,
)  # fmt: skip

ALL = {name.lower(): value for name, value in globals().copy().items() if isinstance(value, Recorded)}

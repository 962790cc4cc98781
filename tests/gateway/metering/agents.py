"""Requests as agents' clients send them, and others much like them; and how they are read without any short cut."""

import json
from typing import Any
from unittest.mock import patch

from hypothesis import strategies as st

from farthing.gateway.metering import Asked, Surface, read_request, request
from tests.gateway.metering.broken import BETWEEN, VALUES


class _Forgetful:
    def ask(self, body: bytes) -> None:
        """Nothing is known of any request."""


def as_a_whole(surface: Surface, body: bytes) -> Asked:
    """What `body` asks for, all of it decoded."""
    with patch.object(request, "_remembered", {surface: _Forgetful()}):
        return read_request(surface, body)


def schema(number: int) -> dict[str, Any]:
    """A tool's parameters, with members called as those that are looked for elsewhere."""
    return {
        "type": "object", "additionalProperties": False, "$schema": "http://json-schema.org/draft-07/schema#",
        "properties": {
            "path": {"type": "string", "description": f"The \"path\" of file {number}:\n- absolute"},
            "type": {"type": "string", "enum": ["image", "input_image", "document"]},
            "content": {"anyOf": [{"type": "array", "items": {"type": "image"}}, {"type": "null"}]},
            "model": {"type": "integer", "minimum": 0, "default": 2.5e3},
        },
        "required": ["path"],
    }  # fmt: skip


def claude_code(turns: int = 2) -> dict[str, Any]:
    """Anthropic's messages: tools without a type, a system prompt in blocks, a session in the user's id."""
    cached = {"type": "ephemeral"}
    messages: list[Any] = [{"role": "user", "content": [
        {"type": "text", "text": "<system-reminder>\nThe \"type\": \"image\" is not.\n</system-reminder>"},
        {"type": "text", "text": "Fix the bill \u2013 please", "cache_control": cached},
    ]}]  # fmt: skip
    for turn in range(turns):
        use = {"type": "tool_use", "id": f"toolu_{turn}", "name": "Read", "input": {"type": "image", "content": [5]}}
        result = {"tool_use_id": f"toolu_{turn}", "type": "tool_result", "content": "     1\u2192import json\n"}
        inner = {"tool_use_id": f"toolu_{turn}", "type": "tool_result", "content": [{"type": "text", "text": "done"}]}
        messages += [
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Let me look.", "signature": "Eo8=" * 50},
                {"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "I read it."}, use,
            ]},
            {"role": "user", "content": [result if turn % 2 else inner, {"type": "text", "text": "and on"}]},
        ]  # fmt: skip
    return {
        "model": "claude-sonnet-4-5-20250929", "messages": messages,
        "system": [{"type": "text", "text": "You are an agent. " * 40, "cache_control": cached}] * 2,
        "tools": [
            {"name": f"Tool{n}", "description": f"Does {n}.\n" * 20, "input_schema": schema(n)} for n in range(14)
        ],
        "metadata": {"user_id": "user_0f_account_1_session_2"}, "max_tokens": 32000, "temperature": 1,
        "thinking": {"type": "enabled", "budget_tokens": 10000}, "stream": True,
    }  # fmt: skip


def codex(turns: int = 2) -> dict[str, Any]:
    """OpenAI's responses: items of many types, functions and a tool of a grammar."""
    items: list[Any] = [
        {"type": "message", "role": role, "content": [{"type": "input_text", "text": "<environment>\n" * 9}]}
        for role in ("developer", "user")
    ]
    for turn in range(turns):
        items += [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "**Look**"}], "content": None,
             "encrypted_content": "gAAAA" * 60},
            {"type": "function_call", "name": "shell", "arguments": '{"command":["ls"],"type":"input_image"}',
             "call_id": f"call_{turn}"},
            {"type": "function_call_output", "call_id": f"call_{turn}", "output": '{"output":"a\\n"}'},
            {"type": "custom_tool_call", "name": "apply_patch", "input": "*** Begin", "call_id": "c"},
            {"type": "custom_tool_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "ok"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Done."}]},
        ]  # fmt: skip
    functions = [
        {"type": "function", "name": f"f{n}", "description": "d", "strict": False, "parameters": schema(n)}
        for n in range(9)
    ]
    patching = {"type": "custom", "name": "apply_patch", "format": {"type": "grammar", "syntax": "lark"}}
    return {
        "model": "gpt-5-codex", "instructions": "You are a coding agent. " * 60, "input": items,
        "tools": [*functions, patching], "tool_choice": "auto", "parallel_tool_calls": False,
        "reasoning": {"effort": "medium", "summary": "auto"}, "store": False, "stream": True,
        "include": ["reasoning.encrypted_content"], "prompt_cache_key": "0199-abcd",
    }  # fmt: skip


def langgraph(turns: int = 2) -> dict[str, Any]:
    """OpenAI's chat completions: calls of functions beside a content that is null, and what they gave."""
    messages: list[Any] = [
        {"content": "You are helpful.", "role": "system"},
        {"role": "user", "content": [{"type": "text", "text": "Which bill?"}]},
    ]
    for turn in range(turns):
        call = {"id": f"call_{turn}", "type": "function", "function": {"name": "f", "arguments": '{"type":"file"}'}}
        messages += [
            {"content": None, "role": "assistant", "tool_calls": [call, call]},
            {"content": "17.5", "role": "tool", "tool_call_id": f"call_{turn}"},
            {"content": [{"type": "text", "text": "[]"}], "role": "tool", "tool_call_id": f"call_{turn}"},
            {"content": [{"type": "refusal", "refusal": "no"}], "role": "assistant"},
        ]
    named = [{"name": f"f{n}", "description": "d" * 90, "parameters": schema(n)} for n in range(20)]
    return {
        "messages": messages, "model": "gpt-5-mini", "stream": True, "stream_options": {"include_usage": True},
        "temperature": 0.0, "tools": [{"type": "function", "function": one} for one in named],
    }  # fmt: skip


AGENTS = {Surface.MESSAGES: claude_code, Surface.RESPONSES: codex, Surface.CHAT: langgraph}

TYPES = st.sampled_from([
    "text", "text", "tool_use", "tool_result", "function", "input_text", "thinking", "message", "function_call_output",
    "image", "image_url", "input_image", "computer_screenshot", "input_audio", "audio_url", "file", "input_file",
    "document", "video", "item_reference", "web_search_20250305", "mcp", " mcp", "openrouter:x", "Web_search", "custom",
    "", "mc", "mcq", "\x7fmcp", "\tmcp", "t\u00e9xt", "\ud83d", "imag\u00e9", None, 5, 1.5, ["image"], {"a": "image"},
])  # fmt: skip
SOURCES = st.sampled_from([
    None, {"type": "text", "data": "x"}, {"type": "base64", "data": "AAAA"}, "data:image/png;base64,AAAA", 5,
])  # fmt: skip


def parts(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Messages, items and parts, with `inner` where more of them may stand."""
    return st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES, "role": st.just("user"), "content": inner, "output": inner, "text": st.text(max_size=9),
            "source": SOURCES, "image_url": SOURCES, "input_audio": SOURCES, "input": VALUES, "id": VALUES,
        },
    )  # fmt: skip


LEAVES = st.one_of(
    st.text(max_size=9), st.sampled_from(["hi", "x" * 90, "\ud83d", "\U0001f600", "\u20ac", None, 5, 1.5])
)
CONTENTS: st.SearchStrategy[Any] = st.recursive(
    LEAVES, lambda inner: st.one_of(parts(inner), st.lists(st.one_of(parts(inner), inner), max_size=3)), max_leaves=8
)
PROMPTS = st.one_of(st.lists(parts(CONTENTS), max_size=4), st.lists(parts(CONTENTS), max_size=4), CONTENTS, VALUES)
TOOL = st.fixed_dictionaries(
    {},
    optional={"type": TYPES, "name": LEAVES, "function": VALUES, "parameters": st.just(schema(1)), "content": VALUES},
)
TOOLS = st.one_of(st.lists(TOOL, max_size=4), st.lists(TOOL, max_size=4), VALUES)
SETTINGS = st.fixed_dictionaries(
    {"model": st.just("m")},
    optional={
        "max_tokens": st.sampled_from([None, 5, 0]), "max_output_tokens": st.just(7), "stream": st.booleans(),
        "n": st.just(2), "best_of": st.just(3), "service_tier": st.just("flex"), "speed": st.just("fast"),
        "user": st.sampled_from(["u", "\u20ac"]), "metadata": st.sampled_from([{"user_id": "u-1"}, {"a": "\u00e9"}, 7]),
        "stream_options": st.just({"include_usage": True}), "background": st.booleans(), "temperature": st.just(0.5),
        "response_format": st.just({"type": "json_schema", "json_schema": schema(3)}),
        "instructions": LEAVES, "system": CONTENTS,
    },
)  # fmt: skip
RARE = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from([" m", "", None, "\u00e9", "\ud83d\ude00"]), "n": st.just(0), "Model": st.just("x"),
        "max_tokens": st.sampled_from([-1, 2.5]), "user": st.sampled_from(["\ud83d", "\U0001f600"]), "odd": VALUES,
        "metadata": st.sampled_from([{"a": "\U0001f600"}, {"model": 5}]), "fallbacks": st.sampled_from([["b"], [5]]),
        "previous_response_id": st.sampled_from([None, "r"]), "conversation": st.sampled_from([None, {"id": "c"}]),
        "web_search_options": st.just({}), "mcp_servers": st.sampled_from([[], [{"type": "url"}]]),
    },
)  # fmt: skip


@st.composite
def spelled(draw: st.DrawFn, members: list[tuple[str, Any]]) -> bytes:
    """A JSON object of `members`, whose names are written out by a hand that errs and escapes now and then."""
    between, ascii_only = draw(BETWEEN), draw(st.booleans())
    rare = draw(st.integers(0, 50))
    text = ""
    for name, value in members:
        told = json.dumps(value, separators=between, ensure_ascii=ascii_only)
        told = {
            1: told.replace('"type"', '"t\\u0079pe"', 1), 2: told.replace('"content"', '"c\\u006fntent"', 1),
            3: told.replace('"type"', '"type":"text","type"', 1), 4: told.replace('"type"', '"type":"image","type"', 1),
            5: told.replace('"content"', '"content":[],"content"', 1), 6: told.replace('"image', '"im\\u0061ge', 1),
            7: told.replace('"content"', '"content":5,"content"', 1), 8: told.replace('"type"', '"type":5,"type"'),
            9: told.replace(":", ":" + "[" * 70 + "]" * 70 + ',"content":', 1), 10: told.replace("}", ',"type":"mcp"}'),
        }.get(rare, told)  # fmt: skip
        name = {11: name.replace("o", "\\u006f"), 12: name.capitalize(), 13: name + "\u00e9"}.get(rare, name)
        text += ("," if text else "") + f'"{name}"{between[1]}{told}'
    return ("{" + text + "}").encode("utf-8", "surrogatepass")


@st.composite
def agents_requests(draw: st.DrawFn) -> list[bytes]:
    """A few requests that ask for the same with other prompts, some with a field twice."""
    beside = draw(SETTINGS)
    if draw(st.integers(0, 3)) == 0:
        beside |= draw(RARE)
    tools = draw(st.lists(TOOLS, max_size=2))
    order = draw(st.permutations(["messages", "input", "prompt", "tools", *beside]))
    if draw(st.integers(0, 9)) == 0:
        order += order[: draw(st.integers(1, 2))]
    bodies = []
    for _ in range(draw(st.integers(1, 3))):
        found = dict(beside)
        for name in ("messages", "input", "prompt"):
            if draw(st.integers(0, 2)):
                found[name] = draw(PROMPTS)
        if tools:
            found["tools"] = draw(st.sampled_from(tools))
        bodies.append(draw(spelled([(name, found[name]) for name in order if name in found])))
    return bodies

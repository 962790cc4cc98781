"""A request as the upstream reads it, and the counts of its answer: the same for the same bytes."""

import json
from typing import Any, NamedTuple

from tests.gateway.faulty.orders import Orders

Json = dict[str, Any]
WIDE = "žluťoučký🦊"


class Counts(NamedTuple):
    """Tokens, disjoint: `input` is what was neither read from nor written to a cache."""

    input: int
    cached: int
    written_5m: int
    written_1h: int
    output: int
    reasoning: int

    @property
    def prompt(self) -> int:
        return self.input + self.cached + self.written_5m + self.written_1h


class Asked(NamedTuple):
    """A parsed request."""

    path: str
    model: str
    stream: bool
    body: Json
    orders: Orders
    counts: Counts
    words: list[str]

    @property
    def served(self) -> str:
        return self.orders.model or self.model

    @property
    def anthropic(self) -> bool:
        return self.path.startswith("/v1/messages")

    @property
    def tool(self) -> str:
        """The tool to call, "" for none: when ordered or forced, and its result is not there yet."""
        tools = self.body.get("tools") or []
        choice = self.body.get("tool_choice")
        kind = choice.get("type") if isinstance(choice, dict) else choice
        forced = kind in ("any", "tool", "required", "function")
        answered = '"tool_result"' in json.dumps(self.body) or '"role": "tool"' in json.dumps(self.body)
        if not tools or kind == "none" or answered or not (forced or self.orders.tool):
            return ""
        first = tools[0]
        return str(first.get("name") or (first.get("function") or {}).get("name") or "")


def read_asked(path: str, body: Json, orders: Orders) -> Asked:
    limits = [body.get(name) for name in ("max_tokens", "max_completion_tokens", "max_output_tokens")]
    most = min((limit for limit in limits if isinstance(limit, int)), default=orders.words)
    output = min(orders.words, most)
    prompt = orders.prompt if orders.prompt is not None else max(1, sum(len(text.split()) for text in texts(body)))
    counts = Counts(
        prompt, orders.cached, orders.written_5m, orders.written_1h, output + orders.reasoning, orders.reasoning
    )
    word = WIDE if orders.text == "wide" else "word"
    said = [f"{word}{n} " for n in range(output)]
    return Asked(path, str(body.get("model", "")), body.get("stream") is True, body, orders, counts, said)


def texts(value: Any) -> list[str]:
    """All texts of the request's conversation and inputs."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    if isinstance(value, dict):
        wanted = ("messages", "input", "system", "content", "text", "instructions", "prompt", "tools")
        return [text for name in wanted if name in value for text in texts(value[name])]
    return []


def text_of(asked: Asked) -> str:
    if (asked.body.get("response_format") or {}).get("type") in ("json_schema", "json_object"):
        return json.dumps({"answer": "".join(asked.words).strip()})
    return "".join(asked.words)


def cut(asked: Asked) -> bool:
    """Whether the request's limit ended the answer."""
    return asked.counts.output - asked.counts.reasoning < asked.orders.words


ARGUMENTS = '{"city": "Brno", "days": 2}'

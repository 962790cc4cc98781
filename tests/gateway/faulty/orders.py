"""What a request tells the upstream to do: `[[words=20 fault=die at=3]]` anywhere in its body."""

import re
from typing import Any

import msgspec

_BRACKETS = re.compile(rb"\[\[([^\]\\]*)\]\]")


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """Counts are tokens; a word of the answer is a token.

    words: how long the answer is. prompt: the input tokens it states (default: the words of the body's texts).
    cached, written_5m, written_1h: cache reads and writes; reasoning: of the output. Model and tier *served*; `cost`:
    what the answer says it cost (OpenRouter's `usage.cost`). first_ms: before headers; gap_ms: between events.
    tool: answer by a call of the request's first tool. text: ascii, wide (every word beyond ASCII).
    fault, at (after how many events or bytes), how (rst, fin), status, retry_after (as the header says it),
    type (of the error), size (bytes), to (a redirect's target).
    """

    words: int = 5
    prompt: int | None = None
    cached: int = 0
    written_5m: int = 0
    written_1h: int = 0
    reasoning: int = 0
    model: str = ""
    tier: str = ""
    cost: str = ""
    first_ms: float = 0
    gap_ms: float = 0
    tool: bool = False
    text: str = "ascii"
    fault: str = ""
    at: int = 2
    how: str = "fin"
    status: int = 0
    retry_after: str = ""
    type: str = ""
    size: int = 0
    to: str = ""


def read_orders(body: bytes, model: str = "") -> Orders:
    """The orders in `body`, later ones over earlier ones; a model named `fault-NAME` orders that fault."""
    given: dict[str, Any] = {}
    if model.startswith("fault-"):
        given["fault"] = model.removeprefix("fault-")
    for match in _BRACKETS.finditer(body):
        given |= words_of(match.group(1).decode("utf-8", "replace"))
    return make(given)


def words_of(text: str) -> dict[str, str]:
    """`a=1 b c=x` as a mapping; a word without a value is `true`."""
    return {word.partition("=")[0]: word.partition("=")[2] or "true" for word in text.split() if word.strip(".")}


def make(given: dict[str, Any]) -> Orders:
    return msgspec.convert(given, Orders, strict=False)

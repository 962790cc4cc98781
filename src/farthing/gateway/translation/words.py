"""The vocabulary of translation: what is refused, what is noted, what an upstream understands, what an answer needs."""

import hashlib
import re
from typing import Any, Literal

import msgspec

from farthing.problems import FarthingError

Json = dict[str, Any]
"""A decoded JSON object; its values are whatever JSON can say."""

Protocol = Literal["openai", "anthropic"]

DEFAULT_MAX_TOKENS = 16_384
"""Sent where Anthropic needs `max_tokens` and the OpenAI client gave none. Our choice (assumed): a long answer with
room for reasoning, well within the output limits of the current Claude models (64,000 and more, vendor-stated)."""

EFFORT_SHARE = {"minimal": 0.1, "low": 0.2, "medium": 0.5, "high": 0.8, "xhigh": 0.95, "max": 0.95}
"""Thinking budget as a share of max_tokens by reasoning effort: OpenRouter's documented conversion
(openrouter.ai/docs, "Reasoning Tokens"; vendor-stated). "max" is ours: the share of "xhigh"."""

LEAST_THINKING_BUDGET = 1024
"""Anthropic refuses a smaller `thinking.budget_tokens` (vendor-stated, Messages API reference)."""

OPENAI_LONGEST_ID = 40  # tool call ids; the API's own error states it
OPENAI_LONGEST_NAME = 64  # tool names: ^[a-zA-Z0-9_-]{1,64}$
OPENAI_LONGEST_USER = 64  # `user`, `safety_identifier`
JSON_TOOL = "json_response"
"""The tool that stands for `response_format: json_object`, which Anthropic has not: its input is the answer."""

_ID_ANTHROPIC_TAKES = re.compile(r"[a-zA-Z0-9_-]+")


class Refused(FarthingError):
    """A request that cannot be carried to the other protocol: the field, why, and what would work."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class BadAnswer(Refused):
    """An upstream's answer that is none: not JSON, or without content. The upstream's fault, not the client's."""


class Note(msgspec.Struct, frozen=True):
    """Something harmless that was left out, moved or approximated: which field, and what became of it."""

    field: str
    what: str

    def __str__(self) -> str:
        return f"{self.field}: {self.what}"


class AnthropicTarget(msgspec.Struct, frozen=True, kw_only=True):
    """What an Anthropic-compatible upstream understands; the gateway's configuration may change any of it."""

    model: str | None = None
    """The name sent as `model`; None sends the client's."""
    default_max_tokens: int = DEFAULT_MAX_TOKENS
    thinking: Literal["adaptive", "budget"] = "adaptive"
    """How `reasoning_effort` is said: adaptive thinking with an effort, or `enabled` with a budget (older models)."""
    structured: Literal["format", "tool"] = "format"
    """How a JSON schema is said: `output_config.format`, or a forced tool (upstreams that lack the former)."""
    system_messages: bool = False
    """Whether system messages may stand inside the conversation; if not, they are moved to `system`, with a note."""


class OpenAITarget(msgspec.Struct, frozen=True, kw_only=True):
    """What an OpenAI-compatible upstream understands; the gateway's configuration may change any of it."""

    model: str | None = None
    """The name sent as `model`; None sends the client's."""
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    reasoning_effort: bool = True
    """Whether it takes `reasoning_effort`; if not, thinking is left out with a note."""
    reasoning_content: bool = False
    """Whether assistant messages may carry `reasoning_content` back (DeepSeek, vLLM); if not, left out with a note."""
    top_k: bool = False
    """Whether it takes `top_k` (vLLM, SGLang, llama.cpp do, OpenAI does not); if not, a request with one is refused."""
    cache_breakpoints: bool = False
    """Whether it takes `prompt_cache_breakpoint` (OpenAI from gpt-5.6); if not, `cache_control` is left out."""
    most_stops: int | None = 4
    """The most `stop` strings; None for no limit."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What the translation of a request leaves for the translation of its answer."""

    stream: bool = False
    include_usage: bool = False
    """OpenAI clients: whether they asked for the usage chunk."""
    json_tool: str | None = None
    """The forced tool whose input is the answer's text."""
    tool_names: dict[str, str] = {}
    """Tool names as sent upstream, to the client's own, where they differ."""
    fallback_id: str = "msg_farthing"
    """The answer's id where the upstream gives none; the gateway passes its request id."""


class Translated(msgspec.Struct, frozen=True, kw_only=True):
    """A request in the other protocol, what was noted on the way, and what its answer will need."""

    body: bytes
    notes: tuple[Note, ...]
    reply: Reply


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A response body in the client's protocol, and what was noted on the way."""

    body: bytes
    notes: tuple[Note, ...]


def decode_object(body: bytes, place: str, error: type[Refused] = Refused) -> Json:
    """The JSON object in `body`. Raises `error` where it is none, naming `place`."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise error(place, f"is not JSON ({fault})") from None
    except RecursionError:
        raise error(place, "is nested too deeply") from None
    if not isinstance(value, dict):
        raise error(place, "must be a JSON object")
    return value


def encode(value: object) -> bytes:
    """`value` as JSON."""
    return msgspec.json.encode(value)


def anthropic_id(call_id: str) -> str:
    """A tool call id that Anthropic takes (`^[a-zA-Z0-9_-]+$`): as it is, or the same other one each time.

    Both sides of a pair (call and result) go through here, so they still meet; the hash keeps "a.b" and "a:b" apart.
    """
    if _ID_ANTHROPIC_TAKES.fullmatch(call_id):
        return call_id
    return re.sub(r"[^a-zA-Z0-9_-]", "_", call_id)[:40] + "_" + short_hash(call_id)


def openai_id(call_id: str) -> str:
    """A tool call id that OpenAI takes (40 characters at most): as it is, or the same shorter one each time."""
    return shortened(call_id, OPENAI_LONGEST_ID)


def shortened(name: str, longest: int) -> str:
    """`name`, or where it is longer than `longest` its start and a hash, the same each time."""
    return name if len(name) <= longest else name[: longest - 13] + "_" + short_hash(name)


def short_hash(text: str) -> str:
    """Twelve hexadecimal digits that stand for `text`."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def whole_hash(text: str) -> str:
    """The 64 hexadecimal digits of SHA-256 of `text`."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def text_in(value: object) -> str:
    """`value` where it is text, else the empty text: for answers, whose odd types are the upstream's fault."""
    return value if isinstance(value, str) else ""


def object_in(value: object) -> Json:
    """`value` where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def objects_in(value: object) -> list[Json]:
    """The objects of `value` where it is a list, else none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def count_in(value: object) -> int | None:
    """`value` where it is a whole number of at least 0, else None."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    return value

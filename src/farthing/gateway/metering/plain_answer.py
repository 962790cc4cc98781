"""Whole answers as nearly all of them are: a common usage, and nothing rare beside it.

One typed decoding checks all of it; what does not fit is for `response` to read. Where it fits both say the same (a
property test).
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from farthing.gateway.metering.answer import COST_HEADER, REGION_HEADER, TIER_HEADER
from farthing.gateway.metering.decoding import FAULTS
from farthing.gateway.metering.provider_usage import tier_and_region
from farthing.gateway.metering.surfaces import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, Surface
from farthing.gateway.metering.values import Served
from farthing.gateway.metering.words import LONGEST, word
from farthing.usage.readers.common_usage import ChatUsage, MessagesUsage, anthropic_meters, openai_meters

LONG = 1 << 17
"""An answer of so many bytes may be too crowded to be decoded."""
RARE_HEADERS = frozenset({COST_HEADER, TIER_HEADER, REGION_HEADER, "content-encoding"})
"""Headers of an answer that say something of what was served, or how to read it."""


class Kind(msgspec.Struct, gc=False):
    type: Any = None


class Spoken(msgspec.Struct, gc=False):
    tool_calls: list[Kind] | None = None
    function_call: Kind | None = None


class Choice(msgspec.Struct, gc=False):
    finish_reason: Any = None
    message: Spoken | None = None
    error: Any = None


class _Choice(Choice, gc=False):
    finish_reason: str | None = None
    error: None = None


class _Chat(msgspec.Struct, gc=False, kw_only=True):
    id: str = ""
    model: str = ""
    choices: list[_Choice] | None = None
    usage: ChatUsage
    service_tier: str | None = None
    provider: None = None
    error: None = None


class _Message(msgspec.Struct, gc=False, kw_only=True):
    id: str = ""
    model: str = ""
    content: list[Kind] | None = None
    stop_reason: str | None = None
    usage: MessagesUsage
    error: None = None


_are_words = re.compile(rf"[!-~]{{0,{LONGEST}}}").fullmatch  # each of some texts that are joined is as `word` makes it
_chat = msgspec.json.Decoder(_Chat).decode
_message = msgspec.json.Decoder(_Message).decode


def plain_answer(surface: Surface, body: bytes) -> Served | None:
    """What the answer `body` says was served; None where another look must be taken."""
    if len(body) >= LONG:
        return None
    try:
        if surface is CHAT or surface is COMPLETIONS or surface is EMBEDDINGS:
            chat = _chat(body)
        else:
            return _of_message(_message(body)) if surface is MESSAGES else None
    except FAULTS:
        return None
    tokens = openai_meters(chat.usage)
    if not tokens:
        return None  # no request consumes nothing
    finish, calls = finish_and_calls(chat.choices) if chat.choices else ("", 0)
    id, model, tier = chat.id, chat.model, chat.service_tier or ""
    if not _are_words(f"{id}{model}{tier}{finish}"):
        id, model, tier, finish = word(id), word(model), word(tier), word(finish)
    return Served(tokens, id, model, tier, finish, calls)


def _of_message(message: _Message) -> Served | None:
    usage = message.usage
    tokens = anthropic_meters(usage)
    if not tokens:
        return None
    id, model, finish = message.id, message.model, message.stop_reason or ""
    tier, region = _tier_and_region(usage.service_tier, usage.inference_geo, usage.speed)
    if not _are_words(f"{id}{model}{tier}{finish}"):
        id, model, tier, finish = word(id), word(model), word(tier), word(finish)
    return Served(tokens, id, model, tier, finish, tool_uses(message.content), region)


def finish_and_calls(choices: Sequence[Choice]) -> tuple[Any, int]:
    """The reason why the last choice ended that says one, and the tool calls of all."""
    finish, calls = "", 0
    for choice in choices:
        finish = choice.finish_reason or finish
        message = choice.message
        if message is not None:
            if message.tool_calls:
                calls += len(message.tool_calls)
            if message.function_call is not None:
                calls += 1
    return finish, calls


def tool_uses(content: list[Kind] | None) -> int:
    """The tool calls among the blocks of a message."""
    return [block.type for block in content].count("tool_use") if content else 0


@lru_cache(maxsize=256)
def _tier_and_region(service_tier: Any, inference_geo: Any, speed: Any) -> tuple[str, str]:
    """`tier_and_region` of what a usage object states of them: a few values, which always come again."""
    stated = {"service_tier": service_tier, "inference_geo": inference_geo, "speed": speed}
    return tier_and_region(MESSAGES, stated)

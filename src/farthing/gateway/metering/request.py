"""Reading a request: the few fields that metering and enforcement need, strictly, without changing a byte."""

import re
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Annotated, Any

import msgspec

from farthing.gateway.metering.decoding import FAULTS, MOST_OBJECTS, SMALL, crowded, without_surrogates
from farthing.gateway.metering.members import LONG, before, doubled, members, names_of
from farthing.gateway.metering.outlines import Outline, Outlines
from farthing.gateway.metering.plain_requests import Remembered
from farthing.gateway.metering.prompt_size import (
    BUILT_IN,
    NO_MEDIA,
    NOT_TEXT,
    Media,
    bytes_per_token,
    find_media,
    prompt_size,
)
from farthing.gateway.metering.request_faults import reason
from farthing.gateway.metering.surfaces import CHAT, COMPLETIONS, COUNT_TOKENS, EMBEDDINGS, RESPONSES, Surface
from farthing.gateway.metering.tools_asked import Tools, tools_in
from farthing.gateway.metering.values import Asked
from farthing.gateway.metering.words import LONGEST, word
from farthing.usage.record import LARGEST_COUNT

_MOST_LABELS = 64
_MOST_OTHERS = 32
_MOST_VALUE = 1 << 16
"""A field beside the prompt that is longer is not read: as Python's objects it would take a hundred times as much."""
_SHORT = 512
"""What is left of a body is quicker searched as a whole than cut further where it has fewer bytes."""
_STORED_PROMPT = "a stored prompt"
_LIST = ord("[")
_PROMPTS = b'["'
_ESCAPED = b"\\u"

_Limit = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_COUNT)] | None
_Number = Annotated[int, msgspec.Meta(ge=1, le=LARGEST_COUNT)] | None


class _Body(msgspec.Struct, gc=False):
    """The fields of every surface in one; what only one of them knows is absent in the others."""

    model: str | None = None
    messages: msgspec.Raw = msgspec.Raw()
    stream: bool | None = None
    max_tokens: _Limit = None
    max_completion_tokens: _Limit = None
    max_output_tokens: _Limit = None
    n: _Number = None
    best_of: _Number = None
    background: msgspec.Raw = msgspec.Raw()
    service_tier: msgspec.Raw = msgspec.Raw()
    speed: msgspec.Raw = msgspec.Raw()
    user: msgspec.Raw = msgspec.Raw()
    safety_identifier: msgspec.Raw = msgspec.Raw()
    session_id: msgspec.Raw = msgspec.Raw()
    metadata: msgspec.Raw = msgspec.Raw()
    stream_options: msgspec.Raw = msgspec.Raw()
    previous_response_id: msgspec.Raw = msgspec.Raw()
    conversation: msgspec.Raw = msgspec.Raw()
    web_search_options: msgspec.Raw = msgspec.Raw()
    plugins: msgspec.Raw = msgspec.Raw()
    mcp_servers: msgspec.Raw = msgspec.Raw()
    models: msgspec.Raw = msgspec.Raw()
    fallbacks: msgspec.Raw = msgspec.Raw()
    preset: msgspec.Raw = msgspec.Raw()
    input: msgspec.Raw = msgspec.Raw()
    prompt: msgspec.Raw = msgspec.Raw()
    system: msgspec.Raw = msgspec.Raw()
    instructions: msgspec.Raw = msgspec.Raw()
    tools: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Body).decode
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_type = msgspec.json.Decoder(Any).decode
_ONCE = frozenset(_Body.__struct_fields__)
_ONCE_BYTES = frozenset(name.encode() for name in _ONCE)
_LONG_ONES: tuple[tuple[Callable[[_Body], msgspec.Raw], Callable[[bytes], re.Match[bytes] | None]], ...] = tuple(
    (attrgetter(name), before(name)) for name in ("messages", "input", "prompt", "system", "instructions", "tools")
)
"""The fields that can be long, and what finds the first place where one begins."""
_MOST_MODELS = _MOST_REMEMBERED = 1024
_LONGEST_OUTLINE = 1 << 14
_MOST_OUTLINES_BYTES = 1 << 20
_models = dict[str | None, str]()
_remembered = dict[Surface, Remembered]()
"""By surface, what bodies asked whose prompt is all text, by what stands around it."""


def read_request(surface: Surface, body: bytes) -> Asked:
    """What `body`, a request to `surface`, asks for. Never raises: what is wrong stands in `problem`.

    A field that is stated twice is refused: the upstream's parser may take the other one, and then a key would pay
    for (or be allowed) one model and get another.
    """
    remembered = _remembered.get(surface) or _none_yet(surface)
    known = remembered.ask(body)
    if type(known) is Asked:
        return known
    try:
        if type(known) is Outline and (asked := _by_outline(surface, known)) is not None:
            remembered.keep(known, asked)
            return asked
        return _as_a_whole(surface, body)
    except _Problem as wrong:
        return Asked(problem=str(wrong))


class _Problem(Exception):
    pass


def _none_yet(surface: Surface) -> Remembered:
    holds_parts, any_value = ["messages", "prompt"], ["system", "instructions"]
    if surface is RESPONSES:  # whose `prompt` is a stored one
        holds_parts = ["input"]
    elif surface is EMBEDDINGS:
        any_value.append("input")
    least, likely = bytes_per_token()
    found = _remembered[surface] = Remembered(
        Outlines(parts=holds_parts, others=any_value, not_text=NOT_TEXT, built_in=BUILT_IN),
        most=_MOST_REMEMBERED, longest=_LONGEST_OUTLINE, most_bytes=_MOST_OUTLINES_BYTES, least=least, likely=likely,
    )  # fmt: skip
    return found


def _by_outline(surface: Surface, outline: Outline) -> Asked | None:
    """What is asked by a request of this outline; None where something is wrong, which is told of the whole body."""
    try:
        found = _decode(outline.text)
    except FAULTS:
        return None
    model = _surely(found, outline.text, outline.text)
    return _asked(surface, found, model, outline.size, NO_MEDIA, Tools(outline.tools, outline.built_in))


def _as_a_whole(surface: Surface, body: bytes) -> Asked:
    """What is asked by any request."""
    if len(body) >= SMALL or not body.isascii():
        _check(body)
    try:
        found = _decode(body)
    except FAULTS as fault:
        found = _forgiving(body, fault)
    model = _surely(found, _outside(found, body) if len(body) >= _SHORT else body, body)
    media = find_media(bytes(found.input if surface is RESPONSES else found.messages))
    return _asked(surface, found, model, len(body), media, tools_in(found.tools))


def _surely(found: _Body, outside: bytes, body: bytes) -> str:
    """The model that `body` names, `outside` being what is left of it without its long values. Raises `_Problem` where
    none is named, or upstreams may read a field in two ways."""
    model = _models.get(found.model) or _checked(found.model)
    if _ESCAPED in outside or doubled(names_of(outside), _ONCE_BYTES):
        _refuse_doubles(found, body)
    return model


def _check(body: bytes) -> None:
    """Refuse what the decoder would take although upstreams do not, or at a great cost."""
    if not body.isascii():
        try:
            body.decode("utf-8")
        except UnicodeDecodeError as fault:
            raise _Problem(f"the body is not UTF-8 (byte {fault.start}): send JSON in UTF-8") from None
    if crowded(body):
        raise _Problem(f"the body holds more than {MOST_OBJECTS:,} objects, lists or members: send fewer")


def _forgiving(body: bytes, wrong: Exception) -> _Body:
    """The fields of a body that the decoder did not take; a `_Problem` where upstreams will not take it either."""
    if isinstance(wrong, msgspec.DecodeError) and not isinstance(wrong, msgspec.ValidationError):
        try:  # half a surrogate pair is JSON all the same, and some clients send it
            return _decode(without_surrogates(body))
        except FAULTS as fault:
            wrong = fault
    raise _Problem(reason(body, wrong))


def _checked(model: str | None) -> str:
    """A model's name that nothing is wrong with, which is remembered: few come again and again."""
    name = model.strip() if model else ""
    if not model or not name:
        raise _Problem("model is missing: name one, as text")
    if word(model) != name:
        raise _Problem("model is too long or holds control characters: name one, as text")
    if len(_models) >= _MOST_MODELS:
        _models.clear()
    if len(model) <= LONGEST:
        _models[model] = model
    return model


def _outside(found: _Body, body: bytes) -> bytes:
    """`body` without its long values, cut out until what is left is short."""
    for value_of, name_in in _LONG_ONES:
        value = value_of(found)
        if len(value) > LONG and (name := name_in(body)) is not None and body.startswith(value, start := name.end()):
            body = body[:start] + body[start + len(value) :]
            if len(body) < _SHORT:
                break
    return body


def _refuse_doubles(found: _Body, body: bytes) -> None:
    """Refuse a field that upstreams may read in two ways: it is stated twice, or in capitals, which some parsers (Go's)
    take for the same."""
    seen = set[str]()
    for member in members(body, known=[bytes(value_of(found)) for value_of, _ in _LONG_ONES]):
        if member.name in _ONCE:
            if member.name in seen:
                raise _Problem(f"{member.name} is stated twice: state it once")
        elif (plain := member.name.casefold()) in _ONCE:
            raise _Problem(f"a field is called {plain} but for its capitals: write {plain}")
        seen.add(member.name)


def _asked(surface: Surface, found: _Body, model: str, size_bytes: int, media: Media, tools: Tools) -> Asked:
    """What is asked. (Of most requests most fields are absent: none of those is looked into.)"""
    size = prompt_size(surface, size_bytes, media, tools=tools.number, unbounded=_beyond(surface, found, tools))
    options = _value(found.stream_options) if found.stream_options else None
    labels = _labels(_value(found.metadata)) if found.metadata else {}
    user = word(_value(found.user)) if found.user else ""
    if not user and found.safety_identifier:
        user = word(_value(found.safety_identifier))
    tier = word(_value(found.service_tier)) if found.service_tier else ""
    return Asked(
        model=model,
        other_models=_others(found) if found.models or found.fallbacks or found.preset else (),
        stream=found.stream or False,
        stream_usage=isinstance(options, dict) and options.get("include_usage") is True,
        max_output_tokens=_limit(surface, found),
        limit_is_new=surface is CHAT and found.max_completion_tokens is not None and found.max_tokens is None,
        choices=_choices(surface, found),
        background=surface is RESPONSES and _value(found.background) is True,
        tier="fast" if found.speed and _value(found.speed) == "fast" else tier,
        user=user or labels.get("user_id", ""),
        session=word(_value(found.session_id)) if found.session_id else "",
        metadata=labels,
        images=media.images,
        audio=media.audio,
        documents=media.documents,
        tools=tools.number,
        prompt_tokens_bound=size.bound,
        prompt_tokens_estimate=size.estimate,
        prompt_size_from=size.how,
    )


def _others(found: _Body) -> tuple[str, ...]:
    """The models that the upstream may serve instead of the one that is named: OpenRouter's `models` and `preset`,
    Anthropic's `fallbacks`. What cannot be read is refused: the upstream may read it."""
    names: list[Any] = []
    for raw in (found.models, found.fallbacks):
        if _is_stated(raw):
            stated = _value(raw)
            names += stated if isinstance(stated, list) else [stated]
    named = [one.get("model") if isinstance(one, dict) else one for one in names]
    if _is_stated(found.preset):
        preset = _value(found.preset)
        named.append(f"@preset/{preset}" if isinstance(preset, str) else preset)
    others = [one for one in named if isinstance(one, str) and one.strip() and word(one) == one.strip()]
    if len(others) != len(named) or len(named) > _MOST_OTHERS:
        raise _Problem(f"models, fallbacks, preset: name up to {_MOST_OTHERS} models, each as text")
    return tuple(dict.fromkeys(one for one in others if one != found.model))


def _limit(surface: Surface, found: _Body) -> int | None:
    """The stated limit of one answer, in tokens; None where none is stated, 0 where nothing is generated."""
    if surface is CHAT:  # of two limits each upstream knows one
        new, old = found.max_completion_tokens, found.max_tokens
        return old if new is None else new if old is None else max(new, old)
    if surface is RESPONSES:
        return found.max_output_tokens
    return 0 if surface is EMBEDDINGS or surface is COUNT_TOKENS else found.max_tokens


def _value(raw: msgspec.Raw) -> Any:
    """What a field says; None where it is absent, absurdly long or cannot be read."""
    if not raw or len(raw) > _MOST_VALUE:
        return None
    try:
        return _type(raw)
    except FAULTS:
        return None


def _is_stated(raw: msgspec.Raw) -> bool:
    return bool(raw) and bytes(raw) != b"null"


def _choices(surface: Surface, found: _Body) -> int:
    """How many answers are asked for: of each prompt in a list of prompts as many."""
    if surface is not CHAT and surface is not COMPLETIONS:
        return 1
    each = found.n or 1
    if found.best_of is not None and found.best_of > each:
        each = found.best_of
    if surface is CHAT or not found.prompt or memoryview(found.prompt)[0] != _LIST:
        return each
    try:
        prompts = _items(found.prompt)
    except FAULTS:
        return each
    several = bool(prompts) and memoryview(prompts[0])[0] in _PROMPTS
    return each * len(prompts) if several else each


def _beyond(surface: Surface, found: _Body, tools: Tools) -> str:
    """What the prompt holds that the body does not; "" where there is nothing."""
    if (found.previous_response_id or found.conversation) and (
        _is_stated(found.previous_response_id) or _is_stated(found.conversation)
    ):
        return "a stored conversation"
    if surface is RESPONSES and _is_stated(found.prompt):
        return _STORED_PROMPT
    if (found.web_search_options or found.plugins or found.mcp_servers) and (
        _is_stated(found.web_search_options) or _holds(found.plugins) or _holds(found.mcp_servers)
    ):
        return "what built-in tools read"
    if tools.odd:
        return "tools of an unusual form"
    return "what built-in tools read" if tools.built_in else ""


def _holds(raw: msgspec.Raw) -> bool:
    return _is_stated(raw) and (len(raw) > _MOST_VALUE or bool(_value(raw)))


def _labels(stated: object) -> Mapping[str, str]:
    if not isinstance(stated, dict):
        return {}
    found = {word(name): word(value) for name, value in list(stated.items())[:_MOST_LABELS]}
    return {name: value for name, value in found.items() if name and value}

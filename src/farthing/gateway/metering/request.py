"""Reading a request: the few fields that metering and enforcement need, strictly, without changing a byte."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from farthing.gateway.metering.decoding import FAULTS, MOST_OBJECTS, crowded, without_surrogates
from farthing.gateway.metering.members import LONG, doubled, members, names_of
from farthing.gateway.metering.prompt_size import find_media, is_built_in, prompt_size
from farthing.gateway.metering.surfaces import CHAT, COMPLETIONS, COUNT_TOKENS, EMBEDDINGS, RESPONSES, Surface
from farthing.gateway.metering.values import Asked
from farthing.gateway.metering.words import word
from farthing.usage.record import LARGEST_COUNT

_MOST_LABELS = 64
_MOST_OTHERS = 32
_MOST_VALUE = 1 << 16
"""A field beside the prompt that is longer is not read: as Python's objects it would take a hundred times as much."""
_SHORT = 512
"""A body (or what is left of one) of fewer bytes is quicker searched as a whole than cut."""
_LONG_ONES = ("messages", "input", "prompt", "system", "instructions", "tools")
_STORED_PROMPT = "a stored prompt"
_LIST = ord("[")
_PROMPTS = b'["'
_PATH = re.compile(r"Expected `(.+?)`, got `(.+?)`(?: - at `\$?\.?(.*)`)?$")


class _Body(msgspec.Struct):
    """The fields of every surface in one; what only one of them knows is absent in the others."""

    model: str | None = None
    stream: bool | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    n: int | None = None
    best_of: int | None = None
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
    messages: msgspec.Raw = msgspec.Raw()
    input: msgspec.Raw = msgspec.Raw()
    prompt: msgspec.Raw = msgspec.Raw()
    system: msgspec.Raw = msgspec.Raw()
    instructions: msgspec.Raw = msgspec.Raw()
    tools: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Body).decode
_tools = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_type = msgspec.json.Decoder(Any).decode
_ONCE = frozenset(_Body.__struct_fields__)
_ONCE_BYTES = frozenset(name.encode() for name in _ONCE)
_PLAIN = frozenset(
    name.encode()
    for name in (
        "model", "messages", "stream", "max_tokens", "max_completion_tokens", "max_output_tokens", "n", "best_of",
        "temperature", "top_p", "top_k", "stop", "stop_sequences", "seed", "presence_penalty", "frequency_penalty",
        "input", "prompt", "system", "instructions", "role", "content", "encoding_format", "dimensions",
    )
)  # fmt: skip
"""Names of which only the fields with a type of their own need reading: a request with no others holds nothing rare."""


def read_request(surface: Surface, body: bytes) -> Asked:
    """What `body`, a request to `surface`, asks for. Never raises: what is wrong stands in `problem`.

    A field that is stated twice is refused: the upstream's parser may take the other one, and then a key would pay
    for (or be allowed) one model and get another.
    """
    try:
        found = _read(body)
        names = _names(found, body)
        plain = names is not None and _PLAIN.issuperset(names)
        if problem := _problem(found, body, names, plain):
            return Asked(problem=problem)
        return _plainly(surface, found, body) if plain else _asked(surface, found, body)
    except _Problem as wrong:
        return Asked(problem=str(wrong))


class _Problem(Exception):
    pass


def _read(body: bytes) -> _Body:
    if not body.isascii():
        try:
            body.decode("utf-8")
        except UnicodeDecodeError as fault:
            raise _Problem(f"the body is not UTF-8 (byte {fault.start}): send JSON in UTF-8") from None
    if crowded(body):
        raise _Problem(f"the body holds more than {MOST_OBJECTS:,} objects, lists or members: send fewer")
    try:
        return _decode(body)
    except FAULTS as fault:
        if isinstance(fault, msgspec.DecodeError) and not isinstance(fault, msgspec.ValidationError):
            try:  # half a surrogate pair is JSON all the same, and some clients send it
                return _decode(without_surrogates(body))
            except FAULTS:
                pass
        raise _Problem(_reason(body, fault)) from None


_KINDS = {
    "str": "text", "int": "a whole number", "float": "a number", "bool": "true or false", "null": "nothing",
    "object": "an object", "array": "a list",
}  # fmt: skip


def _spoken(kinds: str) -> str:
    """msgspec's words for JSON's kinds ("int | null") in a reader's."""
    return " or ".join(_KINDS.get(kind, kind) for kind in kinds.split(" | "))


def _reason(body: bytes, fault: Exception) -> str:
    if not body.strip():
        return "the body is empty: send a JSON object"
    if body.startswith(b"\xef\xbb\xbf"):
        return "the body begins with a byte order mark: send JSON without one"
    if isinstance(fault, RecursionError):
        return "the body is nested too deeply: send fewer levels"
    told = str(fault)
    if isinstance(fault, msgspec.ValidationError) and (parts := _PATH.match(told)):
        wanted, got, field = _spoken(parts[1]), _spoken(parts[2]), parts[3]
        return f"{field}: expected {wanted}, got {got}" if field else f"the body is {got}, not a JSON object"
    if isinstance(fault, msgspec.ValidationError):
        return word(told)
    return f"the body is not JSON: {word(told).removeprefix('JSON is malformed: ')}"


def _problem(found: _Body, body: bytes, names: list[bytes] | None, plain: bool) -> str:
    """What is wrong; "" where nothing is. `plain`: the names are all of `_PLAIN`, so none is in capitals."""
    model = found.model.strip() if found.model else ""
    if not model:
        return "model is missing: name one, as text"
    if word(found.model) != model:
        return "model is too long or holds control characters: name one, as text"
    if (
        names is None or ((not plain or len(set(names)) != len(names)) and doubled(names, _ONCE_BYTES))
    ) and (doubtful := _doubtful(found, body)):  # fmt: skip
        return doubtful
    if (count := found.max_tokens) is not None and not 0 <= count <= LARGEST_COUNT:
        return _no_limit("max_tokens", count)
    if (count := found.max_completion_tokens) is not None and not 0 <= count <= LARGEST_COUNT:
        return _no_limit("max_completion_tokens", count)
    if (count := found.max_output_tokens) is not None and not 0 <= count <= LARGEST_COUNT:
        return _no_limit("max_output_tokens", count)
    if (count := found.n) is not None and not 1 <= count <= LARGEST_COUNT:
        return "n must be a whole number of at least 1"
    if (count := found.best_of) is not None and not 1 <= count <= LARGEST_COUNT:
        return "best_of must be a whole number of at least 1"
    return ""


def _no_limit(name: str, stated: int) -> str:
    return f"{name} is {'negative' if stated < 0 else 'absurd'}: state a number of tokens"


def _prompts(found: _Body, size: int) -> list[tuple[str, bytes]]:
    """The long values of a request of `size` bytes, by name, until what is beside them is short."""
    made: list[tuple[str, bytes]] = []
    for name in _LONG_ONES:
        if size < _SHORT:
            break
        value: msgspec.Raw = getattr(found, name)
        if len(value) > LONG:
            made.append((name, bytes(value)))
            size -= len(value)
    return made


def _names(found: _Body, body: bytes) -> list[bytes] | None:
    """The names in the request outside its long values (the inner ones among them); None where they cannot be told."""
    return names_of(body, _prompts(found, len(body)))


def _doubtful(found: _Body, body: bytes) -> str:
    """What is wrong with the first field that upstreams may read in two ways; "" where none is: it is stated twice, or
    in capitals, which some parsers (Go's) take for the same."""
    seen = set[str]()
    for member in members(body, known=[value for _, value in _prompts(found, len(body))]):
        if member.name in _ONCE:
            if member.name in seen:
                return f"{member.name} is stated twice: state it once"
        elif (plain := member.name.casefold()) in _ONCE:
            return f"a field is called {plain} but for its capitals: write {plain}"
        seen.add(member.name)
    return ""


def _plainly(surface: Surface, found: _Body, body: bytes) -> Asked:
    """What is asked by a request that has none of the fields that are rare."""
    media = find_media(bytes(found.input if surface is RESPONSES else found.messages))
    unbounded = _STORED_PROMPT if surface is RESPONSES and _is_stated(found.prompt) else ""
    size = prompt_size(surface, len(body), media, tools=0, unbounded=unbounded)
    return Asked(
        model=found.model or "", stream=bool(found.stream), max_output_tokens=_limit(surface, found),
        limit_is_new=surface is CHAT and found.max_completion_tokens is not None and found.max_tokens is None,
        choices=_choices(surface, found), images=media.images, audio=media.audio, documents=media.documents,
        prompt_tokens_bound=size.bound, prompt_tokens_estimate=size.estimate, prompt_size_from=size.how,
    )  # fmt: skip


def _asked(surface: Surface, found: _Body, body: bytes) -> Asked:
    """What is asked."""
    media = find_media(bytes(found.input if surface is RESPONSES else found.messages))
    kinds = _tool_kinds(found.tools)
    size = prompt_size(surface, len(body), media, tools=len(kinds or ()), unbounded=_beyond(surface, found, kinds))
    options = _value(found.stream_options)
    labels = _labels(_value(found.metadata))
    return Asked(
        model=found.model or "",
        other_models=_others(found) if found.models or found.fallbacks or found.preset else (),
        stream=bool(found.stream),
        stream_usage=isinstance(options, dict) and options.get("include_usage") is True,
        max_output_tokens=_limit(surface, found),
        limit_is_new=surface is CHAT and found.max_completion_tokens is not None and found.max_tokens is None,
        choices=_choices(surface, found),
        background=surface is RESPONSES and _value(found.background) is True,
        tier="fast" if _value(found.speed) == "fast" else word(_value(found.service_tier)),
        user=word(_value(found.user)) or word(_value(found.safety_identifier)) or labels.get("user_id", ""),
        session=word(_value(found.session_id)),
        metadata=labels,
        images=media.images,
        audio=media.audio,
        documents=media.documents,
        tools=len(kinds or ()),
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


def _tool_kinds(tools: msgspec.Raw) -> list[str] | None:
    """The `type` of each tool ("" where it has none, as Anthropic's own clients' tools); None: they cannot be read."""
    if not _is_stated(tools):
        return []
    try:
        found = _tools(tools)
        return [word(_type(tool["type"])) if "type" in tool else "" for tool in found]
    except FAULTS:
        return None


def _beyond(surface: Surface, found: _Body, kinds: list[str] | None) -> str:
    """What the prompt holds that the body does not; "" where there is nothing."""
    if _is_stated(found.previous_response_id) or _is_stated(found.conversation):
        return "a stored conversation"
    if surface is RESPONSES and _is_stated(found.prompt):
        return _STORED_PROMPT
    if _is_stated(found.web_search_options) or _holds(found.plugins) or _holds(found.mcp_servers):
        return "what built-in tools read"
    if kinds is None:
        return "tools of an unusual form"
    return "what built-in tools read" if kinds and any(map(is_built_in, kinds)) else ""


def _holds(raw: msgspec.Raw) -> bool:
    return _is_stated(raw) and (len(raw) > _MOST_VALUE or bool(_value(raw)))


def _labels(stated: object) -> Mapping[str, str]:
    if not isinstance(stated, dict):
        return {}
    found = {word(name): word(value) for name, value in list(stated.items())[:_MOST_LABELS]}
    return {name: value for name, value in found.items() if name and value}

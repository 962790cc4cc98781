"""The commonest forms of a usage object, read without looking for what they do not hold.

Nearly every answer of nearly every provider is one of these, and the general rules of `usage_objects` look for some
forty names. Each form is a type that takes nothing else, so that msgspec checks it, out of JSON (`decode`) or a `dict`
(`convert`). For anything else there is None: the general rules then hold, and where a form does fit they would say the
same (a property test).
"""

from typing import Annotated, Any, ClassVar, Literal, TypeVar

from msgspec import Meta, Struct, ValidationError, convert, field
from msgspec.structs import fields

MOST = 10**9
"""A hundred times what any model takes: a larger count is for the general rules, and no whole answer's."""
Count = Annotated[int, Meta(ge=0, le=MOST)]
Absent = Literal[0, None]
Label = Annotated[str, Meta(max_length=64)]


class _Parts(Struct, gc=False, forbid_unknown_fields=True):
    """Parts of the input and the output that a common usage object states as 0 or null, if at all."""

    audio_tokens: Absent = None
    image_tokens: Absent = None
    text_tokens: Absent = None
    video_tokens: Absent = None
    cache_write_tokens: Absent = None
    accepted_prediction_tokens: Absent = None
    rejected_prediction_tokens: Absent = None


class _Read(_Parts, gc=False, forbid_unknown_fields=True):
    cached: Count | None = field(default=0, name="cached_tokens")


class _Made(_Parts, gc=False, forbid_unknown_fields=True):
    reasoning: Count | None = field(default=0, name="reasoning_tokens")


class ChatUsage(Struct, gc=False, forbid_unknown_fields=True):
    """Of chat/completions, completions and embeddings: counts and nothing beside them, no cost, nothing to tell."""

    read: Count = field(default=0, name="prompt_tokens")
    made: Count = field(default=0, name="completion_tokens")
    total: Count = field(default=0, name="total_tokens")
    of_read: _Read | None = field(default=None, name="prompt_tokens_details")
    of_made: _Made | None = field(default=None, name="completion_tokens_details")
    hit: Count = field(default=0, name="prompt_cache_hit_tokens")
    missed: Any = field(default=None, name="prompt_cache_miss_tokens")
    queue_time: Any = None
    prompt_time: Any = None
    completion_time: Any = None
    total_time: Any = None


class _ChatAndCost(ChatUsage, gc=False, forbid_unknown_fields=True):
    cost: Any = None
    cost_details: Any = None
    is_byok: Any = None
    estimated_cost: Any = None


class ResponsesUsage(Struct, gc=False, forbid_unknown_fields=True):
    """Of responses: the same under other names."""

    read: Count = field(default=0, name="input_tokens")
    made: Count = field(default=0, name="output_tokens")
    total: Count = field(default=0, name="total_tokens")
    of_read: _Read | None = field(default=None, name="input_tokens_details")
    of_made: _Made | None = field(default=None, name="output_tokens_details")
    hit: ClassVar[int] = 0


class _Lives(Struct, gc=False, forbid_unknown_fields=True):
    five: Count = field(default=0, name="ephemeral_5m_input_tokens")
    hour: Count = field(default=0, name="ephemeral_1h_input_tokens")


class MessagesUsage(Struct, gc=False, forbid_unknown_fields=True):
    """Of Anthropic's messages: disjoint counts, without tools and thoughts."""

    read: Count = field(default=0, name="input_tokens")
    made: Count = field(default=0, name="output_tokens")
    cached: Count = field(default=0, name="cache_read_input_tokens")
    written: Count = field(default=0, name="cache_creation_input_tokens")
    lives: _Lives | None = field(default=None, name="cache_creation")
    service_tier: Label | None = None
    inference_geo: Label | None = None
    speed: Label | None = None
    server_tool_use: None = None
    output_tokens_details: None = None
    iterations: None = None


def openai_meters(usage: ChatUsage | ResponsesUsage) -> dict[str, int] | None:
    """The meters of a common OpenAI usage object that are above 0: its input includes cached tokens, its output
    reasoning. None where its counts do not fit each other."""
    read, made = usage.read, usage.made
    of_read, of_made = usage.of_read, usage.of_made
    cached = usage.hit if of_read is None else of_read.cached or usage.hit
    reasoning = 0 if of_made is None else of_made.reasoning or 0
    if usage.total > read + made:
        return None  # something was counted beside them
    if read and made and not cached and not reasoning:
        return {"input": read, "output": made}
    if cached > read or reasoning > made:
        return None
    found = {"input": read - cached} if read > cached else {}
    if cached:
        found["cache_read"] = cached
    if made:
        found["output"] = made
        if reasoning:
            found["reasoning"] = reasoning
    return found


def anthropic_meters(usage: MessagesUsage) -> dict[str, int]:
    """The meters of a common Anthropic usage object that are above 0: its fields are disjoint."""
    five, hour = (0, 0) if usage.lives is None else (usage.lives.five, usage.lives.hour)
    five = max(five, usage.written - hour)  # what the older single field states beyond the split: the default life
    found = {"input": usage.read} if usage.read else {}
    if usage.cached:
        found["cache_read"] = usage.cached
    if five:
        found["cache_write_5m"] = five
    if hour:
        found["cache_write_1h"] = hour
    if usage.made:
        found["output"] = usage.made
    return found


def common_openai(usage: dict[str, Any], *, cost: bool = True) -> dict[str, int] | None:
    """The meters of a common OpenAI usage object; without `cost` only where it states none beside its counts."""
    form: type[ChatUsage | ResponsesUsage] = _ChatAndCost if cost else ChatUsage
    if "input_tokens" in usage:
        form = ResponsesUsage
    found = _as(form, usage)
    return None if found is None else openai_meters(found)


def common_anthropic(usage: dict[str, Any]) -> dict[str, int] | None:
    """The meters of a common Anthropic usage object."""
    found = _as(MessagesUsage, usage)
    return None if found is None else anthropic_meters(found)


_T = TypeVar("_T")
_NAMES: dict[Any, frozenset[str]] = {
    form: frozenset(field.encode_name for field in fields(form))
    for form in (ChatUsage, _ChatAndCost, ResponsesUsage, MessagesUsage)
}


def _as(form: type[_T], usage: dict[str, Any]) -> _T | None:
    """`usage` in the form `form`; None where it is in another. (A look at the names takes less than a refusal.)"""
    if not _NAMES[form].issuperset(usage):
        return None
    try:
        return convert(usage, form)
    except ValidationError:
        return None

"""The forms of whole answers, and of the events of streams, as nearly all of them are: what is taken, member by member.

Which usage objects are common is said by the types in `usage.readers.common_usage`, and read here from them.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from msgspec.structs import fields

from farthing.gateway.metering.words import LONGEST
from farthing.usage.readers.common_usage import MOST, Absent, ChatUsage, Count, Label, MessagesUsage

_LABEL = 64


class Holds(NamedTuple):
    """What a member of an answer holds.

    `kind`: "anything", "null", "zero", "count" (a whole number up to `most`), "text" (plain, of up to `most`
    characters), "says" (a text, of which it is counted that it is `place`), "piece" (a text of which the answer
    consists), "object" or "list" (of objects, of the form `inner`; each is a call of a tool if `is_call`). `or_null`:
    or null. `place`: what the count or the text is called.
    """

    kind: str
    or_null: bool = True
    place: str = ""
    most: int = 0
    inner: "Form | None" = None
    is_call: bool = False


class Form(NamedTuple):
    """An object: the members that are known, and whether it may have others."""

    members: Mapping[str, Holds]
    others: bool = True


_NULL = Holds("null")
_OBJECT = Form({})


def _text(place: str, *, or_null: bool = False) -> Holds:
    return Holds("text", or_null, place, LONGEST)


def _usage(kind: Any) -> Form:
    """The form of a usage object of the type `kind`."""
    return Form({field.encode_name: _of_usage(field.name, field.type) for field in fields(kind)}, others=False)


def _of_usage(place: str, kind: Any) -> Holds:
    if kind is Any:
        return Holds("anything")
    if kind is type(None):
        return _NULL
    if kind == Absent:
        return Holds("zero")
    if kind == Count or kind == Count | None:
        return Holds("count", kind != Count, place, MOST)
    if kind == Label | None:
        return Holds("text", True, place, _LABEL)
    inner, _ = kind.__args__
    return Holds("object", inner=_usage(inner))


_SPOKEN = Form({
    "tool_calls": Holds("list", inner=_OBJECT, is_call=True),
    "function_call": Holds("object", inner=_OBJECT, is_call=True),
})  # fmt: skip
_CHOICE = Form({
    "message": Holds("object", inner=_SPOKEN), "finish_reason": _text("finish", or_null=True), "error": _NULL,
})  # fmt: skip
OPENAI = Form({
    "id": _text("id"), "model": _text("model"), "choices": Holds("list", inner=_CHOICE),
    "usage": Holds("object", False, inner=_usage(ChatUsage)), "service_tier": _text("tier", or_null=True),
    "provider": _NULL, "error": _NULL,
})  # fmt: skip
"""Of chat/completions, completions and embeddings."""
ANTHROPIC = Form({
    "id": _text("id"), "model": _text("model"),
    "content": Holds("list", inner=Form({"type": Holds("says", False, "tool_use")})),
    "stop_reason": _text("finish", or_null=True), "usage": Holds("object", False, inner=_usage(MessagesUsage)),
    "error": _NULL,
})  # fmt: skip
"""Of Anthropic's messages."""

_PIECE = Holds("piece")
_DELTA = Form({
    "content": _PIECE, "reasoning_content": _PIECE, "reasoning": _PIECE, "refusal": _PIECE, "tool_calls": _NULL,
    "function_call": _NULL,
})  # fmt: skip
_PART = Form({"delta": Holds("object", inner=_DELTA), "finish_reason": _NULL, "text": _NULL, "error": _NULL})
CHAT_PIECE = Form({
    "choices": Holds("list", inner=_PART), "usage": _NULL, "x_groq": _NULL, "timings": _NULL, "error": _NULL,
})  # fmt: skip
"""An event of a chat's stream in its midst: nothing in it but the next piece of the answer."""
MESSAGES_PIECE = Form({
    "type": Holds("says", False, "content_block_delta"),
    "delta": Holds("object", inner=Form({"text": _PIECE, "thinking": _PIECE, "partial_json": _PIECE})),
})  # fmt: skip
RESPONSES_PIECE = Form({"type": Holds("says", False, "response.output_text.delta"), "delta": Holds("piece", False)})

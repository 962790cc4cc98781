"""Anthropic content blocks as OpenAI content parts. Addresses are passed on, never fetched."""

from typing import Any

from farthing.gateway.translation.fields import Fields
from farthing.gateway.translation.words import Json, OpenAITarget, Refused

_SERVER = "is the work of a tool that Anthropic runs itself; start the conversation anew, or stay with Anthropic"
_FILE = "is a file kept at Anthropic, which another provider cannot see; send it as base64"


def block_fields(content: object, message: Fields, key: str = "content") -> list[Fields]:
    """The blocks of a message, a plain text being one block."""
    if isinstance(content, str):
        return [Fields({"type": "text", "text": content}, message.at(key), message.notes)]
    if content is None:
        return []
    if not isinstance(content, list):
        raise Refused(message.at(key), "must be a text or a list of content blocks")
    return [Fields(item, f"{message.at(key)}[{n}]", message.notes) for n, item in enumerate(content)]


def part_of(block: Fields, target: OpenAITarget) -> list[Json]:
    """The parts for one block of text, image or document. Raises `Refused` for any other kind."""
    kind = block.needed_text("type")
    mark = cache_mark(block, target)
    if kind == "text":
        made = _text(block)
    elif kind == "image":
        made = [_image(block)]
    elif kind == "document":
        made = _document(block, target)
    elif kind == "search_result":
        raise Refused(block.at("type"), "is 'search_result', which OpenAI has not; send its text")
    elif "server" in kind or kind.endswith("_tool_result"):
        raise Refused(block.at("type"), f"is {kind!r}: {_SERVER}")
    else:
        raise Refused(block.at("type"), f"is {kind!r}, which OpenAI has not; it can be text, image or document")
    block.finish("OpenAI")
    if made and mark:
        made[-1] = made[-1] | mark
    return made


def cache_mark(block: Fields, target: OpenAITarget) -> Json:
    """`cache_control` as OpenAI's breakpoint where the upstream takes it, else left out with a note."""
    control = block.sub("cache_control")
    if control is None:
        return {}
    if not target.cache_breakpoints:
        block.note("cache_control", "left out: this upstream caches by itself or not at all")
        return {}
    if control.take("ttl") == "1h":
        block.note("cache_control.ttl", "1h is sent as OpenAI's default lifetime")
    # The rest of it (its type, a scope) says how Anthropic caches; what is marked is all that OpenAI can be told.
    return {"prompt_cache_breakpoint": {"mode": "explicit"}}


def plain(parts: list[Json]) -> Any:
    """Parts as the simplest content that says the same: a text where there is only one, unmarked."""
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        return parts[0]["text"]
    return parts


def _text(block: Fields) -> list[Json]:
    text = block.text("text") or ""
    block.drop("citations", "left out: OpenAI's messages have none")
    return [{"type": "text", "text": text}] if text else []


def _image(block: Fields) -> Json:
    source = block.sub("source")
    if source is None:
        raise Refused(block.at("source"), "is needed")
    block.drop("transformations", "left out: OpenAI sizes images itself")
    kind = source.needed_text("type")
    if kind == "file":
        raise Refused(source.at("type"), _FILE)
    if kind == "url":
        url = source.needed_text("url")
    elif kind == "base64":
        url = f"data:{source.needed_text('media_type')};base64,{source.needed_text('data')}"
    else:
        raise Refused(source.at("type"), f"is {kind!r}; it can be base64 or url")
    source.finish("OpenAI")
    return {"type": "image_url", "image_url": {"url": url}}


def _document(block: Fields, target: OpenAITarget) -> list[Json]:
    source = block.sub("source")
    if source is None:
        raise Refused(block.at("source"), "is needed")
    title, context = block.text("title"), block.text("context")
    citations = block.sub("citations")
    if citations is not None and citations.boolean("enabled"):
        raise Refused(citations.at("enabled"), "OpenAI's chat cannot cite a document; send false")
    kind = source.needed_text("type")
    head = [{"type": "text", "text": text} for text in (title, context) if text]
    if kind == "base64":
        media_type, data = source.needed_text("media_type"), source.needed_text("data")
        name = title or "document.pdf"
        head = head[1:] if title else head
        made = [{"type": "file", "file": {"filename": name, "file_data": f"data:{media_type};base64,{data}"}}]
    elif kind == "text":
        source.take("media_type")
        block.note("source", "a text document is sent as text")
        made = [{"type": "text", "text": source.needed_text("data")}]
    elif kind == "content":
        block.note("source", "the document's blocks are sent as parts of the message")
        made = [part for inner in block_fields(source.take("content"), source) for part in part_of(inner, target)]
    elif kind == "url":
        raise Refused(
            source.at("type"), "OpenAI's chat takes no document by address, and nothing is fetched here; send base64"
        )
    elif kind == "file":
        raise Refused(source.at("type"), _FILE)
    else:
        raise Refused(source.at("type"), f"is {kind!r}; it can be base64, text or content")
    source.finish("OpenAI")
    return head + made

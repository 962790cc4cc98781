"""OpenAI content parts as Anthropic content blocks. Addresses are passed on, never fetched."""

import base64
import binascii
import re

from farthing.gateway.translation.fields import Fields
from farthing.gateway.translation.words import Json, Refused

_DATA_URL = re.compile(r"data:([\w.+/-]+)?((?:;[\w=.+-]+)*?)(;base64)?,", re.ASCII)
_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")


def text_blocks(content: object, fields: Fields, key: str = "content") -> list[Json]:
    """Blocks of a message that can only hold text (system, assistant): a text, or a list of text parts."""
    return _blocks(content, fields, key, only_text=True)


def blocks(content: object, fields: Fields, key: str = "content") -> list[Json]:
    """Blocks of a message that can hold text, images and documents (user, tool)."""
    return _blocks(content, fields, key, only_text=False)


def _blocks(content: object, fields: Fields, key: str, *, only_text: bool) -> list[Json]:
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content.strip() else []
    if not isinstance(content, list):
        raise Refused(fields.at(key), "must be a text or a list of content parts")
    made = []
    for number, item in enumerate(content):
        part = Fields(item, f"{fields.at(key)}[{number}]", fields.notes)
        block = _block(part, only_text)
        cache = _cache_control(part)
        if block is not None:
            made.append(block | cache)
        elif cache:
            part.note("cache_control", "left out with its empty text")
        part.finish("Anthropic")
    return made


def _block(part: Fields, only_text: bool) -> Json | None:
    """The block for one part; None for an empty text, which Anthropic refuses."""
    kind = part.needed_text("type")
    if kind == "text":
        text = part.text("text") or ""
        return {"type": "text", "text": text} if text.strip() else None
    if kind == "refusal":
        text = part.text("refusal") or ""
        return {"type": "text", "text": text} if text.strip() else None
    if only_text:
        raise Refused(part.at("type"), f"is {kind!r}; this message can hold only text")
    if kind == "image_url":
        return _image(part)
    if kind == "file":
        return _document(part)
    if kind == "input_audio":
        raise Refused(part.at("type"), "is 'input_audio'; Anthropic models take no audio: send a transcript as text")
    raise Refused(part.at("type"), f"is {kind!r}, which Anthropic has not; it can be text, image_url or file")


def _image(part: Fields) -> Json:
    image = part.sub("image_url")
    if image is None:
        raise Refused(part.at("image_url"), "is needed")
    url = image.needed_text("url")
    image.drop("detail", "left out: Anthropic sizes images itself", "auto")
    image.finish("Anthropic")
    if url.startswith(("https://", "http://")):
        return {"type": "image", "source": {"type": "url", "url": url}}
    media_type, data = _inline(url, image.at("url"))
    media_type = "image/jpeg" if media_type == "image/jpg" else media_type
    if media_type not in _IMAGES:
        raise Refused(image.at("url"), f"is a {media_type or 'nameless'} image; Anthropic takes {', '.join(_IMAGES)}")
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def _document(part: Fields) -> Json:
    file = part.sub("file")
    if file is None:
        raise Refused(part.at("file"), "is needed")
    file.refuse("file_id", "is a file kept at OpenAI, which Anthropic cannot see; send file_data")
    media_type, data = _inline(file.needed_text("file_data"), file.at("file_data"))
    title = file.text("filename")
    file.finish("Anthropic")
    block: Json = {"type": "document"}
    if media_type == "application/pdf":
        block["source"] = {"type": "base64", "media_type": media_type, "data": data}
    elif media_type == "text/plain":
        block["source"] = {"type": "text", "media_type": media_type, "data": _decoded(data, file.at("file_data"))}
    else:
        raise Refused(file.at("file_data"), f"is {media_type!r}; Anthropic takes application/pdf and text/plain")
    return block | ({"title": title} if title else {})


def _inline(url: str, place: str) -> tuple[str, str]:
    """Media type and base64 data of a data: address."""
    match = _DATA_URL.match(url)
    if match is None or not match[3]:
        raise Refused(place, "must be https://… or data:<media type>;base64,…")
    return (match[1] or "").lower(), url[match.end() :]


def _decoded(data: str, place: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise Refused(place, "is not text in base64") from None


def _cache_control(part: Fields) -> Json:
    """`cache_control` of one part: Anthropic's own, as several clients send it, or OpenAI's breakpoint."""
    control = part.take("cache_control")
    mark = part.sub("prompt_cache_breakpoint")
    if control is not None:
        if mark is not None:
            raise Refused(part.at("cache_control"), "stands beside prompt_cache_breakpoint; send one of them")
        return {"cache_control": control}
    if mark is None:
        return {}
    mark.choice("mode", ("explicit",))
    ttl = mark.choice("ttl", ("30m", "12h"))
    mark.finish("Anthropic")
    if ttl is None:
        return {"cache_control": {"type": "ephemeral"}}
    if ttl == "12h":
        mark.note("ttl", "12h is sent as 1h, Anthropic's longest")
    return {"cache_control": {"type": "ephemeral", "ttl": "1h"}}

"""How long a prompt can be, and is likely to be, in tokens, from the bytes of the request: no tokeniser runs.

The tokenisers in use work on bytes and a token holds at least one, and what JSON adds around a message is longer than
what a chat template adds: so a request has no more text tokens than bytes. Images, audio and built-in tools are not
text: see `data/gateway/metering.toml`.
"""

from typing import Any

import msgspec

from farthing.gateway.metering.assumptions import assumptions
from farthing.gateway.metering.decoding import FAULTS, without_surrogates
from farthing.gateway.metering.surfaces import Surface

_IMAGES = frozenset({"image", "image_url", "input_image", "computer_screenshot"})
_AUDIO = frozenset({"input_audio", "audio", "audio_url"})
_DOCUMENTS = frozenset({"document", "file", "input_file", "container_upload"})
_VIDEOS = frozenset({"video", "video_url", "input_video"})
_BUILT_IN = (
    "web_search", "web_fetch", "code_execution", "code_interpreter", "file_search", "mcp", "x_search",
    "collections_search", "browser_search", "google_search", "image_generation", "tool_search", "openrouter:",
)  # fmt: skip


class Media(msgspec.Struct):
    """What a prompt holds beside text: how many, and how many bytes of base64 stand in the body for them."""

    images: int = 0
    audio: int = 0
    documents: int = 0
    videos: int = 0
    references: int = 0
    unread: int = 0
    image_bytes: int = 0
    audio_bytes: int = 0


class Size(msgspec.Struct, frozen=True):
    """A prompt's bound (None: there is none) and estimate in tokens, and how they were got."""

    bound: int | None
    estimate: int
    how: str


class _Part(msgspec.Struct, gc=False):
    """A message, an item or a part of one: what kind it is, and where more of them, or base64, can stand."""

    type: Any = None
    content: "str | list[_Part] | _Part | None" = None
    output: "str | list[_Part] | _Part | None" = None
    source: msgspec.Raw = msgspec.Raw()
    image_url: msgspec.Raw = msgspec.Raw()
    input_audio: msgspec.Raw = msgspec.Raw()


_parts = msgspec.json.Decoder(list[_Part]).decode
_kind = msgspec.json.Decoder(_Part).decode


def find_media(prompt: bytes) -> Media:
    """The images, audio and documents in the messages (or the input) of a request.

    A prompt of another form (one text) holds none.
    """
    media = Media()
    if prompt.startswith(b"["):
        try:
            left = _read(prompt)
        except FAULTS:
            media.unread = 1
            return media
        while left:
            part = left.pop()
            if isinstance(part.type, str):
                _add(part, media)
            for inner in (part.content, part.output):
                if isinstance(inner, list):
                    left.extend(inner)
                elif isinstance(inner, _Part):
                    left.append(inner)
    return media


def _read(prompt: bytes) -> list[_Part]:
    try:
        return _parts(prompt)
    except FAULTS:
        return _parts(without_surrogates(prompt))


def _add(part: _Part, media: Media) -> None:
    kind = part.type
    if kind in _IMAGES:
        media.images += 1
        media.image_bytes += _base64(bytes(part.source)) + _base64(bytes(part.image_url))
    elif kind in _AUDIO:
        media.audio += 1
        media.audio_bytes += len(bytes(part.input_audio))
    elif kind in _VIDEOS:
        media.videos += 1
    elif kind == "item_reference":
        media.references += 1
    elif kind in _DOCUMENTS and not _is_text(bytes(part.source)):
        media.documents += 1


def _is_text(source: bytes) -> bool:
    """Whether an Anthropic document is plain text or content blocks: then its bytes are text like any other."""
    try:
        return bool(source) and _kind(source).type in ("text", "content")
    except FAULTS:
        return False


def _base64(value: bytes) -> int:
    """The bytes of an image that stand in the request itself: none where it is named by its address."""
    return len(value) if b"data:" in value[:64] or b'"base64"' in value else 0


def is_built_in(tool: object) -> bool:
    """Whether a tool is run by the provider, which adds what it reads to the prompt."""
    return isinstance(tool, str) and tool.startswith(_BUILT_IN)


def prompt_size(surface: Surface, body: int, media: Media, *, tools: int, unbounded: str) -> Size:
    """The size of a prompt whose request is `body` bytes long.

    `unbounded` names what the body refers to without holding it (a stored conversation, a built-in tool).
    """
    assumed = assumptions()
    text = max(body - media.image_bytes - media.audio_bytes, 0)
    sound = -(-media.audio_bytes // assumed.size("audio_base64_bytes_per_token"))
    extra = assumed.size("tool_prompt_tokens") if tools else 0
    each = assumed.size("image_tokens_most_anthropic" if surface is Surface.MESSAGES else "image_tokens_most")
    estimate = -(-text // assumed.size("bytes_per_token")) + media.images * assumed.size("image_tokens") + sound
    for count, what in (
        (media.documents, "documents"), (media.videos, "video"), (media.references, "a stored conversation"),
        (media.unread, "content of an unusual form"),
    ):  # fmt: skip
        if count:
            unbounded = unbounded or what
    if unbounded:
        return Size(None, estimate, f"no bound: {unbounded} cannot be counted from the request's bytes")
    bound = -(-text // assumed.size("bytes_per_token_least")) + media.images * each + sound + extra
    how = "one token a byte at most"
    if media.images:
        how += f", {each} an image"
    if media.audio:
        how += f", {sound} for audio"
    if extra:
        how += f", {extra} for the provider's words about tools"
    return Size(bound, estimate, how)

"""How long a prompt can be, and is likely to be, in tokens, from the bytes of the request: no tokeniser runs.

The tokenisers in use work on bytes and a token holds at least one, and what JSON adds around a message is longer than
what a chat template adds: so a request has no more text tokens than bytes. Images, audio and built-in tools are not
text: see `data/gateway/metering.toml`.
"""

from functools import cache
from typing import Any, NamedTuple

import msgspec

from farthing.gateway.metering.assumptions import assumptions
from farthing.gateway.metering.decoding import FAULTS, without_surrogates
from farthing.gateway.metering.plain_requests import names_no_type
from farthing.gateway.metering.surfaces import MESSAGES, Surface

_IMAGES = frozenset({"image", "image_url", "input_image", "computer_screenshot"})
_AUDIO = frozenset({"input_audio", "audio", "audio_url"})
_DOCUMENTS = frozenset({"document", "file", "input_file", "container_upload"})
_VIDEOS = frozenset({"video", "video_url", "input_video"})
NOT_TEXT = _IMAGES | _AUDIO | _DOCUMENTS | _VIDEOS | {"item_reference"}
"""Parts of these types are not text, or not all of their text stands in the request."""
BUILT_IN = (
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


NO_MEDIA = Media()
"""A prompt that is all text."""


class Size(msgspec.Struct, frozen=True):
    """A prompt's bound (None: there is none) and estimate in tokens, and how they were got."""

    bound: int | None
    estimate: int
    how: str


class _Assumed(NamedTuple):
    """The sizes that hold on one surface."""

    image: int
    image_most: int
    audio_base64_bytes_per_token: int
    tool_prompt: int


@cache
def _assumed(surface: Surface) -> _Assumed:
    size = assumptions().size
    return _Assumed(
        image=size("image_tokens"),
        image_most=size("image_tokens_most_anthropic" if surface is MESSAGES else "image_tokens_most"),
        audio_base64_bytes_per_token=size("audio_base64_bytes_per_token"),
        tool_prompt=size("tool_prompt_tokens"),
    )


class _Part(msgspec.Struct, gc=False):
    """A message, an item or a part of one: what kind it is, and where more of them, or base64, can stand."""

    type: Any = None
    content: "str | list[_Part] | _Part | None" = None
    output: "str | list[_Part] | _Part | None" = None
    source: msgspec.Raw = msgspec.Raw()
    image_url: msgspec.Raw = msgspec.Raw()
    input_audio: msgspec.Raw = msgspec.Raw()


class _Message(msgspec.Struct, gc=False):
    """A `_Part` of the outermost list, whose content is left as it stands: mostly a long text, which holds no media."""

    type: Any = None
    content: msgspec.Raw = msgspec.Raw()
    output: msgspec.Raw = msgspec.Raw()
    source: msgspec.Raw = msgspec.Raw()
    image_url: msgspec.Raw = msgspec.Raw()
    input_audio: msgspec.Raw = msgspec.Raw()


_messages = msgspec.json.Decoder(list[_Message]).decode
_Content = str | list[_Part] | _Part | None
_content = msgspec.json.Decoder[_Content](_Content).decode
_kind = msgspec.json.Decoder(_Part).decode
_TEXT = ord('"')
BY_BYTES = "one token a byte at most"


def find_media(prompt: bytes) -> Media:
    """The images, audio and documents in the messages (or the input) of a request.

    A prompt of another form (one text) holds none.
    """
    if not prompt.startswith(b"[") or names_no_type(prompt):
        return NO_MEDIA
    media = Media()
    try:
        left = _parts(prompt, media)
    except FAULTS:
        return Media(unread=1)
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


def _parts(prompt: bytes, media: Media) -> list[_Part]:
    """The parts that stand in the messages of `prompt`; the messages themselves are added to `media`."""
    try:
        found = _messages(prompt)
    except FAULTS:
        found = _messages(without_surrogates(prompt))
    parts: list[_Part] = []
    for message in found:
        if isinstance(message.type, str):
            _add(message, media)
        for raw in (message.content, message.output):
            if raw and memoryview(raw)[0] != _TEXT:
                inner = _read(bytes(raw))
                if isinstance(inner, list):
                    parts += inner
                elif isinstance(inner, _Part):
                    parts.append(inner)
    return parts


def _read(content: bytes) -> _Content:
    try:
        found: _Content = _content(content)
    except FAULTS:
        found = _content(without_surrogates(content))
    return found


def _add(part: _Part | _Message, media: Media) -> None:
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


def _uncounted(media: Media) -> str:
    """What a prompt holds whose tokens cannot be counted; "" where it is all text, images and sound."""
    if media.documents:
        return "documents"
    if media.videos:
        return "video"
    if media.references:
        return "a stored conversation"
    return "content of an unusual form" if media.unread else ""


def is_built_in(tool: object) -> bool:
    """Whether a tool is run by the provider, which adds what it reads to the prompt."""
    return isinstance(tool, str) and tool.startswith(BUILT_IN)


@cache
def bytes_per_token() -> tuple[int, int]:
    """How many bytes of text a token holds at least, and how many it is likely to hold."""
    size = assumptions().size
    return size("bytes_per_token_least"), size("bytes_per_token")


def text_tokens(size: int) -> tuple[int, int]:
    """The bound and the estimate of `size` bytes of text."""
    least, likely = bytes_per_token()
    return -(-size // least), -(-size // likely)


def prompt_size(surface: Surface, body: int, media: Media, *, tools: int, unbounded: str) -> Size:
    """The size of a prompt whose request is `body` bytes long.

    `unbounded` names what the body refers to without holding it (a stored conversation, a built-in tool).
    """
    if media is NO_MEDIA and not tools and not unbounded:  # what follows would say the same
        return Size(*text_tokens(body), BY_BYTES)
    assumed = _assumed(surface)
    most, likely = text_tokens(max(body - media.image_bytes - media.audio_bytes, 0))
    sound = -(-media.audio_bytes // assumed.audio_base64_bytes_per_token)
    extra = assumed.tool_prompt if tools else 0
    each = assumed.image_most
    estimate = likely + media.images * assumed.image + sound
    unbounded = unbounded or _uncounted(media)
    if unbounded:
        return Size(None, estimate, f"no bound: {unbounded} cannot be counted from the request's bytes")
    bound = most + media.images * each + sound + extra
    how = BY_BYTES
    if media.images:
        how += f", {each} an image"
    if media.audio:
        how += f", {sound} for audio"
    if extra:
        how += f", {extra} for the provider's words about tools"
    return Size(bound, estimate, how)

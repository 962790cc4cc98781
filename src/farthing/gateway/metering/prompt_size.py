"""How long a prompt can be, and is likely to be, in tokens, from the bytes of the request: no tokeniser runs.

The tokenisers in use work on bytes and a token holds at least one, and what JSON adds around a message is longer than
what a chat template adds: so a request has no more text tokens than bytes. Images, audio and built-in tools are not
text: see `data/gateway/metering.toml`.
"""

from typing import Any

import msgspec

from farthing.gateway.metering.assumptions import assumptions
from farthing.gateway.metering.decoding import FAULTS
from farthing.gateway.metering.surfaces import Surface

_HINTS = (b'"image', b'"input_', b'"document', b'"file', b'"video', b'"audio', b"\\u")
_IMAGES = frozenset({"image", "image_url", "input_image"})
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
    image_bytes: int = 0
    audio_bytes: int = 0


class Size(msgspec.Struct, frozen=True):
    """A prompt's bound (None: there is none) and estimate in tokens, and how they were got."""

    bound: int | None
    estimate: int
    how: str


def find_media(prompts: list[bytes]) -> Media:
    """The images, audio and documents in the messages (or the input) of a request."""
    media = Media()
    for prompt in prompts:
        if any(hint in prompt for hint in _HINTS):
            try:
                _walk(msgspec.json.decode(prompt), media)
            except FAULTS:
                continue  # its base64 then counts as text: the bound still holds
    return media


def _walk(root: Any, media: Media) -> None:
    left = [root]
    while left:
        value = left.pop()
        if isinstance(value, list):
            left.extend(value)
        elif isinstance(value, dict):
            kind = value.get("type")
            if isinstance(kind, str) and (kind in _IMAGES or kind in _AUDIO or kind in _DOCUMENTS or kind in _VIDEOS):
                _add(kind, value, media)
            left.extend(inner for inner in value.values() if isinstance(inner, (list, dict)))


def _add(kind: str, part: dict[str, Any], media: Media) -> None:
    if kind in _IMAGES:
        media.images += 1
        media.image_bytes += _data(part)
    elif kind in _AUDIO:
        media.audio += 1
        media.audio_bytes += _data(part)
    elif kind in _VIDEOS:
        media.videos += 1
    elif not _is_text(part):
        media.documents += 1


def _is_text(document: dict[str, Any]) -> bool:
    """Whether an Anthropic document is plain text or content blocks: then its bytes are text like any other."""
    source = document.get("source")
    return isinstance(source, dict) and source.get("type") in ("text", "content")


def _data(value: Any, depth: int = 0) -> int:
    """The length of the base64 in one part: a data: URL, or text under "data"."""
    if isinstance(value, str):
        return len(value) if value.startswith("data:") else 0
    if not isinstance(value, dict) or depth > 3:
        return 0
    return sum(
        len(inner) if name == "data" and isinstance(inner, str) else _data(inner, depth + 1)
        for name, inner in value.items()
    )


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
    if media.documents or media.videos:
        unbounded = unbounded or ("documents" if media.documents else "video")
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

"""Work that is paid for later: the lines of a batch's output, and responses that ran in the background.

Neither is in the answer to the request that began it. They are metered when they are fetched through the gateway, each
once however often that happens: the attempt's id is made of the provider's own id.
"""

import hashlib
from typing import Any

import msgspec

from farthing.gateway.metering import Served, Surface, read_response

MOST_LINE = 64 << 20


class _Response(msgspec.Struct):
    status_code: Any = None
    body: msgspec.Raw = msgspec.Raw()


class _Result(msgspec.Struct):
    type: Any = None
    message: msgspec.Raw = msgspec.Raw()


class _Line(msgspec.Struct):
    id: Any = None
    custom_id: Any = None
    response: _Response | None = None
    result: _Result | None = None


class _Stored(msgspec.Struct):
    id: Any = None
    object: Any = None
    status: Any = None
    background: Any = None
    created_at: Any = None


class _Kind(msgspec.Struct):
    object: Any = None
    created: Any = None
    created_at: Any = None


class Deferred(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of work: the provider's `id` of it, the surface it was for, what was served, and when (seconds since
    1970; None where nobody says). `tier`: "batch" for the lines of a batch."""

    id: str
    surface: Surface
    served: Served
    at_s: int | None = None
    tier: str = ""

    def attempt(self, upstream: str) -> str:
        """The attempt's id: the same each time it is fetched."""
        return hashlib.blake2b(f"{upstream}\0{self.tier}\0{self.id}".encode(), digest_size=16).hexdigest()


_line = msgspec.json.Decoder(_Line).decode
_stored = msgspec.json.Decoder(_Stored).decode
_kind = msgspec.json.Decoder(_Kind).decode
_SURFACES = {
    "chat.completion": Surface.CHAT,
    "text_completion": Surface.COMPLETIONS,
    "response": Surface.RESPONSES,
    "list": Surface.EMBEDDINGS,
}


class BatchOutput:
    """Reads a file as it passes. `feed` gives the work on the lines that a chunk ends; files that are no batch's
    output have none. Never raises for bytes."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._rest = bytearray()
        self._plain = True

    def feed(self, chunk: bytes) -> list[Deferred]:
        """The work that `chunk` completes."""
        if not self._plain:
            return []
        if b"\n" not in chunk:
            self._rest += chunk
            if len(self._rest) > MOST_LINE:
                self._plain = False  # no line of a batch's output is so long
                self._rest.clear()
            return []
        *lines, last = (bytes(self._rest) + chunk).split(b"\n")
        self._rest = bytearray(last)
        return [found for line in lines if (found := work_of(line, self._provider)) is not None]

    def finish(self) -> list[Deferred]:
        """The work on a last line without its end."""
        found = work_of(bytes(self._rest), self._provider)
        return [found] if found is not None else []


def work_of(line: bytes, provider: str) -> Deferred | None:
    """The work that one line of a batch's output tells of; None where it tells of none (or it failed)."""
    if b'"usage"' not in line:
        return None
    try:
        found = _line(line)
        if found.result is not None:  # Anthropic's message batches
            if found.result.type != "succeeded":
                return None
            served = read_response(Surface.MESSAGES, provider, bytes(found.result.message))
            return Deferred(id=served.id, surface=Surface.MESSAGES, served=served, tier="batch") if served.id else None
        if found.response is None or found.response.status_code != 200 or not isinstance(found.id, str):
            return None
        body = bytes(found.response.body)
        kind = _kind(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    surface = _SURFACES.get(kind.object) if isinstance(kind.object, str) else None
    if surface is None:
        return None
    served = read_response(surface, provider, body)
    return Deferred(
        id=found.id, surface=surface, served=served, at_s=_seconds(kind.created, kind.created_at), tier="batch"
    )


class StoredResponse:
    """Reads one stored response as it passes; see `BatchOutput`."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[Deferred]:
        """Nothing yet: it is one JSON object."""
        self._size += len(chunk)
        if self._size <= MOST_LINE:
            self._parts.append(chunk)
        return []

    def finish(self) -> list[Deferred]:
        """The work of the response, where it ran in the background."""
        found = background_response(b"".join(self._parts), self._provider)
        return [found] if found is not None else []


def background_response(body: bytes, provider: str) -> Deferred | None:
    """The work of a response that ran in the background and has ended; None for others, which were metered at once."""
    if b'"background"' not in body:
        return None
    try:
        found = _stored(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if found.object != "response" or found.background is not True or not isinstance(found.id, str):
        return None
    if found.status in ("queued", "in_progress"):
        return None
    served = read_response(Surface.RESPONSES, provider, body)
    return Deferred(id=found.id, surface=Surface.RESPONSES, served=served, at_s=_seconds(found.created_at))


def _seconds(*stated: Any) -> int | None:
    for value in stated:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 10**9 < value < 10**11:
            return int(value)
    return None

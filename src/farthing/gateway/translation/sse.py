"""Server-sent events: from bytes cut anywhere to events, and back. https://html.spec.whatwg.org/#event-stream-interpretation"""

import re

from farthing.gateway.translation.words import encode

_LINE_END = re.compile(rb"\r\n|\n|\r")
LONGEST_EVENT_BYTES = 8 * 1024 * 1024
"""No stream may make us hold more than this of one event."""


class EventTooLong(Exception):
    """One event is longer than `LONGEST_EVENT_BYTES`."""


class EventReader:
    """Gives (event name, data) pairs; a comment is ("", None): a sign of life without content."""

    def __init__(self) -> None:
        self._rest = b""
        self._searched = 0
        self._event = b""
        self._data: list[bytes] = []
        self._held_bytes = 0
        self._first = True

    def feed(self, chunk: bytes) -> list[tuple[str, bytes | None]]:
        """The events that `chunk` completes. Raises `EventTooLong`."""
        buffer = self._rest + chunk
        found: list[tuple[str, bytes | None]] = []
        start = 0
        # What was searched before holds no line end, except a carriage return at its very end.
        for match in _LINE_END.finditer(buffer, max(self._searched - 1, 0)):
            if match.end() == len(buffer) and match[0] == b"\r":
                break  # its line feed may come with the next chunk
            self._line(buffer[start : match.start()], found)
            start = match.end()
        self._rest = buffer[start:]
        self._searched = len(self._rest)
        if len(self._rest) + self._held_bytes > LONGEST_EVENT_BYTES:
            raise EventTooLong
        return found

    def finish(self) -> list[tuple[str, bytes | None]]:
        """The event that the end of the stream completes: several upstreams leave out the last blank line."""
        found: list[tuple[str, bytes | None]] = []
        if self._rest:
            self._line(self._rest.rstrip(b"\r"), found)
            self._rest = b""
        self._line(b"", found)
        return found

    def _line(self, line: bytes, found: list[tuple[str, bytes | None]]) -> None:
        if self._first:
            line, self._first = line.removeprefix(b"\xef\xbb\xbf"), False
        if not line:
            if self._data:
                found.append((self._event.decode("utf-8", "replace"), b"\n".join(self._data)))
            self._event, self._data, self._held_bytes = b"", [], 0
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not name:
            found.append(("", None))
        elif name == b"data":
            self._data.append(value)
            self._held_bytes += len(value)
        elif name == b"event":
            self._event = value


def openai_event(value: object) -> bytes:
    """One chunk as OpenAI sends it."""
    return b"data: " + encode(value) + b"\n\n"


def anthropic_event(value: dict[str, object]) -> bytes:
    """One event as Anthropic sends it, named by its type."""
    return b"event: " + str(value["type"]).encode() + b"\ndata: " + encode(value) + b"\n\n"


OPENAI_DONE = b"data: [DONE]\n\n"
COMMENT = b": ping\n\n"
ANTHROPIC_PING = b'event: ping\ndata: {"type":"ping"}\n\n'

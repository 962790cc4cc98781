"""What the two stream translators share: bytes in, events out, and one way to fail."""

from abc import ABC, abstractmethod

import msgspec

from farthing.gateway.translation.sse import EventReader, EventTooLong
from farthing.gateway.translation.words import Json, Note, Reply

CUT_OFF = "the upstream's stream ended before the answer was complete"


class StreamTranslator(ABC):
    """Feed it the upstream's bytes, cut anywhere; it gives the client's. After an error or the end it gives nothing."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.notes: list[Note] = []
        self.closed = False
        """Whether the client's stream is over: completed, or ended by an error event."""
        self.failed = False
        """Whether it ended by an error event."""
        self._reader = EventReader()

    def feed(self, chunk: bytes) -> bytes:
        """The client's bytes for `chunk`; often none, or several events."""
        if self.closed:
            return b""
        try:
            events = self._reader.feed(chunk)
        except EventTooLong:
            return self.fail("api_error", "the upstream sent an event that is too long")
        return self._events(events)

    def finish(self) -> bytes:
        """The client's bytes at the end of the upstream's: the rest of a complete answer, or an error event."""
        if self.closed:
            return b""
        made = self._events(self._reader.finish())
        return made if self.closed else made + self._end()

    def fail(self, kind: str, message: str) -> bytes:
        """End the client's stream by an error event; `kind` is Anthropic's error type. The gateway may call it too."""
        if self.closed:
            return b""
        self.closed = self.failed = True
        return self._error(kind, message)

    def note(self, field: str, what: str) -> None:
        """Note something once a stream."""
        note = Note(field, what)
        if note not in self.notes:
            self.notes.append(note)

    def _events(self, events: list[tuple[str, bytes | None]]) -> bytes:
        made = []
        for _, data in events:
            if self.closed:
                break
            if data is None:
                made.append(self._alive())
            elif data.strip() == b"[DONE]":
                made.append(self._done())
            else:
                made.append(self._decoded(data))
        return b"".join(made)

    def _decoded(self, data: bytes) -> bytes:
        try:
            value = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            value = None
        if not isinstance(value, dict):
            return self.fail("api_error", "the upstream sent an event that is not a JSON object")
        return self._event(value)

    @abstractmethod
    def _event(self, event: Json) -> bytes:
        """The client's bytes for one event."""

    @abstractmethod
    def _done(self) -> bytes:
        """The client's bytes for `[DONE]`."""

    @abstractmethod
    def _end(self) -> bytes:
        """The client's bytes where the upstream's stream ends without its closing event."""

    @abstractmethod
    def _alive(self) -> bytes:
        """The client's bytes for a comment."""

    @abstractmethod
    def _error(self, kind: str, message: str) -> bytes:
        """An error event."""

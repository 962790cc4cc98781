"""The meter of one streamed answer: bytes in, the same bytes out, and at the end what was served."""

from collections.abc import Mapping

from farthing.gateway.metering.answer import NO_HEADERS, Answer, served
from farthing.gateway.metering.decoding import crowded
from farthing.gateway.metering.gather_chat import ChatGatherer
from farthing.gateway.metering.gather_messages import MessagesGatherer
from farthing.gateway.metering.gather_responses import ResponsesGatherer
from farthing.gateway.metering.provider_usage import spelled
from farthing.gateway.metering.response import read_response
from farthing.gateway.metering.sse import LARGEST_EVENT, Events, data_of
from farthing.gateway.metering.surfaces import CHAT, COMPLETIONS, MESSAGES, RESPONSES, Surface
from farthing.gateway.metering.values import Asked, Served

_HELD = 64 << 10
"""A usage event is a few hundred bytes: what grows beyond this is none, and is passed on while it comes."""


class StreamMeter:
    """Meters the stream of one answer.

    `feed` every chunk and pass on what it gives back; at the stream's end (or break) pass on `close()`, then `finish()`
    says what was served. With `hide_usage` (the gateway asked for usage, the client did not) the event that holds
    usage and nothing else is left out; every other byte is passed on as it came. Without it `feed` gives back the very
    chunk. Never raises for bytes.
    """

    def __init__(
        self,
        surface: Surface,
        provider: str = "",
        *,
        hide_usage: bool = False,
        asked: Asked | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
        largest_event: int = LARGEST_EVENT,
    ) -> None:
        self._surface = surface
        self._provider = spelled(provider)
        self._asked = asked
        self._headers = headers
        self._hide = hide_usage and (surface is CHAT or surface is COMPLETIONS)
        self._events = Events(largest_event)
        self._answer = Answer()
        self._gather: ChatGatherer | MessagesGatherer | ResponsesGatherer
        if surface is MESSAGES:
            self._gather = MessagesGatherer(self._answer)
        elif surface is RESPONSES:
            self._gather = ResponsesGatherer(self._answer)
        else:
            self._gather = ChatGatherer(self._answer)
        self._passed = 0  # bytes of the unfinished event that were passed on already
        self._seen = False  # an event with data
        self._closed = False
        self._whole: bytes | None = None  # all that came, where it was no stream but one JSON object

    @property
    def settled(self) -> bool:
        """Whether the final usage is known: a drain after the client left can stop here."""
        return self._answer.final

    @property
    def pending(self) -> int:
        """How many bytes have come of an event that is not ended yet: the last ones of what was fed."""
        return len(self._events.rest)

    @property
    def error(self) -> str:
        """The type or code of an error that the stream holds, "" where it holds none."""
        return self._answer.error

    @property
    def began(self) -> bool:
        """Whether any output was seen (a retry would then be seen by the client)."""
        return self._answer.pieces > 0

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk; give back what is to be passed on to the client now."""
        events = self._events
        if not events.rest and not events.skipping and self._gather.takes(chunk):
            self._seen = True
            return chunk
        if not self._hide:
            for event in events.feed(chunk):
                self._read(event)
            if events.rest and events.overflows():
                self._too_large()
            return chunk
        whole = not events.rest
        kept: list[bytes] = []
        hidden = False
        for event in events.feed(chunk):
            already, self._passed = self._passed, 0
            if self._read(event) and not already:
                hidden = True
            else:
                kept.append(event[already:])
        if whole and not hidden and not events.rest:
            return chunk
        if len(events.rest) > _HELD:
            kept.append(bytes(events.rest[self._passed :]))
            self._passed = len(events.rest)
            if events.overflows():
                self._too_large()
        return b"".join(kept)

    def _read(self, event: bytes) -> bool:
        """Meter one event; whether it holds usage and nothing else."""
        data = data_of(event)
        if not data:
            return False
        self._seen = True
        if len(data) > _HELD and crowded(data):
            self._answer.note("an event of the stream was too crowded to be read")
            return False
        return self._gather.read(data)

    def _too_large(self) -> None:
        self._hide = False  # what was held is passed on; from here on nothing is held
        self._answer.note("an event of the stream was too large to be read")

    def close(self) -> bytes:
        """The stream has ended: what was held back and is to be passed on (an event without its blank line)."""
        if self._closed:
            return b""
        self._closed = True
        left = self._events.end()
        if not self._seen and left.lstrip().startswith(b"{"):
            self._whole = left
        elif left and self._read(left) and not self._passed:
            return b""
        return left[self._passed :] if self._hide else b""

    def finish(self) -> Served:
        """What was served, as far as it came."""
        self.close()
        if self._whole is not None:  # mostly an error
            return read_response(self._surface, self._provider, self._whole, self._headers, asked=self._asked)
        absent = "the stream ended without usage" if self._answer.complete else "the stream broke off before its usage"
        return served(
            self._surface, self._provider, self._answer, asked=self._asked, headers=self._headers, absent=absent
        )

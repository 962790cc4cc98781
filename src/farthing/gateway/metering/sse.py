"""Server-sent events cut out of a stream of bytes (https://html.spec.whatwg.org/multipage/server-sent-events.html).

Chunks may end anywhere: within a character, within a CRLF, within the blank line that ends an event. The events and the
rest, put together, are the bytes that came in.
"""

import re

_BLANK = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_RETURN = ord("\r")
_OVERLAP = 3  # a blank line is at most four bytes
LARGEST_EVENT = 64 << 20


class Events:
    """Cuts a stream into events, each with the blank line that ends it."""

    def __init__(self, largest: int = LARGEST_EVENT) -> None:
        self.rest = bytearray()
        """What has come of the event that is not ended yet."""
        self.skipping = False
        """An event larger than `largest` is passed over: it is in no result."""
        self._largest = largest

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that `chunk` ends."""
        rest = self.rest
        if self.skipping:
            return self._skip(chunk)
        if not rest and chunk.find(b"\n\n") == len(chunk) - 2 > 0 and _RETURN not in chunk:
            return [chunk]  # nearly always: a chunk is one event
        if rest:
            seam = bytes(rest[-_OVERLAP:]) + chunk
            if seam.find(b"\n\n") < 0 and (_RETURN not in seam or not _BLANK.search(seam)):
                rest += chunk
                return []
            chunk = bytes(rest) + chunk
            rest.clear()
        if _RETURN in chunk:
            return self._cut_mixed(chunk)
        parts = chunk.split(b"\n\n")
        if last := parts.pop():
            rest += last
        return [part + b"\n\n" for part in parts]

    def _cut_mixed(self, chunk: bytes) -> list[bytes]:
        events, at = [], 0
        for blank in _BLANK.finditer(chunk):
            end = blank.end()
            if end == len(chunk) and chunk.endswith(b"\r"):
                break  # the line feed of this CRLF may be in the next chunk
            events.append(chunk[at:end])
            at = end
        self.rest += chunk[at:]
        return events

    def overflows(self) -> bool:
        """Whether the unfinished event is too large to hold; it is then dropped, and passed over to its end."""
        if len(self.rest) <= self._largest:
            return False
        del self.rest[:-_OVERLAP]
        self.skipping = True
        return True

    def _skip(self, chunk: bytes) -> list[bytes]:
        seam = bytes(self.rest) + chunk
        blank = _BLANK.search(seam)
        self.rest.clear()
        if blank is None or (blank.end() == len(seam) and seam.endswith(b"\r")):
            self.rest += seam[-_OVERLAP:]
            return []
        self.skipping = False
        return self.feed(seam[blank.end() :])

    def end(self) -> bytes:
        """The event that the stream broke off, or left without its blank line."""
        left = b"" if self.skipping else bytes(self.rest)
        self.rest.clear()
        return left


def data_of(event: bytes) -> bytes:
    """The data of one event: its data lines joined by line feeds; b"" where it has none (a comment, a ping)."""
    at = 0 if event[:6] == b"data: " else event.find(b"\n") + 1 if event[:7] == b"event: " else -1
    # The common form: one line of data, with the event's name before it or without.
    if at >= 0 and event.find(b"\n", at) == len(event) - 2 and event[at : at + 6] == b"data: ":
        return event[at + 6 : -2]
    return _data_lines(event)


def _data_lines(event: bytes) -> bytes:
    found = []
    for line in event.removeprefix(b"\xef\xbb\xbf").splitlines():
        if line.startswith(b"data:"):
            found.append(line[6:] if line.startswith(b"data: ") else line[5:])
        elif line == b"data":
            found.append(b"")
    return b"\n".join(found)

"""Heads of requests that came before: what they mean is not read again.

A client sends the same head with each of its requests, but for the length of the body. The parser reads it; what it
read is kept by the head's bytes without that number, and the same bytes with another number mean the same with that
number. Only what is plain is kept (`meaning` says what that is), so that whatever frames a request in another way is
the parser's each time.
"""

import re
from typing import Any

import msgspec

from farthing.gateway.process.cycle import BY_NAME

MOST_KNOWN_BYTES = 4096
"""A longer head is not looked up."""
MOST_KNOWN = 256
"""How many a worker keeps: they hold the keys that clients show, and the memory of a few pages each."""

stated_length = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ([0-9]{1,15})(?=\r\n)").search
"""Finds the number that is cut out of a head."""
_NOT_PLAIN = frozenset({b"transfer-encoding", b"upgrade", b"expect"})


class Meaning(msgspec.Struct, frozen=True, kw_only=True):
    """What a head says: an ASGI scope without headers, and the headers, the length of the body left empty."""

    scope: dict[str, Any]
    headers: dict[bytes, bytes]

    def of(self, digits: bytes) -> dict[str, Any]:
        """The scope of a request whose body has `digits` as its length (b"": none is stated)."""
        scope, headers = self.scope.copy(), self.headers.copy()
        if digits:
            headers[b"content-length"] = digits
        scope["headers"], scope[BY_NAME] = headers.items(), headers
        return scope


def meaning(head: bytes, digits: bytes, url: bytes, scope: dict[str, Any]) -> Meaning | None:
    """What may be kept of a request that the parser found valid, and its connection to stay open; None where that is
    not to be: a name that is there twice, a body not framed by its length, an offer or a question to the server, or a
    line that is anything but "name: value" (by which the parser's end of the head is ours too).

    `head`: up to the first empty line, without `digits`, which are its content-length's.
    """
    headers = dict(scope["headers"])
    if not _NOT_PLAIN.isdisjoint(headers) or headers.get(b"content-length") != (digits or None):
        return None
    if digits:
        headers[b"content-length"] = b""
    lines = [b"%b %b HTTP/1.1" % (scope["method"].encode(), url), *map(b": ".join, headers.items())]
    if head.lower() != b"\r\n".join(lines).lower():
        return None
    kept = {name: value for name, value in scope.items() if name != "headers"}
    return Meaning(scope=kept, headers=headers)

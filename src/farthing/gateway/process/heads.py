"""Heads of requests that came before: what they mean is not read again.

A client sends the same head with each of its requests, but for the length of the body. The parser reads it; what it
read is kept by the head's bytes without that number, and the same bytes with another number mean the same with that
number. Only what is plain is kept (`meaning` says what that is), so that whatever frames a request in another way is
the parser's each time.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import httptools

from farthing.gateway.process.wire import MOST_DIGITS, Meaning

MOST_KNOWN_BYTES = 4096
"""A longer head is not looked up."""
MOST_KNOWN = 256
"""How many a worker keeps: they hold the keys that clients show, and the memory of a few pages each."""

_stated_length = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ([0-9]{1,%d})(?=\r\n)" % MOST_DIGITS).search
_OFFERS = (b"upgrade", b"http2-settings")
_NOT_PLAIN = frozenset({b"transfer-encoding", b"upgrade", b"expect"})


def parts(data: bytes) -> tuple[int, int, int]:
    """Where the number begins that is cut out of the head that `data` begins with, where it ends (there, too, if there
    is none), and where the head's empty line does. The last is 0 where no head that is looked up is there."""
    end = data.find(b"\r\n\r\n", 0, MOST_KNOWN_BYTES)
    if end < 0:
        return 0, 0, 0
    found = _stated_length(data, 0, end + 2)
    return (*found.span(1), end + 4) if found else (end, end, end + 4)


def meaning(head: bytes, digits: bytes, url: bytes, scope: dict[str, Any]) -> Meaning | None:
    """What may be kept of a request that the parser found valid, and its connection to stay open; None where that is
    not to be: a name that is there twice, a body not framed by its length, an offer or a question to the server, or a
    line that is anything but "name: value" (by which the parser's end of the head is ours too).

    `head`: up to and with the first empty line, without `digits`, which are its content-length's.
    """
    headers = dict(scope["headers"])
    if not _NOT_PLAIN.isdisjoint(headers) or headers.get(b"content-length") != (digits or None):
        return None
    if digits:
        headers[b"content-length"] = b""
    lines = [b"%b %b HTTP/1.1" % (scope["method"].encode(), url), *map(b": ".join, headers.items()), b"\r\n"]
    if head.lower() != b"\r\n".join(lines).lower():
        return None
    kept = {name: value for name, value in scope.items() if name != "headers"}
    return Meaning(scope=kept, headers=headers)


@lru_cache(64)
def address(url: bytes) -> tuple[str, bytes]:
    """The path of what a request asks for, without its escapes, and its query."""
    if url.startswith(b"/") and b"#" not in url:
        raw, _, query = url.partition(b"?")
    else:
        parsed = httptools.parse_url(url)
        raw, query = parsed.path, parsed.query or b""
    path = raw.decode("ascii")
    return (unquote(path) if "%" in path else path), query


def without_offer(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The lines of `headers` and the empty one, without an offer to change to another protocol."""
    lines = []
    for name, value in headers:
        if name == b"connection":
            words = [word for word in value.split(b",") if word.strip().lower() not in _OFFERS]
            value = b",".join(words)
        if name not in _OFFERS:
            lines.append(b"%s: %s\r\n" % (name, value))
    return b"".join(lines) + b"\r\n"

"""What of a request's head is read in Python: what it asks for, its ASGI scope, and an offer that is declined."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import httptools

_ASGI = {"version": "3.0", "spec_version": "2.3"}
_OFFERS = (b"upgrade", b"http2-settings")


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


def scope_of(
    version: str, method: str, address: tuple[str, bytes], headers: Iterable[tuple[bytes, bytes]]
) -> dict[str, Any]:
    """The ASGI scope of a request for `address`."""
    path, query = address
    return {
        "type": "http", "asgi": _ASGI, "http_version": version, "method": method, "path": path, "query_string": query,
        "headers": headers,
    }  # fmt: skip


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

"""Spans in OTLP's protobuf encoding, and sending them over HTTP.

The message is small and its numbers are frozen (opentelemetry-proto 1.x, `trace/v1/trace.proto`); written out here it
costs a fifth of the processor time of OpenTelemetry's own exporter, and neither its packages nor 20 MB in each worker.
"""

import os
import struct
from collections.abc import Iterable, Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from farthing import __version__
from farthing.gateway.observe.spans import Value

SERVER, CLIENT = 2, 3
"""Kinds of spans."""
_TIMEOUT_S = 10.0
_AGAIN = frozenset({408, 429, 502, 503, 504})
_fixed64, _double = struct.Struct("<Q").pack, struct.Struct("<d").pack
_REMOTE_KNOWN, _REMOTE = 0x100, 0x200  # SpanFlags: whether it is known, and so, that the parent is another process's


class Span(NamedTuple):
    """One finished span; ids as numbers, `parent` 0 for none; times in microseconds since 1970."""

    name: str
    kind: int
    trace: int
    span: int
    parent: int
    state: str
    started_us: int
    ended_us: int
    failed: bool
    attributes: Mapping[str, Value]


def encode(resource: Mapping[str, Value], spans: Iterable[Span]) -> bytes:
    """An ExportTraceServiceRequest with these spans."""
    scope = _text(1, "farthing.gateway") + _text(2, __version__)
    body = _part(1, scope) + b"".join([_part(2, _span(span)) for span in spans])
    about = b"".join([_part(1, _pair(key, value)) for key, value in resource.items()])
    return _part(1, _part(1, about) + _part(2, body))


def _span(span: Span) -> bytes:
    flags = 1 | _REMOTE_KNOWN | (_REMOTE if span.kind == SERVER and span.parent else 0)
    parts = [
        b"\x0a\x10" + span.trace.to_bytes(16),
        b"\x12\x08" + span.span.to_bytes(8),
        _text(3, span.state) if span.state else b"",
        b"\x22\x08" + span.parent.to_bytes(8) if span.parent else b"",
        _text(5, span.name),
        bytes((6 << 3, span.kind)),
        b"\x39" + _fixed64(span.started_us * 1000),
        b"\x41" + _fixed64(max(span.ended_us, span.started_us) * 1000),
        *[_part(9, _pair(key, value)) for key, value in span.attributes.items()],
        b"\x7a\x02\x18\x02" if span.failed else b"",  # status: code 2, an error
        b"\x85\x01" + struct.pack("<I", flags),
    ]
    return b"".join(parts)


_keys: dict[str, bytes] = {}  # our own names of attributes: few


def _pair(key: str, value: Value) -> bytes:
    head = _keys.get(key)
    if head is None:
        head = _keys[key] = _text(1, key)
    if isinstance(value, str):
        data = value.encode("utf-8", "replace")
        size = len(data)
        if size < 126:
            return head + bytes((0x12, size + 2, 0x0A, size)) + data
        return head + _part(2, _part(1, data))
    if value is True or value is False:
        return head + (b"\x12\x02\x10\x01" if value else b"\x12\x02\x10\x00")
    if isinstance(value, int):
        if 0 <= value < 128:
            return head + bytes((0x12, 2, 0x18, value))
        return head + _part(2, b"\x18" + _varint(value & (2**64 - 1)))
    return head + b"\x12\x09\x21" + _double(value)


def _text(field: int, text: str) -> bytes:
    return _part(field, text.encode("utf-8", "replace"))  # half a character, which UTF-8 cannot hold, loses no span


def _part(field: int, data: bytes) -> bytes:
    size = len(data)
    if size < 128:
        return bytes((field << 3 | 2, size)) + data
    return bytes((field << 3 | 2,)) + _varint(size) + data


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


class Sender:
    """A connection to an OTLP/HTTP receiver at `endpoint`, kept open. For one thread.

    Its headers (keys, usually) come from OTEL_EXPORTER_OTLP_HEADERS and OTEL_EXPORTER_OTLP_TRACES_HEADERS.
    """

    def __init__(self, endpoint: str, environ: Mapping[str, str] = os.environ) -> None:
        address = urlsplit(traces_address(endpoint))
        self._path = address.path + (f"?{address.query}" if address.query else "")
        kind = HTTPSConnection if address.scheme == "https" else HTTPConnection
        self._connection = kind(address.hostname or "", address.port, timeout=_TIMEOUT_S)
        self._headers = {
            "user-agent": f"farthing/{__version__}",
            **pairs(environ.get("OTEL_EXPORTER_OTLP_HEADERS", "")),
            **pairs(environ.get("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "")),
            "content-type": "application/x-protobuf",
        }

    def send(self, body: bytes) -> tuple[str, bool]:
        """Send it: why that failed ("" where it did not), and whether it may work later."""
        fresh = self._connection.sock is None
        try:
            self._connection.request("POST", self._path, body, self._headers)
            answer = self._connection.getresponse()
            answer.read()
        except (OSError, HTTPException) as error:
            self._connection.close()
            if not fresh and isinstance(error, (ConnectionError, HTTPException)):
                return self.send(body)  # it had been closed while it was idle
            return str(error) or type(error).__name__, True
        if answer.status // 100 == 2:
            return "", False
        return f"the receiver answers {answer.status} {answer.reason}", answer.status in _AGAIN

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def traces_address(endpoint: str) -> str:
    """Where traces go: `endpoint`, with /v1/traces where it names no path (as OpenTelemetry reads a base address)."""
    scheme, _, rest = endpoint.partition("://")
    host, slash, path = rest.partition("/")
    return endpoint if slash and path else f"{scheme}://{host}/v1/traces"


def pairs(text: str) -> dict[str, str]:
    """ "key=value,…" with percent-encoding, as OpenTelemetry's environment variables have it; what is no pair is
    left out."""
    found = {}
    for item in text.split(","):
        key, equals, value = item.partition("=")
        if equals and key.strip():
            found[key.strip()] = unquote(value.strip())
    return found

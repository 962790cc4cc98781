"""Faults of what an answer says, and of how a stream's events are written."""

import gzip
import json
from collections.abc import Iterator

from tests.gateway.faulty import answers
from tests.gateway.faulty.answers import event_bytes
from tests.gateway.faulty.asked import Asked
from tests.gateway.faulty.fault_usage import events_reply
from tests.gateway.faulty.registry import alters
from tests.gateway.faulty.wire import Reply


@alters
def html(asked: Asked, reply: Reply) -> Reply:
    """A proxy's page instead of an answer (status 502 unless ordered)."""
    status = asked.orders.status or 502
    return Reply(status, [("content-type", "text/html")], [b"<html><body><h1>Bad Gateway</h1></body></html>"], [0])


@alters
def redirect(asked: Asked, reply: Reply) -> Reply:
    return Reply(asked.orders.status or 307, [("location", asked.orders.to or "/v1/elsewhere")], [b""], [0])


@alters
def empty(asked: Asked, reply: Reply) -> Reply:
    return reply.whole(b"")._replace(chunked=False, tokens=[0])


@alters
def not_json(asked: Asked, reply: Reply) -> Reply:
    return reply.whole(b"Service is fine, thank you.")._replace(tokens=[0])


@alters
def garbage(asked: Asked, reply: Reply) -> Reply:
    return reply.whole(bytes(range(256)) * 8)._replace(tokens=[0])


@alters
def half_json(asked: Asked, reply: Reply) -> Reply:
    """A JSON document that ends in the middle, its length told rightly."""
    return reply.whole(reply.body[: len(reply.body) // 2])


@alters
def invalid_utf8(asked: Asked, reply: Reply) -> Reply:
    return reply._replace(chunks=[chunk.replace(b"word0", b"wo\xff\xfe\xc3") for chunk in reply.chunks])


@alters
def error_in_200(asked: Asked, reply: Reply) -> Reply:
    """Status 200 with an error inside, as some servers do; in a stream the error is its only event."""
    told = answers.error(500, asked.anthropic, asked.orders.type)
    if not asked.stream:
        return reply.whole(json.dumps(told).encode())._replace(tokens=[0])
    return reply._replace(chunks=[event_bytes(asked, told)], tokens=[0])


@alters
def json_for_stream(asked: Asked, reply: Reply) -> Reply:
    """A whole JSON answer although a stream was asked for."""
    body = json.dumps(answers.WHOLE[asked.path](asked)).encode()
    return Reply(200, [("content-type", "application/json")], [body], [len(asked.words)])


@alters
def gzipped(asked: Asked, reply: Reply) -> Reply:
    """Compressed though not asked for."""
    packed = reply.whole(gzip.compress(reply.body))
    return packed._replace(headers=[*reply.headers, ("content-encoding", "gzip")])


@alters
def gzip_lie(asked: Asked, reply: Reply) -> Reply:
    return reply._replace(headers=[*reply.headers, ("content-encoding", "gzip")])


@alters
def duplicate_headers(asked: Asked, reply: Reply) -> Reply:
    twice = [("x-request-id", "one"), ("x-request-id", "two"), ("set-cookie", "a=1"), ("set-cookie", "b=2")]
    return reply._replace(headers=[*reply.headers, ("content-type", "text/plain"), *twice])


@alters
def huge_headers(asked: Asked, reply: Reply) -> Reply:
    return reply._replace(headers=[*reply.headers, ("x-huge", "h" * (asked.orders.size or 200_000))])


@alters
def many_headers(asked: Asked, reply: Reply) -> Reply:
    return reply._replace(
        headers=[*reply.headers, *((f"x-many-{n}", "v" * 50) for n in range(asked.orders.size or 500))]
    )


@alters
def huge_answer(asked: Asked, reply: Reply) -> Reply:
    """A string of `size` bytes in the first word; in a stream it is one event of that size."""
    big = b"w" * (asked.orders.size or 2_000_000)
    return reply._replace(chunks=[chunk.replace(b"word0", big, 1) for chunk in reply.chunks])


# How a stream is written


@alters
def no_done(asked: Asked, reply: Reply) -> Reply:
    """All but `[DONE]` (or `message_stop`)."""
    return reply._replace(chunks=reply.chunks[:-1])


@alters
def no_end(asked: Asked, reply: Reply) -> Reply:
    """Properly closed after `at` events: no finish reason, no usage, no `[DONE]`."""
    return reply._replace(chunks=reply.chunks[: asked.orders.at])


@alters
def error_mid(asked: Asked, reply: Reply) -> Reply:
    """An error event after `at` events, then a proper end of the connection."""
    error = event_bytes(asked, answers.error(529 if asked.anthropic else 500, asked.anthropic, asked.orders.type))
    return reply._replace(chunks=[*reply.chunks[: asked.orders.at], error])


@alters
def junk_event(asked: Asked, reply: Reply) -> Reply:
    """An event that is not JSON after `at` events; the stream goes on."""
    at = asked.orders.at
    chunks = [*reply.chunks[:at], b"data: {this is no JSON\n\n", *reply.chunks[at:]]
    return reply._replace(chunks=chunks, tokens=[*reply.tokens[:at], 0, *reply.tokens[at:]])


@alters
def comments(asked: Asked, reply: Reply) -> Reply:
    """Signs of life between events, a byte-order mark before, `\\r\\n` at the ends of lines."""
    crlf = events_reply(asked, reply, answers.EVENTS[asked.path](asked), "\r\n") if asked.stream else reply
    if not asked.stream:
        return crlf
    chunks = [b": keep alive\r\n\r\n" + chunk for chunk in crlf.chunks]
    return crlf._replace(chunks=[b"\xef\xbb\xbf" + chunks[0], *chunks[1:]])


@alters
def one_byte(asked: Asked, reply: Reply) -> Reply:
    """Every byte in a chunk of its own."""
    return _cut_up(reply, 1)


@alters
def split(asked: Asked, reply: Reply) -> Reply:
    """Cut every 7 bytes, in the middle of lines and of characters."""
    return _cut_up(reply, asked.orders.size or 7)


def _cut_up(reply: Reply, size: int) -> Reply:
    def pieces() -> Iterator[tuple[bytes, int]]:
        for chunk, tokens in zip(reply.chunks, reply.tokens, strict=False):
            for start in range(0, len(chunk), size):
                yield chunk[start : start + size], tokens if start + size >= len(chunk) else 0

    cut = list(pieces())
    return reply._replace(chunks=[chunk for chunk, _ in cut], tokens=[tokens for _, tokens in cut], chunked=True)


@alters
def padded(asked: Asked, reply: Reply) -> Reply:
    """Every event with a comment of `size` bytes before it."""
    pad = b": " + b"p" * (asked.orders.size or 1000) + b"\n\n"
    return reply._replace(chunks=[pad + chunk for chunk in reply.chunks])

"""Asking for usage in a stream where the client did not: spliced into the bytes, nothing re-encoded."""

import msgspec

from farthing.gateway.metering.decoding import FAULTS, without_surrogates
from farthing.gateway.metering.members import is_empty, members, opening

_ASK = b'{"include_usage":true}'


class _Streams(msgspec.Struct):
    stream: bool | None = None
    stream_options: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Streams).decode


def with_stream_usage(body: bytes) -> bytes:
    """`body` with `stream_options.include_usage` true, every other byte as it was.

    For requests to OpenAI's chat/completions and completions. A body that does not stream, already asks, or is not
    a JSON object comes back as it is (the same object).
    """
    try:
        streams = _decode(body)
    except FAULTS:
        try:
            streams = _decode(without_surrogates(body))
        except FAULTS:
            return body
    if not streams.stream:
        return body
    if not bytes(streams.stream_options):
        inside = opening(body)
        return body[:inside] + b'"stream_options":' + _ASK + b"," + body[inside:]
    options = [member for member in members(body) if member.name == "stream_options"]
    start, end = options[-1].start, options[-1].end
    value = body[start:end]
    if value == b"null":
        return body[:start] + _ASK + body[end:]
    if not value.startswith(b"{"):
        return body
    asked = [member for member in members(body, start) if member.name == "include_usage"]
    if not asked:
        inside = opening(body, start)
        comma = b"" if is_empty(body, inside) else b","
        return body[:inside] + b'"include_usage":true' + comma + body[inside:]
    last = asked[-1]
    if body[last.start : last.end] == b"true":
        return body
    return body[: last.start] + b"true" + body[last.end :]

"""A limit on the answer's length where the client stated none: spliced into the bytes, nothing re-encoded."""

from farthing.gateway.metering.members import is_empty, members, opening
from farthing.gateway.metering.surfaces import Surface

CAP_FIELDS = {
    Surface.CHAT: "max_completion_tokens",
    Surface.COMPLETIONS: "max_tokens",
    Surface.RESPONSES: "max_output_tokens",
    Surface.MESSAGES: "max_tokens",
}
"""What each surface calls the limit; others have none. Some upstreams know only `max_tokens` on chat/completions."""


def with_output_cap(surface: Surface, body: bytes, tokens: int, field: str = "") -> bytes:
    """`body` with at most `tokens` tokens asked for, every other byte as it was.

    For a body that `read_request` took and found without a limit (`Asked.max_output_tokens` is None); a limit of
    null gives way. `field`: what the upstream calls it, "" as the surface does. On a surface that knows no limit
    the body comes back as it is (the same object).
    """
    name = field or CAP_FIELDS.get(surface, "")
    if not name:
        return body
    value, quoted = str(tokens).encode(), b'"' + name.encode() + b'"'
    if quoted in body or b"\\u" in body:  # a letter of the name may be escaped
        stated = [member for member in members(body) if member.name == name]
        if stated:
            return body[: stated[-1].start] + value + body[stated[-1].end :]
    inside = opening(body)
    comma = b"" if is_empty(body, inside) else b","
    return body[:inside] + quoted + b":" + value + comma + body[inside:]

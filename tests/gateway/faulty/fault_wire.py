"""Faults of the connection: how an answer is sent, or not."""

from tests.gateway.faulty.asked import Asked
from tests.gateway.faulty.log import Record
from tests.gateway.faulty.registry import takes
from tests.gateway.faulty.wire import Reply, Wire


@takes
async def hang(asked: Asked, reply: Reply, wire: Wire, record: Record) -> None:
    """Nothing, ever."""
    await wire.hang()


@takes
async def hang_mid(asked: Asked, reply: Reply, wire: Wire, record: Record) -> None:
    """`at` events (or half of the body), then nothing."""
    await _some(asked, reply, wire, record)
    await wire.hang()


@takes
async def die(asked: Asked, reply: Reply, wire: Wire, record: Record) -> None:
    """`at` events (or half of the body), then the connection's end: `how` = fin or rst."""
    await _some(asked, reply, wire, record)
    wire.cut(asked.orders.how)


async def _some(asked: Asked, reply: Reply, wire: Wire, record: Record) -> None:
    if reply.chunked:
        gap_s = asked.orders.gap_ms / 1e3 or 0.005  # so that what was sent arrives before a reset overtakes it
        await wire.send_reply(reply, record, gap_s, upto=asked.orders.at)
        await wire.pause(gap_s)
    else:
        await wire.send(reply.head() + reply.body[: len(reply.body) // 2])


@takes
async def refuse(asked: Asked, reply: Reply, wire: Wire, record: Record) -> None:
    """The connection ends without a byte."""
    wire.cut(asked.orders.how)


@takes
async def half_headers(asked: Asked, reply: Reply, wire: Wire, record: Record) -> None:
    await wire.send(reply.head()[:30])
    wire.cut(asked.orders.how)


@takes
async def not_http(asked: Asked, reply: Reply, wire: Wire, record: Record) -> None:
    await wire.send(b"220 mail.example ESMTP ready\r\n\r\n")
    wire.cut("fin")


@takes
async def length_over(asked: Asked, reply: Reply, wire: Wire, record: Record) -> None:
    """The told length is larger than what comes; then the connection ends."""
    plain = reply._replace(chunked=False)
    record.output += sum(reply.tokens)
    await wire.send(plain.head(len(plain.body) + 100) + plain.body)
    wire.cut(asked.orders.how)


@takes
async def length_under(asked: Asked, reply: Reply, wire: Wire, record: Record) -> None:
    """The told length is shorter than what comes."""
    plain = reply._replace(chunked=False)
    await wire.send(plain.head(len(plain.body) - 20) + plain.body)
    wire.cut("fin")


@takes
async def two_lengths(asked: Asked, reply: Reply, wire: Wire, record: Record) -> None:
    plain = reply._replace(chunked=False, headers=[*reply.headers, ("content-length", "5")])
    await wire.send(plain.head() + plain.body)
    wire.cut("fin")


@takes
async def until_closed(asked: Asked, reply: Reply, wire: Wire, record: Record) -> None:
    """No length and not chunked: HTTP/1.0's way, ended by the connection's end (legal)."""
    head = reply._replace(headers=[*reply.headers, ("connection", "close")], chunked=True).head()
    record.output += sum(reply.tokens)
    await wire.send(head.replace(b"transfer-encoding: chunked\r\n", b"") + reply.body)
    wire.cut("fin")


@takes
async def bad_chunk(asked: Asked, reply: Reply, wire: Wire, record: Record) -> None:
    """`at` events, then a chunk whose size is no number."""
    await _some(asked, reply._replace(chunked=True), wire, record)
    await wire.send(b"zz\r\nnot a chunk\r\n")
    wire.cut("fin")


@takes
async def interim(asked: Asked, reply: Reply, wire: Wire, record: Record) -> None:
    """`100 Continue` and `103 Early Hints` before the answer (legal)."""
    await wire.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n")
    await wire.send_reply(reply, record)

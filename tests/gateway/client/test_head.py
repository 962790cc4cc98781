"""Plain heads are read in C: nowhere less strictly than by the parser, and no differently."""

import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from farthing.gateway.client.head import Head, plain_head

START, LENGTH = b"HTTP/1.1 200 OK", b"content-length: 5"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: r\r\nContent-Length: 5\r\n\r\n"
OTHER = b"HTTP/1.1 429 Slow\r\nContent-Type: application/json\r\nX-Request-Id: q\r\nA: 1\r\ncontent-length: 17\r\n\r\n"


def of(*lines: bytes, start: bytes = START) -> bytes:
    return b"\r\n".join((start, *lines, b"", b""))


def test_a_plain_head_is_read() -> None:
    head = plain_head(PLAIN + b"hello")
    assert head is not None and (head.status, head.length) == (200, 5)
    assert head.pairs == (("content-type", "application/json"), ("x-request-id", "r"), ("content-length", "5"))
    assert head.named == dict(head.pairs) and head.named is head.named and head.memo is None


def test_the_same_head_is_one_and_the_same_object() -> None:
    first = plain_head(PLAIN)
    assert plain_head(PLAIN + b"hello", first) is first
    assert plain_head(PLAIN[:-1], first) is None and plain_head(PLAIN) is not first


def test_a_head_that_resembles_the_one_before_is_read_as_if_it_did_not() -> None:
    first, alone = plain_head(PLAIN), plain_head(OTHER)
    after = plain_head(OTHER, first)
    assert first is not None and alone is not None and after is not None
    assert (after.status, after.length, after.pairs) == (429, 17, alone.pairs)
    assert after.pairs[0] is first.pairs[0]
    again = plain_head(PLAIN, after)  # and back, of another number of lines
    assert again is not None and (again.pairs, again.length) == (first.pairs, 5)


def test_a_head_that_the_parser_read_is_none_to_compare_with() -> None:
    read = Head(200, [("content-type", "text/event-stream")])
    assert (read.length, read.named) == (-1, {"content-type": "text/event-stream"})
    found = plain_head(PLAIN, read)
    assert found is not None and found.length == 5
    found.__init__(200, [])  # type: ignore[misc]  # nobody does, but it must not end the process
    assert found.pairs == () and plain_head(PLAIN, found) is not found


@pytest.mark.parametrize("size", range(len(PLAIN)))
def test_a_head_that_has_not_come_to_its_end_is_none(size: int) -> None:
    assert plain_head(PLAIN[:size]) is None and plain_head(PLAIN[:size], plain_head(PLAIN)) is None


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\r\n" + of(LENGTH), of(), of(start=START + b"\r\n" + LENGTH)[:-2] + b"\n",
        *(of(LENGTH, start=start) for start in (
            b"HTTP/1.0 200 OK", b"HTTP/1.1 200", b"HTTP/1.1 100 Continue", b"HTTP/1.1 101 Switching",
            b"HTTP/1.1 204 No", b"HTTP/1.1 304 Not", b"HTTP/1.1 600 X", b"HTTP/1.1 2000 X", b"http/1.1 200 OK",
            b"HTTP/1.1  200 OK", b"HTTP/1.1 200 O\0K", b"HTTP/1.1 200 OK\n",
        )),
        *(of(line, LENGTH) for line in (
            LENGTH, b"Content-Length: 5", b"Transfer-Encoding: chunked", b"transfer-encoding: identity",
            b"connection: close", b"Connection: keep-alive, close", b"connection: upgrade", b"proxy-connection: close",
            b"upgrade: h2c", b" folded", b"\tfolded", b"a name: 1", b"name : 1", b": 1", b"nothing", b"x:", b"x: \t",
            b"x: a\0b", b"x: a\rb", b"x: a\nb", b"x: a\x7fb", b"n\0: 1", b"x-%b: 1" % (b"y" * 64),
        )),
        *(of(line) for line in (
            b"content-length: -5", b"content-length: +5", b"content-length: 5 5", b"content-length: 5,5",
            b"content-length: 0x5", b"content-length: 1234567890123456", b"content-length: ",
        )),
        of(*(b"x-%d: 1" % n for n in range(64)), LENGTH),
        of(b"x: " + b"y" * (32 << 10), LENGTH),
    ],
)  # fmt: skip
def test_what_is_not_plain_is_left_to_the_parser(data: bytes) -> None:
    assert plain_head(data) is None and plain_head(data, plain_head(PLAIN)) is None


def test_the_bounds_of_what_is_plain() -> None:
    for data in (
        of(*(b"x-%d: 1" % n for n in range(63)), LENGTH),
        of(b"x-%b: 1" % (b"y" * 62), LENGTH),
        of(b"content-length: 123456789012345"),
        of(b"x: " + b"y" * (31 << 10), LENGTH),
    ):
        assert plain_head(data) is not None


def test_values_are_as_the_parser_gives_them() -> None:
    head = plain_head(of(b"A:b", b"C:\t d \t", b"e: \xe9\t\xff", b"f: \xa0g\x85 ", b"h: \xa0", b"Content-Length:  05 "))
    assert head is not None and head.length == 5
    told = (("a", "b"), ("c", "d"), ("e", "\xe9\t\xff"), ("f", "g"), ("h", ""), ("content-length", "05"))
    assert head.pairs == told


class Parsed:
    """What the parser makes of an answer."""

    def __init__(self, data: bytes) -> None:
        self.pairs: list[tuple[str, str]] = []
        self.body = b""
        self.whole = 0
        self.status = 0
        self.lasting = False
        parser = self._parser = httptools.HttpResponseParser(self)
        parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.pairs.append((name.decode("latin-1").lower(), value.decode("latin-1").strip()))

    def on_headers_complete(self) -> None:
        self.status, self.lasting = self._parser.get_status_code(), self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.whole += 1


def check(data: bytes, known: Head | None) -> Head | None:
    """`data` is no plain head, or it is to the parser what it is to us, and with its body one whole answer."""
    head = plain_head(data, known)
    alone = plain_head(data)
    assert (head is None) == (alone is None)
    if head is None or alone is None:
        return known
    assert (head.status, head.length, head.pairs) == (alone.status, alone.length, alone.pairs)
    body = b"b" * min(head.length, 1000)
    found = Parsed(data[: data.index(b"\r\n\r\n") + 4] + body)
    assert (found.status, tuple(found.pairs), found.lasting) == (head.status, head.pairs, True)
    assert head.length > 1000 or (found.body, found.whole) == (body, 1)
    return head


STARTS = st.sampled_from(
    [START] * 8 + [b"HTTP/1.1 200 ", b"HTTP/1.1 429 Too\tMany\xff", b"HTTP/1.0 200 OK", b"HTTP/1.1 205 X"]
)
LINES = st.sampled_from(
    [
        LENGTH, b"Content-Length:05 ", b"content-length: 0", b"content-length: 6", b"content-length: 5\t",
        b"connection: keep-alive", b"Connection: Keep-Alive", b"connection: close", b"connection: keep-alive,upgrade",
        b"transfer-encoding: chunked", b"upgrade: h2c", b"keep-alive: timeout=5", b"trailer: x", b"x-request-id: r",
        b"x-request-id: q", b"X-A_b.c: \x80\xff v \xa0", b"content-type: application/json", b"x:", b" folded",
        b"x!#: 1",
    ]
)  # fmt: skip
ENDS = st.sampled_from([b"\r\n"] * 24 + [b"\n", b"\r", b"\r\r\n"])
FLIPS = st.lists(
    st.tuples(st.integers(0, 400), st.sampled_from("+-="), st.sampled_from(b"\r\n :\x00\t5cC,\x7f\x80\xff-")),
    max_size=2,
)


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """A head, mostly valid, with a byte or two put in, taken out or exchanged."""
    lines = [draw(STARTS), *draw(st.lists(LINES, max_size=5)), *draw(st.sampled_from([[], [LENGTH]])), b""]
    data = bytearray(b"".join(line + draw(ENDS) for line in lines))
    for at, how, byte in draw(FLIPS):
        at %= len(data)
        if how == "+":
            data.insert(at, byte)
        elif how == "=":
            data[at] = byte
        elif len(data) > 1:
            del data[at]
    return bytes(data)


@settings(deadline=None, max_examples=400)
@given(st.lists(st.one_of(heads(), heads(), st.binary(max_size=80)), min_size=1, max_size=4))
@example([PLAIN, OTHER, PLAIN, PLAIN])
def test_what_is_plain_to_us_is_the_same_to_the_parser(datas: list[bytes]) -> None:
    known: Head | None = None
    for data in datas:
        known = check(data, known)

"""The heads of plain requests: what they say, and that the parser says the same of them."""

import tracemalloc
from typing import Any

import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from farthing.gateway.process.heads import address
from farthing.gateway.process.plain_turns import Wire
from farthing.gateway.process.request_head import BY_NAME, Heads, Meaning, plain_head
from farthing.gateway.process.request_lines import MOST_DIGITS, MOST_LINES, MOST_PLAIN_BYTES

START = b"POST /v1/x%20y?q=1&r HTTP/1.1"
LENGTH = b"Content-Length: 5"
TRACE = b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Unmade(Wire):
    """A connection that was not made ready."""

    def __init__(self) -> None:
        self._resting = True


def of(*lines: bytes, start: bytes = START) -> bytes:
    return b"".join(line + b"\r\n" for line in (start, *lines, b""))


PLAIN = of(b"Host: x", b"Authorization: Bearer \xe9\t1", b"X-Empty: ", LENGTH, TRACE)
OTHER = PLAIN.replace(b"0af7", b"1bf8").replace(b": 5", b": 12")


def told(data: bytes, last: Meaning | None = None) -> tuple[Any, ...] | None:
    found = plain_head(data, last)
    if found is None:
        return None
    meaning, digits, start = found
    scope = {**meaning.of(digits)}
    headers = list(scope.pop("headers"))
    assert dict(headers) == scope.pop(BY_NAME) and len(dict(headers)) == len(headers)
    assert meaning.headers == {**dict(headers), **({b"content-length": b""} if digits else {})}
    assert (scope["method"], scope["path"], scope["query_string"]) == (meaning.method, meaning.path, meaning.query)
    return scope, headers, digits, start


def test_what_a_plain_head_says() -> None:
    scope, headers, digits, start = told(PLAIN + b"abcde") or ()
    assert scope == {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "POST",
        "path": "/v1/x y", "query_string": b"q=1&r",
    }  # fmt: skip
    name, _, trace = TRACE.partition(b": ")
    assert headers == [
        (b"host", b"x"), (b"authorization", b"Bearer \xe9\t1"), (b"x-empty", b""), (b"content-length", b"5"),
        (name, trace),
    ]  # fmt: skip
    assert (digits, start) == (b"5", len(PLAIN))


def test_the_same_head_is_one_and_another_has_its_own_values() -> None:
    first = plain_head(PLAIN)
    assert first is not None
    last = first[0]
    assert plain_head(PLAIN + b"abcde", last) == (last, b"5", len(PLAIN))
    longer = PLAIN.replace(b": 5", b": 0123456")
    assert plain_head(longer, last) == (last, b"0123456", len(longer))
    before = dict(last.headers)
    other = plain_head(OTHER, last)
    assert other is not None and other[0] is not last and last.headers == before
    assert other[0].headers == {**before, b"traceparent": before[b"traceparent"].replace(b"0af7", b"1bf8")}
    assert other[0].memo is None


@pytest.mark.parametrize(
    "data",
    [
        of(), of(LENGTH), of(b"A: b", TRACE), of(TRACE, b"A: b", LENGTH), of(LENGTH, b"host: x"), PLAIN, OTHER,
        of(b"Host: y", b"Authorization: Bearer \xe9\t1", b"X-Empty: ", LENGTH, TRACE, b"and: more"),
        of(b"Host: x", b"Authorization: Bearer \xe9\t1", b"X-Full: ", LENGTH, TRACE),
        of(b"Host: x", b"Authorization: Bearer \xe9\t1", b"X-Empty: "),
        of(b"Host: x", b"Authorization: Bearer \xe9\t1", b"Content-length: 7", b"X-Empty: ", TRACE),
        of(b"Host: x", b"Authorization: Bearer \xe9\t1", b"X-Empty: ", b"content-length: 7", TRACE),
        *(PLAIN.replace(b"POST", method) for method in (b"GET", b"HEAD", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")),
        PLAIN.replace(START, b"GET / HTTP/1.1"), PLAIN.replace(START, b"GET //x/@:!$&'()*+,;=~_.-?a?/ HTTP/1.1"),
        PLAIN.replace(b"Host: x", b"Connection: keep-alive"), PLAIN.replace(b"Host: x", b"CONNECTION: Keep-Alive"),
    ],
)  # fmt: skip
def test_one_that_resembles_another_says_what_it_says_alone(data: bytes) -> None:
    alone = told(data)
    assert alone is not None
    for other in (PLAIN, OTHER, of(), of(LENGTH), of(b"Host: x"), data, data.replace(b"5", b"6")):
        found = plain_head(other)
        assert found is not None
        assert told(data, found[0]) == alone


@pytest.mark.parametrize("size", range(len(PLAIN)))
def test_a_head_that_has_not_come_to_its_end_is_none(size: int) -> None:
    last = plain_head(PLAIN)
    assert last is not None
    assert told(PLAIN[:size]) is None and told(PLAIN[:size], last[0]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\r\n" + of(LENGTH), of(LENGTH)[:-2] + b"\n", of(LENGTH)[:-2] + b"\r\r\n",
        *(of(LENGTH, start=start) for start in (
            b"POST / HTTP/1.0", b"POST / HTTP/2.0", b"POST / HTTP/1.1 ", b"POST /", b"POST  / HTTP/1.1",
            b"post / HTTP/1.1", b"POST\t/ HTTP/1.1", b"POST /  HTTP/1.1", b"POST / http/1.1",
            b"POST http://x/ HTTP/1.1", b"CONNECT x:1 HTTP/1.1", b"OPTIONS * HTTP/1.1", b"TRACE / HTTP/1.1",
            b"POST /#a HTTP/1.1", b"POST /?#a HTTP/1.1", b"POST /\xe9 HTTP/1.1", b"POST /\0 HTTP/1.1",
            b"POST /a b HTTP/1.1", b"POST /a\tb HTTP/1.1", b"POST /<> HTTP/1.1", b"POST /\\ HTTP/1.1",
            b"POST /\x7f HTTP/1.1", b"POST x HTTP/1.1", b"POST  HTTP/1.1", b" POST / HTTP/1.1", b"XPOST / HTTP/1.1",
            b"POST / HTTP/1.1\r", b"POST / HTTP/1.1\nx: y", b"PRI * HTTP/2.0", b"POST /\r\n HTTP/1.1",
        )),
        *(of(line, LENGTH) for line in (
            LENGTH, b"Content-Length: 5", b"content-length: 6", b"CONTENT-LENGTH: 5", b"Transfer-Encoding: chunked",
            b"transfer-encoding: identity", b"transfer-encoding: ", b"connection: close",
            b"Connection: keep-alive, close", b"connection: upgrade", b"connection: ", b"connection: te",
            b"proxy-connection: keep-alive", b"upgrade: h2c", b"upgrade: ", b"expect: 100-continue", b"Expect: ",
            b" folded", b"\tfolded", b" ", b"a name: 1", b"name : 1", b"name\t: 1", b": 1", b"nothing", b"x:",
            b"x:1", b"x:\t1", b"x:  1", b"x: 1 ", b"x: 1\t", b"x:  ", b"x: \t", b"x: a\0b", b"x: a\rb", b"x: a\nb",
            b"x: a\x7fb", b"x: 12345678\x1f", b"x: \x0112345678", b"n\0: 1", b"n\xe9: 1", b"n!: 1",
            b"x-%b: 1" % (b"y" * 63), b"x: 1\r\nX: 2", b"x: 1\r\nx: 1", b"x: 1\r\n y", b"x: 1\r",
        )),
        *(of(line) for line in (
            b"content-length: -5", b"content-length: +5", b"content-length: 5 5", b"content-length: 5,5",
            b"content-length: 0x5", b"content-length: %d" % 10**MOST_DIGITS, b"content-length: ", b"content-length: 5 ",
            b"content-length:5", b"content-length:  5", b"content-length: 5\r\n ", b"content-length: \xb2",
        )),
        of(*(b"x-%d: 1" % n for n in range(MOST_LINES)), LENGTH),
        of(b"x: " + b"y" * MOST_PLAIN_BYTES, LENGTH), of(start=b"GET /%b HTTP/1.1" % (b"a" * MOST_PLAIN_BYTES)),
    ],
)  # fmt: skip
def test_what_is_not_plain_is_left_to_the_parser(data: bytes) -> None:
    assert told(data) is None
    for other in (PLAIN, of(LENGTH), of()):
        found = plain_head(other)
        assert found is not None and told(data, found[0]) is None


def test_the_bounds_of_what_is_plain() -> None:
    for data in (
        of(*(b"x-%d: 1" % n for n in range(MOST_LINES - 1)), LENGTH),
        of(b"x-%b: 1" % (b"y" * 62), LENGTH),
        of(b"content-length: " + b"9" * MOST_DIGITS),
        of(b"x: " + b"y" * (MOST_PLAIN_BYTES - len(of(b"x: ")))),
    ):
        found = plain_head(data + b"abc")
        assert found is not None and found[2] == len(data)
        assert told(data + b"abc", found[0]) == told(data)
    assert told(of(b"x: " + b"y" * (MOST_PLAIN_BYTES + 1 - len(of(b"x: "))))) is None


def test_what_is_no_head_is_refused() -> None:
    for odd in (None, "GET", bytearray(PLAIN)):
        with pytest.raises(TypeError):
            plain_head(odd)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        plain_head(PLAIN, Heads())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="is read from one"):
        Meaning()
    assert told(PLAIN, Meaning.__new__(Meaning)) == told(PLAIN)
    with pytest.raises(TypeError, match="are known"):
        Unmade().data_received(PLAIN)


def test_heads_that_are_read_leave_nothing_behind() -> None:
    def read(first: int) -> None:
        last = None
        for n in range(first, first + 2000):
            found = plain_head(PLAIN.replace(b"0af7", b"%04x" % n), last)
            assert found is not None
            last = found[0] if n % 3 else None

    read(0)
    tracemalloc.start()
    read(10_000)
    before = tracemalloc.get_traced_memory()[0]
    read(20_000)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 20_000


class Parsed:
    """What the parser makes of a request, as a connection has it."""

    def __init__(self, data: bytes) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.whole = 0
        self.lasting: list[bool] = []
        self.offers: list[bool] = []
        self._first = True
        parser = self._parser = httptools.HttpRequestParser(self)
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        if self._first:
            self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._first:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.lasting.append(self._parser.should_keep_alive())
        self.offers.append(self._parser.should_upgrade())
        if self._first:
            self.method, self.version = self._parser.get_method().decode(), self._parser.get_http_version()
        self._first = False

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.whole += 1


def check(data: bytes, last: Meaning | None) -> Meaning | None:
    """`data` is no plain head, or it is to the parser what it is to us, and with its body one whole request, behind
    which the next begins."""
    found, alone = told(data, last), told(data)
    assert found == alone
    made = plain_head(data, last)
    if alone is None or made is None:
        return last
    scope, headers, digits, start = alone
    length = int(digits or 0)
    body = b"b" * length if length < 1000 else b""
    parsed = Parsed(data[:start] + body + (b"GET / HTTP/1.1\r\n\r\n" if length < 1000 else b""))
    assert (parsed.method, parsed.version, *address(parsed.url)) == (
        scope["method"], "1.1", scope["path"], scope["query_string"],
    )  # fmt: skip
    assert parsed.headers == headers and parsed.lasting[0] and not parsed.offers[0]
    assert (parsed.body, parsed.whole) == (body, 2 if length < 1000 else 0)
    return made[0]


STARTS = st.sampled_from(
    [
        *[START] * 8, b"GET / HTTP/1.1", b"DELETE /a?%2f HTTP/1.1", b"OPTIONS /~ HTTP/1.1", b"POST / HTTP/1.0",
        b"PUT //a HTTP/1.1", b"HEAD /%zz%41 HTTP/1.1", b"POST http://x/ HTTP/1.1",
    ]
)  # fmt: skip
LINES = st.sampled_from(
    [
        LENGTH, b"Content-Length:05", b"content-length: 0", b"content-length: 6", b"content-length: 005", b"host: x",
        b"connection: keep-alive", b"Connection: Keep-Alive", b"connection: close", b"connection: keep-alive,upgrade",
        b"transfer-encoding: chunked", b"upgrade: h2c", b"keep-alive: timeout=5", b"trailer: x", b"te: trailers", TRACE,
        b"traceparent: 1", b"tracestate: a=b", b"X-A_b.c: \x80\xff v \xa0", b"content-type: application/json", b"x: ",
        b"x:", b" folded", b"x!#: 1", b"HOST: y", b"expect: 100-continue", b"cookie: a=1; b=2",
        b"proxy-connection: close",
    ]
)  # fmt: skip
ENDS = st.sampled_from([b"\r\n"] * 24 + [b"\n", b"\r", b"\r\r\n"])
FLIPS = st.lists(
    st.tuples(st.integers(0, 400), st.sampled_from("+-="), st.sampled_from(b"\r\n :\x00\t5cC,\x7f\x80\xff-/?#%")),
    max_size=2,
)


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """A head, mostly valid, with a byte or two put in, taken out or exchanged."""
    lines = [draw(STARTS), *draw(st.lists(LINES, max_size=5)), *draw(st.sampled_from([[], [LENGTH], [TRACE]])), b""]
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


@settings(deadline=None, max_examples=500)
@given(st.lists(st.one_of(heads(), heads(), st.binary(max_size=80)), min_size=1, max_size=4))
@example([PLAIN, OTHER, PLAIN, PLAIN])
def test_what_is_plain_to_us_is_the_same_to_the_parser(datas: list[bytes]) -> None:
    last: Meaning | None = None
    for data in datas:
        last = check(data, last)

"""TLS: whom we trust, what its end means, sessions taken up again. Certificates are made by the openssl command."""

import asyncio
import ssl
from pathlib import Path

import pytest

from farthing.gateway.client import Broken, NotConnected, Origin, Pool, tls
from tests.gateway.client.serving import OK, ask, head, heard, run, says, server_side, serving, until

VERSIONS = pytest.mark.parametrize("most", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


@VERSIONS
@pytest.mark.usefixtures("trusted")
def test_requests_over_tls(folder: Path, most: ssl.TLSVersion) -> None:
    large = b"x" * (5 << 20)
    seen = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        while came := await heard(reader):
            body = came.partition(b"\r\n\r\n")[2]
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    async def work() -> None:
        async with serving(handle, tls=server_side(folder, most=most)) as server:
            for body in (b"{}", b"", large, b"y" * (16 << 10), b"{}"):
                assert await ask(server.pool, body) == (200, body)
            assert server.connections == 1

    run(work())
    assert seen == ["http/1.1"]


@pytest.mark.usefixtures("trusted")
def test_a_stream_over_tls_comes_as_it_is_sent(folder: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"

    async def work() -> None:
        async with serving(says(answer, gap_s=0.0005), tls=server_side(folder)) as server:
            assert await ask(server.pool) == (200, b"abc")
            assert await ask(server.pool) == (200, b"abc")
            assert server.connections == 1

    run(work())


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(("name", "why"), [("other", "refused: .*"), ("unknown", "refused: self.signed certificate")])
def test_a_certificate_that_is_not_to_be_trusted_is_refused(
    folder: Path, name: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "other":  # trusted, but for another name
        monkeypatch.setenv("SSL_CERT_FILE", str(folder / "other.pem"))
    else:
        monkeypatch.setenv("SSL_CERT_FILE", str(folder / "good.pem"))
        name = "other"
    tls.context.cache_clear()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise AssertionError("a request came")

    async def work() -> None:
        async with serving(never, tls=server_side(folder, name)) as server:
            with pytest.raises(NotConnected, match=why):
                await ask(server.pool)

    run(work())


def test_a_server_without_tls_is_not_reached_by_tls() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")

    async def work() -> None:
        async with serving(plain) as server:
            own = Pool(Origin(f"https://127.0.0.1:{server.port}"), 5)
            with pytest.raises(NotConnected, match=r"TLS: wrong version number"):
                await ask(own)

    run(work())


def test_a_server_that_hangs_up_on_the_handshake_is_not_reached() -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async def work() -> None:
        async with serving(rude) as server:
            with pytest.raises(NotConnected, match="cannot be reached"):
                await ask(Pool(Origin(f"https://127.0.0.1:{server.port}"), 5))

    run(work())


def test_a_handshake_has_its_time() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def work() -> None:
        async with serving(silent) as server:
            with pytest.raises(NotConnected, match=r"no connection within 0\.1 s"):
                await ask(Pool(Origin(f"https://127.0.0.1:{server.port}"), 0.1))

    run(work())


@VERSIONS
@pytest.mark.usefixtures("trusted")
def test_a_session_is_taken_up_again(folder: Path, most: ssl.TLSVersion) -> None:
    reused = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reused.append(writer.get_extra_info("ssl_object").session_reused)
        await heard(reader)
        writer.write(OK)

    async def work() -> None:
        async with serving(handle, tls=server_side(folder, most=most)) as server:
            for _ in range(3):
                assert await ask(server.pool) == (200, b"ok")
                await until(lambda: not server.pool._idle)  # the server closes each
            assert server.connections == 3

    run(work())
    assert reused == [False, True, True]


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("clean", [True, False])
def test_an_answer_until_the_end_is_whole_only_where_tls_says_so(folder: Path, clean: bool) -> None:
    """Anybody on the way can end a TCP connection; TLS's own end is the server's word (RFC 9112, 9.8)."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello")
        await writer.drain()
        await asyncio.sleep(0.05)
        if not clean:
            writer.transport.abort()

    async def work() -> None:
        async with serving(handle, tls=server_side(folder)) as server:
            if clean:
                assert await ask(server.pool) == (200, b"hello")
            else:
                with pytest.raises(Broken):
                    await ask(server.pool)

    run(work())


@pytest.mark.usefixtures("trusted")
def test_a_slow_reader_makes_the_upstream_wait_over_tls(folder: Path) -> None:
    piece, ahead = b"x" * (1 << 16), [0]

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (40 << 20))
        for _ in range(40 << 4):
            writer.write(piece)
            await writer.drain()
            ahead[0] += len(piece)

    async def work() -> None:
        async with serving(handle, tls=server_side(folder)) as server:
            async with server.pool.request(head(server.pool), b"{}") as answer:
                await asyncio.sleep(0.5)
                assert ahead[0] < 20 << 20  # the rest waits for us
                assert answer.waiting_bytes < 2 << 20
                assert await answer.read() == b"x" * (40 << 20)
            assert len(server.pool._idle) == 1

    run(work())

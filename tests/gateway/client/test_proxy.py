"""Which proxy the environment names, and requests through one."""

import asyncio
import base64
from pathlib import Path

import pytest

from farthing.gateway.client import NotConnected, Origin, Pool
from farthing.gateway.client.proxy import Proxy, proxy_for
from farthing.problems import FarthingError
from tests.gateway.client.serving import OK, ask, head, heard, run, says, server_side, serving

FAR = "https://api.example.com/v1"


@pytest.mark.parametrize(
    ("url", "environ", "host"),
    [
        (FAR, {}, None),
        (FAR, {"HTTPS_PROXY": "http://p:3128"}, "p"),
        (FAR, {"https_proxy": "http://low:1", "HTTPS_PROXY": "http://high:1"}, "low"),
        (FAR, {"HTTP_PROXY": "http://p:3128"}, None),
        (FAR, {"ALL_PROXY": "p:3128"}, "p"),
        (FAR, {"HTTPS_PROXY": " "}, None),
        ("http://a.example", {"HTTP_PROXY": "http://p"}, "p"),
        ("http://a.example", {"HTTP_PROXY": "http://p", "REQUEST_METHOD": "GET"}, None),
        ("http://a.example", {"http_proxy": "http://p", "REQUEST_METHOD": "GET"}, "p"),
        ("http://localhost:8000", {"HTTP_PROXY": "http://p"}, None),
        ("http://127.0.0.1:8000", {"HTTP_PROXY": "http://p"}, None),
        ("http://[::1]:8000", {"HTTP_PROXY": "http://p"}, None),
        (FAR, {"HTTPS_PROXY": "http://p", "NO_PROXY": "*"}, None),
        (FAR, {"HTTPS_PROXY": "http://p", "NO_PROXY": "example.com"}, None),
        (FAR, {"HTTPS_PROXY": "http://p", "no_proxy": "x, .Example.COM"}, None),
        (FAR, {"HTTPS_PROXY": "http://p", "NO_PROXY": "*.example.com"}, None),
        (FAR, {"HTTPS_PROXY": "http://p", "NO_PROXY": "ample.com,pi.example.com,,"}, "p"),
        (FAR, {"HTTPS_PROXY": "http://p", "NO_PROXY": "example.com:443"}, None),
        (FAR, {"HTTPS_PROXY": "http://p", "NO_PROXY": "example.com:8443"}, "p"),
        ("http://10.1.2.3:8000", {"HTTP_PROXY": "http://p", "NO_PROXY": "10.0.0.0/8"}, None),
        ("http://11.1.2.3:8000", {"HTTP_PROXY": "http://p", "NO_PROXY": "10.0.0.0/8,x"}, "p"),
        ("http://11.1.2.3:8000", {"HTTP_PROXY": "http://p", "NO_PROXY": "11.1.2.3"}, None),
        ("http://[fd00::7]:8000", {"HTTP_PROXY": "http://p", "NO_PROXY": "fd00::/8"}, None),
        ("http://[fd00::7]:8000", {"HTTP_PROXY": "http://p", "NO_PROXY": "[fd00::7]"}, None),
    ],
)
def test_which_proxy(url: str, environ: dict[str, str], host: str | None) -> None:
    found = proxy_for(url, environ)
    assert (found.host if found else None) == host


def test_credentials_are_decoded() -> None:
    found = proxy_for(FAR, {"HTTPS_PROXY": "http://me:p%40ss@p.example"})
    assert found == Proxy("p.example", 80, b"Basic " + base64.b64encode(b"me:p@ss"))


@pytest.mark.parametrize("stated", ["socks5://p:1080", "https://p:1", "http://", "http://p:99999", "http://[p"])
def test_a_proxy_that_cannot_be_used_is_told_by_the_name_of_its_variable(stated: str) -> None:
    with pytest.raises(FarthingError, match=r"^HTTPS_PROXY: .*NO_PROXY"):
        proxy_for(FAR, {"HTTPS_PROXY": stated})


def test_a_password_is_in_no_message() -> None:
    with pytest.raises(FarthingError) as told:
        proxy_for(FAR, {"HTTPS_PROXY": "socks5://me:hunter2@p:1080"})
    assert "hunter2" not in str(told.value)


def test_a_plain_request_is_sent_to_the_proxy_whole() -> None:
    came = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await heard(reader))
        writer.write(OK)

    async def work() -> None:
        async with serving(listen) as proxy:
            own = Pool(Origin("http://a.example/v1", Proxy("127.0.0.1", proxy.port, b"Basic eA==")), 5)
            assert await ask(own) == (200, b"ok")
            own.close()

    run(work())
    assert came[0].startswith(
        b"POST http://a.example/v1/x HTTP/1.1\r\nhost: a.example\r\nproxy-authorization: Basic eA==\r\n"
    )


@pytest.mark.usefixtures("trusted")
def test_a_request_over_tls_goes_through_a_tunnel(folder: Path) -> None:
    asked = []

    async def work() -> None:
        async with serving(says(OK), tls=server_side(folder)) as server:

            async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                asked.append(await reader.readuntil(b"\r\n\r\n"))
                inward, outward = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(b"HTTP/1.1 200 Connection established\r\nvia: test\r\n\r\n")
                await asyncio.wait([asyncio.create_task(_pump(*way)) for way in ((reader, outward), (inward, writer))])

            async with serving(tunnel) as proxy:
                to = Origin(f"https://127.0.0.1:{server.port}/v1", Proxy("127.0.0.1", proxy.port, b"Basic eA=="))
                own = Pool(to, 5)
                assert await ask(own) == (200, b"ok")
                assert await ask(own) == (200, b"ok")
                own.close()
                assert server.connections == 1
            told = b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n" % (server.port, server.port)
            assert asked == [told + b"proxy-authorization: Basic eA==\r\n\r\n"]

    run(work())


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
    writer.close()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "the proxy answered 407"),
        (b"HTTP/1.1 200 OK\r\n\r\nmore", "more than its answer"),
        (b"SSH-2.0\r\n\r\n", "nothing that can be read"),
        (b"HTTP/1.1 200", "no answer that can be read"),
        (b"x" * 20_000, "no answer that can be read"),
    ],
)
def test_a_proxy_that_refuses(said: bytes, told: str) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)

    async def work() -> None:
        async with serving(refuse) as proxy:
            own = Pool(Origin(FAR, Proxy("127.0.0.1", proxy.port)), 5)
            with pytest.raises(NotConnected, match=told):
                async with own.request(head(own), b"{}"):
                    pass

    run(work())

"""The whole gateway in front of an upstream over TLS, and with a proxy that it cannot use."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.gateway.asking import CONFIG, EXACT, ask
from tests.gateway.client.serving import server_side
from tests.gateway.faulty import Upstream
from tests.gateway.running import Running
from tests.gateway.ups import ups


@contextmanager
def behind_tls(certificates: Path, port: int, name: str = "good") -> Iterator[str]:
    """The address of a server that takes TLS off and passes on to `port`."""
    loop, ready, address = asyncio.new_event_loop(), threading.Event(), list[str]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inward, outward = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_pump(reader, outward), _pump(inward, writer))

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_side(certificates, name))
        address.append(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        ready.set()
        await stop.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(main(),), daemon=True)
    thread.start()
    assert ready.wait(10)
    yield address[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
    except (ConnectionError, OSError):
        pass
    finally:
        writer.close()


def test_requests_and_streams_over_tls_are_metered_to_the_token(tmp_path: Path, folder: Path) -> None:
    trust = {"SSL_CERT_FILE": str(folder / "good.pem")}
    with (
        Upstream() as upstream,
        behind_tls(folder, upstream.port) as url,
        Running(tmp_path, CONFIG, url, environ=trust) as gateway,
    ):
        for protocol in ("openai", "anthropic"):
            for stream in (False, True):
                told = ask(gateway, upstream, protocol, stream, "")
                assert told.status == 200
                assert [(row.state, row.quantities) for row in told.rows] == [("done", EXACT)]
        told = ask(gateway, upstream, "openai", True, "fault=die at=2 how=rst")
        assert [(row.state, row.error) for row in told.rows] == [("failed", "broken")]


def test_an_upstream_that_is_not_trusted_gets_no_request_and_the_client_is_told_why(
    tmp_path: Path, folder: Path
) -> None:
    trust = {"SSL_CERT_FILE": str(folder / "good.pem")}
    with (
        Upstream() as upstream,
        behind_tls(folder, upstream.port, "other") as url,
        Running(tmp_path, CONFIG, url, environ=trust) as gateway,
    ):
        message = {"role": "user", "content": "hello"}
        answer, body = gateway.post("/v1/chat/completions", {"model": "gpt-4o-mini", "messages": [message]})
        assert answer.status == 502 and b"its certificate is refused" in body
        assert [(row.error, row.usd) for row in gateway.rows(1)] == [("connect", 0)]
        assert not upstream.records()


def test_a_proxy_that_cannot_be_used_is_told_and_nothing_starts(tmp_path: Path) -> None:
    for up in ups(tmp_path):
        one = up(OPENAI_API_KEY="sk-test-test-test", HTTPS_PROXY="socks5://me:hunter2@127.0.0.1:1080")
        assert one.process.wait(20) != 0
        assert "HTTPS_PROXY: socks5: is no proxy that the gateway can use" in one.errors()
        assert "hunter2" not in one.errors() and "Traceback" not in one.errors()


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "ALL_PROXY"])
def test_a_proxy_that_can_be_used_keeps_nothing_from_starting(tmp_path: Path, name: str) -> None:
    for up in ups(tmp_path):
        up(OPENAI_API_KEY="sk-test-test-test", **{name: "http://127.0.0.1:9"}).serving()

"""The gateway's HTTP client alone, against the mock provider: CPU of this process for a request and a streamed chunk.

`python -m benchmarks.gateway.client [--tls]`: with --tls over a certificate made for the run (by the openssl command).
Where pyreqwest is installed, the gateway's client before, it is measured in turn with ours, in the same run.
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.gateway.measure import request

Ask = Callable[[bytes, bool], Awaitable[int]]
_CHUNKS = 104


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway.client", description=__doc__)
    parser.add_argument("--requests", type=int, default=16_000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--tls", action="store_true")
    options = parser.parse_args()
    import uvloop

    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        command = [sys.executable, "-m", "benchmarks.gateway.upstream", str(port)]
        if options.tls:
            os.environ["SSL_CERT_FILE"] = str(certificate(Path(folder)))
            command.append(folder)
        with subprocess.Popen(command) as mock:
            try:
                time.sleep(1)
                url = f"{'https' if options.tls else 'http'}://127.0.0.1:{port}/v1"
                uvloop.run(_measure(url, options.requests, options.connections))
            finally:
                mock.terminate()


def certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 (cert.pem) and its key (key.pem), in `folder`."""
    made = folder / "cert.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=mock"
    command += " -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE"
    subprocess.run([*command.split(), "-keyout", folder / "key.pem", "-out", made], check=True, capture_output=True)
    return made


async def _measure(url: str, requests: int, connections: int) -> None:
    body = request(1, "/", {}).partition(b"\r\n\r\n")[2]
    stream = request(1, "/", {}, stream=_CHUNKS).partition(b"\r\n\r\n")[2].replace(b"gap_ms=5", b"gap_ms=1")
    short = stream.replace(b"n_chunks=%d" % _CHUNKS, b"n_chunks=4")
    asks: dict[str, Ask] = {"ours": _ours(url)}
    if (other := _pyreqwest(url)) is not None:
        asks["pyreqwest"] = other
    for ask in asks.values():
        await _many(ask, body, False, 2_000, connections)
    print("CPU µs a request (whole answers); a request that streams; a chunk of it")
    for _ in range(3):
        for name, ask in asks.items():
            whole = await _many(ask, body, False, requests, connections)
            few = await _many(ask, short, True, requests // 20, connections)
            many = await _many(ask, stream, True, requests // 20, connections)
            chunk = (many - few) / (_CHUNKS - 4)
            one = await _many(ask, body, False, requests // 8, 1)
            print(f"{name:10} {whole:6.1f} {few:6.1f} {chunk:6.2f}   one at a time {one:6.1f}", flush=True)


async def _many(ask: Ask, body: bytes, stream: bool, count: int, lanes: int) -> float:
    async def lane() -> None:
        for _ in range(count // lanes):
            if not await ask(body, stream):
                raise SystemExit("an empty answer")

    began = time.process_time()
    await asyncio.gather(*(lane() for _ in range(lanes)))
    return (time.process_time() - began) / (count // lanes * lanes) * 1e6


def _ours(url: str) -> Ask:
    from farthing.gateway.breaker import Breaker
    from farthing.gateway.config.secret import Secret
    from farthing.gateway.config.values import Breaker as Rule
    from farthing.gateway.config.values import Upstream as Settings
    from farthing.gateway.upstream import Upstream

    secret = Secret("sk-mock-mock-mock", "$KEY")
    upstream = Upstream(Settings(name="u", provider="p", protocol="openai", url=url, key=secret), Breaker(Rule()))
    client = {b"host": b"x", b"user-agent": b"bench", b"accept": b"*/*", b"content-type": b"application/json"}

    async def ask(body: bytes, stream: bool) -> int:
        headers = upstream.headers(client, "0" * 32, False)
        async with upstream.post("chat/completions", headers, body) as response:
            dict(response.headers)
            if not stream:
                return len(await response.read())
            size = 0
            while (chunk := await response.read_chunk()) is not None:
                size += len(chunk)
            return size

    return ask


def _pyreqwest(url: str) -> Ask | None:
    try:
        from pyreqwest.client import ClientBuilder
    except ImportError:
        return None
    builder: Any = ClientBuilder().follow_redirects(False).tcp_nodelay(True).gzip(False)
    if certificates := os.environ.get("SSL_CERT_FILE"):
        builder = builder.add_root_certificate_pem(Path(certificates).read_bytes())
    client = builder.build()
    sent = [("accept-encoding", "identity"), ("authorization", "Bearer sk-mock-mock-mock")]
    sent += [("x-farthing-attempt-id", "0" * 32), ("user-agent", "bench"), ("accept", "*/*")]

    async def ask(body: bytes, stream: bool) -> int:
        made = client.request("POST", url + "/chat/completions").headers(sent).streamed_read_buffer_limit(0)
        made = made.header("content-type", "application/json").body_bytes(body)
        async with made.build_streamed() as response:
            dict(response.headers.items())
            if not stream:
                return len(bytes(await response.bytes()))
            size = 0
            while (chunk := await response.body_reader.read_chunk()) is not None:
                size += len(bytes(chunk))
            return size

    return ask


if __name__ == "__main__":
    main()

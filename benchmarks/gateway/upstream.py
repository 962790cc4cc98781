"""The mock provider of the gateway's benchmark: as little work as can be, so that the gateway is what is seen.

`python -m benchmarks.gateway.upstream PORT [FOLDER]`, over TLS where FOLDER is named and holds cert.pem and key.pem.
Answers chat/completions by one fixed body, or where the body holds `"stream":true` by a stream of as many chunks as
`"n_chunks":N` in the text says, `"gap_ms":G` apart, usage in the last. Every answer has an id of its own, as providers'
have: a gateway may file requests by it.
"""

import asyncio
import itertools
import re
import ssl
import sys

ID = b"c-%08d"
BODY = (
    b'{"id":"c-00000000","object":"chat.completion","created":1790000000,"model":"gpt-4o-mini-2024-07-18","choices":'
    b'[{"index":0,"message":{"role":"assistant","content":"%s","refusal":null},"logprobs":null,"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":120,"completion_tokens":40,"total_tokens":160,"prompt_tokens_details":'
    b'{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,'
    b'"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"service_tier":"default"}'
) % (b"forty tokens of a pleasant answer " * 8)
HEAD = (
    b"HTTP/1.1 200 OK\r\ndate: Sun, 22 Nov 2026 12:00:00 GMT\r\ncontent-type: application/json\r\n"
    b"x-request-id: c-00000000\r\nopenai-processing-ms: 812\r\ncontent-length: %d\r\n\r\n"
)
_BEFORE, _BETWEEN, _AFTER = (HEAD % len(BODY) + BODY).split(ID % 0)
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_EVENT = (
    b'data: {"id":"c-00000000","object":"chat.completion.chunk","created":1790000000,"model":"gpt-4o-mini-2024-07-18",'
)
_DELTA = b'"choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}],'
CHUNK = _EVENT + _DELTA + b'"usage":null}\n\n'
LAST = (
    _EVENT + b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}\n\n' + _EVENT + b'"choices":[],'
    b'"usage":{"prompt_tokens":120,"completion_tokens":40,"total_tokens":160,"prompt_tokens_details":{"cached_tokens":0}}}'
    b"\n\ndata: [DONE]\n\n"
)
MODELS = b'{"object":"list","data":[{"id":"gpt-4o-mini","object":"model","created":1,"owned_by":"mock"}]}'
_CHUNKS = re.compile(rb"n_chunks=(\d+) gap_ms=(\d+)")
_IDS = itertools.count(1)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)


def answer(n: int) -> bytes:
    """The `n`th whole answer: head and body name it."""
    own = ID % n
    return b"".join((_BEFORE, own, _BETWEEN, own, _AFTER))


def framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class Mock(asyncio.Protocol):
    def connection_made(self, transport: asyncio.WriteTransport) -> None:  # type: ignore[override]
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self.buffer, 0, end)
            chunked = length is None and b"chunked" in self.buffer[:end].lower()
            if chunked:
                whole = self.buffer.find(b"0\r\n\r\n", end) + 5
                if whole < 5:
                    return
            else:
                whole = end + 4 + (int(length.group(1)) if length else 0)
                if len(self.buffer) < whole:
                    return
            request, self.buffer = self.buffer[:whole], self.buffer[whole:]
            self.answer(request)

    def answer(self, request: bytes) -> None:
        if request.startswith(b"GET"):
            self.transport.write(HEAD % len(MODELS) + MODELS)
        elif b'"stream":true' in request or b'"stream": true' in request:
            found = _CHUNKS.search(request)
            chunks, gap_ms = (int(found.group(1)), int(found.group(2))) if found else (5, 0)
            own = ID % next(_IDS)
            chunk, last = (framed(data.replace(ID % 0, own)) for data in (CHUNK, LAST))
            self.transport.write(STREAM + chunk)
            self.more(chunks - 1, gap_ms / 1e3, chunk, last)
        else:
            self.transport.write(answer(next(_IDS)))

    def more(self, left: int, gap_s: float, chunk: bytes, last: bytes) -> None:
        if self.transport.is_closing():
            return
        if left <= 0:
            self.transport.write(last + b"0\r\n\r\n")
            return
        self.transport.write(chunk)
        asyncio.get_running_loop().call_later(gap_s, self.more, left - 1, gap_s, chunk, last)


async def main() -> None:
    context = None
    if len(sys.argv) > 2:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(f"{sys.argv[2]}/cert.pem", f"{sys.argv[2]}/key.pem")
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Mock, "127.0.0.1", int(sys.argv[1]), backlog=1024, ssl=context)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())

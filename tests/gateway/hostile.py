"""What attacks need: an upstream that answers with whatever bytes it is told, and a client that sends any bytes."""

import json
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from typing import Any

Write = Callable[[bytes], None]
Behave = Callable[[bytes, bytes, Write], Any]
"""Called with the head and the body of a request, and what sends bytes; the connection ends when it returns."""


class Hostile:
    """An upstream on 127.0.0.1 that does what `behave` does. `seen`: heads and bodies of what came."""

    def __init__(self, behave: Behave | None = None) -> None:
        self.behave: Behave = behave or (lambda head, body, write: write(answer(chat())))
        self.seen: list[tuple[bytes, bytes]] = []
        self._server = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def __enter__(self) -> "Hostile":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                link = self._server.accept()[0]
                threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        with suppress(OSError), closing(link):
            link.settimeout(30)
            got = b""
            while b"\r\n\r\n" not in got:
                if not (part := link.recv(65536)):
                    return
                got += part
            head, _, body = got.partition(b"\r\n\r\n")
            length = next(
                (int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0
            )
            while len(body) < length and (part := link.recv(1 << 20)):
                body += part
            self.seen.append((head, body))
            self.behave(head, body, link.sendall)


def chat(text: str = "hello", model: str = "gpt-4o-mini", **more: Any) -> dict[str, Any]:
    """A chat completion of 7 prompt tokens and 2 of output; `more` replaces fields."""
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return {"id": "c-1", "object": "chat.completion", "model": model, "choices": choices, "usage": usage} | more


def answer(body: Any, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """A whole HTTP answer; header values go out as latin-1."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Odd", "content-type: application/json", f"content-length: {len(data)}"]
    lines += [f"{name}: {value}" for name, value in headers] + ["connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1") + data


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def event(body: Any, name: str = "") -> bytes:
    """One event of a stream."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + data + b"\n\n"


def piece(text: str) -> bytes:
    """An event of a chat stream."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return event({"id": "c-1", "object": "chat.completion.chunk", "model": "gpt-4o-mini", "choices": [choice]})


def raw(port: int, data: bytes, timeout_s: float = 10, end: bool = False) -> bytes:
    """Send `data` as it is, and read until the gateway closes, or `timeout_s` without a byte."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout_s)) as link:
        with suppress(OSError):
            link.sendall(data)
            if end:
                link.shutdown(socket.SHUT_WR)
        got = b""
        with suppress(OSError):
            while part := link.recv(65536):
                got += part
        return got


def request(body: bytes, *lines: bytes, path: bytes = b"/v1/chat/completions", method: bytes = b"POST") -> bytes:
    """A request as bytes, its connection closed after it; `lines` are further headers as they stand."""
    head = [method + b" " + path + b" HTTP/1.1", b"host: gateway", b"content-length: %d" % len(body)]
    return b"\r\n".join([*head, *lines, b"connection: close", b"", b""]) + body


def status_of(got: bytes) -> int:
    """The status of the first answer in `got`; 0 where there is none."""
    return int(got[9:12]) if got.startswith(b"HTTP/1.1 ") else 0

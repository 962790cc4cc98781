"""Asking a running gateway, and what its ledger says of it."""

import json
import time
from collections.abc import Mapping
from http.client import HTTPResponse
from typing import Any

from tests.gateway.faulty import Upstream
from tests.gateway.running import Row, Running

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
GPT, CLAUDE = "gpt-4o-mini", "claude-sonnet-4-6"
DONE = b"data: [DONE]\n\n"
Json = dict[str, Any]


class Told:
    """An answer; `rows`: the ledger's of this request, once all have ended."""

    def __init__(self, gateway: Running, answer: HTTPResponse, body: bytes) -> None:
        self._gateway = gateway
        self.status = answer.status
        self.headers = answer.headers
        self.body = body

    @property
    def json(self) -> Json:
        read: Json = json.loads(self.body)
        return read

    @property
    def error(self) -> Json:
        told: Json = self.json["error"]
        return told

    def rows(self, count: int = 1, timeout_s: float = 8) -> list[Row]:
        """The rows of this request in the order of their attempts."""
        until = time.monotonic() + timeout_s
        while True:
            mine = [row for row in self._gateway.rows() if row.request == self.headers["x-farthing-request-id"]]
            if len(mine) >= count and all(row.state != "open" for row in mine):
                assert len(mine) == count, mine
                return sorted(mine, key=lambda row: row.number)
            assert time.monotonic() < until, f"{mine}, {count} ended ones expected"
            time.sleep(0.03)

    @property
    def row(self) -> Row:
        (row,) = self.rows()
        return row


def said(text: str = "hello", model: str = GPT, **more: Any) -> Json:
    """A request of one message, for chat/completions and for messages."""
    return {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": text}], **more}


def ask(gateway: Running, path: str, body: Json | bytes, headers: Mapping[str, str] | None = None) -> Told:
    return Told(gateway, *gateway.post(path, body, headers))


def bearer(token: str, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}", **{name.replace("_", "-"): value for name, value in more.items()}}


def data(value: object) -> bytes:
    """One unnamed event."""
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode()


def named(value: Json) -> bytes:
    """One event named by its type, as Anthropic and OpenAI's responses send it."""
    return f"event: {value['type']}\ndata: {json.dumps(value, ensure_ascii=False)}\n\n".encode()


def chunk(delta: Json | None = None, finish: str | None = None, model: str = GPT, **more: Any) -> Json:
    """A chunk of chat/completions; without a delta and a finish reason it has no choices."""
    choices = [{"index": 0, "delta": delta or {}, "logprobs": None, "finish_reason": finish}]
    return {
        "id": "chatcmpl-9", "object": "chat.completion.chunk", "created": 1, "model": model,
        "choices": choices if delta is not None or finish else [], **more,
    }  # fmt: skip


def chat(content: str = "word", model: str = GPT, **more: Any) -> bytes:
    """A whole answer of chat/completions. `more`: usage and whatever else."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    return json.dumps({"id": "chatcmpl-9", "object": "chat.completion", "created": 1, "model": model,
                       "choices": [choice], **more}).encode()  # fmt: skip


def start(model: str = CLAUDE, **usage: Any) -> bytes:
    """Anthropic's first event."""
    message: Json = {"id": "msg_9", "type": "message", "role": "assistant", "model": model, "content": [],
               "stop_reason": None, "stop_sequence": None, "usage": usage}  # fmt: skip
    return named({"type": "message_start", "message": message})


def block(*texts: str, index: int = 0) -> list[bytes]:
    """The events of one text block."""
    begin = {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}}
    deltas = [
        {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": text}} for text in texts
    ]
    return [named(one) for one in (begin, *deltas, {"type": "content_block_stop", "index": index})]


def end(reason: str = "end_turn", **usage: Any) -> list[bytes]:
    """Anthropic's last events."""
    delta = {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}
    return [named(delta), named({"type": "message_stop"})]


def events(body: bytes) -> list[Json]:
    """The data of a stream's events, without comments and `[DONE]`."""
    found = []
    for line in body.replace(b"\r\n", b"\n").split(b"\n"):
        if line.startswith(b"data:") and line[5:].strip() not in (b"", b"[DONE]"):
            found.append(json.loads(line[5:]))
    return found


def fresh(upstream: Upstream) -> Upstream:
    """The upstream with nothing recorded and nothing ordered."""
    upstream.clear()
    return upstream

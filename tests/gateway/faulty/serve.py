"""The server: reads requests, answers or misbehaves as ordered, keeps the log."""

import asyncio
import json
from typing import Any

import msgspec

from tests.gateway.faulty import answers, files
from tests.gateway.faulty.answers import event_bytes, words_in
from tests.gateway.faulty.asked import Asked, read_asked
from tests.gateway.faulty.faults import ALTER, TAKE, error_reply
from tests.gateway.faulty.log import Log, Record
from tests.gateway.faulty.orders import make, read_orders, words_of
from tests.gateway.faulty.wire import MOST_HEAD, Head, Left, Reply, Wire

ATTEMPT = "x-farthing-attempt-id"


class Server:
    """Listens on 127.0.0.1; `next` holds orders for the next requests, `replies` whole answers for them."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.next: list[dict[str, str]] = []
        self.replies: list[Reply] = []
        self.files = files.Files()
        self.connections: set[Wire] = set()
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, limit=MOST_HEAD, backlog=1024)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for wire in list(self.connections):
            wire.cut("rst")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = Wire(reader, writer)
        self.connections.add(wire)
        try:
            while (head := await wire.head()) is not None:
                try:
                    body = await wire.body(head)
                except (asyncio.IncompleteReadError, ConnectionError, ValueError):
                    return
                if not await self._one(wire, head, body):
                    return
        finally:
            self.connections.discard(wire)
            writer.close()

    async def _one(self, wire: Wire, head: Head, body: bytes) -> bool:
        """Answer one request; whether the connection goes on."""
        path = head.target.partition("?")[0]
        if path.startswith("/_"):
            await wire.send_reply(self._control(path, body), Record(n=-1))
            return True
        document = _json(body)
        model = document.get("model")
        record = self.log.begin(
            Record(
                n=0,
                attempt=head.get(ATTEMPT),
                method=head.method,
                path=head.target,
                model=model if isinstance(model, str) else "",
                stream=document.get("stream") is True,
                key=head.get("authorization") or head.get("x-api-key"),
                headers=head.headers,
                body=body,
            )
        )
        try:
            await self._answer(wire, head, path, document, record)
        except Left:
            self.log.end(record, "left")
            return False
        except asyncio.CancelledError:
            self.log.end(record, "left")
            raise
        self.log.end(record, "cut" if wire.gone() and record.fault else "whole")
        return not wire.gone()

    async def _answer(self, wire: Wire, head: Head, path: str, document: dict[str, Any], record: Record) -> None:
        if self.replies:
            reply = self.replies.pop(0)
            record.status = reply.status
            await wire.send_reply(reply, record)
            return
        orders = make(self._next()) if self.next else read_orders(record.body, record.model)
        if path not in answers.WHOLE:
            reply = self.files.answer(head.method, path, head.target, record.body, head.get("content-type"))
            record.status = reply.status
            await wire.send_reply(reply, record)
            return
        asked = read_asked(path, document, orders)
        record.fault = orders.fault or (f"status={orders.status}" if orders.status else "")
        if orders.first_ms:
            await wire.pause(orders.first_ms / 1e3)
        reply = _reply(asked)
        if orders.fault in ALTER:
            reply = ALTER[orders.fault](asked, reply)
        elif orders.fault and orders.fault not in TAKE:
            reply = error_reply(asked, 418)
        record.status = reply.status
        if reply.status == 200 and orders.fault not in ("hang", "refuse", "half_headers", "not_http"):
            record.input, record.cached = asked.counts.prompt, asked.counts.cached
        if orders.fault in TAKE:
            await TAKE[orders.fault](asked, reply, wire, record)
        else:
            await wire.send_reply(reply, record, orders.gap_ms / 1e3)

    def _next(self) -> dict[str, str]:
        return self.next.pop(0)

    def _control(self, path: str, body: bytes) -> Reply:
        """`GET /_log`, `POST /_next` (orders for the next request), `POST /_clear`."""
        told: Any = {}
        if path == "/_log":
            told = [
                msgspec.to_builtins(msgspec.structs.replace(record, body=b"", headers=[])) for record in self.log.all()
            ]
        elif path == "/_next":
            self.next.append(words_of(body.decode()))
        elif path == "/_clear":
            self.log.clear()
            self.next.clear()
            self.replies.clear()
        return Reply(200, [("content-type", "application/json")], [json.dumps(told).encode()], [0])


def _reply(asked: Asked) -> Reply:
    """The answer as it should be."""
    if asked.orders.status and not asked.orders.fault:
        return error_reply(asked, asked.orders.status)
    if not asked.model:
        return error_reply(asked, 400)
    own = [("x-request-id", "upstream-1"), ("openai-processing-ms", "1")]
    if asked.stream and asked.path in answers.EVENTS:
        events = answers.EVENTS[asked.path](asked)
        chunks = [event_bytes(asked, event) for event in events]
        tokens = [words_in(event) for event in events]
        if asked.path in ("/v1/chat/completions", "/v1/completions"):
            chunks.append(b"data: [DONE]\n\n")
            tokens.append(0)
        return Reply(200, [("content-type", "text/event-stream; charset=utf-8"), *own], chunks, tokens, True)
    body = json.dumps(answers.WHOLE[asked.path](asked), ensure_ascii=False).encode()
    return Reply(200, [("content-type", "application/json"), *own], [body], [len(asked.words)])


def _json(body: bytes) -> dict[str, Any]:
    try:
        read = json.loads(body)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}

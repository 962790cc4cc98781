"""One request to an OpenAI-compatible endpoint: send, follow the stream, note when what arrived."""

import asyncio
from array import array
from itertools import pairwise
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    import aiohttp

Api = Literal["chat", "completions"]
PATHS: dict[Api, str] = {"chat": "/chat/completions", "completions": "/completions"}


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """How this server wants to be asked; found out by probing.

    `limit`: the field for the number of output tokens. `usage`: it accepts `stream_options`.
    `ignore_eos`: it accepts that field, so that outputs have the length asked for. `reuse`: a connection can be
    used again (some servers promise it and hang up after a stream).
    """

    url: str
    api: Api
    model: str
    stream: bool = True
    limit: str = "max_tokens"
    usage: bool = True
    ignore_eos: bool = True
    reuse: bool = True

    def body(self, prompt: str, output_tokens: int) -> dict[str, Any]:
        """The JSON of a request."""
        asked: dict[str, Any] = {"model": self.model, self.limit: output_tokens, "stream": self.stream}
        if self.api == "chat":
            asked["messages"] = [{"role": "user", "content": prompt}]
        else:
            asked["prompt"] = prompt
        if self.stream and self.usage:
            asked["stream_options"] = {"include_usage": True}
        if self.ignore_eos:
            asked["ignore_eos"] = True
        return asked


class Reply(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What became of one request. Times are seconds on one clock; None: it did not happen.

    `start_s`: when it was due (open loop) or sent (closed loop): latencies count from there. `last_s`:
    the last piece of output. `resent`: the connection was dead when it was used again. `error`: its class, ""
    for a success; `detail`: what was said.
    """

    index: int
    start_s: float
    sent_s: float
    first_s: float | None = None
    last_s: float | None = None
    pieces: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    resent: bool = False
    error: str = ""
    detail: str = ""

    @property
    def tokens(self) -> int:
        """Output tokens: as the server counted them, else the pieces of its stream."""
        return self.output_tokens if self.output_tokens is not None else self.pieces

    @property
    def ttft_s(self) -> float | None:
        return None if self.first_s is None else self.first_s - self.start_s

    @property
    def e2e_s(self) -> float | None:
        return None if self.last_s is None else self.last_s - self.start_s

    @property
    def tpot_s(self) -> float | None:
        """(last - first) / (tokens - 1); None for a single token."""
        if self.first_s is None or self.last_s is None or self.tokens < 2:
            return None
        return (self.last_s - self.first_s) / (self.tokens - 1)


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: Any = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode


class _Failed(Exception):
    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(kind)
        self.kind, self.detail = kind, detail


async def exchange(
    session: "aiohttp.ClientSession", dialect: Dialect, index: int, prompt: str, output_tokens: int,
    gaps: "array[float]", due_s: float | None = None,
) -> Reply:  # fmt: skip
    """Send one request and follow it to its end; a failure is a reply with an `error`, never an exception.

    `gaps` collects the seconds between pieces of a successful stream. `due_s`: the moment it was due, in an
    open loop. A cancellation passes through.
    """
    import aiohttp

    body = msgspec.json.encode(dialect.body(prompt, output_tokens))
    sent = perf_counter()
    reply = Reply(index=index, start_s=sent if due_s is None else due_s, sent_s=sent)
    arrivals: list[float] = []
    try:
        async with await _sent(session, dialect, body, reply) as response:
            if response.status != 200:
                raise _Failed(f"HTTP {response.status}", _said(await response.read()))
            if dialect.stream:
                await _follow(response, reply, arrivals)
            else:
                _account(_parsed(await response.read()), reply, perf_counter())
                reply.first_s = None  # it all came at once
        if reply.last_s is None or not reply.tokens:
            raise _Failed("no output")
    except _Failed as fault:
        reply.error, reply.detail = fault.kind, fault.detail
    except TimeoutError:
        reply.error = "timeout"
    except aiohttp.ClientConnectorError as fault:
        reply.error, reply.detail = "no connection", fault.strerror or str(fault)
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, aiohttp.ClientOSError) as fault:
        reply.error, reply.detail = "connection lost", type(fault).__name__
    except (aiohttp.ClientError, asyncio.IncompleteReadError, ValueError) as fault:
        reply.error, reply.detail = type(fault).__name__, str(fault)[:200]
    if not reply.error:
        gaps.extend(after - before for before, after in pairwise(arrivals))
    return reply


async def _sent(
    session: "aiohttp.ClientSession", dialect: Dialect, body: bytes, reply: Reply
) -> "aiohttp.ClientResponse":
    """Send `body` and wait for the head of the answer; once more where an idle connection had been closed.

    The clock keeps running meanwhile. A refused connection is not tried again.
    """
    import aiohttp

    url, headers = dialect.url + PATHS[dialect.api], {} if dialect.reuse else {"Connection": "close"}
    try:
        return await session.post(url, data=body, headers=headers)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
        reply.resent = True
        return await session.post(url, data=body, headers=headers)


async def _follow(response: "aiohttp.ClientResponse", reply: Reply, arrivals: list[float]) -> None:
    """Follow a stream of server-sent events. Several events in one packet arrived at one time."""
    rest, ended = b"", False
    async for packet in response.content.iter_any():
        now = perf_counter()
        *lines, rest = (rest + packet).split(b"\n")
        for line in lines:
            if not line.startswith(b"data:"):
                continue  # a comment (some servers ping), or the name of an event
            data = line[5:].strip()
            if data == b"[DONE]":
                ended = True
            elif data:
                ended |= _account(_parsed(data), reply, now, arrivals)
    if not ended:
        raise _Failed("stream cut", f"after {reply.pieces} pieces")


def _account(chunk: _Chunk, reply: Reply, now: float, arrivals: list[float] | None = None) -> bool:
    """Note what `chunk` brought; whether it ends the output."""
    if chunk.error:
        raise _Failed("error in stream", str(chunk.error)[:200])
    finished = False
    for choice in chunk.choices:
        finished |= choice.finish_reason is not None
        delta = choice.delta
        piece = choice.text or (
            delta and (delta.content or delta.reasoning_content or delta.reasoning or delta.tool_calls)
        )
        if piece:
            reply.pieces += 1
            reply.first_s = now if reply.first_s is None else reply.first_s
            if arrivals is not None:
                arrivals.append(now)
        if piece or choice.finish_reason is not None:
            reply.last_s = now  # the closing chunk may carry a last token without text
    if (usage := chunk.usage) is not None:
        # Some servers report a running total in every chunk: the last one counts.
        reply.input_tokens = usage.prompt_tokens
        reply.output_tokens = usage.completion_tokens
        reply.cached_tokens = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else None
    return finished


def _parsed(data: bytes) -> _Chunk:
    try:
        return _decode(data)
    except msgspec.MsgspecError as fault:
        raise _Failed("unreadable answer", str(fault)[:200]) from None


def _said(content: bytes) -> str:
    """The message of an error's body, on one line."""
    try:
        tree = msgspec.json.decode(content)
        found = tree.get("error", tree) if isinstance(tree, dict) else tree
        found = found.get("message", found) if isinstance(found, dict) else found
    except msgspec.DecodeError:
        found = content.decode("utf-8", "replace")
    return " ".join(str(found).split())[:300]

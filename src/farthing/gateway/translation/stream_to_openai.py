"""An Anthropic stream as an OpenAI stream: role chunk, deltas, finish chunk, usage chunk if asked for, [DONE]."""

from farthing.gateway.translation.errors import error_words, openai_error
from farthing.gateway.translation.reasons import finish_reason, openai_tier
from farthing.gateway.translation.responses import openai_call, refusal_of
from farthing.gateway.translation.sse import COMMENT, OPENAI_DONE, openai_event
from farthing.gateway.translation.stream_base import CUT_OFF, StreamTranslator
from farthing.gateway.translation.usage import openai_usage
from farthing.gateway.translation.words import Json, Reply, object_in, text_in


class _Block:
    """One content block that is open: what it is, and what has been told of it."""

    __slots__ = ("call", "kind", "start", "told")

    def __init__(self, start: Json) -> None:
        self.start = start
        self.kind = text_in(start.get("type"))
        self.call: int | None = None
        self.told = False  # whether any of its arguments went out


class OpenAIStream(StreamTranslator):
    """Anthropic's events in, OpenAI's chunks out."""

    def __init__(self, reply: Reply, created_s: int) -> None:
        super().__init__(reply)
        self._head: Json = {
            "id": reply.fallback_id,
            "object": "chat.completion.chunk",
            "created": created_s,
            "model": "",
        }
        self._started = False
        self._blocks: dict[int, _Block] = {}
        self._calls = 0
        self._thoughts = 0
        self._json = False
        self._usage: Json = {}
        self._last: Json = {}  # delta of the last message_delta: why it stopped

    def _event(self, event: Json) -> bytes:
        kind = event.get("type")
        if kind == "content_block_delta":
            return self._delta(event)
        if kind == "content_block_start":
            return self._block_start(event)
        if kind == "content_block_stop":
            return self._block_stop(event)
        if kind == "message_start":
            return self._message_start(object_in(event.get("message")))
        if kind == "message_delta":
            # Usage is cumulative and may come in any of these events: the last word on each count holds.
            self._usage |= {key: n for key, n in object_in(event.get("usage")).items() if n is not None}
            self._last |= {key: value for key, value in object_in(event.get("delta")).items() if value is not None}
            return b""
        if kind == "message_stop":
            return self._complete()
        if kind == "error":
            return self.fail(*error_words(event))
        return COMMENT if kind == "ping" else b""  # an event of a later version of the protocol is no error

    def _message_start(self, message: Json) -> bytes:
        if self._started:
            return b""
        self._head["id"] = text_in(message.get("id")) or self._head["id"]
        self._head["model"] = text_in(message.get("model"))
        self._usage |= {key: n for key, n in object_in(message.get("usage")).items() if n is not None}
        return self._start()

    def _start(self) -> bytes:
        self._started = True
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def _block_start(self, event: Json) -> bytes:
        block = _Block(object_in(event.get("content_block")))
        self._blocks[_index(event)] = block
        made = b"" if self._started else self._start()
        if block.kind == "text":
            return made + self._text(text_in(block.start.get("text")))
        if block.kind == "tool_use" and block.start.get("name") == self.reply.json_tool:
            self._json = True
        elif block.kind == "tool_use":
            block.call, self._calls = self._calls, self._calls + 1
            call = openai_call(block.start | {"input": None}, self.reply)
            call["function"]["arguments"] = ""
            return made + self._chunk({"tool_calls": [{"index": block.call, **call}]})
        elif block.kind == "thinking":
            text = text_in(block.start.get("thinking"))
            block.start = dict(block.start)
            return made + (self._chunk({"reasoning_content": text}) if text else b"")
        elif block.kind != "redacted_thinking":
            self.note("content", f"a block of type {block.kind[:40]!r} is left out: OpenAI has no such")
        return made

    def _delta(self, event: Json) -> bytes:
        delta = object_in(event.get("delta"))
        block = self._blocks.get(_index(event))
        kind = delta.get("type")
        if block is None:
            return b""
        if kind == "text_delta":
            return self._text(text_in(delta.get("text")))
        if kind == "input_json_delta" and block.kind == "tool_use":
            return self._arguments(block, text_in(delta.get("partial_json")))
        if kind == "thinking_delta":
            text = text_in(delta.get("thinking"))
            block.start["thinking"] = text_in(block.start.get("thinking")) + text
            return self._chunk({"reasoning_content": text}) if text else b""
        if kind == "signature_delta":
            block.start["signature"] = text_in(block.start.get("signature")) + text_in(delta.get("signature"))
        elif kind == "citations_delta":
            self.note("citations", "left out: OpenAI's messages have none")
        return b""

    def _text(self, text: str) -> bytes:
        if not text:
            return b""
        if self.reply.json_tool is not None:
            if text.strip():
                self.note("content", "words beside the JSON answer are left out")
            return b""
        return self._chunk({"content": text})

    def _arguments(self, block: _Block, text: str) -> bytes:
        if not text:
            return b""
        block.told = True
        if block.call is None:
            return self._chunk({"content": text})
        return self._chunk({"tool_calls": [{"index": block.call, "function": {"arguments": text}}]})

    def _block_stop(self, event: Json) -> bytes:
        block = self._blocks.pop(_index(event), None)
        if block is None:
            return b""
        if block.kind == "tool_use" and not block.told:
            # Without arguments, or with all of them in its start: a client parses the text, which must not be empty.
            return self._arguments(block, openai_call(block.start, self.reply)["function"]["arguments"])
        if block.kind in ("thinking", "redacted_thinking"):
            signed = block.start.get("signature") or block.start.get("data")
            if not signed:
                return b""
            # Whole, once a block; OpenAI's clients put lists of objects together by their index.
            index, self._thoughts = self._thoughts, self._thoughts + 1
            return self._chunk({"thinking_blocks": [{"index": index, **block.start}]})
        return b""

    def _complete(self) -> bytes:
        made = b"" if self._started else self._start()
        for index in sorted(self._blocks):  # a missing content_block_stop
            made += self._block_stop({"index": index})
        reason = finish_reason(
            self._last.get("stop_reason"), tools=self._calls > 0, json_tool=self._json, notes=self.notes
        )
        refusal = refusal_of(self._last)
        made += self._chunk({"refusal": refusal} if refusal else {}, reason)
        if self.reply.include_usage:
            usage = openai_usage(self._usage)
            if usage is None:
                self.note("usage", "the upstream gave none; the client gets no usage chunk")
            else:
                made += openai_event(self._chunk_head() | {"choices": [], "usage": usage})
        self.closed = True
        return made + OPENAI_DONE

    def _done(self) -> bytes:
        return self._end()  # not Anthropic's, but some compatible upstreams close so

    def _end(self) -> bytes:
        if self._last.get("stop_reason") is not None:
            return self._complete()  # only message_stop is missing
        return self.fail("api_error", CUT_OFF)

    def _alive(self) -> bytes:
        return COMMENT

    def _error(self, kind: str, message: str) -> bytes:
        return openai_event(openai_error(kind, message))

    def _chunk(self, delta: Json, reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        made = self._chunk_head() | {"choices": [choice]}
        if self.reply.include_usage:
            made["usage"] = None
        return openai_event(made)

    def _chunk_head(self) -> Json:
        tier = openai_tier(self._usage)
        return self._head if tier is None else self._head | {"service_tier": tier}


def _index(event: Json) -> int:
    index = event.get("index")
    return index if isinstance(index, int) else 0

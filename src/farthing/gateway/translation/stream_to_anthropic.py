"""An OpenAI stream as an Anthropic stream: message_start, blocks in order, message_delta with usage, message_stop."""

from farthing.gateway.translation.errors import anthropic_error, error_words
from farthing.gateway.translation.reasons import stop_reason
from farthing.gateway.translation.responses import made_id, plain_text, reasoning_text
from farthing.gateway.translation.sse import ANTHROPIC_PING, COMMENT, anthropic_event
from farthing.gateway.translation.stream_base import CUT_OFF, StreamTranslator
from farthing.gateway.translation.stream_blocks import Blocks
from farthing.gateway.translation.usage import anthropic_usage
from farthing.gateway.translation.words import Json, Reply, encode, object_in, objects_in, text_in


class AnthropicStream(StreamTranslator):
    """OpenAI's chunks in, Anthropic's events out."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply)
        self._blocks = Blocks()
        self._id = reply.fallback_id
        self._model = ""
        self._started = False
        self._refused = False
        self._finish: Json = {}
        self._usage: Json | None = None
        self._next_call = 0
        self._last_call = ""

    def _event(self, event: Json) -> bytes:
        if event.get("error"):
            return self.fail(*error_words(event))
        usage = anthropic_usage(object_in(event.get("usage")))
        self._usage = usage or self._usage  # the last word; some upstreams send it with each chunk
        choices = objects_in(event.get("choices"))
        if not choices:
            return b""  # the usage chunk, or Azure's filter results before the answer
        made = b"" if self._started else self._start(event)
        for choice in choices:
            if choice.get("index") not in (0, None):
                self.note("choices", "only the first answer is told: Anthropic's have one")
                continue
            # A delta, or from upstreams that send the whole answer as one chunk a message.
            self._delta(object_in(choice.get("delta")) or object_in(choice.get("message")))
            if choice.get("finish_reason"):
                self._finish = choice
        return made + self._drain(over=False)

    def _start(self, event: Json) -> bytes:
        self._started = True
        self._id = text_in(event.get("id")) or self._id
        self._model = text_in(event.get("model"))
        usage = {"output_tokens": 0} | (self._usage or {"input_tokens": 0})
        message: Json = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }
        return anthropic_event({"type": "message_start", "message": message})

    def _delta(self, delta: Json) -> None:
        if text := reasoning_text(delta):
            self._blocks.thinking(text)
        if text := plain_text(delta.get("content")):
            self._blocks.text(text)
        if text := text_in(delta.get("refusal")):
            self._refused = True
            self._blocks.text(text)
        for call in objects_in(delta.get("tool_calls")):
            self._call(call)

    def _call(self, call: Json) -> None:
        function = object_in(call.get("function"))
        name, call_id = text_in(function.get("name")), text_in(call.get("id"))
        arguments = function.get("arguments")
        index = call.get("index")
        if not isinstance(index, int):  # Gemini's and Ollama's endpoints leave it out: a name or an id begins a call
            self._next_call += 1 if (name or call_id) and (call_id or name) != self._last_call else 0
            self._last_call = call_id or name or self._last_call
            index = -self._next_call
        text = text_in(arguments)
        if isinstance(arguments, dict):
            text = _encoded(arguments)
        if not self._blocks.call(index, call_id, name, text):
            self.note("tool_calls", "arguments of a call that was complete are left out")

    def _drain(self, over: bool) -> bytes:
        return self._blocks.drain(over, made_id(self._id, 0)[:-2], self.reply.tool_names)

    def _complete(self) -> bytes:
        made = b"" if self._started else self._start({})
        made += self._drain(over=True)
        reason, sequence = stop_reason(
            self._finish, tools=self._blocks.calls > 0, refused=self._refused, notes=self.notes
        )
        if self._usage is None:
            self.note("usage", "the upstream gave none; the client is told 0, which Anthropic's form needs")
        delta = {"stop_reason": reason, "stop_sequence": sequence}
        usage = self._usage or {"input_tokens": 0, "output_tokens": 0}
        made += anthropic_event({"type": "message_delta", "delta": delta, "usage": usage})
        made += anthropic_event({"type": "message_stop"})
        self.closed = True
        return made

    def _done(self) -> bytes:
        # Without a finish reason an answer that said anything is taken as complete: [DONE] was meant.
        return self._complete() if self._started else self.fail("api_error", "the upstream's stream held no answer")

    def _end(self) -> bytes:
        if self._finish:
            return self._complete()  # only [DONE] is missing
        return self.fail("api_error", CUT_OFF)

    def _alive(self) -> bytes:
        return ANTHROPIC_PING if self._started else COMMENT  # an event must not come before message_start

    def _error(self, kind: str, message: str) -> bytes:
        return anthropic_event(anthropic_error(kind, message))


def _encoded(arguments: Json) -> str:

    return encode(arguments).decode()

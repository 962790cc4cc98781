"""The content blocks of an Anthropic stream that is being made: one open at a time, in order, nothing lost.

OpenAI may interleave the arguments of parallel tool calls; Anthropic's blocks follow one another. So the first block
that is not complete is live, and what belongs to later ones waits. A text or thinking block is complete when another
begins; a tool call when its arguments are a whole JSON object, or the answer is over.
"""

import msgspec

from farthing.gateway.translation.sse import anthropic_event
from farthing.gateway.translation.words import Json


class _Block:
    __slots__ = ("call", "call_id", "name", "opened", "pending", "seen")

    def __init__(self, kind: str) -> None:
        self.name = kind
        self.call: int | None = None
        self.call_id = ""
        self.pending: list[str] = []
        self.seen: list[str] = []
        self.opened = False


_STARTS: dict[str, Json] = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
}


class Blocks:
    """Takes pieces as they come; `drain` gives the events that can go out."""

    def __init__(self) -> None:
        self._queue: list[_Block] = []
        self._index = 0
        self._blank = ""
        self.calls = 0

    def text(self, text: str) -> None:
        """Answer text. White space waits for a visible character: Anthropic has no blank text blocks."""
        last = self._queue[-1] if self._queue else None
        if last is not None and last.call is None and last.name == "text":
            last.pending.append(text)
        elif (self._blank + text).strip():
            self._append("text").pending.append(self._blank + text)
            self._blank = ""
        else:
            self._blank += text

    def thinking(self, text: str) -> None:
        last = self._queue[-1] if self._queue else None
        block = last if last is not None and last.call is None and last.name == "thinking" else self._append("thinking")
        block.pending.append(text)

    def call(self, index: int, call_id: str, name: str, arguments: str) -> bool:
        """A piece of a tool call; False where it belongs to none that is open, and is left out.

        A new id under an old index is a new call: Gemini's endpoint numbers all of them 0.
        """
        block = self._find(index)
        if block is None and not name:
            return not (arguments.strip() or call_id)
        if block is None or (call_id and block.call_id and call_id != block.call_id):
            block = self._append(name)
            block.call = index
            self.calls += 1
        elif not block.opened and name and not block.name:
            block.name = name
        block.call_id = block.call_id or call_id
        if arguments:
            block.pending.append(arguments)
        return True

    def drain(self, over: bool, made_id: str, names: dict[str, str]) -> bytes:
        """The events that can go out now; all of them where the answer is `over`."""
        made: list[bytes] = []
        while self._queue:
            block = self._queue[0]
            if block.call is not None and not block.name and not over:
                break  # its name is still to come
            if not block.opened:
                made.append(self._open(block, made_id, names))
            made += [self._delta(block, piece) for piece in block.pending]
            if block.call is not None:
                block.seen += block.pending
            block.pending = []
            if not over and (len(self._queue) == 1 or not _complete(block)):
                break
            made.append(anthropic_event({"type": "content_block_stop", "index": self._index}))
            self._index += 1
            self._queue.pop(0)
        return b"".join(made)

    def _append(self, name: str) -> _Block:
        block = _Block(name)
        self._queue.append(block)
        return block

    def _find(self, index: int) -> _Block | None:
        """The last block of that call which is not closed."""
        return next((block for block in reversed(self._queue) if block.call == index), None)

    def _open(self, block: _Block, made_id: str, names: dict[str, str]) -> bytes:
        block.opened = True
        content = _STARTS.get(block.name) if block.call is None else None
        if content is None:
            block.call_id = block.call_id or f"{made_id}_{self._index}"
            name = names.get(block.name, block.name)
            content = {"type": "tool_use", "id": block.call_id, "name": name, "input": {}}
        return anthropic_event({"type": "content_block_start", "index": self._index, "content_block": content})

    def _delta(self, block: _Block, piece: str) -> bytes:
        delta: Json
        if block.call is not None:
            delta = {"type": "input_json_delta", "partial_json": piece}
        elif block.name == "text":
            delta = {"type": "text_delta", "text": piece}
        else:
            delta = {"type": "thinking_delta", "thinking": piece}
        return anthropic_event({"type": "content_block_delta", "index": self._index, "delta": delta})


def _complete(block: _Block) -> bool:
    """Whether nothing can follow in `block`, another having begun."""
    if block.call is None:
        return True
    text = "".join(block.seen)
    if not text.rstrip().endswith("}"):
        return False
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False
    return True

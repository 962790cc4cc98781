"""An Anthropic conversation as an OpenAI one: the system prompt first, each tool result a message of its own."""

import msgspec

from farthing.gateway.translation.fields import Fields
from farthing.gateway.translation.openai_parts import block_fields, cache_mark, part_of, plain
from farthing.gateway.translation.words import OPENAI_LONGEST_NAME, Json, OpenAITarget, Refused, openai_id, shortened

TOOL_ERROR = "[tool error] "
"""Said before a tool result that is an error: OpenAI has no mark for it."""
_PREFILL = "ends with an assistant message for the model to continue, which OpenAI has not; end with a user message"


class Conversation:
    """Turns Anthropic messages into OpenAI's; `names` keeps the client's name of a tool sent under another."""

    def __init__(self, target: OpenAITarget) -> None:
        self.target = target
        self.made: list[Json] = []
        self.names: dict[str, str] = {}

    def system(self, request: Fields) -> None:
        content = request.take("system")
        parts = [part for block in block_fields(content, request, "system") for part in part_of(block, self.target)]
        if parts:
            self.made.append({"role": "system", "content": plain(parts)})

    def add(self, message: Fields) -> None:
        """Append one message, which may become several."""
        role = message.needed_text("role")
        content = block_fields(message.take("content"), message)
        if role == "user":
            self._user(content)
        elif role == "assistant":
            self._assistant(content, message)
        elif role == "system":
            parts = [part for block in content for part in part_of(block, self.target)]
            if parts:
                self.made.append({"role": "system", "content": plain(parts)})
        else:
            raise Refused(message.at("role"), f"is {role!r}; it can be user, assistant or system")
        message.finish("OpenAI")

    def finish(self) -> list[Json]:
        if not any(message["role"] != "system" for message in self.made):
            raise Refused("messages", "is empty; send at least one user message")
        if self.made[-1]["role"] == "assistant":
            raise Refused("messages", _PREFILL)
        return self.made

    def sent_name(self, name: str) -> str:
        """The name under which a tool is known upstream; one that differs is kept in `names`."""
        sent = shortened(name, OPENAI_LONGEST_NAME)
        if sent != name:
            self.names[sent] = name
        return sent

    def _user(self, content: list[Fields]) -> None:
        """Tool results become tool messages, first, as OpenAI needs them; their images and the rest follow."""
        beside: list[Json] = []
        parts: list[Json] = []
        for block in content:
            if block.value.get("type") == "tool_result":
                beside += self._result(block)
            else:
                parts += part_of(block, self.target)
        if beside or parts:
            self.made.append({"role": "user", "content": plain(beside + parts)})

    def _result(self, block: Fields) -> list[Json]:
        """Append the tool message. Gives the parts that it cannot hold: a tool message is text only."""
        block.take("type")
        call = block.needed_text("tool_use_id")
        mark = cache_mark(block, self.target)
        failed = block.boolean("is_error")
        block.drop("toolset_name", "left out: OpenAI has no toolsets")
        made = [part for one in block_fields(block.take("content"), block) for part in part_of(one, self.target)]
        block.finish("OpenAI")
        texts = [part for part in made if part["type"] == "text"]
        others = [part for part in made if part["type"] != "text"]
        if failed:
            block.note("is_error", f"said in the text, as {TOOL_ERROR.strip()!r}")
            first = texts[0]["text"] if texts else ""
            texts[:1] = [(texts[0] if texts else {"type": "text"}) | {"text": TOOL_ERROR + first}]
        if texts and mark:
            texts[-1] = texts[-1] | mark
        self.made.append({"role": "tool", "tool_call_id": openai_id(call), "content": plain(texts) if texts else ""})
        if not others:
            return []
        block.note(
            "content", "images and files of a tool result are sent in a user message: OpenAI's tool messages are text"
        )
        return [{"type": "text", "text": f"[returned by tool call {openai_id(call)}]"}, *others]

    def _assistant(self, content: list[Fields], message: Fields) -> None:
        parts: list[Json] = []
        calls: list[Json] = []
        thoughts: list[str] = []
        for block in content:
            kind = block.value.get("type")
            if kind == "tool_use":
                calls.append(self._call(block))
            elif kind == "thinking":
                thoughts.append(str(block.value.get("thinking") or ""))
            elif kind == "redacted_thinking":
                block.note("type", "encrypted thinking is left out: only Anthropic can read it")
            else:
                parts += part_of(block, self.target)
        made: Json = {"role": "assistant"}
        if parts or not calls:
            made["content"] = plain(parts) if parts else ""
        else:
            made["content"] = None
        if calls:
            made["tool_calls"] = calls
        thought = "".join(thoughts)
        if thought and self.target.reasoning_content:
            made["reasoning_content"] = thought
        elif thought:
            message.note("content", "earlier thinking is left out: this upstream does not take it back")
        if not parts and not calls and "reasoning_content" not in made:
            message.note("content", "an empty message is left out")
            return
        self.made.append(made)

    def _call(self, block: Fields) -> Json:
        block.take("type")
        cache_mark(block, OpenAITarget())  # no place for a breakpoint on a call
        caller = block.sub("caller")
        if caller is not None and caller.value.get("type") != "direct":
            raise Refused(block.at("caller"), "is a call that Anthropic's own tools made; OpenAI has no such")
        arguments = block.take("input")
        if arguments is not None and not isinstance(arguments, dict):
            raise Refused(block.at("input"), "must be an object")
        made = {
            "id": openai_id(block.needed_text("id")),
            "type": "function",
            "function": {
                "name": self.sent_name(block.needed_text("name")),
                "arguments": msgspec.json.encode(arguments or {}).decode(),
            },
        }
        block.drop("toolset_name", "left out: OpenAI has no toolsets")
        block.finish("OpenAI")
        return made

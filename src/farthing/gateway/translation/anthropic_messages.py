"""An OpenAI conversation as an Anthropic one: system prompt apart, alternating turns, tool results first in theirs."""

import msgspec

from farthing.gateway.translation.anthropic_parts import blocks, text_blocks
from farthing.gateway.translation.fields import Fields
from farthing.gateway.translation.words import AnthropicTarget, Json, Note, Refused, anthropic_id

_PREFILL = (
    "ends with an assistant message: an Anthropic model would continue it, or refuse, and not answer it; "
    "end with a user or tool message"
)

_THINKING_KEYS = ("type", "thinking", "signature", "data")  # not the index that clients keep of a stream


def conversation(messages: list[Fields], target: AnthropicTarget, notes: list[Note]) -> tuple[list[Json], list[Json]]:
    """System blocks and turns. Raises `Refused` for what Anthropic cannot hold."""
    system: list[Json] = []
    turns: list[Json] = []
    for message in messages:
        role = message.needed_text("role")
        message.drop("name", "left out: Anthropic's messages have no names")
        if role in ("system", "developer"):
            _system(message, system, turns, target)
        elif role == "user":
            _add(turns, "user", blocks(message.take("content"), message), message)
        elif role == "assistant":
            _add(turns, "assistant", _assistant(message), message)
        elif role == "tool":
            _tool(message, turns)
        else:
            raise Refused(message.at("role"), f"is {role!r}; it can be system, developer, user, assistant or tool")
        message.finish("Anthropic")
    if not turns and system:
        notes.append(Note("messages", "the system prompt stands alone and is sent as the user's message"))
        return [], [{"role": "user", "content": system}]
    if not turns:
        raise Refused("messages", "hold nothing but empty text; Anthropic needs at least one message")
    if turns[-1]["role"] == "assistant":
        raise Refused("messages", _PREFILL)
    return system, turns


def _system(message: Fields, system: list[Json], turns: list[Json], target: AnthropicTarget) -> None:
    made = text_blocks(message.take("content"), message)
    if turns and target.system_messages and made:
        turns.append({"role": "system", "content": made})
        return
    if turns and made:
        message.note("role", "a system message inside the conversation is moved to the system prompt")
    system += made


def _add(turns: list[Json], role: str, made: list[Json], message: Fields) -> None:
    """Append blocks to the conversation, to the last turn where it has the same role."""
    if not made:
        message.note("content", "an empty message is left out: Anthropic refuses empty text")
    elif turns and turns[-1]["role"] == role:
        turns[-1]["content"] += made
    else:
        turns.append({"role": role, "content": made})


def _tool(message: Fields, turns: list[Json]) -> None:
    result: Json = {"type": "tool_result", "tool_use_id": anthropic_id(message.needed_text("tool_call_id"))}
    content = message.take("content")
    made = blocks(content, message)
    if made:
        result["content"] = made[0]["text"] if isinstance(content, str) else made
    if turns and turns[-1]["role"] == "user":
        # All results of one turn stand together, before any text of the same turn.
        there = turns[-1]["content"]
        after = next((n for n, block in enumerate(there) if block["type"] != "tool_result"), len(there))
        there.insert(after, result)
    else:
        turns.append({"role": "user", "content": [result]})


def _assistant(message: Fields) -> list[Json]:
    message.refuse("function_call", "is OpenAI's old form; send tool_calls")
    message.refuse("audio", "refers to audio kept at OpenAI; send the transcript as content")
    message.drop("annotations", "left out: citations of an earlier answer")
    made = _thinking(message)
    made += text_blocks(message.take("content"), message)
    refusal = message.text("refusal")
    if refusal and refusal.strip():
        made.append({"type": "text", "text": refusal})
    for call in message.subs("tool_calls"):
        made.append(_tool_use(call))
    return made


def _thinking(message: Fields) -> list[Json]:
    """Thinking blocks with their signatures, as our own answers carry them; text without a signature is left out."""
    blocks_sent = message.take("thinking_blocks") or []
    if not isinstance(blocks_sent, list):
        raise Refused(message.at("thinking_blocks"), "must be a list")
    kept = [{key: block[key] for key in _THINKING_KEYS if key in block} for block in blocks_sent if _signed(block)]
    for key in ("reasoning_content", "reasoning", "reasoning_details"):
        if kept:
            message.take(key)  # the same thinking, unsigned
        else:
            message.drop(key, "left out: Anthropic takes back only thinking that it signed (thinking_blocks)", "")
    return kept


def _signed(block: object) -> bool:
    if not isinstance(block, dict):
        return False
    proof = {"thinking": "signature", "redacted_thinking": "data"}.get(str(block.get("type")), "")
    return bool(block.get(proof))


def _tool_use(call: Fields) -> Json:
    kind = call.text("type") or "function"
    if kind != "function":
        raise Refused(call.at("type"), f"is {kind!r}; Anthropic takes function calls only")
    call.take("index")  # left in by clients that put a stream together
    function = call.sub("function")
    if function is None:
        raise Refused(call.at("function"), "is needed")
    made = {
        "type": "tool_use",
        "id": anthropic_id(call.needed_text("id")),
        "name": function.needed_text("name"),
        "input": _arguments(function),
    }
    function.finish("Anthropic")
    call.finish("Anthropic")
    return made


def _arguments(function: Fields) -> Json:
    text = function.text("arguments") or ""
    if not text.strip():
        return {}  # a call without arguments, as streams leave it
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Refused(function.at("arguments"), "is not a JSON object, which Anthropic needs; mend or remove the call")
    return value

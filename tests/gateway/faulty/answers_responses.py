"""Answers of OpenAI's responses surface."""

from tests.gateway.faulty.asked import ARGUMENTS, Asked, Json, text_of


def responses(asked: Asked, status: str = "completed") -> Json:
    counts = asked.counts
    item: Json = {
        "type": "message",
        "id": "msg_1",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": text_of(asked), "annotations": []}],
    }
    if asked.tool:
        item = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": asked.tool, "status": "completed"}
        item["arguments"] = ARGUMENTS
    usage = {
        "input_tokens": counts.prompt,
        "input_tokens_details": {"cached_tokens": counts.cached},
        "output_tokens": counts.output,
        "output_tokens_details": {"reasoning_tokens": counts.reasoning},
        "total_tokens": counts.prompt + counts.output,
    }
    done = status == "completed"
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_790_000_000,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": asked.served,
        "output": [item] if done else [],
        "parallel_tool_calls": True,
        "service_tier": asked.orders.tier or "default",
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": usage if done else None,
    }


def responses_events(asked: Asked) -> list[Json]:
    whole = responses(asked)
    item = whole["output"][0]
    events: list[Json] = [{"type": "response.created", "response": responses(asked, "in_progress")}]
    where: Json = {"item_id": item["id"], "output_index": 0}
    if asked.tool:
        added = item | {"arguments": "", "status": "in_progress"}
        events.append({"type": "response.output_item.added", "output_index": 0, "item": added})
        for piece in (ARGUMENTS[:9], ARGUMENTS[9:]):
            events.append({"type": "response.function_call_arguments.delta", **where, "delta": piece})
        events.append({"type": "response.function_call_arguments.done", **where, "arguments": ARGUMENTS})
    else:
        part = {"type": "output_text", "text": "", "annotations": []}
        added = item | {"content": [], "status": "in_progress"}
        events.append({"type": "response.output_item.added", "output_index": 0, "item": added})
        where["content_index"] = 0
        events.append({"type": "response.content_part.added", **where, "part": part})
        for word in asked.words:
            events.append({"type": "response.output_text.delta", **where, "delta": word, "logprobs": []})
        text = text_of(asked)
        events.append({"type": "response.output_text.done", **where, "text": text, "logprobs": []})
        events.append({"type": "response.content_part.done", **where, "part": part | {"text": text}})
    events.append({"type": "response.output_item.done", "output_index": 0, "item": item})
    events.append({"type": "response.completed", "response": whole})
    return [event | {"sequence_number": n} for n, event in enumerate(events)]

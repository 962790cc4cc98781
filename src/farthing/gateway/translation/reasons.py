"""Why an answer ended, and which service tier gave it, in the other protocol's words."""

from farthing.gateway.translation.words import Json, Note, object_in

_TO_OPENAI = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "pause_turn": "length",  # unfinished: it would go on if it were sent back, which an OpenAI client cannot
}
_TO_ANTHROPIC = {
    "stop": "end_turn",
    "eos": "end_turn",  # Together
    "length": "max_tokens",
    "max_tokens": "max_tokens",
    "model_length": "model_context_window_exceeded",  # Mistral
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_TIERS = {"standard": "default", "priority": "priority"}


def finish_reason(stop_reason: object, *, tools: bool, json_tool: bool, notes: list[Note]) -> str:
    """OpenAI's finish reason. A call to the tool that stands for a format is an ordinary end."""
    if stop_reason == "tool_use" and json_tool:
        return "stop"
    found = _TO_OPENAI.get(str(stop_reason))
    if found is None:
        notes.append(Note("stop_reason", f"{str(stop_reason)[:40]!r} is not known; the client is told a plain end"))
        return "tool_calls" if tools else "stop"
    return found


def stop_reason(choice: Json, *, tools: bool, refused: bool, notes: list[Note]) -> tuple[str, str | None]:
    """Anthropic's stop reason and the stop sequence met (vLLM and SGLang tell it).

    Several upstreams say "stop" after tool calls (Ollama, Gemini, vLLM with a forced tool); Anthropic's clients run
    tools only on "tool_use".
    """
    finish = choice.get("finish_reason")
    found = _TO_ANTHROPIC.get(str(finish))
    if refused:
        return "refusal", None
    if found is None:
        notes.append(Note("finish_reason", f"{str(finish)[:40]!r} is not known; the client is told a plain end"))
        found = "end_turn"
    if tools and found == "end_turn":
        return "tool_use", None
    met = choice.get("stop_reason", choice.get("matched_stop"))
    if found == "end_turn" and isinstance(met, str):
        return "stop_sequence", met
    return found, None


def openai_tier(usage: Json) -> str | None:
    """The service tier that served, where OpenAI has a word for it."""
    return _TIERS.get(str(object_in(usage).get("service_tier")))

"""A chat/completions request as a messages request: an OpenAI client in front of an Anthropic-compatible upstream."""

from typing import Any

from farthing.gateway.translation.anthropic_messages import conversation
from farthing.gateway.translation.fields import Fields
from farthing.gateway.translation.schemas import object_schema
from farthing.gateway.translation.words import (
    EFFORT_SHARE,
    JSON_TOOL,
    LEAST_THINKING_BUDGET,
    AnthropicTarget,
    Json,
    Note,
    Refused,
    Reply,
    Translated,
    decode_object,
    encode,
)

_EFFORTS = ("none", *EFFORT_SHARE)
_PENALTY = "has no counterpart at Anthropic; leave it out or send 0"
_LOGPROBS = "cannot be had from Anthropic; leave it out"
_TIERS = {"auto": "auto", "default": "standard_only"}


def to_anthropic(
    body: bytes, target: AnthropicTarget | None = None, fallback_id: str = "chatcmpl-farthing"
) -> Translated:
    """The messages request that asks the same. Raises `Refused` naming the field that cannot be carried."""
    try:
        return _translated(body, target or AnthropicTarget(), fallback_id)
    except RecursionError:
        raise Refused("body", "is nested too deeply") from None


def _translated(body: bytes, target: AnthropicTarget, fallback_id: str) -> Translated:
    notes: list[Note] = []
    request = Fields(decode_object(body, "body"), "", notes)
    _refusals(request)
    made: Json = {"model": target.model or request.needed_text("model")}
    request.take("model")
    system, made["messages"] = conversation(list(request.subs("messages")), target, notes)
    if system:
        made["system"] = system
    made["max_tokens"] = _max_tokens(request, target)
    _sampling(request, made)
    _thinking(request, made, target)
    json_tool = _tools_and_format(request, made, target)
    _who_and_how(request, made)
    stream, include_usage = _stream(request)
    if stream:
        made["stream"] = True
    request.finish("Anthropic")
    reply = Reply(stream=stream, include_usage=include_usage, json_tool=json_tool, fallback_id=fallback_id)
    return Translated(body=encode(made), notes=tuple(notes), reply=reply)


def _refusals(request: Fields) -> None:
    """Fields without a counterpart: those that change the answer are refused, the others left out with a note."""
    request.refuse("n", "Anthropic gives one answer a request; send n = 1, or several requests", 1)
    request.refuse("presence_penalty", _PENALTY, 0, 0.0)
    request.refuse("frequency_penalty", _PENALTY, 0, 0.0)
    request.refuse("logit_bias", "has no counterpart at Anthropic; leave it out")
    request.refuse("logprobs", _LOGPROBS, False)
    request.refuse("top_logprobs", _LOGPROBS, 0)
    request.refuse("modalities", "Anthropic answers in text only; leave it out", ["text"])
    request.refuse("audio", "Anthropic answers in text only; leave it out")
    request.refuse("moderation", "has no counterpart at Anthropic; leave it out")
    request.refuse("web_search_options", "is OpenAI's own search; give the model a search tool in tools")
    request.refuse("functions", "is OpenAI's old form; send tools")
    request.refuse("function_call", "is OpenAI's old form; send tool_choice", "auto", "none")
    request.refuse(
        "verbosity", "has no counterpart at Anthropic; ask for a short or long answer in the prompt", "medium"
    )
    request.drop("seed", "left out: Anthropic has no seed")
    request.drop("store", "left out: nothing is stored at OpenAI", False)
    request.drop("metadata", "left out: it annotates answers stored at OpenAI")
    request.drop("prediction", "left out: it only makes OpenAI faster")
    request.drop("prompt_cache_key", "left out: Anthropic's cache needs none")
    request.drop("prompt_cache_retention", "left out: Anthropic's lifetimes are set by cache_control")
    request.drop("prompt_cache_options", "left out: Anthropic caches what cache_control marks")


def _max_tokens(request: Fields, target: AnthropicTarget) -> int:
    newer, older = request.whole("max_completion_tokens"), request.whole("max_tokens")
    asked = newer if newer is not None else older
    if asked is None:
        request.note("max_tokens", f"{target.default_max_tokens} is sent: Anthropic needs one and none was given")
        return target.default_max_tokens
    if asked < 1:
        raise Refused("max_completion_tokens" if newer is not None else "max_tokens", "must be at least 1")
    return asked


def _sampling(request: Fields, made: Json) -> None:
    for key, most in (("temperature", 1.0), ("top_p", 1.0)):
        value = request.number(key, 0.0, most, ", Anthropic's range")
        if value is not None:
            made[key] = value
    top_k = request.whole("top_k")  # not OpenAI's, but clients send Anthropic's fields along
    if top_k is not None:
        made["top_k"] = top_k
    stop = request.take("stop")
    stops = [stop] if isinstance(stop, str) else stop
    if stops is None or stops == []:
        return
    if not isinstance(stops, list) or not all(isinstance(one, str) for one in stops):
        raise Refused("stop", "must be a text or a list of texts")
    if not all(one.strip() for one in stops):
        raise Refused("stop", "Anthropic takes no stop sequence of white space alone; add a visible character")
    made["stop_sequences"] = stops


def _thinking(request: Fields, made: Json, target: AnthropicTarget) -> None:
    effort = request.choice("reasoning_effort", _EFFORTS)
    own = request.take("thinking")  # Anthropic's own field, sent along
    if own is not None:
        if effort is not None:
            raise Refused("thinking", "stands beside reasoning_effort; send one of them")
        made["thinking"] = own
    elif effort == "none":
        made["thinking"] = {"type": "disabled"}
    elif effort is not None and target.thinking == "adaptive":
        if effort == "minimal":
            request.note("reasoning_effort", "minimal is sent as low, Anthropic's least")
        made["thinking"] = {"type": "adaptive"}
        made["output_config"] = {"effort": "low" if effort == "minimal" else effort}
    elif effort is not None:
        most = made["max_tokens"]
        if most <= LEAST_THINKING_BUDGET:
            raise Refused("reasoning_effort", f"needs max_tokens over {LEAST_THINKING_BUDGET}; it is {most}")
        budget = max(LEAST_THINKING_BUDGET, int(most * EFFORT_SHARE[effort]))
        request.note("reasoning_effort", f"{effort} is sent as a thinking budget of {budget} tokens")
        made["thinking"] = {"type": "enabled", "budget_tokens": budget}


def _tools_and_format(request: Fields, made: Json, target: AnthropicTarget) -> str | None:
    """Tools, tool choice and structured output. Gives the name of the tool that stands for the format, if one does."""
    tools = [_tool(tool) for tool in request.subs("tools")]
    choice, allowed = _choice(request)
    if allowed is not None:
        missing = allowed - {tool["name"] for tool in tools}
        if missing:
            raise Refused("tool_choice.allowed_tools", f"names {min(missing)!r}, which is not in tools")
        tools = [tool for tool in tools if tool["name"] in allowed]
    if request.boolean("parallel_tool_calls") is False and tools:
        choice = choice or {"type": "auto"}
        if choice["type"] != "none":
            choice["disable_parallel_tool_use"] = True
    schema = _format(request, target)
    if tools:
        made["tools"] = tools
        if choice:
            made["tool_choice"] = choice
    elif choice and choice["type"] not in ("auto", "none"):
        raise Refused("tool_choice", "forces a tool, and tools is empty")
    if schema is None:
        return None
    if target.structured == "format" and schema["schema"] is not None:
        made.setdefault("output_config", {})["format"] = {"type": "json_schema", "schema": schema["schema"]}
        return None
    return _forced_json(made, schema)


def _forced_json(made: Json, schema: Json) -> str:
    """Structured output by a tool that the model must call: its input is the answer."""
    if "tools" in made:
        raise Refused(
            "response_format", "needs a forced tool at this upstream, and tools are there too; send one of them"
        )
    if made.get("thinking", {"type": "disabled"})["type"] != "disabled":
        raise Refused(
            "response_format", "needs a forced tool at this upstream, which excludes reasoning; send a json_schema"
        )
    about = schema["description"] or "Give the answer as the input of this tool."
    tool: Json = {"name": JSON_TOOL, "description": about, "input_schema": schema["schema"] or {"type": "object"}}
    made["tools"] = [tool]
    made["tool_choice"] = {"type": "tool", "name": JSON_TOOL, "disable_parallel_tool_use": True}
    return JSON_TOOL


def _tool(tool: Fields) -> Json:
    kind = tool.text("type") or "function"
    if kind != "function":
        raise Refused(tool.at("type"), f"is {kind!r}; Anthropic takes function tools (a JSON schema) only")
    function = tool.sub("function")
    if function is None:
        raise Refused(tool.at("function"), "is needed")
    made: Json = {"name": function.needed_text("name")}
    description = function.text("description")
    if description:
        made["description"] = description
    made["input_schema"] = object_schema(function.take("parameters"), function.at("parameters"))
    if function.boolean("strict"):
        made["strict"] = True
    control = tool.take("cache_control")
    if control is not None:
        made["cache_control"] = control
    function.finish("Anthropic")
    tool.finish("Anthropic")
    return made


def _choice(request: Fields) -> tuple[Json | None, set[str] | None]:
    """Anthropic's tool choice, and the tools it is limited to (None: all)."""
    choice: Any = request.take("tool_choice")
    if choice is None:
        return None, None
    if isinstance(choice, str):
        kinds = {"none": "none", "auto": "auto", "required": "any"}
        if choice not in kinds:
            raise Refused("tool_choice", f"is {choice[:40]!r}; it can be none, auto, required or an object")
        return {"type": kinds[choice]}, None
    fields = Fields(choice, "tool_choice", request.notes)
    kind = fields.needed_text("type")
    if kind == "function":
        function = fields.sub("function")
        if function is None:
            raise Refused("tool_choice.function", "is needed")
        return {"type": "tool", "name": function.needed_text("name")}, None
    if kind == "allowed_tools":
        inner = fields.sub("allowed_tools")
        if inner is None:
            raise Refused("tool_choice.allowed_tools", "is needed")
        mode = inner.choice("mode", ("auto", "required"))
        named = {(tool.sub("function") or tool).needed_text("name") for tool in inner.subs("tools")}
        return {"type": "any" if mode == "required" else "auto"}, named
    raise Refused("tool_choice.type", f"is {kind!r}; it can be function or allowed_tools")


def _format(request: Fields, target: AnthropicTarget) -> Json | None:
    """The schema and description asked for; a schema of None for any JSON object; None for plain text."""
    wanted = request.sub("response_format")
    if wanted is None:
        return None
    kind = wanted.choice("type", ("text", "json_object", "json_schema"))
    schema = wanted.sub("json_schema")
    wanted.finish("Anthropic")
    if kind == "json_object":
        return {"schema": None, "description": None}
    if kind != "json_schema":
        return None
    if schema is None:
        raise Refused("response_format.json_schema", "is needed")
    shape = schema.take("schema")
    if not isinstance(shape, dict):
        raise Refused(
            "response_format.json_schema.schema", "is needed: Anthropic holds an answer to a schema, not a name"
        )
    schema.take("name")
    about = schema.text("description")
    if about and target.structured == "format":
        schema.note("description", "left out: Anthropic's format has none")
    if schema.boolean("strict") is False:
        schema.note("strict", "Anthropic always holds the answer to the schema")
    schema.finish("Anthropic")
    return {"schema": shape, "description": about}


def _who_and_how(request: Fields, made: Json) -> None:
    user, safety = request.text("user"), request.text("safety_identifier")
    if safety or user:
        made["metadata"] = {"user_id": safety or user}
        if safety and user and safety != user:
            request.note("user", "left out: safety_identifier is sent as metadata.user_id")
    tier = request.text("service_tier")
    if tier is not None:
        if tier not in _TIERS:
            raise Refused("service_tier", f"is {tier[:40]!r}, which Anthropic has not; it can be auto or default")
        made["service_tier"] = _TIERS[tier]


def _stream(request: Fields) -> tuple[bool, bool]:
    stream = bool(request.boolean("stream"))
    options = request.sub("stream_options")
    if options is None:
        return stream, False
    include = bool(options.boolean("include_usage"))
    options.take("include_obfuscation")  # padding of OpenAI's own stream, which this one never had
    options.finish("Anthropic")
    return stream, include and stream

"""A messages request as a chat/completions request: an Anthropic client in front of an OpenAI-compatible upstream."""

from farthing.gateway.translation.fields import Fields
from farthing.gateway.translation.openai_messages import Conversation
from farthing.gateway.translation.openai_parts import cache_mark
from farthing.gateway.translation.schemas import holds_strictly
from farthing.gateway.translation.words import (
    EFFORT_SHARE,
    OPENAI_LONGEST_NAME,
    OPENAI_LONGEST_USER,
    Json,
    Note,
    OpenAITarget,
    Refused,
    Reply,
    Translated,
    decode_object,
    encode,
    whole_hash,
)

_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_TIERS = {"auto": "auto", "standard_only": "default"}


def to_openai(body: bytes, target: OpenAITarget | None = None, fallback_id: str = "msg_farthing") -> Translated:
    """The chat/completions request that asks the same. Raises `Refused` naming the field that cannot be carried.

    A stream is always asked for with its usage, which the client's `message_delta` needs.
    """
    try:
        return _translated(body, target or OpenAITarget(), fallback_id)
    except RecursionError:
        raise Refused("body", "is nested too deeply") from None


def _translated(body: bytes, target: OpenAITarget, fallback_id: str) -> Translated:
    notes: list[Note] = []
    request = Fields(decode_object(body, "body"), "", notes)
    _refusals(request)
    cache_mark(request, OpenAITarget())  # the request-wide mark has no counterpart; the blocks' own may
    made: Json = {"model": target.model or request.needed_text("model")}
    request.take("model")
    talk = Conversation(target)
    tools = [_tool(tool, talk) for tool in request.subs("tools")]
    talk.system(request)
    for message in request.subs("messages"):
        talk.add(message)
    made["messages"] = talk.finish()
    made[target.max_tokens_field] = _max_tokens(request)
    _sampling(request, made, target)
    _thinking(request, made, target)
    _tool_choice(request, made, tools, talk)
    _who_and_how(request, made)
    stream = bool(request.boolean("stream"))
    if stream:
        made["stream"] = True
        made["stream_options"] = {"include_usage": True}
    request.finish("OpenAI")
    reply = Reply(stream=stream, tool_names=talk.names, fallback_id=fallback_id)
    return Translated(body=encode(made), notes=tuple(notes), reply=reply)


def _refusals(request: Fields) -> None:
    """Fields without a counterpart: those that change the answer are refused, the others left out with a note."""
    request.refuse("container", "is Anthropic's code container, which OpenAI has not; leave it out")
    request.refuse("mcp_servers", "are servers that Anthropic would call; give the model their tools in tools")
    request.refuse(
        "inference_geo", "binds where Anthropic computes, which another provider cannot promise; leave it out"
    )
    request.refuse("speed", "is Anthropic's fast mode; leave it out", "standard")
    request.drop("context_management", "left out: it edits Anthropic's copy of the conversation; all of it is sent")
    request.drop("diagnostics", "left out: it asks about Anthropic's cache")
    request.drop("user_profile_id", "left out: it is known at Anthropic only")
    request.drop("workspace_id", "left out: it is known at Anthropic only")


def _max_tokens(request: Fields) -> int:
    most = request.whole("max_tokens")
    if most is None:
        raise Refused("max_tokens", "is needed")
    if most < 1:
        raise Refused("max_tokens", "must be at least 1 (0 warms Anthropic's cache, which OpenAI has not)")
    return most


def _sampling(request: Fields, made: Json, target: OpenAITarget) -> None:
    for key in ("temperature", "top_p"):
        value = request.number(key, 0.0, 1.0)
        if value is not None:
            made[key] = value
    top_k = request.whole("top_k")
    if top_k is not None and not target.top_k:
        raise Refused("top_k", "this upstream takes none; leave it out, or use top_p")
    if top_k is not None:
        made["top_k"] = top_k
    stops = request.texts("stop_sequences")
    if target.most_stops is not None and len(stops) > target.most_stops:
        raise Refused("stop_sequences", f"are {len(stops)}; this upstream takes {target.most_stops} at most")
    if stops:
        made["stop"] = stops


def _thinking(request: Fields, made: Json, target: OpenAITarget) -> None:
    """Effort and thinking as `reasoning_effort`; the output format as `response_format`."""
    config, thinking = request.sub("output_config"), request.sub("thinking")
    effort = config.choice("effort", _EFFORTS) if config else None
    kind = thinking.choice("type", ("enabled", "disabled", "adaptive", "between_tools")) if thinking else None
    budget = thinking.whole("budget_tokens") if thinking else None
    if thinking:
        thinking.take("display")  # how much of the thinking to show, not how much to do
        thinking.finish("OpenAI")
    if kind == "disabled":
        request.note("thinking", "left out: the model's own default applies")
    elif kind == "between_tools":
        request.note("thinking", "between_tools is left out: the model decides when to think")
    elif effort is None and kind == "enabled" and budget is not None:
        effort = _effort_of(budget, request.whole("max_tokens") or 1)
        if target.reasoning_effort:
            request.note("thinking.budget_tokens", f"{budget} is sent as reasoning_effort {effort}")
    if effort is not None and target.reasoning_effort:
        made["reasoning_effort"] = effort
    elif effort is not None:
        request.note("thinking", "left out: this upstream takes no reasoning_effort")
    if config:
        _format(config, made)
        config.finish("OpenAI")


def _effort_of(budget: int, max_tokens: int) -> str:
    """The effort whose share of max_tokens lies nearest to the budget's."""
    share = budget / max_tokens
    return min(("low", "medium", "high"), key=lambda effort: abs(EFFORT_SHARE[effort] - share))


def _format(config: Fields, made: Json) -> None:
    wanted = config.sub("format")
    if wanted is None:
        return
    wanted.choice("type", ("json_schema",))
    schema = wanted.take("schema")
    if not isinstance(schema, dict):
        raise Refused(wanted.at("schema"), "must be a JSON schema")
    wanted.finish("OpenAI")
    strict = holds_strictly(schema)
    if not strict:
        wanted.note("schema", "sent as not strict: OpenAI's strict mode needs all properties required and no others")
    made["response_format"] = {
        "type": "json_schema",
        "json_schema": {"name": "response", "schema": schema, "strict": strict},
    }


def _tool(tool: Fields, talk: Conversation) -> Json:
    kind = tool.text("type") or "custom"
    if kind != "custom":
        raise Refused(tool.at("type"), f"is {kind!r}, a tool that Anthropic defines; describe it with an input_schema")
    name = tool.needed_text("name")
    sent = talk.sent_name(name)
    if sent != name:
        tool.note(
            "name", f"is sent as {sent}: OpenAI takes {OPENAI_LONGEST_NAME} characters; answers say the whole name"
        )
    function: Json = {"name": sent}
    description = tool.text("description")
    if description:
        function["description"] = description
    schema = tool.take("input_schema")
    if not isinstance(schema, dict):
        raise Refused(tool.at("input_schema"), "must be a JSON schema")
    function["parameters"] = schema
    if tool.boolean("strict"):
        function["strict"] = holds_strictly(schema)
        if not function["strict"]:
            tool.note("strict", "sent as not strict: OpenAI's strict mode needs all properties required and no others")
    cache_mark(tool, OpenAITarget())  # OpenAI's breakpoints stand in messages only
    tool.refuse("allowed_callers", "lets Anthropic's own tools call it; send ['direct'] or leave it out", ["direct"])
    tool.drop("input_examples", "left out: OpenAI's tools have none")
    tool.drop("defer_loading", "left out: the tool is loaded from the start", False)
    tool.take("eager_input_streaming")  # OpenAI always streams arguments as they come
    tool.finish("OpenAI")
    return {"type": "function", "function": function}


def _tool_choice(request: Fields, made: Json, tools: list[Json], talk: Conversation) -> None:
    choice = request.sub("tool_choice")
    kind = name = parallel = None
    if choice is not None:
        kind = choice.choice("type", ("auto", "any", "tool", "none"))
        name = choice.text("name")
        parallel = choice.boolean("disable_parallel_tool_use")
        choice.finish("OpenAI")
    if not tools:
        if kind in ("any", "tool"):
            raise Refused("tool_choice", "forces a tool, and tools is empty")
        return
    made["tools"] = tools
    if kind == "tool":
        if not name:
            raise Refused("tool_choice.name", "is needed")
        made["tool_choice"] = {"type": "function", "function": {"name": talk.sent_name(name)}}
    elif kind is not None:
        made["tool_choice"] = {"any": "required", "auto": "auto", "none": "none"}[kind]
    if parallel:
        made["parallel_tool_calls"] = False


def _who_and_how(request: Fields, made: Json) -> None:
    metadata = request.sub("metadata")
    if metadata is not None:
        user = metadata.text("user_id")
        metadata.finish("OpenAI")
        if user and len(user) > OPENAI_LONGEST_USER:
            metadata.note("user_id", f"is sent as its SHA-256: OpenAI takes {OPENAI_LONGEST_USER} characters")
            user = whole_hash(user)
        if user:
            made["user"] = user
    tier = request.choice("service_tier", tuple(_TIERS))
    if tier is not None:
        made["service_tier"] = _TIERS[tier]

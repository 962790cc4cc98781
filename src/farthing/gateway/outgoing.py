"""A request as it goes to one upstream: its bytes as they came, or with what must be changed and nothing else."""

from typing import Any

import msgspec

from farthing.gateway.metering import Asked, Surface, must_ask, with_stream_usage
from farthing.gateway.metering.members import members
from farthing.gateway.metering.output_cap import with_output_cap
from farthing.gateway.problem import Problem
from farthing.gateway.translation import AnthropicTarget, OpenAITarget, Reply, to_anthropic, to_openai
from farthing.gateway.upstream import Upstream


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """What is sent: `surface` of the upstream, `body`; what its answer needs: `hide_usage` (asked for by us alone),
    `reply` (the answer is to be translated), and `notes` of the translation."""

    surface: Surface
    body: bytes
    hide_usage: bool = False
    reply: Reply | None = None
    notes: tuple[str, ...] = ()


def outgoing(
    upstream: Upstream,
    client: Surface,
    surface: Surface,
    body: bytes,
    asked: Asked,
    model: str,
    cap: int | None,
    id: str,
) -> Outgoing:
    """The request for `model` at `upstream`. `cap`: the most output tokens to ask for, where the client stated none.

    Raises `translation.Refused` for what the other protocol cannot carry.
    """
    target: Any = upstream.settings.target
    if surface is not client:
        if surface is Surface.MESSAGES:
            target = target if isinstance(target, AnthropicTarget) else AnthropicTarget()
            changes: dict[str, Any] = {"model": model} | ({"default_max_tokens": cap} if cap is not None else {})
            made = to_anthropic(body, msgspec.structs.replace(target, **changes), "chatcmpl-" + id)
        else:
            target = target if isinstance(target, OpenAITarget) else OpenAITarget()
            made = to_openai(body, msgspec.structs.replace(target, model=model), "msg_" + id)
        return Outgoing(surface, made.body, False, made.reply, tuple(map(str, made.notes)))
    if model != asked.model:
        body = with_model(body, model)
    notes: tuple[str, ...] = ()
    if cap is not None:
        body = with_output_cap(surface, body, cap, _field(target))
        notes = (f"max_tokens: none is stated, and a hard budget applies: {cap} is sent",)
    hide = False
    if asked.stream and not asked.stream_usage:
        stated = upstream.settings.stream_usage
        ask = must_ask(surface, upstream.provider) if stated is None else stated == "asked"
        if ask and surface in (Surface.CHAT, Surface.COMPLETIONS):
            body = with_stream_usage(body)
            hide = True
    return Outgoing(surface, body, hide, None, notes)


def _field(target: object) -> str:
    return target.max_tokens_field if isinstance(target, OpenAITarget) else "max_completion_tokens"


def with_model(body: bytes, model: str) -> bytes:
    """`body` with another model, every other byte as it was."""
    for member in members(body):
        if member.name == "model":
            return body[: member.start] + msgspec.json.encode(model) + body[member.end :]
    raise Problem(400, "model is missing: name one, as text")

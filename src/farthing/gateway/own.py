"""What the gateway answers itself: health, readiness, metrics, the list of models."""

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.gateway.caller import token_of
from farthing.gateway.http import Scope, Send, send_whole, wanted_headers
from farthing.gateway.problem import Problem

if TYPE_CHECKING:
    from farthing.gateway.app import Gateway
    from farthing.gateway.state import State

_JSON = [(b"content-type", b"application/json")]
_TEXT = [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")]


async def own_answer(gateway: "Gateway", state: "State", request: str, scope: Scope, send: Send) -> None:
    """Answer a path of the gateway's own. Raises `Problem` (404) for one that is none."""
    path: str = scope["path"]
    if scope["method"] not in ("GET", "HEAD"):
        raise Problem(404, f"there is no {scope['method']} {path} here{_hint(path)}", code="not_found")
    if path == "/healthz":
        await send_whole(send, 200, _JSON, b'{"status":"ok"}')
    elif path == "/readyz":
        told = readiness(gateway, state)
        await send_whole(send, 200 if told["ready"] else 503, _JSON, msgspec.json.encode(told))
    elif path == "/metrics":
        _check_metrics(state, scope)
        state.shared.metrics.tick()
        text = await asyncio.to_thread(state.shared.metrics.merged)
        await send_whole(send, 200, _TEXT, text.encode())
    elif path == "/v1/models" or path.startswith("/v1/models/"):
        headers = wanted_headers(scope)
        key = state.gate.key_of(token_of(headers))
        names = [name for name in state.model_names() if state.gate.in_scope(key, name)]
        anthropic = b"anthropic-version" in headers
        told = _models(names, anthropic) if path == "/v1/models" else _model(path[11:], names, anthropic)
        await send_whole(send, 200, [*_JSON, (b"x-farthing-request-id", request.encode())], msgspec.json.encode(told))
    elif path == "/":
        await send_whole(send, 200, _JSON, b'{"name":"farthing","openai":"/v1","anthropic":"/","ready":"/readyz"}')
    else:
        raise Problem(404, f"there is no {path} here{_hint(path)}", code="not_found")


def readiness(gateway: "Gateway", state: "State") -> dict[str, Any]:
    """Whether requests are served now, and why not."""
    health = state.shared.ledger.health()
    reasons = []
    if gateway.draining:
        reasons.append("stopping")
    if not state.shared.fit(health):
        reasons.append(f"ledger: {health.reason or 'behind'}")
    return {
        "ready": not reasons, "reasons": reasons, "in_flight": gateway.in_flight - 1,
        "ledger": {"waiting": health.waiting, "reason": health.reason},
        "upstreams": {name: "open circuit" if one.breaker.tripped else "ok" for name, one in state.upstreams.items()},
    }  # fmt: skip


def _check_metrics(state: "State", scope: Scope) -> None:
    """Raise `Problem` where the metrics are not for this request."""
    telemetry = state.config.telemetry
    if not telemetry.metrics:
        raise Problem(404, "metrics are off (telemetry.metrics)", code="not_found")
    if telemetry.metrics_key is not None:
        from hmac import compare_digest

        shown = token_of(wanted_headers(scope))
        if not compare_digest(shown.encode(), telemetry.metrics_key.reveal().encode()):
            raise Problem(401, "metrics need the key of telemetry.metrics_key as a bearer token")


def _models(names: list[str], anthropic: bool) -> dict[str, Any]:
    data = [_entry(name, anthropic) for name in names]
    if not anthropic:
        return {"object": "list", "data": data}
    first, last = (names[0], names[-1]) if names else (None, None)
    return {"data": data, "has_more": False, "first_id": first, "last_id": last}


def _model(name: str, names: list[str], anthropic: bool) -> dict[str, Any]:
    if name not in names:
        raise Problem(404, f"no model {name!r} is listed; /v1/models lists them", code="model_not_found")
    return _entry(name, anthropic)


def _entry(name: str, anthropic: bool) -> dict[str, Any]:
    if anthropic:
        return {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"}
    return {"id": name, "object": "model", "created": 0, "owned_by": "farthing"}


def _hint(path: str) -> str:
    if path.startswith("/v1/v1/"):
        return f"; the base URL holds /v1 twice: this is {path[3:]}"
    if path in ("/chat/completions", "/responses", "/embeddings", "/models"):
        return f"; the base URL of OpenAI's clients ends in /v1: /v1{path}"
    return "; it answers /v1/chat/completions, /v1/responses, /v1/embeddings, /v1/messages, /v1/models and /readyz"

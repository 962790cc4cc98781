"""Errors that come with status 200: as the whole of an answer, or as the first event of a stream.

Many servers answer so (OpenRouter, aggregators in front of others): a stream's status is sent before anything can go
wrong. Nothing was produced, so it is an error like any other: told with the status that it would have had, in its own
words, and tried again or elsewhere where that can help.
"""

from typing import Any

import msgspec

from farthing.gateway.metering.sse import Events, data_of

_STATUS = {
    "context_length_exceeded": 400, "invalid_request_error": 400, "invalid_prompt": 400, "content_filter": 400,
    "invalid_api_key": 401, "authentication_error": 401, "insufficient_quota": 429, "billing_error": 402,
    "permission_error": 403, "permission_denied": 403, "model_not_found": 404, "not_found_error": 404,
    "request_too_large": 413, "rate_limit_error": 429, "rate_limit_exceeded": 429, "timeout_error": 504,
    "overloaded_error": 529, "overloaded": 529,
}  # fmt: skip
"""The status of an error by its code or type: OpenAI, "Error codes"; Anthropic, "Errors"."""


class Stated(msgspec.Struct, frozen=True):
    """An error: the status that it would have had (502 where it does not tell), and its body as that answer's."""

    status: int
    body: bytes


def stated_error(data: bytes) -> Stated | None:
    """The error that a JSON document holds; None where it is none."""
    try:
        value: Any = msgspec.json.decode(data)
    except (ValueError, RecursionError):  # a MsgspecError is a ValueError
        return None
    if not isinstance(value, dict):
        return None
    error = value.get("error")
    if not error and isinstance(value.get("response"), dict):  # `response.failed`
        error = value["response"].get("error")
    if not error and value.get("type") == "error" and isinstance(value.get("message"), str):  # of a responses stream
        error = {name: value.get(name) for name in ("message", "type", "param", "code")}
        error["type"] = "server_error"
    if isinstance(error, str):
        error = {"message": error, "type": "server_error", "param": None, "code": None}
    if not isinstance(error, dict) or not error:
        return None
    body = {"type": "error", "error": error} if value.get("type") == "error" and "error" in value else {"error": error}
    return Stated(_status(error), msgspec.json.encode(body))


def first_error(stream: bytes) -> Stated | None:
    """The first error among the events of the beginning of a stream."""
    events = Events()
    for event in [*events.feed(stream), events.end()]:
        found = stated_error(data_of(event))
        if found is not None:
            return found
    return None


def _status(error: dict[str, Any]) -> int:
    for name in ("code", "status", "status_code"):
        stated = error.get(name)
        if isinstance(stated, str) and stated.isdecimal():
            stated = int(stated[:4])
        if isinstance(stated, int) and 400 <= stated <= 599:
            return stated
    for name in ("code", "type"):
        if (status := _STATUS.get(str(error.get(name)))) is not None:
            return status
    return 502

"""Errors in the client's protocol: status, body and the headers that tell when to try again."""

from collections.abc import Iterable

import msgspec

from farthing.gateway.translation.words import BadAnswer, Json, Protocol, Refused, encode, object_in, text_in

_LONGEST_MESSAGE = 2000  # characters kept of a body that is no JSON, such as a proxy's HTML page

_KINDS = {  # Anthropic's type, for an HTTP status: Anthropic, "Errors"
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    504: "timeout_error",
    503: "overloaded_error",
    529: "overloaded_error",
}
_OPENAI_WORDS = {  # OpenAI's type and code, for Anthropic's type: OpenAI, "Error codes"
    "invalid_request_error": ("invalid_request_error", None),
    "authentication_error": ("invalid_request_error", "invalid_api_key"),
    "billing_error": ("insufficient_quota", "insufficient_quota"),
    "permission_error": ("permission_error", "permission_denied"),
    "not_found_error": ("invalid_request_error", "not_found"),
    "request_too_large": ("invalid_request_error", "request_too_large"),
    "conflict_error": ("invalid_request_error", "conflict"),
    "rate_limit_error": ("rate_limit_error", "rate_limit_exceeded"),
    "timeout_error": ("server_error", "timeout"),
    "overloaded_error": ("server_error", "overloaded"),
}
_STATUS = {  # the status that an error inside a stream would have had
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_KEPT_HEADERS = ("retry-after", "retry-after-ms", "x-should-retry")
_RENAMED_HEADERS = {"openai": {"request-id": "x-request-id"}, "anthropic": {"x-request-id": "request-id"}}


class TranslatedError(msgspec.Struct, frozen=True, kw_only=True):
    """An error answer in the client's protocol."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def translated_error(
    client: Protocol, status: int, body: bytes, headers: Iterable[tuple[str, str]] = ()
) -> TranslatedError:
    """An upstream's error answer, spoken in the client's protocol. Any body will do, also one that is no JSON.

    An overloaded upstream is 529 to an Anthropic client and 503 to an OpenAI client; an exhausted quota, which
    OpenAI answers with 429, is 402 to an Anthropic client, so that it is not tried again.
    """
    kind, message = read_error(body, status)
    if client == "openai":
        status = 503 if status == 529 else status
        made = openai_error(kind, message)
    else:
        status = 529 if status == 503 else 402 if kind == "billing_error" else status
        made = anthropic_error(kind, message)
    return TranslatedError(status=status, body=encode(made), headers=kept_headers(client, headers))


def refused_error(client: Protocol, refused: Refused) -> TranslatedError:
    """The answer to a request that cannot be carried (400, naming the field), or whose answer is none (502)."""
    bad_answer = isinstance(refused, BadAnswer)
    kind = "api_error" if bad_answer else "invalid_request_error"
    text = f"the upstream's {refused}" if bad_answer else str(refused)
    if client == "openai":
        made = openai_error(kind, text)
        if not bad_answer:
            made["error"] |= {"param": refused.field, "code": "unsupported_by_upstream"}
    else:
        made = anthropic_error(kind, text)
    return TranslatedError(status=502 if bad_answer else 400, body=encode(made))


def openai_error(kind: str, message: str) -> Json:
    """OpenAI's error body for Anthropic's error type."""
    type_, code = _OPENAI_WORDS.get(kind, ("server_error", None))
    return {"error": {"message": message, "type": type_, "param": None, "code": code}}


def anthropic_error(kind: str, message: str) -> Json:
    """Anthropic's error body."""
    return {"type": "error", "error": {"type": kind, "message": message}}


def read_error(body: bytes, status: int) -> tuple[str, str]:
    """Anthropic's type and the message of an error body of either protocol, or of none."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = None
    if isinstance(value, list) and value:
        value = value[0]  # Gemini's compatible endpoint wraps its errors in a list
    if not isinstance(value, dict):
        text = body.decode("utf-8", "replace").strip()[:_LONGEST_MESSAGE]
        return _KINDS.get(status, "api_error"), text or f"the upstream answered {status} without a word"
    return error_words(value, status)


def error_words(value: Json, status: int | None = None) -> tuple[str, str]:
    """Anthropic's type and the message of a decoded error; inside a stream there is no status to go by."""
    found = value.get("error", value)
    error = {"message": found} if isinstance(found, str) else object_in(found)
    message = text_in(error.get("message")) or text_in(value.get("message")) or text_in(value.get("detail"))
    told, code = text_in(error.get("type")), error.get("code")
    if "insufficient_quota" in (told, code):
        kind = "billing_error"
    elif status is not None:
        kind = told if _STATUS.get(told) == status else _KINDS.get(status, "api_error")
    elif told in _STATUS:
        kind = told
    elif isinstance(code, int):
        kind = _KINDS.get(code, "api_error")
    else:
        kind = {"rate_limit_exceeded": "rate_limit_error", "overloaded": "overloaded_error"}.get(str(code), "api_error")
    return kind, message or f"the upstream reported an error ({told or status or 'without a word'})"


def kept_headers(client: Protocol, headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The headers of an answer that both protocols understand, under the client's names."""
    renamed = _RENAMED_HEADERS[client]
    made = []
    for name, value in headers:
        lower = name.lower()
        if lower in _KEPT_HEADERS:
            made.append((lower, value))
        elif lower in renamed:
            made.append((renamed[lower], value))
    return tuple(made)

"""Errors that the gateway itself answers with, in the protocol of the client."""

from collections.abc import Sequence

import msgspec

from farthing.gateway.translation.errors import anthropic_error, openai_error

Header = tuple[bytes, bytes]

_KINDS = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
    405: "invalid_request_error", 408: "timeout_error", 413: "request_too_large", 429: "rate_limit_error",
    503: "overloaded_error", 504: "timeout_error",
}  # fmt: skip


class Problem(Exception):
    """Why the gateway does not (or cannot) serve a request: the status, one line, and what tells when to try again.

    `code` is OpenAI's `error.code` where the status alone says too little. `retry_after_s`: whole seconds, None where
    waiting does not help; then the official clients are told not to try again by themselves.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str = "",
        retry_after_s: int | None = None,
        again: bool | None = None,
        headers: Sequence[Header] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.retry_after_s = retry_after_s
        self.again = retry_after_s is not None if again is None else again
        self.headers = tuple(headers)

    @property
    def kind(self) -> str:
        """The type of the error, in Anthropic's words."""
        return _KINDS.get(self.status, "api_error")


def error_body(protocol: str, problem: Problem) -> bytes:
    """The error's JSON in the client's protocol ("openai" or "anthropic")."""
    if protocol == "anthropic":
        return msgspec.json.encode(anthropic_error(problem.kind, problem.message))
    body = openai_error(problem.kind, problem.message)
    if problem.code:
        body["error"]["code"] = problem.code
    return msgspec.json.encode(body)


def error_headers(problem: Problem) -> list[Header]:
    """The headers beside it."""
    made = [(b"content-type", b"application/json"), *problem.headers]
    if problem.retry_after_s is not None:
        made.append((b"retry-after", b"%d" % max(problem.retry_after_s, 1)))
    if not problem.again:
        made.append((b"x-should-retry", b"false"))  # both official clients try again on 429 and 5xx otherwise
    return made

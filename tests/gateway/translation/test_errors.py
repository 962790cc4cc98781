"""Errors both ways: status, type, message, headers; and bodies that are none."""

import json
from typing import Any

import pytest

from farthing.gateway.translation import BadAnswer, Protocol, Refused, refused_error, translated_error


@pytest.mark.parametrize(
    ("status", "kind", "client_status", "type_", "code"),
    [
        (400, "invalid_request_error", 400, "invalid_request_error", None),
        (401, "authentication_error", 401, "invalid_request_error", "invalid_api_key"),
        (402, "billing_error", 402, "insufficient_quota", "insufficient_quota"),
        (403, "permission_error", 403, "permission_error", "permission_denied"),
        (404, "not_found_error", 404, "invalid_request_error", "not_found"),
        (413, "request_too_large", 413, "invalid_request_error", "request_too_large"),
        (429, "rate_limit_error", 429, "rate_limit_error", "rate_limit_exceeded"),
        (500, "api_error", 500, "server_error", None),
        (504, "timeout_error", 504, "server_error", "timeout"),
        (529, "overloaded_error", 503, "server_error", "overloaded"),
    ],
)
def test_anthropic_errors_for_an_openai_client(
    status: int, kind: str, client_status: int, type_: str, code: str | None
) -> None:
    body = json.dumps({"type": "error", "error": {"type": kind, "message": "why"}, "request_id": "req_1"}).encode()
    error = translated_error("openai", status, body)
    assert error.status == client_status
    assert json.loads(error.body) == {"error": {"message": "why", "type": type_, "param": None, "code": code}}


@pytest.mark.parametrize(
    ("status", "told", "client_status", "kind"),
    [
        (400, {"type": "invalid_request_error", "code": "context_length_exceeded"}, 400, "invalid_request_error"),
        (401, {"type": "invalid_request_error", "code": "invalid_api_key"}, 401, "authentication_error"),
        (404, {"type": "invalid_request_error", "code": "model_not_found"}, 404, "not_found_error"),
        (413, {}, 413, "request_too_large"),
        (422, {}, 422, "invalid_request_error"),
        (429, {"type": "tokens", "code": "rate_limit_exceeded"}, 429, "rate_limit_error"),
        (429, {"type": "insufficient_quota", "code": "insufficient_quota"}, 402, "billing_error"),
        (500, {"type": "server_error"}, 500, "api_error"),
        (502, {}, 502, "api_error"),
        (503, {"type": "server_error"}, 529, "overloaded_error"),
        (504, {}, 504, "timeout_error"),
    ],
)
def test_openai_errors_for_an_anthropic_client(
    status: int, told: dict[str, str], client_status: int, kind: str
) -> None:
    error = translated_error("anthropic", status, json.dumps({"error": {"message": "why"} | told}).encode())
    assert error.status == client_status
    assert json.loads(error.body) == {"type": "error", "error": {"type": kind, "message": "why"}}


@pytest.mark.parametrize("client", ["openai", "anthropic"])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the upstream answered 502 without a word"),
        (b"<html>Bad gateway</html>", "<html>Bad gateway</html>"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b'{"detail":"Not here"}', "Not here"),
        (b'{"message":"Not here"}', "Not here"),
        (b'{"error":"Not here"}', "Not here"),
        (b'[{"error":{"code":502,"message":"Not here","status":"UNAVAILABLE"}}]', "Not here"),
        (b'{"error":null}', "the upstream reported an error (502)"),
        (b"[" * 5000, "[" * 2000),
    ],
)
def test_any_body_will_do(client: Protocol, body: bytes, message: str) -> None:
    error = translated_error(client, 502, body)
    assert error.status == 502
    assert json.loads(error.body)["error"]["message"] == message


def test_headers_that_both_understand_are_kept_and_no_others() -> None:
    headers = [
        ("Retry-After", "7"),
        ("retry-after-ms", "7000"),
        ("x-should-retry", "true"),
        ("request-id", "req_1"),
        ("set-cookie", "secret"),
        ("content-length", "12"),
    ]
    assert translated_error("openai", 429, b"{}", headers).headers == (
        ("retry-after", "7"),
        ("retry-after-ms", "7000"),
        ("x-should-retry", "true"),
        ("x-request-id", "req_1"),
    )


@pytest.mark.parametrize("client", ["openai", "anthropic"])
def test_a_refusal_is_400_and_a_bad_answer_502(client: Protocol) -> None:
    refused = refused_error(client, Refused("n", "send 1"))
    made: dict[str, Any] = json.loads(refused.body)["error"]
    assert (refused.status, made["type"], made["message"]) == (400, "invalid_request_error", "n: send 1")
    assert refused_error(client, BadAnswer("answer", "is not JSON")).status == 502

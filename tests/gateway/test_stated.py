"""Errors that come with status 200, and how long an upstream wants to be left alone."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from farthing.gateway.failing import again_s
from farthing.gateway.stated import Stated, first_error, stated_error


def read(value: Any) -> Stated | None:
    return stated_error(json.dumps(value).encode())


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"message": "x", "code": 429}, 429),
        ({"message": "x", "code": "503"}, 503),
        ({"message": "x", "status": 404}, 404),
        ({"message": "x", "type": "invalid_request_error", "code": None}, 400),
        ({"message": "x", "type": "invalid_request_error", "code": "rate_limit_exceeded"}, 429),
        ({"message": "x", "type": "overloaded_error"}, 529),
        ({"message": "x", "type": "server_error"}, 502),
        ({"message": "x", "code": 200}, 502),  # no status of an error
        ({"message": "x", "code": 99999}, 502),
        ({"message": "x", "code": True, "type": ["y"]}, 502),
        ({"message": "x", "code": "9" * 5000}, 502),
    ],
)
def test_the_status_that_it_would_have_had(error: dict[str, Any], status: int) -> None:
    found = read({"error": error})
    assert found is not None and found.status == status
    assert json.loads(found.body) == {"error": error}


def test_every_form_becomes_an_errors_body() -> None:
    anthropic = {"type": "error", "error": {"type": "api_error", "message": "x"}}
    assert json.loads(read(anthropic).body) == anthropic  # type: ignore[union-attr]
    assert json.loads(read({"error": "words"}).body)["error"]["message"] == "words"  # type: ignore[union-attr]
    failed = read({"type": "response.failed", "response": {"error": {"code": "server_error", "message": "x"}}})
    assert failed is not None and json.loads(failed.body) == {"error": {"code": "server_error", "message": "x"}}
    event = read({"type": "error", "code": "rate_limit_exceeded", "message": "x", "param": None, "sequence_number": 1})
    assert event is not None and event.status == 429 and json.loads(event.body)["error"]["message"] == "x"


@pytest.mark.parametrize("value", [{}, [], 1, None, {"error": None}, {"error": {}}, {"choices": []}, {"error": 5}])
def test_what_is_no_error(value: Any) -> None:
    assert read(value) is None
    assert stated_error(b"{") is None and stated_error(b"[" * 100_000) is None and stated_error(b"\xff") is None


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n", "\n", ""])
def test_the_first_error_of_a_stream(end: str) -> None:
    stream = f': ping\n\ndata: {{"choices": []}}\n\nevent: error\ndata: {{"error": {{"code": 429}}}}{end}'
    found = first_error(stream.encode())
    assert found is not None and found.status == 429
    assert first_error(b"data: [DONE]\n\n") is None and first_error(b"") is None


def test_when_to_come_again() -> None:
    """RFC 9110: seconds or a date; a date that has passed is now, and what is neither is nothing."""
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    found = again_s({"retry-after": later})
    assert found is not None and 88 <= found <= 90
    assert again_s({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert again_s({"retry-after": "7"}) == 7 and again_s({"retry-after-ms": "1500", "retry-after": "7"}) == 1.5
    for nonsense in ("soon", "", "nan", "inf", "-inf", "Wed, 99 Oct 2015 07:28:00 GMT", "1e999"):
        assert again_s({"retry-after": nonsense}) is None
    assert again_s({"retry-after": "-5"}) == 0 and again_s({}) is None
    assert again_s({"retry-after-ms": "soon", "retry-after": "7"}) == 7

"""Posting a result to a webhook: once more where it fails, never after a redirect, and no address in any message.

Addresses of webhooks hold a secret in their path; messages name the host alone.
"""

import http.client
import json
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import msgspec

from farthing.problems import FarthingError

TIMEOUT_S = 10.0
PAUSE_S = 1.0
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a post to `host`: the status of the last answer (None: there was none), and why it failed."""

    host: str
    attempts: int
    status: int | None
    problem: str = ""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def host_of(url: str) -> str:
    """The host (and port) that `url` names. Raises `FarthingError` for what is no http or https address."""
    example = "such as https://hooks.example.com/…"
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise FarthingError(f"--webhook is not an address; write one {example}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise FarthingError(f"--webhook is not an http or https address; write one {example}")
    if parts.username is not None or parts.password is not None:
        raise FarthingError("--webhook holds a user or password before the host, which would not be sent; leave it out")
    if any(char.isspace() or not char.isprintable() for char in url.strip()):
        raise FarthingError(f"--webhook holds a space or a line break; write one address {example}")
    return f"{parts.hostname}:{port}" if port else parts.hostname


def post(url: str, body: object, timeout_s: float = TIMEOUT_S, pause_s: float = PAUSE_S) -> Delivery:
    """Post `body` as JSON to `url`. A post that fails for a while (no connection, a time-out, 429, 5xx) is tried
    once more after `pause_s` seconds. Raises `FarthingError` for an address that is none."""
    host = host_of(url)
    content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    opener = urllib.request.build_opener(_NoRedirect)
    status, problem = None, ""
    for attempt in (1, 2):
        if attempt == 2:
            time.sleep(pause_s)
        status, problem = _once(opener, url.strip(), content, timeout_s)
        if not problem or (status is not None and status not in _AGAIN):
            return Delivery(host=host, attempts=attempt, status=status, problem=problem)
    return Delivery(host=host, attempts=2, status=status, problem=problem)


def _once(
    opener: urllib.request.OpenerDirector, url: str, content: bytes, timeout_s: float
) -> tuple[int | None, str]:  # fmt: skip
    """The status of one post, and why it failed ("" if it did not)."""
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "farthing"}
    try:
        asked = urllib.request.Request(url, data=content, headers=headers, method="POST")
        with opener.open(asked, timeout=timeout_s) as answer:
            return int(answer.status), ""
    except urllib.error.HTTPError as error:
        with error:
            status = error.code
        if 300 <= status < 400:
            return status, f"answered {status}, a redirect, which is not followed"
        return status, f"answered {status}"
    except TimeoutError:
        return None, f"no answer within {timeout_s:g} s"
    except urllib.error.URLError as error:
        why = error.reason
        if isinstance(why, TimeoutError):
            return None, f"no answer within {timeout_s:g} s"
        return None, f"cannot be reached: {why.strerror if isinstance(why, OSError) and why.strerror else 'no route'}"
    except (http.client.HTTPException, OSError, ValueError) as error:
        return None, f"the exchange failed: {type(error).__name__}"

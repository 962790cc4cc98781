"""Why a request's body is not taken, in words that repeat none of it."""

import re

import msgspec

from farthing.gateway.metering.words import word

_PATH = re.compile(r"Expected `(.+?)`, got `(.+?)`(?: - at `\$?\.?(.*)`)?$")
_BOUND = re.compile(r"(?:Expected `int` ([<>])= |Integer value out of range).* - at `\$\.(\w+)`$")
_KINDS = {
    "str": "text", "int": "a whole number", "float": "a number", "bool": "true or false", "null": "nothing",
    "object": "an object", "array": "a list",
}  # fmt: skip


def reason(body: bytes, fault: Exception) -> str:
    """What is wrong with `body`, for which the decoder of requests raised `fault`: one line."""
    if not body.strip():
        return "the body is empty: send a JSON object"
    if body.startswith(b"\xef\xbb\xbf"):
        return "the body begins with a byte order mark: send JSON without one"
    if isinstance(fault, RecursionError):
        return "the body is nested too deeply: send fewer levels"
    told = str(fault)
    if not isinstance(fault, msgspec.ValidationError):
        return f"the body is not JSON: {word(told).removeprefix('JSON is malformed: ')}"
    if parts := _PATH.match(told):
        wanted, got, field = _spoken(parts[1]), _spoken(parts[2]), parts[3]
        return f"{field}: expected {wanted}, got {got}" if field else f"the body is {got}, not a JSON object"
    if parts := _BOUND.match(told):
        if parts[2] in ("n", "best_of"):
            return f"{parts[2]} must be a whole number of at least 1"
        return f"{parts[2]} is {'negative' if parts[1] == '>' else 'absurd'}: state a number of tokens"
    return word(told)


def _spoken(kinds: str) -> str:
    """msgspec's words for JSON's kinds ("int | null") in a reader's."""
    return " or ".join(_KINDS.get(kind, kind) for kind in kinds.split(" | "))

"""Short words out of untrusted text: fit for a header, a metric's label and a ledger's row."""

import re
from collections.abc import Mapping
from typing import Any

LONGEST = 256
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_is_plain = re.compile(rf"[ -~]{{0,{LONGEST}}}").fullmatch
_CODE = re.compile(r"[^A-Za-z0-9_.\-]+")


def word(value: Any) -> str:
    """`value` as one line of at most 256 characters; "" where it is no text or number."""
    if isinstance(value, str):
        if _is_plain(value):  # nearly always
            return value.strip()
        return _CONTROL.sub(" ", value[:LONGEST]).strip()
    return "" if value is None or not _is_short(value) else str(value)


def _is_short(value: Any) -> bool:
    """Whether `value` is a whole number that is not absurdly long (Python refuses to write out a very long one)."""
    return isinstance(value, int) and not isinstance(value, bool) and value.bit_length() < LONGEST


def code(error: Any) -> str:
    """The type or code of an error object, never its message: messages quote prompts and keys."""
    if isinstance(error, Mapping):
        inner = error.get("error")
        for stated in (error.get("type"), error.get("code"), error.get("status")):
            if (isinstance(stated, str) and stated not in ("", "error")) or _is_short(stated):
                return _CODE.sub("_", str(stated)[:60])
        return code(inner) if isinstance(inner, Mapping) else "error"
    return "error"

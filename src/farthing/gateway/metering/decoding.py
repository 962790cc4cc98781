"""Decoding of just the fields that are needed: strict and fast first, forgiving where an upstream is not quite JSON.

Upstreams do send what strict JSON refuses: half a surrogate pair (an emoji cut between two tokens), NaN among the
log-probabilities, raw control characters, a field of another type. None of it may cost the usage that stands beside it.
"""

import json
import re
from decimal import Decimal
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)

FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a strict decoder raises for text that it does not take."""

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_MOST_FORGIVEN = 4 << 20
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
SMALL = 1 << 17
"""Text of fewer bytes is never crowded."""
MOST_OBJECTS = 100_000
_MOST_NAMES = 2 * MOST_OBJECTS
_MOST_QUOTES = 8 * MOST_OBJECTS


def without_surrogates(text: bytes) -> bytes:
    """`text` with every surrogate escape as U+FFFD: of the same length, and taken by a strict decoder."""
    return _SURROGATE.sub(rb"\\ufffd", text)


def crowded(text: bytes) -> bool:
    """Whether JSON `text` has more objects, lists or members than any request or answer: as Python's objects they take
    a hundred times the memory of their bytes, and seconds."""
    if len(text) < SMALL:
        return False
    if text.count(b'"') - text.count(b'\\"') > _MOST_QUOTES:
        return True
    if not _is_crowded(text):
        return False
    return _is_crowded(_STRINGS.sub(b"", text))  # a program's text is full of braces


def _is_crowded(text: bytes) -> bool:
    return text.count(b"{") + text.count(b"[") > MOST_OBJECTS or text.count(b":") > _MOST_NAMES


class Decoder(Generic[T]):
    """Decodes JSON objects into `kind`; fractions in untyped fields are `Decimal`, digit for digit."""

    def __init__(self, kind: type[T]) -> None:
        self.kind = kind
        self.strict = msgspec.json.Decoder(kind, float_hook=Decimal).decode
        self._fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}

    def __call__(self, text: bytes) -> T | None:
        """The fields in `text`; None where it is no JSON object. Never raises."""
        try:
            return self.strict(text)
        except FAULTS:
            return self._forgiving(text)

    def _forgiving(self, text: bytes) -> T | None:
        if len(text) > _MOST_FORGIVEN:
            return None
        try:
            whole = without_surrogates(text) if b"\\u" in text else text
            row = json.loads(whole.decode("utf-8", "replace"), strict=False, parse_float=Decimal)
        except (ValueError, RecursionError):
            return None
        return self.from_row(row) if isinstance(row, dict) else None

    def from_row(self, row: dict[str, Any]) -> T:
        """The fields in `row`, each that does not fit its type left at its default."""
        found = {}
        for name, field in self._fields.items():
            if name in row:
                try:
                    found[field.name] = msgspec.convert(row[name], field.type)
                except (msgspec.ValidationError, RecursionError):
                    continue
        return self.kind(**found)

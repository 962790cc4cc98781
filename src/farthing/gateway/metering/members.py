"""Where the members of a JSON object stand in its bytes: for splicing without re-encoding, and for finding doubles.

Only for text that a JSON decoder has accepted: the structure is trusted, not checked again.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

_SPACE = re.compile(rb"[ \t\r\n]*")
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_MEMBER = re.compile(  # its name, and its value where that is no object or list
    rb"[ \t\r\n,]*(" + _STRING + rb")[ \t\r\n]*:[ \t\r\n]*(" + _STRING + rb"|[^][{}\", \t\r\n]++)?", re.DOTALL
)
names_of = re.compile(rb'"([A-Za-z_\xc5\xbf\xe2\x84\xaa]+)"[ \t\r\n]*:').findall  # with what folds to s and k
"""The names of the members of an object, those of inner objects among them, but not where a letter is escaped.

One search instead of a walk along the members: a quoted name directly before a colon is a name wherever it stands,
since within a text its quotes would be escaped.
"""
LONG = 64
"""A value of more bytes is quicker compared as a whole than searched."""
_TOKEN = re.compile(_STRING + rb"|[][{}]", re.DOTALL)


class Member(NamedTuple):
    """One member: its name, and where its value begins and ends."""

    name: str
    start: int
    end: int


def opening(text: bytes, start: int = 0) -> int:
    """The place just inside the object that begins at or after `start`."""
    found = _SPACE.match(text, start)
    return (found.end() if found else start) + 1


def is_empty(text: bytes, inside: int) -> bool:
    """Whether the object whose inside begins at `inside` has no members."""
    return _MEMBER.match(text, inside) is None


def members(text: bytes, start: int = 0, known: Iterable[bytes] = ()) -> Iterator[Member]:
    """The members of the object that begins at `start`, in order, doubles included.

    `known`: the bytes of objects and lists that are already cut out, which are stepped over by comparison.
    """
    at = opening(text, start)
    long = [value for value in known if len(value) > LONG]
    while found := _MEMBER.match(text, at):
        start, at = found.span(2)
        if start < 0:
            start = found.end()
            at = _end(text, start, long)
        yield Member(_text(found[1]), start, at)


def before(name: str) -> Callable[[bytes], re.Match[bytes] | None]:
    """What finds where the first value of a member called `name` begins: there the match ends."""
    return re.compile(b'"' + name.encode() + rb'"[ \t\r\n]*:[ \t\r\n]*').search


def doubled(found: list[bytes], names: frozenset[bytes]) -> bool:
    """Whether one of `names` (lower-case letters and `_`) may be stated twice among those `found`, or once in
    capitals; False is certain."""
    once = set(found)
    if len(once) != len(found) and any(found.count(name) > 1 for name in once & names):
        return True
    others = once - names
    letters = b"".join(others)
    if not letters or (letters.islower() and letters.isascii()):
        return False
    return any([not name.isascii() or (not name.islower() and name.lower() in names) for name in others])  # noqa: C419


def _text(name: bytes) -> str:
    """The member's name as it reads: an escaped letter is that letter."""
    if b"\\" in name:
        try:
            return str(json.loads(name))
        except ValueError:
            pass
    return name[1:-1].decode("utf-8", "replace")


def _end(text: bytes, begin: int, long: list[bytes]) -> int:
    """Where the object or list that begins at `begin` ends."""
    for value in long:
        if text.startswith(value, begin):
            return begin + len(value)
    depth = 0
    for token in _TOKEN.finditer(text, begin):
        mark = text[token.start()]
        if mark in b"{[":
            depth += 1
        elif mark in b"]}":
            depth -= 1
            if depth == 0:
                return token.end()
    return len(text)

"""Reading a client's JSON object field by field, so that nothing in it is dropped in silence.

Each field is taken, dropped with a note, or refused; `finish` refuses those that nobody asked for. A null, an empty
list and an empty object say nothing and are never an error: clients send back answers with `"refusal": null`.
"""

from collections.abc import Iterator
from typing import Any

from farthing.gateway.translation.words import Json, Note, Refused


class Fields:
    """One object of a request, its place in the request, and the notes of the whole translation."""

    __slots__ = ("_left", "notes", "place", "value")

    def __init__(self, value: object, place: str, notes: list[Note]) -> None:
        if not isinstance(value, dict):
            raise Refused(place or "body", "must be an object")
        self.value: Json = value
        self.place = place
        self.notes = notes
        self._left = set(value)

    def at(self, key: str) -> str:
        """The place of a field, as a message names it: `messages[2].content`."""
        return f"{self.place}.{key}" if self.place else key

    def take(self, key: str) -> Any:
        """The field as it is, None where absent or null."""
        self._left.discard(key)
        return self.value.get(key)

    def text(self, key: str) -> str | None:
        value = self.take(key)
        if value is not None and not isinstance(value, str):
            raise Refused(self.at(key), "must be a text")
        return value

    def needed_text(self, key: str) -> str:
        value = self.text(key)
        if not value:
            raise Refused(self.at(key), "is needed")
        return value

    def boolean(self, key: str) -> bool | None:
        value = self.take(key)
        if value is not None and not isinstance(value, bool):
            raise Refused(self.at(key), "must be true or false")
        return value

    def whole(self, key: str) -> int | None:
        value = self.take(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise Refused(self.at(key), "must be a whole number")
        return value

    def number(self, key: str, least: float, most: float, advice: str = "") -> float | int | None:
        """A number within `least`..`most`, both included; `advice` is added to the refusal."""
        value = self.take(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Refused(self.at(key), "must be a number")
        if not least <= value <= most:
            raise Refused(self.at(key), f"is {value}, outside {least:g} to {most:g}{advice}")
        return value

    def choice(self, key: str, choices: tuple[str, ...]) -> str | None:
        value = self.text(key)
        if value is not None and value not in choices:
            raise Refused(self.at(key), f"is {value[:40]!r}; it can be {', '.join(choices)}")
        return value

    def sub(self, key: str) -> "Fields | None":
        """The object in `key`, None where absent or null."""
        value = self.take(key)
        return None if value is None else Fields(value, self.at(key), self.notes)

    def subs(self, key: str) -> "Iterator[Fields]":
        """The objects of the list in `key`; none where absent or null."""
        value = self.take(key)
        if value is None:
            return
        if not isinstance(value, list):
            raise Refused(self.at(key), "must be a list")
        for number, item in enumerate(value):
            yield Fields(item, f"{self.at(key)}[{number}]", self.notes)

    def texts(self, key: str) -> list[str]:
        """The texts of a list."""
        value = self.take(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise Refused(self.at(key), "must be a list of texts")
        return value

    def note(self, key: str, what: str) -> None:
        self.notes.append(Note(self.at(key), what))

    def drop(self, key: str, what: str, *nothing: object) -> None:
        """Leave the field out; with a note, unless it says nothing (null, empty, or one of `nothing`)."""
        value = self.take(key)
        if not _empty(value) and not _among(value, nothing):
            self.note(key, what)

    def refuse(self, key: str, reason: str, *nothing: object) -> None:
        """Refuse the request because of this field, unless it says nothing (null, empty, or one of `nothing`)."""
        value = self.take(key)
        if not _empty(value) and not _among(value, nothing):
            raise Refused(self.at(key), reason)

    def finish(self, target: str) -> None:
        """Refuse a field that nobody took: it would be lost."""
        for key in self.value:  # in the client's order, so that the first one named is the first one written
            if key in self._left and not _empty(self.value[key]):
                raise Refused(self.at(key), f"is not known here and cannot be carried to {target}; leave it out")


def _empty(value: object) -> bool:
    return value is None or (isinstance(value, (list, dict)) and not value)


def _among(value: object, nothing: tuple[object, ...]) -> bool:
    return any(type(value) is type(one) and value == one for one in nothing)

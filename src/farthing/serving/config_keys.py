"""A model's config.json, read key by key: what is missing or wrong is named, with what would work."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from farthing.problems import FarthingError

_NESTED = ("text_config", "llm_config", "language_config")


class Keys:
    """The keys of one config.json. `place` is what errors call it. A key that is null counts as absent."""

    def __init__(self, values: Mapping[str, object], place: str) -> None:
        self.values = values
        self.place = place

    def fail(self, reason: str, repair: str = "") -> NoReturn:
        """Raise `FarthingError` in one line."""
        line = " ".join(f"{self.place}: {reason}{f' ({repair})' if repair else ''}".split())
        raise FarthingError(line)

    def has(self, key: str) -> bool:
        return self.values.get(key) is not None

    def _first(self, names: tuple[str, ...]) -> tuple[str, object]:
        """The first of `names` (different names of one thing) that is there, and its value; else None."""
        return next(((name, self.values[name]) for name in names if self.has(name)), (names[0], None))

    def whole(self, *names: str, default: int | None = None, least: int = 1, most: int = 10**9) -> int:
        """The whole number under the first of `names` that is there; `default` where none is."""
        name, value = self._first(names)
        if value is None:
            if default is None:
                others = "".join(f" or {other!r}" for other in names[1:])
                self.fail(f"{name!r}{others} is missing", f"give it a whole number of at least {least}")
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.fail(f"{name!r} is {_shown(value)}", f"a whole number from {least} to {most}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.fail(f"{name!r} is {_shown(value)}", "true or false")
        return value

    def text(self, name: str) -> str:
        """The text under `name`; "" where it is absent."""
        value = self.values.get(name, "")
        if value is None:
            return ""
        if not isinstance(value, str):
            self.fail(f"{name!r} is {_shown(value)}", "text in quotes")
        return value

    def listed(self, name: str, length: int) -> list[object] | None:
        """The list under `name`, one entry a layer; None where it is absent."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) < length:
            self.fail(f"{name!r} is {_shown(value)}", f"a list of {length} entries, one a layer")
        return value[:length]

    def numbers(self, name: str) -> frozenset[int]:
        """The list of layer numbers under `name`; empty where it is absent."""
        value = self.values.get(name)
        if value is None:
            return frozenset()
        if not isinstance(value, list) or not all(isinstance(one, int) for one in value):
            self.fail(f"{name!r} is {_shown(value)}", "a list of layer numbers")
        return frozenset(value)

    def divided(self, whole: int, by: int, what: str) -> int:
        """`whole` / `by`, refused where it does not divide."""
        if whole % by:
            self.fail(f"{what}: {whole} does not divide by {by}", "check both keys, or state the quotient's own key")
        return whole // by


def load(text_or_path: str | Path, name: str = "") -> Keys:
    """A config.json, from its text (which begins with a brace) or its path; a nested text model is unwrapped.

    Raises `FarthingError` for a file that cannot be read and for a text that is not a JSON object.
    """
    text, place = str(text_or_path), name or "config.json"
    if isinstance(text_or_path, Path) or not text.lstrip().startswith("{"):
        place = text
        try:
            text = Path(text_or_path).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not text in UTF-8"
            raise FarthingError(f"{place}: {reason or error} (give the path of a model's config.json)") from None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FarthingError(f"{place}: not JSON: {error} (give a model's config.json)") from None
    if not isinstance(values, dict):
        raise FarthingError(f"{place}: not a JSON object (give a model's config.json)")
    return unwrapped(values, place)


def unwrapped(values: Mapping[str, object], place: str) -> Keys:
    """The keys of the text model: those nested under "text_config", over those around it."""
    for name in _NESTED:
        nested = values.get(name)
        if isinstance(nested, Mapping):
            outer = {key: value for key, value in values.items() if key not in _NESTED}
            inner = {key: value for key, value in nested.items() if value is not None}
            return Keys({**outer, **inner}, place)
    return Keys(values, place)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"

"""The plain spelling of `farthing up`, read without Typer.

Typer brings pydantic: 13 MiB and 0.1 s in a process that lives for months and is forked for each worker. So a command
line that consists of nothing but the options of `up`, each with a fitting value, is read here. Whatever else it holds
(a mistake, `--help`, a spelling that has to be thought about) is Typer's, which says what is wrong. A test holds that
both read the same.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


def _whole(least: int, most: int) -> Callable[[str], int | None]:
    def read(text: str) -> int | None:
        plain = text.isascii() and text.isdigit() and len(text) < 10
        return int(text) if plain and least <= int(text) <= most else None

    return read


OPTIONS: Mapping[str, Callable[[str], object | None]] = {
    "config": Path,
    "host": str,
    "port": _whole(0, 65535),
    "workers": _whole(1, 10**9),
    "data": Path,
    "local-usd-per-hour": str,
}
"""The options of `up` that take a value, and what the value is; None: it does not fit."""
FLAGS = ("local",)


def arguments_of_up(words: Sequence[str]) -> dict[str, Any] | None:
    """What `up` is to be called with for the command line `words`, or None where that is not for us to say."""
    if not words or words[0] != "up":
        return None
    found: dict[str, Any] = {}
    rest = iter(words[1:])
    for word in rest:
        name, equals, value = word.removeprefix("--").partition("=")
        if name == word or name.replace("-", "_") in found:
            return None
        if name in FLAGS and not equals:
            found[name] = True
        elif name in OPTIONS:
            text = value if equals else next(rest, "")
            read = OPTIONS[name](text) if text and not text.startswith("-") else None
            if read is None:
                return None
            found[name.replace("-", "_")] = read
        else:
            return None
    return found

"""Importers of public price lists. `read_feed` reads a file in any of the formats known here."""

from collections.abc import Callable
from pathlib import Path

from farthing.problems import FarthingError
from farthing.rates.feeds import litellm, modelsdev, openrouter
from farthing.rates.feeds.base import Imported, object_of, read_json

READERS: dict[str, tuple[Callable[[object], bool], Callable[[bytes, str], Imported]]] = {
    litellm.FEED: (litellm.looks_like, litellm.read),
    openrouter.FEED: (openrouter.looks_like, openrouter.read),
    modelsdev.FEED: (modelsdev.looks_like, modelsdev.read),
}
"""Formats of files, by name: how one is recognised, and its reader. (genai-prices is a package: `genai.load`.)"""

__all__ = ["READERS", "Imported", "detect", "read_feed"]


def detect(source: Path | bytes) -> str:
    """The name of the format of a price list: "litellm", "openrouter" or "models.dev".

    Raises `FarthingError` for a file that cannot be read, is not whole JSON, or is none of them.
    """
    content, where = _content(source)
    data, _ = read_json(content, where)
    return _detected(data, where)


def read_feed(path: Path, feed: str | None = None) -> Imported:
    """The price list at `path`, as the format `feed` (None: recognised by its shape).

    Raises `FarthingError` for a file that cannot be read, is not whole JSON, or is not such a list.
    """
    content, where = _content(path)
    if feed is None:
        data, _ = read_json(content, where)
        feed = _detected(data, where)
    if feed not in READERS:
        raise FarthingError(f"unknown format {feed!r}; known are {', '.join(READERS)}")
    imported = READERS[feed][1](content, where)
    if not imported.read:
        raise FarthingError(f"{where}: holds no entry in the format {feed!r}")
    return imported


def _content(source: Path | bytes) -> tuple[bytes, str]:
    if isinstance(source, bytes):
        return source, "price list"
    try:
        return source.read_bytes(), source.name
    except OSError as error:
        raise FarthingError(f"{source}: {error.strerror or error}") from None


def _detected(data: object, where: str) -> str:
    object_of(data, where)
    for name, (looks_like, _) in READERS.items():
        if looks_like(data):
            return name
    raise FarthingError(f"{where}: none of the price lists known here ({', '.join(READERS)}); name one with --feed")

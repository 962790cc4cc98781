"""The most output tokens that a model takes as a limit: `data/gateway/output_limits.toml`, read once."""

from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files

import msgspec

from farthing.evidence import Source
from farthing.rates.toml_sources import read_source, read_sources
from farthing.rates.toml_table import Document


class OutputLimit(msgspec.Struct, frozen=True, kw_only=True):
    """At most `tokens` may be stated for `models` (globs, lower case) of `providers` (ids of the price book)."""

    providers: tuple[str, ...]
    models: tuple[str, ...]
    tokens: int
    source: Source


def read_output_limits(text: str, place: str) -> tuple[OutputLimit, ...]:
    """The limits in a TOML text. Raises `FarthingError` with file, line and repair."""
    root = Document(text, place).table()
    sources = read_sources(root)
    found = []
    for table in root.subs("limit"):
        table.need("tokens", "write tokens = a whole number")
        for name in ("providers", "models"):
            table.need(name, f'write {name} = ["…"]')
        found.append(
            OutputLimit(
                providers=table.texts("providers"),
                models=tuple(glob.lower() for glob in table.texts("models")),
                tokens=table.whole("tokens") or 1,
                source=read_source(table, sources),
            )
        )
        table.finish()
    root.finish()
    return tuple(found)


@cache
def output_limits() -> tuple[OutputLimit, ...]:
    """The packaged limits, in their order."""
    name = "data/gateway/output_limits.toml"
    return read_output_limits(files("farthing").joinpath(name).read_text("utf-8"), name)


def output_limit(provider: str, model: str) -> int | None:
    """The most output tokens that may be stated for `model` of `provider`; None where nothing low is known."""
    name = model.lower()
    for limit in output_limits():
        if provider in limit.providers and any(fnmatchcase(name, glob) for glob in limit.models):
            return limit.tokens
    return None

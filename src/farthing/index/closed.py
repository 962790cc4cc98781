"""Which model families have no published weights: nobody but their maker, and who it lets, can host them."""

from fnmatch import fnmatchcase
from functools import cache
from importlib import resources

from farthing.rates.toml_sources import read_source, read_sources
from farthing.rates.toml_table import Document

_NAME = "index_closed.toml"


@cache
def closed(family: str) -> bool:
    """Whether the weights of `family` (`rates.family`) are known not to be published; False where nobody says so."""
    return any(
        any(fnmatchcase(family, pattern) for pattern in weights) and not any(fnmatchcase(family, one) for one in but)
        for weights, but in _stated()
    )


@cache
def _stated() -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    root = Document((resources.files("farthing") / "data" / _NAME).read_text("utf-8"), f"data/{_NAME}").table()
    sources = read_sources(root)
    found = []
    for table in root.subs("closed"):
        found.append((table.texts("weights"), table.texts("but")))
        read_source(table, sources)
        table.finish()
    root.finish()
    return tuple(found)

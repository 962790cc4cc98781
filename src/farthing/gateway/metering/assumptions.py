"""The sizes that the meter assumes where nothing is stated: `data/gateway/metering.toml`, read once."""

from functools import cache
from importlib.resources import files

import msgspec

from farthing.evidence import Source
from farthing.gateway.metering.surfaces import CHAT, COMPLETIONS, Surface
from farthing.rates.toml_sources import read_source, read_sources
from farthing.rates.toml_table import Document
from farthing.usage.readers.values import provider_name

HOW = ("asked", "unasked")
"""How a provider states usage in a stream: when asked with `stream_options`, or by itself (it refuses the asking)."""


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """One assumed size, with who says so."""

    value: int
    source: Source
    note: str = ""


class Assumptions(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes by name, and how providers state usage in streams (those that are not named: when asked)."""

    sizes: dict[str, Size]
    stream_usage: dict[str, str]

    def size(self, name: str) -> int:
        return self.sizes[name].value


def read_assumptions(text: str, place: str) -> Assumptions:
    """The assumptions in a TOML text. Raises `FarthingError` with file, line and repair."""
    root = Document(text, place).table()
    sources = read_sources(root)
    sizes: dict[str, Size] = {}
    tables = root.sub("size")
    for name in tables.values if tables else ():
        table = tables.sub(name) if tables else None
        assert table is not None
        table.need("value", "write value = a whole number")
        sizes[name] = Size(
            value=table.whole("value") or 0, source=read_source(table, sources), note=table.text("note") or ""
        )
        table.finish()
    ways: dict[str, str] = {}
    for table in root.subs("stream_usage"):
        provider = table.needed_text("provider")
        table.need("how", f"one of {', '.join(HOW)}")
        ways[provider] = table.choice("how", HOW) or "asked"
        read_source(table, sources)
        table.finish()
    root.finish()
    return Assumptions(sizes=sizes, stream_usage=ways)


@cache
def assumptions() -> Assumptions:
    """The packaged assumptions."""
    name = "data/gateway/metering.toml"
    return read_assumptions(files("farthing").joinpath(name).read_text("utf-8"), name)


def must_ask(surface: Surface, provider: str) -> bool:
    """Whether a stream of `provider` on `surface` states its usage only where `stream_options` asks for it."""
    if surface is not CHAT and surface is not COMPLETIONS:
        return False
    return assumptions().stream_usage.get(provider_name(provider) or "", "asked") == "asked"

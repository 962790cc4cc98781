"""The upstreams known by name: `data/gateway/upstreams.toml`, read once."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from farthing.evidence import Source
from farthing.gateway.config.targets import read_target
from farthing.gateway.config.values import AUTHS, Auth
from farthing.gateway.translation.words import AnthropicTarget, OpenAITarget, Protocol
from farthing.rates.toml_sources import Sources, read_source, read_sources
from farthing.rates.toml_table import Document, Table

PLACEHOLDERS = ("resource", "region")
"""What an address may leave open: keys of [[upstream]] that fill it."""

ENVIRONMENT = {"region": ("AWS_REGION", "AWS_DEFAULT_REGION")}
"""Where a placeholder comes from that nobody stated."""


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """One known upstream. The names are those of `values.Upstream`; `base_env` and `base_path`: see the data file."""

    name: str
    source: Source
    provider: str
    protocol: Protocol
    url: str
    auth: Auth
    key_env: tuple[str, ...]
    base_env: str
    base_path: str
    models: tuple[str, ...]
    surfaces: tuple[str, ...]
    target: OpenAITarget | AnthropicTarget
    automatic: bool
    note: str


@cache
def presets() -> dict[str, Preset]:
    """The packaged presets by name, in the order in which the environment's are asked."""
    name = "data/gateway/upstreams.toml"
    return read_presets(files("farthing").joinpath(name).read_text("utf-8"), name)


def read_presets(text: str, place: str) -> dict[str, Preset]:
    """The presets in a TOML text. Raises `FarthingError` with file, line and repair."""
    root = Document(text, place).table()
    sources = read_sources(root)
    tables = root.sub("preset")
    found: dict[str, Preset] = {}
    for name in tables.values if tables else ():
        table = tables.sub(name) if tables else None
        assert table is not None
        found[name] = _preset(name, table, sources)
    root.finish()
    return found


def _preset(name: str, table: Table, sources: Sources) -> Preset:
    protocol: Any = table.needed_text("protocol")
    table.choice("protocol", ("openai", "anthropic"))
    keys = table.texts("key_env")
    auth: Any = table.choice("auth", AUTHS) or ("none" if not keys else default_auth(protocol))
    automatic = table.flag("automatic")
    made = Preset(
        name=name, source=read_source(table, sources), provider=table.needed_text("provider"), protocol=protocol,
        url=table.needed_text("url"), auth=auth, key_env=keys, base_env=table.text("base_env") or "",
        base_path=table.text("base_path") or "", models=table.texts("models"), surfaces=table.texts("surfaces"),
        target=read_target(table.sub("target"), default_target(protocol)), note=table.text("note") or "",
        automatic=bool(keys) if automatic is None else automatic,
    )  # fmt: skip
    table.finish()
    return made


def filled(preset: Preset, blanks: Mapping[str, str]) -> str:
    """The preset's address with its blanks filled in."""
    url = preset.url
    for name, value in blanks.items():
        url = url.replace(f"{{{name}}}", value)
    return url


def default_auth(protocol: Protocol) -> Auth:
    """How a key is sent in `protocol` where nothing else is said."""
    return "x-api-key" if protocol == "anthropic" else "bearer"


_OPENAIS = ("openai", "azure")


def default_target(protocol: Protocol, provider: str = "openai") -> OpenAITarget | AnthropicTarget:
    """What an upstream of `protocol` is taken to understand where nothing else is said.

    OpenAI itself refuses `max_tokens` for its newer models; most others know nothing else, and pass over
    `max_completion_tokens` in silence: the answer, and its cost, would then have no limit.
    """
    if protocol == "anthropic":
        return AnthropicTarget()
    return OpenAITarget(max_tokens_field="max_completion_tokens" if provider in _OPENAIS else "max_tokens")

"""What one [[upstream]] consists of, checked piece by piece: its name, address, headers, query, models."""

import re
from collections.abc import Mapping

from farthing.gateway.config.address import encoded, is_own, lacks_path, wrong_with
from farthing.gateway.config.presets import ENVIRONMENT, PLACEHOLDERS, Preset, filled
from farthing.gateway.config.prices import PriceReader
from farthing.gateway.config.values import Served
from farthing.gateway.metering.surfaces import Surface
from farthing.rates.toml_table import Table

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
SURFACES = (*(surface.value for surface in Surface), "models", "files", "batches")
_FILL = re.compile(r"[A-Za-z0-9-]+")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS = {
    "host", "content-length", "content-type", "transfer-encoding", "connection", "keep-alive", "te", "trailer",
    "upgrade", "expect", "accept-encoding", "x-farthing-attempt-id",
}  # fmt: skip
_SECRET = re.compile(r"authorization|cookie|(^|[-_])(api[-_]?)?key$|token|secret|signature", re.IGNORECASE)


def read_name(table: Table, preset: Preset | None, taken: Mapping[str, str]) -> str:
    """The upstream's own name, else its preset's."""
    if preset is None:
        table.need("name", 'write name = "…": targets are "NAME/MODEL"')
    name = table.text("name") or (preset.name if preset else "")
    where = "name" if "name" in table.values else "preset"
    if not NAME.fullmatch(name):
        table.fail(where, f"{name!r} is no name for an upstream", "letters, digits, '.', '_' and '-'")
    if name in taken:
        table.fail(where, f"upstream {name!r} is there twice", f"the other: {taken[name]}; give this one another name")
    return name


def read_url(table: Table, preset: Preset | None, environ: Mapping[str, str], own: tuple[str, int]) -> str:
    """The base address: stated, or the preset's with its blanks filled in."""
    url = table.text("url")
    if url is None and preset is None:
        table.fail(None, "'url' is missing", 'write url = "https://…/v1", or preset = "NAME"')
    insecure = bool(table.flag("insecure"))
    where = "url" if url is not None else "preset"
    blanks = [name for name in PLACEHOLDERS if preset is not None and f"{{{name}}}" in preset.url]
    if "resource" in table and (url is not None or "resource" not in blanks):
        table.fail("resource", "'resource' fills in the address of preset azure", "leave it out")
    if url is None and preset is not None:
        url = filled(preset, {name: _fill(table, name, environ) for name in blanks})
    assert url is not None
    if wrong := wrong_with(url, insecure):
        shown = repr(url) if "@" not in url else f"{where!r}"  # what stands before an @ may be a password
        table.fail(where, f"{shown} {wrong[0]}", wrong[1])
    if where == "url" and lacks_path(url):
        table.fail("url", f"{url!r} has no path", f"most servers answer under /v1: {url}/v1; if not, write {url}/")
    if is_own(url, *own):
        table.fail(where, f"{url!r} is the gateway's own address", "name the provider's, or give one another port")
    return url.rstrip("/")


def _fill(table: Table, name: str, environ: Mapping[str, str]) -> str:
    value = table.text(name)
    if value is None:
        variables = ENVIRONMENT.get(name, ())
        value = from_variables(variables, environ)
        if value is None:
            elsewhere = "".join(f", or set ${variable}" for variable in variables[:1])
            table.fail(None, f"{name!r} is missing: the address has it", f'write {name} = "…"{elsewhere}')
    if not _FILL.fullmatch(value):
        table.fail(name, f"{name!r} is {value!r}, which no address can hold", "letters, digits and '-'")
    return value


def from_variables(names: tuple[str, ...], environ: Mapping[str, str]) -> str | None:
    """The first of the variables that is set and can stand in an address."""
    values = (environ.get(name, "").strip() for name in names)
    return next((value for value in values if _FILL.fullmatch(value)), None)


def read_headers(table: Table) -> tuple[tuple[str, str], ...]:
    """`headers = { … }`, sent with every request in place of the client's of the same name."""
    given = table.sub("headers")
    found = []
    for name in given.values if given else ():
        assert given is not None
        value = given.text(name) or ""
        if not _HEADER.fullmatch(name):
            given.fail(name, f"{name!r} is no name of a header", "letters, digits and '-'")
        if not value.isascii() or not value.isprintable():
            given.fail(name, f"the value of header {name!r} holds a character that no header may hold")
        if name.lower() in _OURS:
            given.fail(name, f"header {name!r} is the gateway's to set", "leave it out")
        _refuse_secret(given, name, "header")
        found.append((name.lower(), value.strip()))
    return tuple(found)


def read_query(table: Table) -> tuple[tuple[str, str], ...]:
    """`query = { … }`, added to every address; percent-encoded."""
    given = table.sub("query")
    found = []
    for name in given.values if given else ():
        assert given is not None
        _refuse_secret(given, name, "query")
        found.append((encoded(name), encoded(given.text(name) or "")))
    return tuple(found)


def _refuse_secret(table: Table, name: str, kind: str) -> None:
    if _SECRET.search(name):
        table.fail(
            name, f"{kind} {name!r} looks like a key", 'keys come from the environment: key_env = "NAME" and auth = "…"'
        )


def read_surfaces(table: Table, preset: Preset | None, protocol: str) -> frozenset[str]:
    """What it answers itself: stated, else the preset's, else what every server of the protocol has."""
    stated = table.texts("surfaces")
    for name in stated:
        if name.removeprefix("/v1/") not in SURFACES:
            table.fail("surfaces", f"{name!r} is no surface", "one of " + ", ".join(SURFACES))
    if stated:
        return frozenset(name.removeprefix("/v1/") for name in stated)
    if preset is not None and preset.protocol == protocol:
        return frozenset(preset.surfaces)
    return frozenset({"messages"} if protocol == "anthropic" else {"chat/completions", "embeddings", "models"})


def read_served(table: Table, price: PriceReader) -> tuple[Served, ...]:
    """The [[upstream.model]] tables."""
    found: dict[str, Served] = {}
    for one in table.subs("model"):
        name = one.needed_text("name")
        if name in found:
            one.fail("name", f"model {name!r} is there twice", "write one [[upstream.model]] for it")
        sent = one.text("sent")
        if sent is not None and is_pattern(name):
            one.fail("sent", f"a pattern ({name!r}) cannot be sent under one name", "write each name")
        if "offer" not in one and "price" not in one and sent is None:
            one.fail(None, f"model {name!r} says nothing", "state sent, offer or price, or list it in models")
        found[name] = Served(name=name, sent=sent, offer=price(one))
        one.finish()
    return tuple(found.values())


def is_pattern(name: str) -> bool:
    """Whether `name` has wildcards."""
    return any(mark in name for mark in "*?[")

"""From [[upstream]] tables, or from the environment where there are none, to `Upstream`s."""

import difflib
from collections.abc import Mapping
from typing import Any

from farthing.gateway.config.address import is_own, wrong_with
from farthing.gateway.config.keys import Secrets
from farthing.gateway.config.parts import (
    from_variables,
    read_headers,
    read_name,
    read_query,
    read_served,
    read_surfaces,
    read_url,
)
from farthing.gateway.config.presets import (
    ENVIRONMENT,
    PLACEHOLDERS,
    Preset,
    default_auth,
    default_target,
    filled,
    presets,
)
from farthing.gateway.config.prices import PriceReader
from farthing.gateway.config.secret import Secret
from farthing.gateway.config.targets import changed, read_target
from farthing.gateway.config.values import AUTHS, Auth, Timeouts, Upstream
from farthing.gateway.translation.words import Protocol
from farthing.problems import FarthingError
from farthing.rates.toml_table import Table
from farthing.usage.readers.values import provider_name

_PER_UPSTREAM = ("connect_s", "first_byte_s", "idle_s", "total_s", "drain_s")
_OTHERS = tuple(name for name in Timeouts.__struct_fields__ if name not in _PER_UPSTREAM)


class UpstreamReader:
    """Reads the upstreams of one configuration. `own`: the gateway's host and port, which none may lead to.

    `left_out`: names of optional upstreams without a key; `notes`: why, and what else somebody should know.
    """

    def __init__(self, secrets: Secrets, prices: PriceReader, timeouts: Timeouts, own: tuple[str, int]) -> None:
        self.secrets = secrets
        self.prices = prices
        self.timeouts = timeouts
        self.own = own
        self.left_out: set[str] = set()
        self.notes: list[str] = []
        self._places: dict[str, str] = {}

    def read(self, table: Table) -> Upstream | None:
        """The upstream that `table` states; None where it is optional and has no key."""
        preset = self._preset(table)
        name = read_name(table, preset, self._places)
        place = f"{table.document.place}:{table.document.lines[table.path]}"
        self._places[name] = place
        protocol = self._protocol(table, preset)
        key, whence, auth = self._key(table, preset, protocol)
        same = preset is not None and preset.protocol == protocol
        provider = provider_name(table.text("provider") or (preset.provider if preset else name)) or name
        base = preset.target if preset is not None and same else default_target(protocol, provider)
        how: Any = table.choice("stream_usage", ("asked", "unasked"))
        models = table.texts("models") or (preset.models if preset else ("*",))
        region = table.text("region") or ""
        if not region and preset is not None and "{region}" in preset.url and "url" not in table:
            region = from_variables(ENVIRONMENT["region"], self.secrets.environ) or ""
        made = Upstream(
            name=name, preset=preset.name if preset else "", place=place, protocol=protocol, auth=auth, key=key,
            key_from=whence, models=models, region=region,
            provider=provider,
            url=read_url(table, preset, self.secrets.environ, self.own),
            headers=read_headers(table), query=read_query(table), offer=self.prices(table),
            served=read_served(table, self.prices), surfaces=read_surfaces(table, preset, protocol),
            target=read_target(table.sub("target"), base), stream_usage=how,
            timeouts=changed(table.sub("timeouts"), self.timeouts, leave=_OTHERS),
            most_in_flight=table.whole("most_in_flight"), tier=table.text("tier") or "",
        )  # fmt: skip
        optional = bool(table.flag("optional"))
        table.finish()
        if key is None and whence:
            return self._without_key(table, made, optional)
        return made

    def _without_key(self, table: Table, made: Upstream, optional: bool) -> Upstream | None:
        if optional:
            self.left_out.add(made.name)
            self.notes.append(f"{made.place}: upstream {made.name!r} is left out: {made.key_from} is not set")
            return None
        reason = f"upstream {made.name!r} has no key: {made.key_from} is not set"
        repair = "set it, name another by key_env or key_file, or write optional = true to leave the upstream out"
        if self.secrets.needed:
            table.fail("key_env" if "key_env" in table.values else None, reason, repair)
        self.secrets.missing.append(f"{made.place}: {reason}")
        return made

    def _preset(self, table: Table) -> Preset | None:
        name = table.text("preset")
        if name is None:
            return None
        found = presets().get(name)
        if found is None:
            near = difflib.get_close_matches(name, presets(), 1)
            hint = f"did you mean {near[0]!r}?" if near else "one of " + ", ".join(presets())
            table.fail("preset", f"no preset {name!r}", hint)
        return found

    def _protocol(self, table: Table, preset: Preset | None) -> Protocol:
        stated: Any = table.choice("protocol", ("openai", "anthropic"))
        if stated is None and preset is None:
            table.fail(None, "'protocol' is missing", 'write protocol = "openai" or "anthropic", or preset = "NAME"')
        protocol: Protocol = stated or (preset.protocol if preset else "openai")
        return protocol

    def _key(self, table: Table, preset: Preset | None, protocol: Protocol) -> tuple[Secret | None, str, Auth]:
        """The key, where it comes from ("" where none is needed), and how it is sent."""
        for key in ("key", "api_key", "token"):
            if key in table.values:
                table.fail(key, "a key does not stand in the configuration", 'write key_env = "NAME" or key_file = "…"')
        auth: Any = table.choice("auth", AUTHS)
        variable = self.secrets.variable(table, "key_env")
        if "key_file" in table and variable is not None:
            table.fail("key_file", "'key_env' and 'key_file' both say where the key is", "leave one out")
        sent: Auth = auth or _auth(preset, protocol)
        if "key_file" in table or variable is not None:
            if auth == "none":
                table.fail("auth", "'none' sends no key, but one is named", "leave one of the two out")
            sent = sent if sent != "none" else default_auth(protocol)
            if variable is not None:
                return self.secrets.from_environment(table, "key_env", variable), f"${variable}", sent
            file = table.text("key_file") or ""
            return self.secrets.from_file(table, "key_file"), file, sent
        if sent == "none" or preset is None or not preset.key_env:
            if auth not in (None, "none"):
                table.fail("auth", f"{auth!r} sends a key, and none is named", 'write key_env = "NAME"')
            return None, "", "none"
        for variable in preset.key_env:
            if (found := self.secrets.from_environment(table, None, variable)) is not None:
                return found, found.whence, sent
        return None, " or ".join(f"${variable}" for variable in preset.key_env), sent

    def from_environment(self) -> list[Upstream]:
        """An upstream of each preset whose key is in the environment."""
        found = (self._automatic(preset) for preset in presets().values() if preset.automatic)
        return [one for one in found if one is not None]

    def _automatic(self, preset: Preset) -> Upstream | None:
        keys = (self.secrets.from_environment(None, None, variable) for variable in preset.key_env)
        key = next((key for key in keys if key is not None), None)
        if key is None:
            return None
        url = self._base(preset)
        blanks = {name: from_variables(ENVIRONMENT.get(name, ()), self.secrets.environ) for name in PLACEHOLDERS}
        open_ = [name for name in PLACEHOLDERS if f"{{{name}}}" in preset.url and blanks[name] is None]
        if url is None and open_:
            variables = [*ENVIRONMENT.get(open_[0], ()), *([preset.base_env] if preset.base_env else [])]
            self.notes.append(f"{preset.name} is left out: {key.whence} is set, but ${' and $'.join(variables)} not")
            return None
        url = url or filled(preset, {name: value for name, value in blanks.items() if value is not None})
        return Upstream(
            name=preset.name, preset=preset.name, provider=preset.provider, protocol=preset.protocol, url=url,
            auth=preset.auth, key=key, key_from=key.whence, models=preset.models, timeouts=self.timeouts,
            surfaces=frozenset(preset.surfaces), target=preset.target, place=f"the environment ({key.whence})",
            region=(blanks["region"] or "") if "{region}" in preset.url else "",
        )  # fmt: skip

    def _base(self, preset: Preset) -> str | None:
        """The address in the variable that official clients read one from; None where it is not set, or is ours."""
        url = self.secrets.environ.get(preset.base_env, "").strip().rstrip("/") if preset.base_env else ""
        if not url:
            return None
        if not url.endswith(preset.base_path):
            url += preset.base_path
        if wrong := wrong_with(url):
            raise FarthingError(f"${preset.base_env}: the address {wrong[0]} ({wrong[1]})")
        if is_own(url, *self.own):
            self.notes.append(
                f"${preset.base_env} is this gateway's own address, meant for clients: {preset.name} stays where it is"
            )
            return None
        self.notes.append(f"{preset.name}: requests go to {url} (${preset.base_env}), priced as {preset.provider}'s")
        return url


def _auth(preset: Preset | None, protocol: Protocol) -> Auth:
    if preset is not None and preset.protocol == protocol:
        return preset.auth
    return default_auth(protocol) if preset is None or preset.key_env else "none"


def likely(upstreams: Mapping[str, Upstream], name: str) -> str:
    """A hint at the upstream that `name` may mean."""
    near = difflib.get_close_matches(name, upstreams, 1)
    if near:
        return f"did you mean {near[0]!r}?"
    return "upstreams: " + (", ".join(upstreams) or "none")

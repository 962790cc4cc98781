"""A policy file for replay: `[[policy]]`, and of a gateway's own farthing.toml what says where targets are priced.

Read here are `[[policy]]`, `[[model]]`, of `[[upstream]]` what names its prices, and `retries`; `farthing config check`
judges the rest.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from farthing.policies.routing.chain import Chain
from farthing.policies.routing.read import read_chain
from farthing.policies.routing.values import Ask
from farthing.problems import FarthingError
from farthing.rates.toml_table import Document, Table

_RETRIES = 2  # the gateway's own where nothing is stated
_HOST = "host:"
_HOSTS_FILE = "farthing-hosts.toml"


class Priced(msgspec.Struct, frozen=True, kw_only=True):
    """A model of an upstream that is priced in a way of its own: sent under another name, or at a stated offer."""

    name: str
    sent: str | None = None
    offer: str | None = None


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where an upstream's prices stand: a provider of the price book, or one offer ("provider/model", "host:NAME")."""

    provider: str | None = None
    offer: str | None = None
    models: tuple[Priced, ...] = ()

    def offer_of(self, model: str) -> tuple[str | None, str]:
        """(an offer that is stated, else None; the name of `model` in the price book of its provider)."""
        exact = next((one for one in self.models if one.name == model), None)
        found = exact or next((one for one in self.models if fnmatchcase(model, one.name)), None)
        sent = (found.sent if found else None) or model
        return (found.offer if found else None) or self.offer, sent


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A price "host:NAME": a deployment of one's own, at stated mean lengths in tokens (None: those of the usage)."""

    price: str
    input: int | None = None
    output: int | None = None


class PolicyFile(msgspec.Struct, frozen=True, kw_only=True):
    """What replay takes of the file. `aliases`: names that clients ask for (or patterns) and their targets.

    `presets`: the providers of upstreams known by name. `cards`: the price cards that it names; `hosts`: the file of
    its deployments.
    """

    name: str
    chain: Chain
    aliases: tuple[tuple[str, tuple[str, ...]], ...] = ()
    upstreams: Mapping[str, Place] = {}
    presets: Mapping[str, str] = {}
    retries: int = _RETRIES
    cards: tuple[Path, ...] = ()
    hosts: Path | None = None
    deployments: tuple[Deployment, ...] = ()

    def targets_of(self, model: str) -> tuple[str, ...]:
        """Where its `[[model]]` tables say that `model` lives; empty where none names it."""
        exact = next((targets for name, targets in self.aliases if name == model), None)
        found = exact or next((targets for name, targets in self.aliases if fnmatchcase(model, name)), ())
        return tuple(target[:-1] + model if target.endswith("/*") else target for target in found)


def read_policy_file(path: Path, presets: Mapping[str, str] | None = None) -> PolicyFile:
    """The policies in the file at `path`. `presets`: the providers of upstreams known by name.

    Raises `FarthingError` with FILE:LINE for what is wrong in what is read, and where there is no policy.
    """
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise FarthingError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise FarthingError(f"{path}: not UTF-8 text at byte {error.start}; save it as UTF-8") from None
    root = Document(text, str(path)).table()
    if not root.subs("policy"):
        root.fail(None, "no [[policy]]", 'write [[policy]] with kind = "route", "split", "fallback" or "passthrough"')
    reader = _Reader(presets or {})
    upstreams = dict(reader.upstream(one) for one in root.subs("upstream"))
    retries, gateway = root.sub("retries"), root.sub("gateway")
    count = retries.whole("count", least=0) if retries is not None else None
    hosts = gateway.text("hosts") if gateway is not None else None
    beside = path.parent / (hosts or _HOSTS_FILE)
    return PolicyFile(
        name=path.name,
        chain=read_chain(root),
        aliases=_aliases(root, upstreams),
        upstreams=upstreams,
        presets=reader.presets,
        retries=_RETRIES if count is None else count,
        cards=tuple(path.parent / name for name in gateway.texts("cards")) if gateway is not None else (),
        hosts=beside if hosts or beside.is_file() else None,
        deployments=tuple(reader.deployments.values()),
    )


class _Reader:
    """Reads `[[upstream]]` as far as prices go, and remembers the deployments that they name."""

    def __init__(self, presets: Mapping[str, str]) -> None:
        self.presets = presets
        self.deployments: dict[str, Deployment] = {}

    def upstream(self, table: Table) -> tuple[str, Place]:
        preset = table.text("preset")
        provider = table.text("provider") or (self.presets.get(preset) if preset else None)
        models = tuple(
            Priced(name=one.needed_text("name"), sent=one.text("sent"), offer=self._offer(one))
            for one in table.subs("model")
        )
        name = table.text("name") or preset or table.needed_text("name")
        return name, Place(provider=provider, offer=self._offer(table), models=models)

    def _offer(self, table: Table) -> str | None:
        price = table.text("price")
        if price is None:
            return table.text("offer")
        if not price.startswith(_HOST):
            table.fail("price", f"'price' is {price!r}", 'write price = "host:NAME", or offer = "provider/model"')
        made = Deployment(price=price, input=table.whole("mean_input_tokens"), output=table.whole("mean_output_tokens"))
        self.deployments.setdefault(price, made)
        return price


def _aliases(root: Table, upstreams: Mapping[str, Place]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The `[[model]]` tables; an alias among the targets of another stands for its own targets."""
    tables = {one.needed_text("name"): one for one in root.subs("model")}

    def targets(name: str, above: tuple[str, ...]) -> list[str]:
        table = tables[name]
        if name in above:
            table.fail("targets", f"{name!r} leads back to itself", 'end it at "upstream/model"')
        found: list[str] = []
        for target in table.texts("targets"):
            alias = target in tables and target.partition("/")[0] not in upstreams
            found += targets(target, (*above, name)) if alias else [target]
        return found

    return tuple((name, tuple(dict.fromkeys(targets(name, ())))) for name in tables)


def asked_of(ask: Ask, file: PolicyFile, known: tuple[str, ...]) -> tuple[str, ...]:
    """Where the model asked for lives: as the gateway saw it then (`known`), unless the file now says otherwise.

    The gateway leaves out targets that cannot answer a surface: what is a part of the file's list, in its order, is
    no other saying.
    """
    stated = file.targets_of(ask.model)
    if not stated:
        return known
    rest = iter(stated)
    same = bool(known) and all(target in rest for target in known)
    return known if same else stated

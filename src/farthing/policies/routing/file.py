"""A policy file for replay: `[[policy]]`, and of a gateway's own farthing.toml what says where targets are priced.

Read here are `[[policy]]`, `[[model]]`, of `[[upstream]]` what names its prices, and `retries`; `farthing config check`
judges the rest.
"""

from collections.abc import Callable, Mapping
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
ProviderOf = Callable[[str], str | None]


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


class PolicyFile(msgspec.Struct, frozen=True, kw_only=True):
    """What replay takes of the file. `aliases`: names that clients ask for (or patterns) and their targets."""

    name: str
    chain: Chain
    aliases: tuple[tuple[str, tuple[str, ...]], ...] = ()
    upstreams: Mapping[str, Place] = {}
    retries: int = _RETRIES
    hosts: Path | None = None

    def targets_of(self, model: str) -> tuple[str, ...]:
        """Where its `[[model]]` tables say that `model` lives; empty where none names it."""
        exact = next((targets for name, targets in self.aliases if name == model), None)
        found = exact or next((targets for name, targets in self.aliases if fnmatchcase(model, name)), ())
        return tuple(target[:-1] + model if target.endswith("/*") else target for target in found)

    @property
    def deployments(self) -> tuple[str, ...]:
        """The offers "host:NAME" that its upstreams are priced at, each once."""
        stated = [place.offer for place in self.upstreams.values()]
        stated += [one.offer for place in self.upstreams.values() for one in place.models]
        return tuple(dict.fromkeys(offer for offer in stated if offer and offer.startswith(_HOST)))


def read_policy_file(path: Path, provider_of_preset: ProviderOf = lambda name: None) -> PolicyFile:
    """The policies in the file at `path`. `provider_of_preset`: the provider of an upstream that names a preset.

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
    retries = root.sub("retries")
    hosts = root.text("hosts")
    count = retries.whole("count", least=0) if retries is not None else None
    return PolicyFile(
        name=path.name,
        chain=read_chain(root),
        aliases=tuple((one.needed_text("name"), one.texts("targets")) for one in root.subs("model")),
        upstreams=dict(_upstream(one, provider_of_preset) for one in root.subs("upstream")),
        retries=_RETRIES if count is None else count,
        hosts=path.parent / hosts if hosts else None,
    )


def _upstream(table: Table, provider_of_preset: ProviderOf) -> tuple[str, Place]:
    preset = table.text("preset")
    provider = table.text("provider") or (provider_of_preset(preset) if preset else None)
    models = tuple(
        Priced(name=one.needed_text("name"), sent=one.text("sent"), offer=_offer(one)) for one in table.subs("model")
    )
    name = table.text("name") or preset or table.needed_text("name")
    return name, Place(provider=provider, offer=_offer(table), models=models)


def _offer(table: Table) -> str | None:
    return table.text("offer") or table.text("price")


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

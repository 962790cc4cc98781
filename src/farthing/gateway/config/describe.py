"""A configuration as JSON types, for `farthing config check`: what it means, where keys come from, never a key."""

from typing import Any

import msgspec

from farthing.gateway.config.parts import is_pattern
from farthing.gateway.config.secret import Secret
from farthing.gateway.config.values import Config, Upstream

_PLAIN = ("timeouts", "retries", "breaker", "bounds", "rules", "record", "telemetry", "attribution")


def described(config: Config) -> dict[str, Any]:
    """`config` as JSON types. `ok` is false where a secret that is needed is not set."""
    host = f"[{config.host}]" if ":" in config.host else config.host
    upstreams = [_upstream(one) for one in config.upstreams]
    database = config.database
    return {
        "ok": not config.missing,
        "missing": list(config.missing),
        "config": str(config.path) if config.path else None,
        "address": f"http://{host}:{config.port}",
        "reachable": config.reachable,
        "workers": config.workers,
        "data": str(config.data),
        "database": database.whence if database else None,
        "keys": config.keys,
        "upstreams": upstreams,
        "left_out": list(config.left_out),
        "models": [{"name": one.name, "targets": list(one.targets), "place": one.place} for one in config.models],
        "policies": _plain(config.chain.specs) if config.chain else [],
        "budgets": _plain(config.budgets),
        "limits": _plain(config.limits),
        "cards": [str(file) for file in config.card_files],
        "hosts": str(config.hosts) if config.hosts else None,
        **{name: _plain(getattr(config, name)) for name in _PLAIN},
        "notes": list(config.notes),
    }


def _upstream(one: Upstream) -> dict[str, Any]:
    return {
        "name": one.name,
        "preset": one.preset or None,
        "protocol": one.protocol,
        "provider": one.provider,
        "url": one.url,
        "auth": one.auth,
        "key": {"from": one.key_from, "set": one.key is not None} if one.key_from else None,
        "headers": [name for name, _ in one.headers],  # their values may be nobody's business
        "query": [name for name, _ in one.query],
        "models": list(one.models),
        "served": _plain(one.served),
        "offer": one.offer,
        "surfaces": sorted(one.surfaces),
        "target": _plain(one.target),
        "stream_usage": one.stream_usage,
        "timeouts": _plain(one.timeouts),
        "most_in_flight": one.most_in_flight,
        "region": one.region or None,
        "tier": one.tier or None,
        "place": one.place,
    }


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value, enc_hook=_text)


def _text(value: object) -> str:
    if isinstance(value, Secret):
        return f"{value.whence} {value}"
    return str(value)


def doubts(config: Config) -> list[str]:
    """What has no price in the book with the configuration's cards, of what is named in it: providers, models, offers.

    Reads the whole price book: for a person who checks, not for a start.
    """
    from farthing.rates.book import Book
    from farthing.rates.card import Offer

    book = Book(config.cards)
    found = []
    for one in config.upstreams:
        models = _named_models(config, one)
        own = {served.name: served for served in one.served}
        if one.offer is None and book.provider(one.provider) is None:
            if any(own[name].offer is None if name in own else True for name in models) or not models:
                found.append(
                    f"{one.place}: no price is known of provider {one.provider!r}: state offer, price or a card, or "
                    "what it serves has an unknown cost"
                )
            models = [name for name in models if name in own]
        for name in models:
            served = own.get(name)
            offer = (served.offer if served else None) or one.offer
            sent = served.sent or name if served else name
            provider, _, model = offer.partition("/") if offer else (one.provider, "/", sent)
            if not isinstance(looked := book.lookup(provider, model, one.region or None), Offer):
                found.append(f"{one.place}: {one.name}/{name} has no price: {looked.reason}")
        if one.offer is not None and not models:
            provider, _, model = one.offer.partition("/")
            if not isinstance(looked := book.lookup(provider, model, one.region or None), Offer):
                found.append(f"{one.place}: offer {one.offer!r} has no price: {looked.reason}")
    return found


def _named_models(config: Config, upstream: Upstream) -> list[str]:
    """The models of `upstream` that the configuration names, patterns left out."""
    names = [name for name in upstream.models if not is_pattern(name)]
    names += [one.name for one in upstream.served if not is_pattern(one.name)]
    targets = [target for alias in config.models for target in alias.targets]
    targets += list(config.chain.targets) if config.chain else []
    for target in targets:
        head, _, model = target.partition("/")
        if head == upstream.name and model != "*":
            names.append(model)
    return list(dict.fromkeys(names))

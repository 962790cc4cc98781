"""Where a model lives: the targets ("upstream/model") that a name means, best first. A target is never an address."""

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase

from farthing.gateway.config.values import Alias
from farthing.gateway.metering import Surface
from farthing.gateway.problem import Problem
from farthing.gateway.upstream import Upstream

_MOST_KNOWN = 4096  # clients choose the names, so what is remembered of them is bounded
_TRANSLATED = {Surface.CHAT: Surface.MESSAGES, Surface.MESSAGES: Surface.CHAT}


def split_target(target: str) -> tuple[str, str]:
    """The upstream's name and the model of a target."""
    upstream, _, model = target.partition("/")
    return upstream, model


def surface_at(upstream: Upstream, surface: Surface) -> Surface | None:
    """The surface of `upstream` that answers a request to `surface`: the same, its translation, or None."""
    if upstream.answers(surface):
        return surface
    other = _TRANSLATED.get(surface)
    return other if other is not None and upstream.answers(other) else None


class Routes:
    """The targets of a name. `has_price`: whether an upstream's provider has a price for a model."""

    def __init__(
        self, upstreams: Mapping[str, Upstream], aliases: tuple[Alias, ...], has_price: Callable[[Upstream, str], bool]
    ) -> None:
        self._upstreams = upstreams
        self._exact = {alias.name: alias for alias in aliases}
        self._patterns = [alias for alias in aliases if any(mark in alias.name for mark in "*?[")]
        self._has_price = has_price
        self._known: dict[tuple[str, Surface], tuple[str, ...]] = {}

    def targets(self, model: str, surface: Surface) -> tuple[str, ...]:
        """The targets of `model` that can answer `surface`. Raises `Problem` (404) where there is none."""
        key = (model, surface)
        found = self._known.get(key)
        if found is None:
            found = self._find(model, surface)
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[key] = found
        return found

    def _find(self, model: str, surface: Surface) -> tuple[str, ...]:
        if not self._upstreams:
            raise Problem(
                503, "no upstream is configured: set OPENAI_API_KEY, ANTHROPIC_API_KEY or the like, name one in "
                "farthing.toml, or start with `farthing up --local`", code="no_upstream", again=False,
            )  # fmt: skip
        stated = self._stated(model)
        able = tuple(target for target in stated if self._able(target, surface))
        if able:
            return able
        if stated:
            name = split_target(stated[0])[0]
            served = ", ".join(f"/v1/{path}" for path in sorted(self._upstreams[name].settings.surfaces))
            raise Problem(
                404, f"{model!r} is served by upstream {name!r}, which has no /v1/{surface.value}; it has {served}",
                code="surface_not_found",
            )  # fmt: skip
        names = ", ".join(self._upstreams)
        raise Problem(
            404, f"no upstream is known to serve {model!r}; name one as UPSTREAM/{model} (upstreams: {names}), or list "
            "it in farthing.toml", code="model_not_found",
        )  # fmt: skip

    def _able(self, target: str, surface: Surface) -> bool:
        upstream = self._upstreams.get(split_target(target)[0])
        return upstream is not None and surface_at(upstream, surface) is not None

    def _stated(self, model: str) -> tuple[str, ...]:
        alias = self._exact.get(model) or next((a for a in self._patterns if fnmatchcase(model, a.name)), None)
        if alias is not None:
            return tuple(f"{t.removesuffix('/*')}/{model}" if t.endswith("/*") else t for t in alias.targets)
        head, slash, rest = model.partition("/")
        named = self._upstreams.get(head) if slash and rest else None
        exact = [u for u in self._upstreams.values() if model in u.settings.models]
        if named is not None and not exact and _serves(named, rest):
            return (model,)
        listed = exact + [
            u
            for u in self._upstreams.values()
            if u not in exact and any(_named(model, p) for p in u.settings.models if p != "*")
        ]
        listed += [
            u for u in self._upstreams.values()
            if u not in listed and any(fnmatchcase(model, one.name) for one in u.settings.served)
        ]  # fmt: skip
        if listed:
            return tuple(f"{u.name}/{model}" for u in listed)
        if named is not None:
            return (model,)
        anything = [u for u in self._upstreams.values() if "*" in u.settings.models]
        if len(anything) == 1:
            return (f"{anything[0].name}/{model}",)
        priced = next((u for u in anything if self._has_price(u, model)), None)
        return (f"{priced.name}/{model}",) if priced else ()


def _serves(upstream: Upstream, model: str) -> bool:
    settings = upstream.settings
    return any(_named(model, pattern) for pattern in (*settings.models, *(one.name for one in settings.served)))


def _named(model: str, pattern: str) -> bool:
    return model == pattern or fnmatchcase(model, pattern)

"""Which model names of the usage and of the invoice mean the same model.

In order: the same name; the same offer in the price book; the same words without the date. Two names
with different dates are different models.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from farthing.rates.rules import provider_names

_DATE = re.compile(r"[-@_ ](20\d{2})-?(\d{2})-?(\d{2})(?!\d)|-(0[1-9]|1[0-2])([0-3]\d)$")


class Name(NamedTuple):
    """A model as one side writes it; the provider is None where that side does not say."""

    provider: str | None
    model: str


def provider_id(stated: str | None) -> str | None:
    """One spelling of a provider's name."""
    name = stated.strip().lower() if stated else ""
    return provider_names().get(name, name) or None


def undated(model: str) -> tuple[tuple[str, ...], str | None]:
    """The words of a model's name in alphabetical order, and its date if it has one.

    "claude-haiku-4-5-20251001" and "Claude Haiku 4.5" have the same words; so have
    "ft:gpt-4o-2024-08-06:acme::x1" and "ft-gpt-4o-2024-08-06".
    """
    name = model.lower().rpartition("/")[2]
    if name.startswith("ft:"):
        name = "-".join(name.split(":")[:2])
    found = _DATE.search(name)
    day = "".join(part for part in found.groups() if part) if found else None
    base = name[: found.start()] + name[found.end() :] if found else name
    words = re.split(r"[^a-z0-9]+", base.removesuffix("-latest"))
    return tuple(sorted(word for word in words if word)), day


def families(
    used: Iterable[Name], billed: Iterable[Name], offer_id: Callable[[Name], str | None]
) -> dict[tuple[str, Name], str]:
    """The family of each name, keyed by ("used" or "billed", name). A family is called by its shortest billed name.

    `offer_id` gives the price book's name for a model, None where it has none.
    """
    mine = [("used", name) for name in sorted(set(used), key=str)]
    theirs = [("billed", name) for name in sorted(set(billed), key=str)]
    up: dict[tuple[str, Name], tuple[str, Name]] = {node: node for node in [*mine, *theirs]}

    def root(node: tuple[str, Name]) -> tuple[str, Name]:
        while up[node] != node:
            node = up[node]
        return node

    def links(key: Callable[[Name], object], dated: bool) -> Iterator[tuple[tuple[str, Name], tuple[str, Name]]]:
        by_key: dict[object, list[tuple[str, Name]]] = {}
        for node in theirs:
            if (found := key(node[1])) is not None:
                by_key.setdefault(found, []).append(node)
        for node in mine:
            for other in by_key.get(key(node[1]), ()):
                if _one_provider(node[1], other[1]) and (not dated or _one_date(node[1], other[1])):
                    yield node, other

    matched: set[tuple[str, Name]] = set()
    for key, dated in ((lambda n: n.model.casefold(), False), (offer_id, True), (lambda n: undated(n.model)[0], True)):
        made = [(a, b) for a, b in links(key, dated) if a not in matched or b not in matched]
        for one, other in made:
            up[root(one)] = root(other)
        matched |= {node for pair in made for node in pair}
    members: dict[tuple[str, Name], list[tuple[str, Name]]] = {}
    for node in up:
        members.setdefault(root(node), []).append(node)
    labels: dict[tuple[str, Name], str] = {}
    taken: set[str] = set()
    for group in members.values():
        side, name = min(group, key=lambda node: (node[0] != "billed", len(node[1].model), node[1].model))
        label = name.model
        for longer in (f"{name.provider}/{name.model}", f"{name.provider}/{name.model} ({side})"):
            label = longer if label in taken else label
        taken.add(label)
        labels.update(dict.fromkeys(group, label))
    return labels


def _one_provider(one: Name, other: Name) -> bool:
    first, second = provider_id(one.provider), provider_id(other.provider)
    return first is None or second is None or first == second


def _one_date(one: Name, other: Name) -> bool:
    first, second = undated(one.model)[1], undated(other.model)[1]
    return first is None or second is None or first == second

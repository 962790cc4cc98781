"""`[[policy]]` tables of a TOML file, read strictly: each error names its line and what would work."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from fractions import Fraction

from farthing.policies.routing.chain import Chain
from farthing.policies.routing.specs import ASKED, ERRORS, ON, UNITS, Fallback, Passthrough, Route, Spec, Split
from farthing.policies.routing.when import TEXTS, Size, When
from farthing.rates.toml_table import Table

Known = Callable[[str], str]
"""Why a target cannot be one ("no upstream is called …"), or an empty text where it can."""

KINDS = ("passthrough", "route", "split", "fallback")
_STATUS = re.compile(r"[1-5](xx|\d\d)")
_PLAIN = re.compile(r"[^\x00-\x20\x7f]+")


def read_chain(table: Table, known: Known | None = None) -> Chain:
    """The chain that the `[[policy]]` tables of `table` state, in their order; the empty chain without any.

    `known` judges every target. Other keys of `table` are the caller's. Raises `FarthingError` with FILE:LINE.
    """
    tables = table.subs("policy")
    kinds = [one.choice("kind", KINDS) or one.needed_text("kind", "one of " + ", ".join(KINDS)) for one in tables]
    several = Counter(kinds)
    specs: list[Spec] = []
    names: dict[str, int] = {}
    salts: dict[str, str] = {}
    for place, (one, kind) in enumerate(zip(tables, kinds, strict=True), 1):
        name = one.text("name")
        named = name or (kind if several[kind] == 1 else f"{kind}-{place}")
        if named in names:
            one.fail("name" if name else None, f"two policies are called {named!r}", "give each a name of its own")
        names[named] = place
        spec = _READ[kind](one, named, _when(one), known)
        if isinstance(spec, Split) and salts.setdefault(spec.salt, named) != named:
            repair = "give each a salt of its own, or make them one policy"
            one.fail("salt", f"{named!r} has the salt of {salts[spec.salt]!r}: their draws would be the same", repair)
        one.finish()
        specs.append(spec)
    return Chain(specs)


def _passthrough(table: Table, name: str, when: When, known: Known | None) -> Spec:
    return Passthrough(name=name, when=when)


def _route(table: Table, name: str, when: When, known: Known | None) -> Spec:
    target = table.needed_text("target", 'write target = "upstream/model"')
    _check(table, "target", target, known)
    return Route(name=name, target=target, when=when)


def _split(table: Table, name: str, when: When, known: Known | None) -> Spec:
    if "name" not in table.values and "salt" not in table.values:
        table.fail(None, "a split needs a name", 'its draws depend on it: write name = "…", and keep it')
    repair = 'write weights = { "upstream/model" = 1, asked = 9 }'
    table.need("weights", repair)
    stated = table.sub("weights")
    weights: list[tuple[str, Fraction]] = []
    for arm in stated.values if stated else ():
        assert stated is not None
        if arm != ASKED:
            _check(stated, arm, arm, known)
        weights.append((arm, Fraction(stated.number(arm) or 0)))
    if not any(weight for _, weight in weights):
        table.fail("weights", "no weight is above 0", repair)
    control = table.text("control") or ""
    if control and control not in dict(weights):
        table.fail("control", f"'control' is {control!r}, which is no arm", "one of " + ", ".join(dict(weights)))
    return Split(
        name=name,
        weights=tuple(weights),
        unit=table.choice("unit", UNITS) or "request",
        salt=table.text("salt") or name,
        control=control,
        when=when,
    )


def _fallback(table: Table, name: str, when: When, known: Known | None) -> Spec:
    targets = table.texts("targets")
    for target in targets:
        _check(table, "targets", target, known)
    on = table.texts("on") or ON
    for word in on:
        if word != "all" and word not in ERRORS and not _STATUS.fullmatch(word):
            table.fail("on", f"'on' has {word!r}", "a status such as 429 or 5xx, " + ", ".join((*ERRORS, "all")))
    return Fallback(name=name, targets=targets, on=on, retries=table.whole("retries", least=0), when=when)


_READ: Mapping[str, Callable[[Table, str, When, Known | None], Spec]] = {
    "passthrough": _passthrough,
    "route": _route,
    "split": _split,
    "fallback": _fallback,
}


def _check(table: Table, key: str, target: str, known: Known | None) -> None:
    upstream, _, model = target.partition("/")
    if not upstream or not model or not _PLAIN.fullmatch(target):
        table.fail(key, f"{target!r} is no target", 'write "upstream/model"; the model "*" is the one asked for')
    if known is not None and (reason := known(target)):
        table.fail(key, f"{target!r}: {reason}")


def _when(policy: Table) -> When:
    table = policy.sub("when")
    if table is None:
        return When()
    texts = {name: patterns for name in TEXTS if (patterns := _patterns(table, name))}
    tags: dict[str, tuple[str, ...]] = {}
    if (stated := table.sub("tags")) is not None:
        tags = {name: _patterns(stated, name) for name in stated.values}
        stated.finish()
    when = When(
        texts=texts,
        tags=tags,
        stream=table.flag("stream"),
        prompt_tokens=_size(table),
        images=table.flag("images"),
        tools=table.flag("tools"),
    )
    table.finish()
    if when == When():
        policy.fail("when", "'when' states no condition", "leave it out: the policy is then about every request")
    return when


def _patterns(table: Table, key: str) -> tuple[str, ...]:
    """One pattern or a list of them; the empty text stands for what nobody stated."""
    value = table.values.get(key)
    if value == "" and key in table:
        return ("",)
    if isinstance(value, str):
        text = table.text(key)
        return (text,) if text else ()
    return table.texts(key)


def _size(table: Table) -> Size | None:
    size = table.sub("prompt_tokens")
    if size is None:
        return None
    over, at_least = size.whole("over", least=0), size.whole("at_least", least=0)
    up_to, under = size.whole("up_to", least=0), size.whole("under", least=1)
    size.finish()
    if over is not None and at_least is not None:
        size.fail("over", "both 'over' and 'at_least'", "'over' excludes the number, 'at_least' includes it: keep one")
    if under is not None and up_to is not None:
        size.fail("under", "both 'up_to' and 'under'", "'up_to' includes the number, 'under' excludes it: keep one")
    least = at_least if at_least is not None else over + 1 if over is not None else 0
    most = up_to if up_to is not None else under - 1 if under is not None else None
    if over is at_least is up_to is under is None:
        table.fail("prompt_tokens", "no bound", "write { at_least = 1000, under = 8000 }, or one of the two")
    if most is not None and most < least:
        table.fail("prompt_tokens", "no size lies in it", "the lower bound is above the upper one")
    return Size(least=least, most=most)

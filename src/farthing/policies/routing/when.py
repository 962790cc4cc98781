"""Which requests a policy is about: every condition that `when` states must hold."""

import re
from collections.abc import Callable, Mapping
from fnmatch import translate

import msgspec

from farthing.policies.routing.values import Ask

TEXTS = ("model", "feature", "request_type", "user", "segment", "session", "key", "surface", "protocol")
FACTS = ("prompt_tokens", "images", "tools")
"""What a ledger's row does not keep: a decision's log holds them where a condition looks at them."""


class Size(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A range of prompt sizes in tokens: `least` and `most` belong to it. An unknown size lies in none."""

    least: int = 0
    most: int | None = None

    def holds(self, tokens: int | None) -> bool:
        return tokens is not None and self.least <= tokens and (self.most is None or tokens <= self.most)


class When(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Conditions on a request, all of which must hold; empty: every request.

    `texts`: by fact (one of `TEXTS`), patterns of which one must match, letter by letter and in its case; what
    nobody stated is the empty text. `tags`: the same by tag's name. `images`, `tools`: has some, or has none (unknown
    is neither).
    """

    texts: Mapping[str, tuple[str, ...]] = {}
    tags: Mapping[str, tuple[str, ...]] = {}
    stream: bool | None = None
    prompt_tokens: Size | None = None
    images: bool | None = None
    tools: bool | None = None

    @property
    def facts(self) -> frozenset[str]:
        """Which of `FACTS` it looks at."""
        return frozenset(name for name in FACTS if getattr(self, name) is not None)


Matches = Callable[[Ask], bool]


def compiled(when: When) -> Matches | None:
    """A fast test for `when`; None where every request meets it."""
    tests: list[Matches] = []
    for name, patterns in when.texts.items():
        tests.append(_text(name, _pattern(patterns)))
    for name, patterns in when.tags.items():
        tests.append(_tag(name, _pattern(patterns)))
    if (stream := when.stream) is not None:
        tests.append(lambda ask: ask.stream is stream)
    if (size := when.prompt_tokens) is not None:
        tests.append(lambda ask: size.holds(ask.prompt_tokens))
    for fact in ("images", "tools"):
        if (some := getattr(when, fact)) is not None:
            tests.append(_some(fact, some))
    if len(tests) <= 1:
        return tests[0] if tests else None

    def every(ask: Ask) -> bool:
        for test in tests:  # noqa: SIM110 (a generator in all() would cost as much as the tests)
            if not test(ask):
                return False
        return True

    return every


def _pattern(patterns: tuple[str, ...]) -> Callable[[str], object]:
    """A test that one of `patterns` matches the whole text."""
    exact = frozenset(patterns)
    if not any(sign in text for text in exact for sign in "*?["):
        return exact.__contains__
    return re.compile("|".join(translate(text) for text in patterns)).match


def _text(name: str, matches: Callable[[str], object]) -> Matches:
    return lambda ask: bool(matches(getattr(ask, name)))


def _tag(name: str, matches: Callable[[str], object]) -> Matches:
    return lambda ask: bool(matches(ask.tags.get(name, "")))


def _some(name: str, some: bool) -> Matches:
    def test(ask: Ask) -> bool:
        count: int | None = getattr(ask, name)
        return count is not None and (count > 0) is some

    return test

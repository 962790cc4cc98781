"""What a routing policy is asked and what it answers: facts of a request, the attempt's context, the decision."""

from collections.abc import Callable, Mapping
from datetime import datetime
from fractions import Fraction
from functools import cache

import msgspec

ONE = Fraction(1)
Alternatives = tuple[tuple[str | None, Fraction], ...]
"""Each target that could have been chosen (None: none would have been) with its probability; they sum to 1."""


class Ask(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The facts of a request that policies may look at. Texts that nobody stated are empty.

    `model`: the one asked for. `key`: the virtual key's id. `at`: when the request came. `prompt_tokens`: its
    likely size (None: unknown), all that is read. `images`, `tools`: how many it has (None: unknown).
    """

    request_id: str
    model: str
    at: datetime | None = None
    surface: str = ""
    protocol: str = ""
    key: str = ""
    feature: str = ""
    request_type: str = ""
    user: str = ""
    segment: str = ""
    session: str = ""
    tags: Mapping[str, str] = {}
    stream: bool = False
    prompt_tokens: int | None = None
    max_output_tokens: int | None = None
    images: int | None = None
    tools: int | None = None


class Failure(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """An attempt of this request that failed at `target` ("upstream/model").

    `status`: the upstream's, None where it gave none; `error`: then "connect" (it was not reached), "timeout" or
    "broken" (it closed early or sent garbage), perhaps with more words behind (`fallback` reads the first).
    `retryable`: the same target may be tried again. `began`: the client already has a part of the answer.
    """

    target: str
    status: int | None = None
    error: str = ""
    retryable: bool = False
    began: bool = False


class Context(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is so at this attempt, numbered from 1.

    `failed`: the attempts before it, in order. `unavailable`: names of upstreams that are not to be asked now (the
    circuit breaker is open). `targets`: where the model asked for lives, "upstream/model", best first. `retries`:
    how often the same target may be tried again after failures that are retryable.
    """

    attempt: int = 1
    failed: tuple[Failure, ...] = ()
    unavailable: frozenset[str] = frozenset()
    targets: tuple[str, ...] = ()
    retries: int = 0


class Draw(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """A split's draw: of which policy, over which unit ("request", "user", …), the number in 16 hexadecimal digits,
    and the arm that it fell into."""

    policy: str
    unit: str
    number: str
    arm: str


@cache
def _writer() -> "Callable[[Decision], str]":
    from farthing.policies.routing.log import write_log  # which imports this module

    return write_log


class Decision(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where an attempt goes: "upstream/model"; None: nowhere, and `reason` says why.

    `policy`: the name of the one whose word it was. `alternatives`: what could have been chosen for this request
    in this context, had the draws fallen otherwise, with their exact probabilities; `probability`: that of `target`.
    `context`: what it was decided from. `chain`: the fingerprint of the chain. `facts`: what the chain looked at of
    the request that a ledger's row does not keep.
    """

    target: str | None
    policy: str
    probability: Fraction
    alternatives: Alternatives
    reason: str = ""
    draws: tuple[Draw, ...] = ()
    context: Context = Context()
    chain: str = ""
    facts: Mapping[str, int] = {}

    def log(self) -> str:
        """The decision as compact JSON, for `Attempt.decision`; `log.read_log` gives it back."""
        return _writer()(self)


def upstream_of(target: str) -> str:
    """The upstream of "upstream/model"."""
    return target.partition("/")[0]


def model_of(target: str) -> str:
    """The model of "upstream/model" (which may itself hold a "/")."""
    return target.partition("/")[2]


_THE_REQUESTS = frozenset({400, 405, 406, 411, 413, 414, 415, 422, 431})


def is_requests_fault(failure: Failure) -> bool:
    """Whether the request itself was refused, so that another upstream would most likely refuse it, too."""
    return not failure.retryable and failure.status in _THE_REQUESTS


def is_usable(target: str, context: Context, retries: int | None = None) -> bool:
    """Whether `target` may be tried: its upstream is available, and it has not failed beyond its retries.

    `retries` overrides those of the context. A failure that is not retryable ends a target at once.
    """
    if context.unavailable and upstream_of(target) in context.unavailable:
        return False
    if not context.failed:
        return True
    left = context.retries if retries is None else retries
    for failure in context.failed:
        if failure.target == target:
            if not failure.retryable or not left:
                return False
            left -= 1
    return True

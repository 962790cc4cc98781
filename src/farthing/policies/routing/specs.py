"""The routing policies as data: what somebody wrote in `[[policy]]`, checked."""

from fractions import Fraction
from hashlib import blake2b

import msgspec

from farthing.policies.routing.when import When

ASKED = "asked"  # in the place of a target: what the policies before have decided
UNITS = ("request", "user", "session", "key")
ERRORS = ("connect", "timeout", "broken")
ON = ("429", "5xx", *ERRORS)
"""What `fallback` goes on from unless it states otherwise: faults of the upstream, none of the request."""


class Passthrough(msgspec.Struct, frozen=True, kw_only=True, tag="passthrough", tag_field="kind"):
    """As asked: the first of the model's targets that can be tried, whatever the policies before have decided."""

    name: str
    when: When = When()


class Route(msgspec.Struct, frozen=True, kw_only=True, tag="route", tag_field="kind"):
    """One target and no other: where it cannot be tried the request fails, unless a fallback follows."""

    name: str
    target: str
    when: When = When()


class Split(msgspec.Struct, frozen=True, kw_only=True, tag="split", tag_field="kind"):
    """An arm drawn by weight for each `unit`, the same at every attempt: a target, or `ASKED`.

    `weights` in the order written, above 0 in sum, normalised by it. `salt`: splits with another are independent.
    `control`: the arm that the others are compared with, "" where none is.
    """

    name: str
    weights: tuple[tuple[str, Fraction], ...]
    unit: str = "request"
    salt: str
    control: str = ""
    when: When = When()

    @property
    def probabilities(self) -> tuple[tuple[str, Fraction], ...]:
        """Each arm's exact probability."""
        whole = sum((weight for _, weight in self.weights), Fraction(0))
        return tuple((arm, weight / whole) for arm, weight in self.weights)


class Fallback(msgspec.Struct, frozen=True, kw_only=True, tag="fallback", tag_field="kind"):
    """Where what was decided cannot be tried (any more), the first of `targets` that can be.

    `targets` empty: those of the model asked for. `on`: the failures from which it goes on ("429", "5xx", "connect",
    "timeout", "broken", "all", any status); an upstream that is not available is one always. `retries`: after so
    many of the same target, where that is less than the gateway's own.
    """

    name: str
    targets: tuple[str, ...] = ()
    on: tuple[str, ...] = ON
    retries: int | None = None
    when: When = When()


Spec = Passthrough | Route | Split | Fallback


def fingerprint(specs: tuple[Spec, ...]) -> str:
    """Eight hexadecimal digits that differ where chains do; empty for the empty chain."""
    if not specs:
        return ""
    text = msgspec.json.encode(specs, enc_hook=str, order="deterministic")
    return blake2b(text, digest_size=4).hexdigest()

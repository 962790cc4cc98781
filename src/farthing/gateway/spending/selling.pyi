"""What an answer cost, where answers like it were priced before: counts x units, in whole numbers, and its words."""

from fractions import Fraction
from typing import final

from farthing.charges.quick import Plan
from farthing.gateway.metering.values import Served
from farthing.gateway.spending.costs import Terms
from farthing.rates.card import Offer, Price

@final
class Priced:
    """What an answer cost: `top` / `plan.bottom` dollars where `plan.known`.

    `terms`: None where nothing was consumed, or nobody knows what was. `estimated`: the usage is not, or not all, what
    the provider stated.
    """

    def __init__(self, plan: Plan, top: int = 0, terms: Terms | None = None, estimated: bool = False) -> None: ...
    @property
    def plan(self) -> Plan: ...
    @property
    def terms(self) -> Terms | None: ...
    @property
    def estimated(self) -> bool: ...
    @property
    def top(self) -> int:
        """The charge in parts of a dollar, of which `plan.bottom` make one."""

    @property
    def usd(self) -> Fraction | None:
        """The charge, exact; None: unknown, and `unknown` says why."""

    def amounts(self) -> tuple[int | None, str | None]:
        """The same in nanodollars, rounded up as `nano_up` does; and as text, as `str` writes a fraction: "23/5000"."""

    @property
    def text(self) -> str | None:
        """The second of `amounts`."""

    @property
    def nano(self) -> int | None:
        """The first of `amounts`."""

    @property
    def unknown(self) -> str:
        """Why the charge is unknown; "" where it is known."""

    @property
    def price(self) -> Price | None:
        """The record that the charge rests on."""

    @property
    def offer(self) -> Offer | None:
        """The offer that it was priced at."""

    @property
    def note(self) -> str:
        """What else should be known of the price."""

@final
class Sold:
    """How all answers of the same terms are priced that count the same meters, to requests that start at or after
    `from_us` and before `until_us` (microseconds since 1970). `plan` is known, so a count of 0 adds nothing.

    `names`: the meters, in their order. Raises `OverflowError` where 63 bits hold not all of it, `ValueError` where it
    is none of the usual kind.
    """

    def __init__(
        self,
        plan: Plan,
        from_us: float,
        until_us: float,
        terms: Terms,
        model: str,
        tier: str,
        region: str,
        names: tuple[str, ...],
    ) -> None: ...

class Sales:
    """What is remembered of the answers of a model at a provider: how they were priced, those of last before others.
    Who has no such memory is priced by `_price` of the class that extends this one."""

    def price(self, served: Served, tier_asked: str, started_us: int, ended_us: int, /) -> Priced:
        """The charge of an answer. `tier_asked`: holds where it states none. Times are microseconds since 1970."""

    def remember(self, sold: Sold, /) -> None:
        """Price answers like those that `sold` was made for in the same way from now on."""

    @property
    def remembered(self) -> int:
        """How many kinds of answers are."""

def cost_lines(priced: Priced, left: int | None, /) -> bytes:
    """The header lines that tell what a whole answer cost, and what is `left` of the budgets (nanodollars, not below
    zero; None: that is not told), each ended by CRLF."""

def reason_text(reason: str, /) -> bytes:
    """Why a cost is unknown, as a header may say it: 200 characters of printable ASCII, the others as "?"."""

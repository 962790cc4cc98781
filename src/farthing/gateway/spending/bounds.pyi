"""The most that a request can cost which bounds its prompt and its answers itself, where requests like it were looked
at before: tokens x the dearest rates, in whole numbers. Nearly every request comes by here."""

from typing import final

from farthing.gateway.metering.values import Asked
from farthing.gateway.spending.worst import Where

@final
class Bound:
    """The dearest rates, nanodollars over `bottom`: `prompt` and `output` a token, `each` a request.

    They are those of requests of `tier` to `where`, with images and audio or without, that start from the first of
    `times_us` (microseconds since 1970) on and before the second, with so many tokens of prompt and of all answers:
    `prompts` and `outputs` are half-open too. Raises `OverflowError` where 63 bits hold not all of it.
    """

    def __init__(
        self,
        tier: str,
        where: Where,
        images: bool,
        audio: bool,
        times_us: tuple[float, float],
        prompts: tuple[float, float],
        outputs: tuple[float, float],
        prompt: int,
        output: int,
        each: int,
        bottom: int,
    ) -> None: ...

class Bounds:
    """What is remembered of an offer's dearest rates: those of the last request before others. What is not, `_stated`
    of the class that extends this one finds."""

    def stated(self, asked: Asked, where: Where, started_us: int, /) -> int | None:
        """What `worst` finds for a request that bounds its prompt and its answers itself, where prices are linear:
        nanodollars, rounded up. None: ask `worst`."""

    def remember(self, bound: Bound, /) -> None:
        """Bound requests like those that `bound` was made for in the same way from now on."""

    @property
    def remembered(self) -> int:
        """How many kinds of requests are."""

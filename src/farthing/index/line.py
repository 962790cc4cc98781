"""A price line: what one offer charged, and when, as the indices see it.

The book's rates are exact, and so are the prices here (`Fraction`); an index of them is statistics, in floats.
"""

from datetime import datetime
from fractions import Fraction

import msgspec

from farthing.evidence import Source


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """What an offer charged from `start` until `end` (half-open; None: still in force), in dollars per million tokens.

    `usd_per_mtok` is by meter ("input", "cache_read", "cache_write_5m", "output", …), of the standard tier and a
    short prompt; `batch_usd_per_mtok` likewise of the batch tier. A meter without a rate is absent (unknown); 0 is a
    0 that somebody stated. `after`: the change is only known to lie in (after, start], between two snapshots.
    `unclear`: nobody knows whether it began with a change of the price, or the list was corrected. `renewed`: from here
    on the name serves another model (`lines.renewed`), so the step is no change of a price.
    """

    start: datetime
    end: datetime | None
    usd_per_mtok: dict[str, Fraction]
    source: Source
    batch_usd_per_mtok: dict[str, Fraction] = {}
    after: datetime | None = None
    unclear: bool = False
    renewed: bool = False


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One model at one provider through time. `quotes` are in order and do not overlap; gaps are unknown.

    `family` is `rates.family.family(model)`: lines of one family are one model at several hosts. `maker` is the
    provider that made the model, where known; `first_party` says that the provider is its maker.
    """

    provider: str
    model: str
    family: str
    quotes: tuple[Quote, ...]
    maker: str | None = None
    first_party: bool = False
    channel: str = "direct"
    mode: str = ""

    @property
    def id(self) -> str:
        return f"{self.provider}/{self.model}"

    def at(self, moment: datetime) -> Quote | None:
        """The quote in force at `moment` (aware), or None where none is known."""
        for quote in reversed(self.quotes):
            if quote.start <= moment:
                return quote if quote.end is None or moment < quote.end else None
        return None

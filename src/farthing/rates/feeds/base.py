"""What every importer of a public price list shares: its result, exact numbers, and conditions spelt out.

An importer turns one source's content into `Offer`s and accounts for every entry: expressed, stating
no price, or not expressed with the reason. It never fills a gap: what a source does not say stays unknown.
"""

import re
from collections.abc import Iterable, Sequence
from decimal import Context, Decimal, localcontext
from typing import Any

import msgspec

from farthing.evidence import Source
from farthing.money import parse_decimal
from farthing.problems import FarthingError, Problem
from farthing.rates.card import ALWAYS, MINUTES_OF_WEEK, Band, Offer, Rate, When
from farthing.rates.select import disjoint, inside, meet, same
from farthing.units import METERS

CHANNELS = {"aws": "bedrock", "azure": "azure"}
"""The channel over which a cloud platform's own offers are reached; every other provider's is "direct"."""

_EXACT = Context(prec=200)
_DEBRIS_DIGITS, _OBVIOUS_DIGITS = 15, 12
_MOST_DIGITS = 30  # before or after the point: 1e999999 would never be computed
_DEBRIS = re.compile(r"(0{5,}\d{1,2}|9{5,}\d{0,2})$")


class Imported(msgspec.Struct, kw_only=True):
    """A source as offers, with an account of every entry that was read.

    `read` == `expressed` + `priceless` + the number of distinct places in `not_expressed`.
    `expressed` entries have every price that they state in an offer; `priceless` entries state none
    (their offers hold no rate: the price is unknown, not zero). `repaired` lists numbers that passed
    through a binary float at the source and were read as the decimal that they obviously were.
    `zero_rows` counts entries whose every price is 0, where the source writes 0 also for "unknown".
    `notes` lists what was read but is not a price of its own (a duplicate, the same price in another unit).
    """

    feed: str
    source: Source
    offers: list[Offer]
    read: int = 0
    expressed: int = 0
    priceless: int = 0
    not_expressed: list[Problem] = msgspec.field(default_factory=list)
    repaired: list[Problem] = msgspec.field(default_factory=list)
    notes: list[Problem] = msgspec.field(default_factory=list)
    zero_rows: int = 0

    def count(self, *, priced: bool, problems: Sequence[Problem]) -> None:
        """Account for one entry: `problems` are what could not be expressed of it."""
        self.read += 1
        if problems:
            self.not_expressed.extend(problems)
        elif priced:
            self.expressed += 1
        else:
            self.priceless += 1


class Stated(msgspec.Struct, frozen=True, kw_only=True):
    """A price that a source states for one meter under a condition.

    Where two conditions overlap and neither is inside the other, the one of higher `rank` holds.
    """

    amount: Decimal
    when: When = ALWAYS
    rank: int = 0
    note: str = ""


# --- numbers -----------------------------------------------------------------------------------


def repair(amount: Decimal) -> Decimal | None:
    """The short decimal that `amount` was before it passed through a binary float, or None if it did not.

    Debris is 15 digits or more that end in a run of zeros or nines: 0.18000000000000002 was 0.18.
    A long number without such a run (0.08333333333333334, a twelfth) is kept as published.
    """
    digits = "".join(map(str, amount.as_tuple().digits))
    if len(digits) < _DEBRIS_DIGITS or not _DEBRIS.search(digits):
        return None
    with localcontext(prec=_OBVIOUS_DIGITS):
        return plain(+amount)


def plain(amount: Decimal) -> Decimal:
    """`amount` with neither trailing zeros nor a positive exponent: 1.250 is 1.25, 1E+2 is 100."""
    short = amount.normalize(_EXACT)
    return short.quantize(Decimal(1)) if short.as_tuple().exponent > 0 else short  # type: ignore[operator]


class Numbers:
    """Reads an entry's prices, and remembers which were repaired."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.repaired: list[Problem] = []

    def price(self, key: str, value: object, times: int = 1) -> tuple[Decimal, str]:
        """`value` x `times`, exactly, and a note if it was repaired.

        Raises `ValueError` for what is not a number, and for a negative or an absurd one.
        """
        amount = parse_decimal(value)
        if amount < 0:
            raise ValueError(f"{value} is negative")
        if amount and not -_MOST_DIGITS <= amount.adjusted() <= _MOST_DIGITS:
            raise ValueError(f"{amount:.4E} is absurd: a price is between 1e-{_MOST_DIGITS} and 1e{_MOST_DIGITS}")
        note = ""
        mended = repair(amount)
        if mended is not None:
            note = f"published as {amount}"
            self.repaired.append(Problem(self.place, f"{key} is {amount}", f"read as {mended}"))
            amount = mended
        return plain(_EXACT.multiply(amount, Decimal(times))), note


# --- conditions --------------------------------------------------------------------------------


def above(tokens: int, *, inclusive: bool = False) -> When:
    """A prompt (cached tokens included) of more than `tokens`; of that many too where `inclusive`."""
    return When(bands=(Band(low=tokens if inclusive else tokens + 1),))


def daily(start: int, end: int, days: Iterable[int] = range(7)) -> int:
    """The minutes of the week from `start` to `end` (minutes of the UTC day, half-open) on `days` (Monday is 0).

    An end before the start wraps within each of the days: 22:00-02:00 on Monday is the first two
    hours and the last two of Monday. Equal ends are the whole day.
    """
    mask = 0
    for day in days:
        for low, high in ((start, end),) if start < end else ((start, 1440), (0, end)):
            mask |= ((1 << (high - low)) - 1) << (day * 1440 + low)
    return mask & ((1 << MINUTES_OF_WEEK) - 1)


def both(one: When, other: When) -> When | None:
    """The condition that both hold, or None where they cannot."""
    return None if disjoint(one, other) else meet(one, other)


def spell_out(stated: Iterable[Stated]) -> list[Stated]:
    """`stated`, made such that every request has exactly one most specific price.

    A price inside a higher-ranked one never applies and is left out; of two equal conditions the
    higher rank stays; where two overlap, their overlap is stated with the price of the higher rank.
    """
    kept: list[Stated] = []
    for one in sorted(stated, key=lambda s: -s.rank):
        if not any(same(one.when, k.when) or (k.rank > one.rank and inside(one.when, k.when)) for k in kept):
            kept.append(one)
    position = 0
    while position < len(kept):
        for other in kept[:position]:
            overlap = _missing_overlap(kept[position], other, kept)
            if overlap is not None:
                kept.append(overlap)
        position += 1
    return kept


def _missing_overlap(one: Stated, other: Stated, kept: Sequence[Stated]) -> Stated | None:
    if disjoint(one.when, other.when) or inside(one.when, other.when) or inside(other.when, one.when):
        return None
    when = meet(one.when, other.when)
    if any(same(when, k.when) for k in kept):
        return None
    holding = [k for k in kept if inside(when, k.when)]
    narrowest = [k for k in holding if not any(n is not k and inside(n.when, k.when) for n in holding)]
    winner = max(narrowest, key=lambda k: k.rank)
    return Stated(amount=winner.amount, when=when, rank=winner.rank, note=winner.note)


def rates_of(meter: str, stated: Iterable[Stated], minimum: Decimal | None = None) -> list[Rate]:
    """The rates of `meter` at the scale it is published at, the least specific first."""
    per = METERS[meter].per
    return [
        Rate(meter=meter, amount=s.amount, per=per, when=s.when, note=s.note, minimum=minimum)
        for s in sorted(spell_out(stated), key=lambda s: len(s.when.keys))
    ]


def note_zeros(rates: Sequence[Rate], note: str) -> tuple[tuple[Rate, ...], bool]:
    """`rates`, and whether all of them are 0; then each carries `note`."""
    zero = bool(rates) and all(rate.amount == 0 for rate in rates)
    if zero:
        rates = [msgspec.structs.replace(rate, note=rate.note or note) for rate in rates]
    return tuple(rates), zero


# --- files -------------------------------------------------------------------------------------


def read_json(content: bytes, place: str) -> tuple[Any, list[str]]:
    """The JSON in `content` with its numbers as `Decimal` (or int), and the keys that an object repeats.

    Raises `FarthingError`, naming `place`, for text that is not JSON or was cut off.
    """
    import json

    repeated: list[str] = []

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(found)
        if len(made) != len(found):
            seen: set[str] = set()
            repeated.extend(key for key, _ in found if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        return made

    def no_constant(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    try:
        text = content.decode("utf-8-sig")
        return json.loads(text, parse_float=Decimal, parse_constant=no_constant, object_pairs_hook=pairs), repeated
    except json.JSONDecodeError as error:
        cut = "" if text.rstrip().endswith(("}", "]")) else "; the file seems to be cut off: fetch it again"
        raise FarthingError(f"{place}:{error.lineno}: not valid JSON: {error.msg}{cut}") from None
    except UnicodeDecodeError:
        raise FarthingError(f"{place}: not UTF-8 text, so not a JSON price list") from None
    except (ValueError, RecursionError) as error:
        raise FarthingError(f"{place}: not valid JSON: {error}") from None


def object_of(value: object, place: str) -> dict[str, Any]:
    """`value` if it is a JSON object; raises `FarthingError` saying what it is instead."""
    if isinstance(value, dict):
        return value
    raise FarthingError(f"{place}: a price list is a JSON object at the top, and this is {_kind(value)}")


def _kind(value: object) -> str:
    if isinstance(value, list):
        return "a list"
    return "null" if value is None else f"a {type(value).__name__}"

"""What a check says of a statement: the verdict, the factor that it is off by, and the computation.

A statement is compared with what was computed within a stated tolerance. Amounts are exact fractions and
may be ranges (`Span`); a point is a range of no width.
"""

from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

import msgspec

from farthing.evidence import Grade, Source

LEAST_SLACK = Fraction(1, 100)
MOST_SLACK = Fraction(15, 100)
ABOUT_SLACK = Fraction(15, 100)
EXACT_SLACK = Fraction(5, 1000)
NEARLY_FROM = Fraction(8, 10)
ORDER = Fraction(3162, 1000)
"""Half an order of magnitude: the square root of ten."""

HOWS = ("rounded", "exact", "about", "nearly", "order", "at-least", "at-most", "within", "overlaps")
"""How a figure is meant; `decide` says what each allows."""


class Verdict(StrEnum):
    """The four answers."""

    HOLDS = "holds"
    OFF = "off by a factor"
    IMPOSSIBLE = "impossible"
    CANNOT_TELL = "cannot tell"


class Span(msgspec.Struct, frozen=True):
    """An amount from `low` to `high`, both included and at least 0; a point where they are equal."""

    low: Fraction
    high: Fraction

    @property
    def point(self) -> bool:
        return self.low == self.high

    def __add__(self, other: "Span") -> "Span":
        return Span(self.low + other.low, self.high + other.high)

    def __mul__(self, other: "Span") -> "Span":
        return Span(self.low * other.low, self.high * other.high)

    def __truediv__(self, other: "Span") -> "Span":
        """The smallest by the largest to the largest by the smallest. `other` is above 0."""
        return Span(self.low / other.high, self.high / other.low)


def point(value: Fraction | int | float | Decimal) -> Span:
    """The span of one value; a float (physics) is taken as the fraction that it is."""
    return Span(Fraction(value), Fraction(value))


class Stated(msgspec.Struct, frozen=True, kw_only=True):
    """What a document says: the figure (or both ends of a range), how it is meant, and its unit."""

    low: Decimal
    high: Decimal
    how: str = "rounded"
    unit: str = ""

    @property
    def span(self) -> Span:
        return Span(Fraction(self.low), Fraction(self.high))


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found: `computation` is one line of arithmetic with its inputs.

    `factor`: how far off, at least 1 (None: not off, or not to be said); `too`: "high" or "low", what the
    stated figure is. `note`: what else matters.
    """

    verdict: Verdict
    computation: str
    computed: Span | None = None
    factor: Fraction | None = None
    too: str = ""
    note: str = ""


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """One statement with its verdict.

    `id` is "DOCUMENT:LINE", with a letter where a line has several; `lines` are those of the document's text.
    `grounds`: the sources that the computation rests on besides the statement's own figures; `grade`: the worst
    of theirs, "derived" for arithmetic alone, and None where nothing could be computed.
    """

    id: str
    document: Source
    file: str
    lines: tuple[int, ...]
    says: str
    check: str
    stated: Stated | None
    finding: Finding
    grade: Grade | None
    grounds: tuple[Source, ...] = ()

    @property
    def verdict(self) -> Verdict:
        return self.finding.verdict


def rounding(figure: Decimal) -> Fraction:
    """The relative slack of a figure written so: half a unit of its last significant digit, from 1 % to 15 %.

    "0.23" may be off by 0.005; of a whole number the zeros at the end do not count ("200" is 150 to 250, so
    15 % applies). At least 1 %, for documents round what they compute with.
    """
    if not figure:
        return LEAST_SLACK
    whole = figure == figure.to_integral_value() and not str(figure).count(".")
    exponent = int((figure.normalize() if whole else figure).as_tuple().exponent)
    half = Fraction(10) ** exponent / 2
    return min(MOST_SLACK, max(LEAST_SLACK, half / abs(Fraction(figure))))


def slack(figure: Decimal, how: str) -> Fraction:
    """The relative tolerance around `figure`, meant `how`."""
    if how == "exact":
        return EXACT_SLACK
    if how == "about":
        return ABOUT_SLACK
    return LEAST_SLACK if how in ("at-least", "at-most", "nearly") else rounding(figure)


def decide(stated: Stated, computed: Span) -> tuple[Verdict, Fraction | None, str]:
    """Whether `stated` agrees with `computed`, else by which factor it is off and whether it is too high or low.

    rounded, exact, about: a point agrees with a point within its slack; a point with a range where it lies in
    it, a range with a point that lies in it; two ranges end by end. nearly: 80 % to 100 % of the figure. order:
    within half an order of magnitude. at-least, at-most: all that was computed lies on that side. within: the
    stated range lies inside the computed one. overlaps: they share a value.
    """
    how = stated.how
    below, above = slack(stated.low, how), slack(stated.high, how)
    span = stated.span
    wide = Span(span.low * (1 - below), span.high * (1 + above))
    if how == "nearly":
        wide = Span(span.low * NEARLY_FROM, wide.high)
    elif how == "order":
        wide = Span(span.low / ORDER, span.high * ORDER)
    if how == "at-most":
        return _verdict([(computed.high, span.high)] if computed.high > wide.high else [])
    if how == "at-least":
        return _verdict([(computed.low, span.low)] if computed.low < wide.low else [])
    if how in ("within", "overlaps"):
        roomy = Span(computed.low / (1 + below), computed.high / (1 - above))
        if how == "overlaps":
            apart = span.high < roomy.low or span.low > roomy.high
            near = (computed.low, span.high) if span.high < roomy.low else (computed.high, span.low)
            return _verdict([near] if apart else [])
        return _verdict([(computed.low, span.low)] * (span.low < roomy.low)
                        + [(computed.high, span.high)] * (span.high > roomy.high))  # fmt: skip
    if span.point or computed.point:
        if computed.high < wide.low:
            return _verdict([(computed.high, span.low)])
        return _verdict([(computed.low, span.high)] if computed.low > wide.high else [])
    ends = [(computed.low, span.low, below), (computed.high, span.high, above)]
    return _verdict([(c, s) for c, s, slack_ in ends if abs(c - s) > slack_ * s])


def _verdict(apart: list[tuple[Fraction, Fraction]]) -> tuple[Verdict, Fraction | None, str]:
    """OFF by the worst of the pairs (computed, stated), HOLDS where there are none."""
    if not apart:
        return Verdict.HOLDS, None, ""
    if any(c <= 0 or s <= 0 for c, s in apart):
        return Verdict.OFF, None, "high" if apart[0][1] > apart[0][0] else "low"
    c, s = max(apart, key=lambda pair: max(pair[0] / pair[1], pair[1] / pair[0]))
    return Verdict.OFF, max(c / s, s / c), "high" if s > c else "low"


def agree(stated: Stated, computed: Span, computation: str, note: str = "") -> Finding:
    """The finding that compares `stated` with `computed`."""
    verdict, factor, too = decide(stated, computed)
    return Finding(verdict=verdict, computation=computation, computed=computed, factor=factor, too=too, note=note)


def cannot(reason: str) -> Finding:
    """Nothing here can check it, and why."""
    return Finding(verdict=Verdict.CANNOT_TELL, computation=reason)


def below(stated: Span, ceiling: float, practical: Span | None, computation: str, note: str = "") -> Finding:
    """A finding against a physical ceiling: impossible above it, off by a factor above what is reached in practice.

    `practical`: the share of the ceiling that measurements reach, at best; None: not asked.
    """
    limit = Fraction(ceiling)
    text = f"{computation}; stated {show(stated)} is {percent(stated, limit)} of it"
    if stated.high > limit * (1 + LEAST_SLACK):
        return Finding(verdict=Verdict.IMPOSSIBLE, computation=text, computed=point(limit), factor=stated.high / limit,
                       too="high", note=note)  # fmt: skip
    if practical is not None and stated.high > limit * practical.high * (1 + LEAST_SLACK):
        reached = limit * practical.high
        text += f", more than the {show_percent(practical.high)} that is reached at best"
        return Finding(verdict=Verdict.OFF, computation=text, computed=point(limit), factor=stated.high / reached,
                       too="high", note=note)  # fmt: skip
    return Finding(verdict=Verdict.HOLDS, computation=text, computed=point(limit), note=note)


# --- numbers as text --------------------------------------------------------------------------


def number(value: Fraction) -> str:
    """`value` in four significant digits: 0.2306, 64.04, 14,400, 10.8 M, 46.8 B."""
    size = abs(value)
    for limit, suffix in ((10**15, " P"), (10**12, " T"), (10**9, " B"), (10**6, " M")):
        if size >= limit:
            return f"{float(value / limit):.4g}{suffix}" if size < 10**19 else f"{float(value):.3g}"
    if size >= 1000:
        return f"{round(value):,}"
    text = f"{float(value):.4g}"
    return f"{float(value):.10f}".rstrip("0") if "e-" in text and size > Fraction(1, 10**8) else text


def show(span: Span) -> str:
    """A span as "0.24–0.36", a point as its number."""
    return number(span.low) if span.point else f"{number(span.low)}–{number(span.high)}"


def term(span: Span) -> str:
    """A span inside a formula: a range stands in brackets."""
    return show(span) if span.point else f"({show(span)})"


def show_percent(share: Fraction) -> str:
    return f"{float(share * 100):.3g} %"


def percent(part: Span, whole: Fraction) -> str:
    """`part` as a percentage of `whole`."""
    shares = [float(end / whole * 100) for end in (part.low, part.high)]
    return "–".join(dict.fromkeys(f"{share:,.3g}" if share < 1000 else f"{share:,.0f}" for share in shares)) + " %"

"""Words for the numbers of a chart: dollars, factors, rates, dates; lines of a title."""

from datetime import date
from math import floor, log10

_LEAST = 1e-6  # dollars: less than this is said in words


def usd(value: float | str | None) -> str:
    """Dollars in three digits, as a person writes them: $60, $0.60, $0.075, $1,240. None is "unknown"."""
    if value is None:
        return "unknown"
    number = float(value)
    if number == 0:
        return "$0"
    if abs(number) < _LEAST:
        return f"under ${_LEAST:.6f}"
    size = floor(log10(abs(number)))
    if size >= 2 or number == int(number):
        return f"${number:,.0f}"
    text = f"{number:.{max(2, 2 - size)}f}"
    while text.endswith("0") and len(text.partition(".")[2]) > 2:
        text = text[:-1]
    return f"${text}"


def times(factor: float) -> str:
    """A factor in three digits at most: 31.6×, 1.9×, 942×; one beyond a million has no meaning that digits tell."""
    if factor >= 1e6:
        return "over a million×"
    return f"{factor:,.0f}×" if factor >= 100 else f"{factor:.3g}×"


def change(yearly_factor: float | None) -> str:
    """What a yearly factor (the number by which a price falls in a year) says: "fell 31.6-fold a year"."""
    if yearly_factor is None:
        return "no yearly rate (too thin)"
    if yearly_factor >= 2:
        return f"fell {times(yearly_factor).removesuffix('×')}-fold a year"
    if abs(yearly_factor - 1) < 0.0005:
        return "did not change"
    percent = (1 - 1 / yearly_factor) * 100
    digits = 1 if abs(percent) < 9.95 else 0
    return f"{'fell' if percent > 0 else 'rose'} {abs(percent):.{digits}f}% a year"


def expected(yearly_factor: float) -> str:
    """What a yearly factor says of the future: "falls 5.3-fold a year"."""
    text = change(yearly_factor)
    for past, now in (("fell", "falls"), ("rose", "rises"), ("did not change", "stays")):
        text = text.replace(past, now)
    return text


def between(low: float, high: float) -> str:
    """Two yearly factors as a range, the slower one first: "fell 5.3% to 14% a year"."""
    ends = [change(factor) for factor in sorted((low, high))]
    verbs = [end.split(" ", 1)[0] for end in ends]
    if verbs[0] == verbs[1] != "did":
        ends[1] = ends[1].split(" ", 1)[1]
        if ends[0].endswith("-fold a year") == ends[1].endswith("-fold a year"):
            ends[0] = ends[0].removesuffix(" a year")
    return " to ".join(ends)


def half_life(months: float | None) -> str:
    return "" if months is None else f"half-life {months:.3g} months"


def count(number: int, what: str) -> str:
    """ "1 model", "143 models"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def sentence(*parts: str | None) -> str:
    """The parts that say something, with a middle dot between them."""
    return "\u00a0· ".join(part for part in parts if part)


def month_text(day: str) -> str:
    """ "July 2024" of "2024-07-18"."""
    return date.fromisoformat(day[:10]).strftime("%B %Y")


def cut(name: str, letters: int = 36) -> str:
    """A name in at most so many letters."""
    return name if len(name) <= letters else name[: letters - 1] + "…"


def lines_of(text: str, letters: int) -> list[str]:
    """`text` in as few lines of at most so many letters as it takes, of about one length, broken between words."""
    import textwrap

    needed = len(textwrap.wrap(text, letters, break_on_hyphens=False))
    for shorter in range(len(text) // max(1, needed), letters):
        lines = textwrap.wrap(text, max(1, shorter), break_on_hyphens=False)
        if len(lines) <= needed:
            return lines or [""]
    return textwrap.wrap(text, letters, break_on_hyphens=False) or [""]

"""How plans show numbers: amounts and volumes with their intervals, for tables and for JSON."""

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from farthing.evidence import Source
from farthing.plans.findings import Finding
from farthing.plans.interval import Interval, Outcome
from farthing.reports.charge import source_json

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

WIDTH = 100
Range = Interval | Outcome
_SIZES = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k"))


def digits(value: Fraction | float, figures: int = 3) -> str:
    """A number in plain digits with three significant figures, more where it has more before the point."""
    number = float(value)
    if number == 0:
        return "0"
    size = abs(number)
    if size >= 10 ** (figures - 1):
        return f"{number:,.0f}"
    places = figures - 1
    while size < 1 and size * 10**places < 10 ** (figures - 1) and places < 12:
        places += 1
    if size >= 10:
        places = figures - 2
    text = f"{number:.{places}f}"
    return text.rstrip("0").rstrip(".") if size >= 1 and "." in text and float(text).is_integer() else text


def dollars(value: Fraction | None) -> str:
    """An amount for a person: "$3,586", "$0.431", "never" for None."""
    if value is None:
        return "never"
    return f"-${digits(-value)}" if value < 0 else f"${digits(value)}"


def tokens(value: Fraction | None) -> str:
    """A number of tokens: "5.98B"; "never" for None."""
    if value is None:
        return "never"
    for size, name in _SIZES:
        if value >= size:
            return f"{digits(value / size)}{name}"
    return digits(value)


def percent(value: Fraction | None) -> str:
    """A share: "84.5 %"."""
    if value is None:
        return "-"
    return f"{digits(value * 100)} %"


def times(value: Fraction | None) -> str:
    """A ratio: "x4.98"; "never" for None."""
    return "never" if value is None else f"x{digits(value)}"


def plain(value: Fraction | None) -> str:
    return "never" if value is None else digits(value)


def compact(value: Fraction | None) -> str:
    """An amount for a narrow column: "$12.7k", "$1.24M"."""
    if value is None or abs(value) < 10**4:
        return dollars(value)
    return f"${tokens(value)}" if value > 0 else f"-${tokens(-value)}"


_SHOWN = {"usd": dollars, "compact": compact, "tokens": tokens, "ratio": percent, "times": times}


def shown(value: Fraction | None, unit: str) -> str:
    """A number in its unit."""
    return _SHOWN.get(unit, plain)(value)


def spread(value: Range | None, unit: str = "usd") -> str:
    """A number with its interval: "$0.431 ($0.254 to $0.531)"; alone where it is exact; "-" for None."""
    if value is None:
        return "-"
    middle = shown(value.mid, unit)
    if value.low == value.high:
        return middle
    return f"{middle} ({shown(value.low, unit)} to {shown(value.high, unit)})"


def number(value: Fraction | None) -> float | None:
    """A number of JSON's."""
    return None if value is None else float(value)


def range_json(value: Range | None) -> dict[str, float | None] | None:
    """{"low", "mid", "high"}; null where it is unknown; an end that is "never" is null."""
    if value is None:
        return None
    return {"low": number(value.low), "mid": number(value.mid), "high": number(value.high)}


def drivers_json(value: Outcome, most: int = 5) -> list[dict[str, Any]]:
    """What moves a result most: each uncertain input with the result at its ends."""
    return [{"input": d.name, "at_low": number(d.at_low), "at_high": number(d.at_high)} for d in value.drivers[:most]]


def finding_json(finding: Finding) -> dict[str, Any]:
    return {
        "key": finding.stated.key,
        "what": finding.stated.what,
        "stated": range_json(finding.stated.value),
        "computed": range_json(finding.figure.value),
        "unit": finding.figure.unit,
        "how": finding.figure.how,
        "factor": number(finding.factor),
        "verdict": finding.verdict,
        "source": finding.stated.source.id,
    }


def findings_table(findings: Sequence[Finding]) -> "Table":
    """Stated figures beside the computed ones."""
    made = table("stated", "computed>", "verdict", "how")
    for one in findings:
        factor = "" if one.factor is None or one.verdict == "holds" else f" x{digits(_away(one.factor))}"
        made.add_row(one.stated.what, spread(one.figure.value, one.figure.unit), one.verdict + factor, one.figure.how)
    return made


def _away(factor: Fraction) -> Fraction:
    """How many times off, above 1 whichever way."""
    return 1 / factor if 0 < factor < 1 else factor


def table(*columns: str) -> "Table":
    """A plain table; a name that ends in ">" is a column of numbers, the last column may wrap."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="dim")
    for position, name in enumerate(columns):
        right = name.endswith(">")
        made.add_column(
            name.removesuffix(">"),
            justify="right" if right else "left",
            style="dim" if position == len(columns) - 1 and not right else "",
            overflow="fold",
        )
    return made


def line(text: str = "", style: str = "") -> "Text":
    from rich.text import Text

    return Text(text, style=style)


def sources_lines(sources: Sequence[Source]) -> list[Any]:
    """One dim line for each source, once; its address is in the JSON."""
    from rich.text import Text

    found = {source.id: source for source in sources}
    return [Text(f"{s.grade}: {s.title}", style="dim", no_wrap=True, overflow="ellipsis") for s in found.values()]


def sources_json(sources: Sequence[Source]) -> list[dict[str, Any]]:
    return [source_json(source) for source in {source.id: source for source in sources}.values()]

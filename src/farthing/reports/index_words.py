"""Words and plain tables that the reports on the market's structure share."""

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from farthing.money import show_usd

if TYPE_CHECKING:
    from rich.table import Table

UNKNOWN = "–"
_LONG = 9  # signs beyond which a price is shown rounded; JSON has all of them


def say(text: str) -> Iterator[Any]:
    """`text` as it is: brackets and colons in ids and notes are no markup."""
    from rich.text import Text

    yield Text(text)


def money(usd: str | float | None) -> str:
    """An amount: as published with two decimals at least where it is text, in four digits where it is a statistic."""
    if usd is None:
        return UNKNOWN
    if isinstance(usd, str) and len(usd) <= _LONG:
        whole, _, cents = usd.partition(".")
        return f"{int(whole):,}.{cents:0<2}"
    return show_usd(Fraction(usd)).removeprefix("$")


def number(value: float | None, places: int) -> str:
    """A number, or a dash where there is none."""
    return UNKNOWN if value is None else f"{value:,.{places}f}"


def plain_table(*columns: str, left: int = 1, last_left: bool = False) -> "Table":
    """A plain table: the first `left` columns (and the last, if asked) are text, the others numbers. No markup."""
    from rich import box
    from rich.table import Table

    class Plain(Table):
        def add_row(self, *cells: Any, **more: Any) -> None:
            from rich.text import Text

            super().add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells), **more)

    table = Plain(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for position, name in enumerate(columns):
        if position < left or (last_left and position == len(columns) - 1):
            table.add_column(name, overflow="fold")
        else:
            table.add_column(name, justify="right", no_wrap=True)
    return table

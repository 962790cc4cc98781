"""Tables that are too wide for the screen: which columns go, where text is folded. No number is ever cut.

Rich makes a table fit by folding any word and cutting what may not be folded: half of a model's name or of an amount.
"""

import copy
import re
from collections import Counter
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

_AFTER = re.compile(r"[^\s/,:;_@.=-]*(?:[/,:;_@.=-]+|\s+|$)")
_FEW = 8
"""Letters that a column of text keeps in each line."""
_BORDER = re.compile("[\u2500-\u257f]")
_UNLIMITED = 100_000
_NOTHING = ("", "-")


def fitted(screen: Console, table: Table) -> tuple[Table, int]:
    """`table` as `screen` can show it, and the columns that it needs where these are more (else 0).

    A table that is shown well is left as it is. Of another, columns without any value go first; then text is folded
    between words, then after separators, then anywhere. Where its numbers alone are too wide, so is the table.
    """
    if len(table.columns) == 1 or _whole(screen, table):  # one column: a list, whose lines are as its view wants them
        return table, 0
    rows = [list(cells) for cells in zip(*(column.cells for column in table.columns), strict=True)]
    if any(not isinstance(cell, str | Text) for cells in rows for cell in cells):
        return table, 0
    kept = [
        at for at, _ in enumerate(table.columns) if at == 0 or any(_plain(cells[at]) not in _NOTHING for cells in rows)
    ]
    thin = _built(table, [table.columns[at] for at in kept], [[cells[at] for at in kept] for cells in rows])
    if _whole(screen, thin):
        return thin, 0
    columns = thin.columns
    texts = [[_text(cell) for cell in column.cells] for column in columns]
    widths = _widths(columns, texts, screen.width - _extra(screen, thin))
    folded = [
        [text if _rigid(column) else _folded(text, width) for text in cells]
        for column, cells, width in zip(columns, texts, widths, strict=True)
    ]
    made = _built(table, columns, [list(cells) for cells in zip(*folded, strict=True)], rigid=True)
    return made, _measured(screen, made)


def _whole(screen: Console, table: Table) -> bool:
    """Whether no word is broken and nothing cut, as Rich shows the table."""
    shown = "\n".join(
        "".join(segment.text for segment in line) for line in screen.render_lines(table, screen.options, pad=False)
    )
    there = Counter(_BORDER.sub(" ", shown).split())
    wanted = Counter(
        word for column in table.columns for cell in (column.header, *column.cells) for word in _plain(cell).split()
    )
    return all(there[word] >= number for word, number in wanted.items())


def _plain(cell: object) -> str:
    return cell.plain if isinstance(cell, Text) else cell if isinstance(cell, str) else ""


def _text(cell: object) -> Text:
    return cell if isinstance(cell, Text) else Text(str(cell))


def _rigid(column: Column) -> bool:
    """Whether it holds numbers."""
    return column.justify == "right"


def _widths(columns: Sequence[Column], texts: Sequence[Sequence[Text]], free: int) -> list[int]:
    """How wide each column's text may be: the widest columns of text give way first, down to their longest pieces;
    then those that should stay in one line; then, since a screen is no wider, all, down to a few letters."""
    widths, first, least, floor = [], [], [], []
    for column, cells in zip(columns, texts, strict=True):
        lines = [line for cell in (_text(column.header), *cells) for line in cell.plain.split("\n")]
        widths.append(max(map(cell_len, lines), default=0))
        pieces = [cell_len(piece.rstrip()) for line in lines for piece in _AFTER.findall(line)]
        least.append(widths[-1] if _rigid(column) else min(max(pieces, default=0), widths[-1]))
        first.append(widths[-1] if column.no_wrap else least[-1])
        header = max(map(cell_len, _plain(column.header).split()), default=0)
        floor.append(least[-1] if _rigid(column) else min(max(_FEW, header), least[-1]))
    for bound in (first, least, floor):
        while sum(widths) > free and (able := [at for at, width in enumerate(widths) if width > bound[at]]):
            widths[max(able, key=lambda at: widths[at])] -= 1
    return widths


def _folded(text: Text, width: int) -> Text:
    """`text` in lines of at most `width` cells: between words where they fit, else after separators."""
    made = [line for whole in text.split("\n", allow_blank=True) for line in _lines(whole, width)]
    return Text("\n", style=text.style).join(made) if len(made) > 1 else text


def _lines(text: Text, width: int) -> list[Text]:
    pieces = re.findall(r"\S+\s*|\s+", text.plain)
    if any(cell_len(piece.rstrip()) > width for piece in pieces):
        pieces = [part for piece in pieces for part in _parts(piece, width)]
    cuts, at, used = [], 0, 0
    for piece in pieces:
        if used and used + cell_len(piece.rstrip()) > width:
            cuts.append(at)
            used = 0
        at += len(piece)
        used += cell_len(piece)
    lines = list(text.divide(cuts))
    for line in lines:
        line.rstrip()
    return lines


def _parts(word: str, width: int) -> list[str]:
    if cell_len(word.rstrip()) <= width:
        return [word]
    parts = [part for part in _AFTER.findall(word) if part]
    return [part[at : at + width] for part in parts for at in range(0, len(part), max(width, 1))]


def _built(table: Table, columns: Sequence[Column], rows: Sequence[Sequence[str | Text]], rigid: bool = False) -> Table:
    """A table like `table` of these columns and rows."""
    made = copy.copy(table)
    made.columns, made.rows = [], []
    for column in columns:
        made.add_column(
            column.header, column.footer, header_style=column.header_style, footer_style=column.footer_style,
            style=column.style, justify=column.justify, vertical=column.vertical, overflow=column.overflow,
            width=None if rigid else column.width, min_width=column.min_width,
            max_width=None if rigid else column.max_width, ratio=column.ratio, no_wrap=rigid or column.no_wrap,
        )  # fmt: skip
    for cells, row in zip(rows, table.rows, strict=True):
        made.add_row(*cells, style=row.style, end_section=row.end_section)
    return made


def _measured(screen: Console, table: Table) -> int:
    return Measurement.get(screen, screen.options.update(max_width=_UNLIMITED), table).maximum


def _extra(screen: Console, table: Table) -> int:
    """What borders and space between columns take."""
    natural = 0
    for column in table.columns:
        lines = [line for cell in (column.header, *column.cells) for line in _plain(cell).split("\n")]
        natural += max(map(cell_len, lines), default=0)
    rows = [[_text(cell) for cell in cells] for cells in zip(*(column.cells for column in table.columns), strict=True)]
    return _measured(screen, _built(table, table.columns, rows, rigid=True)) - natural

"""Anybody's panel of prices, from CSV or JSON: rows with a date, a model (or item), a price, perhaps a quantity.

Columns are found by name in any order. A file's rows are the prices at its dates; with `by` they are changes instead,
each of which holds until the model's next row. Rows that cannot be read are counted and located, the others kept.
"""

import csv
import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from farthing.index.panel import Panel, Row, grid
from farthing.problems import FarthingError, Problems
from farthing.time import parse_instant

_COLUMNS = {
    "date": ("date", "day", "period", "month", "time", "at"),
    "model": ("model", "item", "product", "commodity", "name", "id"),
    "price": ("price", "usd", "usd_per_mtok", "price_usd", "p"),
    "quantity": ("quantity", "volume", "tokens", "weight", "q"),
    "provider": ("provider", "host", "outlet"),
}
_NEEDED = ("date", "model", "price")
_THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+(\.\d+)?")
_SMALLEST, _LARGEST = 1e-18, 1e18
"""Prices and quantities beyond are slips, and products of them are more than a float holds."""


def read_panel(path: Path, problems: Problems, by: str | None = None, until: datetime | None = None) -> Panel:
    """The panel in `path`. With `by` ("month", …) on that grid, from the first row to `until` (None: the last row).

    Raises `FarthingError` for a file that cannot be read, lacks a column, or has no good row.
    """
    rows = list(_rows(path))
    if not rows:
        raise FarthingError(f"{path}: no rows; give a header and rows: date, model, price, and perhaps quantity")
    columns = _columns(path, rows)
    cells: dict[tuple[str, str], dict[datetime, tuple[float, float | None]]] = {}
    free = repeated = 0
    for number, row in rows:
        found = _cell(f"{path}:{number}", row, columns, problems)
        if found is None:
            continue
        key, moment, price, quantity = found
        if price == 0:
            free += 1
            continue
        series = cells.setdefault(key, {})
        if moment in series:
            repeated += 1
            if series[moment] != (price, quantity):
                problems.add(
                    f"{path}:{number}",
                    f"a second, different row of {'/'.join(filter(None, key))} at {moment:%Y-%m-%d}",
                    "keep one; the first counts",
                    "second row of a date",
                )
            continue
        series[moment] = (price, quantity)
    if not cells:
        first = f": {problems.kept[0]}" if problems.kept else ""
        gifts = f"; rows with a price of 0: {free}" if free else ""
        raise FarthingError(f"{path}: no row with a date, a model and a price above 0{gifts}{first}")
    notes = [f"{path.name}: {_rows_of(len(rows))} of {len(cells)} offer{'' if len(cells) == 1 else 's'}"]
    if free:
        notes.append(f"left out, as no logarithm has them: {_rows_of(free)} with a price of 0")
    if repeated:
        notes.append(f"left out: {_rows_of(repeated)} for an offer's date that was there; the first one counts")
    ahead = sum(moment > datetime.now(UTC) for series in cells.values() for moment in series)
    if ahead:
        notes.append(f"{_rows_of(ahead)} of days to come: what is planned or expected, not what happened")
    if problems.total:
        notes.append(f"{_rows_of(problems.total)} in doubt, the first: {problems.kept[0]}")
    return _panel(cells, by, until, free, notes)


def _rows_of(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _panel(
    cells: Mapping[tuple[str, str], Mapping[datetime, tuple[float, float | None]]],
    by: str | None,
    until: datetime | None,
    free: int,
    notes: list[str],
) -> Panel:
    stated = sorted({moment for series in cells.values() for moment in series})
    last = until or stated[-1]
    dates = stated if by is None else grid(stated[0], max(last, stated[0] + timedelta(days=1)), by)
    if by is not None:
        notes.append("each row's price holds until the model's next row, and to the end after the last one")
    weighted = all(quantity is not None for series in cells.values() for _, quantity in series.values())
    rows = []
    for (provider, model), series in cells.items():
        at = [_at(series, moment, by is not None) for moment in dates]
        rows.append(
            Row(
                id="/".join(filter(None, (provider, model))),
                item=model,
                prices=tuple(cell[0] if cell else None for cell in at),
                quantities=tuple((cell[1] or 0.0) if cell else 0.0 for cell in at) if weighted else None,
            )
        )
    return Panel(dates=tuple(dates), rows=tuple(rows), free=free, notes=tuple(notes))


def _at(
    series: Mapping[datetime, tuple[float, float | None]], moment: datetime, holds: bool
) -> tuple[float, float | None] | None:
    if not holds:
        return series.get(moment)
    before = [start for start in series if start <= moment]
    return series[max(before)] if before else None


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise FarthingError(f"{path}: not UTF-8 text; give CSV or JSON") from None
    except OSError as error:
        raise FarthingError(f"{path}: cannot be read: {error.strerror or error}") from None
    if text.lstrip()[:1] == "[":
        try:
            found = json.loads(text)
        except ValueError as error:
            raise FarthingError(f"{path}: not JSON: {error}") from None
        yield from ((number, row if isinstance(row, dict) else {}) for number, row in enumerate(found, 1))
        return
    header = next((line for line in text.splitlines() if line.strip()), "")
    reader = csv.DictReader(io.StringIO(text), delimiter=max(",;\t", key=header.count))
    try:
        for row in reader:
            yield reader.line_num, {str(key).strip(): value for key, value in row.items() if isinstance(key, str)}
    except csv.Error as error:
        raise FarthingError(f"{path}:{reader.line_num}: not CSV: {error}") from None


def _columns(path: Path, rows: list[tuple[int, Mapping[str, object]]]) -> dict[str, str]:
    names = list(dict.fromkeys(name for _, row in rows for name in row))
    plain = {name.strip().casefold().replace(" ", "_"): name for name in reversed(names)}
    found = {what: next((plain[key] for key in keys if key in plain), "") for what, keys in _COLUMNS.items()}
    for what in _NEEDED:
        if not found[what]:
            raise FarthingError(f"{path}: no column called {what}; its columns are: {', '.join(names) or 'none'}")
    return found


def _cell(
    place: str, row: Mapping[str, object], columns: Mapping[str, str], problems: Problems
) -> tuple[tuple[str, str], datetime, float, float | None] | None:
    def text(what: str) -> str:
        value = row.get(columns[what]) if columns[what] else None
        return "" if value is None else str(value).strip()

    model = text("model")
    if not model:
        problems.add(place, "names no model", "fill in its column", "no model")
        return None
    moment = _day(text("date"))
    if moment is None:
        problems.add(place, f"{text('date')!r} is not a date", "write 2024-07-18", "not a date")
        return None
    price = _number(text("price"))
    if price is None:
        problems.add(place, f"{text('price')!r} is not a price (0, or 1e-18 to 1e18)", "write 0.60", "not a price")
        return None
    quantity = None
    if columns["quantity"] and text("quantity"):
        quantity = _number(text("quantity"))
        if quantity is None:
            problems.add(place, f"{text('quantity')!r} is not a quantity of at least 0", "write 1200", "not a quantity")
            return None
    return (text("provider"), model), moment, price, quantity


def _day(text: str) -> datetime | None:
    for written in (text, f"{text}-01"):  # a month alone is its first day
        try:
            return parse_instant(written)
        except ValueError:
            continue
    try:
        return datetime.combine(date.fromisoformat(text[:10]), datetime.min.time(), UTC)
    except ValueError:
        return None


def _number(text: str) -> float | None:
    """The number, or None. A comma parts thousands ("1,200.50"); "1,5" may be one and a half or a slip: neither."""
    plain = text.lstrip("$")
    try:
        found = float(plain.replace(",", "") if _THOUSANDS.fullmatch(plain) else plain)
    except ValueError:
        return None
    return found if found == 0 or (math.isfinite(found) and _SMALLEST <= found <= _LARGEST) else None

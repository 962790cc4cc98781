"""Rows of the index as CSV: a file, or the screen."""

import csv
import io
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from farthing.files import write_whole


def write_csv(rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Write `rows` to `out` ("-": the screen), all of it or nothing. Raises `FarthingError` where it cannot.

    The columns are those of any row, in the order in which they first come. Unknown is an empty cell, never 0;
    a list is its members with a semicolon between.
    """
    text = csv_text(rows)
    if str(out) == "-":
        sys.stdout.write(text)
    else:
        write_whole(out, text)


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of `write_csv` as text, with a line for the names."""
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\n")
    names = columns(rows)
    if names:
        writer.writerow(names)
    writer.writerows([plain(row.get(name)) for name in names] for row in rows)
    return made.getvalue()


def columns(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The names of the columns, in the order in which rows first use them."""
    return list(dict.fromkeys(name for row in rows for name in row))


def plain(value: Any) -> str:
    """A cell: digits as they are, words as they are."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {plain(part)}" for name, part in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "; ".join(plain(part) for part in value)
    return str(value)


def history_rows(view: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each price of each line."""
    return [
        {"id": line["id"], "provider": line["provider"], "model": line["model"], "mix": view["mix"], **point}
        for line in view["lines"]
        for point in line["points"]
    ]

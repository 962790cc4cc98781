"""Reading our own TOML strictly: every key is known, every error names its line and its repair.

`tomllib` gives values and no lines. `_lines` finds, in the text, the line of each table header and
of each key; a key inside an inline table is placed at the statement that holds it.
"""

import difflib
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import NoReturn

from farthing.problems import FarthingError
from farthing.time import aware

Path = tuple[str | int, ...]
_MOST_DIGITS = 30  # before or after the point

_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}'  # strings of several lines
    r'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\''  # strings of one line
    r"|#[^\n]*|[\[\]{}\n]|[^\[\]{}\n#\"']+",
    re.DOTALL,
)
_KEY = re.compile(r'\s*(?:"((?:\\.|[^"\\])*)"|\'([^\']*)\'|([A-Za-z0-9_-]+))\s*(\.?)')


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each statement of a TOML text with the line it starts on (a value may span lines)."""
    line, start, depth, parts = 1, 1, 0, list[str]()
    for token in _TOKEN.findall(text):
        if token == "\n" and depth <= 0:
            yield start, "".join(parts).strip()
            parts.clear()
            depth = 0
        elif not token.startswith("#"):
            if not parts and token.strip():
                start = line
            depth += (token in ("[", "{")) - (token in ("]", "}"))
            if parts or token.strip():
                parts.append(token)
        line += token.count("\n")
    yield start, "".join(parts).strip()


def _key(text: str) -> list[str]:
    """The parts of the (dotted, perhaps quoted) key that `text` starts with."""
    parts, at = [], 0
    while found := _KEY.match(text, at):
        parts.append(found[1] or found[2] or found[3] or "")
        at = found.end()
        if not found[4]:
            break
    return parts


def _lines(text: str) -> dict[Path, int]:
    """The line of every table header and key of a valid TOML document, by path ("offer", 0, "price", …)."""
    lines: dict[Path, int] = {(): 1}
    counts: dict[Path, int] = {}

    def resolve(parts: list[str]) -> Path:
        path: Path = ()
        for part in parts:
            path = (*path, part)
            if path in counts:
                path = (*path, counts[path] - 1)
        return path

    table: Path = ()
    for line, statement in _statements(text):
        if statement.startswith("[["):
            parts = _key(statement[2:])
            array = (*resolve(parts[:-1]), *parts[-1:])
            counts[array] = counts.get(array, 0) + 1
            table = (*array, counts[array] - 1)
        elif statement.startswith("["):
            table = resolve(_key(statement[1:]))
        elif statement:
            parts = _key(statement)
            for stop in range(1, len(parts) + 1):
                lines.setdefault((*table, *parts[:stop]), line)
            continue
        else:
            continue
        for stop in range(1, len(table) + 1):
            lines.setdefault(table[:stop], line)
    return lines


class Document:
    """A parsed TOML text that knows the lines of its keys. `place` is what errors call the file."""

    def __init__(self, text: str, place: str) -> None:
        """Raises `FarthingError` with FILE:LINE for text that is not TOML (a duplicate key included)."""
        self.place = place
        text = text.replace("\r\n", "\n")
        try:
            self.root = tomllib.loads(text, parse_float=Decimal)
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"\(at line (\d+), column \d+\)", str(error))
            line = found[1] if found else str(text.count("\n") + 1)
            reason = str(error)[: found.start() if found else None].strip()
            if "overwrite" in reason or "declare" in reason:
                reason = f"duplicate key or table: {reason[:1].lower()}{reason[1:]}; remove one of the two"
            raise FarthingError(f"{place}:{line}: {reason}") from None
        except (ValueError, RecursionError) as error:  # a number or date that Python cannot hold
            raise FarthingError(f"{place}: {error}") from None
        self.lines = _lines(text)

    def table(self) -> "Table":
        return Table(self, (), self.root)

    def fail(self, path: Path, reason: str, repair: str = "") -> NoReturn:
        """Raise `FarthingError` at the line of `path`, or of the nearest enclosing key that has one."""
        while path not in self.lines:
            path = path[:-1]
        text = reason + (f" ({repair})" if repair else "")
        one_line = " ".join(text.split())  # a value that it shows may hold line breaks
        raise FarthingError(f"{self.place}:{self.lines[path]}: {one_line}")


class Table:
    """One TOML table, read key by key. `finish` refuses the keys that nobody asked for."""

    def __init__(self, document: Document, path: Path, values: dict[str, object]) -> None:
        self.document = document
        self.path = path
        self.values = values
        self.known: list[str] = []

    def __contains__(self, key: str) -> bool:
        self.known.append(key)
        return key in self.values

    def fail(self, key: str | None, reason: str, repair: str = "") -> NoReturn:
        """Raise `FarthingError` at the line of `key`, or of this table."""
        self.document.fail(self.path if key is None else (*self.path, key), reason, repair)

    def need(self, key: str, repair: str = "") -> None:
        if key not in self:
            self.fail(None, f"{key!r} is missing", repair)

    def finish(self) -> None:
        """Refuse unknown keys, with the nearest known one."""
        known = set(self.known)
        for key in self.values:
            if key not in known:
                near = difflib.get_close_matches(key, sorted(known), 1)
                repair = f"did you mean {near[0]!r}?" if near else "known here: " + ", ".join(sorted(known))
                self.fail(key, f"unknown key {key!r}", repair)

    def text(self, key: str) -> str | None:
        if key not in self:
            return None
        value = self.values[key]
        if not isinstance(value, str) or not value.strip():
            self.fail(key, f"{key!r} is {_shown(value)}, not text", f'write {key} = "…"')
        return value

    def needed_text(self, key: str, repair: str = "") -> str:
        self.need(key, repair or f'write {key} = "…"')
        return self.text(key) or ""

    def choice(self, key: str, choices: tuple[str, ...]) -> str | None:
        value = self.text(key)
        if value is not None and value not in choices:
            self.fail(key, f"{key!r} is {value!r}", "one of " + ", ".join(choices))
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        if key not in self:
            return ()
        value = self.values[key]
        if not isinstance(value, list) or not value or not all(isinstance(one, str) and one for one in value):
            self.fail(key, f"{key!r} is {_shown(value)}, not a list of texts", f'write {key} = ["…", "…"]')
        return tuple(value)

    def number(self, key: str, *, positive: bool = False) -> Decimal | None:
        """A finite decimal, at least 0 (above 0 with `positive`), digit for digit as written."""
        if key not in self:
            return None
        value = self.values[key]
        if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
            repair = "write it without quotes" if isinstance(value, str) else "write a decimal number such as 2.50"
            self.fail(key, f"{key!r} is {_shown(value)}, not a number", repair)
        number = Decimal(value)
        if not number.is_finite():
            self.fail(key, f"{key!r} is {value}, not a finite number", "leave out what is unknown")
        if number and not -_MOST_DIGITS <= number.adjusted() <= _MOST_DIGITS:  # 1e999999 would never be computed
            self.fail(key, f"{key!r} is {_shown(value)}: absurd", f"between 1e-{_MOST_DIGITS} and 1e{_MOST_DIGITS}")
        if number < 0 or (positive and number == 0):
            self.fail(key, f"{key!r} is {value}; it must be {'above' if positive else 'at least'} 0")
        return number

    def whole(self, key: str, *, least: int = 1) -> int | None:
        if key not in self:
            return None
        value = self.values[key]
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            self.fail(key, f"{key!r} is {_shown(value)}, not a whole number of at least {least}")
        return value

    def flag(self, key: str) -> bool | None:
        if key not in self:
            return None
        value = self.values[key]
        if not isinstance(value, bool):
            self.fail(key, f"{key!r} is {_shown(value)}", "write true or false")
        return value

    def day(self, key: str) -> date | None:
        if key not in self:
            return None
        value = self.values[key]
        if isinstance(value, datetime) or not isinstance(value, date):
            self.fail(key, f"{key!r} is {_shown(value)}, not a date", f"write {key} = 2026-11-01, without quotes")
        return value

    def days(self, key: str) -> frozenset[date]:
        if key not in self:
            return frozenset()
        value = self.values[key]
        days = value if isinstance(value, list) else [value]
        if not days or any(isinstance(day, datetime) or not isinstance(day, date) for day in days):
            self.fail(key, f"{key!r} is {_shown(value)}, not a list of dates", f"write {key} = [2026-12-25]")
        return frozenset(days)

    def instant(self, key: str) -> datetime | None:
        """A UTC instant; a date is its UTC midnight; a time without a zone is refused."""
        if key not in self:
            return None
        value = self.values[key]
        if isinstance(value, datetime):
            try:
                return aware(value)
            except (ValueError, OverflowError) as error:  # no zone; or year 0 or 10000 in UTC
                self.fail(key, str(error))
        if not isinstance(value, date):
            self.fail(key, f"{key!r} is {_shown(value)}, not a date or instant", "write 2026-11-01T00:00:00Z, unquoted")
        return datetime(value.year, value.month, value.day, tzinfo=UTC)

    def sub(self, key: str) -> "Table | None":
        if key not in self:
            return None
        value = self.values[key]
        if not isinstance(value, dict):
            self.fail(key, f"{key!r} is {_shown(value)}, not a table", f"write {key} = {{ … }}")
        return Table(self.document, (*self.path, key), value)

    def subs(self, key: str) -> "tuple[Table, ...]":
        """The tables of an array of tables; a single table counts as one."""
        if key not in self:
            return ()
        value = self.values[key]
        if isinstance(value, dict):
            return (Table(self.document, (*self.path, key), value),)
        if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
            self.fail(key, f"{key!r} is {_shown(value)}, not a list of tables", f"write [[{key}]] or [{{ … }}, …]")
        return tuple(Table(self.document, (*self.path, key, index), one) for index, one in enumerate(value))


def _shown(value: object) -> str:
    """`value` as a person reads it in an error; long ones are cut."""
    text = value.isoformat() if isinstance(value, date) else str(value) if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"

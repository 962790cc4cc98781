"""Anybody's series of prices: models with a date, a price and perhaps scores, from CSV or JSON.

Columns are found by name, in any order and spelling ("Release Date", "USD per 1M Tokens", "benchmark_score"). A file
may be long (a score column, perhaps a benchmark column) or wide (a column for each benchmark). Rows that cannot be
read are counted and located; the good ones are kept beside them.
"""

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec

from farthing.index.decline import Point
from farthing.problems import FarthingError, Problems

Row = Mapping[str, object]
_NAMES = {
    "date": ("date", "releasedate", "released", "release", "start", "day", "month", "time", "when"),
    "price": ("price", "usdper1mtokens", "usdpermtok", "usdpermilliontokens", "pricepermilliontokens", "priceusd",
              "usd", "blendedprice", "blended", "priceper1mtokens", "cost"),
    "input": ("input", "inputprice", "inputusdpermtok", "priceinput", "inputcost", "inputpriceper1mtokens"),
    "output": ("output", "outputprice", "outputusdpermtok", "priceoutput", "outputcost", "outputpriceper1mtokens"),
    "score": ("score", "benchmarkscore", "value", "accuracy", "performance", "result"),
    "model": ("model", "modelname", "name", "id", "modelid"),
    "benchmark": ("benchmark", "bench", "task", "eval"),
    "provider": ("provider", "host", "apiprovider", "organization", "organisation"),
}  # fmt: skip
_WORDED = ("%d %B %Y", "%d %b %Y", "%B %d, %Y", "%b %d, %Y", "%Y/%m/%d", "%Y%m%d")
_MONTHS = ("%Y-%m", "%B %Y", "%b %Y", "%Y/%m")
_EMPTY = {"", "nan", "na", "n/a", "none", "null", "-"}
_AMOUNT = re.compile(r"\$?\s*([+-]?(?:\d{1,3}(?:,\d{3})+|\d*)(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*(?:USD)?")
_LARGEST, _SMALLEST = 1e9, 1e-12
"""Dollars per million tokens: beyond these somebody's units slipped, and a logarithm would believe them."""


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """The points of a file by benchmark (None: the file names none), and what became of its rows."""

    points: dict[str | None, tuple[Point, ...]]
    rows: int
    free: int = 0
    repeated: int = 0
    notes: tuple[str, ...] = ()


def read_points(
    path: Path, problems: Problems, known: Callable[[str], bool], blend: tuple[float, float] = (3, 1)
) -> Series:
    """The points of `path`. `known` says whether a column's name is that of a benchmark; `blend` are the parts of
    input and output where the file states the two prices apart.

    Raises `FarthingError` for a file that cannot be read, has no column of dates or prices, or no row that is good.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise FarthingError(f"{path}: not UTF-8 text; give CSV or JSON") from None
    except OSError as error:
        raise FarthingError(f"{path}: cannot be read: {error.strerror or error}") from None
    as_json = text.lstrip()[:1] in ("[", "{")
    rows = list(_json(path, text) if as_json else _csv(path, text))
    if not rows:
        raise FarthingError(f"{path}: no rows; give a header and rows with date, price, score and model")
    european = not as_json and _delimiter(text) == ";"  # where a semicolon parts cells, a comma may part decimals
    return _Reading(path, problems, blend, rows, known, european).series()


def _csv(path: Path, text: str) -> Iterator[tuple[int, Row]]:
    reader = csv.DictReader(io.StringIO(text), delimiter=_delimiter(text))
    try:
        twice = sorted(name for name, count in Counter(reader.fieldnames or ()).items() if name and count > 1)
        if twice:
            raise FarthingError(f"{path}: two columns are called {twice[0]!r}; leave one, or rename it")
        for row in reader:
            yield reader.line_num, {key: value for key, value in row.items() if isinstance(key, str)}
    except csv.Error as error:
        raise FarthingError(f"{path}:{reader.line_num}: not CSV: {error}") from None


def _delimiter(text: str) -> str:
    header = next((line for line in text.splitlines() if line.strip()), "")
    return max(",;\t|", key=header.count)


def _json(path: Path, text: str) -> Iterator[tuple[int, Row]]:
    try:
        found = json.loads(text)
    except RecursionError:
        raise FarthingError(f"{path}: not a list of points: nested too deeply") from None
    except ValueError:
        try:
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as error:
            raise FarthingError(f"{path}: not JSON: {error}") from None
    if isinstance(found, dict):
        found = next((found[key] for key in ("points", "models", "data", "rows") if key in found), None)
    if not isinstance(found, list) or not any(isinstance(row, dict) for row in found):
        raise FarthingError(f'{path}: not a list of points; write [{{"date": …, "price": …, "model": …}}, …]')
    for number, row in enumerate(found, 1):
        yield number, row if isinstance(row, dict) else {}


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


class _Reading:
    """One file being read: which columns mean what, and what was dropped."""

    def __init__(
        self,
        path: Path,
        problems: Problems,
        blend: tuple[float, float],
        rows: list[tuple[int, Row]],
        known: Callable[[str], bool],
        european: bool,
    ) -> None:
        self.path, self.problems, self.blend, self.rows = path, problems, blend, rows
        self.european = european
        names = list(dict.fromkeys(name for _, row in rows for name in row))
        by_key = {_key(name): name for name in reversed(names)}
        self.columns = {
            what: next((by_key[key] for key in keys if key in by_key), None) for what, keys in _NAMES.items()
        }
        for what, keys in (("date", "date"), ("price", "price, or input and output")):
            if self.columns[what] is None and not (
                what == "price" and self.columns["input"] and self.columns["output"]
            ):
                raise FarthingError(f"{path}: no column of {what}s ({keys}); its columns are: {', '.join(names)}")
        self.wide: list[str] = []
        if self.columns["score"] is None:
            taken = {column for column in self.columns.values() if column}
            self.wide = [name for name in names if name not in taken and known(name)]
        self.free = self.months = self.ahead = 0
        self.today = datetime.now(UTC).date()

    def series(self) -> Series:
        found: dict[str | None, dict[Point, None]] = {}
        repeated = 0
        for number, row in self.rows:
            for benchmark, point in self._points(number, row):
                same = found.setdefault(benchmark, {})
                repeated += point in same
                same[point] = None
        if not found:
            first = f": {self.problems.kept[0]}" if self.problems.kept else ""
            free = f" ({self.free} rows are free or have no score)" if self.free else ""
            raise FarthingError(f"{self.path}: no row with a date, a price above 0 and a score{free}{first}")
        notes = []
        if self.free:
            notes.append(f"{self.free} rows have a price of 0 and were left out: no logarithm has them")
        if repeated:
            notes.append(f"{repeated} rows repeat another")
        if self.months:
            notes.append(f"{self.months} rows state a month only; its first day was taken")
        if self.ahead:
            notes.append(f"{self.ahead} rows are dated after today ({self.today}): no price is known of then")
        return Series(
            points={name: tuple(points) for name, points in found.items()},
            rows=len(self.rows),
            free=self.free,
            repeated=repeated,
            notes=tuple(notes),
        )

    def _points(self, number: int, row: Row) -> Iterable[tuple[str | None, Point]]:
        place = f"{self.path}:{number}"
        day, price = self._day(place, row), self._price(place, row)
        if day is None or price is None:
            return
        if price == 0:
            self.free += 1
            return
        self.ahead += day > self.today
        model = self._text(row, "model") or f"row {number}"
        provider = self._text(row, "provider")
        if self.wide:
            for column in self.wide:
                score = self._score(place, column, row.get(column))
                if score is not None:
                    yield column.strip(), Point(date=day, price=price, model=model, score=score, provider=provider)
            return
        stated = self._text(row, "benchmark")
        scored = self.columns["score"]
        score = self._score(place, scored, row.get(scored)) if scored else None
        if scored and score is None and str(row.get(scored) or "").strip().casefold() not in _EMPTY:
            return  # what it scored is stated and cannot be read: it may be below any threshold
        yield (
            stated or None,
            Point(date=day, price=price, model=model, score=score, provider=provider),
        )

    def _text(self, row: Row, what: str) -> str:
        column = self.columns[what]
        value = row.get(column) if column else None
        return "" if value is None else str(value).strip()

    def _day(self, place: str, row: Row) -> date | None:
        text = self._text(row, "date")
        try:
            return datetime.fromisoformat(text).date()
        except ValueError:
            pass
        for form in (*_WORDED, *_MONTHS):
            try:
                day = datetime.strptime(text, form).date()
            except ValueError:
                continue
            self.months += form in _MONTHS
            return day
        self.problems.add(place, f"{text!r} is not a date", "write 2024-07-18", "not a date")
        return None

    def _price(self, place: str, row: Row) -> float | None:
        if self.columns["price"]:
            return self._number(place, "price", self._text(row, "price"))
        sides = [self._number(place, what, self._text(row, what)) for what in ("input", "output")]
        if sides[0] is None or sides[1] is None:
            return None
        parts = self.blend
        return (parts[0] * sides[0] + parts[1] * sides[1]) / (parts[0] + parts[1])

    def _number(self, place: str, what: str, text: str) -> float | None:
        stated = _AMOUNT.fullmatch(text)  # 1,50 is not: it may be a decimal comma, and is surely not 150
        if stated is None or not any(sign.isdigit() for sign in text) or (self.european and "," in text):
            self.problems.add(place, f"{what} {text!r} is not a number", "write dollars, such as 0.60", f"bad {what}")
            return None
        number = float(stated[1].replace(",", ""))
        if not (number == 0 or _SMALLEST <= number <= _LARGEST):
            self.problems.add(place, f"{what} {text!r} is not a price", "write dollars, such as 0.60", f"bad {what}")
            return None
        return number

    def _score(self, place: str, column: str, value: object) -> float | None:
        text = "" if value is None else str(value).strip()
        if text.casefold() in _EMPTY:
            return None
        try:
            number = float(text.removesuffix("%").strip())
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            self.problems.add(place, f"{column} {text!r} is not a number", "write 86.4", "bad score")
            return None
        return number

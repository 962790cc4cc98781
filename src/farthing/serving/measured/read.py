"""Read measurements from files: every format, each record's own recognised by its fields."""

import csv
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from farthing.problems import FarthingError, Problems
from farthing.serving.measured import aiperf, console, guidellm, inferencex, own, plain, sglang, silicon, vllm
from farthing.serving.measured.base import Reader
from farthing.serving.measured.fields import Refused
from farthing.serving.measured.measurement import Measurement
from farthing.serving.measured.repeats import mark_repeats
from farthing.usage.streams import open_source

READERS: tuple[Reader, ...] = tuple(
    module.READER for module in (own, silicon, guidellm, aiperf, inferencex, sglang, vllm, plain)
)
"""Every reader in the order of recognition; the plain one, which fits the loosest, comes last."""

_SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".json.gz", ".jsonl.gz", ".csv.gz", ".json.zst", ".csv.zst")
_LARGEST = 1 << 30
_NEXT = re.compile(r"^[{\[]", re.MULTILINE)
Place = str | os.PathLike[str]


def read_measurements(paths: Place | Sequence[Place]) -> tuple[list[Measurement], Problems]:
    """The measurements of `paths` (files, or folders searched for JSON and CSV), and what could not be read.

    A measurement repeated under another label (same load, same times) is kept with a doubt. Raises
    `FarthingError` for a path that is not there, and for a named file of no known format.
    """
    chosen = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    if not chosen:
        raise FarthingError("no file is given")
    problems = Problems()
    found: list[Measurement] = []
    for path, named in _files(chosen):
        found.extend(_of_file(path, named, problems))
    return mark_repeats(found), problems


def _of_file(path: Path, named: bool, problems: Problems) -> list[Measurement]:
    found: list[Measurement] = []
    recognised, stranger, before = False, "", problems.total
    for record, place in _records(path, problems):
        reader = _reader(record)
        if reader is not None:
            recognised = True
            found.extend(_measured(reader, record, place, problems))
        else:
            stranger = stranger or _unknown(record)
            problems.add(place, _unknown(record), "leave it out, or name its fields", "record of no known format")
    if named and not recognised:
        if problems.total > before and not stranger:
            raise FarthingError(str(problems.kept[-1]))
        raise FarthingError(f"{path}: {stranger or 'nothing in it is a result'} ({_choices()})")
    return found


def _reader(record: Any) -> Reader | None:
    if not isinstance(record, dict):
        return None
    try:
        return next((reader for reader in READERS if reader.fits(record)), None)
    except Refused:  # text in a latency's place: the plain reader says which
        return plain.READER


def _measured(reader: Reader, record: Any, place: str, problems: Problems) -> Iterator[Measurement]:
    try:
        parts = list(reader.parts(record, place))
    except Refused as fault:
        problems.add(place, str(fault), fault.repair, fault.kind)
        return
    for part, source in parts:
        try:
            yield reader.read(part, source)
        except Refused as fault:
            problems.add(source, f"{reader.name}: {fault}", fault.repair, f"{reader.name}: {fault.kind}")


def _files(paths: Iterable[Place]) -> Iterator[tuple[Path, bool]]:
    """Each file once, with whether it was named itself."""
    done: set[Path] = set()
    for name in paths:
        path = Path(name)
        if not str(name) or not path.exists():
            raise FarthingError(f"{path}: there is no such file" if str(name) else "the name of a file is empty")
        inside = sorted(p for p in path.rglob("*") if p.name.lower().endswith(_SUFFIXES)) if path.is_dir() else [path]
        for file in inside:
            if file.resolve() not in done:
                done.add(file.resolve())
                yield file, file == path


def _records(path: Path, problems: Problems) -> Iterator[tuple[Any, str]]:
    """The records of a file with their places: JSON values, one after another or in a list; the summaries in a log;
    or the rows of a table.
    """
    with open_source(path, problems) as opened:
        content = opened.stream.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        problems.add(str(path), "larger than 1 GiB", "give the summary, not the single requests", "too large")
        return
    try:
        content_text = content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        problems.add(str(path), f"not UTF-8: {fault.reason}", "save the file as UTF-8", "not UTF-8")
        return
    if content_text.lstrip()[:1] in ("{", "["):
        yield from _json(content_text, path, problems)
    elif console.TITLE in content_text:
        yield from ((record, f"{path}:{line}") for record, line in console.summaries(content_text))
    else:
        yield from _table(content_text, path)


def _json(content: str, path: Path, problems: Problems) -> Iterator[tuple[Any, str]]:
    decoder = json.JSONDecoder()
    at, line, counted = 0, 1, 0
    while True:
        while at < len(content) and content[at].isspace():
            at += 1
        if at >= len(content):
            return
        line, counted = line + content.count("\n", counted, at), at
        place = f"{path}:{line}"
        try:
            value, at = decoder.raw_decode(content, at)
        except (json.JSONDecodeError, RecursionError) as fault:
            reason = getattr(fault, "msg", "nested too deeply")
            problems.add(place, f"not JSON: {reason}", "mend or remove the line", "broken JSON")
            # The next record of a file of lines; what is indented lies inside the broken one.
            again = _NEXT.search(content, at + 1)
            if again is None:
                return
            at = again.start()
            continue
        if isinstance(value, list):
            yield from ((one, f"{place}[{position}]") for position, one in enumerate(value, 1))
        else:
            yield value, place


def _table(content: str, path: Path) -> Iterator[tuple[Any, str]]:
    first = content.lstrip().partition("\n")[0]
    separator = max(",;\t", key=first.count)
    rows = csv.DictReader(io.StringIO(content, newline=""), delimiter=separator, skipinitialspace=True)
    if not rows.fieldnames or len(rows.fieldnames) < 2:
        return
    rows.fieldnames = [name.strip() for name in rows.fieldnames]
    for row in rows:
        yield (
            {name: value for name, value in row.items() if name and value not in (None, "")},
            f"{path}:{rows.line_num}",
        )


def _unknown(record: Any) -> str:
    if not isinstance(record, dict):
        return f"a bare {type(record).__name__} is no result"
    if not record:
        return "an empty record"
    return f"no known result format (fields {', '.join(map(str, list(record)[:5]))}{', …' * (len(record) > 5)})"


def _choices() -> str:
    names = ", ".join(reader.name for reader in READERS if reader is not plain.READER)
    return f"known: {names}; or a table or JSON with {plain.READER.wants}"

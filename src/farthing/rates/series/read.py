"""Reading a series: which files are snapshots, of which day and source, and what is wrong with them.

A snapshot's day is in its file's name, or in its folder's, or in a manifest (`series.toml`); the day a file was
written to this disk says nothing about prices, and is never taken.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from farthing.problems import FarthingError, Problem
from farthing.rates.feeds import READERS
from farthing.rates.feeds.base import Imported, read_json
from farthing.rates.series import genai_release
from farthing.rates.series.snapshot import Snapshot, snapshot_of
from farthing.rates.toml_table import Document

MANIFEST = "series.toml"
_DAY = re.compile(r"(?<!\d)(20\d\d)([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d)")
_SUFFIXES = (".json", ".py")
_GENAI = "genai-prices"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the series: its day (None: nobody says), source ("" : its format's name), release ("": none)."""

    path: Path
    day: date | None
    source: str = ""
    release: str = ""
    why_not: str = ""


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """Snapshots by source, each source's in order of days, no two of one day.

    `problems` are what could not be read or trusted; `notes` what was read otherwise than it stood there.
    """

    snapshots: dict[str, tuple[Snapshot, ...]]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    files: int


def read_series(
    paths: Sequence[Path], feed: str | None = None, done: Callable[[int, int], None] = lambda one, of: None
) -> Series:
    """The snapshots in `paths`: files, and folders with all that is under them. `done` is told how far it is.

    Raises `FarthingError` where there is no path, none holds a file, or not one file is a dated price list.
    """
    entries = _entries(paths)
    read = [_File(entry, feed) for entry in entries]
    problems = [problem for one in read for problem in one.problems]
    good = _one_a_day([one for one in read if one.usable], problems)
    _lend_providers(good)
    by_source: dict[str, list[Snapshot]] = {}
    unchanged: Counter[str] = Counter()
    of, at = sum(map(len, good.values())), 0
    for source, files in good.items():
        seen: set[str] = set()
        for one in files:
            at += 1
            done(at, of)
            if one.digest in seen:
                unchanged[source] += 1
                continue
            snapshot = one.snapshot(problems)
            if snapshot is not None:
                by_source.setdefault(source, []).append(snapshot)
                seen.add(one.digest)
    if not by_source:
        reasons = "; ".join(str(problem) for problem in problems[:3])
        raise FarthingError(f"none of {len(entries):,} files is a dated price list: {reasons}")
    notes = [
        f"{source}: {count} files are byte for byte an earlier one; a list that nobody updated proves nothing of a "
        "later day, so its first day counts"
        for source, count in unchanged.items()
    ]
    lent = sorted({one.entry.path.name for files in good.values() for one in files if one.lent})
    if lent:
        notes.append(f"{len(lent)} LiteLLM files name no provider: entries have that of the same entry in another file")
    return Series(
        snapshots={source: tuple(made) for source, made in by_source.items()},
        problems=tuple(problems), notes=tuple(notes), files=len(entries),
    )  # fmt: skip


# --- which files -------------------------------------------------------------------------------


def day_of(name: str) -> date | None:
    """The day that `name` holds: 2024-07-01, 2024_07_01 or 20240701; the last one where there are several."""
    for found in reversed(list(_DAY.finditer(name))):
        try:
            return date(int(found[1]), int(found[3]), int(found[4]))
        except ValueError:  # the 31st of a shorter month
            continue
    return None


def _entries(paths: Sequence[Path]) -> list[Entry]:
    if not paths:
        raise FarthingError("--series needs files, or a folder of files: farthing prices import --series snapshots/")
    found: dict[Path, Entry] = {}
    stated: dict[Path, Entry] = {}
    for path in paths:
        if path.is_dir():
            manifests = sorted(path.rglob(MANIFEST))
            files = [f for f in sorted(path.rglob("*")) if f.suffix in _SUFFIXES and f.is_file()]
        else:
            manifests = [path] if path.suffix == ".toml" else []
            files = [] if manifests else [path]
        for manifest in manifests:
            stated.update(_manifest(manifest))
        for file in files:
            found[file] = Entry(path=file, day=_day_by_name(file, path))
    found.update({path: entry for path, entry in stated.items() if path in found or path.exists()})
    for path in stated:
        found.setdefault(path, Entry(path=path, day=None, why_not="is named in the manifest, and does not exist"))
    if not found:
        raise FarthingError(f"{paths[0]}: holds no price lists; a series is files ending in {' or '.join(_SUFFIXES)}")
    return [found[path] for path in sorted(found)]


def _day_by_name(file: Path, given: Path) -> date | None:
    """The day in the file's name, else in that of the nearest folder, up to the folder that was given."""
    day = day_of(file.stem)
    for folder in file.parents:
        if day is not None or folder == given.parent.parent:
            break
        day = day_of(folder.name)
    return day


def _manifest(path: Path) -> dict[Path, Entry]:
    """The `[[snapshot]]` tables of a manifest: file, date, and perhaps source and release."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FarthingError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    root = Document(text, str(path)).table()
    made = {}
    for table in root.subs("snapshot"):
        file = path.parent / table.needed_text("file")
        table.need("date", "write date = 2024-07-01, the day of the list")
        made[file] = Entry(
            path=file, day=table.day("date"), source=table.text("source") or "", release=table.text("release") or ""
        )
        table.finish()
    root.finish()
    return made


# --- one file ----------------------------------------------------------------------------------


class _File:
    """A file on its way to a snapshot."""

    def __init__(self, entry: Entry, feed: str | None) -> None:
        self.entry = entry
        self.problems: list[Problem] = []
        self.content = b""
        self.digest = ""
        self.feed = ""
        self.data: Any = None
        self.lent = False
        self.usable = False
        if entry.why_not:
            self.problem(entry.why_not)
            return
        try:
            self.content = entry.path.read_bytes()
            self.feed = self.recognised(feed)
        except OSError as error:
            self.problem(f"cannot be read: {error.strerror or error}")
            return
        except FarthingError as error:
            self.problem(_without_place(error, entry.path))
            return
        self.digest = hashlib.sha256(self.content).hexdigest()
        if entry.day is None:
            self.problem(
                "has no date", f"name it 2024-07-01.json, put it in a folder of that name, or list it in {MANIFEST}"
            )
            return
        self.usable = True

    @property
    def source(self) -> str:
        return self.entry.source or self.feed

    @property
    def day(self) -> date:
        assert self.entry.day is not None
        return self.entry.day

    def problem(self, reason: str, repair: str = "") -> None:
        self.problems.append(Problem(str(self.entry.path), reason, repair))

    def recognised(self, feed: str | None) -> str:
        if self.entry.path.suffix == ".py":
            if genai_release.looks_like(self.content):
                return _GENAI
            raise FarthingError("is Python, and not the data of a genai-prices release")
        self.data = self.decoded()
        if genai_release.looks_like_json(self.data):
            return _GENAI
        if feed is not None:
            if feed not in READERS:
                raise FarthingError(f"unknown format {feed!r}; known are {', '.join(READERS)}")
            return feed
        for name, (looks_like, _) in READERS.items():
            if looks_like(self.data):
                return name
        if _is_bare_litellm(self.data):
            return "litellm"
        raise FarthingError(f"is none of the price lists known here ({', '.join(READERS)}, {_GENAI})")

    def decoded(self) -> Any:
        """The JSON, to be recognised by its shape: fast, with floats; the reader of the format reads it exactly."""
        try:
            return msgspec.json.decode(self.content)
        except (msgspec.DecodeError, RecursionError):  # or there is a byte order mark: the strict reader knows
            return read_json(self.content, str(self.entry.path))[0]

    def snapshot(self, problems: list[Problem]) -> Snapshot | None:
        """The snapshot; None (with a problem) for a file whose content is not what its shape promised."""
        place = str(self.entry.path)
        try:
            imported = self.imported(place)
        except FarthingError as error:
            problems.append(Problem(place, _without_place(error, self.entry.path)))
            return None
        if not imported.read:
            problems.append(Problem(place, "holds no entry"))
            return None
        label = self.entry.release or self.entry.path.name
        made, doubles = snapshot_of(imported, self.source, self.day, label, place)
        problems.extend(imported.not_expressed)
        problems.extend(doubles)
        return made

    def imported(self, place: str) -> Imported:
        if self.feed == _GENAI:
            version = self.entry.release or self.day.isoformat()
            reader: Callable[[bytes, str, str], Imported] = genai_release.read_release
            if self.entry.path.suffix == ".json":
                reader = genai_release.read_release_json
            return reader(self.content, place, version)
        return READERS[self.feed][1](self.content, place)


def _without_place(error: FarthingError, path: Path) -> str:
    """What the error says, without the file that the problem names already (but with its line)."""
    text = str(error)
    return text[len(str(path)) :].lstrip(": ") if text.startswith(str(path)) else text


def _one_a_day(files: Iterable[_File], problems: list[Problem]) -> dict[str, list[_File]]:
    """Files by source, in order of days; of several of one day the last by name."""
    by_source: dict[str, dict[date, _File]] = {}
    for one in files:
        days = by_source.setdefault(one.source, {})
        other = days.get(one.day)
        if other is not None and other.digest != one.digest:
            problems.append(
                Problem(str(other.entry.path), f"another {one.source} list of {one.day} says something else: "
                        f"{one.entry.path.name}, which counts", "keep one, or name their sources in " + MANIFEST)
            )  # fmt: skip
        days[one.day] = one
    return {source: [days[day] for day in sorted(days)] for source, days in sorted(by_source.items())}


# --- LiteLLM lists without providers -----------------------------------------------------------


def _is_bare_litellm(data: object) -> bool:
    """Whether `data` has LiteLLM's price keys, but for the provider (as tokencost shipped them early in 2024)."""
    return isinstance(data, dict) and any(isinstance(v, dict) and "input_cost_per_token" in v for v in data.values())


def _lend_providers(by_source: dict[str, list[_File]]) -> None:
    """Give entries without a provider that of the same entry in the nearest later file of the series, else earlier."""
    files = sorted((f for fs in by_source.values() for f in fs if f.feed == "litellm"), key=lambda f: f.day)
    known: dict[str, str] = {}
    for one in [*files, *reversed(files)]:  # the second time the later ones are known first
        if not isinstance(one.data, dict):
            continue
        bare = [
            n for n, e in one.data.items() if isinstance(e, dict) and not isinstance(e.get("litellm_provider"), str)
        ]
        for name, entry in one.data.items():
            if isinstance(entry, dict) and isinstance(entry.get("litellm_provider"), str):
                known[name] = entry["litellm_provider"]
        if any(name in known for name in bare) and any("litellm_provider" not in one.data[n] for n in bare):
            one.lent = one.lent or _lend(one, bare, known)


def _lend(one: _File, bare: Iterable[str], known: dict[str, str]) -> bool:
    # Through floats: the shortest text of a number read from text is that text again.
    data = json.loads(one.content)
    for name in bare:
        if name in known:
            data[name]["litellm_provider"] = known[name]
            one.data[name]["litellm_provider"] = known[name]
    one.content = json.dumps(data).encode()
    return True

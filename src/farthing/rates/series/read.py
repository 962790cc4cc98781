"""Reading a series: which files are snapshots, of which source, and what is wrong with them."""

import gc
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from farthing.problems import FarthingError, Problem
from farthing.rates.feeds import READERS, litellm
from farthing.rates.feeds.base import Imported, read_json
from farthing.rates.series import genai_release
from farthing.rates.series.entries import MANIFEST, Entry, bytes_of, entries_in
from farthing.rates.series.snapshot import Snapshot, snapshot_of

_GENAI = "genai-prices"


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """Snapshots by source, each source's in order of days, no two of one day.

    `problems` are what could not be read or trusted; `notes` what was read otherwise than it stood there.
    """

    snapshots: dict[str, tuple[Snapshot, ...]]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    files: int


def read_series(
    paths: Sequence[Path],
    feed: str | None = None,
    done: Callable[[int, int], None] = lambda one, of: None,
    until: date | None = None,
) -> Series:
    """The snapshots in `paths`: files, and folders with all that is under them. `done` is told how far it is; lists of
    days after `until` (today) are left out, and named.

    Raises `FarthingError` where there is no path, none holds a file, or not one file is a dated price list.
    """
    with _uncollected():
        return _read_series(paths, feed, done, until)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without looking for cycles: millions of objects that hold none are made here, and looking doubles the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _read_series(
    paths: Sequence[Path], feed: str | None, done: Callable[[int, int], None], until: date | None
) -> Series:
    entries = entries_in(paths)
    read = [_File(entry, feed, until) for entry in entries]
    problems = [problem for one in read for problem in one.problems]
    good = _one_a_day([one for one in read if one.usable], problems)
    _lend_providers(good)
    by_source: dict[str, list[Snapshot]] = {}
    unchanged: Counter[str] = Counter()
    of, at = sum(map(len, good.values())), 0
    kept: litellm.Kept = {}
    for source, files in good.items():
        seen: set[str] = set()
        for one in files:
            at += 1
            done(at, of)
            if one.digest in seen:
                unchanged[source] += 1
                continue
            snapshot = one.snapshot(problems, kept)
            if snapshot is not None:
                by_source.setdefault(source, []).append(snapshot)
                seen.add(one.digest)
    if not by_source:
        reasons = "; ".join(str(problem) for problem in problems[:3])
        raise FarthingError(f"none of {_count(len(entries), 'file')} is a dated price list: {reasons}")
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


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


# --- one file ----------------------------------------------------------------------------------


class _File:
    """A file on its way to a snapshot."""

    def __init__(self, entry: Entry, feed: str | None, until: date | None) -> None:
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
            self.content = bytes_of(entry.path)
            self.feed = self.recognised(feed)
        except OSError as error:
            self.problem(f"cannot be read: {error.strerror or error}")
            return
        except FarthingError as error:
            self.problem(_without_place(error, entry.path))
            return
        self.digest = hashlib.sha256(self.content).hexdigest()
        if until is not None and entry.day is not None and entry.day > until:
            self.problem(f"is of {entry.day}, a day that has not come", f"check its name, or its date in {MANIFEST}")
            return
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
        if ".py" in self.entry.path.suffixes[-2:]:
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

    def snapshot(self, problems: list[Problem], kept: litellm.Kept) -> Snapshot | None:
        """The snapshot; None (with a problem) for a file whose content is not what its shape promised."""
        place = str(self.entry.path)
        try:
            imported = self.imported(place, kept)
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

    def imported(self, place: str, kept: litellm.Kept) -> Imported:
        if self.feed == litellm.FEED:
            return litellm.read(self.content, place, kept)
        if self.feed == _GENAI:
            version = self.entry.release or self.day.isoformat()
            reader: Callable[[bytes, str, str], Imported] = genai_release.read_release
            if ".py" not in self.entry.path.suffixes[-2:]:
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

"""The files of a series: what is in folders and manifests, of which day each is, and what a file holds.

A snapshot's day is in its file's name, or in its folder's, or in a manifest (`series.toml`); the day a file was
written to this disk says nothing about prices, and is never taken.
"""

import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import msgspec

from farthing.problems import FarthingError
from farthing.rates.toml_table import Document

MANIFEST = "series.toml"
_DAY = re.compile(r"(?<!\d)(20\d\d)([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d)")
_SUFFIXES = (".json", ".py", ".json.gz", ".py.gz")
_MOST_BYTES = 256 * 2**20
"""A packed file that holds more is no price list (they have some megabytes), and could fill the memory."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the series: its day (None: nobody says), source ("" : its format's name), release ("": none)."""

    path: Path
    day: date | None
    source: str = ""
    release: str = ""
    why_not: str = ""


def day_of(name: str) -> date | None:
    """The day that `name` holds: 2024-07-01, 2024_07_01 or 20240701; the last one where there are several."""
    for found in reversed(list(_DAY.finditer(name))):
        try:
            return date(int(found[1]), int(found[3]), int(found[4]))
        except ValueError:  # the 31st of a shorter month
            continue
    return None


def entries_in(paths: Sequence[Path]) -> list[Entry]:
    """The files in `paths` (files, folders, manifests). Raises `FarthingError` where there is none."""
    if not paths:
        raise FarthingError("--series needs files, or a folder of files: farthing prices import --series snapshots/")
    found: dict[Path, Entry] = {}
    stated: dict[Path, Entry] = {}
    for path in paths:
        if path.is_dir():
            manifests = sorted(path.rglob(MANIFEST))
            files = [f for f in sorted(path.rglob("*")) if f.name.lower().endswith(_SUFFIXES) and not f.is_dir()]
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
        raise FarthingError(f"{paths[0]}: holds no price lists; a series is files ending in {', '.join(_SUFFIXES)}")
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


def bytes_of(path: Path) -> bytes:
    """What the file holds, unpacked if it is packed. Raises `OSError`, and `FarthingError` for a damaged archive."""
    if path.suffix.lower() != ".gz":
        return path.read_bytes()
    import gzip
    import zlib

    try:
        with gzip.open(path) as file:
            content = file.read(_MOST_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise FarthingError(f"is not a whole gzip file: {error}") from None
    if len(content) > _MOST_BYTES:
        raise FarthingError(f"holds more than {_MOST_BYTES >> 20} MiB, so it is no price list")
    return content

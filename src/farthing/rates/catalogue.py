"""The genai-prices catalogue as our offers, from a snapshot where there is one.

Reading the package means importing it: pydantic, an HTTP client, and every price of every provider as objects; 25 MiB
and a quarter of a second, for prices that only change with an upgrade. So what was read once is kept as a file in the
user's cache folder ($XDG_CACHE_HOME/farthing, else ~/.cache/farthing), or in the gateway's data folder.

A snapshot is never stale: its name is a digest of the package's files and of ours that make it. One that is absent,
damaged or cannot be written costs time, nothing else: the package is read. Only `farthing`'s own commands write one,
soon after they started; in a process that runs for days the code may be older than the files that the digest is of.

The file: the length of its head in a line, the head (names, and where each provider's part begins and ends), then the
parts; each is JSON compressed by zlib, whose checksum finds damage.
"""

import os
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from farthing.rates.card import Offer

_PACKAGE = "genai_prices"
_OURS = ("*.py", "usage/*.py", "rates/*.py", "rates/feeds/*.py")
"""The files of ours that a reading depends on (more than it needs, so that none is missing)."""
_KEPT = 8
_YOUNG_S = 3600.0  # whoever made it may be using it, or be writing it still
_LEVEL = 3
_MOST_HEAD = 1 << 24

_places: list[Path] = []
_keeps = False


class ProviderNames(msgspec.Struct, frozen=True, kw_only=True):
    """How requests name a provider, and whose prices hold where it states none of its own.

    The patterns are searched in lower-cased text, and empty where the catalogue has none: `pattern` in
    a provider's name, `model_pattern` in a model's, `api_pattern` (matched at the start) in an address.
    """

    id: str
    title: str
    pattern: str = ""
    model_pattern: str = ""
    api_pattern: str = ""
    fallbacks: tuple[str, ...] = ()


class _Head(msgspec.Struct, frozen=True):
    names: tuple[ProviderNames, ...]
    ends: tuple[int, ...]
    """Where each provider's part ends, counted from the end of the head."""


class _Snapshot(msgspec.Struct, frozen=True):
    path: Path
    begin: int
    head: _Head

    def offers(self, provider: str) -> "list[Offer]":
        """The offers of a provider. Raises `_Damaged`."""
        ids = [names.id for names in self.head.names]
        place = ids.index(provider)
        start = self.head.ends[place - 1] if place else 0
        try:
            with self.path.open("rb") as file:
                file.seek(self.begin + start)
                packed = file.read(self.head.ends[place] - start)
            return _decoder().decode(zlib.decompress(packed))
        except (OSError, zlib.error, msgspec.MsgspecError) as error:
            raise _Damaged from error


class _Damaged(Exception):
    pass


@cache
def _decoder() -> "msgspec.json.Decoder[list[Offer]]":
    from farthing.rates.card import Offer

    return msgspec.json.Decoder(list[Offer])


# --- reading -----------------------------------------------------------------------------------


def provider_names() -> Sequence[ProviderNames]:
    """The catalogue's providers, in its order: the first whose pattern is found is meant."""
    found = _snapshot()
    if found is not None:
        return found.head.names
    from farthing.rates.feeds.genai import provider_names as read

    return read()


def offers(provider: str) -> "list[Offer]":
    """The catalogue's offers of a provider (an id), in its order: a name's first pattern is the one it would choose.

    Raises `FarthingError` naming the nearest one for a provider that is not in it.
    """
    for _ in range(2):  # the second time it is a new one, if it can be made
        found = _snapshot()
        if found is None or all(names.id != provider for names in found.head.names):
            break
        try:
            return found.offers(provider)
        except _Damaged:
            _snapshot.cache_clear()
            with suppress(OSError):
                found.path.unlink()
    from farthing.rates.feeds.genai import load

    return load(provider).offers


@cache
def _snapshot() -> _Snapshot | None:
    """The snapshot that fits this installation; made here, where that is allowed and there is none."""
    name = _name()
    if name is None:
        return None
    for folder in _folders():
        found = _open(folder / name)
        if found is not None:
            return found
    if not _keeps:
        return None
    for folder in _folders():
        found = _make(folder, name)
        if found is not None:
            return found
    return None


def _open(path: Path) -> _Snapshot | None:
    try:
        with path.open("rb") as file:
            length = int(file.readline(16))
            if not 0 < length < _MOST_HEAD:
                return None
            head = msgspec.json.decode(zlib.decompress(file.read(length)), type=_Head)
            begin = file.tell()
            whole = begin + (head.ends[-1] if head.ends else 0) == os.fstat(file.fileno()).st_size
    except (OSError, ValueError, zlib.error, msgspec.MsgspecError):
        return None
    return _Snapshot(path, begin, head) if whole and len(head.ends) == len(head.names) else None


# --- making ------------------------------------------------------------------------------------


def keep() -> None:
    """From now on a snapshot is made where there is none. For a process that has just started, and ends soon."""
    global _keeps
    _keeps = True


def prepare(folder: Path) -> Callable[[], None]:
    """See to it that the processes forked after this find a snapshot: in the user's cache folder, or in `folder`.

    Where there is none a process of its own makes it, so that this one stays small; the function given back waits
    for that. To be called while there is one thread. What goes wrong costs time, nothing else.
    """
    global _keeps
    _keeps = False  # neither here nor in what is forked: these live long
    if folder not in _places:
        _places.append(folder)
    _snapshot.cache_clear()
    if _snapshot() is not None:
        return _nothing
    try:
        pid = os.fork()
    except OSError:
        return _nothing
    if not pid:
        try:
            keep()
            _snapshot.cache_clear()
            _snapshot()
        finally:
            os._exit(0)

    def wait() -> None:
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
        _snapshot.cache_clear()
        _snapshot()  # found once for all that are forked

    return wait


def _nothing() -> None:
    return None


def _make(folder: Path, name: str) -> _Snapshot | None:
    """The snapshot, written whole or not at all; None where it cannot be."""
    import tempfile

    made = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix="genai-prices-", suffix=".part", delete=False) as file:
            made = Path(file.name)
            for part in _parts():
                file.write(part)
        if _digest() != name:
            return None  # a file was changed meanwhile
        made.replace(folder / name)
        made = None
        _clear(folder, name)
    except OSError:
        return None
    finally:
        if made is not None:
            with suppress(OSError):
                made.unlink()
    return _open(folder / name)


def _parts() -> Iterator[bytes]:
    """The snapshot's content. The same catalogue gives the same bytes."""
    from farthing.rates.feeds import genai

    names = genai.provider_names()
    by_provider: dict[str, list[Offer]] = {one.id: [] for one in names}
    for offer in genai.load().offers:
        by_provider[offer.provider].append(offer)
    packed = [zlib.compress(msgspec.json.encode(by_provider[one.id], order="deterministic"), _LEVEL) for one in names]
    ends, end = [], 0
    for part in packed:
        end += len(part)
        ends.append(end)
    head = zlib.compress(msgspec.json.encode(_Head(tuple(names), tuple(ends))), _LEVEL)
    yield b"%d\n" % len(head)
    yield head
    yield from packed


def _clear(folder: Path, name: str) -> None:
    """Remove what other versions left, but for the newest: several installations may share the folder."""
    found = []
    for path in folder.glob("genai-prices-*"):
        with suppress(OSError):
            if path.name != name:
                found.append((path.stat().st_mtime, path))
    for made_s, path in sorted(found, reverse=True)[_KEPT - 1 :]:
        with suppress(OSError):
            if made_s < time.time() - _YOUNG_S:
                path.unlink()


def _folders() -> list[Path]:
    """Where snapshots may be: the user's cache folder, then the places that were named."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", ""))
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", ""))
        if not base.is_absolute():  # as the XDG specification says: then it counts as unset
            base = Path(os.environ.get("HOME", ""), ".cache")
    return [*([base / "farthing"] if base.is_absolute() else []), *_places]


@cache
def _name() -> str | None:
    return _digest()


def _digest() -> str | None:
    """The name of the snapshot of what is installed: a digest of all that makes it. None: there is no telling."""
    import hashlib
    from importlib.util import find_spec

    spec = find_spec(_PACKAGE)
    if spec is None or not spec.origin:
        return None
    root, theirs = Path(__file__).parent.parent, Path(spec.origin).parent
    digest = hashlib.sha256(f"{sys.version_info[:2]} {msgspec.__version__}".encode())
    try:
        found = [path for glob in _OURS for path in sorted(root.glob(glob))]
        for path in [*found, *sorted(theirs.glob("*.py"))]:
            content = path.read_bytes()
            digest.update(b"%s %d\n" % (path.name.encode(), len(content)))
            digest.update(content)
    except OSError:
        return None
    if not found:
        return None  # there is only compiled code
    return f"genai-prices-{digest.hexdigest()[:32]}"

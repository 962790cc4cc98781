"""Virtual keys: what a team hands to its programs in place of a provider's key, with scopes, budgets and an end.

A token is random, shown once and stored as its SHA-256: it has more entropy than can be tried, so a fast hash is
enough, and a look-up by hash tells nothing by the time it takes.
"""

import hashlib
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import msgspec

from farthing.ledger.budgets import LARGEST_USD, NANO, PERIODS, BudgetRef, nano_up
from farthing.ledger.changes import Changes
from farthing.ledger.key_store import KeyRow, KeyStore, SqliteKeys
from farthing.ledger.key_store import KeysUnavailable as KeysUnavailable
from farthing.problems import FarthingError

PREFIX = "fk-"
_TOKEN_BYTES = 32
_LONGEST_TOKEN = 200
_SHOWN = 4
_LONGEST_WORD = 200
_ID = re.compile(r"k_[0-9a-f]{12}")
_FRESH_S = 5.0
_MOST_KNOWN = 20_000


class KeyBudget(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a key may spend in each period (UTC day, ISO week, month, or in all); not `hard`: it only warns."""

    usd: Decimal
    period: str = "month"
    hard: bool = True


class KeyLimits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How fast a key may be used; None: no limit of its own."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None


class KeyDefaults(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a request is put down to where it does not say."""

    feature: str = ""
    request_type: str = ""
    user: str = ""
    segment: str = ""
    tags: Mapping[str, str] = {}


class _Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a row keeps in JSON."""

    tail: str = ""
    team: str = ""
    models: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    budgets: tuple[KeyBudget, ...] = ()
    limits: KeyLimits | None = None
    defaults: KeyDefaults = KeyDefaults()


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A virtual key. `models`, `features`: patterns of what it may be used for; none: anything. `tail`: the last
    characters of its token, to tell tokens apart by. `refs`: its budgets as they are reserved. Times are microseconds
    since 1970."""

    id: str
    name: str
    tail: str = ""
    team: str = ""
    models: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    budgets: tuple[KeyBudget, ...] = ()
    refs: tuple[BudgetRef, ...] = ()
    limits: KeyLimits | None = None
    defaults: KeyDefaults = KeyDefaults()
    created_us: int = 0
    expires_us: int | None = None
    revoked_us: int | None = None

    def state(self, now_us: int) -> str:
        """active, expired or revoked."""
        if self.revoked_us is not None:
            return "revoked"
        return "expired" if self.expires_us is not None and now_us >= self.expires_us else "active"


def _now_us() -> int:
    return time.time_ns() // 1000


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _key(row: KeyRow) -> Key:
    record = msgspec.json.decode(row.record, type=_Record)
    refs = (BudgetRef(f"key:{row.id}", nano_up(Fraction(own.usd)), own.period, own.hard) for own in record.budgets)
    return Key(
        id=row.id, name=row.name, tail=record.tail, team=record.team, models=record.models, features=record.features,
        budgets=record.budgets, refs=tuple(refs), limits=record.limits, defaults=record.defaults,
        created_us=row.created_us, expires_us=row.expires_us, revoked_us=row.revoked_us,
    )  # fmt: skip


# --- for the gateway --------------------------------------------------------------------------------


class Look(msgspec.Struct, frozen=True, gc=False):
    """A look-up: the key (None: there is none), when its token ends, and how long the answer may be used."""

    key: Key | None
    expires_us: int | None
    word: int
    until_s: float


_NOTHING = Look(None, None, -1, float("-inf"))
"""Holds at no time: the words of `Changes` are not negative."""


class KeyRing:
    """The keys as a worker looks them up, used by one thread. A change by any process holds at the next look-up:
    what was found is used only while the word of `Changes.keys` is the same (and for five seconds, lest a process
    that died between its change and its signal go unnoticed)."""

    def __init__(self, folder: Path | str, store: KeyStore | None = None, changes: Changes | None = None) -> None:
        self._store = store or SqliteKeys(Path(folder), create=True)
        self._changes = changes or Changes(folder)
        self._known: dict[str, Look] = {}
        self._any = False
        self._none = _NOTHING

    def find(self, token: str) -> Key | None:
        """The key that `token` opens, if it is neither revoked nor expired. Raises `KeysUnavailable`."""
        return self.look(token).key

    def look(self, token: str) -> Look:
        """What `token` opens now; its key is None where that is nothing. Raises `KeysUnavailable`."""
        word = self._changes.keys  # read before the store is: a change after this look is then seen at the next
        found = self._known.get(token)
        if found is None or found.word != word or time.monotonic() >= found.until_s:
            if not token.startswith(PREFIX) or len(token) > _LONGEST_TOKEN:
                return _NOTHING
            found = self._look(token, word, found)
        if found.expires_us is not None and _now_us() >= found.expires_us:
            return _NOTHING
        return found

    def holds(self, look: Look) -> bool:
        """Whether that look-up would find the same now, without looking: else it is to be made again."""
        return (
            look.word == self._changes.keys
            and time.monotonic() < look.until_s
            and (look.expires_us is None or _now_us() < look.expires_us)
        )

    def _look(self, token: str, word: int, before: Look | None) -> Look:
        until_s = time.monotonic() + _FRESH_S
        digest = _digest(token)
        try:
            row = self._store.by_hash(digest)
            main = row if row is None or row.id == row.key else self._store.by_id(row.key)
        except KeysUnavailable:
            if before is not None and before.word == word:
                return before  # nobody has told of a change
            raise
        if row is None or main is None or row.revoked_us is not None or main.revoked_us is not None:
            found = Look(None, None, word, until_s)
        else:
            ends = [one.expires_us for one in (row, main) if one.expires_us is not None]
            found = Look(_key(main), min(ends, default=None), word, until_s)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[token] = found
        return found

    def any(self) -> bool:
        """Whether there ever was a key (revoking the last one opens no door). Raises `KeysUnavailable`."""
        return self.none() is None

    def none(self) -> Look | None:
        """The look-up that found that there never was a key; None where there was one. Raises `KeysUnavailable`."""
        if not self._any and not self.holds(self._none):
            word, until_s = self._changes.keys, time.monotonic() + _FRESH_S
            self._any = self._store.any()
            self._none = Look(None, None, word, until_s)
        return None if self._any else self._none

    def close(self) -> None:
        """Let go of the store."""
        self._store.close()
        self._changes.close()


# --- for who hands them out -------------------------------------------------------------------------


class Keys:
    """The keys of a data folder, to make and end. The gateway may be running: it knows at once."""

    def __init__(self, folder: Path | str, store: KeyStore | None = None, *, create: bool = False) -> None:
        """`create`: make the folder and its ledger where there is none. Raises `FarthingError`."""
        self._store = store or SqliteKeys(Path(folder), create=create, patient=True)
        self._changes = Changes(folder)

    def create(
        self, name: str, *, team: str = "", models: Sequence[str] = (), features: Sequence[str] = (),
        budgets: Sequence[KeyBudget] = (), limits: KeyLimits | None = None, defaults: KeyDefaults | None = None,
        expires_us: int | None = None,
    ) -> tuple[Key, str]:  # fmt: skip
        """A new key and its token, which is nowhere to be had again. Raises `FarthingError` with one line."""
        now_us = _now_us()
        token = _new_token()
        defaults = defaults or KeyDefaults()
        _check(name, team, models, features, budgets, limits, defaults)
        if expires_us is not None and expires_us <= now_us:
            raise FarthingError(f"key {name!r} would have expired already; give a time to come")
        record = _Record(
            tail=token[-_SHOWN:], team=team, models=tuple(models), features=tuple(features), budgets=tuple(budgets),
            limits=limits, defaults=defaults,
        )  # fmt: skip
        row = KeyRow(
            id=_new_id(), hash=_digest(token), name=name, record=msgspec.json.encode(record).decode(),
            created_us=now_us, expires_us=expires_us,
        )  # fmt: skip
        with self._store.editing():
            if any(key.name == name and key.state(now_us) == "active" for key in self._all()):
                raise FarthingError(
                    f"there is a key {name!r} already; choose another name, or `farthing keys rotate {name}`"
                )
            self._store.put(row)
        self._changes.tell_keys()
        return _key(row), token

    def all(self) -> list[Key]:
        """All keys, the oldest first."""
        return list(self._all())

    def revoke(self, who: str) -> Key:
        """End a key, by id or name; its tokens open nothing from now on. Raises `FarthingError` where there is none."""
        with self._store.editing():
            row = self._living(who)
            ended = msgspec.structs.replace(row, revoked_us=_now_us())
            self._store.put(ended)
        self._changes.tell_keys()
        return _key(ended)

    def rotate(self, who: str, grace_s: float = 0.0) -> tuple[Key, str]:
        """A new token for a key, by id or name. The present one goes on for `grace_s` seconds; without, it and all
        before it end now. Raises `FarthingError` where there is no such living key."""
        now_us = _now_us()
        token = _new_token()
        with self._store.editing():
            row = self._living(who)
            for old in self._store.rows():
                if old.key == row.id != old.id and (not grace_s or (old.expires_us or 0) <= now_us):
                    self._store.remove(old.id)
            record = msgspec.json.decode(row.record, type=_Record)
            record = msgspec.structs.replace(record, tail=token[-_SHOWN:])
            renewed = msgspec.structs.replace(row, hash=_digest(token), record=msgspec.json.encode(record).decode())
            self._store.put(renewed)
            if grace_s:
                until_us = now_us + int(grace_s * 1_000_000)
                self._store.put(
                    KeyRow(id=f"{row.id}~{row.hash.hex()[:12]}", hash=row.hash, name=row.name, record="{}",
                           created_us=now_us, expires_us=until_us)
                )  # fmt: skip
        self._changes.tell_keys()
        return _key(renewed), token

    def _all(self) -> Iterator[Key]:
        return (_key(row) for row in self._store.rows() if row.id == row.key)

    def _living(self, who: str) -> KeyRow:
        """The row of the key called `who`. An id is no name, so nothing is ambiguous but a name that was used again."""
        now_us = _now_us()
        named = [row for row in self._store.rows() if row.id == row.key and who in (row.id, row.name)]
        for row in named:
            if _key(row).state(now_us) == "active":
                return row
        if named:
            raise FarthingError(f"key {who!r} is {_key(named[-1]).state(now_us)} already")
        raise FarthingError(f"there is no key {who!r}; `farthing keys list` shows what there is")

    def close(self) -> None:
        """Let go of the store."""
        self._store.close()
        self._changes.close()

    def __enter__(self) -> "Keys":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _new_token() -> str:
    from secrets import token_urlsafe  # what it imports is nothing that a worker needs

    return PREFIX + token_urlsafe(_TOKEN_BYTES)


def _new_id() -> str:
    from secrets import token_hex

    return f"k_{token_hex(6)}"


def _check(
    name: str, team: str, models: Sequence[str], features: Sequence[str], budgets: Sequence[KeyBudget],
    limits: KeyLimits | None, defaults: KeyDefaults,
) -> None:  # fmt: skip
    """Raise `FarthingError` for what no key can have."""
    words = [("the name", name), ("the team", team), *(("a model", one) for one in models)]
    words += [("a feature", one) for one in features]
    words += [(f"the default {field}", getattr(defaults, field)) for field in ("feature", "request_type", "user")]
    words += [("the default segment", defaults.segment)]
    words += [("a tag", part) for pair in defaults.tags.items() for part in pair]
    for what, word in words:
        if not word.isprintable() or len(word) > _LONGEST_WORD or word != word.strip():
            raise FarthingError(
                f"{what} {word!r} must be at most {_LONGEST_WORD} printable characters, without blanks at its ends"
            )
    if not name or any(not one for one in (*models, *features, *defaults.tags)):
        raise FarthingError("the name of a key, and each of its models, features and tags, must not be empty")
    if _ID.fullmatch(name):
        raise FarthingError(f"the name {name!r} looks like a key's id; choose another")
    for budget in budgets:
        if budget.period not in PERIODS:
            raise FarthingError(f"period {budget.period!r} is not one of {', '.join(PERIODS)}")
        if not budget.usd.is_finite() or not 0 <= budget.usd <= LARGEST_USD or (Fraction(budget.usd) * NANO) % 1:
            raise FarthingError(f"a budget of {budget.usd} USD: must be 0 to {LARGEST_USD:,}, with at most 9 decimals")
    if len({budget.period for budget in budgets}) < len(budgets):
        raise FarthingError("a key has two budgets for one period; give each period once")
    for field, limit in msgspec.structs.asdict(limits).items() if limits else ():
        if limit is not None and not 1 <= limit <= 10**12:
            raise FarthingError(f"{field.replace('_', ' ')} must be at least 1, not {limit}")

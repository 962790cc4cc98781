"""The hot ledger's schema: one SQLite file in WAL mode, and the steps from every released schema to this one.

A row is narrow: what repeats together is told once, in `route` (what was asked of whom and served, under which
price), `caller` (who asked) and `text` (other words), and named by a number. The most usual meters are columns
(NULL and 0 take one byte), the rest is JSON in `more`. Amounts are femtodollars, or a fraction in text (`amounts`).
"""

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from farthing.ledger.place import FILE as FILE
from farthing.ledger.place import Place, identity, make, opening
from farthing.problems import FarthingError

APPLICATION_ID = 0x46524C31  # tells our file from other SQLite files
DAY_US = 86_400_000_000
BUSY_MS = 1_000

OPEN, LOST, DONE, FAILED, CANCELLED = range(5)
STATE_NUMBERS = {"open": OPEN, "lost": LOST, "done": DONE, "failed": FAILED, "cancelled": CANCELLED}
STATE_NAMES = {number: name for name, number in STATE_NUMBERS.items()}
"""A write replaces a row only by a higher state, and only while that row is open or lost."""

ROUTE = (
    "protocol", "surface", "provider", "upstream", "model_asked", "model_served", "tier_asked", "tier_served", "region",
    "price",
)  # fmt: skip
CALLER = ("key", "feature", "request_type", "segment")
COUNTS = ("input", "cache_read", "cache_write", "cache_write_5m", "cache_write_1h", "output", "reasoning")
COLUMNS = (
    "attempt", "request", "number", "state", "batch", "started_us", "took_us", "first_us", "worker", "route", "caller",
    "user", "session", "streamed", "status", "error", "estimated", *COUNTS, "more", "usd", "unknown", "reported_usd",
    "tags", "attrs", "decision", "answer",
)  # fmt: skip
TEXTS = ("worker", "user", "unknown", "tags", "attrs")
"""Columns that hold the number of a `text`."""

_SCHEMA_1 = """
CREATE TABLE schema (version INTEGER PRIMARY KEY, applied_us INTEGER NOT NULL);
CREATE TABLE clock (one INTEGER PRIMARY KEY CHECK (one = 1), batch INTEGER NOT NULL, epoch INTEGER NOT NULL);
INSERT INTO clock VALUES (1, 0, 0);
CREATE TABLE text (id INTEGER PRIMARY KEY, value TEXT NOT NULL UNIQUE);
CREATE TABLE route (
  id INTEGER PRIMARY KEY, protocol TEXT NOT NULL, surface TEXT NOT NULL, provider TEXT NOT NULL,
  upstream TEXT NOT NULL, model_asked TEXT NOT NULL, model_served TEXT NOT NULL, tier_asked TEXT NOT NULL,
  tier_served TEXT NOT NULL, region TEXT NOT NULL, price TEXT NOT NULL,
  UNIQUE (model_served, price, upstream, model_asked, provider, tier_served, tier_asked, region, surface, protocol)
);
CREATE TABLE caller (
  id INTEGER PRIMARY KEY, "key" TEXT NOT NULL, feature TEXT NOT NULL, request_type TEXT NOT NULL,
  segment TEXT NOT NULL, UNIQUE ("key", feature, request_type, segment)
);
CREATE TABLE attempt (
  attempt TEXT PRIMARY KEY, request TEXT NOT NULL, number INTEGER NOT NULL, state INTEGER NOT NULL,
  batch INTEGER NOT NULL, started_us INTEGER NOT NULL, took_us INTEGER, first_us INTEGER, worker INTEGER,
  route INTEGER NOT NULL, caller INTEGER NOT NULL, user INTEGER, session TEXT, streamed INTEGER NOT NULL,
  status INTEGER, error TEXT, estimated INTEGER NOT NULL, input INTEGER, cache_read INTEGER, cache_write INTEGER,
  cache_write_5m INTEGER, cache_write_1h INTEGER, output INTEGER, reasoning INTEGER, more TEXT, usd ANY,
  unknown INTEGER, reported_usd ANY, tags INTEGER, attrs INTEGER, decision TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX open_attempt ON attempt (worker) WHERE state = 0;
CREATE TABLE price (name TEXT PRIMARY KEY, offer TEXT NOT NULL, record TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE day (
  day INTEGER PRIMARY KEY, file TEXT NOT NULL, rows INTEGER NOT NULL, through INTEGER NOT NULL,
  removed INTEGER NOT NULL, sums TEXT NOT NULL, closed_us INTEGER NOT NULL
);
CREATE TABLE dropped_day (day INTEGER PRIMARY KEY, rows INTEGER NOT NULL, dropped_us INTEGER NOT NULL);
CREATE VIEW usage AS SELECT
  a.attempt AS id, a.request, a.number,
  CASE a.state WHEN 0 THEN 'open' WHEN 1 THEN 'lost' WHEN 2 THEN 'done' WHEN 3 THEN 'failed' ELSE 'cancelled' END
    AS state,
  a.started_us, a.took_us, a.first_us, r.provider, r.upstream, r.model_asked, r.model_served, r.tier_asked,
  r.tier_served, r.region, c."key", c.feature, c.request_type, c.segment, u.value AS user, a.session,
  t.value AS tags, x.value AS attrs, a.estimated, a.reported_usd, a.input, a.cache_read, a.cache_write,
  a.cache_write_5m, a.cache_write_1h, a.output, a.reasoning, a.more, d.day IS NOT NULL AS late
FROM attempt a JOIN route r ON r.id = a.route JOIN caller c ON c.id = a.caller
LEFT JOIN text u ON u.id = a.user LEFT JOIN text t ON t.id = a.tags LEFT JOIN text x ON x.id = a.attrs
LEFT JOIN day d ON d.day = a.started_us / 86400000000
WHERE d.day IS NULL OR a.state = 0 OR a.batch > d.through;
"""

_SCHEMA_2 = """
ALTER TABLE attempt ADD COLUMN answer TEXT;
CREATE TABLE purse (id TEXT PRIMARY KEY, spent INTEGER NOT NULL, changed_us INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE lease (
  purse TEXT NOT NULL, worker TEXT NOT NULL, amount INTEGER NOT NULL, PRIMARY KEY (purse, worker)
) STRICT, WITHOUT ROWID;
CREATE INDEX lease_of ON lease (worker);
CREATE TABLE hold (
  attempt TEXT NOT NULL, purse TEXT NOT NULL, amount INTEGER NOT NULL, expires_us INTEGER,
  PRIMARY KEY (attempt, purse)
) STRICT, WITHOUT ROWID;
CREATE INDEX expiring_hold ON hold (purse, expires_us) WHERE expires_us IS NOT NULL;
CREATE TABLE virtual_key (
  id TEXT PRIMARY KEY, hash BLOB NOT NULL UNIQUE, name TEXT NOT NULL, record TEXT NOT NULL,
  created_us INTEGER NOT NULL, expires_us INTEGER, revoked_us INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE wanted (purse TEXT PRIMARY KEY, at_us INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE journal (worker TEXT PRIMARY KEY, through INTEGER NOT NULL) STRICT, WITHOUT ROWID;
DROP VIEW usage;
CREATE VIEW usage AS SELECT
  a.attempt AS id, a.request, a.number,
  CASE a.state WHEN 0 THEN 'open' WHEN 1 THEN 'lost' WHEN 2 THEN 'done' WHEN 3 THEN 'failed' ELSE 'cancelled' END
    AS state,
  a.started_us, a.took_us, a.first_us, r.provider, r.upstream, r.model_asked, r.model_served, r.tier_asked,
  r.tier_served, r.region, c."key", c.feature, c.request_type, c.segment, u.value AS user, a.session,
  t.value AS tags, x.value AS attrs, a.estimated, a.reported_usd, a.input, a.cache_read, a.cache_write,
  a.cache_write_5m, a.cache_write_1h, a.output, a.reasoning, a.more, a.answer, d.day IS NOT NULL AS late
FROM attempt a JOIN route r ON r.id = a.route JOIN caller c ON c.id = a.caller
LEFT JOIN text u ON u.id = a.user LEFT JOIN text t ON t.id = a.tags LEFT JOIN text x ON x.id = a.attrs
LEFT JOIN day d ON d.day = a.started_us / 86400000000
WHERE d.day IS NULL OR a.state = 0 OR a.batch > d.through;
"""
# Amounts of purses, leases and holds are nanodollars. `hold.expires_us`: null while the attempt is open, and its
# hold is then inside its worker's lease. `journal.through`: how far the rows of a worker's journal are in here.

MIGRATIONS: tuple[str, ...] = (_SCHEMA_1, _SCHEMA_2)
"""The view `usage` is what `farthing.usage.readers.ledger` reads: hot rows with their words, less those in Parquet.
Step n makes schema n + 1 of schema n. A released step is never edited; a new one is added."""


def connect(folder: Path, *, create: bool = False, read_only: bool = False) -> sqlite3.Connection:
    """A connection to the hot ledger of `folder`, its schema brought up to date.

    Raises `FarthingError` where there is no ledger, the file is another program's, or of a newer Farthing;
    `sqlite3.Error` where the disk or a lock is in the way.
    """
    return connect_in_place(folder, create=create, read_only=read_only)[0]


def connect_in_place(
    folder: Path, *, create: bool = False, read_only: bool = False
) -> tuple[sqlite3.Connection, Place]:
    """As `connect`, with what tells whether the file is still there."""
    path = folder / FILE
    if not create and not path.is_file():
        raise FarthingError(f"{folder}: no ledger here ({FILE} is missing); --data DIR names the gateway's data folder")
    if create:
        folder.mkdir(parents=True, exist_ok=True)
    with opening(folder, alone=not read_only):
        if create:
            # Names of users and keys are nobody else's business. (SQLite gives its other files the same permissions.)
            # Only where it is not there: to close any handle on a database that this process has open drops SQLite's
            # locks on it (as POSIX has it), and then another process that closes it takes the WAL away with what is in
            # it.
            make(path)
        was = identity(path)
        return _opened(path, read_only), Place(folder, was)


def _opened(path: Path, read_only: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_MS / 1000, isolation_level=None, cached_statements=128, check_same_thread=False
    )
    try:
        if not read_only:
            connection.execute("PRAGMA journal_mode = WAL")
        # FULL: a commit returns after the log is on the disk, so that power loss takes only what was not committed.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 4000")
        if read_only:
            if _version_read(connection, path, len(MIGRATIONS)) < len(MIGRATIONS):
                migrate(connection, path)  # an older release wrote it, and no worker has opened it since
            connection.execute("PRAGMA query_only = ON")
        else:
            migrate(connection, path)
    except sqlite3.DatabaseError as error:
        connection.close()
        if not isinstance(error, sqlite3.OperationalError):
            raise FarthingError(f"{path}: not a ledger of Farthing: {error}") from None
        raise
    except BaseException:
        connection.close()
        raise
    return connection


def version_of(connection: sqlite3.Connection) -> int:
    """The schema version of the file, 0 where it is empty."""
    found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'schema'").fetchone()
    if found is None:
        return 0
    return int(connection.execute("SELECT max(version) FROM schema").fetchone()[0] or 0)


def migrate(connection: sqlite3.Connection, path: Path, steps: Sequence[str] = MIGRATIONS) -> int:
    """Bring the file to the schema of `steps`, whole or not at all; the version that it now has.

    Raises `FarthingError` for a newer schema, or a file that another program made.
    """
    if _version_read(connection, path, len(steps), empty=True) == len(steps):
        return len(steps)
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _refuse_other(connection, path, len(steps), empty=True)  # another process may have been faster
        for number in range(version, len(steps)):
            for statement in steps[number].split(";\n"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute("INSERT INTO schema VALUES (?, ?)", (number + 1, time.time_ns() // 1000))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return len(steps)


def _version_read(connection: sqlite3.Connection, path: Path, newest: int, *, empty: bool = False) -> int:
    """The schema version, as of one moment: another process may make the schema between two looks."""
    connection.execute("BEGIN")
    try:
        return _refuse_other(connection, path, newest, empty=empty)
    finally:
        connection.execute("COMMIT")


def _refuse_other(connection: sqlite3.Connection, path: Path, newest: int, *, empty: bool = False) -> int:
    version = version_of(connection)
    [(application,)] = connection.execute("PRAGMA application_id").fetchall()
    [(tables,)] = connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    if not (application == APPLICATION_ID and version) and (tables or not empty):
        raise FarthingError(f"{path}: a SQLite file, but not a ledger of Farthing; choose another folder")
    if version > newest:
        raise FarthingError(
            f"{path}: its schema is {version}, this Farthing knows up to {newest}; use the newer Farthing that wrote it"
        )
    return version

"""The shared schema in PostgreSQL, and the steps from every released one to this.

An attempt is kept whole, as JSON, beside the few columns that this database decides by; readers ask a data folder, into
which `pull` brings the rows. `changed` is the transaction that last wrote a row, by which `pull` finds what is new.
Amounts of purses, leases and holds are nanodollars.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from farthing.ledger.postgres.connection import connect
from farthing.problems import FarthingError

if TYPE_CHECKING:
    from farthing.ledger.postgres.connection import Connection

SCHEMA = "farthing"
"""The schema (namespace) that holds our tables, so that the database may hold others' too."""
_LOCK = 0x46524C31  # one migration at a time

_STEP_1 = """
CREATE TABLE version (version INTEGER PRIMARY KEY, applied_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp());
CREATE TABLE worker (id TEXT PRIMARY KEY, folder TEXT NOT NULL, seen_us BIGINT NOT NULL, dead BOOLEAN NOT NULL);
CREATE TABLE attempt (
  attempt TEXT PRIMARY KEY, state SMALLINT NOT NULL, worker TEXT NOT NULL, started_us BIGINT NOT NULL,
  changed XID8 NOT NULL, record JSON NOT NULL
);
CREATE INDEX open_attempt ON attempt (worker) WHERE state = 0;
CREATE INDEX changed_attempt ON attempt (changed);
CREATE INDEX started_attempt ON attempt (started_us);
CREATE TABLE price (name TEXT PRIMARY KEY, offer TEXT NOT NULL, record TEXT NOT NULL, changed XID8 NOT NULL);
CREATE TABLE journal (worker TEXT PRIMARY KEY, through BIGINT NOT NULL);
CREATE TABLE purse (id TEXT PRIMARY KEY, spent BIGINT NOT NULL, changed_us BIGINT NOT NULL);
CREATE TABLE lease (purse TEXT NOT NULL, worker TEXT NOT NULL, amount BIGINT NOT NULL, PRIMARY KEY (purse, worker));
CREATE INDEX lease_of ON lease (worker);
CREATE TABLE hold (
  attempt TEXT NOT NULL, purse TEXT NOT NULL, amount BIGINT NOT NULL, expires_us BIGINT, PRIMARY KEY (attempt, purse)
);
CREATE INDEX expiring_hold ON hold (purse, expires_us) WHERE expires_us IS NOT NULL;
CREATE TABLE wanted (purse TEXT PRIMARY KEY, at_us BIGINT NOT NULL);
CREATE TABLE virtual_key (
  id TEXT PRIMARY KEY, hash BYTEA NOT NULL UNIQUE, name TEXT NOT NULL, record TEXT NOT NULL,
  created_us BIGINT NOT NULL, expires_us BIGINT, revoked_us BIGINT
);
CREATE TABLE key_change (one BOOLEAN PRIMARY KEY CHECK (one), number BIGINT NOT NULL);
INSERT INTO key_change VALUES (true, 0);
CREATE TABLE database_id (id TEXT PRIMARY KEY);
INSERT INTO database_id VALUES (gen_random_uuid()::text);
CREATE TABLE archive (one BOOLEAN PRIMARY KEY CHECK (one), folder TEXT NOT NULL, host TEXT NOT NULL);
"""

MIGRATIONS: tuple[str, ...] = (_STEP_1,)
"""Step n makes schema n + 1 of schema n. A released step is never edited; a new one is added."""


def opened(url: str, **more: Any) -> "Connection":
    """A connection to the database at `url`, its schema brought up to date.

    Raises `psycopg.Error` where the server is away, `FarthingError` where the schema is newer or the address none.
    """
    connection = connect(url, **more)
    try:
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def migrate(connection: "Connection", steps: Sequence[str] = MIGRATIONS) -> int:
    """Bring the database to the schema of `steps`, whole or not at all; the version that it now has.

    Raises `FarthingError` for a newer schema, `psycopg.Error` where the server is in the way.
    """
    if _version(connection, len(steps)) == len(steps):
        _use(connection)
        return len(steps)
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        version = _version(connection, len(steps))  # another gateway may have been faster
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}".encode())
        connection.execute(f"SET LOCAL search_path = {SCHEMA}".encode())
        for number in range(version, len(steps)):
            connection.execute(steps[number].encode())
            connection.execute("INSERT INTO version VALUES (%s)", (number + 1,))
    _use(connection)
    return len(steps)


def _use(connection: "Connection") -> None:
    connection.execute(f"SET search_path = {SCHEMA}".encode())


def _version(connection: "Connection", newest: int) -> int:
    """The schema version of the database, 0 where there is none of ours."""
    [(table,)] = connection.execute("SELECT to_regclass(%s)::text", (f"{SCHEMA}.version",)).fetchall()
    if table is None:
        return 0
    [(version,)] = connection.execute(f"SELECT coalesce(max(version), 0) FROM {SCHEMA}.version".encode()).fetchall()
    if version > newest:
        raise FarthingError(
            f"the database's schema is {version}, this Farthing knows up to {newest}; use the newer Farthing "
            "that made it"
        )
    return int(version)

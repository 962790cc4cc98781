"""Connections to the shared database: bounded waits, errors in one line without the password."""

from typing import TYPE_CHECKING, Any

from farthing.problems import FarthingError

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

CONNECT_S = 5
_OPTIONS = {
    "connect_timeout": CONNECT_S,
    # Nothing that we ask takes long; what does must not hold up others' money.
    "options": "-c statement_timeout=10s -c lock_timeout=5s -c idle_in_transaction_session_timeout=30s "
    "-c timezone=UTC -c client_encoding=UTF8",
    "application_name": "farthing",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
NOW_US = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
"""SQL for the database's clock, which all gateways share."""


def connect(url: str, **more: Any) -> "Connection":
    """A connection to the database at `url`. Raises `psycopg.Error` where it cannot be reached.

    Raises `FarthingError` where psycopg is not installed or `url` is none.
    """
    psycopg = driver()
    try:
        made: Connection = psycopg.connect(url, autocommit=True, **{**_OPTIONS, **more})
    except psycopg.ProgrammingError:
        raise FarthingError(
            "the address of the database is none; such as postgresql://USER:PASSWORD@HOST/DATABASE"
        ) from None
    return made


def driver() -> Any:
    """The module psycopg. Raises `FarthingError` where it is not installed."""
    try:
        import psycopg
    except ImportError:
        raise FarthingError("a PostgreSQL ledger needs psycopg: pip install 'farthing[postgres]'") from None
    return psycopg


def reason(error: Exception) -> str:
    """What went wrong, in one line. (The server's messages and psycopg's hold host and user, never the password.)"""
    text = str(error).strip()
    return "the database: " + (text.splitlines()[0] if text else type(error).__name__)

"""Which purses and keys a ledger knows, for those who look at it from outside."""

import sqlite3
from pathlib import Path

from farthing.ledger.bank import BankUnavailable
from farthing.ledger.schema import connect

_PURSES = """
SELECT id FROM purse UNION SELECT purse FROM lease UNION SELECT purse FROM hold ORDER BY 1"""


def known_purses(folder: Path, url: str | None = None) -> list[str]:
    """The ids of all purses in `folder`, or in the database at `url` that it shares. Raises `BankUnavailable`."""
    if url is not None:
        from farthing.ledger.postgres.connection import driver, reason
        from farthing.ledger.postgres.schema import opened

        try:
            with opened(url) as shared:
                return [purse for (purse,) in shared.execute(_PURSES).fetchall()]
        except driver().Error as error:
            raise BankUnavailable(reason(error)) from error
    try:
        own = connect(folder, read_only=True)
        try:
            return [purse for (purse,) in own.execute(_PURSES)]
        finally:
            own.close()
    except sqlite3.Error as error:
        raise BankUnavailable(str(error)) from error


def key_names(folder: Path) -> dict[str, str]:
    """The name of each virtual key by its id, as far as `folder` knows them (of a shared database: its mirror)."""
    own = connect(folder, read_only=True)
    try:
        return {id: name for id, name in own.execute("SELECT id, name FROM virtual_key") if "~" not in id}
    except sqlite3.Error:
        return {}  # names are an addition to what is asked for
    finally:
        own.close()

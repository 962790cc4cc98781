"""Where several gateways share a PostgreSQL database: its address, and its rows brought to the folder that is read."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.problems import FarthingError

if TYPE_CHECKING:
    from farthing.ledger.bank import Bank

VARIABLE = "FARTHING_DATABASE"
Database = Annotated[
    str | None,
    typer.Option(
        "--database-env", metavar="NAME",
        help=f"The variable with the PostgreSQL address that gateways share; else {VARIABLE}.",
    ),
]  # fmt: skip
_FILE, _SHARED = "ledger.sqlite", ("identity", "pulled.json")  # what `ledger.postgres` leaves in a folder


def address(data: Path, name: str | None, *, needed: bool = False) -> str | None:
    """The address of the database that `data` shares with other gateways, None where it is a ledger of its own.

    `name`: the variable that was asked for. `needed`: what is done makes sense only there, where the folder is a
    shared one. Raises `FarthingError` where an address is needed and there is none.
    """
    if name is not None:
        if not (found := os.environ.get(name, "").strip()):
            raise FarthingError(f"--database-env {name}: the variable is not set; export {name}=postgresql://…")
        return _joined(data, found)
    found = os.environ.get(VARIABLE, "").strip()
    if is_shared(data):
        if not found and needed:
            raise FarthingError(
                f"{data}: belongs to a gateway that shares a database; set {VARIABLE}, or name its variable with "
                f"--database-env (if it shares none any more, remove {data / _SHARED[0]})"
            )
        if not found:
            print(
                f"farthing: {data} shares a database whose address is not given ({VARIABLE} is not set): this is "
                "what was last brought over", file=sys.stderr,
            )  # fmt: skip
        return found or None
    if found and (data / _FILE).exists():
        print(
            f"farthing: {data} is a ledger of its own: ${VARIABLE} is left aside (--database-env {VARIABLE} joins "
            "them)", file=sys.stderr,
        )  # fmt: skip
        return None
    return _joined(data, found) if found else None


def is_shared(data: Path) -> bool:
    """Whether rows of a shared database were ever in `data`."""
    return any((data / name).exists() for name in _SHARED)


def _joined(data: Path, url: str) -> str:
    from farthing.ledger.postgres.workers import folder_identity

    try:
        folder_identity(data)
    except OSError as error:
        raise FarthingError(f"{data}: cannot hold a ledger: {error.strerror or error}") from None
    return url


@contextmanager
def bank_of(data: Path, url: str | None) -> "Iterator[Bank]":
    """The budgets of `data`, or of the database at `url` that it shares."""
    bank: Bank
    if url is None:
        from farthing.ledger.bank import SqliteBank

        bank = SqliteBank(data)
    else:
        from farthing.ledger.postgres.bank import PostgresBank

        bank = PostgresBank(url)
    try:
        yield bank
    finally:
        bank.close()


def bring(data: Path, name: str | None) -> None:
    """Bring what is new in the shared database, if there is one, into `data`, which is about to be read."""
    if url := address(data, name):
        from farthing.ledger.postgres.pull import pull

        pull(url, data)


def bring_files(files: Iterable[str]) -> None:
    """The same for those of `files` that are data folders of gateways that share one."""
    for file in files:
        folder = Path(file).parent if Path(file).name == _FILE else Path(file)
        if is_shared(folder) and (folder / _FILE).exists():
            bring(folder, None)

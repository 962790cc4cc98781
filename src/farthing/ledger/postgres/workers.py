"""Which workers of which data folder live: their own folder's locks say it, for other machines' a heartbeat does.

A heartbeat that stops does not tell a dead machine from one that cannot reach the database, and money that is leased to
a worker may be spent by it. So a worker of another folder counts as dead only after `DEAD_AFTER_S` of silence, by the
database's clock; one that was taken for dead gets no money any more (`seen` says so), and must start anew.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from farthing.ledger.postgres.connection import NOW_US

if TYPE_CHECKING:
    from farthing.ledger.postgres.connection import Connection

DEAD_AFTER_S = 900
BEAT_S = 10.0
IDENTITY = "identity"

_SEEN = (
    f"INSERT INTO worker (id, folder, seen_us, dead) VALUES (%s, %s, {NOW_US}, false) "
    "ON CONFLICT (id) DO UPDATE SET seen_us = excluded.seen_us RETURNING dead"
)


def folder_identity(folder: Path) -> str:
    """A name of the data folder that no other has, on whichever machine; made when it is first asked for."""
    path = folder / IDENTITY
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        beside = folder / f"{IDENTITY}.{os.getpid()}.{os.urandom(4).hex()}"
        beside.write_text(os.urandom(16).hex(), "ascii")
        beside.chmod(0o600)
        try:
            os.link(beside, path)
        except FileExistsError:
            pass  # another worker was faster
        finally:
            beside.unlink()
    return path.read_text("ascii")


def seen(connection: "Connection", worker: str, folder: str) -> bool:
    """Say that `worker` of the folder called `folder` lives; False where it was taken for dead."""
    [(dead,)] = connection.execute(_SEEN, (worker, folder)).fetchall()
    return not dead


def dead_workers(connection: "Connection", folder: str, alive: Callable[[str], bool]) -> list[str]:
    """The workers with open attempts or leases that do not live any more.

    `alive` decides for those of the data folder `folder`.
    """
    found = connection.execute(
        f"SELECT n.id, w.folder, w.dead, {NOW_US} - w.seen_us FROM "
        "(SELECT worker AS id FROM attempt WHERE state = 0 UNION SELECT worker FROM lease) n "
        "LEFT JOIN worker w ON w.id = n.id ORDER BY n.id"
    ).fetchall()
    gone = []
    for worker, of, dead, silent_us in found:
        if of is not None and of != folder:
            if dead or silent_us > DEAD_AFTER_S * 1_000_000:
                gone.append(worker)
        elif not alive(worker):
            gone.append(worker)
    return gone


def bury(connection: "Connection", gone: list[str]) -> None:
    """Note that the workers `gone` are dead, and forget those that have been for a day."""
    connection.execute("UPDATE worker SET dead = true WHERE id = ANY(%s)", (gone,))
    connection.execute(
        f"DELETE FROM worker w WHERE dead AND seen_us < {NOW_US} - 86400000000 "
        "AND NOT EXISTS (SELECT 1 FROM lease WHERE worker = w.id)"
    )

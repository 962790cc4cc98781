"""Whether the files that a writer has open are still there."""

import time

from farthing.ledger.journal import Journal
from farthing.ledger.store import Store

LOOK_S = 1.0
"""How often it is looked."""


class Ground:
    """What a writer stands on; used with its lock. `amiss`: what befell the store, which its next write mends.
    `fault`: why the journal has no place, and its rows would not be found."""

    def __init__(self, store: Store, journal: Journal) -> None:
        self._store = store
        self._journal = journal
        self._looked_at = time.monotonic()
        self.amiss = ""
        self.fault = ""

    def look(self, *, parents: bool = False, at_once: bool = False) -> None:
        """Look, if it is time; files of the journal that were taken away are put back."""
        now = time.monotonic()
        if at_once or now - self._looked_at >= LOOK_S:
            self._looked_at = now
            self.amiss = self._store.amiss()
            self.mend_journal(parents)

    def mend_journal(self, parents: bool) -> None:
        """See that what the journal holds is where the next start looks for it. `parents`: make the folders anew."""
        try:
            self._journal.mend(parents=parents)
            self.fault = ""
        except OSError as fault:
            self.fault = f"the journal: {fault.strerror or fault}"

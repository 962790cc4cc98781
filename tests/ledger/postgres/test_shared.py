"""What several gateways share beside rows and money: keys, signals, and the ledger that readers ask."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from farthing.ledger.changes import Changes
from farthing.ledger.days import closed_days
from farthing.ledger.key_store import KeysUnavailable
from farthing.ledger.keys import KeyRing, Keys
from farthing.ledger.ledger import Ledger
from farthing.ledger.postgres.bank import PostgresBank
from farthing.ledger.postgres.keys import PostgresKeys
from farthing.ledger.postgres.pull import archive, pull
from farthing.ledger.postgres.schema import opened
from farthing.ledger.postgres.store import PostgresStore
from farthing.ledger.postgres.watch import Watch
from farthing.ledger.row import Attempt
from farthing.ledger.schema import connect
from farthing.ledger.summary import summarize
from farthing.ledger.verify import verify
from farthing.problems import FarthingError
from tests.ledger.made import DAY_US, NOON_US, done, now_us, some, sum_usd
from tests.ledger.postgres.server import Server
from tests.ledger.postgres.test_store import rows


def soon(test: Callable[[], object], seconds: float = 5.0) -> float:
    """Wait until `test` holds; how long it took."""
    begin = time.monotonic()
    while not test():
        assert time.monotonic() - begin < seconds, "it never came"
        time.sleep(0.005)
    return time.monotonic() - begin

"""The ledger on PostgreSQL: rows written and brought to a reader, leases. `python -m benchmarks.ledger_postgres`

On a server that is started in a folder of its own, without fsync: what is measured is the work, not the disk.
"""

import tempfile
import time
from pathlib import Path

from tests.ledger.made import done
from tests.ledger.postgres.server import Server, missing

from farthing.ledger.bank import Want
from farthing.ledger.postgres.bank import PostgresBank
from farthing.ledger.postgres.pull import pull
from farthing.ledger.postgres.schema import opened
from farthing.ledger.postgres.store import PostgresStore

BATCH, BATCHES, LEASES = 1_000, 20, 500


def measure(url: str, folder: Path) -> None:
    """Print what each takes, on the database at `url`."""
    store, bank = PostgresStore(url, folder, "w1"), PostgresBank(url)
    batches = [
        [done(n, holds={"all/total@ever": 5, f"user:{n % 7}/total@ever": 5}) for n in range(k * BATCH, (k + 1) * BATCH)]
        for k in range(BATCHES)
    ]
    begin, cpu = time.perf_counter(), time.process_time()
    for batch in batches:
        store.write(batch, {})
    rows, took, work = BATCH * BATCHES, time.perf_counter() - begin, time.process_time() - cpu
    print(f"written                 {rows / took:>9,.0f} rows/s   {work / rows * 1e6:.1f} us CPU a row")
    begin = time.perf_counter()
    for _ in range(LEASES):
        bank.acquire("w1", [Want(purse, 10**12, 1, 1) for purse in ("a", "b", "c")])
    print(f"lease on three budgets  {(time.perf_counter() - begin) / LEASES * 1e3:>9.2f} ms")
    begin = time.perf_counter()
    found = pull(url, folder / "reader")
    print(f"brought to a reader     {found / (time.perf_counter() - begin):>9,.0f} rows/s")
    with opened(url) as connection:
        [(size,)] = connection.execute("SELECT pg_total_relation_size('attempt')").fetchall()
    print(f"in the database         {size / rows:>9,.0f} bytes a row")
    store.close()
    bank.close()


def main() -> None:
    """Measure on a server of our own."""
    if why := missing():
        raise SystemExit(why)
    server = Server()
    try:
        with tempfile.TemporaryDirectory() as folder:
            measure(server.new_database(), Path(folder))
    finally:
        server.close()


if __name__ == "__main__":
    main()

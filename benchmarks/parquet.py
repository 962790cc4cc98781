"""100 million rows of usage in Parquet, priced where they lie, within 2 GiB."""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROWS, FILES = 100_000_000, 10

WRITE = """
COPY (
  SELECT to_timestamp(1767225600 + i * 0.25) AS at, 'openai' AS provider,
         ['gpt-5.5', 'gpt-5-mini', 'gpt-4o', 'gpt-4.1'][1 + (hash(i) % 4)::INT] AS model,
         CASE WHEN hash(i + 1) % 5 = 0 THEN 'batch' ELSE 'standard' END AS tier,
         (hash(i + 2) % 300000)::BIGINT AS input, (hash(i + 3) % 50000)::BIGINT AS cache_read,
         (hash(i + 4) % 4000)::BIGINT AS output
  FROM range({start}, {stop}) rows(i)
) TO '{path}' (FORMAT parquet, COMPRESSION zstd)
"""

READ = """
import sys, time
from pathlib import Path
from farthing.charges.bill import bill_as_served
from farthing.problems import Problems
from farthing.rates.book import Book
from farthing.usage.table import connect, view_parquet
began = time.perf_counter()
book = Book()
table = view_parquet([Path(path) for path in sys.argv[1:]], Problems(), connect())
bill = bill_as_served(table, {n: book.lookup(s.provider, s.model) for n, s in enumerate(table.subjects)}).bill
took = time.perf_counter() - began
print(f"{table.rows:,} rows, ${float(bill.usd):,.2f}, {bill.unpriced:,} unpriced, in {took:.1f} s")
"""


def main() -> None:
    import duckdb

    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.parquet" for number in range(FILES)]
        each = ROWS // FILES
        began = time.perf_counter()
        for number, path in enumerate(paths):
            writer = duckdb.connect(config={"enable_progress_bar": False})
            writer.execute(WRITE.format(start=number * each, stop=(number + 1) * each, path=path)).fetchall()
        size = sum(path.stat().st_size for path in paths)
        print(f"wrote {size / 2**30:.2f} GiB of Parquet in {time.perf_counter() - began:.0f} s")
        subprocess.run([sys.executable, "-c", READ, *map(str, paths)], check=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"peak memory of the pricing process: {peak:.2f} GiB")

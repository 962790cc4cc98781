"""The ledger: rows written a second by one process, alone and beside a busy thread; group-bys over closed days."""

import itertools
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from farthing.ledger.days import close_days, drop_days
from farthing.ledger.hot import COLUMNS
from farthing.ledger.ledger import Ledger, attempt_id
from farthing.ledger.row import Attempt
from farthing.ledger.schema import connect
from farthing.ledger.summary import summarise_ledger
from farthing.ledger.verify import verify
from farthing.ledger.view import DAYS
from farthing.ledger.writer import LedgerFull
from farthing.rates.card import Offer, Price
from farthing.time import EPOCH

ROWS = 200_000
DAY_US = 86_400_000_000
FIRST_DAY = 20_454  # 2026-01-01


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder) / "alone", pairs=False)
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder) / "pairs", pairs=True)
    with tempfile.TemporaryDirectory() as folder:
        _beside_a_busy_thread(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        _read(Path(folder), int(os.environ.get("LEDGER_ROWS", "10_000_000")))


def _price() -> tuple[Offer, Price]:
    from farthing.rates.book import Book
    from farthing.rates.select import price_at

    offer = Book().find("openai/gpt-4o")
    price = price_at(offer, EPOCH.replace(year=2026))
    assert isinstance(price, Price)
    return offer, price


def _rows(ledger: Ledger, count: int) -> list[Attempt]:
    """Realistic rows: 5,000 users, 20 features, sessions of ten requests, charges under a real record."""
    name = ledger.price_name(*_price())
    now_us = time.time_ns() // 1000 - 2 * DAY_US
    rows = []
    for n in range(count):
        started_us = now_us + n * 50
        # 2.5, 1.25 and 10 dollars a million tokens
        micro = 2.5 * (1000 + n % 977) + 1.25 * 512 + 10 * (100 + n % 400)
        rows.append(
            Attempt(
                attempt=attempt_id(started_us), request=f"{n:032x}", state="done", started_us=started_us,
                ended_us=started_us + 1_000_000 + n * 37 % 900_000, first_us=started_us + 200_000,
                worker=ledger.worker, protocol="openai", surface="chat", provider="openai", upstream="openai",
                model_asked="gpt-4o", model_served="gpt-4o-2024-08-06", tier_served="standard", status=200,
                quantities={"input": 1000 + n % 977, "cache_read": 512, "output": 100 + n % 400},
                usd=f"{int(micro * 4)}/4000000", price=name, feature=f"feature-{n % 20}", request_type="chat",
                user=f"user-{n * 31 % 5000}", session=f"session-{n // 10}", key=f"key-{n % 30}",
            )
        )  # fmt: skip
    return rows


def _write(folder: Path, pairs: bool) -> None:
    import gc

    import msgspec

    ledger = Ledger.open(folder)
    rows = _rows(ledger, ROWS)
    if pairs:
        starts = [msgspec.structs.replace(r, state="open", usd=None, quantities={}, ended_us=None) for r in rows]
        # An end comes 2,000 attempts after its start, so the two are in different batches.
        ends: list[Attempt | None] = [*[None] * 2000, *rows]
        rows = [row for pair in itertools.zip_longest(starts, ends) for row in pair if row is not None]
    gc.freeze()  # the rows made in advance are this benchmark's, not the ledger's
    cpu, wall = time.process_time(), time.perf_counter()
    for row in rows:
        _give(ledger, [row])
    handed = time.perf_counter() - wall
    ledger.flush()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    ledger.close()
    size = sum(path.stat().st_size for path in folder.glob("ledger.sqlite*"))
    what = "an attempt written twice (open, done)" if pairs else "an attempt written once (done)"
    print(
        f"{what}: {len(rows) / wall:,.0f} rows/s durable, {cpu / len(rows) * 1e6:.1f} µs CPU a row, "
        f"{size / ROWS:.0f} bytes an attempt; handed over in {handed / len(rows) * 1e6:.1f} µs a row"
    )


def _give(ledger: Ledger, rows: list[Attempt]) -> None:
    while True:
        try:
            ledger.write(rows)
            return
        except LedgerFull:
            time.sleep(0.005)


def _beside_a_busy_thread(folder: Path) -> None:
    """An event loop that never rests: the writer must not need Python's lock once a row."""
    ledger = Ledger.open(folder)
    rows = _rows(ledger, 20_000)
    stop = threading.Event()
    turns = 0

    def spin() -> None:
        nonlocal turns
        while not stop.is_set():
            turns += sum(range(50))

    busy = threading.Thread(target=spin)
    busy.start()
    wall = time.perf_counter()
    for start in range(0, len(rows), 100):
        ledger.write(rows[start : start + 100])
    ledger.flush()
    wall = time.perf_counter() - wall
    stop.set()
    busy.join()
    ledger.close()
    print(f"beside a thread that is always busy: {len(rows) / wall:,.0f} rows/s durable")


_MADE = """
COPY (
  SELECT format('{{:014x}}{{:018x}}', {day} * 86400000000 + i * {step}, hash(i + {day}) % 1000000000) AS id,
    format('{{:032x}}', i) AS request, 1::BIGINT AS number,
    CASE WHEN hash(i) % 100 = 0 THEN 'failed' ELSE 'done' END AS state,
    make_timestamptz(({day} * 86400000000 + i * {step})::BIGINT) AS "at",
    make_timestamptz(({day} * 86400000000 + i * {step} + 500000 + (hash(i + 1) % 3000000)::BIGINT)::BIGINT)
      AS completed,
    NULL::TIMESTAMPTZ AS first_byte, 'w' AS worker, 'openai' AS protocol, 'chat' AS surface, 'openai' AS provider,
    'openai' AS upstream, 'm' AS model_asked, 'model-' || hash(i + 2) % 12 AS model_served, NULL::VARCHAR AS tier_asked,
    'standard' AS tier_served, NULL::VARCHAR AS region, true AS streamed, 200::BIGINT AS http_status,
    NULL::VARCHAR AS error, false AS estimated,
    CASE WHEN hash(i + 3) % 200 <> 0 THEN CAST((hash(i + 4) % 100000000)::BIGINT * CAST('0.000000000250000' AS
      DECIMAL(15, 15)) AS DECIMAL(38, 15)) END AS usd,
    NULL::VARCHAR AS usd_exact, CASE WHEN hash(i + 3) % 200 = 0 THEN 'no offer' END AS unknown, 'p' AS price,
    NULL::DECIMAL(38, 15) AS reported_usd, NULL::VARCHAR AS reported_exact, 'key-' || hash(i + 5) % 30 AS "key",
    'feature-' || hash(i + 6) % 20 AS feature, 'chat' AS request_type, 'user-' || hash(i + 7) % 50000 AS "user",
    NULL::VARCHAR AS segment, 'session-' || i // 10 AS session, NULL::VARCHAR AS tags, NULL::VARCHAR AS attrs,
    NULL::VARCHAR AS decision, NULL::VARCHAR AS answer,
    (hash(i + 8) % 20000)::BIGINT AS input, (hash(i + 9) % 5000)::BIGINT AS cache_read,
    (hash(i + 10) % 2000)::BIGINT AS output
  FROM range({rows}) made(i)
) TO '{path}' (FORMAT parquet, COMPRESSION zstd)
"""

_ASK = """
import sys, time
from pathlib import Path
from farthing.ledger.summary import summarise_ledger
for by in (["feature", "model"], ["user"], ["day", "key"]):
    began = time.perf_counter()
    found = summarise_ledger(Path(sys.argv[1]), by)
    took = time.perf_counter() - began
    exact = "exact" if found.latency_exact else "1 %"
    print(f"summary --by {','.join(by)}: {found.whole.attempts:,} rows, {len(found.groups):,} groups in {took:.1f} s "
          f"({exact} latencies)", flush=True)
"""


def _read(folder: Path, rows: int) -> None:
    import duckdb

    each = max(1, rows // 10)
    Ledger.open(folder).close()
    hot = connect(folder)
    began = time.perf_counter()
    for day in range(FIRST_DAY, FIRST_DAY + 10):
        name = f"day={day}/1.parquet"
        path = folder / DAYS / name
        path.parent.mkdir(parents=True)
        made = duckdb.connect()
        made.execute("SET enable_progress_bar = false")
        made.execute(_MADE.format(day=day, step=DAY_US // each, rows=each, path=path)).fetchall()
        assert [c[0] for c in made.execute(f"DESCRIBE SELECT * FROM '{path}'").fetchall()][: len(COLUMNS)] == [*COLUMNS]
        hot.execute("INSERT INTO day VALUES (?, ?, ?, 0, 1, '{}', 0)", (day, name, each))
    hot.close()
    size = sum(path.stat().st_size for path in (folder / DAYS).glob("*/*"))
    print(
        f"{each * 10:,} rows of 10 days in {size / 2**30:.2f} GiB of Parquet, "
        f"made in {time.perf_counter() - began:.0f} s"
    )
    subprocess.run([sys.executable, "-c", _ASK, str(folder)], check=True)
    began = time.perf_counter()
    dropped = drop_days(folder, EPOCH.date().replace(year=2026, day=2))
    print(
        f"retention: {sum(d.rows for d in dropped):,} rows of a day gone in "
        f"{(time.perf_counter() - began) * 1e3:.0f} ms"
    )

    with tempfile.TemporaryDirectory() as other:
        ledger = Ledger.open(other)
        ledger.write(_rows(ledger, 100_000))
        ledger.close()
        _timed("summary of 100,000 hot rows", lambda: summarise_ledger(Path(other), ["feature"]))
        _timed("closing a day of 100,000 rows", lambda: close_days(Path(other), time.time_ns() // 1000 + DAY_US))
        found = _timed("verification of 100,000 rows, each priced again", lambda: verify(Path(other)))
        assert found.ok and found.agree == 100_000, found  # type: ignore[attr-defined]


def _timed(what: str, work: object) -> object:
    began = time.perf_counter()
    made = work()  # type: ignore[operator]
    print(f"{what}: {time.perf_counter() - began:.2f} s")
    return made


if __name__ == "__main__":
    main()

"""Writing: each attempt once, states only forwards, bad fields never cost a row, words numbered across processes."""

import sqlite3
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.ledger.amounts import exact, packed, total, unpacked
from farthing.ledger.ledger import Ledger, attempt_id
from farthing.ledger.row import STATES, Attempt
from farthing.ledger.schema import COLUMNS, FILE, TEXTS, connect
from farthing.ledger.store import SqliteStore, StoreUnavailable
from farthing.ledger.view import open_view
from farthing.ledger.writer import LedgerFull
from farthing.problems import FarthingError
from tests.ledger.made import NOON_US, done, some, sum_usd


def states(folder: Path) -> dict[str, str]:
    with open_view(folder) as view:
        found = view.query("SELECT id, state FROM attempts")
    assert len(dict(found)) == len(found)
    return dict(found)


def test_amounts_are_exact_in_both_forms() -> None:
    assert packed("23/5000") == 4_600_000_000_000  # 23/5000 = $0.0046 = 4.6e12 femtodollars
    assert packed("0.0046") == packed("46/10000") == packed("23/5000")
    assert packed("3") == 3 * 10**15
    assert packed("1/3") == "1/3"
    assert packed("-1/8") == -125_000_000_000_000
    assert packed("10000") == "10000/1"  # over 9,223 dollars: too large for 64 bits of femtodollars
    assert packed(None) is None
    assert packed("46120/5") == "46120/5"  # $9,224, likewise
    for bad in ("1/0", "x", "", "nan", "1/x", "3/", "/5"):
        with pytest.raises(ValueError):
            packed(bad)
    assert total([(1, 3), (1, 3), (1, 2)]) == Fraction(7, 6)


@given(st.fractions(max_denominator=10**18))
def test_an_amount_survives_packing(amount: Fraction) -> None:
    assert unpacked(packed(str(amount))) == amount == exact(str(amount))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(STATES)), max_size=12), st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_states_only_go_forwards(writes: list[tuple[str, str]], size: int) -> None:
    """open < lost < one final state, whatever the order and however writes fall into batches."""
    import tempfile

    expected: dict[str, str] = {}
    for name, state in writes:
        before = expected.get(name)
        final = before in ("done", "failed", "cancelled")
        if before is None or (not final and STATES_RANK[state] > STATES_RANK[before]):
            expected[name] = state
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder))
        made = [done(attempt=name, state=state) for name, state in writes]
        for start in range(0, len(made), size):
            store.write(made[start : start + size], {})
        store.close()
        assert states(Path(folder)) == expected


STATES_RANK = {"open": 0, "lost": 1, "done": 2, "failed": 3, "cancelled": 4}


def test_an_open_row_is_replaced_whole_by_its_end(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        end = done(1, ledger=ledger, tags={"team": "a"}, session="s", decision='{"chosen":"main"}')
        start = Attempt(attempt=end.attempt, request=end.request, started_us=end.started_us, model_asked="gpt-test")
        ledger.write([start])
        assert ledger.flush(timeout_s=10)
        assert states(tmp_path) == {end.attempt: "open"}
        ledger.write([end])
        ledger.write([msgspec.structs.replace(end, state="failed", usd="0")])
        ledger.write([start])
        assert ledger.flush(timeout_s=10)
    with open_view(tmp_path) as view:
        [row] = view.query(
            "SELECT id, state, usd, model_served, tags, session, decision, "
            'epoch_us(completed) - epoch_us("at"), input, http_status FROM attempts'
        )
    # 1001 × 2.5 + 200 × 0.25 + 50 × 10 = 2502.5 + 50 + 500 = 3052.5 microdollars
    assert [str(part) for part in row] == [
        end.attempt, "done", "0.003052500000000", "gpt-test", '{"team":"a"}', "s", '{"chosen":"main"}', "1500000",
        "1001", "200",
    ]  # fmt: skip


def test_rows_of_many_threads_and_two_ledgers_at_once(tmp_path: Path) -> None:
    one, other = Ledger.open(tmp_path), Ledger.open(tmp_path)
    assert one.worker != other.worker
    rows = list(some(4000, one))

    def write(ledger: Ledger, mine: list[Attempt]) -> None:
        for start in range(0, len(mine), 7):
            ledger.write(mine[start : start + 7])

    threads = [
        threading.Thread(target=write, args=([one, other][n % 2], rows[n * 1000 : (n + 1) * 1000])) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert one.close() == other.close() == 0
    assert states(tmp_path) == {row.attempt: row.state for row in rows}
    with open_view(tmp_path) as view:
        [(usd,)] = view.query("SELECT sum(usd) FROM attempts")
        fractions = view.query("SELECT usd_exact FROM attempts WHERE usd_exact IS NOT NULL")
    assert fractions, "the sample has charges without exact decimals"
    assert Fraction(usd) + sum(Fraction(text) for (text,) in fractions) == sum_usd(rows)


BAD: dict[str, dict[str, Any]] = {
    "half a character": {"user": "a\ud800b"},
    "half a character in a tag": {"tags": {"t": "\udfff"}},
    "a count beyond 64 bits": {"quantities": {"input": 1 << 70}},
    "a negative count": {"quantities": {"weird": -1, "input": 1 << 63}},
    "an amount that is none": {"usd": "lots"},
    "a division by zero": {"usd": "1/0"},
    "an unknown state": {"state": "odd"},
    "a time beyond all": {"started_us": 1 << 62},
    "an end beyond all": {"ended_us": 1 << 60},
    "a status beyond all": {"status": 1 << 80},
    "no request": {"request": None},
    "a number for a name": {"feature": 7},
    "counts that are none": {"quantities": {"input": "many"}},
    "no counts at all": {"quantities": None},
    "tags that are none": {"tags": 5},
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_field_never_costs_a_row_nor_its_neighbours(tmp_path: Path, what: str) -> None:
    good = [done(number) for number in range(300)]
    fields = {name: getattr(good[0], name) for name in good[0].__struct_fields__}
    bad = Attempt(**{**fields, "attempt": "bad", **BAD[what]})
    with Ledger.open(tmp_path) as ledger:
        ledger.write([*good[:150], bad, *good[150:]])
        assert ledger.flush(timeout_s=10)
        assert not ledger.health().reason
    found = states(tmp_path)
    assert len(found) == 301
    assert found["bad"] in ("done", "failed")
    with open_view(tmp_path) as view:
        [(usd, unknown)] = view.query("SELECT usd, unknown FROM attempts WHERE id = 'bad'")
    if "count" in what or "amount" in what or "zero" in what:
        assert usd is None and unknown, "a charge that rests on a bad count is unknown, not what it was"


def test_words_that_are_pruned_by_another_process_are_numbered_again(tmp_path: Path) -> None:
    from farthing.ledger.days import close_days

    with Ledger.open(tmp_path) as ledger:
        ledger.write([done(1, ledger=ledger, user="ann", feature="x")])
        ledger.flush()
        assert len(close_days(tmp_path)) == 1  # ann's row goes to Parquet, her name leaves the hot ledger
        hot = connect(tmp_path, read_only=True)
        assert hot.execute("SELECT count(*) FROM text WHERE value = 'ann'").fetchone() == (0,)
        hot.close()
        ledger.write([done(2, ledger=ledger, user="bob", feature="y"), done(3, ledger=ledger, user="ann", feature="x")])
        ledger.flush()
    with open_view(tmp_path) as view:
        found = view.query('SELECT "user", feature, input FROM attempts ORDER BY input')
    assert found == [("ann", "x", 1001), ("bob", "y", 1002), ("ann", "x", 1003)]


def test_a_full_memory_refuses_and_says_why(tmp_path: Path) -> None:
    class Broken(SqliteStore):
        def write(self, attempts: Any, prices: Any, mark: Any = None) -> None:
            raise StoreUnavailable("database or disk is full")

    from farthing.ledger.journal import Journal
    from farthing.ledger.writer import Writer

    aside = tmp_path / "aside"
    aside.write_text("a file where the folder should be")
    writer = Writer(Broken(tmp_path), Journal(aside, "w"), "w", most_rows=1000)
    writer.write([done(number) for number in range(900)])
    with pytest.raises(LedgerFull, match="900 rows wait already"):
        for _ in range(50):
            writer.write([done(number) for number in range(150)])
    while not writer.health().reason:
        threading.Event().wait(0.01)
    health = writer.health()
    assert not health.ok and health.waiting == 900
    assert not writer.flush(timeout_s=0.2)
    assert writer.close(timeout_s=0.3) == 900  # it says how many are lost


def test_a_callback_comes_when_rows_are_durable(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        told = threading.Event()
        ticket = ledger.write([done(1, ledger=ledger)])
        ledger.when_durable(ticket, lambda: 1 / 0)  # a caller's fault does not end the writer
        ledger.when_durable(ticket, told.set)
        assert told.wait(10)
        assert len(states(tmp_path)) == 1
        late = threading.Event()
        ledger.when_durable(ticket, late.set)
        assert late.is_set()


def test_ids_are_unique_and_in_order_of_time() -> None:
    made = [attempt_id(NOON_US + number) for number in range(1000)]
    assert len(set(made)) == 1000 and made == sorted(made)
    assert len(made[0]) == 32


def test_a_closed_ledger_takes_no_more(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path)
    assert ledger.close() == ledger.close() == 0
    with pytest.raises(LedgerFull, match="closed"):
        ledger.write([done(1)])


def test_what_is_no_ledger_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FarthingError, match="cannot hold a ledger"):
        Ledger.open(tmp_path / "file")
    other = sqlite3.connect(tmp_path / FILE)
    other.execute("CREATE TABLE theirs (x)")
    other.close()
    with pytest.raises(FarthingError, match="not a ledger of Farthing"):
        Ledger.open(tmp_path)
    (tmp_path / FILE).write_bytes(b"text that is longer than a header " * 100)
    with pytest.raises(FarthingError, match="not a ledger of Farthing"):
        Ledger.open(tmp_path)
    with pytest.raises(FarthingError, match="no ledger here"), open_view(tmp_path / "nowhere"):
        pass


def test_what_is_absent_is_null_and_quick_to_bind(tmp_path: Path) -> None:
    """Neither 0 nor a text. None and bools are not given to the driver, which is slow with both."""
    least = Attempt(attempt="a", request="r", started_us=NOON_US)
    store = SqliteStore(tmp_path)
    store.write([least], {})
    assert not [value for value in store._packer.row(least, 1) if value is None or isinstance(value, bool)]
    store.close()
    hot = connect(tmp_path, read_only=True)
    [found] = hot.execute("SELECT * FROM attempt").fetchall()
    hot.close()
    given = dict(zip(COLUMNS, found, strict=True))
    numbers = {"number": 1, "state": 0, "batch": 1, "started_us": NOON_US, "route": 1, "caller": 1}
    assert {name: value for name, value in given.items() if value is not None} == {
        "attempt": "a", "request": "r", "streamed": 0, "estimated": 0, **numbers
    }  # fmt: skip


def test_odd_words_come_back_as_they_went(tmp_path: Path) -> None:
    """Many new words of one batch are numbered together, by way of JSON: what that cannot carry goes one by one."""
    words = ["a\0b", "a", "😀", 'say "hi"', "back\\slash", "\u2028", " ", "ä", "a\u0308", "\x7f\x01", "null", "1"]
    with Ledger.open(tmp_path) as ledger:
        ledger.write([
            done(n, user=word, unknown=word, usd=None, tags={word: word}, session=word) for n, word in enumerate(words)
        ])  # fmt: skip
        assert ledger.flush(timeout_s=10) and not ledger.health().reason
    with open_view(tmp_path) as view:
        found = view.query('SELECT "user", unknown, tags, session FROM attempts ORDER BY input')
    assert found == [(word, word, msgspec.json.encode({word: word}).decode(), word) for word in words]


def test_a_batch_takes_few_statements(tmp_path: Path) -> None:
    """Each statement lets go of Python's lock, and beside a busy event loop waits milliseconds to get it back."""
    store = SqliteStore(tmp_path)
    store.write([done(0)], {})
    said: list[str] = []
    store._connection.set_trace_callback(said.append)
    store.write([done(n, user=f"new user {n}") for n in range(2047)], {})
    store.close()
    # BEGIN, the batch's number, new words (2 statements), new callers (2 each), 3 × 512 + 256 + … + 1, COMMIT
    assert len([text for text in said if not text.startswith("--")]) <= 30, said
    assert len(states(tmp_path)) == 2048


RARE = {
    "session": "s", "error": "late", "tags": {"team": "x"}, "attrs": {"size": "big"}, "reported_usd": "1/8",
    "quantities": {"input": 1, "cache_write_5m": 2, "web_search": 3}, "unknown": "no price",
}  # fmt: skip


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(STATES), st.sampled_from([*RARE, ""])), max_size=12)
)
@settings(deadline=None, max_examples=40)
def test_rows_are_the_same_whatever_shares_their_batch(writes: list[tuple[str, str, str]]) -> None:
    """Rows that have rare columns and rows that have none go by two statements: as one by one, in any mixture."""
    import tempfile

    attempts = [
        done(number, attempt=name, state=state, holds={"p": 10**number}, **({rare: RARE[rare]} if rare else {}))
        for number, (name, state, rare) in enumerate(writes)
    ]
    columns = ", ".join(
        f'(SELECT value FROM text WHERE id = "{name}")' if name in TEXTS else f'"{name}"'
        for name in COLUMNS
        if name not in ("batch", "route", "caller")  # numbers, which are given in another order
    )
    found = []
    for size in (1, 12):
        with tempfile.TemporaryDirectory() as folder:
            store = SqliteStore(Path(folder), "w")
            for start in range(0, len(attempts), size):
                store.write(attempts[start : start + size], {})
            store.close()
            connection = connect(Path(folder))
            rows = connection.execute(
                f"SELECT {columns}, model_served FROM attempt JOIN route ON id = route ORDER BY attempt"
            ).fetchall()
            found.append((rows, connection.execute("SELECT id, spent FROM purse").fetchall()))
            connection.close()
    alone, together = found
    assert alone == together


def test_an_end_that_has_no_rare_column_leaves_none_behind(tmp_path: Path) -> None:
    """An attempt that was taken for lost says so no more once its end is known."""
    store = SqliteStore(tmp_path, "w")
    end = done(1, attempt="a")
    store.write([msgspec.structs.replace(end, state="open", session="s", worker="dead")], {})
    assert store.recover(lambda worker: False) == 1
    store.write([end], {})
    store.close()
    connection = connect(tmp_path)
    assert connection.execute("SELECT state, session, unknown FROM attempt").fetchall() == [(2, None, None)]
    connection.close()

"""Rows made of rows are what `msgspec.structs.replace` makes of them; ids are unique and in order of time."""

import os
import sys
import threading
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.ledger.attempts import attempt_id, ended, opened
from farthing.ledger.row import Attempt
from tests.ledger.made import NOON_US, done

OPENED = (
    "attempt", "request", "number", "started_us", "feature", "request_type", "user", "segment", "session", "tags",
    "decision", "holds",
)  # fmt: skip
ENDED = (
    "state", "ended_us", "first_us", "model_served", "tier_served", "status", "error", "quantities", "usd", "unknown",
    "price", "estimated", "answer", "holds",
)  # fmt: skip
values: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.dictionaries(st.text(max_size=3), st.integers())
)
rows = st.fixed_dictionaries(dict.fromkeys(Attempt.__struct_fields__, values)).map(lambda each: Attempt(**each))


@given(rows, st.lists(values, min_size=12, max_size=12))
@settings(deadline=None)
def test_an_open_row_is_its_blank_with_what_is_its_own(blank: Attempt, own: list[Any]) -> None:
    before = msgspec.structs.asdict(blank)
    assert opened(blank, *own) == msgspec.structs.replace(blank, **dict(zip(OPENED, own, strict=True)))
    assert msgspec.structs.asdict(blank) == before


@given(rows, st.lists(values, min_size=14, max_size=14))
@settings(deadline=None)
def test_a_final_row_is_its_open_one_with_its_end(row: Attempt, own: list[Any]) -> None:
    assert ended(row, *own) == msgspec.structs.replace(row, **dict(zip(ENDED, own, strict=True)))


def test_rows_let_go_of_what_they_held() -> None:
    words = [object() for _ in range(14)]
    unique: Any = object()
    blank = done(1, session=unique, region=unique)
    counts = [sys.getrefcount(word) for word in words], sys.getrefcount(unique), sys.getrefcount(Attempt)
    for _ in range(100):
        row = opened(blank, *words[:12])  # type: ignore[arg-type]
        end = ended(row, *words)  # type: ignore[arg-type]
        assert end.region is unique and end.session is words[8]
        del row, end
    assert counts == ([sys.getrefcount(word) for word in words], sys.getrefcount(unique), sys.getrefcount(Attempt))


def test_only_rows_are_made_of() -> None:
    other: Any = "no row"
    with pytest.raises(TypeError, match="no Attempt: 'no row'"):
        ended(other, *[None] * 14)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        opened(done(1))  # type: ignore[call-arg]


@given(st.integers())
@settings(deadline=None)
def test_an_id_begins_with_its_time(now_us: int) -> None:
    made = attempt_id(now_us)
    assert len(made) == 32 and int(made, 16) >= 0 and made == made.lower()
    assert int(made[:14], 16) == now_us % (1 << 56)  # 56 bits of microseconds: 2,283 years


def test_ids_of_threads_are_unique_and_count_on() -> None:
    made: list[list[str]] = [[] for _ in range(4)]

    def make(into: list[str]) -> None:
        into += [attempt_id(NOON_US) for _ in range(5_000)]

    threads = [threading.Thread(target=make, args=(into,)) for into in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = {name for into in made for name in into}
    assert len(every) == 20_000 and len({name[:24] for name in every}) == 1
    for into in made:
        assert into == sorted(into)


def test_a_forked_child_has_digits_of_its_own() -> None:
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        os.write(theirs, attempt_id(NOON_US).encode())
        os._exit(0)
    os.waitpid(child, 0)
    told = os.read(ours, 100).decode()
    os.close(ours)
    os.close(theirs)
    mine = attempt_id(NOON_US)
    assert told[:14] == mine[:14] and told[14:24] != mine[14:24]

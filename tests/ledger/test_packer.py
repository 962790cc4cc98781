"""Rows, charges and waiting rows as compiled: the same as Python made them, whatever attempts are."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from farthing.ledger import settle
from farthing.ledger.amounts import FEMTO, LARGEST, packed
from farthing.ledger.femto import femtodollars
from farthing.ledger.pack import BAD_ROW, PLAIN, RARE, rows
from farthing.ledger.packer import Packer, flat
from farthing.ledger.row import STATES, Attempt
from farthing.ledger.schema import COUNTS, connect
from farthing.ledger.waiting import OpenRows
from tests.ledger import oracles
from tests.ledger.made import NOON_US, done
from tests.ledger.test_store import BAD

texts = st.sampled_from(["", "a", "b", "ä\0", "\ud800", "gpt-4o-mini"])
times = st.integers(NOON_US - 5, NOON_US + 5) | st.sampled_from(
    [-1, 0, 7_258_118_400_000_000, 1 << 62, -(1 << 63), 1 << 64]
)
counts = st.integers(0, 3) | st.sampled_from([-1, LARGEST, 1 << 64, None, "many"])
quantities = st.dictionaries(st.sampled_from([*COUNTS, "audio_second", "requests"]), counts, max_size=5)
amounts = st.sampled_from(
    ["0", "1", "21/500000", "1/3", "0.0046", "-1/2", "lots", "1/0", "", "007/8", f"{LARGEST}/1", "1/"]
)
strange = st.none() | st.just(7) | st.just([1]) | st.just({"a": "b"})
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(Attempt.__struct_fields__, texts),
    **dict.fromkeys(("started_us", "ended_us", "first_us"), times),
    **dict.fromkeys(("streamed", "estimated"), st.booleans() | st.just(0)),
    **dict.fromkeys(("tags", "attrs"), st.dictionaries(texts, texts, max_size=2)),
    **dict.fromkeys(("usd", "reported_usd"), st.none() | amounts),
    "state": st.sampled_from([*STATES, "odd"]), "number": st.integers(1, 3), "quantities": quantities,
    "status": st.none() | st.integers(), "holds": st.dictionaries(st.sampled_from("pqrü\ud800"), counts, max_size=4),
}  # fmt: skip


@st.composite
def attempts(draw: st.DrawFn) -> Attempt:
    """Attempts as they may be, of which some have a field that is none."""
    made = {"attempt": "a", "request": "r", "started_us": NOON_US}
    for name in draw(st.lists(st.sampled_from(Attempt.__struct_fields__), unique=True, max_size=12)):
        made[name] = draw(FIELDS[name])
    if draw(st.integers(0, 9)) == 0:
        made[draw(st.sampled_from(("user", "tags", "quantities", "model_served", "usd", "worker")))] = draw(strange)
    return Attempt(**made)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def packers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Packer, oracles.Packer]]:
    """A packer, and the one in Python, each on a ledger of its own."""
    ours, theirs = (connect(tmp_path_factory.mktemp(name), create=True) for name in ("ours", "theirs"))
    yield Packer(ours, "w"), oracles.Packer(theirs, "w")
    ours.close()
    theirs.close()


def made(packer: Any, attempt: Attempt) -> Any:
    try:
        return packer.row(attempt, 5)
    except BAD_ROW:
        return "bad"


@given(st.lists(attempts(), max_size=4))
@settings(deadline=None, max_examples=400)
def test_a_row_is_what_it_was_in_python(packers: tuple[Packer, oracles.Packer], given_: list[Attempt]) -> None:
    for packer in packers:
        packer.expect(given_)
    ours, theirs = ([made(packer, attempt) for attempt in given_] for packer in packers)
    assert ours == theirs
    assert {len(row) for row in ours if row != "bad"} <= {len(PLAIN), len(PLAIN) + len(RARE)}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_field_is_bad_for_both(packers: tuple[Packer, oracles.Packer], what: str) -> None:
    good = done(1)
    attempt = Attempt(**{**{name: getattr(good, name) for name in good.__struct_fields__}, **BAD[what]})
    ours, theirs = (made(packer, attempt) for packer in packers)
    assert ours == theirs


def test_what_is_no_attempt_is_no_row(tmp_path: Path) -> None:
    connection = connect(tmp_path, create=True)
    other: Any = "row"
    with pytest.raises(TypeError, match="no Attempt"):
        Packer(connection).row(other, 1)
    connection.close()


def test_rows_flat() -> None:
    assert flat([]) == [] and flat([(1, "a"), (2, None)]) == [1, "a", 2, None]
    for bad in ([(1,), (1, 2)], [[1], [2]], [(1, 2), (1,)]):
        with pytest.raises((ValueError, TypeError)):
            flat(bad)  # type: ignore[arg-type]


@given(
    st.integers(0, 1 << 70),
    st.integers(1, 1 << 60) | st.sampled_from([2**a * 5**b for a in range(17) for b in range(17)]),
)
@example(LARGEST, FEMTO)
@example(LARGEST + 1, FEMTO)
@example(9_223, 1)
@example(9_224, 1)
@settings(deadline=None, max_examples=400)
def test_femtodollars_are_exact_or_left(top: int, bottom: int) -> None:
    meant = Fraction(top, bottom) * FEMTO
    fits = meant.denominator == 1 and meant <= LARGEST
    found = femtodollars(f"{top}/{bottom}")
    if found is None:
        assert not fits or max(top, bottom) >= 10**18 or FEMTO % bottom
    else:
        assert fits and found == meant
    assert packed(f"{top}/{bottom}") == (int(meant) if fits else f"{top}/{bottom}")


@given(st.text(max_size=6) | st.text("0123456789/.- +_", max_size=24))
@example("١/2")
@example("1/2/3")
@example("-1/2")
@example("1/-2")
@example("1_0/2")
@settings(deadline=None, max_examples=300)
def test_other_texts_are_left(text: str) -> None:
    found = femtodollars(text)
    top, bar, bottom = text.partition("/")
    parts = (top, bottom) if bar else (top,)
    plain = all(part.isascii() and part.isdigit() and len(part) <= 18 for part in parts)
    if found is not None:
        assert plain and found == Fraction(text) * FEMTO == packed(text)


class Odd(Attempt, frozen=True, kw_only=True):
    """A row of another class, as a caller may have one."""


@given(st.lists(attempts(), max_size=6), st.sets(st.sampled_from(["a", "b", ""])))
@settings(deadline=None, max_examples=300)
def test_charges_are_what_they_were_in_python(
    packers: tuple[Packer, oracles.Packer], given_: list[Attempt], before: set[str]
) -> None:
    ours = rows(packers[0], given_, 1)
    found = settle.settlement(given_, ours, "w", before)
    # (Python's took workers as they came; a database does not.)
    whole = [msgspec.structs.replace(a, worker=str(a.worker).encode("utf-8", "replace").decode() if a.worker else "")
             for a in given_]  # fmt: skip
    assert found == oracles.settlement(whole, ours, "w", before)


def test_a_fault_of_the_callers_holds_nothing_and_stops_nothing(packers: tuple[Packer, oracles.Packer]) -> None:
    good = done(1, holds={"p": 5})
    bad: list[Any] = [None, 7, "p", [("p", 1)], {7: 1}, {"p": True}, {"p": 1.5}]
    given_ = [good, *(done(n + 2, holds=holds) for n, holds in enumerate(bad)), Odd(
        attempt="odd", request="r", started_us=NOON_US, state="done", holds={"p": 3})]  # fmt: skip
    ours = rows(packers[0], given_, 1)
    found = settle.settlement(given_, ours, "w", ())
    assert found == oracles.settlement(given_, ours, "w", ()) and found.spent == {"p": 8}


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=20), st.lists(st.integers(1, 6), max_size=4)
)
@settings(deadline=None)
def test_open_rows_wait_in_order_until_their_end(given_: list[tuple[str, bool]], cuts: list[int]) -> None:
    """Against a list: who has come open and not ended, by the first time it came."""
    opens, waiting = OpenRows(), dict[str, tuple[int, Attempt]]()
    made_ = [done(attempt=name, state="done" if final else "open") for name, final in given_]
    before = 0
    while made_:
        size = cuts.pop() if cuts else len(made_)
        part, made_ = made_[:size], made_[size:]
        ended = opens.sort(part, before, before + 0.5)
        assert ended == [row for row in part if row.state == "done"]
        for row in part:
            if row.state == "open":
                waiting.setdefault(row.attempt, (before, row))
            else:
                waiting.pop(row.attempt, None)
        before += len(part)
        assert opens.rows() == [row for _, row in waiting.values()] and len(opens) == len(waiting)
        assert opens.reached(before) == min((ticket for ticket, _ in waiting.values()), default=before)
        assert opens.due(before, 0) == [row for ticket, row in waiting.values() if ticket + 0.5 <= before]
        assert opens.due(-1, before) == opens.rows()
    opens.stored(opens.rows()[:1])
    assert len(opens) == max(0, len(waiting) - 1)
    opens.clear()
    assert not opens and opens.reached(9) == 9

"""The usual way in: the same files and tickets as the general one, nothing where it may not, nothing half."""

import resource
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from farthing.ledger.intake import AWAKE, DEEP, LIGHT, Intake
from farthing.ledger.journal import FOLDER, Journal, frames, packed
from farthing.ledger.ledger import Ledger
from farthing.ledger.row import Attempt
from tests.ledger.made import done
from tests.ledger.test_journal import start
from tests.ledger.test_store import states


class Way:
    """An intake on a journal; what it leaves to the general way is in `left`."""

    def __init__(self, folder: Path, **more: Any) -> None:
        self.lock = threading.Lock()
        self.journal = Journal(folder, "w", **more)
        self.left: list[Sequence[Attempt]] = []
        self.intake = Intake(self.lock, self.journal, self._general, 100)
        self.journal.append(packed([done(0)]), 1)  # there is a segment
        self.intake.accepted = 1

    def _general(self, attempts: Sequence[Attempt]) -> int:
        self.left.append(attempts)
        return -7

    def read(self) -> list[tuple[int, list[Attempt]]]:
        return [(frame.through, frame.rows) for path in self.journal.paths() for frame in frames(path)]


@pytest.fixture
def way(tmp_path: Path) -> Iterator[Way]:
    made = Way(tmp_path)
    yield made
    made.journal.close(remove=False)


def test_what_it_takes_is_pending_and_in_the_journal_as_the_general_way_writes_it(way: Way, tmp_path: Path) -> None:
    calls = [[start(done(1))], [done(1)], [done(2), start(done(3)), done(4)]]
    assert [way.intake.write(rows) for rows in calls] == [2, 3, 6]
    assert way.intake.pending == [row for rows in calls for row in rows] and way.intake.accepted == 6 and not way.left
    (tmp_path / "b").mkdir()
    other = Journal(tmp_path / "b", "w")
    for rows, through in (([way.read()[0][1][0]], 1), (calls[0], 2), (calls[1], 3), (calls[2], 6)):
        other.append(packed(rows), through)
    assert way.journal.paths()[0].read_bytes() == other.paths()[0].read_bytes()
    assert way.journal.bytes == other.bytes == way.journal.paths()[0].stat().st_size
    assert way.journal.now is not None and way.journal.now.through == 6
    other.close(remove=True)


def fault(way: Way) -> None:
    way.intake.fault = "the journal: it burns"


def full(way: Way) -> None:
    way.intake.last_ticket = 1


def closed(way: Way) -> None:
    way.intake.last_ticket = -1


def deep(way: Way) -> None:
    way.intake.asleep = DEEP


def light(way: Way) -> None:
    way.intake.asleep = LIGHT


def torn(way: Way) -> None:
    assert way.journal.now is not None
    way.journal.now.torn = True


def no_segment(way: Way) -> None:
    way.journal.close(remove=False)


def held(way: Way) -> None:
    way.lock.acquire()


@pytest.mark.parametrize("hinder", [fault, full, closed, deep, light, torn, no_segment, held])
def test_where_it_may_not_nothing_has_changed(way: Way, hinder: Callable[[Way], None]) -> None:
    before = way.read()
    hinder(way)
    rows = [start(done(1)), done(1)]
    assert way.intake.write(rows) == -7
    assert way.left == [rows] and way.intake.pending == [] and way.intake.accepted == 1
    if hinder is not no_segment:
        assert way.read() == before
    if hinder is held:
        way.lock.release()
        assert way.intake.write(rows) == 3


@pytest.mark.parametrize(
    "rows", [[], (done(1),), [done(1, user="\ud800")], [done(1, answer="x" * 5_000)], [done(1)] * 16]
)
def test_what_is_not_plain_is_left(way: Way, rows: Any) -> None:
    assert way.intake.write(rows) == -7
    assert way.left == [rows] and way.intake.pending == [] and len(way.read()) == 1


def test_an_open_row_lets_a_light_sleeper_sleep(way: Way) -> None:
    way.intake.asleep = LIGHT
    assert way.intake.write([start(done(1)), start(done(2))]) == 3
    assert way.intake.write([start(done(3)), done(1)]) == -7
    way.intake.asleep = AWAKE
    assert way.intake.write([done(1)]) == 4


def test_a_full_segment_is_left(tmp_path: Path) -> None:
    way = Way(tmp_path, segment_bytes=1)
    assert way.intake.write([done(1)]) == -7 and way.left
    way.journal.close(remove=True)


def test_half_a_frame_is_cut_off_before_the_next(way: Way) -> None:
    """The disk is full in the midst of a frame: it is not accepted, and what comes later is found."""
    size = way.journal.bytes
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in (0, 30):  # nothing fits, half of it fits
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, hard))
        try:
            assert way.intake.write([done(1)]) == -7
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        now = way.journal.now
        assert now is not None and now.torn == bool(room) and now.size == size
        assert way.intake.pending == [] and way.intake.accepted == 1
        assert now.path.stat().st_size == size + room
    assert way.intake.write([done(2)]) == -7  # nothing is written behind it
    way.journal.append(packed([done(3)]), 2)
    assert [through for through, _ in way.read()] == [1, 2]
    way.intake.accepted = 2
    assert way.intake.write([done(4)]) == 3
    assert [through for through, _ in way.read()] == [1, 2, 3]


def test_threads_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    """Rows of several threads, beside the writer's own that takes them: each is kept once, tickets are in order."""
    with Ledger.open(tmp_path) as ledger:
        tickets: list[list[int]] = [[] for _ in range(4)]

        def write(number: int) -> None:
            for n in range(400):
                end = done(number * 1_000 + n, ledger=ledger)
                tickets[number].append(ledger.write([start(end)]))
                tickets[number].append(ledger.write([end]))
                if n % 50 == 0:
                    ledger.flush(timeout_s=10)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        every = sorted(ticket for each in tickets for ticket in each)
        assert every == list(range(1, 3_201)) and all(each == sorted(each) for each in tickets)
        read = [frame for path in (tmp_path / FOLDER).iterdir() for frame in frames(path)]
        assert [frame.through for frame in read] == sorted(frame.through for frame in read)
        assert ledger.flush(timeout_s=10)
    assert len(states(tmp_path)) == 1_600 and set(states(tmp_path).values()) == {"done"}

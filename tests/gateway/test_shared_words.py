"""The words that processes share, and the lock on them: had once at a time, let go with the memory, never without."""

import errno
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from farthing.gateway.shared_words import LOCK_BYTES, ROBUST, SharedWords, make_lock


@pytest.fixture
def memory() -> Iterator[mmap.mmap]:
    with mmap.mmap(-1, 4096) as mapped:
        make_lock(mapped, LOCK_BYTES)
        yield mapped


def test_the_lock_is_had_once(memory: mmap.mmap) -> None:
    one, two = SharedWords(memory, LOCK_BYTES, -1), SharedWords(memory, LOCK_BYTES, -1)
    assert ROBUST
    assert one.count == 4096 // 8
    for _ in range(3):
        assert one.attempt() == 0
        assert one.attempt() == two.attempt() == errno.EBUSY
        two.give_back()  # it is not its to give
        assert two.attempt() == errno.EBUSY
        one.give_back()
        one.give_back()
        one, two = two, one
    one.close()
    two.close()


def test_the_memory_stays_mapped_until_the_words_are_closed(memory: mmap.mmap) -> None:
    words = SharedWords(memory, LOCK_BYTES, -1)
    with pytest.raises(BufferError):
        memory.close()
    words.close()
    words.close()
    assert (words.attempt(), words.count) == (errno.EBUSY, 0)
    words.give_back()


def test_who_goes_lets_the_lock_go(memory: mmap.mmap) -> None:
    """The C library keeps a list of the locks of a thread, in their memory: one that is gone would break the next."""
    for _ in range(3):
        words = SharedWords(memory, LOCK_BYTES, -1)
        assert words.attempt() == 0
        words.close()
        words = SharedWords(memory, LOCK_BYTES, -1)
        assert words.attempt() == 0
        del words
    words = SharedWords(memory, LOCK_BYTES, -1)
    assert words.attempt() == 0
    words.close()


def test_what_is_put_off_is_done_once_and_in_order(memory: mmap.mmap) -> None:
    words, other = SharedWords(memory, LOCK_BYTES, -1), SharedWords(memory, LOCK_BYTES, -1)
    done: list[int] = []
    assert other.attempt() == 0
    for number in range(3):
        words.put_off(lambda number=number: done.append(number))  # type: ignore[misc]
    assert words.attempt() == errno.EBUSY and not done
    other.give_back()
    for _ in range(2):
        assert words.attempt() == 0
        assert done == [0, 1, 2]
        words.give_back()

    def fails() -> None:
        raise RuntimeError("no")

    words.put_off(fails)
    with pytest.raises(RuntimeError):
        words.attempt()
    assert other.attempt() == 0  # the lock was not kept
    other.close()
    words.close()


def test_a_lock_on_the_file(tmp_path: Path) -> None:
    files = [os.open(tmp_path / "table", os.O_CREAT | os.O_RDWR, 0o600) for _ in range(2)]
    os.truncate(files[0], 4096)
    maps = [mmap.mmap(file, 0) for file in files]
    one, two = (SharedWords(mapped, -1, file) for mapped, file in zip(maps, files, strict=True))
    assert one.attempt() == 0
    assert two.attempt() == errno.EBUSY
    one.close()
    assert two.attempt() == 0
    two.close()
    for mapped in maps:
        mapped.close()
    for file in files:
        os.close(file)
    closed = mmap.mmap(-1, 4096)
    broken = SharedWords(closed, -1, files[0])
    assert broken.attempt() == errno.EBADF
    broken.close()
    closed.close()


@pytest.mark.parametrize("at", [-LOCK_BYTES, 1, LOCK_BYTES + 8, 4096, 4096 - 64, 2**62, 2**63 - LOCK_BYTES])
def test_a_lock_lies_within_the_memory(memory: mmap.mmap, at: int) -> None:
    with pytest.raises(ValueError):
        make_lock(memory, at)
    if at >= 0:
        with pytest.raises(ValueError):
            SharedWords(memory, at, -1)


def test_memory_that_cannot_be_written() -> None:
    with pytest.raises((BufferError, TypeError)):
        SharedWords(bytes(4096), LOCK_BYTES, -1)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        SharedWords(None, LOCK_BYTES, -1)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        SharedWords.__new__(SharedWords)  # type: ignore[call-arg]

"""A lock inside memory that several processes map, which survives the death of whoever holds it.

It is the C library's robust mutex (as databases that live in a mapped file use it): taken and given back without a
system call, a sixth of a microsecond against the nine of a file lock, and the kernel marks it when its holder dies.
"""

import ctypes
import errno
import platform
from collections.abc import Callable
from functools import cache, partial

SIZE = 128
"""Bytes that a lock is given, on a boundary of as many."""
_SHARED, _ROBUST = 1, 1  # PTHREAD_PROCESS_SHARED, PTHREAD_MUTEX_ROBUST, on Linux
_ATTRIBUTE_BYTES = 64


@cache
def kind() -> str:
    """Which robust mutex this process has, in a word ("glibc64"): one memory holds one kind. "" where it has none."""
    if platform.system() != "Linux" or not hasattr(_library(), "pthread_mutex_consistent"):
        return ""
    return f"{platform.libc_ver()[0] or 'libc'}{ctypes.sizeof(ctypes.c_void_p) * 8}"


def make(memory: memoryview) -> None:
    """Make a lock of the first `SIZE` bytes of `memory`, which nobody uses yet."""
    library, attributes = _library(), ctypes.create_string_buffer(_ATTRIBUTE_BYTES)
    place = ctypes.c_void_p(_address(memory))
    _done(library.pthread_mutexattr_init(attributes))
    _done(library.pthread_mutexattr_setpshared(attributes, _SHARED))
    _done(library.pthread_mutexattr_setrobust(attributes, _ROBUST))
    _done(library.pthread_mutex_init(place, attributes))
    _done(library.pthread_mutexattr_destroy(attributes))


def held(memory: memoryview) -> tuple[Callable[[], int], Callable[[int], bool], Callable[[], object]]:
    """How to try for the lock in `memory` without waiting (0: it was had); whether it was had all the same, by what
    that answered; how to give it back.

    For one thread. None may be called once the memory is unmapped. The second raises `OSError` where it is no lock.
    """
    library = _library()
    # Bound in C to the mutex itself: these are called twice a request.
    place = ctypes.byref(ctypes.c_char.from_address(_address(memory)))
    consistent = partial(library.pthread_mutex_consistent, place)
    library.pthread_mutex_unlock.restype = None  # no number made of it: who holds a lock can give it back

    def had(answer: int) -> bool:
        if answer == errno.EBUSY:
            return False
        if answer == errno.EOWNERDEAD:  # its holder died inside; what it left is readable (see `shared_table`)
            _done(consistent())
            return True
        raise OSError(answer, "the lock of the shared table is broken")

    return partial(library.pthread_mutex_trylock, place), had, partial(library.pthread_mutex_unlock, place)


@cache
def _library() -> ctypes.PyDLL:
    # (PyDLL keeps the interpreter's own lock: none of these calls waits.)
    return ctypes.PyDLL(None)


def _address(memory: memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def _done(answer: int) -> None:
    if answer:
        raise OSError(answer, "the shared table's lock cannot be made")

# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The words of a table that several processes map, and the lock on them, which survives the death of whoever holds it.

The lock is the C library's robust mutex (as databases that live in a mapped file use it): taken and given back without
a system call, and the kernel marks it when its holder dies. Where the system has no such thing, it is one on the file.
In C, since every request takes it twice, and counts in the words (`admission`).
"""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.errno cimport EAGAIN, EBUSY, EINTR, errno
from libc.stdint cimport int64_t

cdef extern from *:
    """
    #include <errno.h>
    #include <pthread.h>
    #include <sys/file.h>
    #ifdef __linux__
    #define FARTHING_ROBUST 1
    #else  /* such a lock is never made there */
    #define FARTHING_ROBUST 0
    #define PTHREAD_MUTEX_ROBUST 0
    #define pthread_mutexattr_setrobust(attributes, kind) ENOSYS
    #define pthread_mutex_consistent(mutex) ENOSYS
    #endif
    """
    ctypedef struct pthread_mutexattr_t:
        pass
    int FARTHING_ROBUST, PTHREAD_PROCESS_SHARED, PTHREAD_MUTEX_ROBUST, EOWNERDEAD, LOCK_EX, LOCK_NB, LOCK_UN
    int pthread_mutexattr_init(pthread_mutexattr_t *attributes)
    int pthread_mutexattr_setpshared(pthread_mutexattr_t *attributes, int shared)
    int pthread_mutexattr_setrobust(pthread_mutexattr_t *attributes, int kind)
    int pthread_mutexattr_destroy(pthread_mutexattr_t *attributes)
    int pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
    int pthread_mutex_trylock(pthread_mutex_t *mutex)
    int pthread_mutex_unlock(pthread_mutex_t *mutex)
    int pthread_mutex_consistent(pthread_mutex_t *mutex)
    int flock(int file, int operation)

cdef enum:
    _LOCK_BYTES = 128
    _MOST_PUT_OFF = 65_536

LOCK_BYTES = _LOCK_BYTES
"""Bytes that a lock is given, on a boundary of as many."""
ROBUST = bool(FARTHING_ROBUST) and sizeof(pthread_mutex_t) <= _LOCK_BYTES
"""Whether this system has robust mutexes."""


cdef pthread_mutex_t *_lock_in(const Py_buffer *view, Py_ssize_t at) except NULL:
    if at < 0 or at % _LOCK_BYTES or at > view.len - _LOCK_BYTES:
        raise ValueError("the shared table has no such place for a lock")
    return <pthread_mutex_t *>(<char *>view.buf + at)


def make_lock(memory, Py_ssize_t at):
    """Make a lock at this byte of `memory`, which nobody uses yet. Raises `OSError`."""
    cdef Py_buffer view
    cdef pthread_mutexattr_t attributes
    cdef int answer
    PyObject_GetBuffer(memory, &view, PyBUF_WRITABLE)
    try:
        place = _lock_in(&view, at)
        answer = pthread_mutexattr_init(&attributes)
        if not answer:
            answer = (
                pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED)
                or pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST)
                or pthread_mutex_init(place, &attributes)
            )
            pthread_mutexattr_destroy(&attributes)
        if answer:
            raise OSError(answer, "the shared table's lock cannot be made")
    finally:
        PyBuffer_Release(&view)


cdef class SharedWords:
    """The words of `memory` (a writable map) under the lock at byte `lock_at` of it, or (-1) under one on `file`.

    For one thread. The memory stays mapped until `close`; after that there are no words, and the lock is never had.
    """

    def __cinit__(self, memory, Py_ssize_t lock_at, int file):
        PyObject_GetBuffer(memory, &self._view, PyBUF_WRITABLE)
        if <size_t>self._view.buf % sizeof(int64_t):
            raise ValueError("the shared table is not mapped at a word")
        self._lock = NULL if lock_at < 0 else _lock_in(&self._view, lock_at)
        self._file = file
        self._put_off = []
        self.count = self._view.len // <Py_ssize_t>sizeof(int64_t)
        self.words = <int64_t *>self._view.buf

    def __dealloc__(self):
        self.close()

    cpdef close(self):
        """Let the memory go, and the lock if it is had."""
        self.give_back()  # this thread's list of the locks that it has goes through the memory
        self.words = NULL
        self.count = 0
        PyBuffer_Release(&self._view)  # nothing where it was released, or never had

    cdef int64_t *mapped(self) except NULL:
        """The words. Raises `ValueError` after `close`."""
        if self.words == NULL:
            raise ValueError("the shared table is closed")
        return self.words

    cpdef int attempt(self) except -1:
        """Try for the lock without waiting: 0 where it is had, or why not (`errno.EBUSY`: another has it).

        A holder that died inside left what it wrote readable (see `shared_table`): the lock is had then. What was put
        off is done before anything else.
        """
        cdef int answer
        if self.words == NULL or self._is_had:
            return EBUSY
        if self._lock == NULL:
            answer = 0
            if flock(self._file, LOCK_EX | LOCK_NB):
                answer = EBUSY if errno in (EAGAIN, EINTR) else errno
        else:
            answer = pthread_mutex_trylock(self._lock)
            if answer == EOWNERDEAD:
                answer = pthread_mutex_consistent(self._lock)
        if answer == 0:
            self._is_had = True
            if self._put_off:
                self._do_put_off()
        return answer

    cpdef give_back(self):
        """Let the lock go, if it is had."""
        if not self._is_had:
            return
        self._is_had = False
        if self._lock == NULL:
            flock(self._file, LOCK_UN)
        else:
            pthread_mutex_unlock(self._lock)

    def put_off(self, work):
        """Have `work` done under the lock, which cannot be had now, as soon as it is: before anything else is done."""
        if len(self._put_off) < _MOST_PUT_OFF:
            self._put_off.append(work)

    cdef int _do_put_off(self) except -1:
        waiting, self._put_off = self._put_off, []
        try:
            for work in waiting:
                work()
        except BaseException:
            self.give_back()
            raise
        return 0

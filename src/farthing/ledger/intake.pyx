# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""What threads hand to the ledger's writer and its thread has not taken yet, and the usual way in.

The usual way in takes no lock: it keeps Python's own from its beginning to its end (nothing in it runs Python's code, and
the one system call, the write of some hundred bytes to the journal, ends in the page cache). So where nobody holds the
writer's lock at its beginning, nobody is in the midst of a change, and nobody begins one before it has ended.
"""

from cpython.list cimport PyList_CheckExact, PyList_GET_ITEM, PyList_GET_SIZE, PyList_SetSlice
from cpython.object cimport PyObject
from posix.unistd cimport write

from farthing.ledger.attempts cimport offset
from farthing.ledger.frame cimport HEAD_BYTES, LONGEST_BYTES, Latest, Segment, pack_rows, put_head
from farthing.struct_fields cimport field

import msgspec

from farthing.ledger.row import Attempt

cdef enum:
    AT_WORK = 0
    LIGHTLY = 1
    DEEPLY = 2

AWAKE, LIGHT, DEEP = AT_WORK, LIGHTLY, DEEPLY
"""The writer's thread: at work; asleep until an attempt ends; asleep until any row comes."""

cdef Py_ssize_t STATE = offset("state")
cdef object OPEN = next(each.default for each in msgspec.structs.fields(Attempt) if each.name == "state")


cdef class Intake:
    """`pending`: the rows, under tickets that end with `accepted`; `last_ticket`: none is accepted beyond it (-1: none
    any more); `asleep`: what the writer's thread does; `fault`: why the journal keeps none. Shared by threads, and
    changed only with the writer's `lock`."""

    cdef public list pending
    cdef public long long accepted
    cdef public long long last_ticket
    cdef public int asleep
    cdef public str fault
    cdef object _locked
    cdef Latest _journal
    cdef object _general

    def __init__(self, lock, Latest journal not None, general, long long last_ticket):
        self.pending = []
        self.last_ticket = last_ticket
        self.fault = ""
        self._locked = lock.locked
        self._journal = journal
        self._general = general

    def write(self, attempts, /):
        """Accept rows; the ticket that `flush` and `when_durable` take. Raises `LedgerFull`, and accepts none then.

        What the usual way in does not take (or nobody could: the journal fails, the thread has to be woken) goes to
        `general`.
        """
        if PyList_CheckExact(attempts) and self._took(<list>attempts):
            return self.accepted
        return self._general(attempts)

    cdef bint _took(self, list rows) except -1:
        """Whether the rows are accepted and in the journal; else nothing has changed."""
        cdef unsigned char[HEAD_BYTES + LONGEST_BYTES] frame
        cdef Segment segment = self._journal.now
        cdef Py_ssize_t count = PyList_GET_SIZE(rows), before = PyList_GET_SIZE(self.pending), body_bytes
        cdef long long through = self.accepted + count
        if segment is None or segment.torn or segment.size >= segment.limit:
            return False
        if not count or through > self.last_ticket or self.fault or self._locked() is not False:
            return False
        body_bytes = pack_rows(rows, frame + HEAD_BYTES, LONGEST_BYTES)
        if not body_bytes or self._wakes(rows):
            return False
        put_head(frame, body_bytes, through)
        PyList_SetSlice(self.pending, before, before, rows)
        if not written(segment, frame, HEAD_BYTES + body_bytes):
            del self.pending[before:]
            return False
        self.accepted = segment.through = through
        return True

    cdef bint _wakes(self, list rows) noexcept:
        """Whether rows (all of them `Attempt`s) are what the writer's thread waits for."""
        cdef Py_ssize_t n
        if self.asleep == LIGHTLY:
            for n in range(PyList_GET_SIZE(rows)):
                if field(<PyObject*>PyList_GET_ITEM(rows, n), STATE) != <PyObject*>OPEN:
                    return True
            return False
        return self.asleep != AT_WORK


cdef bint written(Segment segment, const unsigned char* frame, Py_ssize_t count) noexcept:
    """Whether the frame is in the segment, whole. (Why not, one learns by trying again.)"""
    cdef Py_ssize_t done = write(segment.handle, frame, count)
    if done == count:
        segment.size += count
        return True
    segment.torn = done > 0
    return False

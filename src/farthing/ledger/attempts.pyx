# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Rows made of rows: the open one of a blank, the final one of the open one; and the ids that rows have.

`msgspec.structs.replace` with a dozen names takes ten times as long; see struct_fields.pxd.
"""

import os

from cpython.object cimport Py_TYPE, PyObject, PyTypeObject
from libc.stdint cimport uint64_t

from farthing.clocks cimport wall_us
from farthing.struct_fields cimport copied, field, offset_of

from farthing.ledger.row import Attempt

cdef extern from *:
    """
    #define digits_of(text) ((unsigned char *)PyUnicode_1BYTE_DATA(text))
    """
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 most)
    unsigned char* digits_of(PyObject* text)
    uint64_t PyLong_AsUnsignedLongLongMask(object number) except? 0xFFFFFFFFFFFFFFFF

cdef PyTypeObject* ROW = <PyTypeObject*>Attempt


cdef Py_ssize_t offset(str name) except -1:
    """Where the field `name` stands in an `Attempt`."""
    return offset_of(Attempt, name)


cdef object told(object row, Py_ssize_t at, str name):
    """What `row`, which may be no `Attempt`, has in the field `name`, which an `Attempt` has `at` that offset."""
    cdef PyObject* found = field(<PyObject*>row, at) if Py_TYPE(row) == ROW else NULL
    return getattr(row, name) if found == NULL else <object>found


cdef Py_ssize_t[12] OPENED = [
    offset(name)
    for name in (
        "attempt", "request", "number", "started_us", "feature", "request_type", "user", "segment", "session", "tags",
        "decision", "holds",
    )
]
cdef Py_ssize_t[14] ENDED = [
    offset(name)
    for name in (
        "state", "ended_us", "first_us", "model_served", "tier_served", "status", "error", "quantities", "usd",
        "unknown", "price", "estimated", "answer", "holds",
    )
]


cdef object made_of(object row, PyObject** values, const Py_ssize_t* places, int count):
    """A copy of `row` with `values` at `places`."""
    if Py_TYPE(row) != ROW:
        raise TypeError(f"no Attempt: {row!r}")
    return copied(row, values, places, count)


def opened(
    blank, attempt, request, number, started_us, feature, request_type, user, segment, session, tags, decision, holds, /
):
    """The open row of an attempt: `blank`, what it has in common with many, with what is its own."""
    cdef PyObject** values = [
        <PyObject*>attempt, <PyObject*>request, <PyObject*>number, <PyObject*>started_us, <PyObject*>feature,
        <PyObject*>request_type, <PyObject*>user, <PyObject*>segment, <PyObject*>session, <PyObject*>tags,
        <PyObject*>decision, <PyObject*>holds,
    ]
    return made_of(blank, values, OPENED, 12)


def ended(
    opened, state, ended_us, first_us, model_served, tier_served, status, error, quantities, usd, unknown, price,
    estimated, answer, holds, /
):
    """The final row of the attempt whose open row is `opened`."""
    cdef PyObject** values = [
        <PyObject*>state, <PyObject*>ended_us, <PyObject*>first_us, <PyObject*>model_served, <PyObject*>tier_served,
        <PyObject*>status, <PyObject*>error, <PyObject*>quantities, <PyObject*>usd, <PyObject*>unknown,
        <PyObject*>price, <PyObject*>estimated, <PyObject*>answer, <PyObject*>holds,
    ]
    return made_of(opened, values, ENDED, 14)


cdef unsigned char[5] process
cdef uint64_t count = 0


def _draw_process():
    """Draw this process's digits; anew after a fork."""
    cdef bytes drawn = os.urandom(5)
    cdef int n
    for n in range(5):
        process[n] = drawn[n]


_draw_process()
os.register_at_fork(after_in_child=_draw_process)


cdef inline void write_byte(unsigned char* at, unsigned int byte) noexcept:
    at[0] = b"0123456789abcdef"[byte >> 4 & 15]
    at[1] = b"0123456789abcdef"[byte & 15]


def attempt_id(now_us=None, /):
    """A new id, unique everywhere: 32 hexadecimal digits that begin with the time, so that rows are appended.

    (Random ids would be kept just as safely, but each would touch a page of the database of its own.) The time in
    microseconds, ten digits that are this process's, drawn once, and a count.
    """
    global count
    cdef uint64_t time
    cdef int n
    time = wall_us() if now_us is None else PyLong_AsUnsignedLongLongMask(now_us)
    cdef object made = PyUnicode_New(32, 127)
    cdef unsigned char* at = digits_of(<PyObject*>made)
    for n in range(7):
        write_byte(at + 2 * n, <unsigned int>(time >> 8 * (6 - n)))
    for n in range(5):
        write_byte(at + 14 + 2 * n, process[n])
    for n in range(4):
        write_byte(at + 24 + 2 * n, <unsigned int>(count >> 8 * (3 - n)))
    count += 1
    return made

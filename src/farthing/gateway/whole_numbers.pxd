"""Whole numbers of Python's, which have no end, as those of C, which have one."""

from cpython.long cimport PyLong_AsLongLongAndOverflow
from libc.stdint cimport int64_t


cdef inline int64_t cut(object number, int64_t most) except? -1:
    """The whole number, or of those within `most` of 0 the nearest to it."""
    cdef int overflow = 0
    cdef int64_t found = PyLong_AsLongLongAndOverflow(number, &overflow)
    if overflow:
        return most if overflow > 0 else -most
    return min(max(found, -most), most)


cdef inline bint fits(object number, long long *found) except -1:
    """Whether the whole number is 0 to 2^63 - 1, and then which it is."""
    cdef int overflow = 0
    found[0] = PyLong_AsLongLongAndOverflow(number, &overflow)
    return not overflow and found[0] >= 0

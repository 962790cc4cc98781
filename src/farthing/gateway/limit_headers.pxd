"""What other compiled modules may use of `limit_headers`."""

cimport cython
from libc.stdint cimport int64_t


@cython.final
cdef class Told:
    cdef object requests
    cdef object tokens
    cdef list _fixed
    cdef bytes _fixed_lines
    cdef bint _is_huge
    cdef int64_t _requests
    cdef int64_t _tokens
    cdef list headers(self, int64_t used, int64_t taken)
    cdef bytes lines(self, int64_t used, int64_t taken)

from libc.stdint cimport uint64_t


cdef enum:
    HEAD_BYTES = 16
    LONGEST_BYTES = 4096  # of what is packed here

cdef Py_ssize_t pack_rows(list rows, unsigned char* start, Py_ssize_t room) noexcept
cdef int put_head(unsigned char* frame, Py_ssize_t body_bytes, uint64_t through) except -1


cdef class Segment:
    cdef readonly object path
    cdef public int handle
    cdef readonly Py_ssize_t limit
    cdef public Py_ssize_t size
    cdef public uint64_t through
    cdef public bint torn


cdef class Latest:
    cdef public Segment now

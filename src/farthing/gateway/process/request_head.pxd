from libc.stdint cimport uint64_t

from farthing.gateway.process.request_lines cimport Lines, Place

cdef enum:
    MOST_SEEN = 1024


cdef class Meaning:
    cdef readonly str method
    cdef readonly str path
    cdef readonly bytes query
    cdef readonly dict headers
    cdef public object memo
    cdef bytes _raw
    cdef tuple _names
    cdef Lines _lines
    cdef bint _kept


cdef class Heads:
    cdef readonly dict known
    cdef uint64_t _seen[MOST_SEEN]
    cdef Meaning find(self, bytes data, Meaning last, Place* place)
    cdef int _keep(self, bytes key, Meaning meaning) except -1

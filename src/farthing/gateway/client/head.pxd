cdef enum:
    MOST_LINES = 64


cdef class Head:
    cdef readonly int status
    cdef readonly Py_ssize_t length
    cdef public object memo
    cdef list _pairs
    cdef dict _named
    cdef bytes _raw
    cdef int _count, _stated
    cdef int _ends[MOST_LINES + 1]


cdef Head read_head(bytes data, Head known)
cdef Py_ssize_t size_of(Head head) noexcept

from farthing.gateway.watch cimport Watch

cdef class Call:
    cdef readonly str id
    cdef readonly object surface
    cdef readonly object headers
    cdef readonly bytes body
    cdef readonly object asked
    cdef readonly object party
    cdef readonly object by
    cdef readonly Watch watch
    cdef readonly object send
    cdef readonly object cycle
    cdef readonly dict lines
    cdef readonly long long started_us
    cdef long long _ahead_us
    cdef public object tokens
    cdef public bint answered
    cdef public int status
    cdef public object trace
    cdef public object admission
    cdef public frozenset blamed

    cpdef object now_us(self)
    cpdef leave(self)
    cpdef bytes own_lines(self)

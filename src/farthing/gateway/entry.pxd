from farthing.gateway.call cimport Call

cdef class Entry:
    cdef object _state
    cdef Call _call
    cdef int _number
    cdef readonly str attempt
    cdef readonly bint opened
    cdef public bint done
    cdef public object first_us
    cdef readonly object left
    cdef object _started_us
    cdef object _hold
    cdef object _place
    cdef object _row
    cdef readonly object priced

    cpdef bint begin(self, object place) except -1
    cpdef release(self)
    cpdef open(self, object upstream, str log)

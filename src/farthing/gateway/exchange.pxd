from farthing.gateway.call cimport Call
from farthing.gateway.entry cimport Entry

cdef class Exchange:
    cdef object _state
    cdef Call _call
    cdef str _target
    cdef str _log
    cdef Entry _entry
    cdef str _why
    cdef object _place
    cdef Py_ssize_t _held
    cdef object _upstream
    cdef object _out
    cdef object _request
    cdef object _early
    cdef bint _begun
    cdef object _fault
    cdef object _failed
    cdef object _unsent

    cpdef bint at_once(self, object done) except -1
    cpdef bint came(self) except -1
    cdef _open(self, object cap)
    cdef _over(self)
    cdef _whole(self, object status, object pairs, dict named, bytes body)
    cdef _answer(self, object status, object pairs, dict named, bytes body)

from farthing.gateway.call cimport Call
from farthing.gateway.exchange cimport Exchange
from farthing.gateway.watch cimport Watch

cdef class Visit:
    cdef readonly str id
    cdef readonly str path
    cdef readonly object receive
    cdef readonly object send
    cdef public bint answered

cdef class Metered(Visit):
    cdef readonly object surface
    cdef readonly object headers
    cdef readonly object cycle
    cdef readonly Call call
    cdef object _gateway
    cdef object _state
    cdef Watch _watch
    cdef object _caller
    cdef dict _lines
    cdef Py_ssize_t _bytes
    cdef Exchange _exchange
    cdef object _fault
    cdef bint _in_task

    cpdef at_once(self)
    cpdef go_on(self)
    cdef _arrive(self)
    cdef Call _enter(self, bytes body)
    cdef _told(self)
    cdef _leave(self)

cdef class Watch

cdef class Sweep:
    cdef readonly object loop
    cdef readonly object time
    cdef readonly set watches
    cdef readonly bint ticking

    cpdef Watch watch(self, object task, double deadline_s, object take_up=*)
    cpdef begin(self)

cdef class Watch:
    cdef public object task
    cdef public object take_up
    cdef public bint paused
    cdef Sweep _sweep
    cdef double _deadline
    cdef double _alive_at
    cdef double _seconds
    cdef str _what
    cdef str _fired

    cpdef expect(self, str what, double seconds)
    cpdef alive(self)
    cpdef rest(self)
    cpdef end(self)

from farthing.gateway.client.head cimport Head


cdef class Response:
    cdef readonly int status
    cdef readonly Head head
    cdef readonly Py_ssize_t waiting_bytes
    cdef public object done
    cdef object connection  # until the answer is over
    cdef bytes body  # all of it, where it came at once; else there are `_pieces`
    cdef list _pieces
    cdef str _broke
    cdef object _waiter

    cdef bytes _taken(self)
    cdef void add(self, bytes piece) except *
    cdef void fail(self, str what) noexcept
    cdef void tell(self) except *

"""What other compiled modules may use of `shared_words`."""

cimport cython
from libc.stdint cimport int64_t


cdef extern from "pthread.h" nogil:
    ctypedef struct pthread_mutex_t:
        pass


@cython.final
cdef class SharedWords:
    cdef int64_t *words
    cdef readonly Py_ssize_t count
    cdef Py_buffer _view
    cdef pthread_mutex_t *_lock
    cdef int _file
    cdef bint _is_had
    cdef list _put_off
    cdef int64_t *mapped(self) except NULL
    cpdef int attempt(self) except -1
    cpdef give_back(self)
    cpdef close(self)
    cdef int _do_put_off(self) except -1

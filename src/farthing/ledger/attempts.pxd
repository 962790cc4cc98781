cdef Py_ssize_t offset(str name) except -1
cdef object told(object row, Py_ssize_t at, str name)

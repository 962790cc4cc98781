from cpython.object cimport PyObject


cdef Py_ssize_t offset(str name) except -1
cdef object told(object row, Py_ssize_t at, str name)

cdef inline PyObject* field(PyObject* row, Py_ssize_t at) noexcept:
    """What the row has `at` an `offset`, borrowed; NULL where it was never set."""
    return (<PyObject**>(<char*>row + at))[0]

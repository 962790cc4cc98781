"""The fields of msgspec's Structs where they lie: read by offset, without a look-up by name, and copied with a few of them
set, for values of which most fields are always the same.

What is relied on: an object of a Struct is its head and, behind it, a pointer for each field and nothing else; Python's
own descriptors of the fields (`member_descriptor`, as `__slots__` have them) tell at which offset; and a type that asks
for it (`gc=False`) is not followed by the collector. msgspec promises none of that. It is fair to rely on it because
pyproject.toml pins msgspec to one minor version, and `offset_of`, which everybody asks at import, refuses a type that is
laid out in another way. CPython promises the rest (`structmember.h`, `PyObject_New`).
"""

from cpython.object cimport PyObject

cdef extern from *:
    """
    #include <string.h>
    #include <structmember.h>

    /* What lies there, borrowed: `of` is exactly of the type that was asked. NULL: never set. */
    #define farthing_field(of, offset) (*(PyObject **)((char *)(of) + (offset)))

    /* A copy of `from` with `values` at `places`. */
    static inline PyObject *farthing_copied(PyObject *from, PyObject **values, const Py_ssize_t *places, int count) {
        Py_ssize_t size = Py_TYPE(from)->tp_basicsize - (Py_ssize_t)sizeof(PyObject), i;
        PyObject *made = PyObject_New(PyObject, Py_TYPE(from)), **fields;
        if (made == NULL) return NULL;
        fields = (PyObject **)(made + 1);
        memcpy(fields, from + 1, (size_t)size);
        for (i = 0; i < count; i++) farthing_field(made, places[i]) = values[i];
        for (i = 0; i < size / (Py_ssize_t)sizeof(PyObject *); i++) Py_XINCREF(fields[i]);
        return made;
    }

    /* Set a field of an object that nobody else has seen. */
    static inline void farthing_put(PyObject *made, Py_ssize_t offset, PyObject *value) {
        PyObject *before = farthing_field(made, offset);
        Py_INCREF(value);
        farthing_field(made, offset) = value;
        Py_XDECREF(before);
    }
    """
    PyObject *field "farthing_field"(PyObject *of, Py_ssize_t offset) noexcept
    object copied "farthing_copied"(object one, PyObject **values, const Py_ssize_t *places, int count)
    void put "farthing_put"(object made, Py_ssize_t offset, object value)

cpdef Py_ssize_t offset_of(object kind, str name) except -1

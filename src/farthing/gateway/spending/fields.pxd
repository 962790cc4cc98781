"""Fields of msgspec's Structs read where they lie, as C: by offset, without a look-up by name."""

from cpython.object cimport PyObject

cdef extern from *:
    """
    #include "structmember.h"
    /* Where the slot `name` lies in objects of `type`; -1 with TypeError where it is no slot for an object. */
    static Py_ssize_t farthing_field(PyObject *type, const char *name) {
        Py_ssize_t found = -1;
        PyObject *slot = PyObject_GetAttrString(type, name);
        if (slot == NULL) return -1;
        if (Py_IS_TYPE(slot, &PyMemberDescr_Type) && ((PyMemberDescrObject *)slot)->d_member->type == T_OBJECT_EX)
            found = ((PyMemberDescrObject *)slot)->d_member->offset;
        else
            PyErr_Format(PyExc_TypeError, "%s is not a slot", name);
        Py_DECREF(slot);
        return found;
    }
    /* What lies there, borrowed: `of` is exactly of that type, and lives on while it is used. NULL: not set. */
    #define farthing_at(of, offset) (*(PyObject **)((char *)(of) + (offset)))
    """
    Py_ssize_t farthing_field(object type, const char *name) except -1
    PyObject *farthing_at(PyObject *of, Py_ssize_t offset) noexcept

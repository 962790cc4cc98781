"""Copies of msgspec's Structs, a few fields of which are then set: for values of which most fields are always the same.

A Struct is its head and behind it a pointer for each field (`offset_of` makes sure of it), which is all that is used
here of how msgspec lays it out.
"""

from cpython.object cimport PyObject

cdef extern from *:
    """
    #include <structmember.h>

    /* The place of a field in the objects of its type, as the type's descriptor of it says; -1 if that is none. */
    static Py_ssize_t farthing_offset(PyObject *descriptor) {
        if (!Py_IS_TYPE(descriptor, &PyMemberDescr_Type)) return -1;
        PyMemberDef *member = ((PyMemberDescrObject *)descriptor)->d_member;
        return member->type == T_OBJECT_EX ? member->offset : -1;
    }

    /* A copy of `from`, an object of a type that is not collected whose fields are all set. */
    static PyObject *farthing_copied(PyObject *from) {
        PyTypeObject *type = Py_TYPE(from);
        PyObject *made = PyObject_New(PyObject, type);
        if (made == NULL) return NULL;
        PyObject **to = (PyObject **)(made + 1), **fields = (PyObject **)(from + 1);
        Py_ssize_t count = (type->tp_basicsize - (Py_ssize_t)sizeof(PyObject)) / (Py_ssize_t)sizeof(PyObject *);
        for (Py_ssize_t i = 0; i < count; i++) {
            Py_INCREF(fields[i]);
            to[i] = fields[i];
        }
        return made;
    }

    /* Set the field at `offset` of an object that nobody else has seen. */
    static void farthing_put(PyObject *made, Py_ssize_t offset, PyObject *value) {
        PyObject **field = (PyObject **)((char *)made + offset), *before = *field;
        Py_INCREF(value);
        *field = value;
        Py_DECREF(before);
    }
    """
    Py_ssize_t _offset "farthing_offset"(object descriptor)
    object copied "farthing_copied"(object struct)
    void put "farthing_put"(object struct, Py_ssize_t offset, object value)


cdef inline Py_ssize_t offset_of(object kind, str name) except -1:
    """The place of the field `name` in objects of the Struct `kind`, which can be `copied`. Raises TypeError where it
    cannot."""
    cdef Py_ssize_t size = object.__basicsize__ + sizeof(PyObject*) * len(kind.__struct_fields__)
    cdef Py_ssize_t offset = _offset(kind.__dict__[name])
    if kind.__basicsize__ != size or not object.__basicsize__ <= offset < size or kind.__struct_config__.gc:
        raise TypeError(f"{kind.__name__} is not laid out as structs of the msgspec that this was written for")
    return offset

# cython: language_level=3
"""Where the fields of msgspec's Structs lie; see struct_fields.pxd for what is done with that."""

from cpython.object cimport PyObject

import msgspec

cdef extern from *:
    """
    #include <structmember.h>

    /* The offset that a type's descriptor of a field tells; -1 if it is none of an object. */
    static Py_ssize_t farthing_offset(PyObject *descriptor) {
        PyMemberDef *member = NULL;
        if (Py_IS_TYPE(descriptor, &PyMemberDescr_Type)) member = ((PyMemberDescrObject *)descriptor)->d_member;
        return member != NULL && member->type == T_OBJECT_EX ? member->offset : -1;
    }
    """
    Py_ssize_t offset_told "farthing_offset"(object descriptor) noexcept


cpdef Py_ssize_t offset_of(object kind, str name) except -1:
    """At which offset the field `name` lies in objects of the Struct `kind`, whose fields may then be read and copied
    as they lie there. Raises `ImportError` where they may not."""
    cdef Py_ssize_t head = sizeof(PyObject), pointer = sizeof(PyObject *)
    cdef Py_ssize_t size = head + pointer * len(kind.__struct_fields__)
    cdef Py_ssize_t offset = offset_told(kind.__dict__.get(name))
    if kind.__basicsize__ != size or not head <= offset < size or (offset - head) % pointer or kind.__struct_config__.gc:
        raise ImportError(
            f"{kind.__name__}.{name} does not lie where msgspec 0.22 puts it: Farthing cannot run with msgspec "
            f"{msgspec.__version__} (install the version that Farthing asks for)"
        )
    return offset

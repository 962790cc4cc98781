"""Objects of a known form in JSON, as `json_form` reads them."""

from farthing.gateway.metering.json_text cimport Place

cdef enum:  # where a count is put
    READ, MADE, TOTAL, HIT, CACHED, REASONING, WRITTEN, FIVE, HOUR, COUNTS
cdef enum:  # and where a text
    ID, MODEL, TIER, FINISH, SERVICE_TIER, GEO, SPEED, TEXTS
cdef struct Found:
    long long counts[COUNTS]
    Place texts[TEXTS]  # NULL for one that is empty or absent
    Py_ssize_t sizes[TEXTS]
    long long calls  # of tools
    long long said
    long long pieces  # that are not empty
    long long piece_bytes

cdef struct Member:
    const char* name
    Py_ssize_t size
    int kind
    bint or_null
    int place
    long long most
    bint is_call
    const char* said
    Py_ssize_t said_size

cdef enum:
    _MOST_MEMBERS = 16


cdef class Form:
    cdef Member members[_MOST_MEMBERS]
    cdef int count
    cdef bint others
    cdef list inner  # of each member, None where it has none
    cdef list names
    cdef list shapes
    cdef bint read(self, bytes text, Py_ssize_t start, Found* found) except -1

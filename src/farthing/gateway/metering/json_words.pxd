"""A few words, which texts in JSON are compared with as they lie."""

from libc.stdint cimport uint64_t
from libc.string cimport memcmp

from farthing.gateway.metering.json_text cimport Place, Text, past_literal, past_plain

cdef enum:
    MOST_WORDS = 32

cdef struct Word:
    const char* begin
    Py_ssize_t size


cdef class Words:
    cdef tuple kept
    cdef Word words[MOST_WORDS]
    cdef int count
    cdef uint64_t sizes


cdef inline bint is_one(Words words, Place text, Py_ssize_t size) noexcept:
    """Whether the `size` bytes at `text` are one of `words`."""
    cdef int i
    if size < 64 and words.sizes >> size & 1:
        for i in range(words.count):
            if words.words[i].size == size and memcmp(words.words[i].begin, text, size) == 0:
                return True
    return False


cdef inline bint begins_with_one(Words words, Place text, Py_ssize_t size) noexcept:
    """Whether one of `words` begins the `size` bytes at `text`."""
    cdef int i
    for i in range(words.count):
        if words.words[i].size <= size and memcmp(words.words[i].begin, text, words.words[i].size) == 0:
            return True
    return False


cdef inline bint is_type(Place name, Py_ssize_t size) noexcept:
    """Whether the `size` bytes at `name` are `type`."""
    return size == 4 and memcmp(name, b"type", 4) == 0


cdef inline Place past_type(Text* text, Place at, Place* type, Py_ssize_t* size) noexcept:
    """Behind what a part or a tool says at `at` of what type it is: a plain text, or null, which is as good as ""."""
    type[0], size[0] = at + 1, 0
    if at[0] == b"n":
        return past_literal(text, at)
    if at[0] != b'"':
        return NULL
    at = past_plain(text, at + 1)
    if at != NULL:
        size[0] = at - type[0] - 1
    return at

# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""How many tools a request has and whether the provider runs one of them, without an object for each.

An agent sends the same tools with each of its requests, and they are the longest that it sends: what a list came to is
kept by its bytes, for comparing takes a hundredth of a walk.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp

from farthing.gateway.metering.json_text cimport past_colon, past_plain, past_space, past_value
from farthing.gateway.metering.json_words cimport begins_with_one, is_type, past_type

cdef enum:
    _MOST_KNOWN = 16
    _MOST_KNOWN_BYTES = 1 << 20  # together
    _LEAST_KNOWN_BYTES = 256  # what is shorter is as quickly walked along


@cython.final
cdef class _Known:
    """What a walk along a list of tools found and counted."""

    cdef bytes text
    cdef Tools found
    cdef Py_ssize_t begun, names, strings


@cython.final
cdef class ToolLists:
    """Reads lists of tools, of which it keeps a few. A tool is built in whose type begins with one of `built_in`."""

    def __cinit__(self, Words built_in not None):
        self.built_in, self.known, self.known_bytes = built_in, [], 0

    cdef Place past(self, Text* text, Place at, Tools* found) except? NULL:
        """Behind the list of tools at `at`; NULL where it is another thing, or not written as clients write it."""
        cdef Text before = text[0]
        cdef Place end = _past_known(self.known, text, at, found)
        if end == NULL:
            end = _past_tools(self.built_in, text, at, found)
            if end != NULL and _LEAST_KNOWN_BYTES <= end - at <= _MOST_KNOWN_BYTES:
                self.known_bytes += _keep(self.known, self.known_bytes, &before, text, at, end, found)
        return end


cdef Place _past_known(list known, Text* text, Place at, Tools* found):
    """Behind a list of tools that is kept; NULL where none is. (No list is the beginning of another.)"""
    cdef _Known one
    cdef Py_ssize_t i, size, left = text.end - at
    for i in range(len(known)):
        one = <_Known> known[i]
        size = PyBytes_GET_SIZE(one.text)
        if size <= left and memcmp(PyBytes_AS_STRING(one.text), at, size) == 0:
            if i:
                known[0], known[i] = one, known[0]
            found[0] = one.found
            text.begun += one.begun
            text.names += one.names
            text.strings += one.strings
            return at + size
    return NULL


cdef Py_ssize_t _keep(list known, Py_ssize_t bytes, Text* before, Text* text, Place at, Place end, Tools* found):
    """Keep the list of tools that stands from `at` to `end`, in the place of others; by how many bytes are more kept.
    `before` and `text`: what the walk had counted there."""
    cdef _Known one = _Known.__new__(_Known), last
    cdef Py_ssize_t more = end - at
    while len(known) >= _MOST_KNOWN or bytes + more > _MOST_KNOWN_BYTES:
        last = <_Known> known.pop()
        more -= PyBytes_GET_SIZE(last.text)
    one.text, one.found = PyBytes_FromStringAndSize(<const char*> at, end - at), found[0]
    one.begun, one.names = text.begun - before.begun, text.names - before.names
    one.strings = text.strings - before.strings
    known.append(one)
    return more


cdef Place _past_tools(Words built_in, Text* text, Place at, Tools* found) noexcept:
    found.are_stated, found.count, found.built_in = True, 0, False
    if at[0] != c"[":
        return NULL
    text.begun += 1
    at = past_space(at + 1)
    if at[0] == c"]":
        return at + 1
    while at[0] == c"{":
        text.begun += 1
        found.count += 1
        at = _past_tool(built_in, text, past_space(at + 1), found)
        if at == NULL:
            return NULL
        at = past_space(at)
        if at[0] == c"]":
            return at + 1
        if at[0] != c",":
            return NULL
        at = past_space(at + 1)
    return NULL


cdef Place _past_tool(Words built_in, Text* text, Place at, Tools* found) noexcept:
    """Behind the tool whose inside begins at `at`."""
    cdef Place name
    cdef Py_ssize_t size
    cdef bint is_typed = False
    if at[0] == c"}":
        return at + 1
    while at[0] == c'"':
        name = at + 1
        text.names += 1
        at = past_plain(text, name)
        if at == NULL:
            return NULL
        size = at - name - 1
        at = past_colon(at)
        if at == NULL:
            return NULL
        if is_type(name, size):
            if is_typed:
                return NULL  # the last one would count
            is_typed = True
            at = past_type(text, at, &name, &size)
            if at != NULL and size:
                if name[0] == c" " or name[0] == 0x7F:
                    return NULL  # (`words.word` would take that away)
                found.built_in = found.built_in or begins_with_one(built_in, name, size)
        else:
            at = past_value(text, at)
        if at == NULL:
            return NULL
        at = past_space(at)
        if at[0] == c"}":
            return at + 1
        if at[0] != c",":
            return NULL
        at = past_space(at + 1)
    return NULL

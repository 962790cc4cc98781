# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""What stands in a request around its prompt and its tools: found in one walk along its bytes, without an object for each
message, part or tool.

Of the prompt only its size is wanted, so long as it is all text: nothing in it says that it is an image, say. Of the
tools it is wanted how many they are, and whether the provider runs one of them.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdio cimport snprintf
from libc.string cimport memchr, memcmp, memcpy

from farthing.gateway.metering.json_text cimport (
    Place,
    Text,
    is_crowded,
    past_colon,
    past_literal,
    past_plain,
    past_space,
    past_string,
    past_value,
    set_out,
)
from farthing.gateway.metering.json_words cimport is_one, is_type, past_type

cdef enum:
    _MOST_CUTS = 8
    _DEEPEST = 24  # levels of parts in parts
    _MOST_TOLD = 32  # bytes

cdef enum How:  # the value of a member is read
    _AS_IT_STANDS, _PARTS, _ANYTHING, _TOOLS

cdef struct Cut:  # a value that is left out of the outline
    Place begin
    Place end
    How how


@cython.final
cdef class Outline:
    """A request without its prompt: what is known of it.

    `text`: its JSON with null for the values that are left out, and for the tools a list of how many they are and
    whether one is built in. `size`: how many bytes the request has. `tools`: how many; `built_in`: the provider runs
    one of them.
    """


@cython.final
cdef class Outlines:
    """Finds the outlines of requests."""

    def __cinit__(self, *, parts, others, not_text, built_in):
        """`parts`: the members that hold messages, items or parts of them; `others`: those whose value does not matter.
        What is of one of the types `not_text` is no text; a tool whose type one of `built_in` begins is built in."""
        self.parts, self.others, self.not_text = Words(parts), Words(others), Words(not_text)
        self.tools = ToolLists(Words(built_in))

    def outline(self, bytes body not None):
        """The outline of `body`; None where it has none."""
        cdef Tools tools
        cdef bytes text = self.text_of(body, &tools)
        return None if text is None else outline_of(text, PyBytes_GET_SIZE(body), &tools)

    cdef bytes text_of(self, bytes body, Tools* tools):
        """The text of the outline of `body`, whose tools are told in `tools`. None where it is not JSON, not all text,
        or not written as clients write it; else, if the outline's text is a request, so is `body`."""
        cdef Text walk
        cdef Cut[_MOST_CUTS] cuts
        cdef Place begin = <Place> PyBytes_AS_STRING(body), at, value
        cdef int count = 0
        cdef How how
        set_out(&walk, begin, PyBytes_GET_SIZE(body))
        tools.are_stated, tools.count, tools.built_in = False, 0, False
        at = past_space(begin)
        if at[0] != c"{":
            return None
        at = past_space(at + 1)
        while True:
            if at[0] != c'"':
                return None
            value = _past_name(self, &walk, at + 1, &how)
            if value == NULL:
                return None
            at = _past_member(self, &walk, value, how, tools)
            if at == NULL:
                return None
            if how != _AS_IT_STANDS and value[0] != c"n":
                if count == _MOST_CUTS:
                    return None
                cuts[count].begin, cuts[count].end, cuts[count].how = value, at, how
                count += 1
            at = past_space(at)
            if at[0] == c"}":
                break
            if at[0] != c",":
                return None
            at = past_space(at + 1)
        if past_space(at + 1) != walk.end or is_crowded(&walk):
            return None
        return _without(body, cuts, count, tools)


cdef inline Place _past_name(Outlines rules, Text* text, Place at, How* how) noexcept:
    """Where the value of the member begins whose name begins at `at` (its quote before it), and how that is read."""
    cdef Place name = at
    cdef Py_ssize_t size
    text.names += 1
    at = past_plain(text, at)
    if at == NULL:
        return NULL
    size = at - name - 1
    how[0] = _AS_IT_STANDS
    if is_one(rules.parts, name, size):
        how[0] = _PARTS
    elif is_one(rules.others, name, size):
        how[0] = _ANYTHING
    elif size == 5 and memcmp(name, b"tools", 5) == 0:
        how[0] = _TOOLS
    return past_colon(at)


cdef inline Place _past_member(Outlines rules, Text* text, Place at, How how, Tools* tools) except? NULL:
    """Behind the value at `at`."""
    if how == _PARTS:
        return _past_parts(rules.not_text, text, at, 0)
    if how != _TOOLS or at[0] == c"n":
        return past_value(text, at)
    if tools.are_stated:
        return NULL  # as upstreams may read either, what is wrong is told of the whole body
    return rules.tools.past(text, at, tools)


cdef Place _past_parts(Words not_text, Text* text, Place at, int depth) noexcept:
    """Behind a text, a part or a list of parts that is all text; NULL where it may be something else."""
    if at[0] == c'"':
        return past_string(text, at + 1)
    if at[0] == c"n":
        return past_literal(text, at)
    if depth == _DEEPEST:
        return NULL
    if at[0] == c"{":
        return _past_part(not_text, text, at, depth + 1)
    if at[0] != c"[":
        return NULL
    text.begun += 1
    at = past_space(at + 1)
    if at[0] == c"]":
        return at + 1
    while at[0] == c"{":
        at = _past_part(not_text, text, at, depth + 1)
        if at == NULL:
            return NULL
        at = past_space(at)
        if at[0] == c"]":
            return at + 1
        if at[0] != c",":
            return NULL
        at = past_space(at + 1)
    return NULL


cdef Place _past_part(Words not_text, Text* text, Place at, int depth) noexcept:
    """Behind the message, item or part at `at`."""
    cdef Place name
    cdef Py_ssize_t size
    text.begun += 1
    at = past_space(at + 1)
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
            at = past_type(text, at, &name, &size)
            if at == NULL or is_one(not_text, name, size):
                return NULL
        elif (size == 7 and memcmp(name, b"content", 7) == 0) or (size == 6 and memcmp(name, b"output", 6) == 0):
            at = _past_parts(not_text, text, at, depth)
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


cdef bytes _without(bytes body, Cut* cuts, int count, Tools* tools):
    """`body` with something short in the places of `cuts`. None where what is left has letters that are written as
    numbers: half a pair of them is read in one way if it is the only one in a body, and in another if it is not."""
    cdef char[_MOST_TOLD] told
    cdef int told_size = 0
    cdef Py_ssize_t size = PyBytes_GET_SIZE(body)
    cdef Place at = <Place> PyBytes_AS_STRING(body), end = at + size
    cdef bytes left
    cdef char* to
    cdef int i
    if tools.are_stated:
        told_size = snprintf(told, _MOST_TOLD, b"[%zd,%d]", tools.count, <int> tools.built_in)
    for i in range(count):
        size += (told_size if cuts[i].how == _TOOLS else 4) - (cuts[i].end - cuts[i].begin)
    left = PyBytes_FromStringAndSize(NULL, size)
    to = PyBytes_AS_STRING(left)
    for i in range(count):
        to = _put(to, <const char*> at, cuts[i].begin - at)
        to = _put(to, told, told_size) if cuts[i].how == _TOOLS else _put(to, b"null", 4)
        at = cuts[i].end
    _put(to, <const char*> at, end - at)
    return None if _has_numbered(<Place> PyBytes_AS_STRING(left), size) else left


cdef inline char* _put(char* to, const char* what, Py_ssize_t size) noexcept:
    memcpy(to, what, size)
    return to + size


cdef inline bint _has_numbered(Place at, Py_ssize_t size) noexcept:
    cdef Place end = at + size
    while True:
        at = <Place> memchr(at, c"\\", end - at)
        if at == NULL:
            return False
        if at[1] == c"u":
            return True
        at += 1

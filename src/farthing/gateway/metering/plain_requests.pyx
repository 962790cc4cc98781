# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Requests that ask for what one before them asked for, in other words: read at one glance over their bytes.

An application asks for the same model under the same settings again and again. What stands around the prompt is then
the same to the byte, and of the prompt itself only its size is wanted: so long as it is one JSON value in which nothing
names a `type`, it is all text.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from libc.string cimport memcpy

from farthing.gateway.metering.json_text cimport (
    Place,
    Text,
    is_crowded,
    past_colon,
    past_space,
    past_value,
    set_out,
)
from farthing.gateway.metering.struct_copy cimport copied, offset_of, put
from farthing.gateway.metering.values import Asked

cdef extern from *:
    """
    #include <string.h>
    /* The first place where `size` bytes are those of `name`, which begins with a quote; NULL where there is none. (As
       memmem, which is not in every C library.) */
    static const unsigned char *farthing_first(const unsigned char *at, const unsigned char *end, const char *name,
                                               Py_ssize_t size) {
        while (end - at >= size && (at = memchr(at, '"', (size_t)(end - at - size + 1))) != NULL) {
            if (memcmp(at, name, (size_t)size) == 0) return at;
            at++;
        }
        return NULL;
    }
    """
    Place first "farthing_first"(Place at, Place end, const char* name, Py_ssize_t size) noexcept

cdef Py_ssize_t _BOUND = offset_of(Asked, "prompt_tokens_bound")
cdef Py_ssize_t _ESTIMATE = offset_of(Asked, "prompt_tokens_estimate")


def names_no_type(bytes text not None) -> bool:
    """Whether `text` is one JSON value in which no member is called `type`: a prompt is then all text, for whatever is
    none says of what type it is. (False as well where a name has an escape or is not ASCII, or the text is too deep
    or too crowded.)"""
    cdef Text walk
    cdef Place at = <Place> PyBytes_AS_STRING(text)
    set_out(&walk, at, PyBytes_GET_SIZE(text))
    walk.all_text = True
    at = past_value(&walk, past_space(at))
    return at != NULL and past_space(at) == walk.end and not is_crowded(&walk)


@cython.final
cdef class Remembered:
    """What was asked by requests whose prompt is all text, by what stands around the prompt."""

    cdef bytes _name
    cdef dict _asked
    cdef Py_ssize_t _most, _longest, _least, _likely

    def __cinit__(self, str prompt, *, Py_ssize_t most, Py_ssize_t longest, Py_ssize_t least, Py_ssize_t likely):
        """`prompt`: the member whose value is the prompt. Up to `most` are remembered, each of less than `longest`
        bytes. A token holds at least `least` bytes, and is likely to hold `likely`."""
        if min(least, likely) < 1:
            raise ValueError(f"a token of {min(least, likely)} bytes")
        self._name = b'"' + prompt.encode() + b'"'
        self._asked = {}
        self._most, self._longest, self._least, self._likely = most, longest, least, likely

    @property
    def count(self) -> int:
        """How many are remembered."""
        return len(self._asked)

    def ask(self, bytes body not None):
        """What `body` asks for, if the same stands in it around another prompt as in one that was kept; else None."""
        cdef bytes around = self._around(body)
        cdef PyObject* known
        if around is None:
            return None
        known = PyDict_GetItemWithError(self._asked, around)
        return None if known == NULL else self._sized(<object> known, PyBytes_GET_SIZE(body))

    def keep(self, bytes body not None, asked) -> None:
        """Remember `asked`, which says of `body` what it would say of any with another prompt that is all text."""
        cdef bytes around = self._around(body)
        if type(asked) is not Asked:
            raise TypeError(f"no request: {asked!r}")
        if around is None:
            return
        if len(self._asked) >= self._most:
            self._asked.clear()
        self._asked[around] = asked

    def around(self, bytes body not None):
        """`body` without the value of its first member called as the prompt is; None where that is not all text, or
        what is left is long. It is JSON where any body is that has another JSON value in its place."""
        return self._around(body)

    cdef bytes _around(self, bytes body):
        cdef Text walk
        cdef Place begin = <Place> PyBytes_AS_STRING(body), at, value
        cdef Py_ssize_t before
        cdef bytes around
        set_out(&walk, begin, PyBytes_GET_SIZE(body))
        walk.all_text = True
        at = begin + min(PyBytes_GET_SIZE(body), self._longest)
        at = first(begin, at, PyBytes_AS_STRING(self._name), PyBytes_GET_SIZE(self._name))
        if at == NULL:
            return None
        value = past_colon(at + PyBytes_GET_SIZE(self._name))
        if value == NULL or value - begin >= self._longest:
            return None
        at = past_value(&walk, value)
        if at == NULL or is_crowded(&walk):
            return None
        before = value - begin
        if before + (walk.end - at) >= self._longest:
            return None
        around = PyBytes_FromStringAndSize(NULL, before + (walk.end - at))
        memcpy(PyBytes_AS_STRING(around), begin, before)
        memcpy(PyBytes_AS_STRING(around) + before, at, walk.end - at)
        return around

    cdef object _sized(self, object asked, Py_ssize_t size):
        """`asked` for a body of `size` bytes."""
        cdef object found = copied(asked)
        put(found, _BOUND, (size + self._least - 1) // self._least)
        put(found, _ESTIMATE, (size + self._likely - 1) // self._likely)
        return found

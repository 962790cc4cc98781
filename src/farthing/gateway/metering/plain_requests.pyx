# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Requests that ask for what one before them asked for, in other words: read at one glance over their bytes.

An application asks for the same model under the same settings again and again. What stands around the prompt is then
the same to the byte, and of the prompt itself only its size is wanted: so long as it is all text (see `outlines`). Any
other request is `request.read_request`'s to decode.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject

from farthing.gateway.metering.json_text cimport Place, Text, is_crowded, past_space, past_value, set_out
from farthing.gateway.metering.outlines cimport Outline, Outlines, outline_of
from farthing.gateway.metering.tool_lists cimport Tools
from farthing.struct_fields cimport copied, offset_of
from farthing.gateway.metering.values import Asked

cdef Py_ssize_t[2] _SIZES = [offset_of(Asked, "prompt_tokens_bound"), offset_of(Asked, "prompt_tokens_estimate")]


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
cdef class _Kept:
    """What was asked, and how many tokens its bound has beside those of its text: -1 where it has no bound."""

    cdef object asked
    cdef Py_ssize_t beside


@cython.final
cdef class Remembered:
    """What was asked by requests whose prompt is all text, by their outlines."""

    cdef Outlines _outlines
    cdef dict _kept
    cdef Py_ssize_t _most, _longest, _most_bytes, _bytes, _least, _likely

    def __cinit__(
        self, Outlines outlines not None, *, Py_ssize_t most, Py_ssize_t longest, Py_ssize_t most_bytes,
        Py_ssize_t least, Py_ssize_t likely,
    ):  # fmt: skip
        """Up to `most` are remembered, whose outlines have up to `longest` bytes each and `most_bytes` together. A token
        holds at least `least` bytes, and is likely to hold `likely`."""
        if min(least, likely) < 1:
            raise ValueError(f"a token of {min(least, likely)} bytes")
        self._outlines, self._kept, self._bytes = outlines, {}, 0
        self._most, self._longest, self._most_bytes, self._least, self._likely = most, longest, most_bytes, least, likely

    @property
    def count(self) -> int:
        """How many are remembered."""
        return len(self._kept)

    @property
    def held_bytes(self) -> int:
        """How many bytes their outlines have together."""
        return self._bytes

    def ask(self, bytes body not None):
        """What `body` asks for, if a request with the same outline was kept; else its outline, None if it has none."""
        cdef Tools tools
        cdef bytes text = self._outlines.text_of(body, &tools)
        cdef PyObject* kept = NULL
        if text is None:
            return None
        if PyBytes_GET_SIZE(text) <= self._longest:
            kept = PyDict_GetItemWithError(self._kept, text)
        if kept == NULL:
            return outline_of(text, PyBytes_GET_SIZE(body), &tools)
        return self._sized(<_Kept> kept, PyBytes_GET_SIZE(body))

    def keep(self, Outline outline not None, asked) -> None:
        """Remember `asked`, which says of a request of this outline what it would say of any other but for its size."""
        cdef _Kept kept = _Kept.__new__(_Kept)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(outline.text)
        if type(asked) is not Asked:
            raise TypeError(f"no request: {asked!r}")
        if size > self._longest or outline.text in self._kept:
            return
        if len(self._kept) >= self._most or self._bytes + size > self._most_bytes:
            self._kept.clear()
            self._bytes = 0
        kept.asked, kept.beside = asked, -1
        if asked.prompt_tokens_bound is not None:
            kept.beside = asked.prompt_tokens_bound - (outline.size + self._least - 1) // self._least
        self._kept[outline.text] = kept
        self._bytes += size

    cdef object _sized(self, _Kept kept, Py_ssize_t size):
        """What was asked, for a body of `size` bytes."""
        cdef object bound = None, estimate = (size + self._likely - 1) // self._likely
        cdef PyObject** sizes = [NULL, <PyObject*> estimate]
        if kept.beside >= 0:
            bound = (size + self._least - 1) // self._least + kept.beside
        sizes[0] = <PyObject*> bound
        return copied(kept.asked, sizes, _SIZES, 2)

# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, auto_pickle=False
"""What limits are compared by, and where they count in one second: numbers of C, for `admission`.

Requests and tokens share a word, so that one addition counts both: 28 bits of requests, 35 of tokens.
"""

from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.stdint cimport int64_t

from farthing.gateway.whole_numbers cimport cut

SHIFT = C_SHIFT
REQUESTS = C_REQUESTS
MOST_REQUESTS = REQUESTS - 1
MOST_TOKENS = C_MOST_TOKENS
"""The largest limits and counts that the table holds (in one minute); larger ones are cut to them."""
CROWDED = C_CROWDED
"""From here on tokens are not added up any more, so that a word never overflows."""


cdef Bound bound_of(requests, tokens, concurrent) except *:
    """By what limits are compared that are stated so (None: no such limit)."""
    cdef Bound made
    made.stated = -1 if requests is None else _stated(requests)
    made.stated_tokens = -1 if tokens is None else _stated(tokens)
    made.requests = C_REQUESTS - 1 if requests is None else min(made.stated, C_REQUESTS - 1)
    made.full = C_CROWDED if tokens is None else shifted(min(made.stated_tokens + 1, C_MOST_TOKENS))
    made.concurrent = -1 if concurrent is None else _stated(concurrent)
    return made


cdef int64_t _stated(object limit) except? -1:
    """A limit as stated; of those that no count reaches, one is like another."""
    return max(cut(limit, C_ENDLESS >> 1), 0)


cdef class Moment:
    """Where limits count in one second, which is over at `until_s` and has left the minute at `gone_s`.

    `slots`: how many workers the cells are of.
    """

    def __dealloc__(self):
        PyMem_Free(self.places)


cdef Moment moment_of(SharedWords shared, double until_s, double gone_s, int64_t slots, list places):
    """The moment, with the words of each limit: its total, of this second, of this worker's cell, of all cells."""
    cdef Moment made = Moment.__new__(Moment)
    cdef Place place
    made.shared, made.until_s, made.gone_s, made.slots = shared, until_s, gone_s, slots
    made.places = <Place *>PyMem_Calloc(len(places) or 1, sizeof(Place))
    if made.places == NULL:
        raise MemoryError
    for total, second, cell, cells in places:
        place.total, place.second, place.cell, place.cells = total, second, cell, cells
        if not (
            0 <= slots <= shared.count and 0 <= place.total < shared.count and 0 <= place.second < shared.count
            and 0 <= place.cell < shared.count and 0 <= place.cells <= shared.count - slots
        ):
            raise ValueError("the shared table is broken")  # who uses it reads and writes there without looking
        made.places[made.size] = place
        made.size += 1
    return made

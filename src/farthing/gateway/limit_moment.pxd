"""What other compiled modules may use of `limit_moment`."""

cimport cython
from libc.stdint cimport int64_t, uint64_t

from farthing.gateway.shared_words cimport SharedWords

cdef extern from *:
    """
    #define FARTHING_SHIFT 28
    #define FARTHING_REQUESTS (((int64_t)1 << FARTHING_SHIFT) - 1)
    #define FARTHING_MOST_TOKENS ((int64_t)1 << 33)
    #define FARTHING_CROWDED (FARTHING_MOST_TOKENS << FARTHING_SHIFT)
    #define FARTHING_ENDLESS ((int64_t)1 << 62)
    """
    const int64_t C_SHIFT "FARTHING_SHIFT"
    const int64_t C_REQUESTS "FARTHING_REQUESTS"
    const int64_t C_MOST_TOKENS "FARTHING_MOST_TOKENS"
    const int64_t C_CROWDED "FARTHING_CROWDED"
    const int64_t C_ENDLESS "FARTHING_ENDLESS"  # a number that a word can be added to, and more than is ever counted


cdef struct Bound:  # what one limit is compared by
    int64_t requests  # the most of them
    int64_t full  # the word that too many tokens make
    int64_t concurrent  # the most in flight; negative: no limit
    int64_t stated  # requests as stated, for who is told; negative: none
    int64_t stated_tokens


cdef struct Place:  # where one limit counts: its words in the table
    Py_ssize_t total
    Py_ssize_t second
    Py_ssize_t cell  # this worker's requests in flight
    Py_ssize_t cells  # those of all workers


@cython.final
cdef class Moment:
    cdef double until_s
    cdef double gone_s
    cdef int64_t slots
    cdef Py_ssize_t size
    cdef Place *places
    cdef SharedWords shared


cdef Moment moment_of(SharedWords shared, double until_s, double gone_s, int64_t slots, list places)
cdef Bound bound_of(requests, tokens, concurrent) except *


cdef inline int64_t plus(int64_t one, int64_t other) noexcept:
    """The sum; never undefined, whatever somebody wrote into the table."""
    return <int64_t>(<uint64_t>one + <uint64_t>other)


cdef inline int64_t shifted(int64_t tokens) noexcept:
    """So many tokens, in a word."""
    return <int64_t>(<uint64_t>tokens << C_SHIFT)

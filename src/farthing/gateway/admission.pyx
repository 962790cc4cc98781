# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, auto_pickle=False
"""Counting a request under limits, when it is admitted and when it has ended: in C, since every request does both.

What is not plainly within the limits, a new second, and a lock that is not had at once are `limits.Limiter`'s to judge.
"""

import time
from functools import partial

cimport cython
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.math cimport INFINITY
from libc.stdint cimport int64_t

from farthing.clocks cimport monotonic_s
from farthing.gateway.limit_headers cimport Told
from farthing.gateway.limit_moment cimport (
    Bound,
    C_CROWDED,
    C_ENDLESS,
    C_MOST_TOKENS,
    C_REQUESTS,
    C_SHIFT,
    Moment,
    Place,
    bound_of,
    moment_of,
    plus,
    shifted,
)
from farthing.gateway.shared_words cimport SharedWords
from farthing.gateway.whole_numbers cimport cut

from farthing.gateway.limit_headers import told
from farthing.gateway.shared_table import RING, USED_SLOTS

cdef int64_t _RING = RING
cdef Py_ssize_t _SLOTS_AT = USED_SLOTS


@cython.final
@cython.freelist(64)
@cython.no_gc  # nothing that it holds holds it
cdef class Admission:
    """One admitted request, of an estimated or known number of tokens.

    `headers`: `x-ratelimit-…` as OpenAI gives them, for the limit with the least left; `lines`: the same as they stand
    in an answer.
    """

    cdef Counting limiter
    cdef Moment moment
    cdef Told told
    cdef int64_t tokens
    cdef int64_t used
    cdef int64_t taken
    cdef bint in_flight

    def __init__(self):
        raise TypeError("an admission is made by a limiter")

    @property
    @cython.nonecheck(True)
    def headers(self):
        return self.told.headers(self.used, self.taken)

    @property
    @cython.nonecheck(True)
    def lines(self):
        return self.told.lines(self.used, self.taken)

    @cython.nonecheck(True)
    def end(self, tokens):
        """The request has ended, and took so many tokens instead of the estimate: it is in flight no more.

        Fewer are given back to the second of admission; more count from now, and may bring the limit into debt. May be
        called again, where the tokens turn out to be others.
        """
        cdef int64_t took = max(cut(tokens, C_ENDLESS), 0)
        cdef int64_t change = took - self.tokens
        cdef int64_t *words
        cdef Py_ssize_t number
        cdef Counting limiter = self.limiter
        self.tokens = took
        if change and limiter.meters:
            limiter.settle(self.moment, change)
        if self.in_flight:
            self.in_flight = False
            # Without the lock: no other process writes this worker's cells while it lives, and no entry is given
            # away while something is in flight in it.
            words = limiter.shared.words
            if words != NULL:  # (closed: what this worker had in flight was dropped then)
                for number in range(self.moment.size):
                    words[self.moment.places[number].cell] -= 1


cdef class Counting:
    """What a `limits.Limiter` does in each request. `owner`: its `Limits`.

    A subclass has: `_had(answer)`, whether the lock is had after such an attempt; `_busy()`, the refusal where it is
    not; under the lock, `_bring(now_s)`, which calls `brought` or answers False (`_no_room()` refuses then), and
    `_weigh(tokens, at_least, now_s)`, a refusal, or None where the request fits.
    """

    cdef readonly SharedWords shared
    cdef readonly bint meters
    cdef Moment moment
    cdef Py_ssize_t size
    cdef Bound *bounds
    cdef list _limits
    cdef object _clock
    cdef bint _is_monotonic
    # What was told last: of which limits, until nothing of them is used any more, and what is used of them.
    cdef Told _told
    cdef Py_ssize_t _tight
    cdef Py_ssize_t _tight_tokens
    cdef int64_t _requests_reset_s
    cdef int64_t _tokens_reset_s
    cdef int64_t _used
    cdef int64_t _taken

    def __cinit__(self, owner, limits):
        self.shared = owner.table.shared
        if self.shared is None or self.shared.count <= _SLOTS_AT:
            raise ValueError("the shared table is closed")
        self._clock = owner.clock
        self._is_monotonic = self._clock is time.monotonic
        self._limits = list(limits)
        self.bounds = <Bound *>PyMem_Calloc(len(self._limits) or 1, sizeof(Bound))
        if self.bounds == NULL:
            raise MemoryError
        for limit in self._limits:
            self.bounds[self.size] = bound_of(limit.requests_per_minute, limit.tokens_per_minute, limit.concurrent)
            self.meters = self.meters or limit.tokens_per_minute is not None
            self.size += 1
        self.moment = moment_of(self.shared, -INFINITY, -INFINITY, 0, [])

    def __dealloc__(self):
        PyMem_Free(self.bounds)

    def admit(self, tokens=0, at_least=0):
        """Count a request of an estimated number of `tokens` under all the limits, or under none.

        An estimate above a whole limit is admitted when nothing else is in the minute, since it may be far too
        high; `at_least` (not negative), the tokens that it surely takes (its prompt), is not.
        """
        cdef int64_t count = min(max(cut(tokens, C_ENDLESS), cut(at_least, C_ENDLESS), 0), C_MOST_TOKENS)
        cdef int64_t *words
        cdef double now_s
        cdef int answer = self.shared.attempt()
        if answer and not self._had(answer):
            return self._busy()
        try:
            now_s = self.now_s()  # after the lock is had, so that times follow each other
            words = self.shared.mapped()
            if now_s >= self.moment.until_s or words[_SLOTS_AT] != self.moment.slots:
                if not self._bring(now_s):
                    return self._no_room()
                words = self.brought_words()
            if not self.is_plain(words, shifted(count) | 1):
                refusal = self._weigh(count, at_least, now_s)
                if refusal is not None:
                    return refusal
                words = self.brought_words()
            self.count(words, shifted(count) | 1)
            return self.admitted(words, count)
        finally:
            self.shared.give_back()

    # --- under the lock -----------------------------------------------------------------------

    def brought(self, double until_s, double gone_s, int64_t slots, list places):
        """From now on the limits count at these places (words of its total, of this second, of this worker's cell, of
        all cells; by limit), until then; `slots`: how many workers there are."""
        if len(places) != self.size:
            raise ValueError("every limit has a place")
        self.moment = moment_of(self.shared, until_s, gone_s, slots, places)

    def change(self, Moment admitted not None, tokens):
        """Count so many tokens more, from now; or (negative) fewer, of those that were counted in `admitted`."""
        self.counted(admitted, cut(tokens, C_ENDLESS))

    def told_now(self, int64_t reset_s):
        """The headers of a refusal: as an admission's, but nothing that was used counts after so many seconds."""
        self.tell(self.brought_words(), reset_s)
        return self._told.headers(self._used, self._taken)

    cdef int counted(self, Moment admitted, int64_t tokens) except -1:
        """Count so many tokens more, or fewer (see `change`)."""
        # Twice as many as a word is ever given: more or fewer end as these do.
        cdef int64_t use = shifted(min(max(tokens, -2 * C_MOST_TOKENS), 2 * C_MOST_TOKENS))
        cdef Moment moment = admitted
        cdef Place *place
        cdef int64_t total, here, part
        cdef int64_t *words
        cdef Py_ssize_t number
        cdef double now_s = self.now_s()
        if now_s >= admitted.until_s:
            if use < 0:
                if now_s >= admitted.gone_s:
                    return 0  # the estimate has left the minute already, and its entry may be another's
            elif now_s < self.moment.until_s or self._bring(now_s):
                moment = self.moment
            else:
                return 0  # its entry was given to another: it was idle, so its minute is over
        words = self.shared.mapped()
        if moment.shared is not self.shared:
            raise ValueError("admitted under another table")
        for number in range(moment.size):
            place = &moment.places[number]
            total, here = plus(words[place.total], use), plus(words[place.second], use)
            if here < 0 or total >= C_CROWDED:  # as much as there is, or as there is room for
                if use < 0:
                    part = -(words[place.second] >> C_SHIFT)
                else:
                    part = max(C_MOST_TOKENS - (words[place.total] >> C_SHIFT), 0)
                total, here = plus(words[place.total], shifted(part)), plus(words[place.second], shifted(part))
            words[place.total] = total
            words[place.second] = here
        return 0

    cdef double now_s(self) except? -1:
        return monotonic_s() if self._is_monotonic else self._clock()

    cdef int64_t *brought_words(self) except NULL:
        """The words, after Python had its turn."""
        if self.moment.size != self.size:
            raise ValueError("the limits were not brought to this second")
        return self.shared.mapped()

    cdef bint is_plain(self, const int64_t *words, int64_t use) noexcept:
        """Whether such a use is plainly within all limits."""
        cdef Py_ssize_t number, cell
        cdef int64_t uses, in_flight
        for number in range(self.size):
            place, bound = &self.moment.places[number], &self.bounds[number]
            uses = plus(words[place.total], use)
            if (uses & C_REQUESTS) > bound.requests or uses >= bound.full:
                return False
            if bound.concurrent >= 0:
                in_flight = 0
                for cell in range(self.moment.slots):
                    in_flight = plus(in_flight, words[place.cells + cell])
                if in_flight >= bound.concurrent:
                    return False
        return True

    cdef void count(self, int64_t *words, int64_t use) noexcept:
        cdef Py_ssize_t number
        cdef int64_t here
        for number in range(self.size):
            place = &self.moment.places[number]
            here = use if words[place.total] < C_CROWDED else 1
            words[place.total] = plus(words[place.total], here)
            words[place.second] = plus(words[place.second], here)
            words[place.cell] = plus(words[place.cell], 1)

    cdef Admission admitted(self, const int64_t *words, int64_t tokens):
        cdef Admission made
        self.tell(words, _RING)
        made = Admission.__new__(Admission)
        made.limiter, made.moment, made.told = self, self.moment, self._told
        made.tokens, made.used, made.taken, made.in_flight = tokens, self._used, self._taken, True
        return made

    cdef int tell(self, const int64_t *words, int64_t reset_s) except -1:
        """Find the limits with least left, of requests and of tokens; how they are told, and what is used of them."""
        cdef Py_ssize_t number, tight = -1, tight_tokens = -1
        cdef int64_t left = 0, left_tokens = 0, uses, here, requests_reset_s, tokens_reset_s
        for number in range(self.size):
            bound = &self.bounds[number]
            uses = words[self.moment.places[number].total]
            if bound.stated >= 0:
                here = max(bound.stated - (uses & C_REQUESTS), 0)
                if tight < 0 or here < left:
                    tight, left = number, here
            if bound.stated_tokens >= 0:
                here = max(bound.stated_tokens - (uses >> C_SHIFT), 0)
                if tight_tokens < 0 or here < left_tokens:
                    tight_tokens, left_tokens = number, here
        self._used = self.bounds[tight].stated - left if tight >= 0 else 0
        self._taken = self.bounds[tight_tokens].stated_tokens - left_tokens if tight_tokens >= 0 else 0
        requests_reset_s = reset_s if self._used else 0
        tokens_reset_s = reset_s if self._taken else 0
        if (
            self._told is None or tight != self._tight or tight_tokens != self._tight_tokens
            or requests_reset_s != self._requests_reset_s or tokens_reset_s != self._tokens_reset_s
        ):
            self._told = told(
                None if tight < 0 else self._limits[tight].requests_per_minute,
                None if tight_tokens < 0 else self._limits[tight_tokens].tokens_per_minute,
                requests_reset_s, tokens_reset_s,
            )
            self._tight, self._tight_tokens = tight, tight_tokens
            self._requests_reset_s, self._tokens_reset_s = requests_reset_s, tokens_reset_s
        return 0

    cdef int settle(self, Moment admitted, int64_t change) except -1:
        """Count the change, as soon as the lock is had."""
        cdef int answer = self.shared.attempt()
        if answer and not self._had(answer):
            self.shared.put_off(partial(self.change, admitted, change))
            return 0
        try:
            self.counted(admitted, change)
        finally:
            self.shared.give_back()
        return 0

# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, auto_pickle=False
"""Adding up attempts that have ended, by what they have in common: in C, since every attempt is counted.

What is done once for many of them (which series they belong to, that names are bounded) is `metrics.Metrics`'s.
"""

from fractions import Fraction
from math import floor

cimport cython
from cpython.dict cimport PyDict_Next
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.object cimport Py_EQ, Py_TYPE, PyObject, PyObject_RichCompareBool, PyTypeObject
from libc.stdint cimport int64_t, uint64_t

from farthing.gateway.whole_numbers cimport cut
from farthing.ledger.attempts cimport offset
from farthing.ledger.femto cimport read_fraction
from farthing.struct_fields cimport field

from farthing.gateway.observe.metrics_store import BOUNDS_US, Series
from farthing.ledger.row import Attempt

cdef enum:
    _BOUNDS = 17
    _MOST_KINDS = 256  # kept apart until somebody asks
    _SLOTS = 8
    _MILLION = 1_000_000

PICO = 10**12
cdef int64_t _LARGE = <int64_t>1 << 62
cdef int64_t _FAR_US = <int64_t>1 << 52  # 143 years
cdef int64_t[_BOUNDS] _BOUND_US
cdef object _ATTEMPT = Attempt
if len(BOUNDS_US) != _BOUNDS:
    raise ImportError(f"histograms have {len(BOUNDS_US)} bounds")
for _at, _us in enumerate(BOUNDS_US):
    _BOUND_US[_at] = _us

cdef Py_ssize_t _UPSTREAM = offset("upstream"), _SERVED = offset("model_served"), _ASKED = offset("model_asked")
cdef Py_ssize_t _STATE = offset("state"), _STATUS = offset("status"), _ERROR = offset("error")
cdef Py_ssize_t _NUMBER = offset("number"), _STREAMED = offset("streamed"), _ESTIMATED = offset("estimated")
cdef Py_ssize_t _QUANTITIES = offset("quantities"), _USD = offset("usd"), _UNKNOWN = offset("unknown")
cdef Py_ssize_t _REPORTED = offset("reported_usd")
cdef Py_ssize_t _STARTED = offset("started_us"), _FIRST = offset("first_us"), _ENDED = offset("ended_us")


@cython.final
cdef class Kind:
    """Attempts that share upstream, models, state, status and error, added up (as in `metrics_store.Series`)."""

    cdef readonly object upstream
    cdef readonly object served
    cdef readonly object asked
    cdef readonly object state
    cdef readonly object status
    cdef readonly object error
    cdef readonly int64_t attempts
    cdef bint _is_done
    cdef int64_t _requests, _streams, _estimated, _unpriced, _unmetered, _usd, _reported, _drifted
    cdef int64_t _duration_us, _first_us
    cdef object _more_usd, _reported_usd, _ours_usd
    cdef dict _quantities
    cdef list _meters  # by slot, those that come first in an attempt; `_quantities` has what others counted
    cdef int64_t[_SLOTS] _counts
    cdef int64_t[_BOUNDS + 1] _durations
    cdef int64_t[_BOUNDS + 1] _firsts

    def __cinit__(self, upstream, served, asked, state, status, error):
        self.upstream, self.served, self.asked = upstream, served, asked
        self.state, self.status, self.error = state, status, error
        self._is_done = state == "done"
        self._more_usd = self._reported_usd = self._ours_usd = 0
        self._quantities = {}
        self._meters = [None] * _SLOTS

    def series(self):
        """The sums."""
        return Series(
            attempts=self.attempts, requests=self._requests, streams=self._streams, estimated=self._estimated,
            unpriced=self._unpriced, unmetered=self._unmetered, usd=self._usd + self._more_usd,
            reported=self._reported, reported_usd=self._reported_usd, ours_usd=self._ours_usd, drifted=self._drifted,
            duration_us=self._duration_us, first_us=self._first_us, quantities=self._sums(),
            durations=[self._durations[at] for at in range(_BOUNDS + 1)],
            firsts=[self._firsts[at] for at in range(_BOUNDS + 1)],
        )

    cdef int add(self, PyObject *row) except -1:
        """Count an attempt of this kind."""
        cdef object usd = _of(row, _USD), reported = _of(row, _REPORTED), quantities = _of(row, _QUANTITIES)
        cdef int64_t amount, started_us
        self.attempts += 1
        self._requests += _whole(_of(row, _NUMBER)) == 1
        self._streams += <bint>_of(row, _STREAMED)
        self._estimated += <bint>_of(row, _ESTIMATED)
        if quantities:
            self._add_counts(quantities if type(quantities) is dict else dict(quantities))
        if usd is None:
            if quantities:
                self._unpriced += 1
            elif _of(row, _UNKNOWN):
                self._unmetered += 1
        else:
            amount = _plain_pico(usd)
            if 0 <= amount < _LARGE and self._usd < _LARGE:
                self._usd += amount
            else:
                self._more_usd += pico(usd)
            if reported is not None:
                self._compare(pico(usd), pico(reported))
        started_us = _whole(_of(row, _STARTED))
        ended, first = _of(row, _ENDED), _of(row, _FIRST)
        if self._is_done and ended is not None:
            self._duration_us += _sort_in(self._durations, _whole(ended) - started_us)
        if first is not None:
            self._first_us += _sort_in(self._firsts, _whole(first) - started_us)
        return 0

    cdef int _add_counts(self, dict counts) except -1:
        cdef PyObject *meter
        cdef PyObject *count
        cdef Py_ssize_t at = 0, slot = 0
        cdef int overflow = 0
        cdef int64_t number
        while PyDict_Next(counts, &at, &meter, &count):
            if slot < _SLOTS:
                # Attempts of a kind mostly have the same meters, by the same names, in the same order.
                if self._meters[slot] is None:
                    self._meters[slot] = <object>meter
                number = PyLong_AsLongLongAndOverflow(<object>count, &overflow)
                if (
                    <PyObject *>self._meters[slot] == meter and not overflow and -_LARGE < number < _LARGE
                    and -_LARGE < self._counts[slot] + number < _LARGE
                ):
                    self._counts[slot] += number
                    slot += 1
                    continue
            _add_to(self._quantities, <object>meter, <object>count)
        return 0

    cdef dict _sums(self):
        """The quantities."""
        made = dict(self._quantities)
        for slot in range(_SLOTS):
            if self._meters[slot] is not None:
                _add_to(made, self._meters[slot], self._counts[slot])
        return made

    cdef int _compare(self, ours, theirs) except -1:
        self._reported += 1
        self._reported_usd += theirs
        self._ours_usd += ours
        if abs(theirs - ours) * 100 > max(theirs, ours):
            self._drifted += 1
        return 0


cdef class AttemptSums:
    """Attempts that have ended, by kind, until somebody takes them. A subclass has `_count_ended`, which does."""

    cdef dict _kinds
    cdef Kind _last

    def __cinit__(self, *_, **__):
        self._kinds = {}

    def observe(self, attempt not None):
        """Count an attempt that has ended."""
        if Py_TYPE(attempt) != <PyTypeObject *>_ATTEMPT:
            raise TypeError(f"no Attempt: {attempt!r}")
        cdef PyObject *row = <PyObject *>attempt
        cdef Kind last = self._last
        if last is None or not (
            _same(last.upstream, row, _UPSTREAM) and _same(last.served, row, _SERVED)
            and _same(last.asked, row, _ASKED) and _same(last.state, row, _STATE)
            and _same(last.status, row, _STATUS) and _same(last.error, row, _ERROR)
        ):
            last = self._last = self._kind_of(row)
        last.add(row)

    def taken(self):
        """What was counted since the last time."""
        kinds, self._kinds, self._last = self._kinds, {}, None
        return list(kinds.values())

    cdef Kind _kind_of(self, PyObject *row):
        key = (
            _of(row, _UPSTREAM), _of(row, _SERVED), _of(row, _ASKED), _of(row, _STATE), _of(row, _STATUS),
            _of(row, _ERROR),
        )
        found = self._kinds.get(key)
        if found is None:
            if len(self._kinds) >= _MOST_KINDS:
                self._count_ended()
            found = self._kinds[key] = Kind(*key)
        return found


cdef object _of(PyObject *row, Py_ssize_t at):
    """A field of the row."""
    cdef PyObject *found = field(row, at)
    if found == NULL:
        raise AttributeError("an attempt without one of its fields")
    return <object>found


cdef inline int _same(object one, PyObject *row, Py_ssize_t at) except -1:
    """Whether the row's field is this."""
    return <PyObject *>one == field(row, at) or PyObject_RichCompareBool(one, _of(row, at), Py_EQ)


cdef int _add_to(dict sums, meter, count) except -1:
    sums[meter] = sums.get(meter, 0) + count
    return 0


cdef int64_t _whole(object number) except? -1:
    """A time in microseconds; one that no clock says is cut, so that no sum of them is too large."""
    return cut(number, _FAR_US)


cdef int64_t _sort_in(int64_t *buckets, int64_t time_us) noexcept:
    """Count a time in its bucket; the time."""
    cdef Py_ssize_t at = 0
    while at < _BOUNDS and time_us > _BOUND_US[at]:
        at += 1
    buckets[at] += 1
    return time_us


# --- money ------------------------------------------------------------------------------------


def pico(str usd not None):
    """An exact amount in text ("23/5000") in picodollars, rounded half up: a gauge; the ledger keeps it exact. 0 where
    it is no amount."""
    cdef int64_t found = _plain_pico(usd)
    if found >= 0:
        return found
    try:
        return floor(Fraction(usd) * PICO + Fraction(1, 2))
    except (ValueError, ZeroDivisionError):
        return 0


cdef int64_t _plain_pico(object usd) noexcept:
    """The same of an amount that is written plainly, and below nine million dollars; -1: of another."""
    cdef uint64_t top, rest, whole, high, bottom
    if not read_fraction(usd, &top, &bottom) or bottom > <uint64_t>_MILLION * 10_000_000:
        return -1
    # Six decimals, and six more: no step is beyond 64 bits.
    whole, rest = top // bottom, top % bottom
    if whole >= 9 * <uint64_t>_MILLION:
        return -1
    rest *= _MILLION
    high, rest = rest // bottom, rest % bottom
    rest = rest * _MILLION + (bottom >> 1)
    return <int64_t>((whole * _MILLION + high) * _MILLION + rest // bottom)

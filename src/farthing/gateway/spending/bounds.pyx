# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, binding=False
"""The most that a request can cost which bounds its prompt and its answers itself, where requests like it were looked
at before: tokens x the dearest rates, in whole numbers. Nearly every request comes by here; others are looked at by
`worst` (which then has it remembered here, where its prices are linear)."""

cimport cython
from cpython.long cimport PyLong_CheckExact
from cpython.object cimport PyObject, PyObject_RichCompareBool, Py_EQ
from libc.limits cimport LLONG_MAX, LLONG_MIN

from farthing.gateway.whole_numbers cimport fits
from farthing.struct_fields cimport field, offset_of

from math import isinf

from farthing.gateway.metering.values import Asked

cdef extern from *:
    """
    /* prompt x dear + output x costly + each, over bottom, rounded up; whether it does not fit (none is below zero). */
    static int farthing_bound(
        long long prompt, long long dear, long long output, long long costly, long long each, long long bottom,
        long long *nano
    ) {
        long long read, made, sum;
        if (__builtin_mul_overflow(prompt, dear, &read) || __builtin_mul_overflow(output, costly, &made)) return 1;
        if (__builtin_add_overflow(read, made, &sum) || __builtin_add_overflow(sum, each, &sum)) return 1;
        *nano = sum / bottom + (sum % bottom != 0);
        return 0;
    }
    #define farthing_times __builtin_mul_overflow
    """
    bint farthing_bound(
        long long prompt, long long dear, long long output, long long costly, long long each, long long bottom,
        long long *nano,
    ) noexcept
    bint farthing_times(long long one, long long other, long long *product) noexcept

cdef enum:
    MOST_BOUNDS = 64

cdef Py_ssize_t _PROMPT = offset_of(Asked, "prompt_tokens_bound")
cdef Py_ssize_t _OUTPUT = offset_of(Asked, "max_output_tokens")
cdef Py_ssize_t _CHOICES = offset_of(Asked, "choices")
cdef Py_ssize_t _TIER = offset_of(Asked, "tier")
cdef Py_ssize_t _IMAGES = offset_of(Asked, "images")
cdef Py_ssize_t _AUDIO = offset_of(Asked, "audio")
cdef object _Asked = Asked


@cython.final
cdef class Bound:
    """The dearest rates, nanodollars over `bottom`: `prompt` and `output` a token, `each` a request.

    They are those of requests of `tier` to `where`, with images and audio or without, that start from the first of
    `times_us` (microseconds since 1970) on and before the second, with so many tokens of prompt and of all answers:
    `prompts` and `outputs` are half-open too. Raises `OverflowError` where 63 bits hold not all of it.
    """

    cdef object tier, where
    cdef bint images, audio
    cdef long long from_us, until_us, prompt_from, prompt_until, output_from, output_until
    cdef long long prompt, output, each, bottom

    def __cinit__(
        self, str tier, where, bint images, bint audio, tuple times_us, tuple prompts, tuple outputs, prompt, output,
        each, bottom,
    ):
        self.tier, self.where, self.images, self.audio = tier, where, images, audio
        self.from_us, self.until_us = _edge(times_us[0]), _edge(times_us[1])
        self.prompt_from, self.prompt_until = _edge(prompts[0]), _edge(prompts[1])
        self.output_from, self.output_until = _edge(outputs[0]), _edge(outputs[1])
        self.prompt, self.output, self.each, self.bottom = prompt, output, each, bottom
        if self.prompt < 0 or self.output < 0 or self.each < 0 or self.bottom <= 0 or self.prompt_from < 0:
            raise OverflowError("rates below zero")


cdef long long _edge(number) except? -1:
    """Where an interval ends; infinity is what no number passes."""
    if isinf(number):
        return LLONG_MAX if number > 0 else LLONG_MIN
    return number


cdef class Bounds:
    """What is remembered of an offer's dearest rates: those of the last request before others. What is not, `_stated`
    of the class that extends this one finds."""

    cdef list _bounds

    def __cinit__(self):
        self._bounds = []

    def stated(self, asked, where, started_us):
        """What `worst` finds for a request that bounds its prompt and its answers itself, where prices are linear:
        nanodollars, rounded up. None: ask `worst`."""
        cdef long long nano
        if type(asked) is _Asked and self._remembered(<PyObject *>asked, where, started_us, &nano):
            return nano
        return self._stated(asked, where, started_us)

    cdef bint _remembered(self, PyObject *asked, where, long long started_us, long long *nano) except -1:
        """Whether that is known, and then what it is."""
        cdef long long prompt, output, choices, images, audio
        cdef PyObject *tier = field(asked, _TIER)
        cdef Py_ssize_t n
        cdef Bound bound
        if not (
            _whole(asked, _PROMPT, &prompt) and _whole(asked, _OUTPUT, &output) and _whole(asked, _CHOICES, &choices)
            and _whole(asked, _IMAGES, &images) and _whole(asked, _AUDIO, &audio) and tier
        ) or farthing_times(output, choices, &output):
            return False
        for n in range(len(self._bounds)):
            bound = <Bound>self._bounds[n]
            if (
                bound.from_us <= started_us < bound.until_us and bound.prompt_from <= prompt < bound.prompt_until
                and bound.output_from <= output < bound.output_until and bound.images == (images > 0)
                and bound.audio == (audio > 0) and PyObject_RichCompareBool(<object>tier, bound.tier, Py_EQ)
                and PyObject_RichCompareBool(where, bound.where, Py_EQ)
            ):
                if n:
                    self._bounds[n], self._bounds[0] = self._bounds[0], bound
                return not farthing_bound(
                    prompt, bound.prompt, output, bound.output, bound.each, bound.bottom, nano
                )
        return False

    def remember(self, Bound bound not None, /):
        """Bound requests like those that `bound` was made for in the same way from now on."""
        cdef Bound other
        for n, other in enumerate(self._bounds):
            if (
                other.from_us == bound.from_us and other.prompt_from == bound.prompt_from
                and other.output_from == bound.output_from and other.images == bound.images
                and other.audio == bound.audio and other.tier == bound.tier and other.where == bound.where
            ):
                self._bounds[n] = bound
                return
        if len(self._bounds) >= MOST_BOUNDS:
            self._bounds.clear()
        self._bounds.insert(0, bound)

    @property
    def remembered(self):
        """How many kinds of requests are."""
        return len(self._bounds)


cdef bint _whole(PyObject *of, Py_ssize_t offset, long long *found) except -1:
    """Whether the field holds a whole number of 63 bits, and then which."""
    cdef PyObject *number = field(of, offset)
    return number is not NULL and PyLong_CheckExact(<object>number) and fits(<object>number, found)

# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, binding=False
"""What an answer cost, where answers like it were priced before: counts x units, in whole numbers, and its words.

Others are priced by `costs.Seller` from the rates (and remembered here, where a plan of whole numbers prices them).
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.dict cimport PyDict_CheckExact, PyDict_Next, PyDict_Size
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_CheckExact
from cpython.object cimport PyObject, PyObject_RichCompareBool, Py_EQ
from cpython.unicode cimport PyUnicode_CheckExact
from libc.limits cimport LLONG_MAX, LLONG_MIN

from farthing.gateway.spending.amount_text cimport fraction_text, nano_of, put_nano, put_usd
from farthing.gateway.writing cimport put
from farthing.struct_fields cimport field, offset_of

import re
from fractions import Fraction
from math import isinf

from farthing.gateway.metering.values import Served
from farthing.gateway.spending.amount_text import nano_text, usd_text
from farthing.ledger.budgets import nano_up

cdef extern from *:
    """
    /* sum += count x unit; whether it does not fit. */
    #define farthing_add(sum, count, unit, product) \
        (__builtin_mul_overflow(count, unit, product) || __builtin_add_overflow(*(sum), *(product), sum))
    """
    bint farthing_add(long long *sum, long long count, long long unit, long long *product) noexcept

cdef enum:
    MOST_METERS = 12  # an answer counts two to five
    MOST_SOLD = 64
    MOST_REASON = 200  # characters of a reason in a header

cdef Py_ssize_t _QUANTITIES = offset_of(Served, "quantities")
cdef Py_ssize_t _MODEL = offset_of(Served, "model")
cdef Py_ssize_t _TIER = offset_of(Served, "tier")
cdef Py_ssize_t _REGION = offset_of(Served, "region")
cdef Py_ssize_t _UNKNOWN = offset_of(Served, "unknown")
cdef Py_ssize_t _ESTIMATED = offset_of(Served, "estimated")
cdef object _Served = Served
cdef object _UNFIT = re.compile(r"[^ -~]")


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Priced:
    """What an answer cost: `top` / `plan.bottom` dollars where `plan.known`.

    `terms`: None where nothing was consumed, or nobody knows what was. `estimated`: the usage is not, or not all, what
    the provider stated.
    """

    cdef readonly object plan
    cdef readonly object terms
    cdef readonly bint estimated
    cdef bint _known
    cdef long long _top
    cdef long long _bottom
    """Both as they are, and not below zero; 0: at least one of them is not, or does not fit, and `_tall` is the top."""
    cdef object _tall

    def __init__(self, plan, top=0, terms=None, bint estimated=False):
        cdef int over = 0, under = 0
        self.plan, self.terms, self.estimated = plan, terms, estimated
        self._known = plan.known
        self._top = PyLong_AsLongLongAndOverflow(top, &over)
        self._bottom = PyLong_AsLongLongAndOverflow(plan.bottom, &under)
        if over or under or self._top < 0 or self._bottom < 0:
            self._bottom, self._tall = 0, top

    @property
    def top(self):
        """The charge in parts of a dollar, of which `plan.bottom` make one."""
        return self._top if self._bottom else self._tall

    @property
    def usd(self):
        """The charge, exact; None: unknown, and `unknown` says why."""
        return Fraction(self.top, self.plan.bottom) if self._known else None

    def amounts(self):
        """The same in nanodollars, rounded up as `nano_up` does; and as text, as `str` writes a fraction: "23/5000"."""
        cdef unsigned long long nano
        if not self._known:
            return None, None
        if self._bottom and nano_of(self._top, self._bottom, &nano):
            return nano, fraction_text(self._top, self._bottom)
        usd = self.usd
        return nano_up(usd), str(usd)

    @property
    def text(self):
        """The second of `amounts`."""
        return self.amounts()[1]

    @property
    def nano(self):
        """The first of `amounts`."""
        return self.amounts()[0]

    @property
    def unknown(self):
        """Why the charge is unknown; "" where it is known."""
        return self.plan.reason

    @property
    def price(self):
        """The record that the charge rests on."""
        return self.plan.price

    @property
    def offer(self):
        """The offer that it was priced at."""
        return self.terms.offer if self.terms is not None else None

    @property
    def note(self):
        """What else should be known of the price."""
        return self.terms.note if self.terms is not None else ""


@cython.final
cdef class Sold:
    """How all answers of the same terms are priced that count the same meters, to requests that start at or after
    `from_us` and before `until_us` (microseconds since 1970). `plan` is known, so a count of 0 adds nothing.

    `names`: the meters, in their order. Raises `OverflowError` where 63 bits hold not all of it, `ValueError` where it
    is none of the usual kind.
    """

    cdef object plan, terms, model, tier, region
    cdef tuple names
    cdef Py_ssize_t meters
    cdef long long from_us, until_us, each, bottom
    cdef long long units[MOST_METERS]

    def __cinit__(self, plan, from_us, until_us, terms, model, tier, region, tuple names not None):
        if len(names) > MOST_METERS or len(plan.units) != len(names) or plan.bottom <= 0 or not plan.known:
            raise ValueError(f"no prices of {len(names)} meters")
        if not all([PyUnicode_CheckExact(name) for name in (model, tier, region, *names)]):
            raise ValueError("no plain text")
        self.plan, self.terms, self.names, self.meters = plan, terms, names, len(names)
        self.model, self.tier, self.region = model, tier, region
        self.from_us = LLONG_MIN if isinf(from_us) else from_us
        self.until_us = LLONG_MAX if isinf(until_us) else until_us
        self.each, self.bottom = plan.each, plan.bottom
        for n, unit in enumerate(plan.units):
            self.units[n] = unit

    cdef bint prices(self, dict quantities, long long *top) except -1:
        """Whether these are its meters, by name and order; then what they come to, where 63 bits hold that."""
        cdef Py_ssize_t at = 0, n = 0
        cdef PyObject *key
        cdef PyObject *value
        cdef long long count, product
        cdef int over = 0
        if PyDict_Size(quantities) != self.meters:
            return False
        top[0] = self.each
        while PyDict_Next(quantities, &at, &key, &value):
            if n >= self.meters or not _same(key, self.names[n]) or not PyLong_CheckExact(<object>value):
                return False
            count = PyLong_AsLongLongAndOverflow(<object>value, &over)
            if over or farthing_add(top, count, self.units[n], &product):
                return False
            n += 1
        return top[0] >= 0


cdef class Sales:
    """What is remembered of the answers of a model at a provider: how they were priced, those of last before others.
    Who has no such memory is priced by `_price` of the class that extends this one."""

    cdef list _sold

    def __cinit__(self):
        self._sold = []

    def price(self, served, tier_asked, started_us, ended_us):
        """The charge of an answer. `tier_asked`: holds where it states none. Times are microseconds since 1970."""
        cdef PyObject *of = <PyObject *>served
        cdef Priced made
        if type(served) is _Served:
            made = self._remembered(of, tier_asked, started_us)
            if made is not None:
                return made
        return self._price(served, tier_asked, started_us, ended_us)

    cdef Priced _remembered(self, PyObject *served, tier_asked, long long started_us):
        """The same where such an answer was priced before; None: it was not, or needs a closer look."""
        cdef PyObject *quantities = field(served, _QUANTITIES)
        cdef PyObject *model = field(served, _MODEL)
        cdef PyObject *tier = field(served, _TIER)
        cdef PyObject *region = field(served, _REGION)
        cdef PyObject *unknown = field(served, _UNKNOWN)
        cdef PyObject *estimated = field(served, _ESTIMATED)
        cdef Py_ssize_t n
        cdef Sold sold
        cdef long long top
        if not (quantities and model and tier and region and unknown and estimated):
            return None
        if <object>unknown or not PyDict_CheckExact(<object>quantities):
            return None
        if not <object>tier:
            tier = <PyObject *>tier_asked
        for n in range(len(self._sold)):
            sold = <Sold>self._sold[n]
            if (
                sold.from_us <= started_us < sold.until_us and _same(model, sold.model) and _same(tier, sold.tier)
                and _same(region, sold.region) and sold.prices(<dict>quantities, &top)
            ):
                if n:
                    self._sold[n], self._sold[0] = self._sold[0], sold
                return _priced(sold, top, <object>estimated)
        return None

    def remember(self, Sold sold not None, /):
        """Price answers like those that `sold` was made for in the same way from now on."""
        cdef Sold other
        for n, other in enumerate(self._sold):
            if (other.from_us, other.model, other.tier, other.region, other.names) == (
                sold.from_us, sold.model, sold.tier, sold.region, sold.names
            ):
                self._sold[n] = sold
                return
        if len(self._sold) >= MOST_SOLD:
            self._sold.clear()
        self._sold.insert(0, sold)

    @property
    def remembered(self):
        """How many kinds of answers are."""
        return len(self._sold)


cdef Priced _priced(Sold sold, long long top, bint estimated):
    cdef Priced made = Priced.__new__(Priced)
    made.plan, made.terms, made.estimated = sold.plan, sold.terms, estimated
    made._known, made._top, made._bottom = True, top, sold.bottom
    return made


cdef bint _same(PyObject *one, other) except -1:
    """Whether two texts are equal; what is no text is equal to nothing (and is never asked)."""
    if one == <PyObject *>other:
        return True
    if not PyUnicode_CheckExact(<object>one):
        return False
    return PyObject_RichCompareBool(<object>one, other, Py_EQ)


def cost_lines(Priced priced not None, left):
    """The header lines that tell what a whole answer cost, and what is `left` of the budgets (nanodollars, not below
    zero; None: that is not told), each ended by CRLF."""
    cdef char text[256]  # (more than all of these lines take)
    cdef char *end = text
    cdef int over = 0
    cdef long long rest = 0 if left is None else PyLong_AsLongLongAndOverflow(left, &over)
    if over or rest < 0 or not priced._known or not priced._bottom:
        return _cost_lines(priced, left)
    end = put_usd(put(end, b"x-farthing-cost-usd: ", 21), priced._top, priced._bottom)
    if end is NULL:
        return _cost_lines(priced, left)
    if priced.estimated:
        end = put(end, b"\r\nx-farthing-cost-estimated: true", 33)
    if left is not None:
        end = put_nano(put(end, b"\r\nx-farthing-budget-remaining-usd: ", 35), rest)
    end = put(end, b"\r\n", 2)
    return PyBytes_FromStringAndSize(text, end - text)


cdef bytes _cost_lines(Priced priced, left):
    """The same for any cost, in Python."""
    if not priced._known:
        lines = b"x-farthing-cost-unknown: %b\r\n" % reason_text(priced.plan.reason)
    else:
        lines = b"x-farthing-cost-usd: %b\r\n" % usd_text(priced.top, priced.plan.bottom)
        if priced.estimated:
            lines += b"x-farthing-cost-estimated: true\r\n"
    return lines if left is None else lines + b"x-farthing-budget-remaining-usd: %b\r\n" % nano_text(left)


def reason_text(str reason):
    """Why a cost is unknown, as a header may say it: 200 characters of printable ASCII, the others as "?"."""
    text = _UNFIT.sub("?", reason[:MOST_REASON]).strip()
    return text.encode() or b"unknown"

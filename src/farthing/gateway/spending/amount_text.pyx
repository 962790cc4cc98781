# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, binding=False
"""Amounts as headers and rows say them: dollars in decimals, and as fractions. Whole numbers of 63 bits are written
here (nearly all are), larger ones by Python, alike."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DATA
from libc.string cimport memcpy

from farthing.gateway.whole_numbers cimport fits
from farthing.gateway.writing cimport put_digits, put_number

from fractions import Fraction

from farthing.ledger.budgets import NANO
from farthing.money import decimal_text

ctypedef unsigned long long u64

cdef extern from *:
    """
    /* part x times / whole, rounded down, where part < whole: so it is below times. `rest`: whether it was rounded. */
    static unsigned long long farthing_scaled(
        unsigned long long part, unsigned long long times, unsigned long long whole, int *rest
    ) {
        unsigned __int128 all = (unsigned __int128)part * times;
        unsigned long long found = (unsigned long long)(all / whole);
        *rest = (unsigned __int128)found * whole != all;
        return found;
    }
    """
    u64 farthing_scaled(u64 part, u64 times, u64 whole, int *rest) noexcept

cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)

cdef u64 _NANO = 1_000_000_000
cdef u64 _PLACES = 1_000_000_000_000_000  # nearly every charge ends within so many decimals
assert NANO == _NANO


def nano_text(nano):
    """Nanodollars, not below zero, as dollars in decimals."""
    cdef char text[NANO_ROOM]
    cdef long long amount
    if fits(nano, &amount):
        return PyBytes_FromStringAndSize(text, put_nano(text, amount) - text)
    whole, part = divmod(nano, NANO)
    return b"%d.%09d" % (whole, part) if part else b"%d" % whole


def usd_text(top, bottom):
    """`top` / `bottom` dollars, not below zero, in decimals; what they cannot hold, rounded to 28 digits."""
    cdef char text[USD_ROOM]
    cdef char *end
    cdef long long above, below
    if fits(top, &above) and fits(bottom, &below) and below:
        end = put_usd(text, above, below)
        if end is not NULL:
            return PyBytes_FromStringAndSize(text, end - text)
    return decimal_text(Fraction(top, bottom)).encode()


cdef char *put_nano(char *to, u64 nano) noexcept:
    """Write `nano_text` into `NANO_ROOM` bytes; its end."""
    cdef u64 part = nano % _NANO
    to = put_number(to, nano / _NANO)
    if part:
        to[0] = c"."
        to = put_digits(to + 1, part, 9)
    return to


cdef char *put_usd(char *to, u64 top, u64 bottom) noexcept:
    """Write `usd_text` into `USD_ROOM` bytes; its end. NULL: it does not end within 15 decimals."""
    cdef int rest = 0, places = 15
    cdef u64 part = farthing_scaled(top % bottom, _PLACES, bottom, &rest)
    if rest:
        return NULL
    to = put_number(to, top / bottom)
    if part:
        while part % 10 == 0:
            part /= 10
            places -= 1
        to[0] = c"."
        to = put_digits(to + 1, part, places)
    return to


cdef bint nano_of(u64 top, u64 bottom, u64 *nano) noexcept:
    """`top` / `bottom` dollars in nanodollars, rounded up as `nano_up` does; whether 63 bits hold them."""
    cdef int rest = 0
    cdef u64 whole = top / bottom
    if whole >= 9_000_000_000:
        return False
    nano[0] = whole * _NANO + farthing_scaled(top % bottom, _NANO, bottom, &rest)
    nano[0] += <u64>rest
    return True


cdef str fraction_text(u64 top, u64 bottom):
    """`top` / `bottom` as `str` writes a fraction: "23/5000", "2"."""
    cdef char text[FRACTION_ROOM]
    cdef char *end
    cdef u64 common = _common(top, bottom)
    end = put_number(text, top / common)
    if bottom != common:
        end[0] = c"/"
        end = put_number(end + 1, bottom / common)
    made = PyUnicode_New(end - text, 127)
    memcpy(PyUnicode_DATA(made), text, end - text)
    return <str>made


cdef u64 _common(u64 one, u64 other) noexcept:
    """The greatest common divisor; `other` is not 0."""
    cdef u64 rest
    while one:
        rest = other % one
        other = one
        one = rest
    return other

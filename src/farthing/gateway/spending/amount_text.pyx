# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, binding=False
"""Amounts as headers and rows say them: dollars in decimals, and as fractions. Whole numbers of 63 bits are written
here (nearly all are), larger ones by Python, alike."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.unicode cimport PyUnicode_DATA
from libc.string cimport memcpy

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
NANO_ROOM = 32  # bytes: 11 digits of dollars, a point, 9 decimals
USD_ROOM = 48  # 20 digits, a point, 15 decimals
assert NANO == _NANO


def nano_text(nano):
    """Nanodollars, not below zero, as dollars in decimals."""
    cdef char text[32]
    cdef u64 amount
    if _fits(nano, &amount):
        return PyBytes_FromStringAndSize(text, put_nano(text, amount) - text)
    whole, part = divmod(nano, NANO)
    return b"%d.%09d" % (whole, part) if part else b"%d" % whole


def usd_text(top, bottom):
    """`top` / `bottom` dollars, not below zero, in decimals; what they cannot hold, rounded to 28 digits."""
    cdef char text[48]
    cdef char *end
    cdef u64 above, below
    if _fits(top, &above) and _fits(bottom, &below) and below:
        end = put_usd(text, above, below)
        if end is not NULL:
            return PyBytes_FromStringAndSize(text, end - text)
    return decimal_text(Fraction(top, bottom)).encode()


cdef bint _fits(number, u64 *found) except -1:
    """Whether `number`, an int, is 0 to 2^63 - 1, and then which it is."""
    cdef int over = 0
    cdef long long value = PyLong_AsLongLongAndOverflow(number, &over)
    if value < 0:  # (-1 where it is out of range, or no number: that raises here)
        return False
    found[0] = <u64>value
    return over == 0


cdef char *put_nano(char *to, u64 nano) noexcept:
    """Write `nano_text` into `NANO_ROOM` bytes; its end."""
    cdef u64 part = nano % _NANO
    to = _put(to, nano / _NANO)
    if part:
        to[0] = c"."
        to = _put_digits(to + 1, part, 9)
    return to


cdef char *put_usd(char *to, u64 top, u64 bottom) noexcept:
    """Write `usd_text` into `USD_ROOM` bytes; its end. NULL: it does not end within 15 decimals."""
    cdef int rest = 0, places = 15
    cdef u64 part = farthing_scaled(top % bottom, _PLACES, bottom, &rest)
    if rest:
        return NULL
    to = _put(to, top / bottom)
    if part:
        while part % 10 == 0:
            part /= 10
            places -= 1
        to[0] = c"."
        to = _put_digits(to + 1, part, places)
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
    cdef char text[48]
    cdef char *end
    cdef u64 common = _common(top, bottom)
    end = _put(text, top / common)
    if bottom != common:
        end[0] = c"/"
        end = _put(end + 1, bottom / common)
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


cdef char *_put(char *to, u64 number) noexcept:
    """Write a whole number; its end."""
    cdef u64 tens = number
    cdef int places = 1
    while tens >= 10:
        tens /= 10
        places += 1
    return _put_digits(to, number, places)


cdef char *_put_digits(char *to, u64 number, int places) noexcept:
    """Write the last `places` digits of a number, zeros before them; their end."""
    cdef int at = places
    while at:
        at -= 1
        to[at] = <char>(c"0" + number % 10)
        number /= 10
    return to + places

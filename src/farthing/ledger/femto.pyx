# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Amounts as nearly all are: positive fractions that end in 15 decimals. Others are read by `amounts.packed`."""

from cpython.object cimport PyObject
from libc.stdint cimport uint64_t

cdef extern from *:
    """
    static inline const unsigned char *ascii_of(PyObject *text, Py_ssize_t *count) {
        if (!PyUnicode_CheckExact(text) || !PyUnicode_IS_COMPACT_ASCII(text)) return NULL;
        *count = PyUnicode_GET_LENGTH(text);
        return (const unsigned char *)PyUnicode_1BYTE_DATA(text);
    }
    """
    const unsigned char* ascii_of(PyObject* text, Py_ssize_t* count) noexcept
    bint __builtin_mul_overflow(long long left, long long right, long long* product) noexcept

cdef enum:
    DIGITS = 18  # of a number that surely fits
cdef uint64_t FEMTO = 10**15


cdef bint read_digits(const unsigned char* at, Py_ssize_t count, uint64_t* number) noexcept:
    """The number in `count` digits; whether there is one, not too long."""
    cdef Py_ssize_t n
    number[0] = 0
    if not 0 < count <= DIGITS:
        return False
    for n in range(count):
        if not c"0" <= at[n] <= c"9":
            return False
        number[0] = number[0] * 10 + (at[n] - c"0")
    return True


cdef bint read_fraction(object text, uint64_t* top, uint64_t* bottom) noexcept:
    """Whether `text` is a fraction of numbers of up to 18 digits, as `str` writes it ("23/5000", "2"), and which."""
    cdef Py_ssize_t count = 0, bar = 0
    cdef const unsigned char* at = ascii_of(<PyObject*>text, &count)
    if at == NULL:
        return False
    while bar < count and at[bar] != c"/":
        bar += 1
    bottom[0] = 1
    if bar < count and not read_digits(at + bar + 1, count - bar - 1, bottom):
        return False
    return read_digits(at, bar, top) and bottom[0] > 0


cdef long long femto(object text) noexcept:
    """As `femtodollars`; -1: there is none."""
    cdef uint64_t top, bottom
    cdef long long found = 0
    if not read_fraction(text, &top, &bottom) or FEMTO % bottom:
        return -1
    return -1 if __builtin_mul_overflow(<long long>top, <long long>(FEMTO // bottom), &found) else found


def femtodollars(text, /):
    """The whole number of femtodollars that `text` ("23/5000", "2", as `str` of a Fraction writes it) states; None
    where there is none of 63 bits, or the text is another."""
    cdef long long found = femto(text)
    return None if found < 0 else found

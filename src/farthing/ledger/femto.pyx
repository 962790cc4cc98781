# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Amounts as nearly all are: positive fractions that end in 15 decimals."""

from cpython.object cimport PyObject

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
cdef long long FEMTO = 10**15


cdef long long whole(const unsigned char* at, Py_ssize_t count) noexcept:
    """The number in `count` digits; -1 where there are none, too many, or others than digits."""
    cdef long long number = 0
    cdef Py_ssize_t n
    if not 0 < count <= DIGITS:
        return -1
    for n in range(count):
        if not c"0" <= at[n] <= c"9":
            return -1
        number = number * 10 + (at[n] - c"0")
    return number


cdef long long femto(object text) noexcept:
    """As `femtodollars`; -1: there is none."""
    cdef Py_ssize_t count = 0, bar = 0
    cdef const unsigned char* at = ascii_of(<PyObject*>text, &count)
    cdef long long top, bottom, found = 0
    if at == NULL:
        return -1
    while bar < count and at[bar] != c"/":
        bar += 1
    if bar == count:
        return -1
    top = whole(at, bar)
    bottom = whole(at + bar + 1, count - bar - 1)
    if top < 0 or bottom <= 0 or FEMTO % bottom or __builtin_mul_overflow(top, FEMTO // bottom, &found):
        return -1
    return found


def femtodollars(text, /):
    """The whole number of femtodollars that `text` ("23/5000", as `str` of a Fraction writes it) states; None where
    there is none of 63 bits, or the text is another."""
    cdef long long found = femto(text)
    return None if found < 0 else found

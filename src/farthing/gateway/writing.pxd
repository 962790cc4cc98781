"""Text as it is written, byte after byte, into room that the writer has counted: heads, amounts.

Each function writes where `to` is, and gives the place behind what it wrote.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

cdef enum:
    MOST_DIGITS = 20  # of a number of 64 bits


cdef inline char *put(char *to, const char *text, Py_ssize_t size) noexcept:
    memcpy(to, text, size)
    return to + size


cdef inline char *put_bytes(char *to, bytes text) noexcept:
    return put(to, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))


cdef inline int digits_of(uint64_t number) noexcept:
    """How many digits the number has."""
    cdef int digits = 1
    while number >= 10:
        number //= 10
        digits += 1
    return digits


cdef inline char *put_digits(char *to, uint64_t number, int digits) noexcept:
    """The last so many digits of a number, zeros before them."""
    cdef int at = digits
    while at:
        at -= 1
        to[at] = <char>(c"0" + number % 10)
        number //= 10
    return to + digits


cdef inline char *put_number(char *to, uint64_t number) noexcept:
    """A whole number: `digits_of` it."""
    return put_digits(to, number, digits_of(number))


cdef inline bint is_fit_value(const unsigned char *at, Py_ssize_t size) noexcept:
    """Whether a header's value has no control character but tabs, by which it cannot end its line."""
    cdef uint64_t word, other
    cdef Py_ssize_t n = 0
    while n < size:
        if size - n >= 8:
            memcpy(&word, at + n, 8)
            other = word ^ <uint64_t>0x7F7F7F7F7F7F7F7F
            # A byte less than 32, or one that is 127 ("hasless" and "haszero" of the Bit Twiddling Hacks).
            if not (
                ((word - <uint64_t>0x2020202020202020) & ~word | (other - <uint64_t>0x0101010101010101) & ~other)
                & <uint64_t>0x8080808080808080
            ):
                n += 8
                continue
        if (at[n] < 32 and at[n] != 9) or at[n] == 127:
            return False
        n += 1
    return True

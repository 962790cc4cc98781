# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, auto_pickle=False
"""The headers by which an answer tells of limits: in C, since every answer does."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint64_t

from farthing.gateway.writing cimport MOST_DIGITS, put, put_bytes, put_number

from functools import lru_cache

cdef bytes _LEFT = b"x-ratelimit-remaining-requests"
cdef bytes _LEFT_TOKENS = b"x-ratelimit-remaining-tokens"

cdef enum:
    _LINE = 64  # bytes of one line: its name, a number, and four more
assert len(_LEFT) + MOST_DIGITS + 4 <= _LINE and len(_LEFT_TOKENS) <= len(_LEFT)


@lru_cache(maxsize=1024)
def told(requests, tokens, requests_reset_s, tokens_reset_s):
    """How limits of so much a minute (None: no limit) are told, of which nothing is used any more after these whole
    seconds."""
    fixed = []
    if requests is not None:
        fixed.append((b"x-ratelimit-limit-requests", b"%d" % requests))
        fixed.append((b"x-ratelimit-reset-requests", _duration(requests_reset_s)))
    if tokens is not None:
        fixed.append((b"x-ratelimit-limit-tokens", b"%d" % tokens))
        fixed.append((b"x-ratelimit-reset-tokens", _duration(tokens_reset_s)))
    return Told(requests, tokens, fixed)


cdef class Told:
    """What is told of limits: the requests and the tokens a minute that are stated (None: nothing), beside `fixed`, the
    headers that do not vary."""

    def __cinit__(self, requests, tokens, list fixed not None):
        self.requests, self.tokens, self._fixed = requests, tokens, fixed
        self._fixed_lines = _lines_of(fixed)
        self._is_huge = max(requests or 0, tokens or 0) >> 62 != 0
        self._requests = -1 if requests is None or self._is_huge else requests
        self._tokens = -1 if tokens is None or self._is_huge else tokens

    cdef list headers(self, int64_t used, int64_t taken):
        """`x-ratelimit-…` as OpenAI gives them, where so much is used of what is told (no more than it)."""
        made = list(self._fixed)
        if self._is_huge or used < 0 or taken < 0:
            if self.requests is not None:
                made.append((_LEFT, b"%d" % (self.requests - used)))
            if self.tokens is not None:
                made.append((_LEFT_TOKENS, b"%d" % (self.tokens - taken)))
            return made
        if self._requests >= 0:
            made.append((_LEFT, _digits(self._requests - used)))
        if self._tokens >= 0:
            made.append((_LEFT_TOKENS, _digits(self._tokens - taken)))
        return made

    cdef bytes lines(self, int64_t used, int64_t taken):
        """The same as lines of an answer's head, each with its end."""
        cdef char text[2 * _LINE]
        cdef bytes made
        cdef char *end = text
        if self._is_huge or used < 0 or taken < 0:
            return _lines_of(self.headers(used, taken))
        if self._requests >= 0:
            end = _put_line(end, _LEFT, self._requests - used)
        if self._tokens >= 0:
            end = _put_line(end, _LEFT_TOKENS, self._tokens - taken)
        made = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(self._fixed_lines) + (end - text))
        put(put_bytes(PyBytes_AS_STRING(made), self._fixed_lines), text, end - text)
        return made


cdef bytes _lines_of(list headers):
    return b"".join([b"%b: %b\r\n" % header for header in headers])


cdef char *_put_line(char *to, bytes name, int64_t number) noexcept:
    """Write a line of at most `_LINE` bytes; its end."""
    to = put_number(put(put_bytes(to, name), b": ", 2), _told(number))
    return put(to, b"\r\n", 2)


cdef uint64_t _told(int64_t number) noexcept:
    """A number below 0 is 0 (no more is used than there is)."""
    return 0 if number < 0 else <uint64_t>number


cdef bytes _digits(int64_t number):
    cdef char digits[MOST_DIGITS]
    return PyBytes_FromStringAndSize(digits, put_number(digits, _told(number)) - digits)


cdef bytes _duration(int64_t seconds):
    """Whole seconds as OpenAI writes them: "59s", "1m1s"."""
    return b"%dm%ds" % divmod(seconds, 60) if seconds >= 60 else b"%ds" % seconds

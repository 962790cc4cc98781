# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, nonecheck=True
"""The heads of plain answers, read in one pass.

Plain: HTTP/1.1, a final status with a body, every line `name: value` and its end, nothing that bears on the framing but
one Content-Length, nothing on the connection but that it is kept. In it we are nowhere less strict than the parser
(llhttp), which reads all else, from its first byte. An upstream's heads differ in a value or two: a line that is the
one of the head before is not read again.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeLatin1, PyUnicode_DecodeASCII
from libc.string cimport memcmp, memset

cdef extern from "Python.h":
    void* PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)

cdef enum:
    LARGEST_BYTES = 32 << 10
    LONGEST_NAME = 64
    MOST_DIGITS = 15  # of a length: far from the end of 64 bits

cdef unsigned char _NAME[256]  # what a name may have, in lower case; 0 for all else
cdef unsigned char _VALUE[256]  # 1 for what a value may have


cdef void _fill_tables():
    cdef int byte
    memset(_NAME, 0, 256)
    for byte in b"abcdefghijklmnopqrstuvwxyz0123456789-_.":
        _NAME[byte] = byte
    for byte in range(ord("A"), ord("Z") + 1):
        _NAME[byte] = byte + 32
    memset(_VALUE, 1, 256)
    memset(_VALUE, 0, 32)
    _VALUE[9] = 1
    _VALUE[127] = 0


_fill_tables()


@cython.final
@cython.freelist(32)
cdef class Head:
    # `_raw`: the bytes of a plain head, the empty line with them. `_ends`: of its lines, the status line first, as
    # places in `_raw`; `_count` headers, `_pairs`; `_stated`: which of them is Content-Length.

    def __init__(self, int status, list pairs not None):
        self.status, self.length, self._pairs = status, -1, list(pairs)
        self._raw = self._named = None  # so nothing of it is taken for the lines of a plain one

    @property
    def pairs(self):
        return tuple(self._pairs)

    @property
    def named(self):
        if self._named is None:
            self._named = dict(self._pairs)
        return self._named


def plain_head(bytes data not None, Head known=None):
    return read_head(data, known)


cdef Py_ssize_t size_of(Head head) noexcept:
    """How many bytes a plain head has."""
    return PyBytes_GET_SIZE(head._raw)


cdef Head read_head(bytes data, Head known):
    cdef const unsigned char* at = <const unsigned char*>PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data), known_size
    if known is not None:
        if known._raw is None:
            known = None  # one that the parser read
        else:
            known_size = PyBytes_GET_SIZE(known._raw)
            if size >= known_size and memcmp(at, PyBytes_AS_STRING(known._raw), known_size) == 0:
                return known  # it ends with its empty line: what follows is no part of it
    return _read(at, at + min(size, <Py_ssize_t>LARGEST_BYTES), known)


cdef Head _read(const unsigned char* begin, const unsigned char* end, Head known):
    cdef const unsigned char* at
    cdef const unsigned char* old = NULL
    cdef Py_ssize_t line
    cdef int count = 0, stated = -1, status = _status(begin, end)
    cdef Head head
    cdef list pairs = []
    if status < 0:
        return None
    at = _line_end(begin + 13, end)
    if at == NULL:
        return None
    head = Head.__new__(Head)
    head.status = status
    head._ends[0] = at - begin
    if known is not None:
        old = <const unsigned char*>PyBytes_AS_STRING(known._raw)
    while True:
        if end - at < 2:
            return None
        if at[0] == 13:
            if at[1] != 10:
                return None
            at += 2
            break
        if count == MOST_LINES:
            return None
        if old != NULL and count < known._count:
            line = known._ends[count + 1] - known._ends[count]
            if end - at >= line and memcmp(at, old + known._ends[count], line) == 0:
                if count == known._stated:
                    if stated >= 0:
                        return None
                    stated, head.length = count, known.length
                pairs.append(known._pairs[count])
                at += line
                count += 1
                head._ends[count] = at - begin
                continue
        at = _header(head, known, pairs, &stated, at, end)
        if at == NULL:
            return None
        count += 1
        head._ends[count] = at - begin
    if stated < 0:
        return None
    head._count, head._stated, head._pairs = count, stated, pairs
    head._raw = PyBytes_FromStringAndSize(<const char*>begin, at - begin)
    return head


cdef int _status(const unsigned char* at, const unsigned char* end) noexcept:
    """That of a plain status line, whose reason begins with the byte 13; -1 for another line."""
    cdef int status, n
    if end - at < 15 or memcmp(at, b"HTTP/1.1 ", 9) != 0 or at[12] != 32:
        return -1
    for n in range(9, 12):
        if at[n] < 48 or at[n] > 57:
            return -1
    status = (at[9] - 48) * 100 + (at[10] - 48) * 10 + (at[11] - 48)
    if status < 200 or status > 599 or status == 204 or status == 205 or status == 304:
        return -1
    return status


cdef const unsigned char* _line_end(const unsigned char* at, const unsigned char* end) noexcept:
    """Behind the line that `at` is in; NULL where it has not come to its end, or is not plain."""
    while at < end and _VALUE[at[0]]:
        at += 1
    if end - at < 2 or at[0] != 13 or at[1] != 10:
        return NULL
    return at + 2


cdef const unsigned char* _header(
    Head head, Head known, list pairs, int* stated, const unsigned char* at, const unsigned char* end
) except? NULL:
    """Read one header into `pairs`; gives what is behind its line, NULL for one that is not plain."""
    cdef unsigned char name[LONGEST_NAME]
    cdef int size = 0, count = <int>len(pairs)
    cdef const unsigned char* last
    cdef const unsigned char* next_line
    while at < end and _NAME[at[0]]:
        if size == LONGEST_NAME:
            return NULL
        name[size] = _NAME[at[0]]
        size += 1
        at += 1
    if size == 0 or at == end or at[0] != 58:
        return NULL
    at += 1
    while at < end and (at[0] == 32 or at[0] == 9):
        at += 1
    next_line = _line_end(at, end)
    if next_line == NULL:
        return NULL
    last = next_line - 3
    while last >= at and (last[0] == 32 or last[0] == 9):
        last -= 1
    if last < at:
        return NULL  # an empty value
    if not _is_plain(head, stated, count, name, size, at, last + 1):
        return NULL
    value = PyUnicode_DecodeLatin1(<const char*>at, last + 1 - at, NULL)
    if at[0] >= 128 or last[0] >= 128:
        value = value.strip()  # of what Latin-1 has besides
    pairs.append((_name(known, count, name, size), value))
    return next_line


cdef bint _is_plain(
    Head head, int* stated, int count, const unsigned char* name, int size, const unsigned char* at,
    const unsigned char* end,
) noexcept:
    """Whether a header says nothing of the framing and the connection but what is usual; the length is noted."""
    cdef Py_ssize_t length = 0
    cdef int n
    if size == 14 and memcmp(name, b"content-length", 14) == 0:
        if stated[0] >= 0 or end - at > MOST_DIGITS:
            return False
        while at < end:
            if at[0] < 48 or at[0] > 57:
                return False
            length = length * 10 + (at[0] - 48)
            at += 1
        stated[0], head.length = count, length
        return True
    if size == 10 and memcmp(name, b"connection", 10) == 0:
        if end - at != 10:
            return False
        for n in range(10):
            if _NAME[at[n]] != <unsigned char>(<const char*>b"keep-alive")[n]:
                return False
        return True
    return not (
        (size == 17 and memcmp(name, b"transfer-encoding", 17) == 0)
        or (size == 16 and memcmp(name, b"proxy-connection", 16) == 0)
        or (size == 7 and memcmp(name, b"upgrade", 7) == 0)
    )


cdef str _name(Head known, int count, const unsigned char* name, int size):
    """The header's name; the known head's, where that has it in the same place."""
    if known is not None and count < known._count:
        same = <str>(<tuple>known._pairs[count])[0]
        if PyUnicode_GET_LENGTH(same) == size and memcmp(PyUnicode_DATA(same), name, size) == 0:
            return same
    return PyUnicode_DecodeASCII(<const char*>name, size, NULL)

# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, nonecheck=True
"""The heads of plain requests, read in one pass; those that come again are known by their bytes.

Plain: a usual method, a path and a query without odd bytes, HTTP/1.1, every line `name: value` and its end, no name
twice, nothing that bears on the framing but one Content-Length, nothing on the connection but that it is kept, no
offer or question to the server. In it we are nowhere less strict than the parser (llhttp), which reads all else, from
its first byte.

A client sends the same head with each of its requests, but for the length of the body, and it may be for the name of a
trace: a line that is the one of the connection's head before is not read again. What a head means is kept by its bytes
without that length, once it came twice.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t
from libc.string cimport memcmp, memcpy

from farthing.gateway.process.request_lines cimport LENGTH_DIGITS, Line, Lines, Place, Read, read_lines

from farthing.gateway.process.heads import address, scope_of

cdef extern from "Python.h":
    PyObject* PyDict_GetItemWithError(object, object) except? NULL

BY_NAME = "farthing.headers"
MOST_KNOWN = 256

cdef Py_ssize_t _MOST_KNOWN = MOST_KNOWN
cdef tuple _METHODS = ("POST", "GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS")


@cython.final
@cython.freelist(32)
cdef class Meaning:
    # Of the head it was read from: `_raw`, its bytes; `_lines`, which are in them; `_names`, of its headers. `_kept`:
    # once it came twice.

    def __init__(self):
        raise TypeError("what a head means is read from one")

    def of(self, bytes digits not None):
        headers = self.headers.copy()
        if digits:
            headers[b"content-length"] = digits
        scope = scope_of("1.1", self.method, (self.path, self.query), headers.items())
        scope[BY_NAME] = headers
        return scope


@cython.final
cdef class Heads:
    # `_seen`: of heads that came lately, a number made of their bytes, each in the one place that it says.

    def __init__(self):
        self.known = {}

    cdef Meaning find(self, bytes data, Meaning last, Place* place):
        """What the plain head says that `data` begins with; None for any other. `last`: of another one."""
        cdef Read read
        cdef Meaning meaning
        cdef PyObject* found
        cdef bytes key
        last = _made(last)
        if last is not None and _is_same(last, data, place):
            if not last._kept:
                self._keep(_without_digits(data, place), last)
            return last
        if not _read(data, last, &read):
            return None
        place[0] = read.found.place
        cdef uint64_t mixed = _mixed(data, place)
        cdef uint64_t* seen = &self._seen[mixed & (MOST_SEEN - 1)]
        if seen[0] != mixed:
            seen[0] = mixed
            return _meaning(data, last, &read)
        key = _without_digits(data, place)
        found = PyDict_GetItemWithError(self.known, key)
        if found != NULL:
            return <Meaning><object>found
        meaning = _meaning(data, last, &read)
        if meaning is not None:
            self._keep(key, meaning)
        return meaning

    cdef int _keep(self, bytes key, Meaning meaning) except -1:
        if len(self.known) >= _MOST_KNOWN:
            self.known.clear()
        self.known[key] = meaning
        meaning._kept = True
        return 0


def plain_head(bytes data not None, Meaning last=None):
    cdef Read read
    cdef Place place
    cdef Meaning meaning
    last = _made(last)
    if last is not None and _is_same(last, data, &place):
        meaning = last
    elif not _read(data, last, &read):
        return None
    else:
        meaning, place = _meaning(data, last, &read), read.found.place
    return None if meaning is None else (meaning, data[place.first : place.last], place.start)


cdef inline Meaning _made(Meaning last):
    """`last`, if it was read from a head."""
    return last if last is not None and last._raw is not None else None


cdef bint _read(bytes data, Meaning last, Read* read) noexcept:
    cdef const Lines* lines = NULL
    if last is not None:
        lines = &last._lines
    return read_lines(<const unsigned char*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), lines, read)


# --- a head by its bytes ------------------------------------------------------------------------------


cdef bint _is_same(Meaning last, bytes data, Place* place) noexcept:
    """Whether `data` begins with the last head, but for the length of the body."""
    cdef const char* at = PyBytes_AS_STRING(data)
    cdef const char* old = PyBytes_AS_STRING(last._raw)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data), first = last._lines.place.first, end = first
    cdef Py_ssize_t behind = last._lines.place.start - last._lines.place.last
    cdef long long length = 0
    if size <= first or memcmp(at, old, first) != 0:
        return False
    if last._lines.stated >= 0:
        while end < size and end - first < LENGTH_DIGITS and 48 <= at[end] <= 57:
            length = length * 10 + (at[end] - 48)
            end += 1
        if end == first:
            return False
    if size - end < behind or memcmp(at + end, old + last._lines.place.last, behind) != 0:
        return False
    place.first, place.last, place.start, place.length = first, end, end + behind, length
    return True


cdef uint64_t _mixed(bytes data, const Place* place) noexcept:
    """A number made of a head without its digits. (That others have it, too, is of no consequence: a head that is
    known is looked up by its bytes.)"""
    cdef const char* at = PyBytes_AS_STRING(data)
    return _mix(_mix(1, at, place.first), at + place.last, place.start - place.last) | 1 << 63


cdef uint64_t _mix(uint64_t mixed, const char* at, Py_ssize_t size) noexcept:
    cdef uint64_t word
    while size >= 8:
        memcpy(&word, at, 8)
        mixed = (mixed ^ word) * 0x9E3779B97F4A7C15ULL
        mixed ^= mixed >> 32
        at, size = at + 8, size - 8
    word = 0
    memcpy(&word, at, size)
    mixed = (mixed ^ word) * 0x9E3779B97F4A7C15ULL
    return mixed ^ mixed >> 32


cdef bytes _without_digits(bytes data, const Place* place):
    cdef const char* at = PyBytes_AS_STRING(data)
    cdef bytes key = PyBytes_FromStringAndSize(NULL, place.start - (place.last - place.first))
    cdef char* to = PyBytes_AS_STRING(key)
    memcpy(to, at, place.first)
    memcpy(to + place.first, at + place.last, place.start - place.last)
    return key


# --- what it means ------------------------------------------------------------------------------------


cdef Meaning _meaning(bytes data, Meaning last, const Read* read):
    """What a head says that `_read` found plain; None where a name is there twice."""
    cdef const char* begin = PyBytes_AS_STRING(data)
    cdef Meaning meaning = Meaning.__new__(Meaning)
    if not _exchange(meaning, data, last, read) and not _fill(meaning, data, last, read):
        return None
    if read.method < 0:
        meaning.method, meaning.path, meaning.query = last.method, last.path, last.query
    else:
        meaning.method = <str>_METHODS[read.method]
        meaning.path, meaning.query = address(PyBytes_FromStringAndSize(begin + read.target, read.target_size))
    meaning._raw = PyBytes_FromStringAndSize(begin, read.found.place.start)
    meaning._lines = read.found
    meaning._lines.raw = <const unsigned char*>PyBytes_AS_STRING(meaning._raw)
    return meaning


cdef bint _exchange(Meaning meaning, bytes data, Meaning last, const Read* read) except -1:
    """Give it the last head's headers with other values, if they have the same names in the same order."""
    cdef const char* begin = PyBytes_AS_STRING(data)
    cdef const Line* line
    cdef int n
    if last is None or read.found.count != last._lines.count or read.found.stated != last._lines.stated:
        return False
    for n in range(read.found.count):
        line = &read.lines[n]
        if not line.same and not _is_named(read, line, <bytes>last._names[n]):
            return False
    headers = last.headers.copy()
    for n in range(read.found.count):
        line = &read.lines[n]
        if not line.same and n != read.found.stated:
            headers[<bytes>last._names[n]] = PyBytes_FromStringAndSize(begin + line.value, line.value_size)
    meaning.headers, meaning._names = headers, last._names
    return True


cdef bint _fill(Meaning meaning, bytes data, Meaning last, const Read* read) except -1:
    """Give it its headers; whether each name is there once."""
    cdef const char* begin = PyBytes_AS_STRING(data)
    cdef const Line* line
    cdef dict headers = {}
    cdef bytes name
    cdef int n
    for n in range(read.found.count):
        line = &read.lines[n]
        if line.same:
            name = <bytes>last._names[n]
            headers[name] = last.headers[name]
        else:
            name = PyBytes_FromStringAndSize(<const char*>&read.names[line.name], line.name_size)
            headers[name] = PyBytes_FromStringAndSize(begin + line.value, 0 if n == read.found.stated else line.value_size)
    meaning.headers, meaning._names = headers, tuple(headers)
    return len(headers) == read.found.count


cdef bint _is_named(const Read* read, const Line* line, bytes name) noexcept:
    return PyBytes_GET_SIZE(name) == line.name_size and memcmp(
        PyBytes_AS_STRING(name), &read.names[line.name], line.name_size
    ) == 0

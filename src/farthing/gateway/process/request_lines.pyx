# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, nonecheck=True
"""The lines of a plain request's head, read in one pass (what is plain: request_head.pyx).

A line that is the one in its place in the connection's head before is not read again.
"""

from libc.string cimport memchr, memcmp, memset

from farthing.gateway.writing cimport is_fit_value

cdef enum:
    LONGEST_NAME = 64

MOST_DIGITS, MOST_LINES, MOST_PLAIN_BYTES = LENGTH_DIGITS, MOST_HEADERS, LARGEST_BYTES

cdef unsigned char _NAME[256]  # what a name may have, in lower case; 0 for all else
cdef unsigned char _TARGET[256]  # 1 for what a path and a query may have (RFC 3986, 3.3 and 3.4)


cdef void _fill_tables():
    cdef int byte
    memset(_NAME, 0, 256)
    memset(_TARGET, 0, 256)
    for byte in b"abcdefghijklmnopqrstuvwxyz0123456789-_.":
        _NAME[byte] = byte
        _TARGET[byte] = 1
    for byte in b"~!$&'()*+,;=:@/?%":
        _TARGET[byte] = 1
    for byte in range(ord("A"), ord("Z") + 1):
        _NAME[byte] = byte + 32
        _TARGET[byte] = 1


_fill_tables()


cdef bint read_lines(const unsigned char* begin, Py_ssize_t size, const Lines* last, Read* read) noexcept:
    """Whether what begins there is a plain head, as far as its bytes say: a name may be there twice. `last`: of another
    head, which this one is likely to resemble; NULL: none."""
    cdef const unsigned char* end = begin + min(size, <Py_ssize_t>LARGEST_BYTES)
    cdef const unsigned char* at = begin
    cdef const unsigned char* old = NULL
    cdef Lines* found = &read.found
    cdef Py_ssize_t line
    if last != NULL:
        old = last.raw
    if old != NULL and end - begin >= last.ends[0] and memcmp(begin, old, last.ends[0]) == 0:
        read.method = -1
        at += last.ends[0]
    else:
        at = _request_line(begin, end, read)
        if at == NULL:
            return False
    found.raw, found.count, found.stated, read.named, found.ends[0] = begin, 0, -1, 0, at - begin
    found.place.first = found.place.last = found.place.length = 0
    while True:
        if end - at < 2:
            return False
        if at[0] == 13:
            break
        if found.count == MOST_HEADERS:
            return False
        if old != NULL and found.count < last.count:
            line = last.ends[found.count + 1] - last.ends[found.count]
            if end - at >= line and memcmp(at, old + last.ends[found.count], line) == 0:
                if found.count == last.stated:
                    if found.stated >= 0:
                        return False
                    found.stated, found.place.length = found.count, last.place.length
                    found.place.first = at - begin + last.place.first - last.ends[found.count]
                    found.place.last = found.place.first + last.place.last - last.place.first
                read.lines[found.count].same = True
                at += line
                found.count += 1
                found.ends[found.count] = at - begin
                continue
        at = _header(read, begin, at, end)
        if at == NULL:
            return False
        found.count += 1
        found.ends[found.count] = at - begin
    if at[1] != 10:
        return False
    found.place.start = at + 2 - begin
    if found.stated < 0:
        found.place.first = found.place.last = at - begin
    return True


cdef const unsigned char* _request_line(const unsigned char* begin, const unsigned char* end, Read* read) noexcept:
    """Behind a plain request line; NULL for another."""
    cdef const unsigned char* at
    cdef int size = 0
    if end - begin < 16:
        return NULL
    read.method = _method(begin, &size)
    at = begin + size
    if read.method < 0 or at[0] != 47:
        return NULL
    while at < end and _TARGET[at[0]]:
        at += 1
    read.target, read.target_size = size, at - begin - size
    if end - at < 11 or memcmp(at, b" HTTP/1.1\r\n", 11) != 0:
        return NULL
    return at + 11


cdef int _method(const unsigned char* at, int* size) noexcept:
    """Which of `_METHODS`, -1 for none, and where the target begins; `at` has at least 16 bytes."""
    if memcmp(at, b"POST ", 5) == 0:
        size[0] = 5
        return 0
    if memcmp(at, b"GET ", 4) == 0:
        size[0] = 4
        return 1
    if memcmp(at, b"HEAD ", 5) == 0:
        size[0] = 5
        return 2
    if memcmp(at, b"PUT ", 4) == 0:
        size[0] = 4
        return 3
    if memcmp(at, b"PATCH ", 6) == 0:
        size[0] = 6
        return 4
    if memcmp(at, b"DELETE ", 7) == 0:
        size[0] = 7
        return 5
    if memcmp(at, b"OPTIONS ", 8) == 0:
        size[0] = 8
        return 6
    return -1


cdef const unsigned char* _header(
    Read* read, const unsigned char* begin, const unsigned char* at, const unsigned char* end
) noexcept:
    """Read the header at `at`; gives what is behind its line, NULL for one that is not plain."""
    cdef Line* line = &read.lines[read.found.count]
    cdef unsigned char* name = &read.names[read.named]  # (all names together are shorter than the head)
    cdef const unsigned char* value
    cdef int size = 0
    while at < end and _NAME[at[0]]:
        if size == LONGEST_NAME:
            return NULL
        name[size] = _NAME[at[0]]
        size += 1
        at += 1
    if size == 0 or end - at < 2 or at[0] != 58 or at[1] != 32:
        return NULL
    value = at + 2
    at = <const unsigned char*>memchr(value, 13, end - value)
    if at == NULL or end - at < 2 or at[1] != 10 or not is_fit_value(value, at - value):
        return NULL
    if at > value and (_is_blank(value[0]) or _is_blank((at - 1)[0])):
        return NULL
    if not _is_plain(&read.found, begin, name, size, value, at):
        return NULL
    line.name, line.name_size, line.same = read.named, size, False
    line.value, line.value_size = value - begin, at - value
    read.named += size
    return at + 2


cdef inline bint _is_blank(unsigned char byte) noexcept:
    return byte == 32 or byte == 9


cdef bint _is_plain(
    Lines* found, const unsigned char* begin, const unsigned char* name, int size, const unsigned char* at,
    const unsigned char* end,
) noexcept:
    """Whether a header says nothing of the framing and the connection but what is usual; the length is noted."""
    cdef int n
    if size == 14 and memcmp(name, b"content-length", 14) == 0:
        if found.stated >= 0 or at == end or end - at > LENGTH_DIGITS:
            return False
        found.stated, found.place.first, found.place.last = found.count, at - begin, end - begin
        while at < end:
            if at[0] < 48 or at[0] > 57:
                return False
            found.place.length = found.place.length * 10 + (at[0] - 48)
            at += 1
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
        or (size == 6 and memcmp(name, b"expect", 6) == 0)
    )

cdef enum:
    LARGEST_BYTES = 4096  # (so that places in a head fit into 16 bits)
    LENGTH_DIGITS = 15  # far from the end of 64 bits
    MOST_HEADERS = 64


cdef struct Place:
    # In the data: the digits of the body's length (`first` to `last`; no place, where none is stated), and where the
    # body begins; `length`: of it.
    Py_ssize_t first
    Py_ssize_t last
    Py_ssize_t start
    long long length


cdef struct Lines:
    # Of a head: its bytes; its headers' count; which of them is Content-Length, -1 for none; where its lines end, the
    # request line first.
    const unsigned char* raw
    Place place
    int count
    int stated
    unsigned short ends[MOST_HEADERS + 1]


cdef struct Line:
    # Places in the head, but for the name, whose place is in `names`. `same`: it is the last head's, and has no places.
    unsigned short name
    unsigned short name_size
    unsigned short value
    unsigned short value_size
    bint same


cdef struct Read:
    Lines found
    int method  # of those in request_head.pyx; -1: the request line is the last head's
    unsigned short target
    unsigned short target_size
    int named  # how much of `names` is used
    Line lines[MOST_HEADERS]
    unsigned char names[LARGEST_BYTES]


cdef bint read_lines(const unsigned char* begin, Py_ssize_t size, const Lines* last, Read* read) noexcept

# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Frames of the journal: the rows of one call as msgspec packs them, behind a head with length, checksum and ticket.

The usual rows are packed here, byte for byte as `msgspec.msgpack.Encoder` does it, in a sixth of its instructions: what a
row looks like is known beforehand. Whatever is not plain (a number beyond 64 bits, half a character, more rows or bytes
than a frame has in nearly all cases) is left to it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from farthing.ledger.attempts cimport offset
from farthing.ledger.checksum cimport crc32
from farthing.struct_fields cimport field

import msgspec

from farthing.ledger.row import Attempt

cdef extern from *:
    """
    /* The UTF-8 of a text, which lives as long as it does; NULL (and no error set) for half a character. */
    static inline const char *utf8_of(PyObject *text, Py_ssize_t *bytes) {
        if (PyUnicode_IS_COMPACT_ASCII(text)) {
            *bytes = PyUnicode_GET_LENGTH(text);
            return (const char *)PyUnicode_1BYTE_DATA(text);
        }
        const char *found = PyUnicode_AsUTF8AndSize(text, bytes);
        if (found == NULL) PyErr_Clear();
        return found;
    }
    """
    const char* utf8_of(PyObject* text, Py_ssize_t* count) noexcept
    bint PyUnicode_CheckExact(PyObject* value) noexcept
    bint PyLong_CheckExact(PyObject* value) noexcept
    bint PyDict_CheckExact(PyObject* value) noexcept
    Py_ssize_t PyDict_Size(PyObject* value) noexcept
    bint PyDict_Next(PyObject* value, Py_ssize_t* at, PyObject** key, PyObject** found) noexcept
    long long PyLong_AsLongLongAndOverflow(PyObject* value, int* overflow) noexcept
    PyObject* Py_None
    PyObject* Py_True
    PyObject* Py_False

cdef extern from "endian.h":
    uint64_t htobe64(uint64_t number) noexcept
    uint64_t htole64(uint64_t number) noexcept

cdef enum:
    MOST_FIELDS = 64
    KEY_BYTES = 16
    NUMBER_BYTES = 9
    MOST_ROWS = 15  # what an array's head of one byte counts

cdef struct Field:
    Py_ssize_t at
    PyObject* default  # left out where a row has this very object, as msgspec does it; NULL: there is none
    bint empty  # left out where it is an empty dictionary
    int key_bytes
    unsigned char[KEY_BYTES] key

cdef PyTypeObject* ROW = <PyTypeObject*>Attempt
cdef Field[MOST_FIELDS] FIELDS
cdef int fields = 0
_kept = []  # defaults, which `FIELDS` only points to


cdef _learn():
    """Fill `FIELDS`."""
    global fields
    cdef bytes key
    for each in msgspec.structs.fields(Attempt):
        key = msgspec.msgpack.encode(each.encode_name)
        if len(key) > KEY_BYTES or fields == MOST_FIELDS:
            raise TypeError("Attempt has more or longer names than a frame's writer expects")
        FIELDS[fields].at = offset(each.name)
        FIELDS[fields].default = NULL
        if each.default is not msgspec.NODEFAULT:
            _kept.append(each.default)
            FIELDS[fields].default = <PyObject*>each.default
        FIELDS[fields].empty = each.default_factory is dict
        FIELDS[fields].key_bytes = <int>len(key)
        memcpy(FIELDS[fields].key, <const char*>key, len(key))
        fields += 1


_learn()
if not 15 < fields:
    raise TypeError("Attempt has fewer names than a frame's writer expects")


cdef inline unsigned char* put_number(unsigned char* at, unsigned int kind, uint64_t number, int count) noexcept:
    """`kind` and `number` in `count` bytes, the highest first. `NUMBER_BYTES` are written over, whatever `count` is."""
    cdef uint64_t highest_first = htobe64(number << 8 * (8 - count))
    at[0] = <unsigned char>kind
    memcpy(at + 1, &highest_first, 8)
    return at + 1 + count


cdef unsigned char* put_whole(unsigned char* at, const unsigned char* end, PyObject* value) noexcept:
    """A whole number; NULL where it does not fit, or is below zero or beyond 63 bits."""
    cdef int overflow = 0
    cdef long long number = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow or number < 0 or end - at < NUMBER_BYTES:
        return NULL
    if number < 128:
        at[0] = <unsigned char>number
        return at + 1
    if number < 1 << 8:
        return put_number(at, 0xCC, <uint64_t>number, 1)
    if number < 1 << 16:
        return put_number(at, 0xCD, <uint64_t>number, 2)
    if number < <long long>1 << 32:
        return put_number(at, 0xCE, <uint64_t>number, 4)
    return put_number(at, 0xCF, <uint64_t>number, 8)


cdef inline unsigned char* put_text(unsigned char* at, const unsigned char* end, PyObject* value) noexcept:
    """A text; NULL where it does not fit or is none that can be told."""
    cdef Py_ssize_t count = 0
    cdef const char* text = utf8_of(value, &count)
    if text == NULL or count > end - at - NUMBER_BYTES:
        return NULL
    if count < 32:
        at[0] = <unsigned char>(0xA0 | count)
        at += 1
    elif count < 1 << 8:
        at = put_number(at, 0xD9, <uint64_t>count, 1)
    else:
        at = put_number(at, 0xDA, <uint64_t>count, 2)  # (longer ones do not fit)
    memcpy(at, text, count)
    return at + count


cdef unsigned char* put_words(unsigned char* at, const unsigned char* end, PyObject* words) noexcept:
    """A dictionary of texts or whole numbers by text; NULL where it does not fit or is more than that."""
    cdef Py_ssize_t count = PyDict_Size(words), place = 0
    cdef PyObject* key
    cdef PyObject* value
    if count > 15 or at == end:
        return NULL
    at[0] = <unsigned char>(0x80 | count)
    at += 1
    while at != NULL and PyDict_Next(words, &place, &key, &value):
        if not PyUnicode_CheckExact(key):
            return NULL
        at = put_text(at, end, key)
        if at == NULL:
            return NULL
        if PyLong_CheckExact(value):
            at = put_whole(at, end, value)
        elif PyUnicode_CheckExact(value):
            at = put_text(at, end, value)
        else:
            return NULL
    return at


cdef unsigned char* put_value(unsigned char* at, const unsigned char* end, PyObject* value) noexcept:
    """The value of a field; NULL where it does not fit, or is none of the usual ones."""
    if value == NULL or at == end:
        return NULL
    if PyUnicode_CheckExact(value):
        return put_text(at, end, value)
    if PyLong_CheckExact(value):
        return put_whole(at, end, value)
    if PyDict_CheckExact(value):
        return put_words(at, end, value)
    if value == Py_None:
        at[0] = 0xC0
    elif value == Py_True:
        at[0] = 0xC3
    elif value == Py_False:
        at[0] = 0xC2
    else:
        return NULL
    return at + 1


cdef inline bint left_out(const Field* each, PyObject* value) noexcept:
    if value == each.default:
        return value != NULL
    return each.empty and value != NULL and PyDict_CheckExact(value) and not PyDict_Size(value)


cdef unsigned char* put_row(unsigned char* at, const unsigned char* end, PyObject* row) noexcept:
    """A row: a map of those of its fields that say more than their defaults (with the head that a map of all would need,
    as msgspec makes it). NULL where it is not plain."""
    cdef unsigned char* start = at
    cdef PyObject* value
    cdef Field* each
    cdef int n, told = 0
    if row.ob_type != ROW or end - at < 3:
        return NULL
    at += 3
    for n in range(fields):
        each = &FIELDS[n]
        value = field(row, each.at)
        if left_out(each, value):
            continue
        if end - at < KEY_BYTES:
            return NULL
        memcpy(at, each.key, KEY_BYTES)
        at = put_value(at + each.key_bytes, end, value)
        if at == NULL:
            return NULL
        told += 1
    start[0], start[1], start[2] = 0xDE, 0, <unsigned char>told
    return at


cdef Py_ssize_t pack_rows(list rows, unsigned char* start, Py_ssize_t room) noexcept:
    """Pack `rows` into `room` bytes from `start`; how many they take, 0 where they are not plain."""
    cdef Py_ssize_t n, count = PyList_GET_SIZE(rows)
    cdef const unsigned char* end = start + room
    cdef unsigned char* at = start
    if count > MOST_ROWS or not room:
        return 0
    at[0] = <unsigned char>(0x90 | count)
    at += 1
    for n in range(count):
        at = put_row(at, end, <PyObject*>PyList_GET_ITEM(rows, n))
        if at == NULL:
            return 0
    return at - start


cdef int put_head(unsigned char* frame, Py_ssize_t body_bytes, uint64_t through) except -1:
    """The head of the frame whose body of less than 4 GiB stands behind it: lowest bytes first, the length, the
    checksum (which goes on from the ticket) and the ticket."""
    cdef uint64_t checksum = crc32(frame + HEAD_BYTES, body_bytes, <uint32_t>through)
    cdef uint64_t[2] words = [htole64(checksum << 32 | <uint64_t>body_bytes), htole64(through)]
    memcpy(frame, words, HEAD_BYTES)
    return 0


def framed(bytes body not None, through, /):
    """The frame of `body`, packed rows or price records, up to ticket `through`."""
    cdef Py_ssize_t count = len(body)
    if count > 0xFFFFFFFF:
        raise OverflowError("a frame of more than 4 GiB")
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, HEAD_BYTES + count)
    cdef unsigned char* at = <unsigned char*>PyBytes_AS_STRING(frame)
    memcpy(at + HEAD_BYTES, PyBytes_AS_STRING(body), count)
    put_head(at, count, through)
    return frame


def pack(list rows not None, /):
    """The body of a frame of `rows`; None where they are not plain, or more than 4 KiB."""
    cdef unsigned char[LONGEST_BYTES] room
    cdef Py_ssize_t count = pack_rows(rows, room, LONGEST_BYTES)
    return room[:count] if count else None


cdef class Segment:
    """A file of the journal that is written now or was. `handle`: -1 once it is closed, and then synced; `through`: the
    last ticket in it; `limit`: it is full with so many bytes; `torn`: half a frame stands behind its `size`, which must
    be cut off before anything is written behind that."""

    def __init__(self, path, int handle, Py_ssize_t limit):
        self.path = path
        self.handle = handle
        self.limit = limit
        self.size = 0
        self.through = 0
        self.torn = False


cdef class Latest:
    """What of a journal the usual way in knows: the segment that is written `now`."""

# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The text of an answer, compiled: its head, checked as it is written, and its chunks.

Not plain are statuses without a body or a line of their own, headers that mean something to the server, and those that
are unfit or no pairs of bytes: `Cycle.send` does, or refuses, what they ask for.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport PyObject
from cpython.sequence cimport PySequence_Fast, PySequence_Fast_GET_ITEM, PySequence_Fast_GET_SIZE
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.string cimport memcmp

from farthing.gateway.writing cimport digits_of, is_fit_value, put, put_bytes, put_digits

import http

cdef extern from "Python.h":
    int PyUnicode_KIND(object text)
    const unsigned char* PyUnicode_1BYTE_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    PyObject* PyDict_GetItemWithError(object table, object key) except? NULL


def _status_line(status):
    phrase = http.HTTPStatus(status).phrase if status in http.HTTPStatus._value2member_map_ else ""
    return f"HTTP/1.1 {status} {phrase}".encode("ascii")


STATUS_LINES = {status: _status_line(status) for status in range(200, 600)}

cdef list _LINES = [STATUS_LINES.get(status) for status in range(600)]
cdef unsigned char _TOKEN[256]
"""The bytes that a header's name may have, in lower case."""
for _n in range(256):
    _TOKEN[_n] = _n in b"!#$%&'*+.^_`|~-0123456789abcdefghijklmnopqrstuvwxyz"
cdef enum:
    _BUFFER_BYTES = 4096


cdef bint _fit_name(const unsigned char* at, Py_ssize_t size) noexcept:
    """Whether a header may have this name, which is in lower case."""
    cdef Py_ssize_t n
    for n in range(size):
        if not _TOKEN[at[n]]:
            return False
    return size > 0


cdef bint _plain_name(const unsigned char* at, Py_ssize_t size) noexcept:
    """Whether it is fit, and none that means something to the server."""
    if not _fit_name(at, size):
        return False
    if size == 10:
        return memcmp(at, b"connection", 10) != 0
    if size == 14:
        return memcmp(at, b"content-length", 14) != 0
    return size != 17 or memcmp(at, b"transfer-encoding", 17) != 0


def fit_name(bytes name not None):
    """Whether a header may have this name, which is in lower case."""
    return _fit_name(<const unsigned char*>PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))


def fit_value(bytes value not None):
    """Whether a header may have this value, which so cannot end its line: no control characters but tabs."""
    return is_fit_value(<const unsigned char*>PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))


cdef Py_ssize_t _lines_size(object headers) except -2:
    """How long the lines of `headers` are (a list or tuple); -1 where they are not all plain pairs of bytes."""
    cdef Py_ssize_t size = 0, n
    cdef PyObject* pair
    cdef PyObject* name
    cdef PyObject* value
    for n in range(PySequence_Fast_GET_SIZE(headers)):
        pair = <PyObject*>PySequence_Fast_GET_ITEM(headers, n)
        if type(<object>pair) is not tuple or PyTuple_GET_SIZE(<object>pair) != 2:
            return -1
        name, value = <PyObject*>PyTuple_GET_ITEM(<object>pair, 0), <PyObject*>PyTuple_GET_ITEM(<object>pair, 1)
        if type(<object>name) is not bytes or type(<object>value) is not bytes:
            return -1
        if not _plain_name(<const unsigned char*>PyBytes_AS_STRING(<object>name), PyBytes_GET_SIZE(<object>name)):
            return -1
        if not is_fit_value(<const unsigned char*>PyBytes_AS_STRING(<object>value), PyBytes_GET_SIZE(<object>value)):
            return -1
        size += PyBytes_GET_SIZE(<object>name) + PyBytes_GET_SIZE(<object>value) + 4
    return size


cdef bytes whole_answer(int status, object headers, bytes lines, bytes body, bint joined):
    """An answer's head, and its body behind it if they are to be `joined`; None where its headers are not plain, or the
    status has no body or no line.

    `lines`: whole lines of headers, which are taken as they are.
    """
    if not 200 <= status < 600 or status == 204 or status == 304:
        return None
    headers = PySequence_Fast(headers, "the headers of an answer are a sequence")
    cdef Py_ssize_t headers_size = _lines_size(headers)
    if headers_size < 0:
        return None
    cdef bytes first = <bytes>_LINES[status]
    cdef int digits = digits_of(PyBytes_GET_SIZE(body))
    cdef Py_ssize_t n
    cdef Py_ssize_t size = PyBytes_GET_SIZE(first) + 2 + headers_size + PyBytes_GET_SIZE(lines) + 16 + digits + 4
    if joined:
        size += PyBytes_GET_SIZE(body)
    cdef bytes made = PyBytes_FromStringAndSize(NULL, size)
    cdef char* to = put_bytes(PyBytes_AS_STRING(made), first)
    cdef PyObject* pair
    to = put(to, b"\r\n", 2)
    for n in range(PySequence_Fast_GET_SIZE(headers)):
        pair = <PyObject*>PySequence_Fast_GET_ITEM(headers, n)
        to = put(put_bytes(to, <bytes>PyTuple_GET_ITEM(<object>pair, 0)), b": ", 2)
        to = put(put_bytes(to, <bytes>PyTuple_GET_ITEM(<object>pair, 1)), b"\r\n", 2)
    to = put(put_bytes(to, lines), b"content-length: ", 16)
    to = put(put_digits(to, PyBytes_GET_SIZE(body), digits), b"\r\n\r\n", 4)
    if joined:
        put_bytes(to, body)
    return made


cdef bytes chunk(bytes body):
    """A piece of a body that comes in chunks (RFC 9112, 7.1)."""
    cdef char first[24]
    cdef int count = 2
    cdef Py_ssize_t left = PyBytes_GET_SIZE(body)
    first[22], first[23] = 13, 10  # the line's end
    while True:
        count += 1
        first[24 - count] = (<const char*>b"0123456789abcdef")[left & 15]
        left >>= 4
        if left == 0:
            break
    cdef bytes made = PyBytes_FromStringAndSize(NULL, count + PyBytes_GET_SIZE(body) + 2)
    cdef char* to = put(PyBytes_AS_STRING(made), first + 24 - count, count)
    put(put_bytes(to, body), b"\r\n", 2)
    return made


cdef inline bytes _passed(object names, str name, str value, Py_ssize_t longest_bytes):
    """What the header's name is passed on as; None where it is not to be passed on, or its value is not fit."""
    if name is None or value is None:
        raise TypeError("a header is two strings")
    cdef PyObject* found = PyDict_GetItemWithError(names, name)
    if found != NULL and <object>found is None:
        return None
    cdef bytes told = names[name] if found == NULL else <object>found
    if PyUnicode_KIND(value) != 1:
        raise ValueError("the value of a header is no Latin-1")
    cdef Py_ssize_t size = PyUnicode_GET_LENGTH(value)
    return told if size <= longest_bytes and is_fit_value(PyUnicode_1BYTE_DATA(value), size) else None


def fit_pairs(object pairs, object names, Py_ssize_t longest_bytes):
    """Those `pairs` of text that are fit for a head, as pairs of bytes (Latin-1).

    `names`: what each name is passed on as, None where it is not; it may make what it misses. A pair is left out whose
    value has control characters, or is longer than `longest_bytes`.
    """
    cdef list made = []
    cdef str name, value
    cdef bytes told
    for name, value in pairs:
        told = _passed(names, name, value, longest_bytes)
        if told is not None:
            text = PyBytes_FromStringAndSize(<const char*>PyUnicode_1BYTE_DATA(value), PyUnicode_GET_LENGTH(value))
            made.append((told, text))
    return made


def fit_lines(object pairs, object names, Py_ssize_t longest_bytes):
    """`fit_pairs` as the lines of a head: "name: value" and a line's end, each."""
    cdef char made[_BUFFER_BYTES]
    cdef char* to = made
    cdef list full = None
    cdef str name, value
    cdef bytes told
    cdef const char* text
    cdef Py_ssize_t size
    for name, value in pairs:
        told = _passed(names, name, value, longest_bytes)
        if told is None:
            continue
        text, size = <const char*>PyUnicode_1BYTE_DATA(value), PyUnicode_GET_LENGTH(value)
        if to - made + PyBytes_GET_SIZE(told) + size + 4 > _BUFFER_BYTES:
            full = [] if full is None else full
            full.append(PyBytes_FromStringAndSize(made, to - made))
            to = made
            if PyBytes_GET_SIZE(told) + size + 4 > _BUFFER_BYTES:
                full.append(b"%b: %b\r\n" % (told, PyBytes_FromStringAndSize(text, size)))
                continue
        to = put(put_bytes(to, told), b": ", 2)
        to = put(put(to, text, size), b"\r\n", 2)
    cdef bytes last = PyBytes_FromStringAndSize(made, to - made)
    return last if full is None else b"".join([*full, last])

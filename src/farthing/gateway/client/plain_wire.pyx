# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, nonecheck=True
"""A request to an upstream and its answer: what each of them goes through, for as few instructions as can be.

Most answers are plain (head.pyx) and come in one read: they are read here. Any other goes to the parser from its first
byte, by `Connection`, which extends `Wire` by what is not done for each request; so `Pool` does `Kept`, `Request`
`Asked`. What each is for is said in plain_wire.pyi.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject, PyTypeObject

cdef extern from "Python.h":
    void* PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    bint PyUnicode_IS_COMPACT_ASCII(object text)

from farthing.clocks cimport monotonic_s
from farthing.gateway.client.head cimport Head, read_head, size_of
from farthing.gateway.client.response cimport Response
from farthing.gateway.writing cimport digits_of, is_fit_value, put, put_bytes, put_digits

cdef Py_ssize_t _MOST_WAITING_BYTES = 256 << 10
cdef Py_ssize_t _MOST_HEAD_BYTES = 256 << 10
cdef Py_ssize_t _ROOM = 1 + 16  # bytes of framing for a byte of a body: a chunk of one byte has six
cdef Py_ssize_t _LARGE = 16 << 10  # from here on, head and body are not joined before they are sent
cdef tuple _NOTHING = ()
cdef bytes _TELLING = b"content-type: application/json\r\ncontent-length: "
MOST_WAITING_BYTES = _MOST_WAITING_BYTES
MOST_HEAD_BYTES = _MOST_HEAD_BYTES

cdef enum _Reading:  # how far an answer is
    UNTOUCHED
    PLAIN  # its head was; `_missing` is left of its body
    PARSED


cdef class Wire:
    cdef readonly Kept _pool
    cdef public object transport, on_body
    cdef public bint closed, paused, unread
    cdef public double idle_since
    cdef readonly Response _answer
    cdef public bint _whole, _last, _bare, _until_end, _writing
    cdef Py_ssize_t _room_bytes  # that may still come and is no body (the parser keeps heads and trailers without an end)
    cdef _Reading _reading
    cdef Py_ssize_t _missing
    cdef list _parsed

    def __cinit__(self, Kept pool not None):
        self._pool = pool
        self._parsed = []
        self.on_body = self._parsed.append
        self._room_bytes = _MOST_HEAD_BYTES

    def send(self, data, bint bare=False):
        return self.sent(data, bare)

    cdef Response sent(self, data, bint bare):
        cdef Response answer
        if self.closed:
            return None
        transport = self.transport
        self._answer = answer = Response.__new__(Response)
        answer.connection = self
        self._whole, self._reading = False, UNTOUCHED
        self._room_bytes = _MOST_HEAD_BYTES
        if bare:
            self._bare = True
        try:
            if PyBytes_CheckExact(data):
                transport.write(data)
            else:
                transport.writelines(data)
        except RuntimeError:  # uvloop's word for a handle that is closed
            self.closed = True
        if self.closed or transport.is_closing():  # before the write, or it failed at once: the peer had closed it
            self._answer = None
            return None
        return answer

    @property
    def untouched(self):
        return self._reading == UNTOUCHED

    def data_received(self, bytes data not None):
        cdef Response answer = self._answer
        if answer is None:
            self.abort()  # nobody asked: what comes next could be taken for the answer to another request
            return
        if self._reading == UNTOUCHED:
            self._reading = PARSED
            if not self._bare and self._begin_plain(answer, data):
                return
        if self._reading == PLAIN:
            self._go_on_plain(answer, data)
        else:
            self._go_on_parsed(answer, data)

    cdef bint _begin_plain(self, Response answer, bytes data) except -1:
        """Whether `data` is a plain answer or the beginning of one; then it is read. Else nothing has happened."""
        cdef Kept pool = self._pool
        cdef Head head = read_head(data, pool.known)
        cdef Py_ssize_t came, begin
        if head is None:
            return False
        begin = size_of(head)
        came = PyBytes_GET_SIZE(data) - begin
        if came > head.length:
            return False  # the parser says what it is that follows
        pool.known = head
        answer.status, answer.head = head.status, head
        if came == head.length:
            answer.body = PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + begin, came)
            self._whole = True
            self.finish(answer)
            return True
        self._reading, self._missing = PLAIN, head.length - came
        if came:
            answer.add(PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + begin, came))
        self._wait_or_tell(answer)
        return True

    cdef void _go_on_plain(self, Response answer, bytes data) except *:
        """More of a plain answer's body."""
        cdef Py_ssize_t came = PyBytes_GET_SIZE(data)
        if came > self._missing:
            self._last = True  # what follows the end of the answer
            data = PyBytes_FromStringAndSize(PyBytes_AS_STRING(data), self._missing)
            came = self._missing
        self._missing -= came
        answer.add(data)
        if self._missing:
            self._wait_or_tell(answer)
            return
        self._whole = True
        self.finish(answer)

    cdef void _go_on_parsed(self, Response answer, bytes data) except *:
        """More of any other answer."""
        cdef list pieces = self._parsed
        cdef bint valid
        cdef bytes body
        self._room_bytes -= PyBytes_GET_SIZE(data)
        valid = self.parse(data)
        if pieces:
            body = <bytes?>pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            if PyBytes_GET_SIZE(body):
                answer.add(body)
            self._room_bytes += _ROOM * PyBytes_GET_SIZE(body)
        if self._whole:
            if not valid:
                self._last = True  # what follows the end of the answer
            self.finish(answer)
        elif not valid:
            self._break("it sent what is no HTTP/1.1 answer that can be read")
        elif self._room_bytes < 0:
            self._break("the head of its answer is too large, or its body is mostly framing")
        else:
            self._wait_or_tell(answer)

    cdef void _wait_or_tell(self, Response answer) except *:
        """Something came: its reader is told, and the upstream made to wait where much is unread."""
        if answer.waiting_bytes > _MOST_WAITING_BYTES and not self.paused:
            self.paused = True
            self.transport.pause_reading()
        answer.tell()

    def begun(self, int status, list headers not None):
        if self._answer is not None:
            self._answer.head = Head(status, headers)
            self._answer.status = status

    def _finish(self):
        if self._answer is not None:
            self.finish(self._answer)

    cdef void finish(self, Response answer) except *:
        self._answer = None
        answer.connection = None
        if self._last or self._writing:
            self._writing = False
            self.resume_writing()
            self.close()
        else:
            if self.paused:
                self.resume()
            self._pool.give(self)
        answer.tell()

    def _break(self, str what not None):
        cdef Response answer = self._answer
        self._answer = None
        if answer is not None:
            answer.fail(what)
        self.abort()
        if answer is not None:
            answer.tell()

    def resume(self):
        self.paused = False
        self.transport.resume_reading()

    def close(self):
        self.closed = True
        self.transport.close()

    def abort(self):
        self._answer = None
        self.closed, self._writing = True, False
        self.resume_writing()
        self.transport.abort()


cdef class Kept:
    cdef readonly list _idle
    cdef public object _sweeper
    cdef public bint _closed
    cdef double _quiet_s
    cdef Py_ssize_t _most
    cdef type _kind
    cdef Head known  # of the answer before

    def __cinit__(self, *_, **__):
        self._kind, self._idle = Asked, []

    def __init__(self, double quiet_s, Py_ssize_t most, type kind not None):
        if not issubclass(kind, Asked):
            raise TypeError("requests are of a kind of Asked")
        self._quiet_s, self._most, self._kind = quiet_s, most, kind

    cdef Wire taken(self):
        cdef Wire connection
        cdef double now, rested_s
        while self._idle:
            connection = <Wire?>self._idle.pop()
            now = monotonic_s()
            rested_s = now - connection.idle_since
            connection.idle_since = now
            # One that rested little says when a request is sent whether it is closed.
            if rested_s < self._quiet_s or self.is_good(connection, rested_s):
                return connection
        return None

    cpdef give(self, Wire connection):
        if self._closed or len(self._idle) >= self._most:
            connection.close()
            return
        connection.idle_since = monotonic_s()
        self._idle.append(connection)
        if self._sweeper is None:
            self.sweep_later()

    def post(self, bytes start not None, bytes lines not None, bytes body not None, str last not None=""):
        cdef PyTypeObject* kind = <PyTypeObject*>self._kind
        cdef Asked request = <Asked?>kind.tp_new(self._kind, <PyObject*>_NOTHING, NULL)
        request._pool, request._data = self, _posted(start, lines, last, body)
        return request


cdef class Asked:
    cdef readonly Kept _pool
    cdef readonly object _data, _upload, _length
    cdef readonly bint _bare
    cdef public Wire _connection
    cdef public Response _answer

    def __init__(self, Kept pool not None, data not None, bytes body=None, bint bare=False, upload=None, length=None):
        self._pool, self._bare, self._upload, self._length = pool, bare, upload, length
        if body is not None and PyBytes_GET_SIZE(body):  # a large one is not copied
            data = data + body if PyBytes_GET_SIZE(body) < _LARGE else (data, body)
        self._data = data

    def begin(self, done):
        cdef Wire connection
        cdef Response answer
        if self._answer is not None or (self._upload is not None and done is not None):
            raise RuntimeError("a request is sent once; one with an upload by `answer`")
        while (connection := self._pool.taken()) is not None:
            answer = connection.sent(self._data, self._bare)
            if answer is not None:
                answer.done = done
                self._connection, self._answer = connection, answer
                return answer
        return None

    def close(self):
        if self._answer is not None:
            self._answer.close()


cdef _posted(bytes start, bytes lines, str last, bytes body):
    """What a POST of JSON sends: bytes, or head and body where that is large."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(body), last_size = PyUnicode_GET_LENGTH(last)
    cdef int digits = digits_of(size)
    cdef bint joined = size < _LARGE
    cdef bytes head
    cdef char* to
    _check_value(last)
    head = PyBytes_FromStringAndSize(
        NULL,
        PyBytes_GET_SIZE(start) + PyBytes_GET_SIZE(lines) + (last_size + 2 if last_size else 0)
        + PyBytes_GET_SIZE(_TELLING) + digits + 4 + (size if joined else 0)
    )
    to = put_bytes(put_bytes(PyBytes_AS_STRING(head), start), lines)
    if last_size:
        to = put(put(to, <const char*>PyUnicode_DATA(last), last_size), b"\r\n", 2)
    to = put(put_digits(put_bytes(to, _TELLING), size, digits), b"\r\n\r\n", 4)
    if not joined:
        return head, body
    put_bytes(to, body)
    return head


cdef void _check_value(str value) except *:
    """Raises `ValueError` for what could end its line."""
    if not PyUnicode_IS_COMPACT_ASCII(value):
        raise ValueError("a header's value of ASCII alone, please")
    if not is_fit_value(<const unsigned char*>PyUnicode_DATA(value), PyUnicode_GET_LENGTH(value)):
        raise ValueError("a header's value has a control character")

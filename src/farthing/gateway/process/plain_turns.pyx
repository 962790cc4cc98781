# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, nonecheck=True
"""What the server does for each request, compiled: the head that is plain, the answer that is whole.

Whatever is anything else is Python's: `Turn` is the base of `Cycle`, `Wire` that of `Connection`, and each method here
leaves to those what is not plain, with nothing changed. What their fields are is told in the stub.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport PyObject
from libc.math cimport INFINITY

from farthing.gateway.process.head_lines cimport chunk, whole_answer
from farthing.gateway.process.request_head cimport Heads, Meaning
from farthing.gateway.process.request_lines cimport Place

cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        object (*tp_new)(PyTypeObject* kind, object positional, PyObject* named)

KEEP_ALIVE_S = 75.0
MOST_WAITING_BYTES = 65536
LARGE_BYTES = 65536

cdef double _KEEP_ALIVE_S = KEEP_ALIVE_S
cdef Py_ssize_t _MOST_WAITING_BYTES = MOST_WAITING_BYTES, _LARGE_BYTES = LARGE_BYTES
cdef tuple _NOTHING = ()


cdef class Wire


cdef class Turn:
    """A request's turn on its connection, as far as it is plain: its head was, or its answer is whole."""

    cdef readonly Wire _connection
    cdef public dict _scope
    cdef public object transport
    cdef public object body
    cdef public object task
    cdef public object on_lost
    cdef public object take_up
    cdef public object _waiting
    cdef public object _head
    cdef public object _left_bytes
    cdef readonly Meaning meaning
    cdef readonly bytes digits
    cdef public bint keep_alive
    cdef public bint more_body
    cdef public bint disconnected
    cdef public bint answered
    cdef public bint _news
    cdef public bint _silent
    cdef public bint _started
    cdef public bint _chunking
    cdef public bint _bare
    cdef public bint _chunked

    def __init__(self, Wire connection not None, dict scope not None, object transport, bint keep_alive):
        self._connection, self._scope, self.transport, self.keep_alive = connection, scope, transport, keep_alive
        self.body = self.digits = b""
        self.more_body = self._silent = True

    @property
    def scope(self):
        if self._scope is None:
            self._scope = self.meaning.of(self.digits)
        return self._scope

    @property
    def method(self):
        return self._scope["method"] if self.meaning is None else self.meaning.method

    @property
    def path(self):
        return self._scope["path"] if self.meaning is None else self.meaning.path

    def whole(self):
        """`receive` without waiting: what is left of the request's body, where all of that has come; else None."""
        if self.more_body or not self._news or self.disconnected or self.answered:
            return None
        self._news = False
        if self._connection._reading_paused:
            self._connection.resume_reading()
        body, self.body = self.body, b""
        return body if type(body) is bytes else bytes(body)

    def answer(self, int status, object headers, bytes body not None, bytes lines not None=b""):
        """`send` for a whole answer at once, without waiting; its `headers` have no content-length. Whether it is sent:
        the two messages it consists of say, or do, what is otherwise to be.

        `lines`: more headers, each "name: value" and its line's end, which are taken as they are: the caller made them,
        and knows them to be fit and none that means something to the server.
        """
        if (
            self._started or self.disconnected or not self.keep_alive or self._connection.taken is not None
            or (self._scope["method"] if self.meaning is None else self.meaning.method) == "HEAD"
        ):
            return False
        cdef bint joined = PyBytes_GET_SIZE(body) < _LARGE_BYTES
        cdef bytes made = whole_answer(status, headers, lines, body, joined)
        if made is None:
            return False
        self._started, self.on_lost, self.take_up = True, None, None
        self.transport.write(made)
        if not joined:
            self.transport.write(body)
        self.answered = True
        if self._waiting is not None:
            self._tell()
        self._connection._answered()
        return True

    def piece(self, bytes body not None):
        """`send` for a piece of an answer that has begun, without waiting. Whether it is sent: it is not where `send`
        would wait, or do otherwise."""
        if not self._chunking or self._connection.taken is not None or not body:
            return False
        self.transport.write(chunk(body))
        return True


cdef inline bytes _part(bytes data, Py_ssize_t start, Py_ssize_t size):
    """`size` bytes of `data` from `start` on, which are there."""
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + start, size)


cdef class Wire:
    """A connection, as far as what comes on it is plain: requests with plain heads, the next when one is answered."""

    cdef public object transport
    cdef public object taken
    cdef public type _makes
    cdef public object _served
    cdef public Heads _heads
    cdef public object _loop
    cdef public object _cycle
    cdef public object running
    cdef public object _pipeline
    cdef Meaning _last
    cdef public double due
    cdef public Py_ssize_t _body_left
    cdef public bint _resting
    cdef public bint _reading_head
    cdef public bint _reading_paused
    cdef public bint _in_body

    def data_received(self, bytes data not None):
        if not self._resting:
            self._more(data)
            return
        if self._heads is None:
            raise TypeError("the connection does not say which heads are known")
        cdef Place place
        cdef Meaning meaning = self._heads.find(data, self._last, &place)
        if meaning is None:
            self._parse(data)
            return
        self._last = meaning
        self._begin(meaning, _part(data, place.first, place.last - place.first), place.length, data, place.start)

    cdef int _begin(self, Meaning meaning, bytes digits, long long length, bytes data, Py_ssize_t start) except -1:
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data) - start
        cdef bint news = size > 0 or length == 0
        if self._makes is None:
            raise TypeError("the connection does not say what its cycles are")
        cdef Turn turn = <Turn?>(<PyTypeObject*>self._makes).tp_new(<PyTypeObject*>self._makes, _NOTHING, NULL)
        turn._connection, turn.transport, turn.keep_alive = self, self.transport, True
        turn.meaning, turn.digits = meaning, digits
        turn.body = _part(data, start, min(size, length))
        turn.more_body, turn._news, turn._silent = size < length, news, not news
        self._resting, self.due = False, INFINITY
        self._cycle = turn
        if size < length:
            self._body_left = length - size
            if size > _MOST_WAITING_BYTES:
                self.pause_reading()
        self._start(turn)
        if size > length and not self.transport.is_closing():
            self._parse(data[start + length :])
        return 0

    def start(self, Turn turn not None):
        """Have the application serve it, whose turn it is: at once, where it takes what is whole."""
        self._start(turn)

    def on_answered(self):
        """The answer to the request that is served is whole: the next one may be."""
        self._answered()

    cdef int _start(self, Turn turn) except -1:
        self.running = turn
        if not turn.more_body:
            at_once = self._served.at_once
            if at_once is not None:
                try:
                    if at_once(turn):
                        return 0
                except Exception as error:
                    self._failed(turn, error)
                    return 0
        self.serve(turn, None)
        return 0

    cdef int _answered(self) except -1:
        # A timer for each request would be made and cancelled; one sweep a second looks at `due`.
        cdef double now = self._loop.time()
        if self.transport.is_closing():
            self._linger(now)
            return 0
        if self._reading_paused:
            self.resume_reading()
        if self._pipeline:
            self.due = INFINITY
            self._start(<Turn?>self._pipeline.popleft())
        else:
            self.due = now + _KEEP_ALIVE_S
            self._resting = not (self._reading_head or self._in_body or self._body_left)
        return 0

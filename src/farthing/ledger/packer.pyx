# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Attempts as rows of the hot ledger: texts that repeat become numbers, the rest is a flat tuple.

Amounts that are not written plainly are `amounts.packed`'s; rows that cannot be packed raise, and are mended by `pack`.
"""

from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE

from farthing.ledger.attempts cimport offset
from farthing.ledger.femto cimport femto
from farthing.struct_fields cimport field

from contextlib import suppress

import msgspec

from farthing.ledger.amounts import packed
from farthing.ledger import pack
from farthing.ledger.pack import BAD_ROW, LAST_US, LONGEST_US, PLAIN
from farthing.ledger.row import Attempt
from farthing.ledger.schema import CALLER, COUNTS, ROUTE, STATE_NUMBERS

cdef object NOTHING = pack.NULL
cdef dict _STATES = STATE_NUMBERS
cdef long long LAST = LAST_US, LONGEST = LONGEST_US
cdef int REMEMBERED = 50_000  # numbers of each kind that are kept in memory
_encode = msgspec.json.Encoder(order="sorted").encode
if [name for name in PLAIN if name in COUNTS] != ["input", "cache_read", "output", "reasoning"]:
    raise TypeError("the columns of a plain row are others than its packer knows")

cdef Py_ssize_t[10] ROUTE_AT = [offset(name) for name in ROUTE]
cdef Py_ssize_t[4] CALLER_AT = [offset(name) for name in CALLER]
cdef Py_ssize_t ATTEMPT = offset("attempt"), REQUEST = offset("request"), NUMBER = offset("number")
cdef Py_ssize_t STATE = offset("state"), STARTED = offset("started_us"), ENDED = offset("ended_us")
cdef Py_ssize_t FIRST = offset("first_us"), WORKER = offset("worker"), USER = offset("user")
cdef Py_ssize_t STREAMED = offset("streamed"), STATUS = offset("status"), ESTIMATED = offset("estimated")
cdef Py_ssize_t QUANTITIES = offset("quantities"), USD = offset("usd"), DECISION = offset("decision")
cdef Py_ssize_t ANSWER = offset("answer"), SESSION = offset("session"), ERROR = offset("error")
cdef Py_ssize_t UNKNOWN = offset("unknown"), TAGS = offset("tags"), ATTRS = offset("attrs")
cdef Py_ssize_t REPORTED = offset("reported_usd")


cdef inline object of(object a, Py_ssize_t at):
    """What the `Attempt` has in a field."""
    cdef PyObject* found = field(<PyObject*>a, at)
    if found == NULL:
        raise AttributeError("a field of the row was never set")
    return <object>found


cdef object words_text(object words):
    """A dictionary of texts as one text: JSON, in order of the names."""
    return _encode(words).decode() if words else ""


cdef inline object or_nothing(object value):
    return value if value else NOTHING


cdef object interval(object until_us, long long started):
    """From the start until `until_us`, which may be None. Raises `ValueError` where that is absurdly long."""
    cdef long long until
    if until_us is None:
        return NOTHING
    until = until_us
    if until <= started - LONGEST or until >= started + LONGEST:
        raise ValueError("a time outside the years 1970 to 2199")
    return until - started


cdef object amount(object text):
    """`packed`, but NULL for None."""
    cdef long long found = femto(text)
    if found >= 0:
        return found
    return NOTHING if text is None else packed(text)


cdef class Packer:
    """Packs attempts inside a write transaction of `connection`, which makes the numbers that it needs.

    Call `renew` at the start of each transaction: numbers are forgotten where texts were pruned meanwhile,
    and after a transaction that was rolled back, call `forget`.
    """

    cdef object _connection
    cdef object _worker  # of rows that name none: an open row must have one, or it is taken for a dead one's
    cdef object _epoch
    cdef dict _texts
    cdef dict _routes
    cdef dict _callers
    cdef object _coming

    def __init__(self, connection, worker=""):
        self._connection = connection
        self._worker = worker
        self._epoch = -1
        self._texts = {"": NOTHING}
        self._routes = {}
        self._callers = {}
        self._coming = ()

    def renew(self, epoch, /):
        """Forget all numbers if `epoch` is another than when they were learned."""
        if epoch != self._epoch or max(len(self._texts), len(self._routes), len(self._callers)) > REMEMBERED:
            self.forget()
            self._epoch = epoch

    def forget(self):
        """Forget all numbers: the transaction that made some of them is gone."""
        self._texts = {"": NOTHING}
        self._routes = {}
        self._callers = {}

    def expect(self, attempts, /):
        """`attempts` are about to be packed: if one has a new word, those of all are numbered at once."""
        self._coming = attempts

    def text(self, value, /):
        """The number of `value`; `NULL` for the empty text."""
        number = self._texts.get(value)
        if number is None and self._coming:
            coming, self._coming = self._coming, ()
            with suppress(*BAD_ROW):  # a word that cannot be one is met again where its row is mended
                self._learn(coming)
            number = self._texts.get(value)
        if number is None:
            number = self._texts[value] = self._number("text", ("value",), (value,))
        return number

    def _learn(self, attempts):
        """Number the words of `attempts` that are new, all in two statements (each lets go of Python's lock once)."""
        words = {word for a in attempts for word in (a.user, a.unknown, a.worker) if word not in self._texts}
        words |= {words_text(each) for a in attempts for each in (a.tags, a.attrs) if each}
        new = words - self._texts.keys()
        if len(new) > 1:
            listed = _encode(list(new)).decode()
            self._connection.execute("INSERT OR IGNORE INTO text (value) SELECT value FROM json_each(?)", (listed,))
            [(found,)] = self._connection.execute(
                "SELECT json_group_object(value, id) FROM text WHERE value IN (SELECT value FROM json_each(?))",
                (listed,),
            ).fetchall()
            self._texts.update(msgspec.json.decode(found, type=dict[str, int]))

    def _number(self, table, columns, values):
        names = ", ".join(f'"{name}"' for name in columns)
        marks = ", ".join("?" * len(columns))
        self._connection.execute(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})", values)
        where = " AND ".join(f'"{name}" = ?' for name in columns)
        return int(self._connection.execute(f"SELECT id FROM {table} WHERE {where}", values).fetchone()[0])

    cdef object _known(self, object word):
        """The number of a text."""
        number = self._texts.get(word)
        return self.text(word) if number is None else number

    cdef object _route(self, object a):
        """The number of what was asked of whom and served."""
        cdef Py_ssize_t* at = ROUTE_AT
        route = (
            of(a, at[0]), of(a, at[1]), of(a, at[2]), of(a, at[3]), of(a, at[4]), of(a, at[5]), of(a, at[6]), of(a, at[7]),
            of(a, at[8]), of(a, at[9]),
        )
        number = self._routes.get(route)
        if number is None:
            number = self._routes[route] = self._number("route", ROUTE, route)
        return number

    cdef object _caller(self, object a):
        """The number of who asked."""
        cdef Py_ssize_t* at = CALLER_AT
        caller = (of(a, at[0]), of(a, at[1]), of(a, at[2]), of(a, at[3]))
        number = self._callers.get(caller)
        if number is None:
            number = self._callers[caller] = self._number("caller", CALLER, caller)
        return number

    def row(self, a, batch, /):
        """The row of `a`: the columns of `PLAIN`, and those of `RARE` if it has any. Raises one of `BAD_ROW` where it
        cannot be one."""
        cdef long long started
        cdef dict counts
        cdef bint rare
        if type(a) is not Attempt:
            raise TypeError("no Attempt")
        route, caller = self._route(a), self._caller(a)
        started = of(a, STARTED)
        if not 0 <= started < LAST:
            raise ValueError("a time outside the years 1970 to 2199")
        took, first = interval(of(a, ENDED), started), interval(of(a, FIRST), started)
        quantities = of(a, QUANTITIES)
        counts = quantities if type(quantities) is dict else {} | quantities
        status = of(a, STATUS)
        input, cache_read = counts.get("input", NOTHING), counts.get("cache_read", NOTHING)
        output, reasoning = counts.get("output", NOTHING), counts.get("reasoning", NOTHING)
        row = (
            of(a, ATTEMPT), of(a, REQUEST), of(a, NUMBER), _STATES[of(a, STATE)], batch, of(a, STARTED), took, first,
            self._known(of(a, WORKER) or self._worker), route, caller, self._known(of(a, USER)),
            1 if of(a, STREAMED) else 0, NOTHING if status is None else status, 1 if of(a, ESTIMATED) else 0,
            input, cache_read, output, reasoning, amount(of(a, USD)), or_nothing(of(a, DECISION)), or_nothing(of(a, ANSWER)),
        )
        rare = len(counts) > (
            (input is not NOTHING) + (cache_read is not NOTHING) + (output is not NOTHING) + (reasoning is not NOTHING)
        )
        if (
            rare or of(a, SESSION) or of(a, ERROR) or of(a, UNKNOWN) or of(a, TAGS) or of(a, ATTRS)
            or of(a, REPORTED) is not None
        ):
            return row + self._rare(a, counts)
        return row

    cdef tuple _rare(self, object a, dict counts):
        """The rest of a row, `RARE`."""
        more = {name: n for name, n in counts.items() if name not in COUNTS}
        return (
            or_nothing(of(a, SESSION)), or_nothing(of(a, ERROR)), counts.get("cache_write", NOTHING),
            counts.get("cache_write_5m", NOTHING), counts.get("cache_write_1h", NOTHING),
            _encode(more).decode() if more else NOTHING, self._known(of(a, UNKNOWN)), amount(of(a, REPORTED)),
            self._known(words_text(of(a, TAGS))), self._known(words_text(of(a, ATTRS))),
        )


def flat(list rows not None, /):
    """The values of all `rows`, one row after the other."""
    cdef Py_ssize_t width, count = len(rows), n, at
    cdef list found
    cdef object value
    if not count:
        return []
    width = len(<tuple?>rows[0])
    found = PyList_New(count * width)
    for n in range(count):
        row = rows[n]
        if type(row) is not tuple or PyTuple_GET_SIZE(row) != width:
            raise ValueError("rows of several widths")
        for at in range(width):
            value = <object>PyTuple_GET_ITEM(row, at)
            Py_INCREF(value)
            PyList_SET_ITEM(found, n * width + at, value)
    return found

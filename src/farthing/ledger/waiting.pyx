# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Open rows that wait for their end, so that an attempt that ends soon is written to the store once. When they have
waited long enough is the `writer`'s to say."""

from farthing.ledger.attempts cimport offset, told

cdef Py_ssize_t ATTEMPT = offset("attempt"), STATE = offset("state")
cdef str OPEN = "open"


cdef class OpenRows:
    """Open rows in the order of their coming; one writer's thread changes them."""

    cdef dict _waiting  # by attempt: the row; up to which ticket all is durable as soon as older rows are; until when

    def __init__(self):
        self._waiting = {}

    def sort(self, list rows not None, before, due, /):
        """Of `rows`, which came after ticket `before`, keep the open ones, which wait until `due`; the ended ones,
        whose open rows are not needed any more."""
        cdef list ended = []
        cdef dict waiting = self._waiting
        for row in rows:
            name = told(row, ATTEMPT, "attempt")
            if told(row, STATE, "state") == OPEN:
                waiting.setdefault(name, (row, before, due))
            else:
                waiting.pop(name, None)
                ended.append(row)
        return ended

    def due(self, now, wanted, /):
        """The rows that have waited long enough, and those that came before ticket `wanted`."""
        found = []
        for row, before, due in self._waiting.values():
            if due > now and before >= wanted:
                break
            found.append(row)
        return found

    def stored(self, rows, /):
        """The store has `rows`."""
        for row in rows:
            self._waiting.pop(row.attempt, None)

    def reached(self, through, /):
        """Up to which ticket everything is in the store, where all but these rows is, up to ticket `through`."""
        for _, before, _ in self._waiting.values():
            return before
        return through

    def rows(self):
        """All of them."""
        return [row for row, _, _ in self._waiting.values()]

    def clear(self):
        """They are safe elsewhere."""
        self._waiting = {}

    def __len__(self):
        return len(self._waiting)

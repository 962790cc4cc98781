# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""What a batch of attempts is charged, by worker and purse; `settle` books it."""

from farthing.ledger.attempts cimport offset, told

from farthing.ledger.pack import PLAIN
from farthing.ledger.schema import DONE, OPEN

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object value, int* overflow) except? -1
    bint PyUnicode_IS_ASCII(object text) noexcept

cdef int ENDED_FROM = DONE, BEGUN = OPEN
cdef Py_ssize_t STATE = PLAIN.index("state"), HOLDS = offset("holds"), WORKER = offset("worker")


cdef dict purses(object attempt):
    """What `attempt` holds or is charged, by purse; nothing where that is none (a fault of the caller's must not stop
    the ledger)."""
    holds = told(attempt, HOLDS, "holds")
    if type(holds) is dict:
        return holds
    try:
        return dict(holds.items())
    except (AttributeError, TypeError, ValueError):
        return {}


cdef object stored(object text):
    """`text` as a database takes it: half characters become "?"."""
    if not isinstance(text, str):
        text = str(text)
    return text if PyUnicode_IS_ASCII(text) else text.encode("utf-8", "replace").decode()


cdef add(dict sums, dict amounts):
    """Add the `amounts` that can be counted, those of 63 bits; a purse is called as it is stored."""
    cdef int overflow = 0
    for purse, n in amounts.items():
        if type(n) is not int or PyLong_AsLongLongAndOverflow(n, &overflow) < 0 or overflow or not isinstance(purse, str):
            continue
        purse = stored(purse)
        before = sums.get(purse)
        sums[purse] = n if before is None else before + n


def summed(attempts, list made not None, list names not None, worker, ended_before, /):
    """Of `attempts`, whose rows are `made` and stored under `names`: what those that end are charged, by worker and
    purse; what open ones hold, by attempt and purse; which of them end. `worker`: whose leases are meant where an
    attempt names none; `ended_before`: those that have been charged already."""
    cdef dict charged = {}, sums
    cdef list held = [], ended = []
    cdef set settled = set(ended_before)
    cdef int state
    cdef Py_ssize_t n
    if not len(attempts) == len(made) == len(names):
        raise ValueError("attempts, rows and names are not as many")
    for n, attempt in enumerate(attempts):
        state, name = (<tuple?>made[n])[STATE], names[n]
        if state >= ENDED_FROM:
            ended.append(name)
            if name in settled:
                continue
            settled.add(name)  # of several ends in one batch the first counts, as it does for the row
            of = stored(told(attempt, WORKER, "worker") or worker)
            sums = charged.get(of)
            if sums is None:
                sums = charged[of] = {}
            add(sums, purses(attempt))
        elif state == BEGUN:
            sums = {}
            add(sums, purses(attempt))
            held += [(name, purse, amount) for purse, amount in sums.items()]
    return charged, held, ended

# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, binding=False
"""Purses as one worker holds them in memory, and the two steps of every request: reserve, and settle.

Amounts are whole nanodollars between -2^62 and 2^62, not included: four times the largest budget. A sum beyond is held
at that edge; a budget is long spent there, and the ledger has every charge as it is. What memory does not suffice for
(purses that are not known here, a lease that is used up, another period) is `purses.Purses`'s, which asks the bank.
"""

cimport cython
from cpython.dict cimport PyDict_GetItemWithError, PyDict_SetItem
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_Check, PyLong_FromVoidPtr
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE

from farthing.gateway.whole_numbers cimport cut

from farthing.ledger.budgets import nano_up

cdef extern from *:
    """
    #define FARTHING_MOST ((1LL << 62) - 1)
    /* An amount, held at the edge. The sum or difference of two that are within it has 64 bits. */
    static inline long long farthing_kept(long long amount) {
        return amount > FARTHING_MOST ? FARTHING_MOST : amount < -FARTHING_MOST ? -FARTHING_MOST : amount;
    }
    """
    long long FARTHING_MOST
    long long farthing_kept(long long amount) noexcept

MOST = FARTHING_MOST
"""Nanodollars: more than any budget has, so no more are reserved."""


cdef long long _nano(number) except? -1:
    """A whole number as an amount."""
    return cut(number, FARTHING_MOST)


cdef class Lease:
    """What a worker has of a purse, nanodollars: `leased` is `free` or `held` by requests in flight.

    `bank_free`: what was left for all when the bank was last asked. `left`: that and what is free here, which is what
    a reservation changes; so `free` is `left - bank_free`. `used`: the tick of the last reservation. The purse is of
    the period from `start_s` to `end_s`, in seconds since 1970.
    """

    cdef long long _left, _leased, _bank_free
    cdef public long long used
    cdef public double start_s, end_s

    @property
    def left(self):
        """What the bank has left for all, and what is free here."""
        return self._left

    @property
    def leased(self):
        """What this worker has of it."""
        return self._leased

    @property
    def bank_free(self):
        """What was left for all when the bank was last asked."""
        return self._bank_free

    @property
    def free(self):
        """What is leased, and held by nobody."""
        return self._left - self._bank_free

    @property
    def held(self):
        """What requests in flight hold of the lease."""
        return farthing_kept(self._leased - farthing_kept(self._left - self._bank_free))

    def take(self, amount):
        """A request holds so much of what is free."""
        self._left = farthing_kept(self._left - _nano(amount))

    def lease(self, amount):
        """So much more is leased, and free; below zero: less."""
        cdef long long more = _nano(amount)
        self._leased = farthing_kept(self._leased + more)
        self._left = farthing_kept(self._left + more)

    def lease_held(self, amount):
        """So much more is leased, and a request holds it already."""
        self._leased = farthing_kept(self._leased + _nano(amount))

    def give_back(self, amount):
        """So much of what is free goes back to the bank."""
        cdef long long less = _nano(amount)
        self._leased = farthing_kept(self._leased - less)
        self._bank_free = farthing_kept(self._bank_free + less)

    def tell(self, bank_free):
        """What the bank has left for all."""
        cdef long long told = _nano(bank_free)
        self._left = farthing_kept(told + farthing_kept(self._left - self._bank_free))
        self._bank_free = told

    cdef void end(self, long long held, long long charged) noexcept:
        """A request that held so much cost so much: the rest is free again."""
        cdef long long before = self._left
        self._left = farthing_kept(before + (held - charged))
        # (What is held at the edge is not charged here, so that what others hold stays what it is.)
        self._leased = farthing_kept(self._leased - farthing_kept(held - (self._left - before)))


def tightest(purses, /):
    """Those whose remainders count for a client: the hard ones; all where none is hard."""
    return tuple([purse for purse in purses if purse.ref.hard]) or tuple(purses)


@cython.final
cdef class Account:
    """The purses of a set of budgets: all are known, and of the period from `start_s` to `end_s`.

    `tightest`: those among which is the one with least left (hard ones count before others). `alike`: these are all of
    them, and the account is remembered for its budgets. `used`: the tick of the last reservation, until `mark`.
    """

    cdef readonly object budgets
    cdef readonly tuple purses, tightest
    cdef tuple _ids
    cdef public bint alike
    cdef public long long used
    cdef readonly double start_s, end_s

    def __cinit__(self, budgets, purses):
        self.budgets, self.purses = budgets, tuple(purses)
        self._ids = tuple([purse.id for purse in self.purses])
        self.tightest = tightest(self.purses)
        self.start_s = max([(<Lease?>purse).start_s for purse in self.purses], default=float("-inf"))
        self.end_s = min([(<Lease?>purse).end_s for purse in self.purses], default=float("inf"))

    def mark(self):
        """Tell the purses when they were used: a reservation tells the account alone."""
        cdef Lease purse
        for purse in self.purses:
            purse.used = max(purse.used, self.used)
        self.used = 0

    cdef bint take(self, long long amount) noexcept:
        """Hold so much of every purse where all have it free; else of none."""
        cdef Py_ssize_t n = 0, size = PyTuple_GET_SIZE(self.purses)
        cdef Lease purse
        while n < size:
            purse = <Lease>PyTuple_GET_ITEM(self.purses, n)
            if purse._left - amount < purse._bank_free:
                break
            purse._left -= amount
            n += 1
        if n == size:
            return True
        while n:  # of those before it, it goes back
            n -= 1
            (<Lease>PyTuple_GET_ITEM(self.purses, n))._left += amount
        return False

    cdef long long end(self, long long held, long long charged) noexcept:
        """Settle in every purse; what the one with least has left, not below zero."""
        cdef Py_ssize_t n
        cdef long long least = FARTHING_MOST
        cdef Lease purse
        for n in range(PyTuple_GET_SIZE(self.purses)):
            purse = <Lease>PyTuple_GET_ITEM(self.purses, n)
            purse.end(held, charged)
            least = min(least, purse._left)
        return max(least, 0)

    cdef dict each(self, amount):
        """The same amount by each purse's id."""
        cdef Py_ssize_t n
        made = {}
        for n in range(PyTuple_GET_SIZE(self._ids)):
            PyDict_SetItem(made, <object>PyTuple_GET_ITEM(self._ids, n), amount)
        return made


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Hold:
    """What one attempt has reserved: `amount` nanodollars of each purse; `amounts` by purse id (for the open row's
    `holds`); `charged`: the same for the final row, once it is settled; `left`: nanodollars of the tightest budget
    then, where that was seen in passing (else None: ask `Purses.remaining`)."""

    cdef Account account
    cdef readonly object amount
    cdef readonly dict amounts, charged
    cdef readonly object left


def held(Account account not None, amount, /):
    """A hold of `amount` nanodollars, 0 to `MOST`, which the purses of `account` have taken already."""
    return _held(account, amount)


cdef Hold _held(Account account, amount):
    cdef Hold made = Hold.__new__(Hold)
    made.account, made.amount, made.amounts = account, amount, account.each(amount)
    return made


cdef class Till:
    """What of the purses every request needs. `accounts`: by the id of a tuple of budgets, which an account keeps
    alive; `_account` of the class that extends this one finds the others. `ticks` counts time. `blindly`: of
    some purse something is held that nobody has said to be there; then, and where a charge is more than was held,
    `_square(purse)` is called after each settlement."""

    cdef readonly dict accounts
    cdef public long long ticks
    cdef public bint blindly

    def __cinit__(self):
        self.accounts = {}

    def try_reserve(self, budgets, amount, double now, /):
        """Reserve `amount` nanodollars of every budget, where leases in memory suffice; else None: `reserve` then.

        `now`: seconds since 1970, which chooses the period.
        """
        cdef int over = 0
        cdef long long nano = PyLong_AsLongLongAndOverflow(amount, &over)
        cdef PyObject *found = PyDict_GetItemWithError(self.accounts, PyLong_FromVoidPtr(<void *>budgets))
        cdef Account account = <Account?><object>found if found is not NULL else self._account(budgets)
        if account is None or over or not 0 <= nano <= FARTHING_MOST or not account.start_s <= now < account.end_s:
            return None
        if not account.take(nano):
            return None
        account.used = self.ticks
        return _held(account, amount)

    def settle(self, Hold hold not None, charged, /):
        """The request cost `charged`: the rest is free again. What the final row's `holds` must say, by purse.

        An int is nanodollars, a `Fraction` exact dollars, None an unknown charge: all that was held counts as spent.
        Again for the same hold: the same answer, and nothing happens. More than was held is charged all the same.
        Raises `ValueError` for a negative charge.
        """
        cdef long long nano, reserved, least
        if hold.charged is not None or hold.account is None:
            return hold.charged
        if not PyLong_Check(charged):
            charged = hold.amount if charged is None else nano_up(charged)
        nano, reserved = _nano(charged), _nano(hold.amount)
        if nano < 0:
            raise ValueError(f"a charge of {charged} nanodollars")
        least = hold.account.end(reserved, nano)
        if hold.account.alike:
            hold.left = least
        hold.charged = hold.account.each(charged)
        if nano > reserved or self.blindly:  # (which changes nothing of what is left)
            for purse in hold.account.purses:
                self._square(purse)
        return hold.charged

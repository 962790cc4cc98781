"""The purses that one worker has in memory: found by budget and period, bounded in number, returned when idle."""

from collections.abc import Collection, Sequence

from farthing.gateway.spending.purse import Purse
from farthing.gateway.spending.teller import Teller
from farthing.gateway.spending.till import Account, Till
from farthing.ledger.budgets import BudgetRef, Span, purse_id, span_at

MOST_PURSES = 10_000
# In ticks of a twentieth of a second:
_SWEEP = 10
_IDLE = 20
_SMALL_IDLE = 600  # for a lease so small against what is free that nobody misses it
_FORGET = 1_200
_SMALL_SHARE = 64


class Shelf:
    """Purses in memory. `current`: by budget's id and period the purse asked for last, perhaps of a period that
    is over. The till's accounts are forgotten whenever that changes, and its tick counts time. What a purse need not
    keep goes to the teller's outbox."""

    def __init__(self, teller: Teller, till: Till, most: int = MOST_PURSES) -> None:
        self._teller = teller
        self._till = till
        self._most = most
        self._spans: dict[str, Span] = {}
        self._tight: set[Purse] = set()
        self.purses: dict[str, Purse] = {}
        self.current: dict[tuple[str, str], Purse] = {}

    def account(self, budgets: Sequence[BudgetRef]) -> Account | None:
        """The purses of `budgets`, where all are in memory and known; remembered for who asks with the same tuple."""
        found = self._till.accounts.get(id(budgets))
        if found is not None:
            return found
        purses = self.known(budgets)
        if len(purses) != len(budgets) or len(set(purses)) != len(purses):
            return None  # (two budgets of one purse are merged by `pinned`)
        if any(purse.ref != ref for purse, ref in zip(purses, budgets, strict=True)):
            return None
        found = Account(budgets, purses)
        if type(budgets) is tuple:
            if len(self._till.accounts) >= self._most:
                self._forget_accounts()
            self._till.accounts[id(budgets)] = found
            found.alike = len(found.tightest) == len(purses) > 0
        else:  # nobody asks it again when it was used
            found.used = self._till.ticks
            found.mark()
        return found

    def _forget_accounts(self) -> None:
        for account in self._till.accounts.values():
            account.mark()
            account.alike = False
        self._till.accounts.clear()

    def known(self, budgets: Sequence[BudgetRef]) -> list[Purse]:
        """The purses of `budgets` that are in memory, and of which the bank has been asked."""
        found = [self.current.get((ref.id, ref.period)) for ref in budgets]
        return [purse for purse in found if purse is not None and purse.known]

    def pinned(self, budgets: Sequence[BudgetRef], now: float) -> list[Purse]:
        """The purse of each budget in the period that holds `now` (seconds since 1970), each once, and pinned."""
        merged: dict[tuple[str, str], BudgetRef] = {}
        for ref in budgets:
            key = (ref.id, ref.period)
            other = merged.get(key)
            # Of two budgets on one purse only the tighter hard one can refuse.
            if other is None or (not ref.hard, ref.limit) < (not other.hard, other.limit):
                merged[key] = ref
        found: list[Purse] = []
        for key, ref in merged.items():
            found.append(self._purse(key, ref, now))
            found[-1].pins += 1  # at once: the next one may make room for itself
        return found

    def _purse(self, key: tuple[str, str], ref: BudgetRef, now: float) -> Purse:
        span = self._spans.get(ref.period)
        if span is None or not span.start_s <= now < span.end_s:
            span = self._spans[ref.period] = span_at(ref.period, now)
        name = purse_id(ref, span)
        purse = self.purses.get(name)
        if purse is None:
            if len(self.purses) >= self._most:
                self._evict()
            # What waits to be returned (or is owed) is still in our lease.
            free = self._teller.outbox.pop(name, 0)
            purse = self.purses[name] = Purse(name, key, ref, span, free, self._till.ticks)
        elif purse.ref != ref:
            if ref.limit < purse.ref.limit or (ref.hard and not purse.ref.hard):
                self.distrust(purse)  # leased under an easier rule: the bank decides again
            purse.tell(purse.bank_free + ref.limit - purse.ref.limit)
            purse.ref, purse.short, purse.alerted = ref, None, False
            self._forget_accounts()
        if self.current.get(key) is not purse:
            self.current[key] = purse
            self._forget_accounts()
        return purse

    def _evict(self) -> None:
        """Make room: a quarter of the purses, those unused the longest, their leases returned."""
        self._forget_accounts()
        idle = [purse for purse in self.purses.values() if not (purse.held or purse.pins)]
        idle.sort(key=lambda purse: purse.used)
        for purse in idle[: self._most // 4 + 1]:
            self.put_back(purse)
            self._drop(purse)

    def _drop(self, purse: Purse) -> None:
        self._forget_accounts()
        del self.purses[purse.id]
        self._tight.discard(purse)
        if self.current.get(purse.key) is purse:
            del self.current[purse.key]

    def put_back(self, purse: Purse) -> None:
        """Leave what is free of a purse for the bank. Below zero it is more than was leased, and spent: the bank adds
        that to the lease, from which the ledger takes the whole charge."""
        if free := purse.free:
            self._teller.put_back(purse.id, free)
            purse.give_back(free)

    def distrust(self, purse: Purse) -> None:
        """Leave all of a purse's lease for the bank: what is held of it too, as far as that is not spent."""
        self.put_back(purse)
        if purse.held > purse.blind:
            purse.blind = purse.held
            self._till.blindly = True

    def tighten(self, wanted: Collection[str], until: float) -> int:
        """Others are short of the purses `wanted`: return what is free of them, and until then whatever is settled of
        them at the next turn; how many of them there are here."""
        found = [self.purses[name] for name in wanted if name in self.purses]
        for purse in found:
            purse.tight_until = until
            self._tight.add(purse)
        return len(found)

    def turn(self, now: float) -> list[str]:
        """A tick has passed: leave what others want, and what is idle, for the bank; drop what is long unused, and
        tell which purses those are. `now`: the monotonic clock."""
        self._till.ticks += 1
        for purse in list(self._tight):
            self.put_back(purse)
            if now >= purse.tight_until:
                self._tight.discard(purse)
        return self._sweep() if self._till.ticks % _SWEEP == 0 else []

    def _sweep(self) -> list[str]:
        gone: list[str] = []
        for account in self._till.accounts.values():
            if account.used:
                account.mark()
        self._till.blindly = False
        for purse in list(self.purses.values()):
            if purse.blind:  # (what was spent of it cannot come back)
                purse.blind = min(purse.blind, purse.held)
                self._till.blindly |= purse.blind > 0
            idle = self._till.ticks - purse.used
            if idle < _IDLE or purse.pins:
                continue
            if idle >= _SMALL_IDLE or purse.free * _SMALL_SHARE > purse.bank_free:
                self.put_back(purse)
            if idle >= _FORGET and not purse.held and purse.id not in self._teller.outbox:
                self._drop(purse)
                gone.append(purse.id)
        return gone

    def clear(self) -> None:
        """Leave everything that is free for the bank."""
        for purse in self.purses.values():
            self.put_back(purse)

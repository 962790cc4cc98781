"""Leases and holds in memory, held against whole numbers of Python; at the edge of what they hold they stay sound."""

from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from farthing.gateway.spending.purse import Purse
from farthing.gateway.spending.till import MOST, Account, Hold, Lease, Till, held, tightest
from farthing.ledger.budgets import LARGEST_USD, NANO, BudgetRef, Span

EVER = Span("ever", float("-inf"), float("inf"))
ANY = st.integers(-(2**64), 2**64) | st.sampled_from([MOST, MOST + 1, -MOST, 2**63 - 1, -(2**63), 2**63, 10**40])


def purse(name: str, free: int = 0, hard: bool = True, span: Span = EVER) -> Purse:
    return Purse(name, (name, "total"), BudgetRef(name, 10**9, "total", hard), span, free, 0)


class Desk(Till):
    """A till that knows some budgets, and notes what is squared."""

    def __init__(self, budgets: Sequence[BudgetRef], purses: list[Purse]) -> None:
        self.squared: list[Purse] = []
        self.purses = purses
        self.accounts[id(budgets)] = Account(budgets, purses)
        self.accounts[id(budgets)].alike = True

    def _account(self, budgets: Sequence[BudgetRef]) -> Account | None:
        return None

    def _square(self, purse: Purse) -> None:
        self.squared.append(purse)


def test_no_budget_comes_near_the_edge() -> None:
    assert LARGEST_USD * NANO * 4 < MOST == 2**62 - 1


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.integers(0, 2000), min_size=1, max_size=4), st.lists(st.tuples(
        st.sampled_from(["reserve", "settle", "lease", "give_back", "tell"]), st.integers(0, 3000), st.integers(0, 3),
    ), max_size=60),
)  # fmt: skip
def test_as_whole_numbers_of_python(free: list[int], steps: list[tuple[str, int, int]]) -> None:
    budgets = (BudgetRef("b", 1),)
    desk = Desk(budgets, [purse(f"p{n}", amount) for n, amount in enumerate(free)])
    left, leased, bank_free = list(free), list(free), [0] * len(free)
    holds: list[Hold] = []
    for what, amount, which in steps:
        at = which % len(free)
        one = desk.purses[at]
        if what == "reserve":
            hold = desk.try_reserve(budgets, amount, 0.0)
            fits = all(total - amount >= bank for total, bank in zip(left, bank_free, strict=True))
            assert (hold is not None) == fits
            if hold is not None:
                assert hold.amounts == dict.fromkeys([p.id for p in desk.purses], amount) and hold.amount == amount
                holds.append(hold)
                left = [total - amount for total in left]
        elif what == "settle" and holds:
            hold = holds.pop(which % len(holds))
            desk.squared.clear()
            charged = desk.settle(hold, amount)
            left = [total + hold.amount - amount for total in left]
            leased = [total - amount for total in leased]
            assert charged == dict.fromkeys([p.id for p in desk.purses], amount) == hold.charged
            assert hold.left == max(min(left), 0)
            assert desk.squared == (desk.purses if amount > hold.amount else [])
            assert desk.settle(hold, 10**30) is charged  # again: nothing
        elif what == "lease":
            one.lease(amount - 500)
            left[at] += amount - 500
            leased[at] += amount - 500
        elif what == "give_back":
            one.give_back(amount)
            leased[at] -= amount
            bank_free[at] += amount
        elif what == "tell":
            one.tell(amount - 500)
            left[at] += amount - 500 - bank_free[at]
            bank_free[at] = amount - 500
        for n, p in enumerate(desk.purses):
            assert (p.left, p.leased, p.bank_free) == (left[n], leased[n], bank_free[n])
            assert (p.free, p.held) == (left[n] - bank_free[n], leased[n] - left[n] + bank_free[n])
        assert desk.purses[0].held >= sum(hold.amount for hold in holds) or what != "reserve"


def test_charges_of_every_kind() -> None:
    budgets = (BudgetRef("b", 1),)
    desk = Desk(budgets, [purse("p", 1000)])

    def charge(of: int | Fraction | None) -> tuple[int, int | None]:
        hold = desk.try_reserve(budgets, 100, 0.0)
        assert hold is not None
        return desk.settle(hold, of)["p"], hold.left

    assert charge(30) == (30, 970)
    assert charge(Fraction(1, 3 * NANO)) == (1, 969)  # a third of a nanodollar counts as one
    assert charge(None) == (100, 869)  # unknown is not zero
    hold = desk.try_reserve(budgets, 100, 0.0)
    assert hold is not None
    for wrong in (-1, -(10**40), Fraction(-1)):
        with pytest.raises(ValueError, match="a charge of -"):
            desk.settle(hold, wrong)
    for text in ("1", 1.5):
        with pytest.raises((TypeError, AttributeError)):
            desk.settle(hold, text)  # type: ignore[arg-type]
    assert hold.charged is None and desk.purses[0].left == 769
    assert desk.settle(hold, 0) == {"p": 0} and desk.purses[0].left == 869


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(["lease", "lease_held", "give_back", "tell", "take", "settle"]), ANY)))
@example([("lease", 10**40), ("tell", -(10**40)), ("give_back", -(10**40)), ("take", 10**40)])
@example([("settle", 10**40), ("settle", 10**40), ("settle", 10**40), ("lease", 10**40), ("settle", 0)])
def test_what_is_beyond_stays_at_the_edge_and_what_is_held_stays_so(steps: list[tuple[str, int]]) -> None:
    one, other = purse("p"), purse("q", 500)
    for what, amount in steps:
        if what == "settle":
            values = one.left, one.leased, one.bank_free, amount
            before = one.held
            one.lease_held(7)
            other.lease_held(7)
            Desk((), [one]).settle(held(Account((), [one, other]), 7), abs(amount))
            assert one.held == before or max(map(abs, values)) > MOST // 8
        else:
            getattr(one, what)(amount)
        for value in (one.left, one.leased, one.bank_free, one.held, other.left, other.leased):
            assert -MOST <= value <= MOST
        assert one.free == one.left - one.bank_free
    assert other.held == 0


def test_a_charge_beyond_everything_leaves_nothing_and_is_said_as_it_is() -> None:
    budgets = (BudgetRef("b", 1),)
    desk = Desk(budgets, [purse("p", 1000)])
    holds = [desk.try_reserve(budgets, 100, 0.0) for _ in range(3)]
    for hold in holds:
        assert hold is not None
        assert desk.settle(hold, 10**30) == {"p": 10**30} and hold.left == 0
    assert desk.purses[0].held == 0 and desk.try_reserve(budgets, 0, 0.0) is None
    assert desk.squared == desk.purses * 3


def test_what_is_not_reserved() -> None:
    budgets, day = (BudgetRef("b", 1),), Span("day", 100.0, 200.0)
    desk = Desk(budgets, [purse("p", 1000), purse("q", 50, span=day)])
    assert desk.try_reserve(budgets, 51, 150.0) is None and desk.purses[0].left == 1000  # of all or of none
    for amount in (-1, MOST + 1, 2**63, 10**30, -(10**30)):
        assert desk.try_reserve(budgets, amount, 150.0) is None
    for now in (99.9, 200.0, float("nan")):
        assert desk.try_reserve(budgets, 1, now) is None
    assert desk.try_reserve((BudgetRef("b", 1),), 1, 150.0) is None  # other budgets, which `_account` does not know
    assert desk.try_reserve(budgets, 50, 100.0) is not None
    for wrong in ("1", 1.5, None):
        with pytest.raises(TypeError):
            desk.try_reserve(budgets, wrong, 150.0)  # type: ignore[arg-type]


def test_what_was_never_made_settles_nothing() -> None:
    desk = Desk((), [])
    assert desk.settle(Hold(), 5) is None
    for wrong in (None, object()):
        with pytest.raises(TypeError):
            desk.settle(wrong, 5)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            held(wrong, 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Account.__new__(Account)  # type: ignore[call-arg]
    with pytest.raises((TypeError, AttributeError)):
        Account((), [object()])  # type: ignore[list-item]
    with pytest.raises((TypeError, AttributeError)):
        Account((), None)  # type: ignore[arg-type]


def test_an_account_tells_its_purses_when_it_was_used() -> None:
    budgets = (BudgetRef("b", 1),)
    desk = Desk(budgets, [purse("p", 10), purse("q", 10)])
    desk.ticks = 7
    assert desk.try_reserve(budgets, 1, 0.0) is not None
    desk.purses[1].used = 9
    desk.accounts[id(budgets)].mark()
    assert [one.used for one in desk.purses] == [7, 9] and desk.accounts[id(budgets)].used == 0


def test_hard_budgets_count_before_others() -> None:
    soft, hard = purse("s", hard=False), purse("h")
    assert tightest([soft, hard]) == (hard,) and tightest([soft]) == (soft,) and tightest([]) == ()
    assert Account((), [soft, hard]).tightest == (hard,)
    assert isinstance(hard, Lease)

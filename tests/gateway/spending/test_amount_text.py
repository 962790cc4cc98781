"""Amounts as text: what is written natively is what Python's exact numbers say, at every size."""

from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from farthing.gateway.spending.amount_text import nano_text, usd_text
from farthing.ledger.budgets import NANO
from farthing.money import decimal_text

EDGES = [0, 1, 9, 10, 10**9 - 1, 10**9, 10**15, 10**18, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**40]
WHOLE = st.integers(0, 2**70) | st.sampled_from(EDGES) | st.integers(0, 62).map(lambda n: 1 << n)
PARTS = (
    st.integers(1, 2**70) | st.sampled_from(EDGES[1:]) | st.integers(0, 20).map(lambda n: 10**n)
    | st.tuples(st.integers(0, 40), st.integers(0, 20)).map(lambda n: int(2 ** n[0] * 5 ** n[1]))
)  # fmt: skip


def nano_said(nano: int) -> bytes:
    whole, part = divmod(nano, NANO)
    return b"%d.%09d" % (whole, part) if part else b"%d" % whole


@settings(deadline=None, max_examples=500)
@given(WHOLE)
@example(2**63 - 1)
@example(2**63)
def test_nanodollars(nano: int) -> None:
    assert nano_text(nano) == nano_said(nano)
    assert Fraction(nano_text(nano).decode()) == Fraction(nano, NANO)


@settings(deadline=None, max_examples=1000)
@given(WHOLE, PARTS)
@example(2**63 - 1, 2**63 - 1)
@example(2**63 - 1, 1)
@example(2**63 - 1, 10**15)
@example(10**15 - 1, 10**15)
@example(1, 10**16)
def test_dollars(top: int, bottom: int) -> None:
    assert usd_text(top, bottom) == decimal_text(Fraction(top, bottom)).encode()


@pytest.mark.parametrize(
    ("top", "bottom", "text"),
    [
        (3060, 40_000_000, b"0.0000765"),  # 3060 / 4 = 765, seven places on
        (10**15 + 1, 10**15, b"1.000000000000001"),  # the last place that is written natively
        (1, 10**16, b"0.0000000000000001"),  # one more
        (2**63 - 1, 1, b"9223372036854775807"),
    ],
)
def test_golden(top: int, bottom: int, text: bytes) -> None:
    assert usd_text(top, bottom) == text


def test_what_is_no_amount() -> None:
    for wrong in ("1", 1.5, None, b"1"):
        with pytest.raises(TypeError):
            usd_text(wrong, 1)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            nano_text(wrong)  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError):
        usd_text(1, 0)
    assert usd_text(-5, 2) == b"-2.5"  # (never asked; Python's exact numbers say it)

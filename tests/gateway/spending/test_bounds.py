"""The short way to a request's bound: equal to the long one, whatever was remembered before."""

import math
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from farthing.gateway.config.values import Rules
from farthing.gateway.metering.values import Asked
from farthing.gateway.spending.bounds import Bound
from farthing.gateway.spending.worst import Ceilings
from farthing.ledger.budgets import nano_up
from farthing.rates.card import Band, Bracket, Offer, Price, Rate, When
from farthing.time import microseconds
from tests.charges.cards import SOURCE, instants, offers

NOW = 1_795_000_000_000_000
NOWHERE = None, frozenset[tuple[str, str]]()


def offer(*rates: Rate) -> Offer:
    return Offer(provider="p", model="m", prices=(Price(source=SOURCE, rates=rates),))


def rate(meter: str, amount: str, **more: Any) -> Rate:
    return Rate(meter=meter, amount=Decimal(amount), per=10**6, **more)


TOKENS = st.sampled_from([0, 1, 99, 100, 101, 299, 300, 301, 5000]) | st.integers(0, 10**6)


@st.composite
def requests(draw: st.DrawFn) -> Asked:
    return Asked(
        model="m", prompt_tokens_bound=draw(TOKENS), max_output_tokens=draw(TOKENS),
        choices=draw(st.sampled_from([1, 1, 3])), tier=draw(st.sampled_from(["", "auto", "default", "batch"])),
        images=draw(st.sampled_from([0, 0, 2])), audio=draw(st.sampled_from([0, 0, 1])),
    )  # fmt: skip


@pytest.mark.slow
@settings(deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))
@given(
    offers("m", linear=True),
    st.lists(st.tuples(requests(), instants, st.sampled_from([None, "eu-west"])), min_size=1, max_size=6),
)
def test_what_is_remembered_bounds_the_next_as_if_it_were_the_first(
    of: Offer, asked: list[tuple[Asked, datetime, str | None]]
) -> None:
    # Without a price of input and output there is no bound to remember.
    plain = (rate("input", "3"), rate("output", "9"))
    prices = tuple(
        msgspec.structs.replace(
            price, rates=(*price.rates, *(r for r in plain if r.meter not in {one.meter for one in price.rates}))
        )
        for price in of.prices
    )
    of = msgspec.structs.replace(of, prices=prices)
    made = Ceilings(of)
    for one, at, region in [*asked, *asked]:
        now = microseconds(at)
        worst = Ceilings(of).worst(one, Rules(), started_us=now, region=region)
        found = made.stated(one, (region, frozenset()), now)
        assert found in (worst.nano, None)
        assert found == Ceilings(of).stated(one, (region, frozenset()), now)
    event("remembered" if made.remembered else "not")


@settings(deadline=None, max_examples=300)
@given(
    st.integers(0, 2**70) | st.integers(0, 70).map(lambda n: 1 << n),
    st.integers(0, 2**70) | st.integers(0, 70).map(lambda n: 1 << n),
    st.integers(1, 10) | st.just(2**63),
)
@example(2**63 - 1, 0, 1)
@example(0, 2**63 - 1, 1)
@example(3 * 10**15, 0, 1)
@example(0, 2**62, 2)
def test_requests_of_every_size(prompt: int, output: int, choices: int) -> None:
    made = Ceilings(offer(rate("input", "2.5"), rate("output", "0.0003")))
    assert (
        made.stated(Asked(prompt_tokens_bound=10, max_output_tokens=10), NOWHERE, NOW) == 25_003
    )  # 10 x 2,500 + 10 x 0.3
    assert made.remembered == 1
    asked = Asked(prompt_tokens_bound=prompt, max_output_tokens=output, choices=choices)
    usd = (Fraction(5, 2) * prompt + Fraction(3, 10_000) * output * choices) / 10**6
    for _ in range(2):
        assert made.stated(asked, NOWHERE, NOW) == nano_up(usd)
    assert made.remembered == (1 if output else 2)


def test_pieces_of_prompts_outputs_and_times_are_told_apart() -> None:
    start = NOW - 1000
    of = Offer(
        provider="p", model="m", prices=tuple(
            Price(
                source=SOURCE,
                valid_from=None if n == 0 else datetime.fromtimestamp(start / 1e6, SOURCE_ZONE),
                valid_to=datetime.fromtimestamp(start / 1e6, SOURCE_ZONE) if n == 0 else None,
                rates=(
                    rate("input", f"{n + 2}"), rate("input", f"{n + 4}", when=When(bands=(Band(low=101),))),
                    rate("output", "10"), rate("output", "30", when=When(bands=(Band(low=51, of="output"),))),
                ),
            )
            for n in range(2)
        ),
    )  # fmt: skip
    made = Ceilings(of)
    for _ in range(3):
        for prompt in (0, 100, 101, 10**9):
            for output in (0, 50, 51, 10**9):
                for n, now in ((0, start - 1), (1, start), (1, NOW)):
                    asked = Asked(prompt_tokens_bound=prompt, max_output_tokens=output)
                    # What is longer may also turn out to be shorter, which is never dearer here.
                    dear, long = (n + 4 if prompt > 100 else n + 2), (30 if output > 50 else 10)
                    assert made.stated(asked, NOWHERE, now) == 1000 * (prompt * dear + output * long)
    assert made.remembered == 2 * 2 * 3  # two times, two pieces of prompts, and of outputs these and none at all


SOURCE_ZONE = datetime.now().astimezone().tzinfo


def test_what_bounds_nothing_is_asked_of_the_long_way() -> None:
    made = Ceilings(offer(rate("input", "2"), rate("output", "10")))
    for _ in range(2):
        assert made.stated(Asked(prompt_tokens_bound=1), NOWHERE, NOW) is None
        assert made.stated(Asked(max_output_tokens=1), NOWHERE, NOW) is None
        assert made.stated(Asked(prompt_tokens_bound=1, max_output_tokens=1), NOWHERE, NOW) == 12_000
        asked = Asked(prompt_tokens_bound=1, max_output_tokens=1, tier="scale")  # has no price here
        assert made.stated(asked, NOWHERE, NOW) is None
        with pytest.raises(AttributeError):
            made.stated(object(), NOWHERE, NOW)  # type: ignore[arg-type]
    odd = Ceilings(offer(rate("input", "2", minimum=5), rate("output", "10")))
    for _ in range(2):
        assert odd.stated(Asked(prompt_tokens_bound=1, max_output_tokens=1), NOWHERE, NOW) is None
    assert odd.remembered == 0


def test_what_clients_name_is_remembered_within_bounds() -> None:
    made = Ceilings(offer(rate("input", "2"), rate("output", "10")))
    asked = Asked(prompt_tokens_bound=1, max_output_tokens=1)
    for n in range(300):
        assert made.stated(asked, (f"r{n}", frozenset()), NOW) == 12_000
    assert 0 < made.remembered <= 64


def test_what_cannot_be_remembered_is_refused() -> None:
    rates: dict[str, Any] = {"prompt": 1, "output": 1, "each": 0, "bottom": 1}
    pieces: dict[str, Any] = {"times_us": (-math.inf, math.inf), "prompts": (0, 5), "outputs": (1, math.inf)}
    facts: dict[str, Any] = {"tier": "", "where": NOWHERE, "images": False, "audio": False}
    assert Bound(**facts, **pieces, **rates)
    for wrong in ({"prompt": 2**63}, {"output": -1}, {"bottom": 0}, {"each": 10**30}, {"prompts": (-1, 5)}):
        with pytest.raises(OverflowError):
            Bound(**facts | pieces | rates | wrong)
    with pytest.raises(TypeError):
        Ceilings(offer(rate("input", "2"))).remember(None)  # type: ignore[arg-type]


def test_two_counts_under_one_rate_begin_its_brackets_twice() -> None:
    """100 tokens at 1.69, then nothing more: 101 tokens of one meter cost 169 millionths of a dollar, but 100 of input
    and 1 that a tool put there cost 170.69."""
    brackets = (Bracket(up_to=100, amount=Decimal("1.69")), Bracket(up_to=None, amount=Decimal("0")))
    of = offer(rate("input", "0", brackets=brackets), rate("output", "0"))
    asked = Asked(prompt_tokens_bound=101, max_output_tokens=0)
    worst = Ceilings(of).worst(asked, Rules(), started_us=NOW)
    assert worst.nano is not None and worst.nano >= 170_690

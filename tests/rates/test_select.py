"""Selection: conditions are sets of requests, held against brute force; which record is in force at an instant."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from farthing.evidence import Grade, Source
from farthing.rates.card import ALWAYS, Band, Modifier, Offer, Period, Price, Rate, When, Window
from farthing.rates.select import (
    Facts,
    Index,
    Resolved,
    Unknown,
    ambiguous,
    disjoint,
    holds,
    index,
    inside,
    meet,
    price_at,
    same,
)
from farthing.units import METERS
from tests.charges.cards import START, conditions

QUICK = settings(
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    deadline=None,
    max_examples=150,
    suppress_health_check=list(HealthCheck),
)
SOURCE = Source(id="s", title="made up", where="tests", seen=date(2026, 3, 1), grade=Grade.VENDOR_STATED)
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)  # a Wednesday

requests = st.builds(
    lambda minute, late, tier, region, size, prompt, output: Facts(
        at=START + timedelta(minutes=minute),
        completed=START + timedelta(minutes=minute + late),
        tier=tier,
        region=region,
        attrs=frozenset() if size is None else frozenset({("size", size)}),
        measures={"prompt": prompt, "output": output},
    ),
    st.integers(0, 40 * 1440),
    st.sampled_from([0, 1, 600, 1500]),
    st.sampled_from(["standard", "batch", "priority", "flex"]),
    st.sampled_from([None, "eu-west", "eu-north", "us-east"]),
    st.sampled_from([None, "s", "l"]),
    st.sampled_from([0, 1, 99, 100, 101, 250, 251, 252, 500, 600, 1100]),
    st.sampled_from([0, 1, 100, 101, 300, 700]),
)
many = st.lists(requests, min_size=40, max_size=40)


def rate(when: When = ALWAYS, amount: str | None = "1", meter: str = "input", **more: object) -> Rate:
    made = None if amount is None else Decimal(amount)
    return Rate(meter=meter, amount=made, per=METERS[meter].per, when=when, **more)  # type: ignore[arg-type]


def price(*rates: Rate, modifiers: Sequence[Modifier] = (), **more: object) -> Price:
    return Price(source=SOURCE, rates=rates, modifiers=tuple(modifiers), **more)  # type: ignore[arg-type]


def facts(at: datetime = NOON, completed: datetime | None = None, **more: object) -> Facts:
    return Facts(at=at, completed=completed or at, **more)  # type: ignore[arg-type]


def amount(found: Resolved | Unknown) -> str:
    assert isinstance(found, Resolved), found
    return str(found.rate.amount)


# --- conditions as sets -----------------------------------------------------------------------


@QUICK
@given(conditions(), conditions(), many)
def test_inside_means_that_one_implies_the_other(one: When, other: When, asked: list[Facts]) -> None:
    assert inside(one, one) and inside(one, ALWAYS)
    if inside(one, other):
        assert all(holds(other, request) for request in asked if holds(one, request))


@QUICK
@given(conditions(), conditions(), many)
def test_disjoint_means_never_both(one: When, other: When, asked: list[Facts]) -> None:
    assert disjoint(one, other) == disjoint(other, one)
    if disjoint(one, other):
        assert not any(holds(one, request) and holds(other, request) for request in asked)


@QUICK
@given(conditions(), conditions(), many)
def test_what_is_both_inside_is_the_meet(one: When, other: When, asked: list[Facts]) -> None:
    try:
        both = meet(one, other)
    except ValueError:  # two windows whose overlap is no window
        assert one.window and other.window
        return
    if disjoint(one, other):
        return
    for request in asked:
        assert holds(both, request) == (holds(one, request) and holds(other, request))
    assert inside(both, one) and inside(both, other)


def test_a_start_and_a_completion_window_have_no_expressible_overlap() -> None:
    """`When` has one window: the overlap of two that look at different moments must not be called either."""
    night = When(window=Window(minutes=(1 << 600) - 1))
    finished = When(window=Window(minutes=(1 << 600) - 1, decides="completion"))
    with pytest.raises(ValueError, match="overlap is no window"):
        meet(night, finished)
    assert ambiguous([rate(night), rate(finished)]) is not None
    assert ambiguous([rate(night), rate(finished), rate(night, meter="output")]) is not None


def test_windows_with_days_of_their_own_have_no_expressible_overlap() -> None:
    """Monday nights, with a holiday that counts whole: on that day the overlap is the other's minutes only."""
    holiday = date(2026, 3, 4)
    one = When(window=Window(minutes=0b1110, dates=frozenset({holiday})))
    other = When(window=Window(minutes=0b0111))
    with pytest.raises(ValueError, match="overlap is no window"):
        meet(one, other)
    excepted = When(window=Window(minutes=0b0111, not_dates=frozenset({holiday})))
    both = meet(one, excepted)  # that day is out of the other: nothing is lost
    assert both.window is not None
    assert (both.window.minutes, both.window.dates, both.window.not_dates) == (
        0b0110,
        frozenset(),
        frozenset({holiday}),
    )


@QUICK
@given(st.lists(conditions(), min_size=1, max_size=5), many)
def test_the_winner_is_inside_every_other_matching_rate(whens: list[When], asked: list[Facts]) -> None:
    """On a card that is not refused, every request that some rate matches has one most specific rate."""
    rates = [rate(ALWAYS)]
    for when in whens:
        if ambiguous([*rates, rate(when)]) is None:
            rates.append(rate(when))
    made = Index(price(*rates))
    for request in asked:
        request = Facts(
            at=request.at, completed=request.completed, region=request.region, attrs=request.attrs,
            measures=request.measures,
            tier=request.tier if made.states_tier(request.tier, request.at) else "standard",
        )  # fmt: skip
        found = made.resolve("input", request)
        assert isinstance(found, Resolved)
        matching = [other for other in rates if holds(other.when, request)]
        assert found.rate in matching
        assert all(inside(found.rate.when, other.when) for other in matching)
        assert not any(same(found.rate.when, other.when) for other in matching if other is not found.rate)


@QUICK
@given(conditions(), conditions(), many)
def test_a_request_without_a_unique_winner_makes_the_card_ambiguous(one: When, other: When, asked: list[Facts]) -> None:
    crossing = [r for r in asked if holds(one, r) and holds(other, r)]
    if crossing and not inside(one, other) and not inside(other, one):
        assert ambiguous([rate(one), rate(other)]) is not None
        try:  # a third rate for exactly the overlap settles it
            assert ambiguous([rate(one), rate(other), rate(meet(one, other))]) is None
        except ValueError:
            assert one.window and other.window
    assert disjoint(one, one) or ambiguous([rate(one), rate(one)]) is not None  # the same set twice (if not empty)
    assert ambiguous([rate(one), rate(one, meter="output")]) is None  # meters do not meet


# --- thresholds and windows -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "over", "at_least"), [(199_999, "1", "1"), (200_000, "1", "2"), (200_001, "2", "2")]
)
def test_strict_and_inclusive_thresholds(prompt: int, over: str, at_least: str) -> None:
    strict = price(rate(), rate(When(bands=(Band(low=200_001),)), "2"))
    inclusive = price(rate(), rate(When(bands=(Band(low=200_000),)), "2"))
    asked = facts(measures={"prompt": prompt})
    assert amount(index(strict).resolve("input", asked)) == over
    assert amount(index(inclusive).resolve("input", asked)) == at_least


def week(*spans: tuple[int, int, int]) -> int:
    """A mask from (weekday, first minute, length) spans, past midnight and past Sunday."""
    mask = 0
    for day, start, length in spans:
        for minute in range(day * 1440 + start, day * 1440 + start + length):
            mask |= 1 << minute % 10080
    return mask


@pytest.mark.parametrize(
    ("at", "inside_it"),
    [
        ("2026-03-08T23:59:59", True),  # Sunday, in a window from Sunday 23:00 for two hours
        ("2026-03-09T00:59:59", True),  # Monday: past midnight and past the week's end
        ("2026-03-09T01:00:00", False),  # half-open
        ("2026-03-08T22:59:59", False),
        ("2026-03-08T23:00:00", True),
        ("2026-03-10T00:30:00", False),  # Tuesday
    ],
)
def test_a_window_over_midnight_and_the_week_end(at: str, inside_it: bool) -> None:
    window = Window(minutes=week((6, 23 * 60, 120)))
    assert window.covers(datetime.fromisoformat(at).replace(tzinfo=UTC)) is inside_it


def test_completion_decides_where_the_window_says_so() -> None:
    noon_hour = week((2, 12 * 60, 60))
    by_start = price(rate(), rate(When(window=Window(minutes=noon_hour)), "2"))
    by_end = price(rate(), rate(When(window=Window(minutes=noon_hour, decides="completion")), "2"))
    late = facts(NOON - timedelta(minutes=1), NOON)  # starts before, ends in the window
    early = facts(NOON + timedelta(minutes=59), NOON + timedelta(minutes=60))  # starts in it, ends after
    assert [amount(index(card).resolve("input", late)) for card in (by_start, by_end)] == ["1", "2"]
    assert [amount(index(card).resolve("input", early)) for card in (by_start, by_end)] == ["2", "1"]


def test_dates_count_whole_and_excepted_dates_not_at_all() -> None:
    window = Window(
        minutes=week((2, 12 * 60, 60)), dates=frozenset({date(2026, 3, 5)}), not_dates=frozenset({date(2026, 3, 4)})
    )
    assert not window.covers(NOON)  # the Wednesday noon is excepted
    assert window.covers(NOON + timedelta(days=7))  # the next is not
    assert window.covers(datetime(2026, 3, 5, tzinfo=UTC)) and window.covers(datetime(2026, 3, 5, 23, 59, tzinfo=UTC))
    assert not window.covers(datetime(2026, 3, 6, tzinfo=UTC))


def test_regions_are_names_or_prefixes() -> None:
    card = price(rate(), rate(When(regions=frozenset({"eu-*", "us-east-1"})), "2"))
    said = {region: amount(index(card).resolve("input", facts(region=region)))
            for region in ("eu-west", "us-east-1", "us-east-10", "eu", None)}  # fmt: skip
    assert said == {"eu-west": "2", "us-east-1": "2", "us-east-10": "1", "eu": "1", None: "1"}


# --- what is unknown, and factors -------------------------------------------------------------


def test_a_range_and_a_missing_meter_are_unknown() -> None:
    card = price(rate(amount=None, low=Decimal(1), high=Decimal(3)), rate(When(tier="batch"), "1", "output"))
    assert index(card).resolve("input", facts()) == Unknown("only a range is stated for input: 1 to 3")
    assert index(card).resolve("cache_read", facts()) == Unknown("no price stated for cache_read")
    assert index(card).resolve("output", facts()) == Unknown("no price of output under these conditions")
    assert index(card).resolve("output", facts(tier="flex")) == Unknown("no price stated for service tier 'flex'")


def test_a_tier_stated_for_a_period_only_is_unknown_outside_it() -> None:
    half = Modifier(when=When(tier="batch", period=Period(start=NOON)), factor=Decimal("0.5"))
    made = index(price(rate(), modifiers=[half]))
    assert isinstance(made.resolve("input", facts(NOON, tier="batch")), Resolved)
    assert isinstance(made.resolve("input", facts(NOON - timedelta(microseconds=1), tier="batch")), Unknown)


def test_factors_multiply_and_an_explicit_rate_is_not_discounted_again() -> None:
    card = price(
        rate(amount="10"),
        rate(When(tier="batch", regions=frozenset({"us-*"})), "4"),
        modifiers=[
            Modifier(when=When(tier="batch"), factor=Decimal("0.5")),
            Modifier(when=When(regions=frozenset({"*"})), factor=Decimal("1.1")),
            Modifier(when=When(bands=(Band(low=101),)), factor=Decimal(2)),
            Modifier(when=When(bands=(Band(low=201),)), factor=Decimal(3)),  # narrower than "over 100"
        ],
    )

    def usd_per_million(**more: object) -> Decimal:
        found = index(card).resolve("input", facts(**more))
        assert isinstance(found, Resolved) and found.unit_usd is not None
        return Decimal(str(float(found.unit_usd * 10**6)))

    assert usd_per_million() == 10
    assert usd_per_million(tier="batch") == 5  # 10 x 0.5
    assert usd_per_million(tier="batch", region="eu-1") == Decimal("5.5")  # 10 x 0.5 x 1.1
    assert usd_per_million(tier="batch", region="us-1") == 4  # states tier and region itself
    assert usd_per_million(tier="batch", region="us-1", measures={"prompt": 150}) == 8  # 4 x 2: context is not in it
    assert usd_per_million(measures={"prompt": 100}) == 10
    assert usd_per_million(measures={"prompt": 200}) == 20
    assert usd_per_million(measures={"prompt": 201}) == 30  # the narrowest of one kind, not 10 x 2 x 3


# --- which record is in force -----------------------------------------------------------------


def offer(*prices: Price) -> Offer:
    return Offer(provider="p", model="m", prices=prices)


def test_a_record_lasts_until_the_next_and_its_withdrawal() -> None:
    moment, later = NOON + timedelta(days=1), NOON + timedelta(days=2)
    undated = price(rate())
    first = price(rate(amount="2"), valid_from=NOON)
    second = price(rate(amount="3"), valid_from=moment, valid_to=later)
    made = offer(undated, first, second)
    tick = timedelta(microseconds=1)
    assert price_at(made, NOON - tick) is undated
    assert price_at(made, NOON) is first
    assert price_at(made, moment - tick) is first
    assert price_at(made, moment) is second
    assert price_at(made, later - tick) is second
    assert price_at(made, later) == Unknown("withdrawn on 2026-03-06")  # the record before does not come back
    assert price_at(offer(first), NOON - tick) == Unknown("no price before 2026-03-04")
    assert price_at(offer(), NOON) == Unknown("no price stated")


def test_two_clocks() -> None:
    """The correction of a price is known from the day it was recorded; a bill as of before does not see it."""
    wrong = price(rate(amount="2"), valid_from=NOON, recorded=NOON)
    right = price(rate(amount="3"), valid_from=NOON, recorded=NOON + timedelta(days=10))
    made = offer(wrong, right)
    assert price_at(made, NOON) is right and price_at(offer(right, wrong), NOON) is right
    assert price_at(made, NOON, as_of=NOON + timedelta(days=9)) is wrong
    assert price_at(made, NOON, as_of=NOON + timedelta(days=10)) is right
    assert price_at(made, NOON, as_of=NOON - timedelta(days=1)) == Unknown("no price was known then")

"""The TOML rate card: what it means, and how it refuses."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.evidence import Grade
from farthing.problems import FarthingError
from farthing.rates.card import ALL_WEEK, NO_LIMIT, Band, Bracket, Free, Offer, Price, Rate, When
from farthing.rates.select import Facts, Resolved, Unknown, index, price_at
from farthing.rates.toml import load_card
from farthing.units import METERS

SOURCE = 'source.s = { title = "T", where = "W", seen = 2026-11-01, grade = "vendor-stated" }\n'
HEAD = SOURCE + '[[offer]]\nprovider = "p"\nmodel = "m"\n[[offer.price]]\nsource = "s"\n'
RATES = "[offer.price.rates]\ninput = 1\n"


def only(text: str) -> Offer:
    (offer,) = load_card(text, "card.toml").offers
    return offer


def price(text: str) -> Price:
    (found,) = only(HEAD + text).prices
    return found


def rate(text: str) -> Rate:
    (found,) = price(text).rates
    return found


def when(text: str) -> When:
    return rate(f"[[offer.price.rule]]\nwhen = {text}\nrates = {{ input = 1 }}\n").when


def refusal(text: str) -> str:
    with pytest.raises(FarthingError) as caught:
        load_card(text, "card.toml")
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- what is read -----------------------------------------------------------------------------


def test_a_whole_card() -> None:
    card = load_card(
        """
[source.page]
title = "Prices"
where = "https://p.example"
seen = 2026-11-01
grade = "measured"

[[offer]]
provider = "openai"
model = "gpt-x"
aliases = ["gpt-x-latest"]
pattern = "^gpt-x-[0-9]+$"
title = "GPT X"
mode = "chat"
context_window = 400_000
retires = 2027-01-31
note = "n"
[[offer.price]]
valid_from = 2026-10-01T02:00:00+02:00
valid_to = 2026-12-01
recorded = 2026-09-30
source = "page"
currency = "EUR"
usd = 1.08
minimum_usd = 0.01
note = "pn"
[offer.price.rates]
input = 2.50
cache-read = 0.25
output = { amount = 0.015, per = 1_000, note = "rn" }
"""
    )
    (offer,) = card.offers
    assert (offer.id, offer.aliases, offer.channel, offer.region) == ("openai/gpt-x", ("gpt-x-latest",), "direct", None)
    assert (offer.pattern, offer.title, offer.mode, offer.context_window) == (
        "^gpt-x-[0-9]+$",
        "GPT X",
        "chat",
        400_000,
    )
    assert (offer.retires, offer.note) == (date(2027, 1, 31), "n")
    (found,) = offer.prices
    assert found.source is card.sources["page"]
    assert found.source.grade is Grade.MEASURED
    assert found.valid_from == datetime(2026, 10, 1, tzinfo=UTC)  # 02:00 at +02:00
    assert found.valid_to == datetime(2026, 12, 1, tzinfo=UTC)
    assert found.recorded == datetime(2026, 9, 30, tzinfo=UTC)
    assert (found.currency, found.usd, found.minimum_usd) == ("EUR", Decimal("1.08"), Decimal("0.01"))
    assert found.rates == (
        Rate(meter="input", amount=Decimal("2.50"), per=1_000_000),
        Rate(meter="cache_read", amount=Decimal("0.25"), per=1_000_000),
        Rate(meter="output", amount=Decimal("0.015"), per=1_000, note="rn"),
    )


def test_what_is_left_out() -> None:
    found = price(RATES)
    assert (found.valid_from, found.valid_to, found.currency, found.usd) == (None, None, "USD", 1)
    assert found.recorded == datetime(2026, 11, 1, tzinfo=UTC)  # the source's `seen`
    assert found.rates[0].per == 1_000_000
    assert rate("[offer.price.rates]\nweb_search = 10\n").per == 1_000
    assert rate("[offer.price.rates]\naudio_second = 0.36\n").per == 3_600


def test_a_number_with_a_source_of_its_own() -> None:
    other = SOURCE.replace("source.s", "source.t").replace('"T"', '"U"')
    text = (
        other + HEAD + '[offer.price.rates]\ninput = 1\noutput = { amount = 2, source = "t" }\n'
        '[[offer.price.rule]]\nwhen = { tier = "flex" }\nsource = "t"\nrates = { input = 0.5 }\n'
        '[[offer.price.rule]]\nwhen = { tier = "batch" }\nsource = "t"\nmultiply = 0.5\n'
    )
    (found,) = only(text).prices
    titles = [rate.source and rate.source.title for rate in found.rates]
    assert (found.source.title, titles) == ("T", [None, "U", "U"])
    assert [m.source and m.source.title for m in found.modifiers] == ["U"]
    assert "no [source.x]" in refusal(text.replace('source = "t"\nmultiply', 'source = "x"\nmultiply'))


def test_a_file_and_a_place(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(HEAD + RATES, "utf-8")
    assert load_card(path).offers == load_card(HEAD + RATES).offers
    path.write_text(HEAD + "[offer.price.rates]\nouput = 1\n", "utf-8")
    with pytest.raises(FarthingError, match=r"my\.toml:8: unknown meter 'ouput'; did you mean 'output'\?"):
        load_card(path)
    with pytest.raises(FarthingError, match="elsewhere:8: "):
        load_card(path, "elsewhere")
    path.write_text(HEAD + RATES, "utf-8-sig")
    assert load_card(path).offers == load_card(HEAD + RATES).offers


@settings(deadline=None)  # a busy machine
@given(st.decimals(min_value=0, max_value=10**9, places=12))
def test_every_digit_of_an_amount_is_kept(amount: Decimal) -> None:
    text = format(amount, "f")
    assert str(rate(f"[offer.price.rates]\ninput = {text}\n").amount) == str(Decimal(text))


def test_the_shapes_of_a_rate() -> None:
    marginal = rate("[offer.price.rates]\ninput = { brackets = [{ up_to = 100, amount = 1 }, { amount = 2.5 }] }\n")
    assert marginal.amount is None
    assert marginal.brackets == (
        Bracket(up_to=100, amount=Decimal(1)),
        Bracket(up_to=None, amount=Decimal("2.5")),
    )
    stated = rate("[offer.price.rates]\npurchase = { low = 8000, high = 12000 }\n")
    assert (stated.amount, stated.low, stated.high) == (None, 8000, 12000)
    quota = rate(
        '[offer.price.rates]\nweb_search = { amount = 35, free = { quantity = 1500, per = "day", group = "g" } }\n'
    )
    assert quota.free == Free(quantity=1500, per="day", group="g")
    stepped = rate("[offer.price.rates]\nprovisioned_hour = { amount = 1.8, minimum = 10, step = 5 }\n")
    assert (stepped.minimum, stepped.step) == (10, 5)


@pytest.mark.parametrize(
    ("text", "band"),
    [
        ("over = 272_000", Band(low=272_001)),  # strict: 272,000 is outside
        ("at_least = 200_000", Band(low=200_000)),
        ("up_to = 200_000", Band(high=200_001)),
        ("under = 200_000", Band(high=200_000)),
        ("over = 10, up_to = 20", Band(low=11, high=21)),
        ('over = 0, of = "output"', Band(low=1, of="output")),
        ('at_least = 5, of = "input-image-count"', Band(low=5, of="input_image_count")),
    ],
)
def test_context_thresholds(text: str, band: Band) -> None:
    assert when(f"{{ context = {{ {text} }} }}").bands == (band,)
    assert NO_LIMIT > 10**12


def test_the_other_conditions() -> None:
    assert when('{ tier = "on_demand" }').tier == "standard"
    assert when('{ regions = ["eu-*", "us-east-1"] }').regions == {"eu-*", "us-east-1"}
    assert when('{ size = "1024x1024", steps = 50 }').attrs == {("size", "1024x1024"), ("steps", "50")}
    bands = when('{ context = [{ over = 1 }, { up_to = 9, of = "output" }] }').bands
    assert bands == (Band(low=2), Band(high=10, of="output"))
    period = when("{ period = { from = 2026-11-01, to = 2026-12-01T00:00:00Z } }").period
    assert period is not None
    assert period.covers(datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC))
    assert not period.covers(datetime(2026, 12, 1, tzinfo=UTC))  # half-open


MONDAY = datetime(2026, 11, 2, tzinfo=UTC)


def open_minutes(text: str) -> set[int]:
    """The minutes of the week of Monday 2026-11-02 that the window covers, one by one."""
    window = when(f"{{ time = {text} }}").window
    assert window is not None
    return {minute for minute in range(7 * 1440) if window.covers(MONDAY + timedelta(minutes=minute))}


def test_time_windows() -> None:
    night = open_minutes('{ from = "16:30", to = "00:30" }')
    assert len(night) == 7 * 8 * 60
    assert {16 * 60 + 30, 24 * 60 + 29, 0, 29} <= night  # and Sunday night runs into Monday
    assert not {16 * 60 + 29, 24 * 60 + 30, 30} & night
    monday_night = open_minutes('{ from = "22:00", to = "02:00", days = ["mon"] }')
    assert monday_night == set(range(22 * 60, 26 * 60))  # the days are those on which it starts
    sunday_night = open_minutes('{ from = "22:00", to = "02:00", days = ["sun"] }')
    assert sunday_night == {*range(6 * 1440 + 22 * 60, 7 * 1440), *range(2 * 60)}
    assert open_minutes('{ days = ["sat", "sun"] }') == set(range(5 * 1440, 7 * 1440))
    assert open_minutes('{ from = "18:00", to = "24:00" }') == open_minutes('{ from = "18:00", to = "00:00" }')
    both = open_minutes('[{ from = "01:00", to = "04:00" }, { from = "03:00", to = "06:00", days = ["tue"] }]')
    assert len(both) == 7 * 180 + 120
    whole = when('{ time = { from = "00:00", to = "24:00" } }').window
    assert whole is not None and whole.minutes == ALL_WEEK


def test_a_window_decides_and_excepts_days() -> None:
    window = when(
        '{ time = { days = ["mon"], decides = "completion", not_dates = [2026-11-09], dates = [2026-11-03] } }'
    ).window
    assert window is not None
    assert window.decides == "completion"
    assert [window.covers(MONDAY + timedelta(days=day)) for day in (0, 1, 2, 7, 14)] == [True, True, False, False, True]


@settings(deadline=None)  # a busy machine
@given(st.integers(0, 1439), st.integers(1, 1440), st.sets(st.sampled_from(["mon", "wed", "sun"]), min_size=1))
def test_a_window_is_as_long_as_it_says(start: int, length: int, days: set[str]) -> None:
    stop = (start + length) % 1440
    begin, end = f"{start // 60:02}:{start % 60:02}", f"{stop // 60:02}:{stop % 60:02}"
    if begin == end:  # a whole day is written without from and to
        return
    found = when(f'{{ time = {{ from = "{begin}", to = "{end}", days = {sorted(days)!r} }} }}').window
    assert found is not None
    assert found.minutes.bit_count() == length * len(days)
    assert found.minutes & ~ALL_WEEK == 0


def test_rules_select_as_documented() -> None:
    found = price(
        """[offer.price.rates]
input = 1
output = 4
[[offer.price.rule]]
when = { tier = "batch" }
multiply = 0.5
[[offer.price.rule]]
when = { context = { over = 100 } }
rates = { input = 2 }
[[offer.price.rule]]
when = { tier = "batch", context = { over = 100 } }
rates = { input = 1.2 }
"""
    )
    at = MONDAY

    def cost(meter: str, tier: str, prompt: int) -> tuple[Decimal | None, Decimal]:
        got = index(found).resolve(meter, Facts(at=at, completed=at, tier=tier, measures={"prompt": prompt}))
        assert isinstance(got, Resolved)
        return got.rate.amount, Decimal(got.factor_usd.numerator) / got.factor_usd.denominator

    assert cost("input", "standard", 100) == (1, 1)
    assert cost("input", "standard", 101) == (2, 1)
    assert cost("input", "batch", 100) == (1, Decimal("0.5"))
    assert cost("input", "batch", 101) == (Decimal("1.2"), 1)  # the published product, not discounted again
    assert cost("output", "batch", 101) == (4, Decimal("0.5"))
    unknown = index(found).resolve("input", Facts(at=at, completed=at, tier="flex"))
    assert isinstance(unknown, Unknown)


def test_records_are_in_order_and_corrections_stand_beside() -> None:
    offer = only(
        SOURCE
        + """[[offer]]
provider = "p"
model = "m"
[[offer.price]]
valid_from = 2026-06-10
recorded = 2026-06-20
source = "s"
rates.input = 8
[[offer.price]]
source = "s"
rates.input = 1
[[offer.price]]
valid_from = 2026-06-10
recorded = 2026-06-01
source = "s"
rates.input = 9
"""
    )
    assert [p.rates[0].amount for p in offer.prices] == [1, 9, 8]  # undated first, then by both clocks
    at = datetime(2026, 7, 1, tzinfo=UTC)

    def known(as_of: datetime | None) -> Decimal | None:
        got = price_at(offer, at, as_of)
        assert isinstance(got, Price)
        return got.rates[0].amount

    assert known(None) == 8
    assert known(datetime(2026, 6, 15, tzinfo=UTC)) == 9


def test_a_threshold_of_seconds_is_in_seconds() -> None:
    """8 s are not over 8 s, and a millionth more is: such counts are kept in millionths."""

    def rate_of(threshold: str, seconds: str) -> Decimal | None:
        rule = f"[[offer.price.rule]]\nwhen.context = {threshold}\nrates = {{ video_second = 2 }}\n"
        count = int(Decimal(seconds) * METERS["video_second"].scale)
        moment = datetime(2026, 11, 1, tzinfo=UTC)
        facts = Facts(at=moment, completed=moment, measures={"video_second": count})
        found = index(price("[offer.price.rates]\nvideo_second = 1\n" + rule)).resolve("video_second", facts)
        return found.rate.amount if isinstance(found, Resolved) else None

    over, from_8_to_9 = ('{ over = 8, of = "video_second" }', '{ at_least = 8, under = 9, of = "video_second" }')
    assert [rate_of(over, seconds) for seconds in ("7", "8", "8.000001", "9")] == [1, 1, 2, 2]
    assert [rate_of(from_8_to_9, seconds) for seconds in ("7.999999", "8", "8.999999", "9")] == [1, 2, 2, 1]


def test_factors_of_one_kind_may_be_nested_or_for_other_meters() -> None:
    """Over 200,000 within over 100,000; two factors of one condition for input and for output: nothing is in doubt."""
    rule = "[[offer.price.rule]]\nwhen = {{ context = {{ over = {} }} }}\nmultiply = 2\nmeters = [{}]\n"
    rules = [rule.format(100_000, '"input"'), rule.format(100_000, '"output"'), rule.format(200_000, '"input"')]
    assert len(price(RATES + "".join(rules)).modifiers) == 3

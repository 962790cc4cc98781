"""The reference: one request's lines, each expected amount with its arithmetic."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from farthing.charges.reference import Charge, facts_of, measures, price_all, price_usage
from farthing.evidence import Grade
from farthing.money import decimal_text
from farthing.rates.card import Offer
from farthing.rates.toml import load_card
from farthing.usage.record import Usage

AT = datetime(2026, 11, 4, 12, tzinfo=UTC)
HEAD = """
source.acme = { title = "Acme", where = "acme.pdf", seen = 2026-11-01, grade = "vendor-stated" }
source.rumour = { title = "Rumour", where = "a forum", seen = 2026-11-01, grade = "assumed" }
[[offer]]
provider = "acme"
model = "m"
[[offer.price]]
source = "acme"
"""


def card(rest: str) -> Offer:
    return load_card(HEAD + rest).offers[0]


def used(at: datetime = AT, requests: int = 1, **more: object) -> Usage:
    names = {"tier_served", "tier_asked", "region", "attrs", "completed", "latency_s"}
    counts = {name: n for name, n in more.items() if name not in names}
    rest = {name: value for name, value in more.items() if name in names}
    return Usage(at=at, requests=requests, quantities=counts, **rest)  # type: ignore[arg-type]


def texts(charge: Charge) -> dict[str, str]:
    """The dollars of each line, or why it has none."""
    return {line.meter: line.reason if line.usd is None else decimal_text(line.usd) for line in charge.lines}


def total(offer: Offer, **counts: object) -> str:
    usd = price_usage(used(**counts), offer).total_usd  # type: ignore[arg-type]
    assert usd is not None
    return decimal_text(usd)


# --- steps, minimums, brackets ----------------------------------------------------------------

STEPS = card("[offer.price.rates]\naudio_second = { amount = 0.36, minimum = 10, step = 4 }\n")


@pytest.mark.parametrize(
    ("seconds", "billed"),
    [("0.000001", 12), ("10", 12), ("12", 12), ("12.000001", 16), ("16", 16), ("17", 20)],
)
def test_minimum_then_step(seconds: str, billed: int) -> None:
    """At least ten seconds, then up to a multiple of four: ten is already twelve."""
    [line] = price_usage(used(audio_second=int(Decimal(seconds) * 10**6)), STEPS).lines
    assert line.billed == billed * 10**6
    assert line.usd == Fraction(billed) * Fraction("0.36") / 3600


def test_nothing_consumed_is_not_raised_to_the_minimum() -> None:
    assert price_usage(used(audio_second=0), STEPS).lines == ()


def test_brackets_are_marginal() -> None:
    offer = card(
        "[offer.price.rates]\n"
        "input = { brackets = [{ up_to = 100, amount = 1 }, { up_to = 300, amount = 2 }, { amount = 5 }] }\n"
    )
    assert total(offer, input=99) == "0.000099"  # 99 x 1
    assert total(offer, input=100) == "0.0001"
    assert total(offer, input=101) == "0.000102"  # 100 x 1 + 1 x 2
    assert total(offer, input=300) == "0.0005"  # 100 x 1 + 200 x 2
    assert total(offer, input=1000) == "0.004"  # 100 x 1 + 200 x 2 + 700 x 5


def test_brackets_take_factors_and_currency() -> None:
    offer = card(
        'currency = "CNY"\nusd = 0.14\n[offer.price.rates]\n'
        "input = { brackets = [{ up_to = 100, amount = 1 }, { amount = 2 }] }\n"
        '[[offer.price.rule]]\nwhen = { tier = "batch" }\nmultiply = 0.5\n'
    )
    assert total(offer, input=200, tier_served="batch") == "0.000021"  # (100 x 1 + 100 x 2) x 0.5 x 0.14 / 10^6


# --- free quotas ------------------------------------------------------------------------------


def test_a_free_quota_lasts_a_utc_day() -> None:
    offer = card('[offer.price.rates]\nweb_search = { amount = 10, free = { quantity = 5, per = "day" } }\n')
    evening = datetime(2026, 11, 4, 23, 59, 59, tzinfo=UTC)
    rows = [used(evening, web_search=3), used(evening, web_search=4), used(evening, web_search=1),
            used(evening + timedelta(seconds=1), web_search=4)]  # fmt: skip
    made = list(price_all((row, offer) for row in rows))
    # 3 free; 2 of 4 free, 2 at 10 a thousand; none left; a new day
    assert [texts(charge) for charge in made] == [
        {"web_search": "0"}, {"web_search": "0.02"}, {"web_search": "0.01"}, {"web_search": "0"},
    ]  # fmt: skip
    assert [line.billed for charge in made for line in charge.lines] == [0, 2, 1, 0]
    assert all(charge.total_usd is not None for charge in made)  # free is a stated zero
    # each on its own finds the quota untouched
    assert texts(price_usage(rows[1], offer)) == {"web_search": "0"}
    assert texts(price_usage(used(web_search=6), offer)) == {"web_search": "0.01"}


def test_months_and_ever() -> None:
    monthly = card('[offer.price.rates]\npage = { amount = 1000, free = { quantity = 5, per = "month" } }\n')
    ever = card('[offer.price.rates]\npage = { amount = 1000, free = { quantity = 5, per = "ever" } }\n')
    last = datetime(2026, 11, 30, 23, 0, tzinfo=UTC)
    rows = [used(last, page=5), used(last + timedelta(hours=2), page=5)]
    assert [texts(c)["page"] for c in price_all((row, monthly) for row in rows)] == ["0", "0"]
    assert [texts(c)["page"] for c in price_all((row, ever) for row in rows)] == ["0", "5"]


def test_meters_covered_by_one_rate_share_its_quota() -> None:
    """Audio without a price of its own is charged as input, and uses up the same free tokens."""
    offer = card('[offer.price.rates]\ninput = { amount = 1, free = { quantity = 100, per = "day" } }\n')
    [charge] = price_all([(used(input=80, input_audio=50), offer)])
    assert texts(charge) == {"input": "0", "input_audio": "0.00003"}  # 80 + 50 - 100 = 30


def test_a_group_shares_its_quota_between_offers() -> None:
    rate = '[offer.price.rates]\nweb_search = { amount = 10, free = { quantity = 5, per = "day", group = "g" } }\n'
    one, other = card(rate), card(rate)
    made = list(price_all([(used(web_search=4), one), (used(web_search=4), other)]))
    assert [texts(charge)["web_search"] for charge in made] == ["0", "0.03"]


# --- the least a request costs ----------------------------------------------------------------


def test_a_request_is_raised_to_the_minimum_charge() -> None:
    offer = card("minimum_usd = 0.01\n[offer.price.rates]\ninput = 1\n")
    made = price_usage(used(input=1000), offer)
    assert texts(made) == {"input": "0.001", "requests": "0.009"}
    assert made.lines[-1].note == "raised to the minimum charge"
    assert total(offer, input=1000) == "0.01"
    assert total(offer, input=10_000) == "0.01"
    assert total(offer, input=10_001) == "0.010001"
    assert texts(price_usage(used(input=1000, page=1), offer)) == {
        "input": "0.001", "page": "no price stated for page",
    }  # fmt: skip


def test_the_minimum_charge_is_in_dollars_whatever_the_currency() -> None:
    offer = card('currency = "CNY"\nusd = 0.14\nminimum_usd = 0.01\n[offer.price.rates]\ninput = 1\n')
    assert total(offer, input=1000) == "0.01"  # the tokens are 1,000 x 1 x 0.14 / 10^6 = 0.00014
    assert total(offer, input=100_000) == "0.014"  # 100,000 x 1 x 0.14 / 10^6


# --- reasoning --------------------------------------------------------------------------------


def test_reasoning_is_part_of_output() -> None:
    plain = card("[offer.price.rates]\noutput = 2\n")
    assert texts(price_usage(used(output=100, reasoning=40), plain)) == {"output": "0.0002"}  # 100 x 2
    own = card("[offer.price.rates]\noutput = 2\nreasoning = 8\n")
    made = price_usage(used(output=100, reasoning=40), own)
    assert texts(made) == {"output": "0.00012", "reasoning": "0.00032"}  # 60 x 2, 40 x 8
    assert texts(price_usage(used(output=40, reasoning=40), own)) == {"reasoning": "0.00032"}


def test_requests_have_a_line_only_where_they_have_a_price() -> None:
    offer = card("[offer.price.rates]\ninput = 1\nrequests = 12\n")
    assert texts(price_usage(used(input=100), offer)) == {"input": "0.0001", "requests": "0.012"}
    assert texts(price_usage(used(requests=5, input=100), offer)) == {"input": "0.0001", "requests": "0.06"}


# --- unknown, free, tiers, factors ------------------------------------------------------------


def test_unknown_is_not_zero_and_free_is_a_stated_zero() -> None:
    offer = card("[offer.price.rates]\ninput = 0\noutput = 1\n")
    made = price_usage(used(input=10, cache_read=5, output=3), offer)
    assert texts(made) == {"input": "0", "cache_read": "no price stated for cache_read", "output": "0.000003"}
    assert (made.total_usd, made.known_usd) == (None, Fraction(3, 10**6))
    assert [line.meter for line in made.unknown] == ["cache_read"]
    free = price_usage(used(input=10), offer)
    assert (free.total_usd, free.grade) == (0, Grade.VENDOR_STATED)
    before = price_usage(used(AT, input=10), card("valid_from = 2026-12-01\n[offer.price.rates]\ninput = 1\n"))
    assert (before.total_usd, before.lines, before.reason) == (None, (), "no price before 2026-12-01")
    assert before.grade is None


def test_what_was_served_decides_the_tier_and_one_that_nobody_stated_is_unknown() -> None:
    offer = card('[offer.price.rates]\ninput = 2\n[[offer.price.rule]]\nwhen = { tier = "flex" }\nmultiply = 0.5\n')
    assert total(offer, input=100, tier_served="default") == "0.0002"  # OpenAI's word for standard
    assert total(offer, input=100, tier_asked="flex") == "0.0001"
    assert total(offer, input=100, tier_asked="flex", tier_served="standard") == "0.0002"
    made = price_usage(used(input=100, tier_served="turbo"), offer)
    assert texts(made) == {"input": "no price stated for service tier 'turbo'"}


PRODUCT = card(
    "[offer.price.rates]\ninput = 1\ncache_write_1h = 2\n"
    '[[offer.price.rule]]\nwhen = { tier = "batch" }\nmultiply = 0.5\n'
    '[[offer.price.rule]]\nwhen = { regions = ["eu-*"] }\nmultiply = 1.1\nsource = "rumour"\n'
    "[[offer.price.rule]]\nwhen = { context = { over = 200 } }\nrates = { input = 2, cache_write_1h = 4 }\n"
    '[[offer.price.rule]]\nwhen = { tier = "batch", context = { over = 200 } }\nrates = { cache_write_1h = 2.4 }\n'
)


def test_products_of_conditions_and_an_explicit_override() -> None:
    long = {"input": 100, "cache_write_1h": 101}
    assert texts(price_usage(used(**long), PRODUCT)) == {"input": "0.0002", "cache_write_1h": "0.000404"}
    batch = price_usage(used(**long, tier_served="batch"), PRODUCT)
    assert texts(batch) == {
        "input": "0.0001",  # 100 x 2 x 0.5
        "cache_write_1h": "0.0002424",  # 101 x 2.4 as published, not 101 x 4 x 0.5
    }
    both = price_usage(used(**long, tier_served="batch", region="eu-1"), PRODUCT)
    assert texts(both) == {
        "input": "0.00011",  # 100 x 2 x 0.5 x 1.1
        "cache_write_1h": "0.00026664",  # 101 x 2.4 x 1.1: the override says nothing of regions
    }
    assert [len(line.modifiers) for line in both.lines] == [2, 1]
    assert (batch.grade, both.grade) == (Grade.VENDOR_STATED, Grade.ASSUMED)  # as good as the uplift's source


def test_factors_are_for_tokens_unless_meters_are_named() -> None:
    offer = card(
        '[offer.price.rates]\ninput = 1\nweb_search = 10\n[[offer.price.rule]]\nwhen = { tier = "batch" }\n'
        'multiply = 0.5\n[[offer.price.rule]]\nwhen = { tier = "deep" }\nmultiply = 3\nmeters = ["web_search"]\n'
    )
    assert texts(price_usage(used(input=10, web_search=1, tier_served="batch"), offer)) == {
        "input": "0.000005", "web_search": "0.01",
    }  # fmt: skip
    assert texts(price_usage(used(input=10, web_search=1, tier_served="deep"), offer)) == {
        "input": "0.00001", "web_search": "0.03",
    }  # fmt: skip


def test_a_factor_of_the_covering_meter_reaches_the_covered() -> None:
    offer = card('[offer.price.rates]\ninput = 1\n[[offer.price.rule]]\nwhen = { tier = "batch" }\nmultiply = 0.5\n'
                 'meters = ["input"]\n')  # fmt: skip
    assert texts(price_usage(used(input_audio=10, tier_served="batch"), offer)) == {"input_audio": "0.000005"}


def test_another_currency_at_its_stated_rate() -> None:
    offer = card('currency = "CNY"\nusd = 0.1404\n[offer.price.rates]\ninput = 2\n')
    assert total(offer, input=1_000_000) == "0.2808"


# --- rows that sum several requests -----------------------------------------------------------


def test_a_sum_of_requests_is_judged_by_its_mean_and_says_so() -> None:
    offer = card("[offer.price.rates]\ninput = 1\n[[offer.price.rule]]\nwhen = { context = { over = 100 } }\n"
                 "rates = { input = 2 }\n")  # fmt: skip
    low = price_usage(used(requests=2, input=200), offer)
    assert texts(low) == {"input": "0.0002"}  # 100 each: not over
    assert low.grade is Grade.ASSUMED  # one of the two may have been over
    certain = price_usage(used(requests=2, input=100), offer)
    assert certain.grade is Grade.VENDOR_STATED  # not even both together are
    assert texts(price_usage(used(requests=2, input=201), offer)) == {"input": "0.000201"}  # whole tokens: 100 each
    high = price_usage(used(requests=2, input=202), offer)
    assert texts(high) == {"input": "0.000404"}  # 101 each
    assert (high.grade, high.lines[0].note) == (Grade.ASSUMED, "context tier judged by the mean request")


def test_a_stated_range_of_lengths_decides_instead_of_the_mean() -> None:
    offer = card("[offer.price.rates]\ninput = 1\n[[offer.price.rule]]\nwhen = { context = { over = 200_000 } }\n"
                 "rates = { input = 2 }\n")  # fmt: skip
    for window, usd in (("0-200k", "0.001"), ("200k-1M", "0.002")):
        assert total(offer, requests=7, input=1000, attrs={"context_window": window}) == usd
    assert measures({"input": 10}, 4)["prompt"] == Fraction(5, 2)
    assert measures({"input": 10}, 1, "unheard of")["prompt"] == 10


def test_what_is_charged_request_by_request_is_unknown_of_a_sum() -> None:
    made = price_usage(used(requests=3, audio_second=30_000_000), STEPS)
    assert texts(made) == {"audio_second": "audio_second is charged request by request, and this row sums several"}
    least = card("minimum_usd = 0.01\n[offer.price.rates]\ninput = 1\n")
    assert texts(price_usage(used(requests=3, input=100), least)) == {
        "input": "0.0001", "requests": "each request has a minimum charge of its own",
    }  # fmt: skip


# --- times ------------------------------------------------------------------------------------


def test_completion_comes_from_the_latency_where_it_is_not_stated() -> None:
    assert facts_of(used(latency_s=90.0)).completed == AT + timedelta(seconds=90)
    assert facts_of(used(completed=AT + timedelta(hours=1), latency_s=90.0)).completed == AT + timedelta(hours=1)
    assert facts_of(used()).completed == AT


def test_another_instant_keeps_the_duration() -> None:
    offer = card(
        "[offer.price.rates]\ninput = 1\n[[offer.price.rule]]\n"
        'when = { time = { from = "13:00", to = "14:00", decides = "completion" } }\nmultiply = 2\n'
    )
    usage = used(input=1_000_000, completed=AT + timedelta(minutes=30))
    moments = (None, *(AT + timedelta(minutes=minutes) for minutes in (29, 30, 89, 90)))
    assert [price_usage(usage, offer, at=moment).total_usd for moment in moments] == [1, 1, 2, 2, 1]


# --- volume prices ----------------------------------------------------------------------------


def test_brackets_over_a_months_consumption() -> None:
    """The first 100 tokens of a month at 1, the rest at 0.5; each request starts where the last one ended."""
    offer = card("[offer.price.rates]\ninput = { brackets = [{ up_to = 100, amount = 1 }, { amount = 0.5 }], "
                 'brackets_per = "month" }\n')  # fmt: skip
    last = datetime(2026, 11, 30, 23, tzinfo=UTC)
    rows = [used(last, input=60), used(last, input=60), used(last, input=60),
            used(last + timedelta(hours=1), input=60)]  # fmt: skip
    assert [texts(charge)["input"] for charge in price_all((row, offer) for row in rows)] == [
        "0.00006",  # 60 x 1
        "0.00005",  # 40 x 1 + 20 x 0.5
        "0.00003",  # 60 x 0.5
        "0.00006",  # December
    ]
    assert texts(price_usage(rows[1], offer)) == {"input": "0.00006"}  # on its own it is the month's first


def test_brackets_that_offers_share() -> None:
    rate = ("[offer.price.rates]\ninput = { brackets = [{ up_to = 100, amount = 1 }, { amount = 0.5 }], "
            'brackets_per = "day", group = "g" }\n')  # fmt: skip
    made = list(price_all([(used(input=100), card(rate)), (used(input=100), card(rate))]))
    assert [texts(charge)["input"] for charge in made] == ["0.0001", "0.00005"]

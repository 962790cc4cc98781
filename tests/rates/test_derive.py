"""What provider rules add to a catalogue's offers, and what they leave alone."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest

from farthing.charges.reference import price_usage
from farthing.evidence import Grade
from farthing.rates.book import Book
from farthing.rates.card import Offer, Price
from farthing.rates.derive import with_rules
from farthing.rates.rules import batch_rule, batch_rules, caching_rule
from farthing.rates.select import Facts, Resolved, Unknown, index, price_at
from farthing.rates.toml import load_card
from farthing.usage.record import Usage

NOW = datetime(2026, 11, 4, 12, tzinfo=UTC)  # a Wednesday
HEAD = """
source.list = {{ title = "List", where = "list.pdf", seen = 2026-11-01, grade = "vendor-stated" }}
[[offer]]
provider = "{provider}"
model = "{model}"
[[offer.price]]
source = "list"
"""


def made(provider: str, model: str, rest: str) -> Offer:
    return with_rules(load_card(HEAD.format(provider=provider, model=model) + rest).offers[0])


def price(offer: Offer, at: datetime = NOW) -> Price:
    found = price_at(offer, at)
    assert isinstance(found, Price)
    return found


def per_million(offer: Offer, meter: str, at: datetime = NOW, **more: object) -> Decimal | str:
    """Dollars for a million, or the reason why it is unknown."""
    found = index(price(offer, at)).resolve(meter, Facts(at=at, completed=at, **more))  # type: ignore[arg-type]
    if isinstance(found, Unknown):
        return found.reason
    assert found.unit_usd is not None
    usd = found.unit_usd * 10**6
    return Decimal(usd.numerator) / Decimal(usd.denominator)


PLAIN = "[offer.price.rates]\ninput = 4\noutput = 20\n"


# --- cache prices -----------------------------------------------------------------------------


def test_cache_prices_are_multiples_of_the_input_price_with_the_rules_source() -> None:
    """Claude Opus 4.8's rule: read x0.1, write x1.25 for five minutes and x2 for an hour."""
    offer = made("anthropic", "claude-opus-4-8", PLAIN)
    assert per_million(offer, "cache_read") == Decimal("0.4")
    assert per_million(offer, "cache_write_5m") == 5
    assert per_million(offer, "cache_write_1h") == 8
    rule = caching_rule("anthropic", "claude-opus-4-8", NOW)
    assert rule is not None
    for rate in price(offer).rates:
        if rate.meter.startswith("cache_"):
            assert rate.source is not None
            assert rate.source.id == rule.source.id
            assert rate.source.grade == min(rule.source.grade, Grade.DERIVED)
            assert "by the provider's caching rule" in rate.note
        else:
            assert rate.source is None


def test_a_stated_cache_price_goes_before_the_rule() -> None:
    offer = made("anthropic", "claude-opus-4-8", PLAIN + "cache_read = 0.7\ncache_write = 6\n")
    assert per_million(offer, "cache_read") == Decimal("0.7")
    assert per_million(offer, "cache_write_5m") == 6  # covered by the stated default
    assert per_million(offer, "cache_write_1h") == 8  # 2 x 4: nobody stated it


def test_each_context_tier_has_its_own_cache_price() -> None:
    offer = made(
        "anthropic",
        "claude-opus-4-8",
        PLAIN + "[[offer.price.rule]]\nwhen = { context = { over = 200 } }\nrates = { input = 8 }\n",
    )
    assert per_million(offer, "cache_read", measures={"prompt": 200}) == Decimal("0.4")
    assert per_million(offer, "cache_read", measures={"prompt": 201}) == Decimal("0.8")


def test_nothing_is_added_where_nothing_is_cached_or_no_rule_is_known() -> None:
    assert per_million(made("openai", "gpt-4-turbo", PLAIN), "cache_read") == "no price stated for cache_read"
    assert per_million(made("nobody", "m", PLAIN), "cache_read") == "no price stated for cache_read"
    assert made("nobody", "m", PLAIN) == load_card(HEAD.format(provider="nobody", model="m") + PLAIN).offers[0]
    # writes of GPT-4o cost nothing extra and are not counted apart
    assert per_million(made("openai", "gpt-4o", PLAIN), "cache_write") == "no price stated for cache_write"
    assert per_million(made("openai", "gpt-4o", PLAIN), "cache_read") == 2  # x0.5


def test_the_rule_of_the_day_of_the_price() -> None:
    """OpenAI's caching began on 1 October 2024: a price of September has no cached kind."""
    before = made("openai", "gpt-4o", "valid_from = 2024-09-01\n" + PLAIN)
    after = made("openai", "gpt-4o", "valid_from = 2024-10-01\n" + PLAIN)
    assert per_million(before, "cache_read") == "no price stated for cache_read"
    assert per_million(after, "cache_read") == 2


# --- batch ------------------------------------------------------------------------------------


def test_a_batch_is_half_price_and_graded_derived_at_best() -> None:
    offer = made("anthropic", "claude-opus-4-8", PLAIN)
    assert per_million(offer, "input", tier="batch") == 2
    assert per_million(offer, "output", tier="batch") == 10
    assert per_million(offer, "cache_read", tier="batch") == Decimal("0.2")  # both discounts
    assert per_million(offer, "input") == 4
    [modifier] = [m for m in price(offer).modifiers if m.when.tier == "batch"]
    rule = batch_rule("anthropic", "claude-opus-4-8", NOW)
    assert rule is not None and modifier.source is not None
    assert (modifier.source.id, modifier.source.grade) == (rule.source.id, min(rule.source.grade, Grade.DERIVED))


def test_only_where_no_batch_tier_is_stated() -> None:
    stated = '[[offer.price.rule]]\nwhen = { tier = "batch" }\nrates = { input = 1 }\n'
    offer = made("anthropic", "claude-opus-4-8", PLAIN + stated)
    assert [m for m in price(offer).modifiers if m.when.tier] == []
    assert per_million(offer, "input", tier="batch") == 1
    assert per_million(offer, "output", tier="batch") == 20  # as the list states it
    images = made("openai", "gpt-image-1", "[offer.price.rates]\nimage = 0.04\n")
    assert price(images).modifiers == ()  # nothing in it is charged by the token


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2024-10-07", "no price stated for service tier 'batch'"),
        ("2024-10-08", Decimal(2)),
        ("2026-11-04", Decimal(2)),
    ],
)
def test_within_the_rules_dates(at: str, expected: Decimal | str) -> None:
    """Anthropic's batches began on 8 October 2024."""
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    assert per_million(made("anthropic", "claude-3-opus", PLAIN), "input", moment, tier="batch") == expected


@pytest.mark.parametrize(("at", "factor"), [("2025-04-30", "0.75"), ("2025-05-01", "0.5"), ("2026-11-04", "0.5")])
def test_the_first_rule_of_each_period_applies_once(at: str, factor: str) -> None:
    """Groq took 25 % off until May 2025, 50 % since; GPT-OSS has a rule of its own since October 2026."""
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    for model in ("llama-3.3-70b-versatile", "openai/gpt-oss-120b"):
        assert per_million(made("groq", model, PLAIN), "input", moment, tier="batch") == 4 * Decimal(factor)


def test_a_cached_token_keeps_its_price_where_discounts_do_not_stack() -> None:
    offer = made("google", "gemini-2.5-pro", PLAIN)
    assert per_million(offer, "cache_read") == Decimal("0.4")
    assert per_million(offer, "cache_read", tier="batch") == Decimal("0.4")
    assert per_million(offer, "input", tier="batch") == 2


def test_rules_of_one_model_are_ordered_by_their_periods() -> None:
    """The first rule in the file counts; among factors the narrowest does. The two agree while an earlier
    rule's period lies inside a later one's, or apart from it."""
    early, late = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    by_provider: dict[str, list[tuple[datetime, datetime]]] = {}
    for rule in batch_rules():
        by_provider.setdefault(rule.provider, []).append((rule.valid_from or early, rule.valid_to or late))
    assert sum(len(spans) > 1 for spans in by_provider.values()) >= 3
    for spans in by_provider.values():
        for first, second in pairwise(spans):
            apart = first[1] <= second[0] or second[1] <= first[0]
            assert apart or (second[0] <= first[0] and first[1] <= second[1]), spans


# --- completion -------------------------------------------------------------------------------


@pytest.mark.parametrize(("provider", "decides"), [("deepseek", "completion"), ("moonshotai", "start")])
def test_completion_decides_at_deepseek(provider: str, decides: str) -> None:
    night = '{ time = { from = "16:30", to = "00:30" } }'
    offer = made(
        provider,
        "m",
        PLAIN
        + f"[[offer.price.rule]]\nwhen = {night}\nrates = {{ input = 1 }}\n"
        + f"[[offer.price.rule]]\nwhen = {night}\nmultiply = 0.5\nmeters = ['output']\n",
    )
    found = price(offer)
    windows = [w.when.window for w in (*found.rates, *found.modifiers) if w.when.window is not None]
    assert len(windows) == 2
    assert {window.decides for window in windows} == {decides}
    late = Facts(at=NOW.replace(hour=16), completed=NOW.replace(hour=17))
    resolved = index(found).resolve("input", late)
    assert isinstance(resolved, Resolved)
    assert resolved.rate.amount == (1 if decides == "completion" else 4)


def test_inference_kept_in_a_region_costs_a_tenth_more_where_the_provider_says_so() -> None:
    def cost(name: str, region: str | None, tier: str = "standard") -> object:
        usage = Usage(at=datetime(2026, 11, 1, tzinfo=UTC), quantities={"input": 1_000_000}, region=region,
                      tier_served=tier)  # fmt: skip
        return price_usage(usage, Book().find(name)).total_usd

    assert cost("anthropic/claude-opus-4-8", "us") == Fraction("5.5")  # 5 x 1.1
    assert cost("anthropic/claude-opus-4-8", "us", "batch") == Fraction("2.75")  # 2.5 x 1.1
    assert cost("anthropic/claude-opus-4-8", "global") == cost("anthropic/claude-opus-4-8", None) == 5
    assert cost("anthropic/claude-opus-4-5", "us") == 5  # the parameter came with Opus 4.6

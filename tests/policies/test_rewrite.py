"""Rewrites keep sums: what is read stays read, what is written stays written."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.charges.bill import Quantities, Rewrite
from farthing.policies.rewrite import carry_over, chain, in_batch, stretched, uncached
from farthing.rates.book import Book
from farthing.rates.card import Offer, Price
from farthing.rates.select import Facts, Resolved, index, price_at
from farthing.rates.toml import load_card
from farthing.units import METERS, PROMPT_METERS, TOKEN_METERS

NOW = datetime(2026, 11, 4, 12, tzinfo=UTC)
BOOK = Book()
HEAD = """
source.acme = { title = "Acme", where = "acme.pdf", seen = 2026-11-01, grade = "vendor-stated" }
[[offer]]
provider = "acme"
model = "m"
[[offer.price]]
source = "acme"
[offer.price.rates]
"""


def price(rates: str) -> Price:
    return load_card(HEAD + rates).offers[0].prices[0]


def facts(tier: str = "standard") -> Facts:
    return Facts(at=NOW, completed=NOW, tier=tier)


OFFERS = [
    "openai/gpt-4o", "openai/gpt-5.6", "anthropic/claude-opus-4-8", "google/gemini-2.5-pro", "deepseek/deepseek-v4-pro",
    "groq/llama-3.3-70b-versatile", "x-ai/grok-4.3", "mistral/mistral-medium-latest", "aws/amazon.nova-pro-v1:0",
]  # fmt: skip


def book_price(name: str) -> Price:
    offer = BOOK.lookup(*name.split("/", 1))
    found = price_at(offer, NOW) if isinstance(offer, Offer) else None
    assert isinstance(found, Price), name
    return found


PRICES = [book_price(name) for name in OFFERS if isinstance(BOOK.lookup(*name.split("/", 1)), Offer)]
counts = st.dictionaries(st.sampled_from(sorted(METERS)), st.integers(0, 10**9), max_size=8)
tiers = st.sampled_from(["standard", "batch", "flex", "priority", "unheard-of"])


def prompt_by_modality(quantities: Quantities) -> dict[str, int | Fraction]:
    sums: dict[str, int | Fraction] = {}
    for name, quantity in quantities.items():
        if name in PROMPT_METERS and quantity:
            sums[METERS[name].modality] = sums.get(METERS[name].modality, 0) + quantity
    return sums


def everything_else(quantities: Quantities) -> dict[str, int | Fraction]:
    return {name: n for name, n in quantities.items() if name not in PROMPT_METERS and n}


def test_the_prices_are_of_the_book() -> None:
    assert len(PRICES) >= 7


@pytest.mark.parametrize("rewrite", [carry_over, uncached, in_batch, chain(carry_over, None, uncached, in_batch)])
@settings(deadline=None, max_examples=100)
@given(counts, tiers, st.sampled_from(PRICES))
def test_prompt_and_output_are_conserved(rewrite: Rewrite, stated: dict[str, int], tier: str, at: Price) -> None:
    """Of text, audio, image and video each; and all that is not read is left as it was."""
    moved, _ = rewrite(stated, facts(tier), at)
    assert prompt_by_modality(moved) == prompt_by_modality(stated)
    assert everything_else(moved) == everything_else(stated)
    assert all(quantity >= 0 for quantity in moved.values())


@settings(deadline=None, max_examples=100)
@given(counts, st.sampled_from(PRICES))
def test_carry_over_to_the_own_offer_changes_nothing(stated: dict[str, int], at: Price) -> None:
    known = {n: c for n, c in stated.items() if isinstance(index(at).resolve(n, facts()), Resolved)}
    assert carry_over(known, facts(), at) == (known, facts())


@settings(deadline=None, max_examples=100)
@given(counts, tiers, st.sampled_from(PRICES))
def test_carry_over_twice_is_carry_over_once(stated: dict[str, int], tier: str, at: Price) -> None:
    once = carry_over(stated, facts(tier), at)
    assert carry_over(*once, at) == once


def test_where_cached_tokens_go() -> None:
    usage = {"input": 1, "cache_read": 10, "cache_write_5m": 100, "cache_write_1h": 1000, "output": 5}
    plain = price("input = 1\noutput = 1")
    assert carry_over(usage, facts(), plain)[0] == {"input": 1111, "output": 5}
    reads = price("input = 1\ncache_read = 0.1\noutput = 1")
    assert carry_over(usage, facts(), reads)[0] == {"input": 1101, "cache_read": 10, "output": 5}
    half_hour = price("input = 1\ncache_read = 0.1\ncache_write_30m = 1.25\noutput = 1")
    assert carry_over(usage, facts(), half_hour)[0] == {
        "input": 1, "cache_read": 10, "cache_write_30m": 1100, "output": 5,
    }  # fmt: skip
    both = price("input = 1\ncache_read = 0.1\ncache_write_5m = 1.25\ncache_write_1h = 2\noutput = 1")
    assert carry_over(usage, facts(), both)[0] == usage


def test_explicit_reads_and_other_modalities() -> None:
    reads = price("input = 1\ncache_read = 0.1\noutput = 1")
    # A cached audio token is charged as a cached token where nothing more is stated (`covered_by`).
    assert carry_over({"cache_read_explicit": 7, "cache_read_audio": 3}, facts(), reads)[0] == {
        "cache_read_explicit": 7, "cache_read_audio": 3,
    }  # fmt: skip
    plain = price("input = 1")
    assert carry_over({"cache_read_explicit": 7, "cache_read_audio": 3, "cache_write_video": 2}, facts(), plain)[0] == {
        "input": 7, "input_audio": 3, "input_video": 2,
    }  # fmt: skip
    assert uncached({"cache_read_audio": 3, "input_audio": 4, "cache_read": 5}, facts(), plain)[0] == {
        "input_audio": 7, "input": 5,
    }  # fmt: skip


def test_a_tier_that_is_not_offered_becomes_the_standard_one() -> None:
    plain = price("input = 1")
    flex = price("input = 1\n[[offer.price.rule]]\nwhen = { tier = 'flex' }\nmultiply = 0.5")
    assert carry_over({"input": 1}, facts("flex"), plain)[1].tier == "standard"
    assert carry_over({"input": 1}, facts("flex"), flex)[1].tier == "flex"
    assert in_batch({"input": 1}, facts("flex"), flex)[1].tier == "batch"


# --- stretched --------------------------------------------------------------------------------


def test_another_tokenizer_and_another_length_of_answers() -> None:
    before = Facts(at=NOW, completed=NOW, measures={"prompt": 110, "input": 100, "output": 40, "web_search": 2})
    usage = {"input": 100, "cache_read": 10, "output": 40, "reasoning": 8, "web_search": 2, "audio_second": 5}
    moved, after = stretched(Fraction("1.2"), Fraction(3))(usage, before, price("input = 1"))
    assert moved == {
        "input": 120, "cache_read": 12,
        "output": 144, "reasoning": Fraction("28.8"),  # 40 x 1.2 x 3, 8 x 1.2 x 3
        "web_search": 2, "audio_second": 5,  # no tokens
    }  # fmt: skip
    assert after.measures == {"prompt": 132, "input": 120, "output": 144, "web_search": 2}


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(counts, st.fractions(Fraction(1, 9), 9), st.fractions(Fraction(1, 9), 9))
def test_stretching_and_stretching_back(stated: dict[str, int], tokens: Fraction, answers: Fraction) -> None:
    at = PRICES[0]
    there, seen = stretched(tokens, answers)(stated, facts(), at)
    assert sum(there.get(name, 0) for name in PROMPT_METERS) == tokens * sum(stated.get(n, 0) for n in PROMPT_METERS)
    assert stretched(1 / tokens, 1 / answers)(there, seen, at)[0] == stated
    outputs = [n for n in TOKEN_METERS if METERS[n].direction == "output"]
    assert sum(there.get(n, 0) for n in outputs) == tokens * answers * sum(stated.get(n, 0) for n in outputs)


def test_a_chain_runs_in_order() -> None:
    """Stretched first, then judged: 100 tokens become 130 there, over the step at 120."""
    stepped = price(
        "input = 1\ncache_read = 0.1\n[[offer.price.rule]]\nwhen = { context = { over = 120 } }\nrates = { input = 3 }"
    )
    whole = chain(stretched(Fraction("1.3"), Fraction(1)), None, uncached)
    quantities, seen = whole(
        {"cache_read": 100}, Facts(at=NOW, completed=NOW, measures={"prompt": 100, "cache_read": 100}), stepped
    )
    assert quantities == {"input": 130}
    found = index(stepped).resolve("input", seen)
    assert isinstance(found, Resolved) and found.rate.amount == Decimal(3)
    assert chain()({"input": 1}, facts(), stepped) == ({"input": 1}, facts())

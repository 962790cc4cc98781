"""What an answer costs: cache writes and reads, tiers, long contexts, names of models. Figures of the reports."""

import json
from fractions import Fraction
from typing import Any

import pytest

from farthing.gateway.metering import Served, Surface, read_response
from farthing.gateway.spending.costs import Costs, Priced
from farthing.ledger.view import open_view
from farthing.rates.book import Book
from tests.gateway.faulty import Upstream
from tests.gateway.real_failures.asking import CHAT, ask, bearer, chat, fresh, said
from tests.gateway.running import Running

NOW = 1_795_000_000_000_000  # November 2026


@pytest.fixture(scope="module")
def book() -> Costs:
    return Costs(Book())


def cost(book: Costs, provider: str, model: str, tier: str, quantities: dict[str, int], asked: str = "") -> Priced:
    """The charge of an answer that was asked for at the priority tier and served at `tier`."""
    served = Served(quantities=quantities, model=model, tier=tier)
    return book.price(
        served, provider=provider, model_asked=asked or model, started_us=NOW, ended_us=NOW, tier_asked="priority"
    )


STANDARD = "standard"


@pytest.mark.parametrize(("model", "quantities", "usd"), [
    # LiteLLM #9812: 12,304 tokens written to the cache were charged as input as well: $0.091311 for $0.054399.
    ("claude-3-7-sonnet-20250219", {"input": 3, "cache_write_5m": 12304, "output": 550}, "0.054399"),
    # Bifrost #3451: the same in streams: $1.85984625 for 6 x $5 + 159,217 x $6.25 + 2,745 x $25.
    ("claude-opus-4-7", {"input": 6, "cache_write_5m": 159_217, "output": 2745}, "1.06376125"),
    # pi #5738, ccusage #899, ccstats #86, claude-usage #162: an hour's writes cost twice the input, not 1.25 times:
    # 0.6 x $6.25 + 0.4 x $10 a million.
    ("claude-opus-4-8", {"cache_write_5m": 600_000, "cache_write_1h": 400_000}, "7.75"),
    # LiteLLM #11364: 98,805 prompt tokens, of which 66,360 read and 32,435 written: $0.04708 was shown for
    # 10 x $5 + 66,360 x $0.50 + 32,435 x $6.25 + 5,120 x $25.
    ("claude-opus-4-5-20251101", {"input": 10, "cache_read": 66_360, "cache_write_5m": 32_435, "output": 5120},
     "0.36394875"),
    # LiteLLM #11789: 2,455 cached tokens at the full rate: 4 x $3 + 2,455 x $0.30 + 23 x $15.
    ("claude-sonnet-4-5", {"input": 4, "cache_read": 2455, "output": 23}, "0.0010935"),
    # LiteLLM #10846, #31355, pydantic-ai #8088: searches ($10 a thousand) were left out: 100 x $3 + 10 x $15 + 3 x 1 c.
    ("claude-sonnet-4-5", {"input": 100, "output": 10, "web_search": 3}, "0.03045"),
    # Helicone #5765, LiteLLM #30207, openscience #121: which price a long context has depends on all that was read,
    # cached or not; 200,000 exactly is not over 200,000 …
    ("claude-sonnet-4-5", {"input": 1000, "cache_read": 199_000, "output": 100}, "0.0642"),
    # … and one more is: 1,000 x $6 + 199,001 x $0.60 + 100 x $22.50.
    ("claude-sonnet-4-5", {"input": 1000, "cache_read": 199_001, "output": 100}, "0.1276506"),
    # Helicone #5766, #5779: writes stayed at the short price: 1,000 x $6 + 199,001 x $7.50 + 100 x $22.50.
    ("claude-sonnet-4-5", {"input": 1000, "cache_write_5m": 199_001, "output": 100}, "1.5007575"),
])  # fmt: skip
def test_claude(book: Costs, model: str, quantities: dict[str, int], usd: str) -> None:
    assert cost(book, "anthropic", model, STANDARD, quantities).usd == Fraction(usd)


@pytest.mark.parametrize(("model", "tier", "quantities", "usd"), [
    # LiteLLM #37046: priority was accepted and priced as default; its figures.
    ("gpt-4o-mini", "priority", {"input": 9, "output": 2}, "0.00000425"),
    ("gpt-4o", "priority", {"input": 9, "output": 1}, "0.00005525"),
    ("gpt-4o-2024-08-06", "priority", {"input": 9, "output": 1}, "0.00005525"),
    ("gpt-4.1", "priority", {"input": 9, "output": 1}, "0.0000455"),
    ("gpt-4.1-mini", "priority", {"input": 9, "output": 1}, "0.0000091"),
    # LiteLLM #31837: priority was asked for, default was served: default is billed.
    ("gpt-4o-mini", "default", {"input": 9, "output": 2}, "0.00000255"),
    # LiteLLM #13810: flex is half: 1,000 x $0.025 + 1,000 x $0.20 a million.
    ("gpt-5-nano", "flex", {"input": 1000, "output": 1000}, "0.000225"),
    # CodexBar #895, LiteLLM #40002: over 272K all of it costs more, also where most of it was cached:
    # 72,001 x $5 + 200,000 x $0.50 + 1,000 x $22.50.
    ("gpt-5.4", "default", {"input": 72_001, "cache_read": 200_000, "output": 1000}, "0.482505"),
    ("gpt-5.4", "default", {"input": 72_000, "cache_read": 200_000, "output": 1000}, "0.245"),
])  # fmt: skip
def test_openai(book: Costs, model: str, tier: str, quantities: dict[str, int], usd: str) -> None:
    assert cost(book, "openai", model, tier, quantities).usd == Fraction(usd)


def test_a_tier_without_a_price_is_unknown_and_not_the_standard_one(book: Costs) -> None:
    """Langfuse #13780: whatever tier was served, the standard price was shown."""
    found = cost(book, "openai", "gpt-4o-mini", "flex", {"input": 9})
    assert found.usd is None and "flex" in found.unknown


@pytest.mark.parametrize("tier", ["on_demand", "auto", "default", ""])
def test_names_of_the_usual_tier(book: Costs, tier: str) -> None:
    """Groq says "on_demand" for what others call default; an unknown word for it must not make the price unknown."""
    found = book.price(
        Served(quantities={"input": 1000}, model="openai/gpt-oss-120b", tier=tier), provider="groq",
        model_asked="openai/gpt-oss-120b", started_us=NOW, ended_us=NOW,
    )  # fmt: skip
    assert found.usd == Fraction("0.00015")


def test_gemini_over_200k(book: Costs) -> None:
    """LiteLLM #11017, #11049: over 200K, also of what was cached: 1,000 x $2.50 + 200,000 x $0.25 + 1,000 x $15."""
    found = cost(book, "google", "gemini-2.5-pro", STANDARD, {"input": 1000, "cache_read": 200_000, "output": 1000})
    assert found.usd == Fraction("0.0675")
    assert cost(book, "google", "gemini-2.5-pro", STANDARD, {"input": 200_000}).usd == Fraction("0.25")


def test_images_are_not_text(book: Costs) -> None:
    """LiteLLM #17410, claude-code-hub #663: an image of 1,120 tokens was priced at the text's $12 a million, not $120:
    10 x $2 + 225 x $12 + 1,120 x $120."""
    parts = {"reasoning_tokens": 225, "text_tokens": 0, "image_tokens": 1120}
    usage = {"completion_tokens": 1345, "prompt_tokens": 10, "total_tokens": 1355, "completion_tokens_details": parts}
    found = read_response(Surface.CHAT, "google", json.dumps({"id": "c", "usage": usage}).encode())
    charge = cost(book, "google", "gemini-3-pro-image-preview", STANDARD, dict(found.quantities))
    assert charge.usd == Fraction("0.13712")


@pytest.mark.parametrize(("provider", "served", "asked", "known"), [
    ("openai", "gpt-4o-mini-2031-01-01", "gpt-4o-mini", True),  # LiteLLM #35762: a new snapshot was priced at nothing
    ("azure", "gpt-4o-mini-2031-01-01", "gpt-4o-mini", True),
    ("openai", "ft:gpt-4o-mini-2024-07-18:acme::x", "ft:gpt-4o-mini-2024-07-18:acme::x", True),
    ("openai", "ft:gpt-77:acme::x", "gpt-4o-mini", False),
    ("anthropic", "claude-opus-4.1", "claude-opus-4.1", True),  # nika #1368: a dot for a dash, and $0
    ("anthropic", "claude-opus-4_1", "claude-opus-4_1", False),
    ("openai", "gpt-4o-mini-super", "gpt-4o-mini", False),  # another model is not a version of it
])  # fmt: skip
def test_names(book: Costs, provider: str, served: str, asked: str, known: bool) -> None:
    """Names that no list has are priced as what they are versions of, or unknown: never at nothing."""
    found = cost(book, provider, served, STANDARD, {"input": 1000}, asked)
    assert (found.usd is not None) == known and (known or found.unknown)
    assert found.usd != 0


def test_a_fine_tuned_model_is_not_priced_as_its_base(book: Costs) -> None:
    """Fine-tuned names were stripped to the base model's, which costs half: gpt-4o-mini, $0.30 and $1.20 a million."""
    million = {"input": 10**6, "output": 10**6}
    found = cost(book, "openai", "ft:gpt-4o-mini-2024-07-18:acme::x", STANDARD, million)
    assert found.usd == Fraction("1.5")


def test_an_alias_is_priced_as_what_was_served(gateway: Running, upstream: Upstream) -> None:
    """LiteLLM #38578: a size in an alias's name decided the price; #38069: an alias with a slash cost $0."""
    told = ask(gateway, CHAT, said("[[words=10 prompt=100]]", "team/chat-70b"))
    assert told.row.usd == Fraction(100 * 150 + 10 * 600, 10**9) and told.json["model"] == "gpt-4o-mini"


def test_what_the_provider_says_it_cost_is_kept_beside_ours(keyed: Running, upstream: Upstream) -> None:
    """OpenRouter states the cost; gateways took the one or the other, and nobody saw that they differed."""
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110, "cost": 0.00123}
    fresh(upstream).reply(chat(model="vendor/mystery", usage=usage))
    told = ask(keyed, CHAT, said(model="vendor/mystery"), bearer(keyed.key("reported")[1]))
    assert told.row.usd is None and told.headers["x-farthing-cost-unknown"]
    with open_view(keyed.data) as view:
        stated = view.connection.execute("SELECT reported_usd FROM attempts WHERE reported_usd IS NOT NULL").fetchall()
    assert [Fraction(value) for (value,) in stated] == [Fraction("0.00123")]


@pytest.mark.parametrize(("provider", "usage", "expected"), [
    # DeepSeek's own names for the cache; LiteLLM and aider charged hits at the full rate.
    ("deepseek", {"prompt_tokens": 100, "completion_tokens": 9, "total_tokens": 109, "prompt_cache_hit_tokens": 64,
                  "prompt_cache_miss_tokens": 36}, {"input": 36, "cache_read": 64, "output": 9}),
    # Moonshot states cached tokens beside the rest.
    ("moonshot", {"prompt_tokens": 100, "completion_tokens": 9, "total_tokens": 109, "cached_tokens": 40},
     {"input": 60, "cache_read": 40, "output": 9}),
    # xAI counts reasoning beside the completion; the total tells (LiteLLM, several).
    ("xai", {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135, "prompt_tokens_details":
             {"cached_tokens": 6}, "completion_tokens_details": {"reasoning_tokens": 94}},
     {"input": 26, "cache_read": 6, "output": 103, "reasoning": 94}),
    # deepeval #2943, hermes-agent #48712, ai-tally #376: Gemini's thoughts are output and were left out.
    ("google", {"prompt_tokens": 4, "completion_tokens": 150, "total_tokens": 8154},
     {"input": 4, "output": 8150, "reasoning": 8000}),
    # headroom #2639: … and where the candidates contain them already, they are not added again.
    ("google", {"prompt_tokens": 4, "completion_tokens": 150, "total_tokens": 154, "completion_tokens_details":
                {"reasoning_tokens": 90}}, {"input": 4, "output": 150, "reasoning": 90}),
    # edutelligence #892, browser-use #5305: parts of a sum were charged beside it.
    ("custom", {"prompt_tokens": 2000, "completion_tokens": 10, "total_tokens": 2010, "prompt_tokens_details":
                {"cached_tokens": 500, "cache_write_tokens": 300},
                "completion_tokens_details": {"reasoning_tokens": 7}},
     {"input": 1200, "cache_read": 500, "cache_write": 300, "output": 10, "reasoning": 7}),
    # LiteLLM #11364: Anthropic's names in OpenAI's shape, as another gateway says it: contained, not beside.
    ("litellm", {"prompt_tokens": 98_805, "completion_tokens": 5120, "total_tokens": 103_925,
                 "cache_read_input_tokens": 66_360, "cache_creation_input_tokens": 32_435, "prompt_tokens_details":
                 {"cached_tokens": 66_360, "cache_creation_tokens": 32_435, "text_tokens": None}},
     {"input": 10, "cache_read": 66_360, "cache_write_5m": 32_435, "output": 5120}),
    # Counts as text, as fractions of zero, and nulls among them.
    ("custom", {"prompt_tokens": "12", "completion_tokens": 5.0, "total_tokens": None, "prompt_tokens_details": None},
     {"input": 12, "output": 5}),
])  # fmt: skip
def test_what_providers_mean_by_their_usage(provider: str, usage: dict[str, Any], expected: dict[str, int]) -> None:
    found = read_response(Surface.CHAT, provider, json.dumps({"id": "c", "usage": usage}).encode())
    assert dict(found.quantities) == expected and not found.estimated


@pytest.mark.parametrize("usage", [
    {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 11}},  # more than all
    {"prompt_tokens": -1, "completion_tokens": 5}, {"prompt_tokens": 1.5, "completion_tokens": 5},
    {"prompt_tokens": 10**18, "completion_tokens": 1}, {"prompt_tokens": True, "completion_tokens": []},
])  # fmt: skip
def test_usage_that_cannot_be_true_is_never_priced_as_it_stands(usage: dict[str, Any]) -> None:
    """Allenai #11, openscience #121: a cache larger than its prompt made negative counts and credits."""
    body = json.dumps({"id": "c", "usage": usage, "choices": [{"message": {"content": "word"}}]}).encode()
    found = read_response(Surface.CHAT, "custom", body)
    assert found.unknown and all(count >= 0 for count in found.quantities.values())


def test_the_searches_that_openai_bills_are_those_it_states() -> None:
    """Bifrost #7306: searches were counted by output items, of which some (opening a page) are not billed."""
    body = {
        "id": "r", "status": "completed", "model": "gpt-5", "usage": {"input_tokens": 10, "output_tokens": 5},
        "output": [{"type": "web_search_call", "action": {"type": kind}} for kind in ("search", "open_page", "find")],
    }  # fmt: skip
    assert read_response(Surface.RESPONSES, "openai", json.dumps(body).encode()).quantities["web_search"] == 1

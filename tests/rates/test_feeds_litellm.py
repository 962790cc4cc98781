"""The importer of LiteLLM's price file: made-up entries for every construct of the format."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from farthing.rates.card import Free, Offer, Price
from farthing.rates.feeds import litellm
from farthing.rates.feeds.base import Imported
from farthing.rates.feeds.litellm_keys import meter_of, parse_key, states_no_price
from farthing.rates.feeds.litellm_names import name_of
from farthing.rates.select import Facts, Resolved, ambiguous, index
from farthing.units import METERS

D = Decimal
MONDAY = datetime(2026, 11, 16, 12, tzinfo=UTC)


def read(**entries: dict[str, Any]) -> Imported:
    return litellm.read(json.dumps(entries).encode(), "prices.json")


def one(name: str = "m", /, **stated: Any) -> Offer:
    stated = {"litellm_provider": "openai", "mode": "chat", **stated}
    found = read(**{name: stated})
    assert found.not_expressed == []
    (offer,) = found.offers
    assert ambiguous(offer.prices[0].rates) is None
    return offer


def rate(
    offer: Offer, meter: str, *, prompt: int = 0, tier: str = "standard", at: datetime = MONDAY, **attrs: str
) -> Decimal | None:
    facts = Facts(at=at, completed=at, tier=tier, attrs=frozenset(attrs.items()), measures={"prompt": prompt})
    found = index(offer.prices[0]).resolve(meter, facts)
    return found.rate.amount if isinstance(found, Resolved) else None


def price_of(offer: Offer) -> Price:
    (price,) = offer.prices
    return price


# --- keys ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "mode", "meter", "times"),
    [
        ("input_cost_per_token", "chat", "input", 10**6),
        ("output_cost_per_reasoning_token_flex", "chat", "reasoning", 10**6),
        ("cache_read_input_audio_token_cost_batches", "chat", "cache_read_audio", 10**6),
        ("cache_creation_input_token_cost", "chat", "cache_write", 10**6),
        ("cache_creation_input_token_cost_above_1hr_above_272k_tokens_priority", "chat", "cache_write_1h", 10**6),
        ("cache_creation_input_token_cost_above_12hr", "chat", "cache_write_12h", 10**6),
        ("explicit_cache_read_input_token_cost", "chat", "cache_read_explicit", 10**6),
        ("input_cost_per_token_cache_hit", "chat", "cache_read", 10**6),
        ("output_cost_per_image_token", "chat", "output_image", 10**6),
        ("citation_cost_per_token", "chat", "output_citation", 10**6),
        ("computer_use_output_cost_per_1k_tokens", "chat", "output", 1000),
        ("input_cost_per_character_above_128k_tokens", "chat", "character", 10**6),
        ("input_cost_per_audio_per_second", "embedding", "input_audio_second", 3600),
        ("input_cost_per_second", "audio_transcription", "input_audio_second", 3600),
        ("output_cost_per_second", "audio_speech", "output_audio_second", 3600),
        ("output_cost_per_second_1080p", "video_generation", "video_second", 1),
        ("input_cost_per_second", "realtime", "audio_second", 3600),
        ("input_cost_per_second", "chat", "compute_second", 1),
        ("input_cost_per_query", "rerank", "rerank_search", 1000),
        ("input_cost_per_query", "search", "query", 1),
        ("input_cost_per_image", "image_generation", "image", 1),
        ("input_cost_per_image", "embedding", "input_image_count", 1),
        ("input_cost_per_pixel", "image_generation", "pixel", 10**9),
        ("input_cost_per_request", "chat", "requests", 1000),
        ("ocr_cost_per_page_batches", "ocr", "page", 1000),
        ("ocr_cost_per_credit", "ocr", "credit", 1),
        ("google_maps_grounding_cost_per_query", "chat", "maps_search", 1000),
        ("file_search_cost_per_1k_calls", "chat", "file_search", 1),
        ("vector_store_cost_per_gb_per_day", "chat", "storage_gb_day", 1),
        ("code_interpreter_cost_per_session", "chat", "code_session", 1),
    ],
)
def test_what_a_key_prices_and_at_which_scale(key: str, mode: str, meter: str, times: int) -> None:
    parsed = parse_key(key)
    assert parsed is not None
    assert meter_of(parsed, mode, [key]) == (meter, times)
    assert meter in METERS


@pytest.mark.parametrize(
    ("key", "tier", "above", "attrs"),
    [
        ("input_cost_per_token_batches", "batch", None, {}),
        ("input_cost_per_token_above_200k_tokens_priority", "priority", 200_000, {}),
        ("input_cost_per_token_priority_above_200k_tokens", "priority", 200_000, {}),
        ("input_cost_per_token_above_128_tokens", None, 128, {}),
        ("output_cost_per_token_ultrafast", "ultrafast", None, {}),
        ("output_cost_per_token_decisions", "decisions", None, {}),
        ("output_cost_per_second_4k", None, None, {"resolution": "4k"}),
        ("output_cost_per_image_0.5K", None, None, {"size": "0.5K"}),
        ("output_cost_per_image_1536", None, None, {"size": "1536"}),
        ("output_cost_per_image_high_quality", None, None, {"quality": "high"}),
        ("output_cost_per_image_premium_image", None, None, {"quality": "premium"}),
        (
            "output_cost_per_image_above_512_and_512_pixels_and_premium_image",
            None, None, {"size": "above 512x512", "quality": "premium"},
        ),
        ("input_cost_per_video_per_second_above_8s_interval", None, None, {"interval": "above 8s"}),
        ("file_search_cost_per_gb_per_day", None, None, {"use": "file_search"}),
    ],
)  # fmt: skip
def test_the_conditions_in_a_key(key: str, tier: str | None, above: int | None, attrs: dict[str, str]) -> None:
    parsed = parse_key(key)
    assert parsed is not None
    assert (parsed.tier, parsed.above, dict(parsed.attrs)) == (tier, above, attrs)


@pytest.mark.parametrize(
    "key",
    ["input_cost_per_smell", "input_cost_per_token_superfast", "cache_creation_input_token_cost_above_7hr", "mode"],
)
def test_keys_outside_the_grammar(key: str) -> None:
    assert parse_key(key) is None


def test_keys_that_state_no_price_and_a_price_that_looks_like_one() -> None:
    assert states_no_price("supports_vision") and states_no_price("max_input_tokens") and states_no_price("rpm")
    assert not states_no_price("max_cost_per_token") and not states_no_price("brand_new")


def test_a_new_key_with_a_number_is_not_expressed_whatever_its_name() -> None:
    found = read(
        m={"litellm_provider": "p", "input_cost_per_token": 1e-06, "input_cost_per_smell": 1, "brand_new": "0.5",
           "pricing_scheme": {"a": 1}, "supports_smell": True, "tagline": "fast", "shiny": True}
    )  # fmt: skip
    assert {p.reason.split(":")[0] for p in found.not_expressed} == {
        "input_cost_per_smell", "brand_new", "pricing_scheme",
    }  # fmt: skip
    assert {p.place for p in found.not_expressed} == {"prices.json: m"}
    assert (found.read, found.expressed, found.priceless) == (1, 0, 0)
    assert found.offers[0].prices[0].rates[0].amount == D(1)  # what is known is kept


# --- numbers ------------------------------------------------------------------------------------


def test_prices_are_exact_and_float_debris_is_repaired() -> None:
    found = litellm.read(
        b'{"m": {"litellm_provider": "p", "input_cost_per_token": 3.625e-09,'
        b' "output_cost_per_token": 1.0000000000000001e-07}}',
        "f",
    )
    amounts = {r.meter: (r.amount, r.note) for r in found.offers[0].prices[0].rates}
    assert amounts == {"input": (D("0.003625"), ""), "output": (D("0.1"), "published as 1.0000000000000001E-7")}
    assert len(found.repaired) == 1


@pytest.mark.parametrize("bad", ["free", -1, True, [1], {"a": 1}])
def test_a_price_that_is_not_a_number_is_not_expressed(bad: object) -> None:
    found = read(m={"litellm_provider": "p", "input_cost_per_token": bad})
    assert len(found.not_expressed) == 1 and "input_cost_per_token" in found.not_expressed[0].reason


def test_zeros_are_kept_marked_and_counted() -> None:
    found = read(
        free={"litellm_provider": "p", "input_cost_per_token": 0, "output_cost_per_token": 0.0},
        half={"litellm_provider": "p", "input_cost_per_token": 1, "output_cost_per_token": 0},
        none={"litellm_provider": "p", "max_tokens": 5},
    )
    assert (found.read, found.expressed, found.priceless, found.zero_rows) == (3, 2, 1, 1)
    assert all(r.amount == 0 and "unknown" in r.note for r in found.offers[0].prices[0].rates)
    assert found.offers[2].prices[0].rates == ()


# --- conditions ---------------------------------------------------------------------------------


def test_above_is_strict_except_at_xai() -> None:
    prices = {"input_cost_per_token": 1e-06, "input_cost_per_token_above_200k_tokens": 2e-06}
    offer = one(**prices)
    assert [rate(offer, "input", prompt=n) for n in (200_000, 200_001)] == [D(1), D(2)]
    offer = one("xai/m", **prices, litellm_provider="xai")
    assert [rate(offer, "input", prompt=n) for n in (199_999, 200_000)] == [D(1), D(2)]


def test_batch_is_flat_and_another_tier_takes_the_standard_long_context_price() -> None:
    offer = one(
        input_cost_per_token=4e-06, input_cost_per_token_batches=2e-06, input_cost_per_token_priority=8e-06,
        input_cost_per_token_flex=1e-06, input_cost_per_token_above_200k_tokens=5e-06,
        input_cost_per_token_above_200k_tokens_flex=3e-06,
    )  # fmt: skip
    long = {tier: rate(offer, "input", prompt=300_000, tier=tier) for tier in ("standard", "batch", "priority", "flex")}
    assert long == {"standard": D(5), "batch": D(2), "priority": D(5), "flex": D(3)}
    assert rate(offer, "input", prompt=1, tier="priority") == D(8)


def test_ranges_exclude_their_start_include_their_end_and_the_last_is_open() -> None:
    block = [
        {"range": [0, 32000], "input_cost_per_token": 1e-06},
        {"range": [32000, 128000], "input_cost_per_token": 2e-06, "output_cost_per_reasoning_token": 9e-06},
    ]
    offer = one(tiered_pricing=block)
    prompts = (0, 32_000, 32_001, 128_000, 500_000)
    assert [rate(offer, "input", prompt=n) for n in prompts] == [D(1), D(1), D(2), D(2), D(2)]
    assert rate(offer, "reasoning", prompt=40_000) == D(9)


def test_ranges_of_results() -> None:
    block = [{"max_results_range": [0, 25], "input_cost_per_query": 0.005}]
    offer = one(tiered_pricing=block, mode="search")
    assert rate(offer, "query", max_results="0-25") == D("0.005")
    assert rate(offer, "query") is None


def test_off_peak_windows_by_weekday_in_a_calendar() -> None:
    block = {
        "windows": [
            {"hours_utc": ["22:00-02:00"], "weekdays": [1]},
            {"hours_utc": "00:00-00:00", "weekdays": ["sat", "Sunday"]},
        ],
        "input_cost_per_token": 1e-06,
    }
    offer = one(input_cost_per_token=2e-06, input_cost_per_token_batches=1.5e-06, off_peak_pricing=block)

    def at(day: int, hour: int, tier: str = "standard") -> Decimal | None:
        return rate(offer, "input", at=datetime(2026, 11, day, hour, tzinfo=UTC), tier=tier)

    assert [at(16, 1), at(16, 2), at(16, 22), at(17, 1)] == [D(1), D(2), D(1), D(2)]  # Monday, then Tuesday
    assert [at(21, 12), at(22, 23), at(23, 12)] == [D(1), D(1), D(2)]  # Saturday, Sunday, Monday
    assert (at(16, 12, "batch"), at(21, 12, "batch")) == (D("1.5"), D(1))  # off-peak replaces every tier's price

    block["weekday_timezone"] = "Asia/Shanghai"  # eight hours ahead: its Saturday begins on Friday at 16:00 UTC
    offer = one(input_cost_per_token=2e-06, off_peak_pricing=block)
    assert [at(20, 15), at(20, 16), at(22, 15), at(22, 16)] == [D(2), D(1), D(1), D(2)]


@pytest.mark.parametrize(
    "block",
    [
        {"hours_utc": "late"}, {"hours_utc": ["25:00-26:00"]}, {}, {"windows": {"a": 1}}, "always",
        {"windows": [{"hours_utc": "01:00-02:00", "weekdays": [8]}]}, {"windows": [{"weekdays": [1]}]},
        {"windows": [{"hours_utc": "01:00-02:00", "weekdays": [1]}], "weekday_timezone": "Europe/Paris"},
        {"hours_utc": "01:00-02:00", "weekday_timezone": "Mars/Base"},
    ],
)  # fmt: skip
def test_off_peak_hours_that_cannot_be_read_are_not_expressed(block: object) -> None:
    found = read(m={"litellm_provider": "p", "input_cost_per_token": 1, "off_peak_pricing": block})
    assert len(found.not_expressed) == 1 and "off_peak_pricing" in found.not_expressed[0].reason


def test_uplifts_are_factors_on_token_prices_by_region_and_speed() -> None:
    offer = one(
        input_cost_per_token=1e-06, regional_processing_uplift_multiplier_eu=1.1,
        regional_endpoint_uplift_multiplier=1.2, provider_specific_entry={"us": 1.3, "fast": 2, "style": "x"},
    )  # fmt: skip
    factors = {str(m.note): (m.factor, m.when.tier, m.when.regions) for m in price_of(offer).modifiers}
    assert factors["regional_processing_uplift_multiplier_eu"] == (D("1.1"), None, {"eu"})
    assert factors["provider_specific_entry.us"] == (D("1.3"), None, {"us"})
    assert factors["provider_specific_entry.fast"] == (D(2), "fast", None)
    factor, _, regions = factors["regional_endpoint_uplift_multiplier"]
    assert factor == D("1.2") and regions is not None and "europe-west1".startswith(tuple(r[:-1] for r in regions))
    assert not any("global".startswith(r[:-1]) for r in regions)


def test_an_unknown_number_in_a_provider_entry_is_not_expressed() -> None:
    found = read(m={"litellm_provider": "p", "provider_specific_entry": {"turbo": 3}})
    assert "turbo" in found.not_expressed[0].reason


def test_searches_have_one_price_or_one_by_context_size() -> None:
    sizes = {f"search_context_size_{s}": 0.01 for s in ("low", "medium", "high")}
    quota = {"count": 5000, "period": "month", "shared_group": "g3"}
    offer = one(
        search_context_cost_per_query=sizes, search_free_requests=quota, web_search_billing_unit="per_query",
    )  # fmt: skip
    (found,) = price_of(offer).rates
    assert (found.amount, found.per, found.note) == (D(10), 1000, "billed per query")
    assert found.free == Free(quantity=5000, per="month", group="g3")
    offer = one(search_context_cost_per_query={**sizes, "search_context_size_high": 0.02})
    assert rate(offer, "web_search", search_context_size="high") == D(20)
    assert rate(offer, "web_search") is None


def test_a_quota_that_cannot_be_read_is_not_expressed() -> None:
    found = read(
        m={"litellm_provider": "p", "search_context_cost_per_query": 0.01, "search_free_requests": {"count": "many"}}
    )
    assert "search_free_requests" in found.not_expressed[0].reason


def test_guardrail_units_and_free_input_images() -> None:
    offer = one("bedrock/guardrails", guardrail_cost_per_unit={"topic": 0.00015}, litellm_provider="bedrock")
    assert rate(offer, "guardrail_unit", unit="topic") == D("0.00015")
    offer = one(mode="video_generation", input_cost_per_image=0.04, output_cost_per_second=0.08,
                provider_specific_entry={"minimax_free_input_images": 5})  # fmt: skip
    brackets = {r.meter: r.brackets for r in price_of(offer).rates}["input_image_count"]
    assert [(b.up_to, b.amount) for b in brackets] == [(5, D(0)), (None, D("0.04"))]


# --- one thing stated twice ---------------------------------------------------------------------


def test_transcription_is_charged_once_where_both_sides_state_it() -> None:
    offer = one(mode="audio_transcription", input_cost_per_second=0.0001, output_cost_per_second=0.0001)
    assert [(r.meter, r.amount, r.per) for r in price_of(offer).rates] == [("input_audio_second", D("0.36"), 3600)]
    offer = one(mode="audio_transcription", input_cost_per_second=0, output_cost_per_second=0.0001)
    assert [r.amount for r in price_of(offer).rates] == [D("0.36")]


def test_two_prices_for_one_thing_are_not_expressed() -> None:
    found = read(
        m={"litellm_provider": "p", "cache_read_input_token_cost": 1e-06, "input_cost_per_token_cache_hit": 2e-06}
    )
    assert "two prices at once: 1 and 2" in found.not_expressed[0].reason


def test_an_image_priced_by_the_piece_and_by_the_pixel_is_charged_by_the_piece() -> None:
    offer = one(
        mode="image_generation", input_cost_per_image=0.167, input_cost_per_pixel=1.5e-07, output_cost_per_pixel=0
    )
    (found,) = price_of(offer).rates
    assert (found.meter, found.amount) == ("image", D("0.167")) and "150 per thousand million pixels" in found.note


def test_databricks_units_stand_beside_dollars() -> None:
    offer = one(input_cost_per_token=1e-06, input_dbu_cost_per_token=1.43e-05)
    assert "DBU" in price_of(offer).rates[0].note
    found = read(m={"litellm_provider": "databricks", "input_dbu_cost_per_token": 1.43e-05})
    assert "Databricks units" in found.not_expressed[0].reason


# --- names and entries --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "provider", "mode", "expected"),
    [
        ("gpt-4o", "openai", "chat", ("openai", "direct", None, "gpt-4o", {})),
        ("azure/eu/gpt-4o", "azure", "chat", ("azure", "azure", "eu", "gpt-4o", {})),
        ("azure/speech/azure-tts", "azure", "audio_speech", ("azure", "azure", None, "speech/azure-tts", {})),
        ("vertex_ai/claude@1", "vertex_ai-anthropic_models", "chat", ("google", "vertex", None, "claude@1", {})),
        ("gemini/gemini-x", "gemini", "chat", ("google", "direct", None, "gemini-x", {})),
        ("groq/openai/gpt-oss", "groq", "chat", ("groq", "direct", None, "openai/gpt-oss", {})),
        ("bedrock/us-gov-west-1/a.b", "bedrock", "chat", ("aws", "bedrock", "us-gov-west-1", "a.b", {})),
        ("bedrock/claude_platform/c", "bedrock", "chat", ("aws", "claude-platform", None, "c", {})),
        (
            "bedrock/*/6-month-commitment/c", "bedrock", "chat",
            ("aws", "bedrock", None, "c", {"commitment": "6-month"}),
        ),
        (
            "1024-x-1024/50-steps/bedrock/amazon.x", "bedrock", "image_generation",
            ("aws", "bedrock", None, "amazon.x", {"size": "1024x1024", "steps": "50"}),
        ),
        (
            "fal_ai/low/1024-x-768/openai/g/edit", "fal_ai", "image_edit",
            ("fal_ai", "direct", None, "openai/g/edit", {"quality": "low", "size": "1024x768"}),
        ),
        ("xai/grok", "xai", "chat", ("x-ai", "direct", None, "grok", {})),
    ],
)  # fmt: skip
def test_what_a_name_says(entry: str, provider: str, mode: str, expected: tuple[Any, ...]) -> None:
    named = name_of(entry, provider, mode)
    assert (named.provider, named.channel, named.region, named.model, dict(named.attrs)) == expected


def test_entries_that_select_within_one_model_are_one_offer() -> None:
    images = {"litellm_provider": "openai", "mode": "image_generation"}
    found = read(
        **{
            "low/1024-x-1024/g": {**images, "input_cost_per_image": 0.01},
            "high/1024-x-1024/g": {**images, "input_cost_per_image": 0.16},
        }
    )
    (offer,) = found.offers
    assert (found.read, found.expressed, offer.model) == (2, 2, "g")
    assert rate(offer, "image", quality="high", size="1024x1024") == D("0.16")
    assert rate(offer, "image") is None  # no size, no price
    assert offer.aliases == ("low/1024-x-1024/g", "high/1024-x-1024/g")


def test_one_model_under_two_names_is_one_offer_unless_they_disagree() -> None:
    def entries(first: float, second: float) -> Imported:
        return read(
            **{
                "deepseek-x": {"litellm_provider": "deepseek", "input_cost_per_token": first},
                "deepseek/deepseek-x": {"litellm_provider": "deepseek", "input_cost_per_token": second},
            }
        )

    (offer,) = entries(1e-06, 1e-06).offers
    assert offer.aliases == ("deepseek/deepseek-x",)
    found = entries(1e-06, 2e-06)
    assert [o.note for o in found.offers] == [
        "stated otherwise under deepseek/deepseek-x", "stated otherwise under deepseek-x",
    ]  # fmt: skip
    assert sum("stated otherwise" in n.reason for n in found.notes) == 2


def test_images_by_the_piece_are_not_added_to_a_model_that_charges_them_by_the_token() -> None:
    found = read(
        **{
            "g": {"litellm_provider": "openai", "mode": "image_generation", "output_cost_per_image_token": 4e-05},
            "low/1024-x-1024/g": {
                "litellm_provider": "openai",
                "mode": "image_generation",
                "input_cost_per_image": 0.01,
            },
        }
    )
    assert len(found.offers) == 2


def test_what_else_an_entry_says() -> None:
    offer = one(
        input_cost_per_token=1, max_input_tokens=1000, deprecation_date="2027-01-31", source="https://p.example"
    )
    assert (offer.context_window, offer.retires, offer.mode) == (1000, date(2027, 1, 31), "chat")
    assert (price_of(offer).source.where, str(price_of(offer).source.grade)) == ("https://p.example", "vendor-stated")
    offer = one(input_cost_per_token=1, deprecation_date="soon")
    assert (offer.retires, str(price_of(offer).source.grade)) == (None, "assumed")


def test_what_is_not_an_entry() -> None:
    found = read(
        sample_spec={"litellm_provider": "one of …", "input_cost_per_token": 0.0},
        odd=[1],  # type: ignore[arg-type]
        nobody={"input_cost_per_token": 1},
        m={"litellm_provider": "p", "input_cost_per_token": 1},
    )
    assert (found.read, found.expressed, len(found.not_expressed)) == (3, 1, 2)
    assert [o.id for o in found.offers] == ["p/m"]


def test_an_entry_stated_twice_is_noted() -> None:
    found = litellm.read(b'{"m": {"litellm_provider": "p"}, "m": {"litellm_provider": "p"}}', "f")
    assert [(n.place, n.reason) for n in found.notes] == [("f", "'m' is stated twice")]


def test_limits_that_read_like_prices_are_none() -> None:
    for key in (
        "max_images_per_prompt", "max_videos_per_prompt", "max_audio_per_prompt", "max_document_chunks_per_query",
        "max_tokens_per_document_chunk", "rpd",
    ):  # fmt: skip
        assert states_no_price(key)
    assert not states_no_price("max_cost_per_prompt")


def test_names_of_older_lists() -> None:
    batch = parse_key("input_cost_per_token_batch_requests")
    assert batch is not None and (batch.base, batch.tier) == ("input_cost_per_token", "batch")
    cached = parse_key("cache_read_input_token_cost_per_audio_token")
    assert cached is not None and meter_of(cached, "chat", ())[0] == "cache_read_audio"
    units = {"litellm_provider": "databricks", "output_db_cost_per_token": 0.000214}
    found = read(m={**units, "input_cost_per_token": 5e-06, "output_cost_per_token": 1.5e-05})
    assert not found.not_expressed
    assert [n.reason for n in found.notes] == ["output: also stated as 0.000214 DBU per token"]
    assert ["Databricks units" in p.reason for p in read(m=units).not_expressed] == [True]

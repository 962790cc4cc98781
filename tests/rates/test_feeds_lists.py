"""The importers of OpenRouter's lists and of models.dev: made-up entries for every construct."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from farthing.rates.card import Offer
from farthing.rates.feeds import modelsdev, openrouter
from farthing.rates.feeds.base import Imported
from farthing.rates.select import Facts, Resolved, ambiguous, index

D = Decimal
MONDAY = datetime(2026, 11, 16, 12, tzinfo=UTC)


def rate(offer: Offer, meter: str, *, prompt: int = 0, tier: str = "standard", at: datetime = MONDAY) -> Decimal | None:
    (price,) = offer.prices
    assert ambiguous(price.rates) is None
    found = index(price).resolve(meter, Facts(at=at, completed=at, tier=tier, measures={"prompt": prompt}))
    return found.rate.amount if isinstance(found, Resolved) else None


def amounts(offer: Offer) -> dict[str, Decimal | None]:
    return {r.meter: r.amount for r in offer.prices[0].rates}


# --- OpenRouter ---------------------------------------------------------------------------------


def router(*models: Any) -> Imported:
    return openrouter.read(json.dumps({"data": models}).encode(), "models.json")


def routed(**pricing: Any) -> Offer:
    found = router({"id": "a/m", "pricing": pricing})
    assert found.not_expressed == []
    return found.offers[0]


def test_every_price_is_of_a_single_unit() -> None:
    offer = routed(
        prompt="0.000003", completion="0.000015", request="0.005", image="0.0048", image_output="0.04",
        image_token="0.0000025", audio="0.000001", audio_output="0.00002", input_audio_cache="0.0000001",
        web_search="0.01", internal_reasoning="0.00001", input_cache_read="0.0000003",
        input_cache_write="0.00000375", input_cache_write_1h="0.000006",
    )  # fmt: skip
    assert amounts(offer) == {
        "input": D(3), "output": D(15), "requests": D(5), "input_image_count": D("0.0048"), "image": D("0.04"),
        "input_image": D("2.5"), "input_audio": D(1), "output_audio": D(20), "cache_read_audio": D("0.1"),
        "web_search": D(10), "reasoning": D(10), "cache_read": D("0.3"), "cache_write": D("3.75"),
        "cache_write_1h": D(6),
    }  # fmt: skip


def test_image_prices_too_small_for_an_image_are_of_a_token() -> None:
    offer = routed(prompt="0.0000003", completion="0.0000025", image="0.0000003", image_output="0.00003")
    assert amounts(offer) == {"input": D("0.3"), "output": D("2.5"), "input_image": D("0.3"), "output_image": D(30)}
    assert "price of a token" in offer.prices[0].rates[2].note
    both = routed(prompt="1", completion="1", image="0.0000003", image_token="0.0000003")
    assert amounts(both)["input_image"] == D("0.3")


def test_two_image_token_prices_are_not_expressed() -> None:
    found = router({"id": "a/m", "pricing": {"prompt": "1", "image": "0.0000003", "image_token": "0.0000004"}})
    assert "another price of input_image" in found.not_expressed[0].reason


def test_minus_one_is_a_price_that_varies_not_a_rate() -> None:
    found = router(
        {"id": "a/auto", "pricing": {"prompt": "-1", "completion": "-1", "request": "-1"}},
        {"id": "a/none", "pricing": {}}, {"id": "a/null"},
    )  # fmt: skip
    assert (found.read, found.priceless, found.expressed, found.not_expressed) == (3, 3, 0, [])
    assert found.offers[0].prices[0].rates == ()
    assert found.offers[0].note == "the price of prompt, completion, request varies (stated as -1)"


def test_zero_beside_a_price_is_no_price_of_its_own_and_in_a_free_offer_it_is_the_price() -> None:
    paid = routed(prompt="0.000001", completion="0", internal_reasoning="0", request="0", input_cache_read=0)
    assert amounts(paid) == {"input": D(1), "output": D(0)}  # reasoning is not free: it is output
    assert paid.note == "no price of its own (0) for internal_reasoning, request, input_cache_read"
    free = routed(prompt="0", completion="0", internal_reasoning="0")
    assert amounts(free) == {"input": D(0), "output": D(0), "reasoning": D(0)}


def test_overrides_by_length_are_strictly_above_and_inherit_what_they_do_not_state() -> None:
    offer = routed(
        prompt="0.000001", completion="0.000002",
        overrides=[
            {"min_prompt_tokens": 1000, "prompt": "0.000003"}, {"min_prompt_tokens": 2000, "prompt": "0.000004"},
        ],
    )  # fmt: skip
    assert [rate(offer, "input", prompt=n) for n in (1000, 1001, 2000, 2001)] == [D(1), D(3), D(3), D(4)]
    assert rate(offer, "output", prompt=5000) == D(2)


def test_overrides_by_time_wrap_keep_to_their_days_and_the_later_one_wins() -> None:
    offer = routed(
        prompt="0.000004", completion="0",
        overrides=[
            {"min_prompt_tokens": 1000, "prompt": "0.000009"},
            {"utc_start": 2230, "utc_end": 130, "utc_days": ["monday"], "prompt": "0.000001"},
            {"utc_days": ["Sunday"], "prompt": "0.000002"},
        ],
    )  # fmt: skip

    def at(day: int, hour: int, minute: int = 0, prompt: int = 0) -> Decimal | None:
        return rate(offer, "input", at=datetime(2026, 11, day, hour, minute, tzinfo=UTC), prompt=prompt)

    assert [at(16, 22, 29), at(16, 22, 30), at(16, 1, 29), at(16, 1, 30)] == [D(4), D(1), D(1), D(4)]
    assert [at(15, 12), at(17, 23)] == [D(2), D(4)]
    assert [at(16, 23, prompt=5000), at(16, 12, prompt=5000)] == [D(1), D(9)]


@pytest.mark.parametrize(
    "override",
    [
        {"prompt": "1"}, {"utc_start": 100, "prompt": "1"}, {"utc_start": 2561, "utc_end": 1, "prompt": "1"},
        {"utc_days": ["someday"], "prompt": "1"}, {"min_prompt_tokens": "many", "prompt": "1"}, 3,
        {"min_prompt_tokens": 1, "smell": "1"}, {"max_price": 5, "prompt": "1"},
    ],
)  # fmt: skip
def test_overrides_that_cannot_be_read_are_not_expressed(override: object) -> None:
    found = router({"id": "a/m", "pricing": {"prompt": "1", "completion": "1", "overrides": [override]}})
    assert len(found.not_expressed) == 1
    assert rate(found.offers[0], "input") == D(10**6)


def test_entries_and_keys_that_cannot_be_read() -> None:
    found = router(
        {"pricing": {}}, 7, {"id": "a/m", "pricing": {"prompt": "much", "smell": "1"}}, {"id": "a/n", "pricing": 1}
    )
    assert (found.read, found.expressed, len({p.place for p in found.not_expressed})) == (4, 0, 4)
    assert len(found.not_expressed) == 5
    twice = router(*[{"id": "a/m", "pricing": {"prompt": "much"}}] * 2)
    assert twice.read == len({p.place for p in twice.not_expressed}) == 2


def test_the_endpoints_of_a_model_are_offers_by_channel_already_net_of_their_discount() -> None:
    data = {
        "id": "a/m", "name": "M", "canonical_slug": "a/m-0101",
        "endpoints": [
            {"tag": "host/fp8", "quantization": "fp8", "context_length": 32000,
             "pricing": {"prompt": "0.00000003", "completion": "0.0000001", "discount": 0.9}},
            {"provider_name": "Other", "pricing": {"prompt": "0.0000003", "completion": "0.000001", "discount": 0}},
        ],
    }  # fmt: skip
    found = openrouter.read(json.dumps({"data": data}).encode(), "endpoints.json")
    first, second = found.offers
    assert (first.id, first.channel, first.aliases, first.context_window) == (
        "openrouter/a/m", "host/fp8", ("a/m-0101",), 32000,
    )  # fmt: skip
    assert amounts(first)["input"] == D("0.03") and second.channel == "Other"
    assert first.note == "net of a discount of 0.9; quantization fp8" and second.note == ""
    assert (found.read, found.expressed) == (2, 2)


# --- models.dev ---------------------------------------------------------------------------------


def catalogue(**models: Any) -> Imported:
    stated = {"openai": {"id": "openai", "doc": "https://p.example", "models": models}}
    return modelsdev.read(json.dumps(stated).encode(), "api.json")


def listed(**entry: Any) -> Offer:
    found = catalogue(m=entry)
    assert found.not_expressed == []
    return found.offers[0]


def test_prices_are_per_million_tokens_and_minutes() -> None:
    cost = {"input": 3, "output": 15, "reasoning": 20, "cache_read": 0.3, "cache_write": 3.75, "input_audio": 10,
            "output_audio": 40, "per_minute": 0.006}  # fmt: skip
    offer = listed(name="M", cost=cost, limit={"context": 1000, "output": 10}, status="deprecated",
                   deprecation_date="2027-03-01")  # fmt: skip
    assert amounts(offer) == {
        "input": D(3), "output": D(15), "reasoning": D(20), "cache_read": D("0.3"), "cache_write": D("3.75"),
        "input_audio": D(10), "output_audio": D(40), "audio_second": D("0.36"),
    }  # fmt: skip
    assert (offer.title, offer.context_window, offer.retires) == ("M", 1000, date(2027, 3, 1))
    assert offer.note == "deprecated by the provider"
    assert (offer.prices[0].source.where, str(offer.prices[0].source.grade)) == ("https://p.example", "vendor-stated")


def test_a_model_without_a_cost_states_no_price() -> None:
    found = catalogue(m={"name": "M"}, free={"cost": {"input": 0, "output": 0}})
    assert (found.read, found.priceless, found.expressed, found.zero_rows) == (2, 1, 1, 1)


def test_context_tiers_and_the_older_field() -> None:
    older = listed(cost={"input": 1, "output": 2, "context_over_200k": {"input": 3, "output": 4}})
    assert [rate(older, "input", prompt=n) for n in (200_000, 200_001)] == [D(1), D(3)]
    tiers = [{"tier": {"type": "context", "size": 32000}, "input": 2}, {"tier": {"size": 272_000}, "input": 3}]
    newer = listed(cost={"input": 1, "output": 2, "tiers": tiers, "context_over_200k": {"input": 3}})
    assert [rate(newer, "input", prompt=n) for n in (32_000, 32_001, 272_000, 272_001)] == [D(1), D(2), D(2), D(3)]
    assert rate(newer, "output", prompt=300_000) == D(2)


def test_modes_are_tiers_at_any_length() -> None:
    modes = {
        "fast": {
            "cost": {"input": 10, "tiers": [{"tier": {"size": 500}, "input": 12}]},
            "provider": {"body": {"service_tier": "priority"}},
        },
        "slow": {"cost": {"input": 0.5}},
        "deep": {"provider": {"body": {}}},
    }  # fmt: skip
    cost = {"input": 1, "output": 2, "tiers": [{"tier": {"size": 1000}, "input": 4}]}
    offer = listed(cost=cost, experimental={"modes": modes})
    by_tier = {
        t: [rate(offer, "input", tier=t, prompt=n) for n in (1, 600, 2000)] for t in ("standard", "priority", "slow")
    }
    assert by_tier == {"standard": [1, 1, 4], "priority": [10, 12, 12], "slow": [D("0.5")] * 3}


@pytest.mark.parametrize(
    "cost",
    [
        {"smell": 1}, {"input": "much"}, {"input": -1}, 5, {"tiers": [{"input": 1}]}, {"tiers": {"size": 1}},
        {"tiers": [{"tier": {"type": "users", "size": 3}, "input": 1}]}, {"context_over_200k": 3},
        {"context_over_200k": {"smell": 2}},
    ],
)  # fmt: skip
def test_costs_that_cannot_be_read_are_not_expressed(cost: object) -> None:
    found = catalogue(m={"cost": cost})
    assert (found.read, found.expressed, len(found.not_expressed)) == (1, 0, 1)
    assert found.not_expressed[0].place == "api.json: openai/m"


def test_providers_have_our_names_and_channels() -> None:
    model = {"models": {"m": {"cost": {"input": 1}}}}
    data = dict.fromkeys(("amazon-bedrock", "google-vertex-anthropic", "xai", "azure", "deepseek"), model)
    data |= {"broken": {"id": "broken"}, "odd": {"models": {"m": 3}}}  # type: ignore[dict-item]
    found = modelsdev.read(json.dumps(data).encode(), "api.json")
    assert [(o.provider, o.channel) for o in found.offers] == [
        ("aws", "bedrock"), ("google", "vertex"), ("x-ai", "direct"), ("azure", "azure"), ("deepseek", "direct"),
    ]  # fmt: skip
    assert found.offers[0].aliases == ("amazon-bedrock/m",)
    assert (found.read, found.expressed, len(found.not_expressed)) == (7, 5, 2)

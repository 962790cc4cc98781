"""The genai-prices importer: made-up providers for each construct, and the package itself as an oracle."""

import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from importlib.metadata import version

import pytest
from genai_prices import types
from genai_prices.data import providers
from hypothesis import given
from hypothesis import strategies as st

from farthing.problems import FarthingError
from farthing.rates.card import Offer, Price
from farthing.rates.feeds import genai
from farthing.rates.feeds.genai_match import pattern
from farthing.rates.select import Facts, Resolved, ambiguous, index, price_at
from farthing.units import METERS

D = Decimal
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
BATCH = {"processing": "batch"}


def tiered(base: str, *steps: tuple[int, str]) -> types.TieredPrices:
    return types.TieredPrices(base=D(base), tiers=[types.Tier(start=n, price=D(p)) for n, p in steps])


def model(prices: object, variants: list[types.PriceVariant] | None = None, **more: object) -> types.ModelInfo:
    more = {"id": "m", "match": types.ClauseEquals("m"), **more}
    return types.ModelInfo(prices=prices, price_variants=variants, **more)  # type: ignore[arg-type]


def provider(*models: types.ModelInfo, name: str = "p") -> types.Provider:
    return types.Provider(
        id=name, name="P", api_pattern="", pricing_urls=["https://p.example/prices"], models=[*models]
    )


def imported(*models: types.ModelInfo, name: str = "p") -> genai.Imported:
    return genai.import_providers([provider(*models, name=name)], "0")


def offer(*models: types.ModelInfo, name: str = "p") -> Offer:
    found = imported(*models, name=name)
    assert found.not_expressed == []
    return found.offers[0]


def rate(
    price: Price, meter: str, *, prompt: int = 0, tier: str = "standard", at: datetime = NOON, **attrs: str
) -> Decimal | None:
    facts = Facts(at=at, completed=at, tier=tier, attrs=frozenset(attrs.items()), measures={"prompt": prompt})
    found = index(price).resolve(meter, facts)
    return found.rate.amount if isinstance(found, Resolved) else None


def start(day: date, **prices: object) -> types.ConditionalPrice:
    return types.ConditionalPrice(types.StartDateConstraint(day), prices=types.ModelPrice(**prices))  # type: ignore[arg-type]


def at_time(low: time, high: time, **prices: object) -> types.ConditionalPrice:
    return types.ConditionalPrice(types.TimeOfDateConstraint(low, high), prices=types.ModelPrice(**prices))  # type: ignore[arg-type]


def always(**prices: object) -> types.ConditionalPrice:
    return types.ConditionalPrice(prices=types.ModelPrice(**prices))  # type: ignore[arg-type]


def test_every_key_of_the_installed_catalogue_has_a_meter_and_nothing_is_lost() -> None:
    found = genai.load()
    assert (found.read, found.not_expressed) == (sum(len(p.models) for p in providers), [])
    assert found.expressed + found.priceless == found.read == len(found.offers)
    assert set(genai.METER_OF_KEY.values()) <= set(METERS)
    for o in found.offers:
        for price in o.prices:
            assert ambiguous(price.rates) is None, o.id


def test_the_source_says_where_the_prices_were_published() -> None:
    found = imported(model(types.ModelPrice(input_mtok=D(1)), name="The M", context_window=5, deprecated=True))
    (price,) = found.offers[0].prices
    assert (price.source.where, price.source.id) == ("https://p.example/prices", "genai-prices")
    assert (price.valid_from, price.recorded, str(price.source.grade)) == (None, None, "vendor-stated")
    assert (found.offers[0].title, found.offers[0].context_window) == ("The M", 5)
    assert found.offers[0].note == "deprecated by the provider"


def test_a_model_without_a_price_is_an_offer_without_rates() -> None:
    found = imported(model(types.ModelPrice()), model(types.ModelPrice(input_mtok=D(0))))
    assert (found.read, found.priceless, found.expressed) == (2, 1, 1)
    assert found.offers[0].prices[0].rates == ()
    assert found.offers[1].prices[0].rates[0].amount == 0  # free is a price that somebody stated


def test_a_key_without_a_meter_is_not_expressed_and_the_rest_of_the_entry_is() -> None:
    found = imported(model(types.ModelPrice(input_mtok=D(1), smell_mtok=D(9))))
    (problem,) = found.not_expressed
    assert "p/m" in problem.place and "smell_mtok" in problem.reason
    assert [r.meter for r in found.offers[0].prices[0].rates] == ["input"]
    assert (found.read, found.expressed, found.priceless) == (1, 0, 0)


def test_hours_are_published_per_3600_seconds_and_groq_bills_ten_at_least() -> None:
    whisper = model(types.ModelPrice(audio_hours=D("0.111")), id="whisper-large-v3")
    (rate_,) = offer(whisper, name="groq").prices[0].rates
    assert (rate_.meter, rate_.amount, rate_.per, rate_.minimum) == ("audio_second", D("0.111"), 3600, D(10))
    (rate_,) = offer(whisper, name="elsewhere").prices[0].rates
    assert rate_.minimum is None


def test_a_tier_is_strictly_above_its_start() -> None:
    (price,) = offer(model(types.ModelPrice(input_mtok=tiered("1", (200_000, "2"), (500_000, "3"))))).prices
    found = [rate(price, "input", prompt=n) for n in (0, 200_000, 200_001, 500_000, 500_001)]
    assert found == [D(1), D(1), D(2), D(2), D(3)]


def test_the_last_active_price_holds_from_a_utc_midnight() -> None:
    o = offer(model([always(input_mtok=D(3)), start(date(2026, 3, 1), input_mtok=D(2))]))
    assert [p.valid_from for p in o.prices] == [None, datetime(2026, 3, 1, tzinfo=UTC)]
    assert [p.rates[0].amount for p in o.prices] == [D(3), D(2)]


def test_before_the_first_start_the_first_price_holds() -> None:
    o = offer(model([start(date(2026, 3, 1), input_mtok=D(2)), start(date(2026, 4, 1), input_mtok=D(1))]))
    assert [(p.valid_from, p.rates[0].amount) for p in o.prices] == [
        (None, D(2)),
        (datetime(2026, 4, 1, tzinfo=UTC), D(1)),
    ]


def test_a_time_of_day_wraps_and_keeps_its_own_set_of_keys() -> None:
    night = at_time(time(22), time(2, 30), input_mtok=D(1))
    (price,) = offer(model([always(input_mtok=D(4), output_mtok=D(8)), night])).prices
    hours = {"21:59": D(4), "22:00": D(1), "02:29": D(1), "02:30": D(4)}
    for text, expected in hours.items():
        assert rate(price, "input", at=NOON.replace(hour=int(text[:2]), minute=int(text[3:]))) == expected
    # At night no price of output is stated: unknown, not the day's.
    assert rate(price, "output", at=NOON.replace(hour=23)) is None
    assert rate(price, "output", at=NOON) == D(8)


def test_a_time_of_day_between_minutes_is_not_expressed() -> None:
    found = imported(model([always(input_mtok=D(4)), at_time(time(1, 0, 30), time(2), input_mtok=D(1))]))
    assert len(found.not_expressed) == 1 and "whole minutes" in found.not_expressed[0].reason


def test_a_flat_variant_replaces_every_tier_of_the_standard_price() -> None:
    flat = types.PriceVariant(BATCH, types.ModelPrice(input_mtok=D("0.5")))
    (price,) = offer(model(types.ModelPrice(input_mtok=tiered("1", (1000, "2")), output_mtok=D(9)), [flat])).prices
    assert [rate(price, "input", prompt=n, tier="batch") for n in (1, 2000)] == [D("0.5"), D("0.5")]
    assert rate(price, "input", prompt=2000) == D(2)
    assert rate(price, "output", tier="batch") == D(9)  # the variant leaves it alone


def test_the_first_variant_that_matches_wins_key_by_key() -> None:
    variants = [
        types.PriceVariant(BATCH, types.ModelPrice(input_mtok=D(1))),
        types.PriceVariant({"route": "eu"}, types.ModelPrice(input_mtok=D(2), output_mtok=D(3))),
    ]
    (price,) = offer(model(types.ModelPrice(input_mtok=D(9), output_mtok=D(9)), variants)).prices
    assert rate(price, "input", tier="batch", route="eu") == D(1)
    assert rate(price, "output", tier="batch", route="eu") == D(3)
    assert rate(price, "input", route="eu") == D(2)


def test_tier_names_and_a_variant_that_states_nothing() -> None:
    variants = [
        types.PriceVariant({"service_tier": "default"}, types.ModelPrice()),
        types.PriceVariant({"service_tier": "priority"}, types.ModelPrice(input_mtok=D(2))),
        types.PriceVariant({"speed": "fast"}, types.ModelPrice(input_mtok=D(6))),
    ]
    (price,) = offer(model(types.ModelPrice(input_mtok=D(1)), variants)).prices
    assert [rate(price, "input", tier=t) for t in ("standard", "priority", "fast")] == [D(1), D(2), D(6)]


def test_a_variant_starts_on_its_own_day() -> None:
    late = types.PriceVariant(BATCH, types.ModelPrice(input_mtok=D(1)), types.StartDateConstraint(date(2026, 10, 14)))
    o = offer(model(types.ModelPrice(input_mtok=D(2)), [late]))
    assert [p.valid_from for p in o.prices] == [None, datetime(2026, 10, 14, tzinfo=UTC)]
    assert rate(o.prices[0], "input", tier="batch") is None
    assert rate(o.prices[1], "input", tier="batch") == D(1)


def test_two_tiers_at_once_are_not_expressed() -> None:
    odd = types.PriceVariant({"processing": "batch", "speed": "fast"}, types.ModelPrice(input_mtok=D(1)))
    found = imported(model(types.ModelPrice(input_mtok=D(2)), [odd]))
    assert "two tiers" in found.not_expressed[0].reason


def test_float_debris_is_read_as_the_decimal_it_was() -> None:
    found = imported(model(types.ModelPrice(input_mtok=D("0.18000000000000002"), output_mtok=D("0.0833333333333333"))))
    rates = {r.meter: r for r in found.offers[0].prices[0].rates}
    assert (rates["input"].amount, rates["input"].note) == (D("0.18"), "published as 0.18000000000000002")
    assert rates["output"].amount == D("0.0833333333333333")
    assert len(found.repaired) == 1


def test_one_provider_alone_and_an_unknown_one() -> None:
    part = genai.load("groq")
    assert {o.provider for o in part.offers} == {"groq"} and part.read > 10
    assert version("genai-prices") in part.source.title
    with pytest.raises(FarthingError, match="did you mean 'openai'"):
        genai.load("openal")


def test_provider_names_and_fallbacks() -> None:
    names = {n.id: n for n in genai.provider_names()}
    assert "openai" in names["azure"].fallbacks
    for p in providers:
        for text in ("bedrock", "google-vertex", "together_ai", "xai", "meta", "huggingface_groq", "claude-x", p.id):
            if p.provider_match:
                assert bool(re.search(names[p.id].pattern, text)) == p.provider_match.is_match(text)
            if p.model_match:
                assert bool(re.search(names[p.id].model_pattern, text)) == p.model_match.is_match(text)


# --- patterns -----------------------------------------------------------------------------------

NAMES = sorted({m.id.lower() for p in providers for m in p.models})


def test_patterns_agree_with_the_catalogue_on_its_own_names() -> None:
    compiled = [(m, re.compile(pattern(m.match), re.I)) for p in providers for m in p.models]
    for position, (m, one) in enumerate(compiled):
        others = NAMES[position % 23 :: 23]  # every model against its own name and some 80 others
        for name in (m.id.lower(), f"x/{m.id.lower()}", *others):
            assert bool(one.search(name)) == m.match.is_match(name), (m.id, name)


words = st.text("ab.-/", max_size=4)
leaf = st.one_of(
    *(
        words.map(kind)
        for kind in (types.ClauseEquals, types.ClauseStartsWith, types.ClauseEndsWith, types.ClauseContains)
    ),
    st.sampled_from(["^a", "b$", "a|b", "^a.b$", "(?!.*-)", "[ab]{2}"]).map(types.ClauseRegex),
)
clauses = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(types.ClauseOr), st.lists(inner, max_size=3).map(types.ClauseAnd)
    ),
    max_leaves=6,
)


@given(clauses, words)
def test_any_clause_means_the_same_as_its_pattern(clause: types.MatchLogic, name: str) -> None:
    assert bool(re.search(pattern(clause), name, re.I)) == clause.is_match(name)


# --- the package as an oracle -------------------------------------------------------------------

# Our disjoint meters, and the package's counts in which cached, audio, ... tokens are also input.
USAGE_KEY = {
    "input": "input_tokens", "output": "output_tokens", "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens", "cache_write_1h": "cache_write_1h_tokens",
    "input_audio": "input_audio_tokens", "output_audio": "output_audio_tokens",
    "input_image": "input_image_tokens", "output_image": "output_image_tokens", "input_video": "input_video_tokens",
    "web_search": "web_searches", "file_search": "storage_searches", "page": "input_document_pages",
    "annotated_page": "input_annotated_document_pages", "character": "input_characters",
    "message": "input_text_messages", "audio_second": "audio_seconds", "input_audio_second": "input_audio_seconds",
    "reasoning": "output_reasoning_tokens", "cache_read_audio": "cache_audio_read_tokens",
    "cache_read_image": "cache_image_read_tokens",
}  # fmt: skip
CACHED = {"cache_read_audio": "audio", "cache_read_image": "image"}
INPUTS = ("input", "cache_read", "cache_write", "cache_write_1h", "input_audio", "input_image", "input_video", *CACHED)
OUTPUTS = ("output", "output_audio", "output_image", "reasoning")
CONTEXTS: list[dict[str, str]] = [
    {}, BATCH, {"service_tier": "priority"}, {"service_tier": "flex"}, {"service_tier": "fast"},
    {"service_tier": "default"}, {"speed": "fast"}, {"route": "mistral/eu"}, {"search_type": "web"},
]  # fmt: skip
TOKENS = (3, 7_001, 70_003, 260_001)  # below and above every context tier in use


def theirs(quantities: dict[str, int]) -> types.Usage:
    counts = {USAGE_KEY[meter]: n for meter, n in quantities.items()}
    for meter, modality in CACHED.items():
        cached = counts.setdefault(f"cache_{modality}_read_tokens", 0)
        if meter in quantities:
            for parent in ("cache_read_tokens", f"input_{modality}_tokens"):
                counts[parent] = counts.get(parent, 0) + cached
    counts["input_tokens"] = sum(quantities.get(m, 0) for m in INPUTS)
    counts["output_tokens"] = sum(quantities.get(m, 0) for m in OUTPUTS)
    if "cache_write_1h" in quantities:
        counts["cache_write_tokens"] = quantities.get("cache_write", 0) + quantities["cache_write_1h"]
    if "input_audio_second" in quantities:
        counts["audio_seconds"] = quantities["input_audio_second"]
    if "annotated_page" in quantities:
        counts["input_document_pages"] = quantities.get("page", 0) + quantities["annotated_page"]
    return types.Usage(**counts)


def ours(price: Price, quantities: dict[str, int], facts: Facts) -> Fraction:
    total = Fraction(0)
    for meter, n in quantities.items():
        found = index(price).resolve(meter, facts)
        assert isinstance(found, Resolved), (meter, found)
        least = max(Fraction(n), Fraction(found.rate.minimum or 0))
        total += least * Fraction(found.rate.amount or 0) / found.rate.per
    if any(r.meter == "requests" for r in price.rates):
        found = index(price).resolve("requests", facts)
        assert isinstance(found, Resolved)
        total += Fraction(found.rate.amount or 0) / 1000
    return total


def context_facts(context: dict[str, str]) -> tuple[str, frozenset[tuple[str, str]]]:
    tier, attrs = "standard", set()
    for key, value in context.items():
        if key in ("processing", "service_tier", "speed"):
            tier = {"default": "standard"}.get(value, value)
        else:
            attrs.add((key, value))
    return tier, frozenset(attrs)


def instants(m: types.ModelInfo) -> list[datetime]:
    days = {datetime(2024, 6, 2, tzinfo=UTC), datetime(2026, 11, 20, tzinfo=UTC)}
    items = [*(m.prices if isinstance(m.prices, list) else ()), *(m.price_variants or ())]
    for item in items:
        if isinstance(item.constraint, types.StartDateConstraint):
            midnight = datetime.combine(item.constraint.start_date, time(), UTC)
            days |= {midnight, midnight - timedelta(seconds=1)}
        if isinstance(item.constraint, types.TimeOfDateConstraint):
            days |= {d.replace(hour=h, minute=x) for d in set(days) for h, x in ((0, 30), (3, 59), (4, 0), (16, 30))}
    return sorted(days)


def test_our_records_charge_what_the_package_charges() -> None:
    """Every model x usage x instant x context, except where the package covers a missing price by another."""
    checked = 0
    groq = next(p for p in providers if p.id == "groq")
    assert {m.id for m in groq.models} >= {i for p, i in genai._MINIMUM_SECONDS if p == "groq"}
    offers = iter(genai.load().offers)
    for p in providers:
        for m in p.models:
            o = next(offers)
            assert o.id == f"{p.id}/{m.id}"
            variants = m.price_variants or []
            contexts = [c for c in CONTEXTS if not c or any(v.when == c for v in variants)]
            plain = not variants and not isinstance(m.prices, list)
            for at in [NOON] if plain else instants(m):
                price = price_at(o, at)
                assert isinstance(price, Price)
                if any(r.note for r in price.rates):
                    continue  # repaired numbers differ on purpose
                stated = {r.meter for r in price.rates}
                base = {x for x in ("input", "output") if x in stated}
                if ("output" not in base and stated & set(OUTPUTS)) or ("input" not in base and stated & set(INPUTS)):
                    continue
                for context in contexts:
                    tier, attrs = context_facts(context)
                    if tier not in ("standard", *(r.when.tier for r in price.rates)):
                        continue  # the variant has not started: unknown to us, the standard price to them
                    for tokens in TOKENS if any(r.when.bands for r in price.rates) else TOKENS[:2]:
                        quantities = {x: tokens for x in stated if x in USAGE_KEY}
                        if "input_audio_second" in quantities:
                            quantities.pop("audio_second", None)
                        prompt = sum(n for x, n in quantities.items() if METERS[x].prompt)
                        facts = Facts(at=at, completed=at, tier=tier, attrs=attrs, measures={"prompt": prompt})
                        calc = m.calc_price(
                            theirs(quantities), p, genai_request_timestamp=at, price_context=context or None
                        )
                        mine = ours(price, quantities, facts)
                        # The package divides in 28 digits, which a third of a cent does not survive.
                        assert abs(Fraction(calc.total_price) - mine) <= mine / 10**24, (o.id, at, context, quantities)
                        checked += 1
    assert checked > 5000

"""Provider rules: caching, batch and names, with genai-prices as an independent oracle."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import data as genai
from genai_prices.types import TieredPrices

from farthing.problems import FarthingError
from farthing.rates.rules import (
    _first,
    batch_rule,
    batch_rules,
    caching_rule,
    caching_rules,
    provider_names,
    providers,
    read_batch,
    read_caching,
    read_providers,
)
from farthing.rates.toml_sources import read_sources
from farthing.rates.toml_table import Document
from farthing.units import METERS

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def base(value: Any) -> Any:
    return value.base if isinstance(value, TieredPrices) else value


def test_rules_have_evidence_and_agree_with_themselves() -> None:
    assert len(caching_rules()) > 30
    for rule in caching_rules():
        own = rule.provider == "host"  # machines of one's own, where a cached token costs nothing
        assert own or rule.provider in provider_names().values() or rule.provider in {p.id for p in genai.providers}
        assert (rule.mode == "none") == (not rule.ttls), rule
        for ttl in rule.ttls:
            assert ttl.meter == "input" or ttl.meter in METERS
            assert (ttl.meter == "input") == (ttl.write == 1), rule  # a surcharge is metered, its absence is not
            assert ttl.seconds is None or ttl.at_most_s is None or ttl.seconds <= ttl.at_most_s
        assert rule.read is None or (0 if own else 1e-9) <= rule.read < 1, rule
        for conflict in rule.conflicts:
            assert conflict.source.where and conflict.source.id != rule.source.id
    for batch in batch_rules():
        assert 0 < batch.factor < 1


@pytest.mark.parametrize(
    ("provider", "model", "at", "expected"),
    [
        ("openai", "gpt-5.5-2026-04-01", NOW, ("automatic", 1024, 128, "0.1", "1")),
        ("openai", "gpt-5.6-sol", NOW, ("automatic", 1024, 1, "0.1", "1.25")),
        ("openai", "gpt-4.1-mini", NOW, ("automatic", 1024, 128, "0.25", "1")),
        ("openai", "gpt-4o", NOW, ("automatic", 1024, 128, "0.5", "1")),
        ("anthropic", "claude-opus-4-5-20251101", NOW, ("breakpoint", 4096, 1, "0.1", "1.25")),
        ("anthropic", "claude-opus-5-20260601", NOW, ("breakpoint", 512, 1, "0.1", "1.25")),
        ("anthropic", "claude-opus-5-5", NOW, ("breakpoint", None, 1, "0.05", "1.25")),
        ("anthropic", "claude-sonnet-4-20250514", NOW, ("breakpoint", 1024, 1, "0.1", "1.25")),
        ("Bedrock", "us.anthropic.claude-3-7-sonnet-20250219-v1:0", NOW, ("breakpoint", 1024, 1, "0.1", "1.25")),
        ("gemini", "gemini-2.5-pro", NOW, ("automatic", 4096, 1, "0.1", "1")),
        ("deepseek", "deepseek-chat", datetime(2024, 9, 1, tzinfo=UTC), ("automatic", 64, 64, "0.1", "1")),
        ("groq", "openai/gpt-oss-120b", NOW, ("automatic", None, 1, "0.5", "1")),
        ("xai", "grok-4.7", NOW, ("automatic", None, 128, "0.25", "1")),
    ],
)
def test_caching_rules(provider: str, model: str, at: datetime, expected: tuple[object, ...]) -> None:
    rule = caching_rule(provider, model, at)
    assert rule is not None
    got = (rule.mode, rule.min_tokens, rule.step, str(rule.read), str(rule.ttls[0].write))
    assert got == expected


def test_where_there_is_no_rule_and_where_there_are_two() -> None:
    assert caching_rule("openai", "gpt-4o", datetime(2024, 9, 30, tzinfo=UTC)) is None  # before caching began
    assert caching_rule("nobody", "gpt-4o", NOW) is None
    none = caching_rule("openai", "gpt-4-turbo", NOW)
    assert none is not None and none.mode == "none"
    explicit = caching_rule("google", "gemini-2.5-flash", NOW, mode="explicit")
    assert explicit is not None
    assert explicit.storage_usd_per_mtok_hour == 1
    assert explicit.read_meter == "cache_read_explicit"
    speech = caching_rule("google", "gemini-2.5-flash-tts", NOW, mode="explicit")
    assert speech is not None and speech.mode == "none"
    hour = caching_rule("anthropic", "claude-sonnet-4-5", NOW)
    assert hour is not None
    assert [(t.name, t.seconds, t.write, t.meter) for t in hour.ttls] == [
        ("5m", 300, Decimal("1.25"), "cache_write_5m"),
        ("1h", 3600, 2, "cache_write_1h"),
    ]
    sonnet = caching_rule("anthropic", "claude-sonnet-4-6", NOW)
    assert sonnet is not None and [(c.key, c.value) for c in sonnet.conflicts] == [("min_tokens", "2048")]


def test_multiples_agree_with_the_prices_of_genai() -> None:
    """An independent oracle: the ratio of cached to uncached input price, for every model that has both."""
    checked = 0
    for provider in genai.providers:
        if provider.id in ("fireworks", "mistral"):  # one default for all, which the price of a model goes before
            continue
        for model in provider.models:
            now = model.prices[-1].prices if isinstance(model.prices, list) else model.prices
            plain, read = base(now.input_mtok), base(now.cache_read_mtok)
            rule = caching_rule(provider.id, model.id, NOW)
            if rule is None or not plain or read is None:
                continue
            assert rule.mode != "none", model.id
            if rule.read is not None:
                assert rule.read == read / plain, (provider.id, model.id)
                checked += 1
    assert checked > 150


ROUNDED = {"gpt-5.4", "gpt-image-1", "gpt-image-1.5", "gemini-3.5-flash-lite"}
"""Models whose cached price in a batch the vendor rounds to a cent, or to a digit."""


def test_batch_factors_agree_with_the_prices_of_genai() -> None:
    checked = {"price": 0, "discounted": 0, "full": 0, "none": 0}
    for provider in genai.providers:
        for model in provider.models:
            for variant in model.price_variants or []:
                rule = batch_rule(provider.id, model.id, NOW)
                if variant.when != {"processing": "batch"} or rule is None or isinstance(model.prices, list):
                    continue
                plain, batch = model.prices, variant.prices
                if base(batch.input_mtok) and base(plain.input_mtok):
                    assert base(batch.input_mtok) == base(plain.input_mtok) * rule.factor, (provider.id, model.id)
                    checked["price"] += 1
                read = base(plain.cache_read_mtok)
                if rule.cached is None or not read or model.id in ROUNDED:
                    continue
                stated = base(batch.cache_read_mtok)
                discounted = {"discounted": read * rule.factor, "full": stated and read, "none": None}[rule.cached]
                assert stated == discounted, (provider.id, model.id)
                checked[rule.cached] += 1
    assert all(count >= 2 for count in checked.values()), checked
    assert checked["price"] > 50


def test_batch_rules_are_dated() -> None:
    assert batch_rule("openai", "gpt-4o", datetime(2024, 4, 14, tzinfo=UTC)) is None
    early = batch_rule("openai", "gpt-4o", datetime(2024, 4, 15, tzinfo=UTC))
    late = batch_rule("openai", "gpt-5", NOW)
    assert early is not None and late is not None
    assert (early.factor, early.cached, late.cached) == (Decimal("0.5"), "none", "discounted")
    assert batch_rule("anthropic", "claude-3-haiku", datetime(2024, 10, 7, tzinfo=UTC)) is None
    google = batch_rule("vertex", "gemini-2.5-pro", NOW)
    assert google is not None
    assert google.cached == "full" and "cache_read" not in google.meters
    assert batch_rule("together", "deepseek-ai/DeepSeek-V4-Pro", NOW) is None  # not among the discounted models
    assert batch_rule("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", NOW) is not None
    first = batch_rule("groq", "llama-3.1-8b-instant", datetime(2025, 4, 1, tzinfo=UTC))
    assert first is not None and first.factor == Decimal("0.75")


def test_a_rule_that_ended_is_not_in_force() -> None:
    text = SOURCE + '[[rule]]\nprovider = "p"\nmodels = ["m-*"]\nfactor = 0.5\nsource = "s"\nvalid_to = 2025-05-01\n'
    root = Document(text, "f").table()
    rules = read_batch(root, read_sources(root))
    assert _first(rules, "P", "M-1", datetime(2025, 4, 30, 23, 59, tzinfo=UTC)) is rules[0]
    assert _first(rules, "P", "M-1", datetime(2025, 5, 1, tzinfo=UTC)) is None
    assert _first(rules, "p", "n", datetime(2025, 1, 1, tzinfo=UTC)) is None


def test_names_of_providers() -> None:
    names = provider_names()
    expected = {"bedrock": "aws", "vertex": "google", "gemini": "google", "xai": "x-ai", "azure_ai": "azure"}
    assert {name: names[name] for name in expected} == expected
    ids = {p.id for p in genai.providers}
    for name, owner in names.items():
        assert name == owner or name not in ids  # an alias never hides another provider
    assert {p.channel for p in providers().values()} >= {"direct", "bedrock", "azure", "openrouter"}


SOURCE = 'source.s = { title = "T", where = "W", seen = 2026-11-01, grade = "assumed" }\n'


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (read_caching, '[[rule]]\nprovider = "p"\nmodels = ["*"]\nsource = "s"\n', r"f:2: 'mode' is missing"),
        (read_caching, '[[rule]]\nprovider = "p"\nmode = "magic"\n', r"f:4: 'mode' is 'magic' \(one of automatic"),
        (read_caching, '[[rule]]\nmode = "automatic"\n', "f:2: 'ttl' is missing"),
        (read_caching, '[[rule]]\nmode = "automatic"\nttl = [{ name = "a" }]\n', "f:4: 'write' is missing"),
        (
            read_caching,
            '[[rule]]\nprovider = "p"\nmodels = ["*"]\nmode = "none"\nsource = "s"\nreed = 1\n',
            "f:7: unknown key 'reed' .did you mean 'read'",
        ),
        (read_batch, '[[rule]]\nprovider = "p"\nmodels = ["*"]\n', "f:2: 'factor' is missing"),
        (read_batch, '[[rule]]\nprovider = "p"\nmodels = ["*"]\nfactor = 0.5\n', "every number has a source"),
        (read_batch, "[[rule]]\nfactor = 0.5\nprovider = 'p'\nmodels = []\n", "f:5: 'models' is "),
        (
            read_providers,
            '[provider.a]\naliases = ["b"]\nsource = "s"\n[provider.b]\nsource = "s"\n',
            "f:5: 'b' is also",
        ),
        (read_providers, '[provider.a]\nsource = "s"\ntime_decides = "end"\n', "f:4: 'time_decides'"),
    ],
)
def test_a_bad_rule_file_is_refused(read: Any, text: str, said: str) -> None:
    root = Document(SOURCE + text, "f").table()
    with pytest.raises(FarthingError, match=said):
        read(root, read_sources(root))

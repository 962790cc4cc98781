"""Kinds of price: exact, and unknown where a part is."""

from collections.abc import Callable
from fractions import Fraction as F
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.index.kinds import Mix, blended, effective, list_price, mix_from, mix_of_usage, per_task
from farthing.problems import FarthingError
from tests.index.made import quote

GPT4 = quote("2023-03-14", None, "30", "60")
CACHING = quote(
    "2024-10-01", None, "2.5", "10", cache_read="1.25", cache_write_5m="3.125", batch={"input": "1.25", "output": "5"}
)


@pytest.mark.parametrize(
    ("mix", "usd"),
    [
        ("3:1", F(150, 4)),  # (3 x 30 + 60) / 4
        ("1:1", F(45)),
        ("1:0", F(30)),
        ("0:1", F(60)),
        ("3:1:4", F(30 * 7 + 60, 8)),  # no price of cached input: it is read as input
        (" 1.5 : 0.5 ", F(150, 4)),
    ],
)
def test_a_blend(mix: str, usd: F) -> None:
    assert blended(Mix.parse(mix))(GPT4) == usd


def test_a_blend_with_cached_and_written_input() -> None:
    # (1 x 2.5 + 1 x 10 + 2 x 1.25 + 1 x 3.125) / 5 = 18.125 / 5
    assert blended(Mix.parse("1:1:2:1"))(CACHING) == F("3.625")


def test_unknown_is_not_zero() -> None:
    no_output = quote("2024-01-01", None, "0.1", None)
    assert blended(Mix.parse("3:1"))(no_output) is None
    assert blended(Mix.parse("1:0"))(no_output) == F("0.1")  # nothing of the mix is unknown
    assert list_price("output")(no_output) is None and list_price("input")(no_output) == F("0.1")
    assert per_task(100, 10)(no_output) is None and per_task(1_000_000, 0)(no_output) == F("0.1")
    assert list_price("input")(quote("2024-01-01", None, "0", "0")) == 0  # somebody stated that it is free


def test_the_effective_price_of_traffic() -> None:
    half_cached = effective(Mix.parse("3:1"), cached_share=F(1, 2))
    assert half_cached(CACHING) == (F("1.5") * F("2.5") + F("1.5") * F("1.25") + 10) / 4
    # In batch input and output cost half; cached reads have no batch price here, and stay as they are.
    all_batch = effective(Mix.parse("3:1"), cached_share=F(1, 2), batch_share=F(1))
    assert all_batch(CACHING) == (F("1.5") * F("1.25") + F("1.5") * F("1.25") + 5) / 4
    assert effective(Mix.parse("3:1"), batch_share=F(1))(GPT4) == blended(Mix.parse("3:1"))(GPT4)  # no batch price
    written = effective(Mix.parse("1:1"), cached_share=F(3, 4), written_share=F(1, 4))
    assert written(CACHING) == (F(3, 4) * F("1.25") + F(1, 4) * F("3.125") + 10) / 2


def test_a_task() -> None:
    # 2,000 in, 500 out and 1,500 of reasoning (billed as output): (2,000 x 30 + 2,000 x 60) / 1e6
    assert per_task(2000, 500, reasoning=1500)(GPT4) == F("0.18")
    # A tokenizer that makes 1.5 times the tokens costs 1.5 times as much at one price.
    assert per_task(2000, 500, F(3, 2), 1500)(GPT4) == F("0.27")


shares = st.fractions(0, 1)
prices = st.fractions(0, 100)


@given(cached=shares, batch=shares, read=prices, plain=prices, out=prices)
@settings(deadline=None, max_examples=60)
def test_effective_lies_between_its_corners(cached: F, batch: F, read: F, plain: F, out: F) -> None:
    """It is linear in each share. (In batch a cached token can cost more than an uncached one: it has no discount.)"""
    one = quote("2024-01-01", None, plain, out, batch={"input": str(plain / 2), "output": str(out / 2)})
    one.usd_per_mtok["cache_read"] = min(read, plain)
    mix = Mix.parse("3:1")
    found = effective(mix, cached, batch)(one)
    corners = [price for a in (0, 1) for b in (0, 1) if (price := effective(mix, F(a), F(b))(one)) is not None]
    assert found is not None and len(corners) == 4
    assert min(corners) <= found <= max(corners)
    assert corners[0] == blended(mix)(one)


def test_a_mix_of_usage() -> None:
    tokens = {"input": 600, "cache_read": 300, "cache_write_5m": 100, "output": 200, "reasoning": 150, "web_search": 7}
    mix = mix_of_usage(tokens)
    assert mix == Mix(input=F(3), output=F(1), cached=F(3, 2), written=F(1, 2))  # reasoning is a part of output
    assert mix_of_usage({"input": 10}) == Mix(input=F(1), output=F(0))
    assert str(mix) == "3:1:1.5:0.5" and str(Mix.parse("3:1")) == "3:1"
    with pytest.raises(FarthingError, match="no tokens"):
        mix_of_usage({"web_search": 1})


def test_a_mix_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "usage.jsonl"
    record = '{"at": "2026-01-01T00:00:00Z", "model": "gpt-4o", "provider": "openai", "input": 900, "output": 100}'
    path.write_text(record + "\n")
    assert mix_from(str(path)) == Mix(input=F(9), output=F(1))
    assert mix_from("9:1") == Mix(input=F(9), output=F(1))


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: Mix.parse("3"), "'3' is not INPUT:OUTPUT"),
        (lambda: Mix.parse("1:2:3:4:5"), "is not INPUT:OUTPUT"),
        (lambda: Mix.parse("3:x"), "the part of output is 'x'"),
        (lambda: Mix.parse("-3:1"), "the part of input is '-3'"),
        (lambda: Mix.parse("3:1e999999"), "the part of output"),
        (lambda: Mix.parse("3:nan"), "the part of output"),
        (lambda: Mix.parse("0:0"), "has no tokens"),
        (lambda: mix_from("usage-that-is-not-there.jsonl"), "nor a usage file that is there"),
        (lambda: effective(Mix.parse("3:1"), F(3, 2)), "cached share 1.5 is not between 0 and 1"),
        (lambda: effective(Mix.parse("3:1"), F(3, 4), F(0), F(1, 2)), "above 1"),
        (lambda: effective(Mix.parse("3:1"), batch_share=F(-1)), "batch share -1"),
        (lambda: per_task(-1, 1), "below 0"),
        (lambda: per_task(0, 0), "a task without tokens"),
        (lambda: per_task(1, 1, 0), "tokenizer ratio 0 is not above 0"),
    ],
)
def test_refusals(call: Callable[[], object], reason: str) -> None:
    with pytest.raises(FarthingError, match=reason):
        call()

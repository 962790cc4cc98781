"""The record: counts are whole, present and possible, or refused."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.time import EPOCH
from farthing.units import METERS
from farthing.usage.record import LARGEST_COUNT, Usage, count, quantities, tier_name

TOKENS, SECONDS = METERS["input"], METERS["audio_second"]


@given(st.integers(0, LARGEST_COUNT))
def test_a_whole_count_is_itself_however_it_is_written(number: int) -> None:
    for written in (number, str(number), f" {number} ", Decimal(number), f"{number}.0", f"{number}e0"):
        assert count(TOKENS, written) == number


@given(st.integers(0, LARGEST_COUNT * SECONDS.scale))
def test_seconds_are_kept_in_millionths(micro: int) -> None:
    assert count(SECONDS, Decimal(micro).scaleb(-6)) == micro
    assert count(SECONDS, str(Decimal(micro).scaleb(-6))) == micro


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (-1, "cannot be negative"), ("-0.0001e4", "cannot be negative"), (LARGEST_COUNT + 1, "absurd"),
        ("1e400", "absurd"), (1.5, "not a whole number"), ("0.1", "not a whole number"), ("nan", "not a whole number"),
        (float("inf"), "not a whole number"), ("", "not a number"), ("many", "not a number"), ("1,000", "not a number"),
        (None, "not a number"), (True, "not a number"), ([1], "not a number"), ({}, "not a number"),
    ],
)  # fmt: skip
def test_what_is_no_count_is_refused(value: object, says: str) -> None:
    with pytest.raises(ValueError, match=f"input is .*{says}"):
        count(TOKENS, value)


def test_a_second_finer_than_the_scale_is_refused() -> None:
    assert count(SECONDS, "0.000001") == 1
    with pytest.raises(ValueError, match="not a number of seconds to 1/1000000"):
        count(SECONDS, "0.0000001")


def test_quantities_leave_out_what_was_not_consumed() -> None:
    stated = {"input": 5, "cache_read": 0, "output": "7", "reasoning": None, "audio_second": "1.5"}
    assert quantities(stated) == {"input": 5, "output": 7, "audio_second": 1_500_000}


def test_reasoning_is_a_part_of_the_output() -> None:
    assert quantities({"output": 7, "reasoning": 7}) == {"output": 7, "reasoning": 7}
    with pytest.raises(ValueError, match=r"reasoning \(8\) is part of output and cannot exceed it \(7\)"):
        quantities({"output": 7, "reasoning": 8})
    with pytest.raises(ValueError, match=r"cannot exceed it \(0\)"):
        quantities({"reasoning": 1})


@pytest.mark.parametrize(
    ("stated", "name"),
    [(None, "standard"), ("", "standard"), ("default", "standard"), ("auto", "standard"), ("on_demand", "standard"),
     ("Batch", "batch"), ("priority ", "priority"), ("flex", "flex"), ("something-new", "something-new")],
)  # fmt: skip
def test_tiers_have_one_spelling(stated: str | None, name: str) -> None:
    assert tier_name(stated) == name


def test_what_was_served_decides() -> None:
    both = Usage(at=EPOCH, quantities={}, provider="p", model_asked="a", model_served="b", tier_asked="flex",
                 tier_served="default")  # fmt: skip
    assert (both.model, both.tier, both.offer) == ("b", "standard", "p/b")
    asked = Usage(at=EPOCH, quantities={}, model_asked="a", tier_asked="flex")
    assert (asked.model, asked.tier, asked.offer) == ("a", "flex", "a")
    assert Usage(at=EPOCH, quantities={}, provider="p").offer is None


def test_the_prompt_is_all_that_was_read() -> None:
    read = {"input": 1, "cache_read": 2, "cache_write_5m": 4, "cache_write_1h": 8, "input_audio": 16, "input_tool": 32}
    usage = Usage(at=EPOCH, quantities={**read, "output": 64, "reasoning": 3, "image": 1, "training": 128})
    assert usage.prompt_tokens == sum(read.values())


@pytest.mark.parametrize("value", ["0e999999999", "1e99999999", "-0e-999999999"])
@pytest.mark.parametrize("name", ["input", "audio_second"])
def test_an_exponent_that_would_take_hours_to_write_out_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is '{value}'"):
        count(METERS[name], value)

"""Placeholders of lists: a model at the price of one a twentieth its size, at one host, at one time."""

import pytest

from farthing.evidence import Grade
from farthing.index.line import Line
from farthing.index.placeholders import billions, without
from tests.index.made import line, quote

LISTED = Grade.DERIVED


@pytest.mark.parametrize(
    ("family", "size"),
    [
        ("llama-3.1-405b", 405), ("mixtral-8x7b", 56), ("qwen3-235b-a22b", 235), ("qwen1.5-0.5b", 0.5),
        ("gpt-4o", None), ("phi-2", None), ("llama-3.2-3b", 3),
    ],
)  # fmt: skip
def test_sizes(family: str, size: float | None) -> None:
    assert billions(family) == size


def listed(model: str, start: str = "2024-08-01", end: str | None = None, price: str = "0.12", **more: object) -> Line:
    grade = more.get("grade", LISTED)
    assert isinstance(grade, Grade)
    return line(model, quote(start, end, price, "0.30", grade=grade), provider=str(more.get("provider", "host")))


def left(*lines: Line) -> list[str]:
    kept, found = without(lines)
    assert found == len(lines) - len(kept)
    return [one.model for one in kept]


def test_a_large_model_at_a_small_ones_price_is_nobodys_offer() -> None:
    """405 / 3 = 135 times the size; 32 / 3 = 10.7 times is sold at one price by some."""
    assert left(listed("llama-3.2-3b"), listed("qwen2.5-32b"), listed("llama-3.1-405b")) == [
        "llama-3.2-3b", "qwen2.5-32b",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "other",
    [
        listed("llama-3.1-405b", price="0.13"),
        listed("llama-3.1-405b", provider="elsewhere"),
        listed("llama-3.1-405b", grade=Grade.VENDOR_STATED),
        listed("llama-3.1-405b", start="2025-08-01"),
        listed("gpt-4o"),
    ],
    ids=["another price", "another host", "the vendor says so", "another time", "no size"],
)
def test_what_is_no_placeholder(other: Line) -> None:
    assert left(listed("llama-3.2-3b", end="2025-08-01"), other) == ["llama-3.2-3b", other.model]


def test_only_the_quotes_that_are_placeholders_go() -> None:
    mended = line(
        "llama-3.1-405b",
        quote("2024-08-01", "2025-01-01", "0.12", "0.30", grade=LISTED),
        quote("2025-01-01", None, "4", "4", grade=LISTED),
        provider="host",
    )
    kept, found = without([listed("llama-3.2-3b"), mended])
    assert found == 1 and [len(one.quotes) for one in kept] == [1, 1]
    assert kept[1].quotes[0].usd_per_mtok["input"] == 4

"""The registry of meters holds together, and the glossary shows all of it."""

import re
from pathlib import Path

import pytest

from farthing.units import CACHE_READS, CACHE_WRITES, METERS, PROMPT_METERS, TOKEN_METERS, Meter, meter

GLOSSARY = Path(__file__).resolve().parents[1] / "docs/glossary.md"

every = pytest.mark.parametrize("one", METERS.values(), ids=str)


def test_names_are_their_keys() -> None:
    assert list(METERS) == [one.name for one in METERS.values()]


@every
def test_a_meter_is_whole(one: Meter) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", one.name)
    assert one.unit
    assert one.what
    assert one.per > 0
    assert one.scale in (1, 10**6)
    assert one.direction in ("", "input", "output")
    assert one.modality in ("text", "audio", "image", "video")


@every
def test_covers_end_and_keep_the_unit(one: Meter) -> None:
    """A price is carried over unchanged, so the broader meter counts the same thing at the same scale."""
    seen = {one.name}
    while one.covered_by:
        broader = METERS[one.covered_by]
        assert broader.name not in seen
        seen.add(broader.name)
        assert (broader.unit, broader.scale, broader.per) == (one.unit, one.scale, one.per)
        one = broader


def test_no_cached_kind_is_covered_by_input_nor_a_long_cache_by_a_short_one() -> None:
    for name in (*CACHE_READS, *CACHE_WRITES):
        chain = []
        while name:
            chain.append(name)
            name = METERS[name].covered_by
        assert "input" not in chain
        assert "output" not in chain
    for ttl in ("1h", "12h", "24h"):
        assert METERS[f"cache_write_{ttl}"].covered_by == ""
    assert METERS["cache_write_5m"].covered_by == "cache_write"


def test_the_groups() -> None:
    assert [name for name, one in METERS.items() if one.part_of] == ["reasoning"]
    assert "reasoning" not in TOKEN_METERS
    assert {"input", "output", "cache_read", "cache_write_1h", "output_audio", "training"} <= set(TOKEN_METERS)
    assert set(CACHE_READS) | set(CACHE_WRITES) | {"input", "input_tool", "input_image"} <= set(PROMPT_METERS)
    assert not [name for name in PROMPT_METERS if METERS[name].direction != "input" or METERS[name].unit != "token"]


@pytest.mark.parametrize("name", ["cache_write_5m", "cache-write-5m"])
def test_a_meter_by_name(name: str) -> None:
    assert meter(name) is METERS["cache_write_5m"]


def test_an_unknown_meter_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="unknown meter 'web-serach'; did you mean 'web_search'"):
        meter("web-serach")
    with pytest.raises(ValueError, match=r"^unknown meter 'zzzz'$"):
        meter("zzzz")


@every
def test_the_glossary_shows_it(one: Meter) -> None:
    [row] = [line for line in GLOSSARY.read_text(encoding="utf-8").splitlines() if line.startswith(f"| `{one.name}` |")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:3] == [one.unit, f"{one.per:,}"]
    assert one.what in cells[-1]
    assert one.covered_by in cells[3]

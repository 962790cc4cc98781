"""Frames are byte for byte what msgspec and zlib make of the same rows, or are left to them."""

import struct
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from farthing.ledger.checksum import checksum
from farthing.ledger.frame import framed, pack
from farthing.ledger.journal import BAD, encode, frames
from farthing.ledger.row import Attempt
from tests.ledger.made import done

ROOM = 4_096  # bytes of a body that is packed where it is written


class Text(str):
    """A text that is none of Python's own."""


lengths = st.sampled_from([0, 1, 31, 32, 33, 255, 256, 1_000, 4_000, 4_096, 70_000])
texts = (
    st.text(max_size=8) | lengths.map(lambda count: "x" * count) | st.sampled_from(["open", "done", "a\0b", "😀" * 70])
)
edges = st.sampled_from([0, 127, 128, 255, 256, 65_535, 65_536, (1 << 32) - 1, 1 << 32, (1 << 63) - 1])
numbers = edges | st.integers(0, (1 << 63) - 1)
words = st.dictionaries(texts, numbers | texts, max_size=15)
plain = st.none() | st.booleans() | numbers | texts | words
odd = st.one_of(
    st.integers(), st.floats(), st.binary(max_size=3), st.just("\ud800"), st.just(Text("t")), st.lists(st.integers()),
    st.sampled_from([1 << 63, (1 << 64) - 1, 1 << 64, -1, -(1 << 63)]), st.just(object()),
    st.dictionaries(texts, st.none() | st.floats() | st.just({"a": 1}), max_size=17),
    st.dictionaries(st.integers() | st.just("\udfff"), numbers, max_size=3), st.just({str(n): n for n in range(16)}),
)  # fmt: skip


def rows(value: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Attempt]]:
    """Rows with some fields, many of them as they are by default."""
    needed = {"attempt": value, "request": value, "started_us": value}
    others = {name: value for name in Attempt.__struct_fields__ if name not in needed}
    one = st.fixed_dictionaries(needed, optional=others).map(lambda each: Attempt(**each))
    return st.lists(one, min_size=0, max_size=3)


@given(rows(plain))
@settings(deadline=None, max_examples=400)
def test_plain_rows_are_packed_as_msgspec_does(made: list[Attempt]) -> None:
    meant = encode(made)
    found = pack(made)
    assert found == meant if found is not None else len(meant) > ROOM - 32  # a number is written with eight to spare


@pytest.mark.slow
@given(rows(plain | odd))
@settings(deadline=None, max_examples=400)
@example([done(1, state="".join(("op", "en")))])  # an "open" that is not the default itself is told, as msgspec does it
@example([done(1)] * 15)
@example([done(1)] * 16)
def test_whatever_is_packed_is_packed_as_msgspec_does(made: list[Attempt]) -> None:
    found = pack(made)
    if found is not None:
        assert found == encode(made)
        assert msgspec.msgpack.decode(found) is not None


def test_what_no_row_can_be_is_left_to_the_general_way() -> None:
    others: list[Any] = [7, None, "row", done(1).__class__]
    for other in others:
        assert pack([done(1), other]) is None
    assert pack([done(1, tags={1: "a"})]) is None
    try:
        encode([done(1, user="\ud800")])
    except BAD:
        assert pack([done(1, user="\ud800")]) is None


def test_every_length_up_to_the_room_and_beyond_it() -> None:
    """No row is cut and none is written past its room, wherever in a row that ends."""
    for count in range(3_500, 4_200):
        made = [done(1, answer="x" * count, holds={"p": 1 << 40})]
        found, meant = pack(made), encode(made)
        assert found == meant or (found is None and len(meant) > ROOM - 32)


@given(st.binary(max_size=2_000), st.integers(0, (1 << 64) - 1))
@settings(deadline=None, max_examples=300)
def test_the_checksum_is_that_of_zlib(data: bytes, through: int) -> None:
    start = through & 0xFFFFFFFF
    assert checksum(data, start) == zlib.crc32(data, start)
    assert framed(data, through) == struct.pack("<IIQ", len(data), zlib.crc32(data, start), through) + data


def test_the_checksum_of_every_length() -> None:
    data = bytes(n * 7 % 251 for n in range(700))
    for count in range(700):
        assert checksum(data[700 - count :], count) == zlib.crc32(data[700 - count :], count)
    assert checksum(b"123456789") == 0xCBF43926  # the check value of CRC-32


def test_a_frame_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "a"
    made = [[done(1), done(2, tags={"team": "ä"})], [done(3)]]
    bodies = [pack(part) or b"" for part in made]
    path.write_bytes(framed(bodies[0], 2) + framed(bodies[1], 1 << 40))
    assert [(frame.through, frame.rows) for frame in frames(path)] == [(2, made[0]), (1 << 40, made[1])]

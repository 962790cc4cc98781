import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.gateway.encoding import unpacker

BODY = b'data: {"a": 1}\n\n' * 50


@pytest.mark.parametrize(("coding", "packed"), [("gzip", gzip.compress(BODY)), ("deflate", zlib.compress(BODY))])
@given(cuts=st.lists(st.integers(1, 40), max_size=20))
def test_what_came_packed_is_unpacked_wherever_it_is_cut(coding, packed, cuts):
    headers = {"content-encoding": coding, "content-type": "text/event-stream"}
    unpack = unpacker(headers, 10_000)
    assert headers == {"content-type": "text/event-stream"}
    made, at = b"", 0
    for size in cuts:
        made += unpack(packed[at : at + size])
        at += size
    assert made + unpack(packed[at:]) == BODY


def test_a_body_that_only_claims_to_be_packed_passes_as_it_is():
    unpack = unpacker({"content-encoding": "gzip"}, 10_000)
    assert unpack(b'{"a":') + unpack(b"1}") == b'{"a":1}'


def test_nothing_is_done_without_a_coding_or_with_one_that_is_not_known():
    assert unpacker({"content-encoding": "identity"}, 10) is None
    headers = {"content-encoding": "br"}
    assert unpacker(headers, 10) is None and headers


def test_damage_and_bombs_are_errors():
    with pytest.raises(ValueError, match="damaged"):
        unpacker({"content-encoding": "gzip"}, 100)(b"\x1f\x8b\x08garbage and more of it")
    with pytest.raises(ValueError, match="too large"):
        unpacker({"content-encoding": "gzip"}, 100)(gzip.compress(b"x" * 10_000))

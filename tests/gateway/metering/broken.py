"""JSON texts, and what is not quite JSON any more."""

import json
from typing import Any

from hypothesis import strategies as st

ODD_TEXTS = st.sampled_from([
    "", "type", "Type", "\x7f", "\u00e9", "\u20ac", "\U0001f600", "\ud83d", 'a"b', "\\", "\n", "x" * 40, "y" * 200, "/",
])  # fmt: skip
TEXTS = st.one_of(st.text(max_size=12), ODD_TEXTS)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS,
    st.sampled_from([10**400, -0.0, 1e-300, 1.5e300]),
)  # fmt: skip
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)
BETWEEN = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r\n ")])
BITS = st.sampled_from([
    b"", b"\x00", b"\x1f", b" ", b"\t", b"\x0b", b'"', b"\\", b"\\u", b"\\ud800", b"\\x", b"{", b"}", b"[", b"]", b",",
    b":", b"-", b"+", b".", b"0", b"01", b"1", b"e", b"E5", b"1.", b"-1", b"1e+", b"true", b"nul", b"NaN", b"\x80",
    b"\xc0\xaf", b"\xc3", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf5", b"\xff", b'"type":1,',
    b'"id":"x",', b"[" * 70, b"9" * 30,
])  # fmt: skip
"""What makes of JSON something else, mostly."""


@st.composite
def texts(draw: st.DrawFn, values: st.SearchStrategy[Any] = VALUES) -> bytes:
    """JSON of a value, in one of the ways in which it is written."""
    return written(draw, draw(values))


def written(draw: st.DrawFn, value: Any) -> bytes:
    ascii_only = draw(st.booleans())
    return json.dumps(value, ensure_ascii=ascii_only, separators=draw(BETWEEN)).encode("utf-8", "surrogatepass")


@st.composite
def damaged(draw: st.DrawFn, text: bytes) -> bytes:
    """`text` with up to three of its pieces replaced, or cut short."""
    for _ in range(draw(st.integers(1, 3))):
        begin = draw(st.integers(0, len(text)))
        end = min(begin + draw(st.sampled_from([0, 0, 1, 1, 2, 5, 40, 10**6])), len(text))
        text = text[:begin] + draw(st.one_of(BITS, st.binary(max_size=3))) + text[end:]
    return text

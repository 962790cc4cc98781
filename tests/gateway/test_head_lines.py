"""The text of an answer's head, compiled, held against Python that says the same."""

import http
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from farthing.gateway.http import passed_headers, passed_lines
from farthing.gateway.process.head_lines import STATUS_LINES, fit_lines, fit_name, fit_pairs, fit_value

NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
texts = st.text(st.characters(max_codepoint=255), max_size=30)
controls = st.text(st.characters(max_codepoint=255) | st.sampled_from("\t\r\n\0\x1f \x7f\x80"), max_size=30)


@settings(deadline=None)
@given(st.binary(max_size=40) | st.from_regex(NAME, fullmatch=True))
@example(b"")
def test_a_name_is_fit_that_is_a_token_in_lower_case(name: bytes) -> None:
    assert fit_name(name) == bool(NAME.fullmatch(name))


@settings(deadline=None, max_examples=500)
@given(st.binary(max_size=40) | controls.map(lambda text: text.encode("latin-1")))
@example(b"")
def test_a_value_is_fit_that_has_no_control_characters_but_tabs(value: bytes) -> None:
    assert fit_value(value) == bool(VALUE.fullmatch(value))


def test_each_byte_is_judged_alike_wherever_it_stands() -> None:
    for byte in range(256):
        for size in (1, 7, 8, 9, 16, 23):
            for at in range(size):
                for filling in (b"a", b"\t", b"\xff"):
                    value = bytearray(filling * size)
                    value[at] = byte
                    assert fit_value(bytes(value)) == bool(VALUE.fullmatch(value))


def test_the_first_line_has_the_phrase_of_its_status() -> None:
    assert STATUS_LINES[200] == b"HTTP/1.1 200 OK" and STATUS_LINES[599] == b"HTTP/1.1 599 "
    assert set(STATUS_LINES) == set(range(200, 600))
    for status in http.HTTPStatus:
        if status >= 200:
            assert STATUS_LINES[status] == f"HTTP/1.1 {status.value} {status.phrase}".encode()


class Names(dict[str, bytes | None]):
    """Passes on all names but "no"."""

    def __missing__(self, name: str) -> bytes | None:
        found = self[name] = None if name == "no" else name.encode("latin-1")
        return found


@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "bc", "no", "n" * 5000]) | texts, controls | st.just("v" * 3000)), max_size=12
    ),
    st.integers(0, 40) | st.just(8192),
)
def test_lines_are_those_of_the_pairs_that_are_fit(pairs: list[tuple[str, str]], longest: int) -> None:
    values = ((name, value.encode("latin-1")) for name, value in pairs)
    expected = [
        (name.encode("latin-1"), value)
        for name, value in values
        if name != "no" and len(value) <= longest and VALUE.fullmatch(value)
    ]
    names = Names()
    for _ in range(2):  # the second time they are known
        assert fit_pairs(pairs, names, longest) == expected
        assert fit_lines(pairs, names, longest) == b"".join(map(b"%b: %b\r\n".__mod__, expected))


@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Content-Type", "x-a", "content-length", "transfer-encoding", "x-ratelimit-x", "x y", ""])
            | texts,
            controls,
        ),
        max_size=6,
    ),
    st.booleans(),
)
def test_what_is_passed_on_can_neither_frame_an_answer_nor_end_its_line(
    pairs: list[tuple[str, str]], limited: bool
) -> None:
    passed = passed_headers(pairs, limited)
    assert passed_lines(pairs, limited) == b"".join(map(b"%b: %b\r\n".__mod__, passed))
    for name, value in passed:
        assert NAME.fullmatch(name) and VALUE.fullmatch(value)
        assert name not in (b"content-length", b"transfer-encoding", b"connection")


@pytest.mark.parametrize(
    "odd",
    [[("a", "\u0100")], [("a", None)], [(None, "a")], [("a", b"b")], [(b"a", "b")], [("a",)], [1], None, [("a", 1)]],
)
def test_what_is_no_text_is_refused(odd: Any) -> None:
    for make in (fit_pairs, fit_lines):
        with pytest.raises((TypeError, ValueError)):
            make(odd, {"a": b"a"}, 10)


def test_names_that_are_no_bytes_are_refused() -> None:
    odd: Any = {"a": "a"}
    for make in (fit_pairs, fit_lines):
        with pytest.raises(TypeError):
            make([("a", "b")], odd, 10)
        with pytest.raises(KeyError):
            make([("a", "b")], {}, 10)
        with pytest.raises((TypeError, SystemError)):
            make([("a", "b")], odd.items(), 10)

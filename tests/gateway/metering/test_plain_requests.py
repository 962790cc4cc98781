"""The walk along JSON in C, and requests that are known by what stands around their prompts."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.gateway.metering import Asked, Surface, read_request, request
from farthing.gateway.metering.outlines import Outline, Outlines
from farthing.gateway.metering.plain_requests import Remembered, names_no_type
from tests.gateway.metering.agents import as_a_whole
from tests.gateway.metering.broken import VALUES, damaged, texts, written

_raw = msgspec.json.Decoder(msgspec.Raw).decode


def names_of(value: Any) -> list[str]:
    """Every name in a decoded value."""
    if isinstance(value, dict):
        return [*value, *(name for inner in value.values() for name in names_of(inner))]
    return [name for inner in value for name in names_of(inner)] if isinstance(value, list) else []


def is_json(text: bytes) -> bool:
    """By Python's decoder, which takes only three words more than the grammar has."""
    try:
        json.loads(text.decode("utf-8"), parse_constant=refuse, parse_int=str, parse_float=str)
    except ValueError:
        return False
    return True


def refuse(constant: str) -> None:
    raise ValueError(constant)


def holds_no_type(text: bytes) -> bool:
    """What `names_no_type` says of a text that is neither deep nor crowded, and whose names are as they are written."""
    return is_json(text) and "type" not in names_of(json.loads(text, parse_int=str))


@settings(deadline=None, max_examples=1500)
@given(st.data(), VALUES)
def test_whatever_is_json_is_walked_along(data: st.DataObject, value: Any) -> None:
    text = data.draw(texts(st.just(value)))
    if all(json.dumps(name) == f'"{name}"' for name in names_of(value)):
        assert names_no_type(text) is holds_no_type(text)
        assert names_no_type(b" \r\n\t" + text + b"\n") is holds_no_type(text)
    elif names_no_type(text):
        assert holds_no_type(text)


@pytest.mark.slow
@settings(deadline=None, max_examples=3000)
@given(st.data(), texts())
def test_what_is_not_quite_json_is_not(data: st.DataObject, text: bytes) -> None:
    """What C takes, Python takes, and msgspec (but for half a surrogate pair, which upstreams do send)."""
    broken = data.draw(damaged(text))
    if names_no_type(broken):
        assert holds_no_type(broken)
        if b"\\u" not in broken:
            _raw(broken)


@settings(deadline=None, max_examples=1000)
@given(st.binary(max_size=40))
def test_any_bytes(text: bytes) -> None:
    if names_no_type(text):
        assert holds_no_type(text)


@settings(deadline=None, max_examples=1000)
@given(st.binary(max_size=6), st.integers(0, 90))
def test_utf8_wherever_it_stands(odd: bytes, before: int) -> None:
    """As Python decodes it. (By 16 bytes at a time is looked for what is not ASCII.)"""
    text = b'"' + b"x" * before + odd.replace(b'"', b"").replace(b"\\", b"") + b'"'
    assert names_no_type(text) is is_json(text)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 14, 15, 16, 17, 63, 64, 79, 80, 81, 127, 128, 129, 500])
@pytest.mark.parametrize("mark", [b'"', b"\\", b"\x1f", b"\x00", b"\x80"])
def test_a_mark_is_found_wherever_it_stands(size: int, mark: bytes) -> None:
    for at in range(size):
        assert not names_no_type(b'"' + b"x" * at + mark + b"x" * (size - at) + b'"')
    assert names_no_type(b'"' + b"~ " * size + b'"')


def test_how_deep() -> None:
    assert names_no_type(b"[" * 63 + b"]" * 63)
    assert not names_no_type(b"[" * 64 + b"]" * 64)
    assert not names_no_type(b'{"a":' * 100_000)


def test_how_crowded() -> None:
    assert names_no_type(b"[" + b",".join([b"0"] * 300_000) + b"]")
    assert not names_no_type(b"[" + b",".join([b"[]"] * 60_000) + b"]")
    assert not names_no_type(b'["' + b'","'.join([b""] * 300_000) + b'"]')


# what is remembered

OUTSIDES = st.sampled_from([
    b'{"model":"m","messages":%s,"max_tokens":9}', b'{"messages":%s,"model":"m","stop":["\\n"]}',
    b'{ "model" : "m", "n": 2, "messages" : %s , "stream": true}\n', b'{"model":"m","input":"hi","messages":%s}',
    b'{"model":"m","input":%s,"dimensions":5}', b'{"model":"m","messages":"messages","stop":%s}',
    b'{"model":"m","stop":{"messages":%s},"messages":[1]}', b'{"model":"m","max_tokens":5,"max_tokens":%s}',
    b'{"model":"m","messages":%s,"messages":[]}', b'{"model":"m","messages":%s,"tools":[]}',
    b'{"model":"m","messages":%s', b'{"model":"m","x\\"messages":%s}', b'["messages":%s]',
    b'{"model":"m"}"messages":%s',
    b'{"model":"m","mess\\u0061ges":%s,"messages":[]}', b'{"model":%s,"messages":[]}', b'{"messages":%s',
])  # fmt: skip


@pytest.mark.slow
@settings(deadline=None, max_examples=1500)
@given(st.sampled_from(list(Surface)), OUTSIDES, st.lists(VALUES, min_size=2, max_size=5), st.data())
def test_what_is_remembered_is_what_would_be_read(
    surface: Surface, outside: bytes, prompts: list[Any], data: st.DataObject
) -> None:
    """Of bodies with the same around other prompts, some of them damaged, in any order."""
    request._remembered.clear()
    bodies = [outside % data.draw(st.composite(written)(prompt)) for prompt in prompts]
    bodies += [data.draw(damaged(body)) for body in bodies]
    quick = [read_request(surface, body) for body in bodies * 2]
    assert quick == [as_a_whole(surface, body) for body in bodies] * 2


def remembering(**changed: int) -> Remembered:
    found = Outlines(parts=["messages"], others=[], not_text=["image"], built_in=["mcp"])
    return Remembered(found, **{"most": 3, "longest": 40, "most_bytes": 200, "least": 1, "likely": 4, **changed})


def keep(known: Remembered, body: bytes, asked: Asked) -> None:
    outline = known.ask(body)
    assert type(outline) is Outline
    known.keep(outline, asked)


def test_the_size_is_that_of_the_body() -> None:
    """31 bytes are at most 31 tokens, and likely 8 of 4 bytes each."""
    kept = Asked(model="m", prompt_tokens_bound=27, prompt_tokens_estimate=1, metadata={"a": "b"})
    known = remembering()
    keep(known, b'{"messages":[],"model":"m"}', kept)  # 27 bytes: nothing beside them
    assert known.ask(b'{"messages":null,"model":"m"}') == Asked(
        model="m", prompt_tokens_bound=29, prompt_tokens_estimate=8, metadata={"a": "b"}
    )
    assert known.ask(b'{"messages":"hi!!","model":"m"}') == Asked(
        model="m", prompt_tokens_bound=31, prompt_tokens_estimate=8, metadata={"a": "b"}
    )
    assert kept.prompt_tokens_bound == 27


def test_what_is_beside_the_text_is_beside_any_text() -> None:
    """27 bytes are 14 tokens of 2, 31 are 16: with 1,000 beside them. Where there was no bound there is none."""
    known = remembering(least=2)
    keep(known, b'{"messages":[],"model":"m"}', Asked(prompt_tokens_bound=1014))
    found = known.ask(b'{"messages":"hi!!","model":"m"}')
    assert type(found) is Asked and (found.prompt_tokens_bound, found.prompt_tokens_estimate) == (1016, 8)
    keep(known, b'{"messages":[],"model":"n"}', Asked(prompt_size_from="no bound"))
    assert known.ask(b'{"messages":"hi!!","model":"n"}') == Asked(prompt_tokens_estimate=8, prompt_size_from="no bound")


def test_an_outline_that_is_long_is_not_remembered() -> None:
    known = remembering()
    keep(known, b'{"messages":[],"model":"%s"}' % (b"m" * 40), Asked())
    assert known.count == 0


def test_what_is_remembered_is_bounded() -> None:
    """Three at most, and of 23 bytes each two where they have 50 together; what is kept already is kept once."""
    known, few = remembering(), remembering(most_bytes=50)
    for number in range(10):
        for one, most in ((known, 3), (few, 2)):
            outline = one.ask(b'{"messages":null,"n":%d}' % number)
            assert type(outline) is Outline
            one.keep(outline, Asked(choices=number))
            one.keep(outline, Asked(choices=77))
            assert 0 < one.count <= most and one.held_bytes == 23 * one.count
            found = one.ask(b'{"messages":"22","n":%d}' % number)
            assert type(found) is Asked and found.choices == number


def test_only_a_request_is_remembered() -> None:
    outline = remembering().ask(b'{"messages":null}')
    assert type(outline) is Outline
    with pytest.raises(TypeError):
        remembering().keep(outline, "something else")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        remembering().keep(None, Asked())  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        remembering().ask(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="0 bytes"):
        remembering(least=0)


def test_others_that_hold_the_same_request_keep_it() -> None:
    """Each copy owns what it points to: none is freed twice, none too early."""
    known = remembering()
    body = b'{"messages":"","model":"m"}'
    keep(known, body, Asked(model="".join(["a", "name"]), metadata={"a": "b"}, prompt_tokens_bound=len(body)))
    for _ in range(1000):
        found = [known.ask(b'{"messages":"%s","model":"m"}' % (b"x" * 300)) for _ in range(5)]
        assert [(one.model, one.metadata, one.prompt_tokens_bound) for one in found if type(one) is Asked] == [
            ("aname", {"a": "b"}, 327)
        ] * 5

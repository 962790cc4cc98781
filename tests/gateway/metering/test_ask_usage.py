"""Asking for usage: the smallest change to the bytes, and everything else as the client wrote it."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.gateway.metering import Surface, must_ask, with_stream_usage
from farthing.gateway.metering.members import members

ASK = b'"stream_options":{"include_usage":true}'


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        (b'{"model":"m","stream":true}', b'{' + ASK + b',"model":"m","stream":true}'),
        (b' {\n  "model": "m",\t"stream" : true\n}\n', b' {' + ASK + b',\n  "model": "m",\t"stream" : true\n}\n'),
        (b'{"stream":true,"stream_options":null}', b'{"stream":true,' + ASK + b"}"),
        (b'{"stream":true,"stream_options":{}}', b'{"stream":true,' + ASK + b"}"),
        (b'{"stream":true,"stream_options":{"a":1}}', b'{"stream":true,"stream_options":{"include_usage":true,"a":1}}'),
        (b'{"stream":true,"stream_options":{"include_usage":false, "a":[1]}}',
         b'{"stream":true,"stream_options":{"include_usage":true, "a":[1]}}'),
        (b'{"stream":true,"stream_options":{"include_usage":null}}', b'{"stream":true,' + ASK + b"}"),
        # a name in a text or in a tool's schema is not the field
        (b'{"messages":["\\"stream_options\\":null"],"tools":[{"stream_options":null}],"stream":true}',
         b'{' + ASK + b',"messages":["\\"stream_options\\":null"],"tools":[{"stream_options":null}],"stream":true}'),
        (b'{"tools":[{"stream_options":{}}],"stream_options":{"x":"}"},"stream":true}',
         b'{"tools":[{"stream_options":{}}],"stream_options":{"include_usage":true,"x":"}"},"stream":true}'),
        (b'{"stream":true,"stream\\u005foptions":{}}',
         b'{"stream":true,"stream\\u005foptions":{"include_usage":true}}'),
        (b'{"stream":true,"x":"\\ud83d"}', b'{' + ASK + b',"stream":true,"x":"\\ud83d"}'),
    ],
)  # fmt: skip
def test_spliced(body: bytes, asked: bytes) -> None:
    assert with_stream_usage(body) == asked
    assert json.loads(asked)["stream_options"]["include_usage"] is True
    assert with_stream_usage(asked) is asked


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"{", b"\xff", b'{"stream":false}', b'{"stream":null}', b'{"stream":"true"}', b'{"model":"m"}',
     b'{"stream":true,"stream_options":{"include_usage":true}}', b'{"stream":true,"stream_options":[1]}',
     b'{"stream":true' + b"[" * 100_000],
)  # fmt: skip
def test_left_as_it_is(body: bytes) -> None:
    assert with_stream_usage(body) is body


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6) | st.just("stream_options"), inner),
    max_leaves=12,
)
OPTIONS = st.none() | st.dictionaries(st.sampled_from(["include_usage", "include_obfuscation", '"}']), VALUES)


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=5), OPTIONS, st.booleans(),
       st.sampled_from([None, 2]), st.booleans())  # fmt: skip
def test_only_the_asking_changes(row: dict[str, Any], options: Any, given: bool, indent: int | None, asc: bool) -> None:
    body = {**row, "stream": True, **({"stream_options": options} if given else {})}
    text = json.dumps(body, indent=indent, ensure_ascii=asc).encode("utf-8", "surrogatepass")
    try:
        text.decode()
    except UnicodeDecodeError:
        return
    found = json.loads(with_stream_usage(text))
    expected = {**(options or {} if given else {}), "include_usage": True}
    assert {**found, "stream_options": None} == {**json.loads(text), "stream_options": None}
    assert found["stream_options"] == json.loads(json.dumps(expected))
    assert [name for name in found if name != "stream_options"] == [name for name in body if name != "stream_options"]


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=6), st.sampled_from([None, 1]), st.booleans())
def test_members_are_cut_where_json_cuts_them(row: dict[str, Any], indent: int | None, asc: bool) -> None:
    text = json.dumps(row, indent=indent, ensure_ascii=asc).encode("utf-8", "surrogatepass")
    whole = json.loads(text.decode("utf-8", "surrogatepass"))
    found = list(members(text))
    if asc:
        assert [member.name for member in found] == list(whole)
    cut = [json.loads(text[member.start : member.end].decode("utf-8", "surrogatepass")) for member in found]
    assert cut == list(whole.values())


@pytest.mark.parametrize(
    ("surface", "provider", "ask"),
    [
        (Surface.CHAT, "openai", True), (Surface.CHAT, "vllm", True), (Surface.COMPLETIONS, "", True),
        (Surface.CHAT, "mistral", False), (Surface.CHAT, "mistralai", False), (Surface.RESPONSES, "openai", False),
        (Surface.MESSAGES, "anthropic", False), (Surface.EMBEDDINGS, "openai", False),
    ],
)  # fmt: skip
def test_who_must_be_asked(surface: Surface, provider: str, ask: bool) -> None:
    """Mistral refuses the field with 422 (openai-agents-python 442) and states usage without it."""
    assert must_ask(surface, provider) is ask

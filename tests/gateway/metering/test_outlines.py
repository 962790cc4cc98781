"""Requests that are known by their outlines: each is read as it would be if all of it were decoded."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.gateway.metering import Surface, read_request, request
from farthing.gateway.metering.outlines import Outline, Outlines
from tests.gateway.metering.agents import AGENTS, agents_requests, as_a_whole, codex, schema
from tests.gateway.metering.broken import damaged

CHAT, MESSAGES, RESPONSES = Surface.CHAT, Surface.MESSAGES, Surface.RESPONSES
SURFACES = st.one_of(st.sampled_from([CHAT, MESSAGES, RESPONSES]), st.sampled_from(list(Surface)))


def finder() -> Outlines:
    return Outlines(parts=["messages"], others=["system"], not_text=["image", "file"], built_in=["mcp", "web_search"])


def outline(body: bytes) -> Outline | None:
    return finder().outline(body)


@pytest.mark.slow
@settings(deadline=None, max_examples=2500)
@given(SURFACES, agents_requests(), st.data())
def test_what_is_read_quickly_is_what_would_be_decoded(
    surface: Surface, bodies: list[bytes], data: st.DataObject
) -> None:
    """In any order, some of them damaged; twice, for the second time they are known."""
    request._remembered.clear()
    bodies += [data.draw(damaged(body)) for body in bodies[:2]]
    assert [read_request(surface, body) for body in bodies * 2] == [as_a_whole(surface, body) for body in bodies] * 2


@pytest.mark.parametrize("surface", AGENTS)
@pytest.mark.parametrize("indent", [None, 2])
def test_what_agents_send(surface: Surface, indent: int | None) -> None:
    """Its bytes are the bound, and the 1,000 tokens that providers add for tools."""
    request._remembered.clear()
    for turns in (2, 2, 5, 0):
        sent = AGENTS[surface](turns)
        body = json.dumps(sent, indent=indent, ensure_ascii=turns == 5).encode()
        asked = read_request(surface, body)
        assert asked.problem == "" and asked.model == sent["model"] and asked.stream
        assert asked.tools == len(sent["tools"]) and asked.prompt_tokens_bound == len(body) + 1000
        assert asked == as_a_whole(surface, body)
        assert asked.user == ("user_0f_account_1_session_2" if surface is MESSAGES else "")
    assert request._remembered[surface].count == 1  # which it was asked for four times


@pytest.mark.parametrize("surface", AGENTS)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_wherever_it_is_cut_off(surface: Surface, ascii_only: bool) -> None:
    body = json.dumps(AGENTS[surface](1), ensure_ascii=ascii_only).encode()
    found = finder()
    assert read_request(surface, body).problem == ""
    assert not any(found.outline(body[:end]) for end in range(len(body)))
    assert all(read_request(surface, body[:end]).problem for end in range(0, len(body), 97))


def test_what_an_outline_says() -> None:
    """Null for what is cut out, the number of tools and whether one is built in; all else is as it stands."""
    tools = b'[{"type":"function","name":"image"},{"name":"x"}, {"type":"web_search_2"}]'
    body = b'{"model":"m", "messages" : [{"content":"\xe2\x82\xac"}],"tools":%s,"system":{"type":"image"},"n":1 }\n'
    body %= tools
    found = outline(body)
    assert found is not None
    assert found.text == b'{"model":"m", "messages" : null,"tools":[3,1],"system":null,"n":1 }\n'
    assert (found.size, found.tools, found.built_in) == (len(body), 3, True)


@pytest.mark.parametrize(
    ("prompt", "is_text"),
    [
        ('"hi"', True), ("null", True), ("[]", True), ("[{}]", True), ('[{"content":null}]', True), ("5", False),
        ('[{"type":null,"x":{"type":"image"}}]', True),
        ('["hi"]', False), ('[{"content":5}]', False), ('[{"content":["a"]}]', False), ('[{"type":"image"}]', False),
        ('[{"content":{"content":{"output":[{"type":"text"}]}}}]', True),
        ('[{"content":{"content":{"output":[{"type":"file"}]}}}]', False), ('[{"type":5}]', False),
        ('[{"ty\\u0070e":"a"}]', False), ('[{"type":"\\u0069mage"}]', False), ('[{"type":"imag"}]', True),
        ('[{"type":"image","type":"text"}]', False), ('[{"text":"\\u20ac"}]', True), ('[{"t\u00e9":1}]', False),
        ('[{"content":' * 24 + '"a"' + "}]" * 24, True), ('[{"content":' * 25 + '"a"' + "}]" * 25, False),
        ('[{"x":' + "[" * 63 + "]" * 63 + "}]", True), ('[{"x":' + "[" * 64 + "]" * 64 + "}]", False),
    ],
)  # fmt: skip
def test_what_is_all_text(prompt: str, is_text: bool) -> None:
    assert (outline(b'{"messages":%s}' % prompt.encode()) is not None) is is_text


@pytest.mark.parametrize(
    ("tools", "found"),
    [
        ("[]", (0, False)), ("null", (0, False)), ("[{}]", (1, False)), ('[{"type":"mcp"}]', (1, True)), ("5", None),
        ('[{"type":null}]', (1, False)), ('[{"type":""}]', (1, False)), ('[{"type":"mc"}]', (1, False)), ("{}", None),
        ('[{"type":"mcpx"},{}]', (2, True)), ('[{"type":" mcp"}]', None), ('[{"type":"\x7fmcp"}]', None), ("[5]", None),
        ('[{"type":"mcp","type":"a"}]', None), ('[{"type":5}]', None), ('[{"type":"\\u006dcp"}]', None),
        ('[{"x":{"type":"mcp"}}]', (1, False)), ('[{"t\\u0079pe":"mcp"}]', None), ("[{}", None), ("[{},]", None),
    ],
)  # fmt: skip
def test_what_tools_there_are(tools: str, found: tuple[int, bool] | None) -> None:
    told = outline(b'{"tools":%s}' % tools.encode())
    assert (told and (told.tools, told.built_in)) == found
    assert outline(b'{"tools":[],"tools":%s}' % tools.encode()) is None or tools == "null"


@pytest.mark.parametrize(
    "odd", [b"", b"{", b"{}", b"[]", b'{"a":1,}', b'{,"a":1}', b'{"a":1}x', b'{"a":"\\u0041"}', b'{"\\n":1}', b"{" * 99]
)
def test_what_has_no_outline(odd: bytes) -> None:
    assert outline(odd) is None


def test_half_a_letter_stands_in_the_prompt_alone() -> None:
    """Beside it, it would change how the others are read."""
    assert outline(b'{"messages":"\\ud83d"}') is not None
    assert outline(b'{"messages":"","user":"\\ud83d\\ude00"}') is None
    for prompt in (b"\\ud83d", b"", b"\\ud83d"):
        body = b'{"model":"m","messages":[{"content":"%s","type":"text"}],"user":"\\ud83d\\ude00"}' % prompt
        assert read_request(CHAT, body) == as_a_whole(CHAT, body)


def test_lists_of_tools_are_kept_within_bounds() -> None:
    """More of them than are kept, of all lengths, each with others that begin alike; what they hold is not mixed up."""
    found = finder()
    for _ in range(3):
        for count in range(1, 40):
            kinds = ["mcp" if count % 3 == 0 else "custom", *["function"] * (count - 1)]
            tools = [{"parameters": schema(0), "type": kind} for kind in reversed(kinds)]
            told = found.outline(json.dumps({"tools": tools}).encode())
            assert told is not None and (told.tools, told.built_in) == (count, count % 3 == 0)
    for size in (100_000, 600_000, 900_000, 1_200_000, 600_000, 100_000):
        for _ in range(2):
            told = found.outline(b'{"tools":[{"name":"%s"}],"n":1}' % (b"x" * size))
            assert told is not None and told.text == b'{"tools":[1,0],"n":1}'


def test_what_is_known_of_tools_counts_for_the_crowd() -> None:
    """40,000 lists in the tools and 20,000 beside them are more than 50,000, as well when the tools are known."""
    tools = b'[{"x":[%s]}]' % b",".join([b"[]"] * 40_000)
    found = finder()
    for _ in range(2):
        assert found.outline(b'{"tools":%s}' % tools) is not None
        assert found.outline(b'{"tools":%s,"messages":[{"x":[%s]}]}' % (tools, b",".join([b"[]"] * 20_000))) is None


@pytest.mark.parametrize("name", ["Messages", "TOOLS", "messages", "tools", "model", "input"])
def test_a_second_statement_is_refused_all_the_same(name: str) -> None:
    sent = json.dumps(codex())[:-1].encode()
    body = sent + b',"%s":[]}' % name.encode()
    for _ in range(2):
        asked = read_request(RESPONSES, body)
        assert bool(asked.problem) is (name != "messages")
        assert asked == as_a_whole(RESPONSES, body)


def test_too_many_words() -> None:
    odd: Any
    for odd in (["x"] * 33, ["x" * 64], [""]):
        with pytest.raises(ValueError, match="words"):
            Outlines(parts=odd, others=[], not_text=[], built_in=[])

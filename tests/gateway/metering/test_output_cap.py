"""The limit that is written into a request which states none."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.gateway.metering import Surface, read_request
from farthing.gateway.metering.output_cap import CAP_FIELDS, with_output_cap

CHAT = b'{"model":"m","messages":[{"role":"user","content":"say \\"max_completion_tokens\\": 7"}]}'


@pytest.mark.parametrize("surface", sorted(CAP_FIELDS))
def test_the_limit_is_what_the_request_then_asks_for(surface: Surface) -> None:
    body = b'{ "model": "m", "messages": [], "input": "x" }'
    capped = with_output_cap(surface, body, 1024)
    assert json.loads(capped) == {**json.loads(body), CAP_FIELDS[surface]: 1024}
    assert read_request(surface, capped).max_output_tokens == 1024


def test_only_the_limit_is_added_and_words_in_the_prompt_do_not_matter() -> None:
    assert with_output_cap(Surface.CHAT, CHAT, 99) == b'{"max_completion_tokens":99,' + CHAT[1:]
    assert with_output_cap(Surface.CHAT, CHAT, 99, "max_tokens") == b'{"max_tokens":99,' + CHAT[1:]
    assert with_output_cap(Surface.CHAT, b"{}", 99) == b'{"max_completion_tokens":99}'


@pytest.mark.parametrize(
    "body",
    [b'{"model":"m","max_completion_tokens":null}', b'{"max_completion_tokens" : null , "model":"m"}',
     b'{"model":"m","max_completion_token\\u0073":null}'],
)  # fmt: skip
def test_a_null_limit_gives_way_for_another_parser_may_take_the_last_of_two(body: bytes) -> None:
    assert read_request(Surface.CHAT, body).max_output_tokens is None
    capped = with_output_cap(Surface.CHAT, body, 5)
    assert json.loads(capped, object_pairs_hook=list).count(("max_completion_tokens", 5)) == 1
    assert len(json.loads(capped, object_pairs_hook=list)) == 2


def test_a_surface_without_a_limit_is_left_alone() -> None:
    body = b'{"model":"m","input":"x"}'
    assert with_output_cap(Surface.EMBEDDINGS, body, 5) is body
    assert with_output_cap(Surface.COUNT_TOKENS, body, 5) is body


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=12), json_values, max_size=5), st.booleans(), st.integers(1, 10**6))
def test_any_body_keeps_all_else(stated: dict[str, object], plain: bool, tokens: int) -> None:
    stated.pop("max_output_tokens", None)
    body = json.dumps(stated, ensure_ascii=plain, indent=None if plain else 1).encode()
    assert json.loads(with_output_cap(Surface.RESPONSES, body, tokens)) == {**stated, "max_output_tokens": tokens}

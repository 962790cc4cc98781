"""The common forms of usage objects: read quickly, and always as the general rules would read them."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.usage.readers import usage_objects
from farthing.usage.readers.common_usage import MOST, common_anthropic, common_openai
from farthing.usage.readers.values import BadRow
from farthing.usage.record import LARGEST_COUNT

ODD: list[Any] = [
    None,
    True,
    False,
    "",
    0,
    "7",
    Decimal("2.0"),
    -1,
    LARGEST_COUNT,
    LARGEST_COUNT + 1,
    MOST,
    MOST + 1,
    5.0,
    "standard",
    [],
    {},
    {"a": 1},
    "null",
]
COUNTS = st.one_of(st.integers(0, 300), st.integers(0, 3), st.sampled_from(ODD))
PARTS = [
    "cached_tokens", "audio_tokens", "text_tokens", "image_tokens", "reasoning_tokens", "accepted_prediction_tokens",
    "rejected_prediction_tokens", "cache_write_tokens", "cached_tokens_details", "thinking_tokens",
    "web_search_requests", "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens", "odd",
]  # fmt: skip
INNER = st.one_of(st.dictionaries(st.sampled_from(PARTS), COUNTS, max_size=4), st.sampled_from([None, {}, "{}", 5, []]))
OPENAI = {
    "prompt_tokens": COUNTS, "completion_tokens": COUNTS, "total_tokens": COUNTS, "prompt_tokens_details": INNER,
    "completion_tokens_details": INNER, "prompt_cache_hit_tokens": COUNTS, "prompt_cache_miss_tokens": COUNTS,
    "cost": COUNTS, "cost_details": INNER, "queue_time": COUNTS, "total_time": COUNTS,
}  # fmt: skip
RESPONSES = {
    "input_tokens": COUNTS, "output_tokens": COUNTS, "total_tokens": COUNTS, "input_tokens_details": INNER,
    "output_tokens_details": INNER,
}  # fmt: skip
ANTHROPIC = {
    "input_tokens": COUNTS, "output_tokens": COUNTS, "cache_read_input_tokens": COUNTS,
    "cache_creation_input_tokens": COUNTS, "cache_creation": INNER, "service_tier": COUNTS, "speed": COUNTS,
    "inference_geo": COUNTS, "server_tool_use": INNER,
    "output_tokens_details": INNER,
    "iterations": st.sampled_from([None, [], [{"type": "compaction", "input_tokens": 5}], 3]),
}  # fmt: skip
ELSE = {"reasoning_tokens": COUNTS, "cached_tokens": COUNTS, "cache_write_tokens": COUNTS, "odd": COUNTS}


def usages(*forms: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Usage objects with any of the fields of each of the forms."""
    return st.one_of(*(st.fixed_dictionaries({}, optional=form) for form in forms))


def outcome(rule: Any, usage: dict[str, Any]) -> Any:
    try:
        return rule(usage)
    except BadRow as bad:
        return str(bad)


@settings(deadline=None, max_examples=1000)
@given(usages(OPENAI, RESPONSES, {**OPENAI, **ELSE}, {**OPENAI, **RESPONSES}, ANTHROPIC))
def test_openai_as_the_general_rules_read_it(usage: dict[str, Any]) -> None:
    common = common_openai(usage)
    assert common is None or common == outcome(usage_objects._openai_in_general, usage)


@settings(deadline=None, max_examples=1000)
@given(usages(ANTHROPIC, {**ANTHROPIC, **ELSE}, RESPONSES))
def test_anthropic_as_the_general_rules_read_it(usage: dict[str, Any]) -> None:
    common = common_anthropic(usage)
    assert common is None or common == outcome(usage_objects._anthropic_in_general, usage)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        # OpenAI: 19 - 4 = 15
        ({"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29,
          "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
          "completion_tokens_details": {"reasoning_tokens": 6, "audio_tokens": 0, "accepted_prediction_tokens": 0,
                                        "rejected_prediction_tokens": 0}},
         {"input": 15, "cache_read": 4, "output": 10, "reasoning": 6}),
        ({"prompt_tokens": 8, "total_tokens": 8}, {"input": 8}),  # embeddings
        ({"prompt_tokens": 7, "total_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": None},  # vLLM
         {"input": 7, "output": 2}),
        # DeepSeek: 100 - 64 = 36
        ({"prompt_tokens": 100, "completion_tokens": 40, "total_tokens": 140, "prompt_cache_hit_tokens": 64,
          "prompt_cache_miss_tokens": 36}, {"input": 36, "cache_read": 64, "output": 40}),
        # Groq states times beside the counts
        ({"queue_time": 0.02, "prompt_tokens": 9, "prompt_time": 0.001, "completion_tokens": 3, "completion_time": 0.01,
          "total_tokens": 12, "total_time": 0.011}, {"input": 9, "output": 3}),
        ({"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": None}},
         {"input": 5, "output": 2}),
        ({"prompt_tokens": MOST, "completion_tokens": 1}, {"input": MOST, "output": 1}),
        ({"input_tokens": 328, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 52,
          "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 380}, {"input": 328, "output": 52}),
    ],
)  # fmt: skip
def test_what_providers_send_is_common(usage: dict[str, Any], expected: dict[str, int]) -> None:
    assert common_openai(usage) == common_openai(usage, cost=False) == expected


def test_what_anthropic_sends_is_common() -> None:
    usage = {
        "input_tokens": 2095, "cache_creation_input_tokens": 350, "cache_read_input_tokens": 7,
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200}, "output_tokens": 503,
        "service_tier": "standard",
    }  # fmt: skip
    # 350 written, of which the split states 300: the other 50 are for five minutes
    assert common_anthropic(usage) == {
        "input": 2095, "cache_read": 7, "cache_write_5m": 150, "cache_write_1h": 200, "output": 503,
    }  # fmt: skip


def test_a_cost_beside_the_counts_does_not_change_them() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "cost": Decimal("0.1"), "is_byok": False}
    assert common_openai(usage) == {"input": 5, "output": 2} and common_openai(usage, cost=False) is None


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 9},  # 2 more than its parts
        {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 6}},  # parts exceed their total
        {"prompt_tokens": 5, "prompt_tokens_details": {"audio_tokens": 1}},
        {"prompt_tokens": 5, "server_tool_use": {"web_search_requests": 1}},
        {"prompt_tokens": True},
        {"prompt_tokens": "5"},
        {"prompt_tokens": MOST + 1},
        {"prompt_tokens": 5, "input_tokens": 5},
        {"prompt_tokens": 5, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 3}},
    ],
)
def test_what_the_general_rules_must_read(usage: dict[str, Any]) -> None:
    assert common_openai(usage) is None

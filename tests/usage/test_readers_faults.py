"""Bad rows: each is a problem with its place and reason, none costs a good row, none ends in a traceback."""

import json
from decimal import Decimal
from io import BytesIO
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farthing.problems import Problems
from farthing.usage.read import READERS
from farthing.usage.readers.table import READER
from farthing.usage.readers.values import BadRow, instant, usd, whole
from tests.usage.test_readers import EXPECTED, SAMPLES, claude, codex, jsonl, read

LINES = [name for name in SAMPLES if not name.startswith(("openai.json", "anthropic.json", "openrouter.json"))]
BROKEN = [
    b"garbage", b'{"cut": [1, 2', b'{"unclosed', b"\xff\xfe\x00", b'"', b'"a","b', b"[]", b"null", b"17", b"{}",
    b"[" * 3000, b'{"other": {"shape": true}}', b",", b'{"a": NaN}',
]  # fmt: skip


@pytest.mark.parametrize("sample", LINES)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_broken_lines_anywhere_never_cost_a_good_row(sample: str, data: st.DataObject) -> None:
    name, content = SAMPLES[sample]
    lines = content.splitlines()
    first = 1 if sample.endswith(".csv") else 0  # a CSV's header comes first
    inserted = data.draw(st.lists(st.tuples(st.integers(first, len(lines)), st.sampled_from(BROKEN)), max_size=4))
    for at, line in sorted(inserted, reverse=True):
        lines.insert(at, line)
    content = b"\n".join(lines) + b"\n"
    assert [reader.name for reader in READERS[:-1] if reader.sniff(sample, content)] == [name][: name != "table"]
    found, problems = read(name, content)
    assert [dict(usage.quantities) for usage in found] == EXPECTED[sample]
    assert bool(problems.total) == bool(inserted)
    assert all(problem.place.startswith("f") and problem.reason for problem in problems.kept)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(leaf for key, item in inner for leaf in leaves(item, (*path, key)))]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
    | st.sampled_from(["1e999999", "-1", "٣", "9" * 400, "2026-13-45", "Infinity", "{}", "[1]", 10**40, -5, 0.1]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


@pytest.mark.parametrize("sample", [name for name in SAMPLES if name.endswith(("jsonl", "json"))])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_value_of_any_field_ends_in_a_traceback(sample: str, data: st.DataObject) -> None:
    name, content = SAMPLES[sample]
    rows = [json.loads(content)] if sample.endswith(".json") else [json.loads(line) for line in content.splitlines()]
    row = data.draw(st.sampled_from(rows))
    path = data.draw(st.sampled_from(leaves(row)[1:]))
    for key in path[:-1]:
        row = row[key]
    row[path[-1]] = data.draw(json_values)
    found, _ = read(name, jsonl(*rows))
    assert all(count > 0 for usage in found for count in usage.quantities.values())


CSVS = [name for name in SAMPLES if name.endswith(".csv")]


@pytest.mark.parametrize("sample", CSVS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_cell_of_a_csv_ends_in_a_traceback(sample: str, data: st.DataObject) -> None:
    name, content = SAMPLES[sample]
    header, *rows = content.decode().splitlines()
    width = header.count(",") + 1
    cells = data.draw(st.lists(st.sampled_from(["", "-1", "1e999999", "x", "2026-01-01", "{}", "9" * 30, "٣", "NaN"]),
                               min_size=width, max_size=width))  # fmt: skip
    found, _ = read(name, "\n".join([header, *rows, ",".join(cells)]).encode())
    assert [dict(usage.quantities) for usage in found][: len(rows)] == EXPECTED[sample]


def reason(name: str, data: bytes) -> str:
    found, problems = read(name, data)
    assert found == []
    assert problems.total == 1
    assert problems.kept[0].place.startswith("f:")
    return str(problems.kept[0])


def answer(**usage: Any) -> bytes:
    return jsonl({"id": "a", "created": 1750000000, "model": "m", "usage": usage})


def test_parts_that_exceed_their_total_are_named() -> None:
    found = reason("responses", answer(prompt_tokens=50, prompt_tokens_details={"cached_tokens": 80}))
    assert found == ("f:1: cached 80 exceed input 50, which should include them (correct or remove the row)")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (-1, "a count cannot be negative"),
        (10**13, "more than 1,000,000,000,000 in one row is absurd"),
        ("many", "not a whole number"),
        (1.5, "not a whole number"),
        (True, "not a whole number"),
        ({"a": 1}, "not a whole number"),
    ],
)
def test_counts_that_are_none(value: object, why: str) -> None:
    assert why in reason("responses", answer(prompt_tokens=value, completion_tokens=1))


def test_reasoning_beyond_the_output_is_refused_unless_the_total_shows_it_was_left_out() -> None:
    details = {"completion_tokens_details": {"reasoning_tokens": 90}}
    assert "cannot exceed" in reason("responses", answer(prompt_tokens=10, completion_tokens=5, **details))
    found, _ = read("responses", answer(prompt_tokens=10, completion_tokens=5, total_tokens=105, **details))
    assert found[0].quantities == {"input": 10, "output": 5 + 90, "reasoning": 90}


def test_times_without_a_zone_are_refused_with_the_repair() -> None:
    found = reason("table", b"at,input\n2026-01-01 10:00:00,5\n")
    assert "has no time zone" in found
    assert "2026-11-21T09:30:00Z" in found
    assert "no time" in reason("table", b"at,input\n,5\n")
    assert "plausible" in reason("table", b"at,input\n12,5\n")


def test_numbers_are_seconds_milliseconds_microseconds_or_nanoseconds_by_their_size() -> None:
    stamps = ["1750000000", "1750000000.5", "1750000000500", "1750000000500000", "1750000000500000000"]
    found, _ = read("table", ("at,input\n" + "".join(f"{stamp},5\n" for stamp in stamps)).encode())
    assert [usage.at.timestamp() for usage in found] == [1750000000.0, *[1750000000.5] * 4]


def test_an_answer_without_a_time_is_a_problem() -> None:
    assert "has no time" in reason("responses", jsonl({"id": "a", "usage": {"prompt_tokens": 1}}))


def test_a_repeated_id_keeps_the_first_and_is_counted() -> None:
    row = {"id": "a", "created": 1750000000, "usage": {"prompt_tokens": 1}}
    found, problems = read("responses", jsonl(row, {**row, "usage": {"prompt_tokens": 9}}))
    assert [usage.quantities for usage in found] == [{"input": 1}]
    assert dict(problems.reasons) == {"duplicate id": 1}
    assert problems.kept[0].place == "f:2"


def test_what_has_no_meter_is_counted_not_dropped() -> None:
    stores = {"object": "bucket", "start_time": 1730419200, "end_time": 1730505600, "results": [
        {"object": "organization.usage.vector_stores.result", "usage_bytes": 1024}]}  # fmt: skip
    found, problems = read("openai", jsonl({"object": "page", "data": [stores]}))
    assert found == []
    assert dict(problems.reasons) == {"no meter for stored bytes": 1}
    assert problems.kept[0].place == "f:1 bucket 1 result 1"
    typed = {"traceId": "t", "startTime": "2026-01-01T00:00:00Z", "model": "m", "usageDetails": {"pixels": 3}}
    assert "usage type 'pixels' (3) has no meter" in reason("langfuse", jsonl(typed))


def test_openai_embeddings_images_speech_and_sessions_have_meters() -> None:
    results = [
        {"object": "organization.usage.embeddings.result", "input_tokens": 16, "num_model_requests": 2},
        {"object": "organization.usage.images.result", "images": 3, "num_model_requests": 2, "size": "1024x1024"},
        {"object": "organization.usage.audio_speeches.result", "characters": 45, "num_model_requests": 1},
        {"object": "organization.usage.audio_transcriptions.result", "seconds": 20, "num_model_requests": 1},
        {"object": "organization.usage.code_interpreter_sessions.result", "num_sessions": 4},
        {"object": "organization.usage.web_searches.result", "num_requests": 6},
    ]
    bucket = {"object": "bucket", "start_time": 1730419200, "end_time": 1730505600, "results": results}
    found, problems = read("openai", jsonl({"object": "page", "data": [bucket]}))
    assert problems.total == 0
    assert [dict(usage.quantities) for usage in found] == [
        {"input": 16}, {"image": 3}, {"character": 45}, {"input_audio_second": 20 * 1_000_000}, {"code_session": 4},
        {"web_search": 6},
    ]  # fmt: skip
    assert found[1].attrs == {"size": "1024x1024"}


def test_older_openai_exports_count_text_alone_and_audio_beside_it() -> None:
    result = {"input_tokens": 100, "input_cached_tokens": 40, "input_audio_tokens": 300, "output_tokens": 50,
              "output_audio_tokens": 200, "num_model_requests": 1}  # fmt: skip
    bucket = {"start_time": 1730419200, "end_time": 1730505600, "results": [result]}
    found, _ = read("openai", jsonl(bucket))
    assert found[0].quantities == {
        "input": 100 - 40, "input_audio": 300, "cache_read": 40, "output": 50, "output_audio": 200
    }  # fmt: skip


def test_claude_code_keeps_the_last_line_and_drops_side_chain_replays() -> None:
    replay = claude("msg_1", "req_9", 50, isSidechain=True)
    own = claude("msg_7", "req_7", 9, isSidechain=True)
    old = {"usage": {"cache_creation": None, "cache_creation_input_tokens": 40}}
    found, problems = read(
        "claude-code",
        jsonl(claude("msg_1", "req_1", 1), claude("msg_1", "req_1", 50), replay, own, claude("msg_2", None, 2, **old)),
    )
    assert problems.total == 0
    assert [(usage.id, usage.quantities["output"]) for usage in found] == [("msg_1", 50), ("msg_7", 9), ("msg_2", 2)]
    assert found[2].quantities["cache_write_5m"] == 40  # the older single field is of the default five minutes


def test_codex_differences_totals_drops_repeats_and_starts_anew_when_they_fall() -> None:
    found, problems = read(
        "codex",
        jsonl(
            {"type": "session_meta", "payload": {"id": "s"}},
            {"type": "turn_context", "payload": {"model": "gpt-5"}},
            codex((100, 40, 20, 5), None), codex((100, 40, 20, 5), None), codex((150, 50, 30, 5), None),
            codex((30, 0, 4, 0), None),
        ),
    )  # fmt: skip
    assert problems.total == 0
    assert [dict(usage.quantities) for usage in found] == [
        {"input": 60, "cache_read": 40, "output": 20, "reasoning": 5},
        {"input": (150 - 100) - (50 - 40), "cache_read": 50 - 40, "output": 30 - 20},
        {"input": 30, "output": 4},
    ]


def test_gemini_cached_tokens_without_a_list_are_text_first() -> None:
    metadata: dict[str, Any] = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 70,
        "candidatesTokenCount": 1,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 60}, {"modality": "VIDEO", "tokenCount": 40}],
    }
    found, _ = read("gemini", jsonl({"createTime": "2026-05-01T08:00:00Z", "usageMetadata": metadata}))
    assert found[0].quantities == {
        "input_video": 40 - 10, "cache_read": 60, "cache_read_video": 70 - 60, "output": 1
    }  # fmt: skip


def test_costs_keep_every_digit() -> None:
    row = {"request_id": "r", "call_type": "c", "startTime": "2026-01-01T00:00:00Z", "prompt_tokens": 1}
    data = json.dumps(row)[:-1] + ', "spend": 0.1000000000000000055511151231257827}'
    found, _ = read("litellm", data.encode())
    assert found[0].reported_usd is not None
    assert found[0].reported_usd * 10**34 == 1000000000000000055511151231257827


def test_langfuse_columns_of_the_older_export_and_its_other_usage_types() -> None:
    head = {"traceId": "t", "startTime": "2026-01-01T00:00:00Z", "model": "m"}
    found, _ = read("langfuse", jsonl({**head, "promptTokens": 10, "completionTokens": 3, "totalTokens": 13}))
    assert found[0].quantities == {"input": 10, "output": 3}
    typed = {"input": 10, "input_text_tokens": 5, "output": 3, "output_accepted_prediction_tokens": 2}
    found, _ = read("langfuse", jsonl({**head, "usageDetails": typed}))
    assert found[0].quantities == {"input": 10 + 5, "output": 3 + 2}


def test_a_line_of_another_format_is_a_rejected_line() -> None:
    stranger = jsonl({"timestamp": 0, "input_length": 5, "output_length": 1})
    for sample in ("claude.jsonl", "codex.jsonl", "litellm.jsonl", "langfuse.jsonl", "otel.jsonl", "bedrock.jsonl",
                   "gemini.jsonl", "responses.jsonl", "helicone.jsonl"):  # fmt: skip
        name, data = SAMPLES[sample]
        found, problems = read(name, data + stranger)
        assert [dict(usage.quantities) for usage in found] == EXPECTED[sample]
        assert problems.total == 1, sample
        assert problems.kept[0].place == f"f:{len(data.splitlines()) + 1}"


def test_audio_and_image_tokens_leave_the_input_and_cached_ones_stay_with_their_kind() -> None:
    usage = {
        "input_tokens": 1000, "output_tokens": 500, "total_tokens": 1500,
        "input_token_details": {"audio_tokens": 400, "image_tokens": 100, "cached_tokens": 300,
                                "cached_tokens_details": {"text_tokens": 200, "audio_tokens": 100}},
        "output_token_details": {"text_tokens": 200, "audio_tokens": 300},
    }  # fmt: skip
    found, _ = read("responses", answer(**usage))
    assert found[0].quantities == {
        "input": (1000 - 400 - 100) - (300 - 100), "cache_read": 300 - 100, "input_audio": 400 - 100,
        "cache_read_audio": 100, "input_image": 100, "output": 500 - 300, "output_audio": 300,
    }  # fmt: skip


def test_a_gateway_that_adds_anthropics_names_to_openais_shape_still_includes_the_cached() -> None:
    found, _ = read("responses", answer(prompt_tokens=100, cache_read_input_tokens=30, cache_creation_input_tokens=20))
    assert found[0].quantities == {"input": 100 - 30 - 20, "cache_read": 30, "cache_write_5m": 20}


def test_deepseek_names_its_cached_tokens_beside_the_details() -> None:
    found, _ = read("responses", answer(prompt_tokens=100, prompt_cache_hit_tokens=64, completion_tokens=1))
    assert found[0].quantities == {"input": 100 - 64, "cache_read": 64, "output": 1}


@pytest.mark.parametrize("value", ["0e999999999", "1e99999999", Decimal("0e999999999"), "0." + "3" * 5000])
def test_numbers_that_would_take_hours_to_write_out_are_refused(value: object) -> None:
    for value_of in (lambda: whole({"n": value}, "n"), lambda: usd(value)):
        with pytest.raises(BadRow):
            value_of()


@pytest.mark.parametrize("value", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "1969-12-31T23:59:59Z"])
def test_a_time_outside_every_calendar_is_refused(value: str) -> None:
    with pytest.raises(BadRow, match="not a plausible time"):
        instant(value)


def test_a_row_of_no_request_is_refused() -> None:
    problems = Problems()
    row = b'{"at": "2026-11-21T09:30:00Z", "input": 5, "requests": 0}\n'
    assert not list(READER.read(BytesIO(row), "f", problems))
    assert "requests is 0" in problems.kept[0].reason


def test_bytes_that_are_not_utf_8_are_said() -> None:
    problems = Problems()
    row = '{"at": "2026-11-21T09:30:00Z", "input": 5, "user": "caf\u00e9"}\n'
    assert not list(READER.read(BytesIO(row.encode("latin-1")), "f", problems))
    assert problems.reasons == {"not UTF-8": 1}

"""Work that is paid for later is read off the answers that tell of it, each piece once."""

import json

from hypothesis import given
from hypothesis import strategies as st

from farthing.gateway.deferred import BatchOutput, StoredResponse, background_response, work_of
from farthing.gateway.metering import Surface

CHAT = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1790000000, "model": "gpt-4o-mini-2024-07-18",
    "choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13},
}  # fmt: skip


def line(number: int, body: dict = CHAT, status: int = 200) -> bytes:
    told = {"id": f"batch_req_{number}", "custom_id": f"c{number}", "response": {"status_code": status, "body": body}}
    return json.dumps(told).encode() + b"\n"


def test_a_line_of_a_batchs_output_is_work_at_the_batch_tier_when_it_was_done():
    found = work_of(line(7), "openai")
    assert found is not None
    assert (found.id, found.surface, found.tier, found.at_s) == ("batch_req_7", Surface.CHAT, "batch", 1790000000)
    assert found.served.quantities == {"input": 10, "output": 3}
    assert found.served.model == "gpt-4o-mini-2024-07-18"


def test_the_same_line_is_the_same_attempt_and_another_is_another():
    first, again, other = (work_of(line(number), "openai") for number in (1, 1, 2))
    assert first.attempt("openai") == again.attempt("openai") != other.attempt("openai")
    assert first.attempt("openai") != first.attempt("azure")
    assert len(first.attempt("openai")) == 32


def test_anthropics_results_and_responses_and_embeddings_are_read_too():
    message = {"id": "msg_1", "type": "message", "model": "claude-sonnet-4-5", "stop_reason": "end_turn",
               "content": [], "usage": {"input_tokens": 5, "output_tokens": 2}}  # fmt: skip
    told = json.dumps({"custom_id": "x", "result": {"type": "succeeded", "message": message}}).encode()
    found = work_of(told, "anthropic")
    assert (found.id, found.surface, found.served.quantities) == ("msg_1", Surface.MESSAGES, {"input": 5, "output": 2})
    vectors = {"object": "list", "data": [], "model": "text-embedding-3-small", "usage": {"prompt_tokens": 4}}
    assert work_of(line(1, vectors), "openai").served.quantities == {"input": 4}


def test_what_failed_or_is_no_output_tells_of_none():
    assert work_of(line(1, status=400), "openai") is None
    assert work_of(b'{"custom_id":"x","result":{"type":"errored","error":{"usage":1}}}', "anthropic") is None
    for text in (
        b"",
        b"\x00\xff",
        b'{"usage"',
        b'["usage"]',
        b'{"messages":[],"usage":3}',
        b'{"response":{"usage":1}}',
    ):
        assert work_of(text, "openai") is None


@given(st.lists(st.integers(1, 60), max_size=30), st.booleans())
def test_wherever_the_file_is_cut_each_line_is_read_once(cuts, ended):
    text = b"".join(line(number) for number in range(5))
    text = text if ended else text.rstrip(b"\n")
    reader, found, at = BatchOutput("openai"), [], 0
    for size in cuts:
        found += reader.feed(text[at : at + size])
        at += size
    found += reader.feed(text[at:]) + reader.finish()
    assert [one.id for one in found] == [f"batch_req_{number}" for number in range(5)]


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_any_other_file_passes_without_a_word(pieces):
    reader = BatchOutput("openai")
    assert [one for piece in pieces for one in reader.feed(piece)] + reader.finish() == []


STORED = {
    "id": "resp_1", "object": "response", "status": "completed", "background": True, "created_at": 1790000000,
    "model": "gpt-4o", "output": [], "usage": {"input_tokens": 8, "output_tokens": 2, "total_tokens": 10},
}  # fmt: skip


def test_a_response_that_ran_in_the_background_is_metered_once_it_has_ended():
    reader = StoredResponse("openai")
    body = json.dumps(STORED).encode()
    assert reader.feed(body[:40]) == reader.feed(body[40:]) == []
    [found] = reader.finish()
    assert (found.id, found.at_s, found.served.quantities) == ("resp_1", 1790000000, {"input": 8, "output": 2})
    assert found.tier == ""


def test_others_were_metered_when_they_were_made_or_are_not_done():
    for change in ({"background": False}, {"background": None}, {"status": "in_progress"}, {"object": "list"}):
        assert background_response(json.dumps(STORED | change).encode(), "openai") is None
    assert background_response(b'{"background":', "openai") is None

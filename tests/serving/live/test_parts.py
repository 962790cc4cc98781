"""The pieces: statistics, prompts, addresses."""

import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.problems import FarthingError
from farthing.serving.live.exchange import Dialect, Reply
from farthing.serving.live.probe import address
from farthing.serving.live.prompts import WORDS, Lengths, Prompts, fitted, text
from farthing.serving.live.result import spread


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=50))
def test_statistics_are_numpys(values: list[float]) -> None:
    found = spread(values)
    assert found is not None
    assert found.mean == pytest.approx(statistics.fmean(values) * 1000)
    assert found.std == pytest.approx(float(np.std(values)) * 1000, abs=1e-3)
    for name, share in (("p90", 90), ("p95", 95), ("p99", 99)):
        assert found.at(name) == pytest.approx(float(np.percentile(values, share)) * 1000)
    assert found.at("p50") == found.median == pytest.approx(float(np.median(values)) * 1000)


def test_no_value_has_no_statistics() -> None:
    assert spread([]) is None


@settings(deadline=None)
@given(
    overhead=st.integers(0, 200), per_word=st.floats(0.8, 4), wanted=st.integers(300, 5000), many=st.integers(40, 3000)
)
def test_two_probes_give_the_words_for_any_length(overhead: int, per_word: float, wanted: int, many: int) -> None:
    def count(words: int) -> int:
        return overhead + round(per_word * words)

    lengths = fitted((16, count(16)), (many, count(many)))
    # The probes are rounded to whole tokens: the slope is off by at most 1 / (many - 16), and a word is whole.
    off = per_word + 1 + wanted / (many - 16) / per_word
    assert count(lengths.words(wanted)) == pytest.approx(wanted, abs=off)


def test_a_server_that_counts_nonsense_leaves_a_word_a_token() -> None:
    assert fitted((16, 0), (32, 0)) == Lengths()
    assert Lengths().words(100) == 100
    assert Lengths(overhead=50).words(10) == 1  # less than the template itself: one word at least


def test_prompts_are_reproducible_and_differ() -> None:
    prompts = Prompts(words=20, seed="7/0")
    assert prompts[3] == Prompts(words=20, seed="7/0")[3]
    assert len({prompts[index] for index in range(-5, 200)}) == 205
    assert len(prompts[0].split()) == 20
    assert len(Prompts(words=20, seed="7/0", shared_words=12)[0].split()) == 20
    assert len(set(WORDS)) == len(WORDS) > 300
    assert text(5, "a") != text(5, "b")


@pytest.mark.parametrize(
    ("given_url", "base", "api"),
    [
        ("http://h:1", "http://h:1/v1", "chat"),
        ("http://h:1/", "http://h:1/v1", "chat"),
        ("https://h/v1", "https://h/v1", "chat"),
        ("https://h/api/v1/", "https://h/api/v1", "chat"),
        ("http://h/v1/completions", "http://h/v1", "completions"),
        ("http://h/v1/chat/completions", "http://h/v1", "chat"),
        ("http://v1host", "http://v1host/v1", "chat"),
    ],
)
def test_addresses(given_url: str, base: str, api: str) -> None:
    assert address(given_url, None) == (base, api)
    assert address(given_url, "completions") == (base, "completions")


def test_what_is_no_address() -> None:
    with pytest.raises(FarthingError, match="is no address"):
        address("ftp://h", None)


def test_times_of_a_reply() -> None:
    # due at 10, sent at 10.5, first token at 12, last at 14: TTFT 2, TPOT 2 / 4, end-to-end 4
    reply = Reply(index=0, start_s=10, sent_s=10.5, first_s=12, last_s=14, pieces=3, output_tokens=5)
    assert (reply.ttft_s, reply.tpot_s, reply.e2e_s, reply.tokens) == (2, 0.5, 4, 5)
    single = Reply(index=0, start_s=0, sent_s=0, first_s=1, last_s=1, pieces=1)
    assert (single.tokens, single.tpot_s) == (1, None)


def test_the_body_of_a_request() -> None:
    asked = Dialect(url="u", api="completions", model="m").body("hello", 9)
    assert asked == {"model": "m", "max_tokens": 9, "stream": True, "prompt": "hello", "ignore_eos": True,
                     "stream_options": {"include_usage": True}}  # fmt: skip
    plain = Dialect(url="u", api="chat", model="m", stream=False, ignore_eos=False, limit="max_completion_tokens")
    assert plain.body("hi", 9) == {
        "model": "m", "max_completion_tokens": 9, "stream": False, "messages": [{"role": "user", "content": "hi"}]
    }  # fmt: skip

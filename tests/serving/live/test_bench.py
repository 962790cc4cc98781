"""The load generator against a server that tells its own times: relations between the two, not speeds."""

import asyncio
import json
import signal
import time
from array import array
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from farthing.problems import FarthingError
from farthing.serving.live.bench import Plan, bench, measure, sweep
from farthing.serving.live.exchange import Dialect, Reply, exchange
from farthing.serving.live.result import Slo, write_results
from farthing.serving.measured.read import read_measurements

from .fake import fake

ASKED: dict[str, Any] = {"requests": 6, "input_tokens": 100, "output_tokens": 8, "detailed": True, "seed": 1}


def test_nothing_is_seen_before_it_was_written() -> None:
    """One process, one clock: the client's times lie between the server's."""

    async def three(url: str) -> list[Reply]:
        dialect = Dialect(url=f"{url}/v1", api="chat", model="m")
        async with aiohttp.ClientSession(headers={"Content-Type": "application/json"}) as session:
            return [await exchange(session, dialect, index, "hello", 8, array("d")) for index in range(3)]

    with fake() as server:
        for reply, seen in zip(asyncio.run(three(server.url)), server.seen, strict=True):
            assert reply.start_s == reply.sent_s
            assert reply.first_s is not None and reply.last_s is not None
            assert reply.sent_s <= seen.received <= seen.writes[0] <= reply.first_s
            assert seen.writes[-1] <= reply.last_s
            assert reply.pieces == reply.output_tokens == 8
            assert reply.tpot_s is not None and reply.tpot_s * 7 == pytest.approx(reply.last_s - reply.first_s)


def test_ttft_and_tpot_agree_with_the_server() -> None:
    """With delays of 150 ms and 30 ms, a wrong definition (first chunk without text, e2e / tokens) is far off."""
    with fake(first_s=0.15, gap_s=0.03) as server:
        result = bench(server.url, concurrency=1, warmup=0, **{**ASKED, "requests": 3})
        seen = server.benched()
        own_ttft = sum(one.writes[0] - one.received for one in seen) / 3 * 1000
        own_tpot = sum((one.writes[-1] - one.writes[0]) / 7 for one in seen) / 3 * 1000
    measured = result.measurement
    assert measured.ttft is not None and measured.tpot is not None and measured.e2e is not None
    assert own_ttft <= measured.ttft <= own_ttft * 1.5
    assert own_tpot * 0.8 <= measured.tpot <= own_tpot * 1.2
    assert measured.e2e == pytest.approx(measured.ttft + measured.tpot * 7)


@pytest.mark.parametrize("slots", [1, 4])
def test_a_closed_loop_keeps_so_many_in_flight(slots: int) -> None:
    with fake() as server:
        result = bench(server.url, concurrency=slots, **{**ASKED, "requests": 16})
        assert server.most == slots
    assert result.measurement.concurrency == slots
    # Little's law is an identity of the run: time in flight / duration, at most the slots.
    assert result.measurement.observed_concurrency is not None
    assert result.measurement.observed_concurrency <= slots + 1e-6


def test_an_open_loop_does_not_wait_for_answers() -> None:
    """Ten times the rate that a server with one request at a time can bear: they pile up, all sent on time."""
    with fake(first_s=0.05, gap_s=0, serial=True) as server:
        result = bench(server.url, rate=200, warmup=0, **{**ASKED, "requests": 20})
        assert server.most > 5
    assert result.measurement.request_rate == 200 and result.measurement.concurrency is None
    e2e = sorted(reply.e2e_s for reply in result.replies)  # who is served first is the sockets' business
    assert e2e[-1] > 3 * e2e[0]  # the last one served waited for the others


def test_a_stall_of_the_client_hides_nothing() -> None:
    """Coordinated omission: latency counts from the moment a request was due, not from when it got away."""
    stalled = []

    def stall(done: int, total: int, failed: int) -> None:
        if done == 1:
            stalled.append(time.sleep(0.3))

    with fake() as server:
        result = bench(server.url, rate=100, warmup=0, progress=stall, **{**ASKED, "requests": 60})
    late = [reply for reply in result.replies if reply.sent_s - reply.start_s > 0.05]
    assert stalled and late and result.late_ms is not None and result.late_ms > 50
    assert all(reply.ttft_s > reply.sent_s - reply.start_s + server.first_s for reply in late)


def test_prompts_have_the_length_asked_for_and_share_no_prefix() -> None:
    with fake() as server:
        result = bench(server.url, concurrency=2, **{**ASKED, "input_tokens": 200})
        prompts = [one.prompt for one in server.benched()]
    assert result.measurement.input_tokens == pytest.approx(200, abs=1.5)  # 7 + 1.5 × words: words are whole
    assert len({prompt[:40] for prompt in prompts}) == len(prompts) == 8  # six and two warm-up


def test_a_shared_prefix_is_shared_and_no_more() -> None:
    with fake() as server:
        bench(server.url, concurrency=2, **{**ASKED, "input_tokens": 200, "shared_prefix_tokens": 90})
        words = [one.prompt.split() for one in server.benched()]
    assert len({tuple(one[:60]) for one in words}) == 1  # 90 / 1.5
    assert len({tuple(one[60:70]) for one in words}) == len(words)


def test_every_point_and_every_run_has_new_prompts() -> None:
    with fake() as server:
        plan = Plan(url=server.url, requests=2, input_tokens=100, output_tokens=8)
        sweep(plan, [2, 1])
        sweep(plan, [1])
        prompts = [one.prompt for one in server.benched()]
    assert len(set(prompts)) == len(prompts)


def test_warm_up_is_not_counted() -> None:
    with fake() as server:
        result = bench(server.url, concurrency=2, warmup=5, **ASKED)
        assert len(server.benched()) == 11
    assert result.measurement.requests == 6 and len(result.replies) == 6


@pytest.mark.parametrize(
    ("behave", "api", "note"),
    [
        ("fine", "chat", ""),
        ("strict", "chat", "does not take ignore_eos"),
        ("new-limit", "chat", "does not take ignore_eos"),
        ("only-old-limit", "chat", "output tokens are counted as pieces"),
        ("no-usage", "chat", "output tokens are counted as pieces"),
        ("silent-usage", "chat", "output tokens are counted as pieces"),
        ("completions-only", "completions", ""),
        ("running-usage", "chat", ""),
        ("caches", "chat", "% of the prompt tokens came from the server's cache"),
    ],
)
def test_servers_differ_and_each_is_asked_in_its_way(behave: str, api: str, note: str) -> None:
    with fake(behave) as server:
        result = bench(server.url, concurrency=2, **ASKED)
    assert result.api == api and result.errors == {}
    assert result.measurement.output_tokens == 8
    notes = " ".join(result.measurement.notes)
    assert note in notes if note else notes == ""
    assert len(result.measurement.notes) == bool(note)  # no field is given up that need not be
    assert (result.measurement.engine, result.measurement.engine_version) == ("vllm", "0.99.0")
    assert result.measurement.model == "fake/model"
    if "pieces" in note:  # the length was found by a whole answer, and is not known of each request
        assert result.measurement.input_tokens is None and result.settings["words"] == 62  # (100 - 7) / 1.5


def test_the_address_may_name_the_api() -> None:
    with fake() as server:
        for url in (server.url, f"{server.url}/v1/", f"{server.url}/v1/chat/completions"):
            assert bench(url, concurrency=1, **ASKED).api == "chat"
        assert bench(f"{server.url}/v1/completions", concurrency=1, **ASKED).api == "completions"


def test_without_a_stream_there_is_no_first_token() -> None:
    with fake() as server:
        result = bench(server.url, concurrency=2, stream=False, **ASKED)
    measured = result.measurement
    assert measured.ttft is None and measured.tpot is None
    assert measured.e2e is not None and measured.e2e >= server.first_s * 1000
    assert measured.output_tokens == 8


@pytest.mark.parametrize(
    ("behave", "error"),
    [
        ("cut", "connection lost"),
        ("ends-early", "stream cut"),
        ("fault", "error in stream"),
        ("breaks-down", "HTTP 500"),
    ],
)
def test_where_all_requests_fail_the_first_reason_is_said(behave: str, error: str) -> None:
    with fake(behave) as server, pytest.raises(FarthingError) as fault:
        bench(server.url, concurrency=2, warmup=0, **ASKED)
    assert f"all 6 requests failed, the first with {error}" in str(fault.value) and "\n" not in str(fault.value)


def test_errors_are_counted_beside_what_worked() -> None:
    with fake("sometimes-busy") as server:
        result = bench(server.url, concurrency=1, warmup=0, slo=Slo(ttft_ms=60_000), **{**ASKED, "requests": 10})
    assert result.errors == {"HTTP 429": 5} and result.example == "slow down"
    assert (result.measurement.requests, result.measurement.failed) == (5, 5)
    assert result.good_share == 0.5  # of the requests sent


def test_a_hanging_server_times_out() -> None:
    with fake("hangs") as server, pytest.raises(FarthingError, match="all 2 requests failed, the first with timeout"):
        bench(server.url, concurrency=2, warmup=0, timeout_s=0.3, **{**ASKED, "requests": 2})


def test_goodput_under_limits_that_some_meet() -> None:
    with fake() as server:
        free = bench(server.url, concurrency=1, slo=Slo(ttft_ms=60_000, tpot_ms=60_000, e2e_ms=60_000), **ASKED)
        none = bench(server.url, concurrency=1, slo=Slo(ttft_ms=0.001), **ASKED)
        cut = sorted(reply.e2e_s for reply in free.replies)[3]
    assert free.good_share == 1 and free.measurement.goodput_requests_per_s == free.measurement.requests_per_s
    assert none.good_share == 0 and none.measurement.goodput_requests_per_s == 0
    assert sum(Slo(e2e_ms=cut * 1000).met(reply) for reply in free.replies) == 4  # by the definition


def test_the_result_is_read_back_as_measurements(tmp_path: Path) -> None:
    with fake() as server:
        plan = Plan(url=server.url, **{**ASKED, "about": {"device": "cpu", "gpus": 1, "precision": "q4"}})
        results = sweep(plan, [2, 1])
    file = tmp_path / "bench.json"
    write_results(file, results)
    found, problems = read_measurements(file)
    assert problems.total == 0
    assert [one.concurrency for one in found] == [1, 2]  # rising
    for one, result in zip(found, results, strict=True):
        assert (one.ttft, one.tpot, one.device, one.gpus) == (
            result.measurement.ttft,
            result.measurement.tpot,
            "cpu",
            1,
        )
        assert one.doubts == result.measurement.doubts == ()
    assert "prompt" not in json.loads(file.read_text())["bench"][0]["replies"][0]


def test_a_key_is_sent_and_kept_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "sk-secret-123")
    with fake() as server:
        result = bench(server.url, concurrency=1, api_key_env="SOME_KEY", **ASKED)
        assert {one.headers.get("Authorization") for one in server.seen} == {"Bearer sk-secret-123"}
    write_results(tmp_path / "r.json", [result])
    assert "sk-secret" not in (tmp_path / "r.json").read_text()


def test_an_interruption_gives_what_was_measured() -> None:
    """A real SIGINT, from inside the run, as ^C gives it."""

    def interrupt(done: int, total: int, failed: int) -> None:
        if done == 4:
            signal.raise_signal(signal.SIGINT)

    for load in ({"concurrency": 2}, {"rate": 50.0}):
        with fake() as server:
            result = bench(server.url, warmup=0, progress=interrupt, **{**ASKED, **load, "requests": 400})
        assert result.interrupted and 4 <= (result.measurement.requests or 0) < 400
        assert "interrupted" in " ".join(result.measurement.notes)
        assert result.errors == {}  # what was dropped by us is no error of the server's


def test_an_interrupted_sweep_keeps_its_points() -> None:
    calls = []

    def interrupt(done: int, total: int, failed: int) -> None:
        calls.append(done)
        if len(calls) == 12:
            signal.raise_signal(signal.SIGINT)

    with fake() as server:
        results = sweep(Plan(url=server.url, requests=8, input_tokens=100, output_tokens=8), [1, 2, 3], interrupt)
    assert [one.interrupted for one in results] == [False, True]


@pytest.mark.parametrize(
    ("behave", "said"),
    [
        ("needs-key", "HTTP 401: Incorrect API key provided (name the variable that holds the key)"),
        ("busy", "HTTP 429: slow down"),
        ("short-context", "a prompt of about 100 tokens is refused: HTTP 400: the context is 64 tokens (ask for less)"),
    ],
)
def test_a_server_that_cannot_be_measured(behave: str, said: str) -> None:
    with fake(behave) as server, pytest.raises(FarthingError) as fault:
        bench(server.url, concurrency=1, **ASKED)
    assert said in str(fault.value) and "\n" not in str(fault.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"url": "http://127.0.0.1:9", "model": "m", "concurrency": 1}, "no connection"),
        ({"url": "localhost:8000", "concurrency": 1}, "is no address"),
        ({"url": "http://127.0.0.1:9"}, "give either a concurrency"),
        ({"url": "http://127.0.0.1:9", "concurrency": 1, "rate": 1.0}, "give either a concurrency"),
        ({"url": "http://127.0.0.1:9", "concurrency": 0}, "concurrency is 0; it must be above 0"),
        ({"url": "http://127.0.0.1:9", "rate": float("nan")}, "rate is nan"),
        ({"url": "http://127.0.0.1:9", "concurrency": 1, "requests": -1}, "requests is -1"),
        ({"url": "http://127.0.0.1:9", "concurrency": 1, "shared_prefix_tokens": 512}, "leaves nothing of 512"),
        ({"url": "http://127.0.0.1:9", "concurrency": 1, "api_key_env": "NOT_SET_HERE"}, "NOT_SET_HERE"),
        ({"url": "http://127.0.0.1:9", "concurrency": 1}, "nothing answers at http://127.0.0.1:9/v1/models"),
    ],
)
def test_a_plan_that_cannot_be_carried_out(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(FarthingError) as fault:
        bench(**arguments)
    assert said in str(fault.value) and "\n" not in str(fault.value)


def test_it_can_be_awaited() -> None:
    with fake() as server:
        plan = Plan(url=server.url, concurrency=1, requests=2, input_tokens=50, output_tokens=4)
        (result,) = asyncio.run(measure([plan]))
    assert result.measurement.requests == 2

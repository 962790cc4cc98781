"""A simulation of a deployment of one's own: nothing is lost in it, and it agrees with the estimate of its load."""

import math

import msgspec
import pytest

from farthing.problems import FarthingError
from farthing.serving.corrections import corrected
from farthing.serving.estimate import Load, estimate
from farthing.serving.hosted import parse
from farthing.serving.hosted_run import Setting, run
from farthing.serving.simulator.requests import Requests
from farthing.serving.simulator.result import Slo

MEASURED = "llama-3.1-70b@h100-sxm*4,weights=fp8"


def drawn(count: int = 200, rate: float | None = 4.0, input: int = 800, output: int = 200) -> Requests:
    return Requests.synthetic(count, rate_per_s=rate, prompt_tokens=input, output_tokens=output, variation=0.5)


@pytest.mark.parametrize("spec", ["llama-3.1-8b@h100-sxm", "llama-3.1-8b@rtx-4090*3,tp=1", "gpt-oss-120b@h100-sxm*2"])
@pytest.mark.parametrize("closed", [None, 16])
def test_every_token_comes_out(spec: str, closed: int | None) -> None:
    asked = drawn()
    ran, _ = run(parse(spec), asked, Setting(closed_loop=closed))
    found = ran.summary()
    assert (found.requests, found.refused) == (200, 0)
    assert found.prompt_tokens == asked.prompt_tokens.sum() and found.output_tokens == asked.output_tokens.sum()
    assert len(found.replicas) == parse(spec).deployment.replicas
    assert sum(use.requests for use in found.replicas) == 200
    assert (ran.ttft_s > 0).all() and (ran.finish_s >= ran.first_s).all()


# The simulator steps through lengths that differ; the closed forms see only their means. The groups have been
# measured, or not; on one device, or several. TTFT is left to the simulator's own tests against recorded runs.
@pytest.mark.parametrize(
    ("spec", "input", "output", "concurrency"),
    [
        ("llama-3.1-8b@h100-sxm", 1024, 256, 32),
        (MEASURED, 2000, 500, 32),
        ("llama-3.1-8b@rtx-4090", 1024, 256, 8),
        ("gpt-oss-120b@h100-sxm*2", 1000, 300, 64),
        ("llama-3.1-8b@h100-sxm*2,pp=2", 1024, 256, 32),
        ("llama-3.1-8b@h100-sxm*3,tp=1", 1024, 256, 96),
    ],
)
def test_a_closed_loop_agrees_with_the_estimate(spec: str, input: int, output: int, concurrency: int) -> None:
    one = parse(spec)
    ran, _ = run(one, drawn(concurrency * 8, None, input, output), Setting(closed_loop=concurrency))
    said = estimate(one.deployment, Load(input=input, output=output, concurrency=concurrency))
    found = ran.summary()
    assert said.tpot_ms is not None and said.output_tokens_per_s is not None and found.tpot_s.mean is not None
    assert found.tpot_s.mean * 1e3 == pytest.approx(said.tpot_ms.value, rel=0.15)
    assert found.output_tokens_per_s == pytest.approx(said.output_tokens_per_s.value, rel=0.2)


def test_the_measured_correction_is_that_of_the_load() -> None:
    one, asked = parse(MEASURED), drawn()
    _, scale = run(one, asked, Setting(closed_loop=12))
    means = float(asked.prompt_tokens.mean()), float(asked.output_tokens.mean())
    assert scale == corrected(one.deployment, 12, *means).tpot != 1
    _, never_measured = run(parse("llama-3.1-8b@a10g"), asked, Setting())
    assert never_measured == 1


def test_arrivals_twice_as_fast_take_half_the_time() -> None:
    asked = drawn()
    (plain, _), (fast, _) = (run(parse("llama-3.1-8b@h100-sxm"), asked, Setting(speed=s)) for s in (1.0, 2.0))
    assert fast.arrival_s.max() == pytest.approx(plain.arrival_s.max() / 2)
    assert fast.ttft_s.mean() > plain.ttft_s.mean()  # and more of them wait


def test_more_replicas_wait_less() -> None:
    asked = drawn(400, 20.0)
    (one, _), (four, _) = (run(parse(f"llama-3.1-8b@rtx-4090*{n},tp=1"), asked, Setting()) for n in (1, 4))
    assert four.ttft_s.mean() < one.ttft_s.mean()


def test_the_objective_is_judged() -> None:
    ran, _ = run(parse("llama-3.1-8b@h100-sxm"), drawn(), Setting(slo=Slo(ttft_s=math.inf)))
    assert ran.summary().good_share == 1
    ran, _ = run(parse("llama-3.1-8b@h100-sxm"), drawn(), Setting(slo=Slo(ttft_s=1e-9)))
    assert ran.summary().good_share == 0


def test_progress_ends_with_all() -> None:
    told: list[tuple[int, int]] = []
    run(parse("llama-3.1-8b@h100-sxm"), drawn(), Setting(), lambda done, of: told.append((done, of)))
    assert told[-1] == (200, 200)


@pytest.mark.parametrize("speed", [0.0, -1.0, math.nan, math.inf])
def test_a_speed_that_cannot_be_is_refused(speed: float) -> None:
    with pytest.raises(FarthingError, match=r"--speed .*; more than 0"):
        run(parse("llama-3.1-8b@h100-sxm"), drawn(), Setting(speed=speed))


def test_what_does_not_fit_is_refused_with_what_would() -> None:
    with pytest.raises(FarthingError, match=r"^it does not fit: 141\.1 GB of weights .* would fit$"):
        run(parse("llama-3.1-70b@rtx-4090,tp=1"), drawn(), Setting())


def test_an_unknown_router_is_refused() -> None:
    with pytest.raises(FarthingError, match="unknown router 'x'"):
        run(parse("llama-3.1-8b@h100-sxm"), drawn(), Setting(router="x"))


def test_a_request_that_can_never_fit_is_counted() -> None:
    asked = drawn()
    longest = asked.prompt_tokens.copy()
    longest[7] = 10_000_000
    found = run(parse("llama-3.1-8b@h100-sxm"), msgspec.structs.replace(asked, prompt_tokens=longest), Setting())[0]
    assert found.summary().refused == 1 and found.summary().requests == 199

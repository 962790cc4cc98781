"""Prompts on some replicas, answers on others: conservation, what more replicas of either kind bring, its limits."""

import math
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.problems import FarthingError
from farthing.serving import devices, models
from farthing.serving.deployment import Deployment, plan
from farthing.serving.disaggregated import estimate_split
from farthing.serving.estimate import Estimate, Load, estimate, priced

SMALL = plan(models.find("llama-3.1-8b"), devices.find("h100-sxm"))
# Its group was measured a third faster than the formulas say: without that correction prompts would seem to help.
MEASURED = plan(models.find("gpt-oss-120b"), devices.find("h100-sxm"), count=2, weights="fp4")
STAGES = plan(models.find("llama-3.1-8b"), devices.find("h100-sxm"), pp=2, count=2)
DEPLOYMENTS = st.sampled_from([SMALL, MEASURED, STAGES])
LOADS = st.builds(
    Load,
    input=st.floats(64, 8000),
    output=st.floats(1, 2000),
    concurrency=st.one_of(st.none(), st.floats(1, 5000)),
    prefix_hit=st.sampled_from([0.0, 0.5, 0.95]),
)
POOL = st.integers(1, 8)


def value(one: Estimate, name: str) -> float:
    return float(getattr(one, name).value)


@settings(deadline=None, max_examples=150)
@given(DEPLOYMENTS, LOADS, POOL, POOL)
def test_no_pool_does_more_than_it_can(deployment: Deployment, load: Load, prefill: int, decode: int) -> None:
    one = estimate_split(deployment, load, prefill, decode)
    computed = value(one, "requests_per_s") * load.input * (1 - load.prefix_hit)
    assert computed <= value(one, "prefill_tokens_per_s") * (1 + 1e-9)
    # The first token of an answer is made where the prompt is.
    decoded = value(one, "requests_per_s") * (load.output - 1)
    assert decoded <= value(one, "decode_tokens_per_s") * (1 + 1e-9)
    assert value(one, "output_tokens_per_s") == pytest.approx(value(one, "requests_per_s") * load.output)


@settings(deadline=None, max_examples=150)
@given(DEPLOYMENTS, LOADS, POOL, POOL)
def test_requests_in_flight_obey_littles_law(deployment: Deployment, load: Load, prefill: int, decode: int) -> None:
    one = estimate_split(deployment, load, prefill, decode)
    each_s = (value(one, "ttft_ms") + value(one, "tpot_ms") * (load.output - 1)) / 1e3
    asked = load.concurrency or one.batch
    assert value(one, "requests_per_s") * each_s == pytest.approx(asked, rel=1e-6)


@settings(deadline=None, max_examples=150)
@given(DEPLOYMENTS, LOADS, POOL, POOL)
def test_more_prefill_is_never_a_later_first_token(
    deployment: Deployment, load: Load, prefill: int, decode: int
) -> None:
    fewer, more = (estimate_split(deployment, load, count, decode) for count in (prefill, prefill + 1))
    assert value(more, "ttft_ms") <= value(fewer, "ttft_ms") * (1 + 1e-9)
    assert value(more, "requests_per_s") >= value(fewer, "requests_per_s") * (1 - 1e-9)
    assert value(more, "tpot_ms") == pytest.approx(value(fewer, "tpot_ms"))


@settings(deadline=None, max_examples=150)
@given(DEPLOYMENTS, LOADS, POOL, POOL)
def test_prompts_hold_no_token_up(deployment: Deployment, load: Load, prefill: int, decode: int) -> None:
    """The same replicas that decode, were they to read the prompts too, make each token no sooner."""
    asked = msgspec.structs.replace(load, concurrency=load.concurrency or estimate_split(deployment, load, 1, 1).batch)
    split = estimate_split(deployment, asked, prefill, decode)
    both = estimate(msgspec.structs.replace(deployment, replicas=decode), asked)
    assert value(split, "tpot_ms") <= value(both, "tpot_ms") * (1 + 1e-9)


def test_prompts_alone_cap_the_rate() -> None:
    """Prompts of 8,000 tokens for answers of 16: one prefill replica cannot keep eight that decode busy."""
    load = Load(input=8000, output=16, concurrency=512)
    one = estimate_split(SMALL, load, 1, 8)
    assert value(one, "requests_per_s") * 8000 == pytest.approx(value(one, "prefill_tokens_per_s"))
    two = estimate_split(SMALL, load, 2, 8)
    assert value(two, "requests_per_s") == pytest.approx(2 * value(one, "requests_per_s"))


def test_what_cannot_run_waits() -> None:
    """A thousand times the requests that fit wait a thousand times as long, at the same rate."""
    many, more = (estimate_split(SMALL, Load(input=1024, output=1024, concurrency=n), 4, 1) for n in (1e5, 1e6))
    assert value(more, "requests_per_s") == pytest.approx(value(many, "requests_per_s"))
    assert value(more, "ttft_ms") == pytest.approx(10 * value(many, "ttft_ms"), rel=0.01)
    assert more.batch == many.batch <= SMALL.max_batch(1024 + 512)


def test_a_found_prefix_is_not_computed() -> None:
    cold, warm = (
        estimate_split(SMALL, Load(input=8000, output=100, concurrency=4, prefix_hit=h), 1, 1) for h in (0, 0.9)
    )
    assert value(warm, "ttft_ms") < value(cold, "ttft_ms")
    assert value(warm, "tpot_ms") == value(cold, "tpot_ms")  # it is still read


def test_it_is_outside_the_evidence_and_says_so() -> None:
    load = Load(input=1024, output=1024, concurrency=64)
    split, whole = estimate_split(MEASURED, load, 1, 1), estimate(MEASURED, load)
    assert split.basis is not None and whole.basis is not None
    assert "disaggregated serving is not in the fit" in split.basis.reasons
    assert split.basis.grade == "assumed"
    for what in ("tpot", "ttft", "throughput"):
        (low, high), (wider_low, wider_high) = whole.basis.factors[what], split.basis.factors[what]
        assert wider_low < low < 1 < high < wider_high


def test_all_machines_are_paid_and_their_pools_share_the_dollars() -> None:
    load = Load(input=1000, output=500, concurrency=64)
    one = priced(estimate_split(SMALL, load, 1, 3), Decimal("3.60"))
    rate = value(one, "requests_per_s")
    assert one.deployment.count == 4
    # 4 devices × 3.60 / 3600 s = 0.004 a second; a quarter of the machines read prompts.
    assert value(one, "usd_per_mtok_input") * 1000 * rate / 1e6 == pytest.approx(0.004 / 4)
    assert value(one, "usd_per_mtok_output") * 500 * rate / 1e6 == pytest.approx(0.004 * 3 / 4)


def test_what_does_not_fit_is_an_answer() -> None:
    huge = Deployment(model=models.find("llama-3.1-405b"), device=devices.find("h100-sxm"))
    one = estimate_split(huge, Load(input=1024, output=1024), 1, 1)
    assert (not one.feasible and "would fit" in one.why) or "larger device" in one.why


@pytest.mark.parametrize(("prefill", "decode"), [(0, 1), (1, 0), (-1, 2)])
def test_fewer_than_one_of_each_is_refused(prefill: int, decode: int) -> None:
    with pytest.raises(FarthingError, match=f"disaggregated {prefill}:{decode}; at least 1:1"):
        estimate_split(SMALL, Load(input=1, output=1), prefill, decode)


def test_a_load_that_cannot_be_is_refused() -> None:
    with pytest.raises(FarthingError, match="must be at least 1"):
        estimate_split(SMALL, Load(input=math.nan, output=1), 1, 1)

"""Estimates: dollars that pay for the machine, conservation, intervals, and answers instead of crashes."""

import re
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.problems import FarthingError
from farthing.serving import devices, models
from farthing.serving.deployment import Deployment, Speculation, plan
from farthing.serving.estimate import Estimate, Load, estimate, priced
from farthing.serving.evidence import Ranged
from farthing.serving.replica import prepared

LLAMA, MIXTURE = models.find("meta-llama/Llama-3.1-70B"), models.find("deepseek-ai/DeepSeek-V3")
H100, H200 = devices.find("h100-sxm"), devices.find("h200-sxm")
DENSE = Deployment(model=LLAMA, device=H100, weights="fp8", tp=4)
MOE = Deployment(model=MIXTURE, device=H200, weights="fp8", tp=8, ep=8)
UNCERTAIN = (
    "ttft_ms", "tpot_ms", "requests_per_s", "input_tokens_per_s", "output_tokens_per_s", "output_tokens_per_s_per_gpu",
    "prefill_tokens_per_s", "decode_tokens_per_s", "watts", "joules_per_output_token", "usd_per_mtok_input",
    "usd_per_mtok_output", "usd_per_mtok_blended",
)  # fmt: skip


def value(one: Ranged | None) -> float:
    assert one is not None
    return one.value


@given(
    deployment=st.sampled_from([DENSE, MOE, msgspec.structs.replace(DENSE, replicas=3)]), into=st.floats(1, 30_000),
    out=st.floats(1, 8_000), concurrency=st.floats(1, 3_000), hit=st.floats(0, 0.95),
    usd=st.decimals("0.01", "50", places=2), utilization=st.floats(0.05, 1),
)  # fmt: skip
@settings(deadline=None, max_examples=150)
def test_the_tokens_pay_for_the_machine(
    deployment: Deployment, into: float, out: float, concurrency: float, hit: float, usd: Decimal, utilization: float
) -> None:
    load = Load(input=into, output=out, concurrency=concurrency, prefix_hit=hit)
    found = estimate(deployment, load, usd_per_gpu_hour=usd, utilization=utilization)
    assert found.feasible
    bill = float(usd) * deployment.count  # $ an hour
    hours = 3_600 * utilization
    computed = value(found.input_tokens_per_s) * (1 - hit)
    paid = value(found.usd_per_mtok_input) * computed + value(found.usd_per_mtok_output) * value(
        found.output_tokens_per_s
    )
    assert paid * hours / 1e6 == pytest.approx(bill, rel=1e-9)
    every = value(found.input_tokens_per_s) + value(found.output_tokens_per_s)
    assert value(found.usd_per_mtok_blended) * every * hours / 1e6 == pytest.approx(bill, rel=1e-9)
    for name in UNCERTAIN:
        one = getattr(found, name)
        assert 0 < one.low < one.value < one.high, name
    assert 0 < found.prompt_share < 1
    assert found.batch <= concurrency * (1 + 1e-9)


@given(
    deployment=st.sampled_from([DENSE, MOE, plan(LLAMA, H100, count=2), plan(LLAMA, H100, tp=2, pp=2)]),
    into=st.floats(1, 30_000), out=st.floats(1, 8_000), concurrency=st.floats(1, 5_000), hit=st.floats(0, 0.95),
)  # fmt: skip
@settings(deadline=None, max_examples=150)
def test_littles_law_and_the_seats(
    deployment: Deployment, into: float, out: float, concurrency: float, hit: float
) -> None:
    load = Load(input=into, output=out, concurrency=concurrency, prefix_hit=hit)
    found = estimate(deployment, load)
    if not found.feasible:
        return
    rate, tpot, ttft = value(found.requests_per_s), value(found.tpot_ms) / 1e3, value(found.ttft_ms) / 1e3
    assert rate * (ttft + tpot * (out - 1)) == pytest.approx(concurrency, rel=1e-6)  # all that are asked are somewhere
    assert rate * tpot * (out - 1) <= found.batch * (1 + 1e-6)  # those that decode fit
    assert rate * into * (1 - hit) <= value(found.prefill_tokens_per_s) * (1 + 1e-6)
    assert rate * out <= value(found.decode_tokens_per_s) * (1 + 1e-6)


def test_a_full_machine_gives_no_more_for_being_asked_more() -> None:
    # 70B in 16 bit on two H100: 3.6 GB each for caches, about 11 requests of 2,048 tokens.
    tight = plan(LLAMA, H100, count=2)
    few, many, more = (
        estimate(tight, Load(input=1_024, output=1_024, concurrency=c)) for c in (8, 256, 4_096)
    )  # fmt: skip
    assert many.max_batch < 20
    assert value(more.output_tokens_per_s) == pytest.approx(value(many.output_tokens_per_s), rel=1e-6)
    assert value(many.output_tokens_per_s) < 2 * value(few.output_tokens_per_s)
    assert value(more.ttft_ms) > 10 * value(many.ttft_ms) > 100 * value(few.ttft_ms)  # they wait


def test_prompts_alone_are_bound_by_arithmetic() -> None:
    one = plan(models.find("meta-llama/Llama-3.1-8B"), H100, count=1)
    found = estimate(one, Load(input=2_000, output=1, concurrency=256))
    rate = value(found.input_tokens_per_s)
    # 16 GFLOP a token at 989 TFLOPS: 61,600 tokens a second is the most that there can be
    assert 0.4 * 61_600 < rate < 61_600


def test_half_the_hours_cost_twice() -> None:
    load = Load(input=2_000, output=300, concurrency=32)
    full, half = (estimate(DENSE, load, usd_per_gpu_hour=Decimal("2.5"), utilization=u) for u in (1.0, 0.5))
    for name in ("usd_per_mtok_input", "usd_per_mtok_output", "usd_per_mtok_blended"):
        assert value(getattr(half, name)) == pytest.approx(2 * value(getattr(full, name)))
    assert half.ttft_ms == full.ttft_ms
    dear = priced(full, Decimal("5"))
    assert value(dear.usd_per_mtok_output) == pytest.approx(2 * value(full.usd_per_mtok_output))
    free = priced(full, Decimal(0))
    assert free.usd_per_mtok_output == Ranged(0.0, 0.0, 0.0)
    assert estimate(DENSE, load).usd_per_mtok_input is None  # no price stated: unknown, not zero


def test_dollars_by_hand() -> None:
    load = Load(input=1_000, output=500, concurrency=16)
    found = estimate(DENSE, load, usd_per_gpu_hour=Decimal("3.60"))
    # 4 × $3.60 an hour = $0.004 a second; over requests a second: dollars a request, of which output has its share
    request = 0.004 / value(found.requests_per_s)
    assert value(found.usd_per_mtok_blended) == pytest.approx(request / 1_500 * 1e6)
    assert value(found.usd_per_mtok_input) == pytest.approx(request * found.prompt_share / 1_000 * 1e6)
    assert value(found.usd_per_mtok_output) == pytest.approx(request * (1 - found.prompt_share) / 500 * 1e6)
    _, _, prompt, step = prepared(DENSE).point(1_000, 500, 16, 16)
    assert found.prompt_share == pytest.approx(prompt / (prompt + 500 * step / 16))
    assert value(found.joules_per_output_token) == pytest.approx(value(found.watts) / value(found.output_tokens_per_s))


def test_an_uncertain_rate_makes_uncertain_dollars_the_other_way_round() -> None:
    found = estimate(DENSE, Load(input=1_000, output=500, concurrency=16), usd_per_gpu_hour=Decimal(2))
    rate, dollars = found.requests_per_s, found.usd_per_mtok_output
    assert rate is not None and dollars is not None
    assert dollars.high / dollars.value == pytest.approx(rate.value / rate.low)
    assert dollars.low / dollars.value == pytest.approx(rate.value / rate.high)


def test_replicas_multiply_rates_and_leave_times() -> None:
    one = estimate(DENSE, Load(input=1_000, output=500, concurrency=16), usd_per_gpu_hour=Decimal(2))
    three = estimate(
        msgspec.structs.replace(DENSE, replicas=3), Load(input=1_000, output=500, concurrency=48),
        usd_per_gpu_hour=Decimal(2),
    )  # fmt: skip
    assert three.tpot_ms == one.tpot_ms and three.ttft_ms == one.ttft_ms
    for name in ("output_tokens_per_s", "watts", "prefill_tokens_per_s"):
        assert value(getattr(three, name)) == pytest.approx(3 * value(getattr(one, name)))
    assert three.max_batch == 3 * one.max_batch and three.batch == 3 * one.batch
    assert value(three.usd_per_mtok_output) == pytest.approx(value(one.usd_per_mtok_output))
    assert value(three.joules_per_output_token) == pytest.approx(value(one.joules_per_output_token))


def test_a_request_is_not_divided_among_replicas() -> None:
    one = estimate(DENSE, Load(input=1_000, output=500, concurrency=1))
    idle = estimate(msgspec.structs.replace(DENSE, replicas=4), Load(input=1_000, output=500, concurrency=1))
    assert idle.tpot_ms == one.tpot_ms and idle.ttft_ms == one.ttft_ms
    assert value(idle.output_tokens_per_s) == pytest.approx(value(one.output_tokens_per_s))
    assert idle.batch == 1


def test_a_usual_concurrency_where_none_is_stated() -> None:
    load = Load(input=1_000, output=500)
    assert estimate(DENSE, load).batch == 64
    assert estimate(msgspec.structs.replace(DENSE, replicas=2), load).batch == 128
    tight = plan(LLAMA, H100, count=2)
    assert estimate(tight, load).batch <= tight.max_batch(1_250)


@pytest.mark.parametrize(("name", "rises"), [("prefix_hit", False), ("input", True)])
def test_prompts_cost(name: str, rises: bool) -> None:
    base = Load(input=4_000, output=300, concurrency=32, prefix_hit=0.2)
    other = msgspec.structs.replace(base, **{name: {"prefix_hit": 0.8, "input": 8_000}[name]})  # type: ignore[arg-type]
    one, two = estimate(DENSE, base), estimate(DENSE, other)
    for figure in ("ttft_ms", "tpot_ms"):
        assert (value(getattr(two, figure)) > value(getattr(one, figure))) is rises
    assert (two.prompt_share > one.prompt_share) is rises


def test_better_answers_by_what_is_stated() -> None:
    load = Load(input=1_000, output=500, concurrency=16)
    base = value(estimate(Deployment(model=LLAMA, device=H200, tp=4), load).tpot_ms)
    assert value(estimate(Deployment(model=LLAMA, device=H200, tp=8), load).tpot_ms) < base
    assert value(estimate(Deployment(model=LLAMA, device=H200, tp=4, weights="fp8"), load).tpot_ms) < base
    drafting = Deployment(model=LLAMA, device=H200, tp=4, speculation=Speculation(tokens=3, acceptance=0.7))
    assert value(estimate(drafting, load).tpot_ms) < base


# What cannot be


def test_no_room_is_an_answer_that_says_what_would_do() -> None:
    found = estimate(Deployment(model=LLAMA, device=H100), Load(input=1_000, output=500), usd_per_gpu_hour=Decimal(2))
    assert not found.feasible
    assert "141.1 GB of weights" in found.why and "--tp 2" in found.why and "--weights fp8" in found.why
    assert "\n" not in found.why
    for name in UNCERTAIN:
        assert getattr(found, name) is None  # unknown, not zero
    assert found.max_batch == 0
    assert priced(found, Decimal(3)) == found


@pytest.mark.parametrize(
    ("model", "device", "changes", "tokens"),
    [
        ("meta-llama/Llama-3.1-70B", "h100-sxm", {}, 1_000),
        ("meta-llama/Llama-3.1-70B", "h100-sxm", {"tp": 2}, 100_000),
        ("deepseek-ai/DeepSeek-V3", "h100-sxm", {"tp": 8}, 2_000),
        ("deepseek-ai/DeepSeek-V3", "h200-sxm", {"dp": 4, "ep": 4}, 2_000),
        ("meta-llama/Llama-3.1-8B", "rtx-4090", {}, 100_000),
        ("meta-llama/Llama-3.1-70B", "gb200", {"weights": "bf16"}, 500_000),
    ],
)
def test_each_thing_that_would_fit_does(model: str, device: str, changes: dict[str, object], tokens: int) -> None:
    one = Deployment(model=models.find(model), device=devices.find(device), **changes)  # type: ignore[arg-type]
    load = Load(input=tokens, output=100)
    found = estimate(one, load)
    assert not found.feasible
    said = found.why.split("; ")[-1].removesuffix(" would fit").split(" or ")
    assert said[0].startswith("--")
    for advice in said:
        changed = dict(re.findall(r"--(\w+) (\w+)", advice))
        numbers = {name: int(value) for name, value in changed.items() if name in ("tp", "pp")}
        if one.ep > 1 and numbers.get("tp", one.tp) != one.tp:
            numbers["ep"] = numbers["tp"] * one.dp
        other = msgspec.structs.replace(one, **{**changed, **numbers})
        other.check()
        assert estimate(other, load).feasible, advice
        if numbers:
            assert f"({other.count} devices)" in advice


def test_nothing_that_we_sell_would_fit() -> None:
    found = estimate(Deployment(model=MIXTURE, device=devices.find("rtx-4090")), Load(input=100, output=100))
    assert not found.feasible
    assert found.why.endswith("a larger device is needed")


@pytest.mark.parametrize(
    ("load", "says"),
    [
        (Load(input=0, output=10), "0 tokens in and 10 out; both must be at least 1"),
        (Load(input=10, output=0), "10 tokens in and 0 out"),
        (Load(input=float("nan"), output=10), "nan tokens in"),
        (Load(input=10, output=float("inf")), "inf out"),
        (Load(input=10, output=10, prefix_hit=1.0), "prefix hit 1: a share from 0 to under 1"),
        (Load(input=10, output=10, prefix_hit=-0.1), "prefix hit -0.1"),
        (Load(input=10, output=10, prefix_hit=60), "prefix hit 60: a share .*0.6 for 60 %"),
        (Load(input=10, output=10, concurrency=0), "concurrency 0; at least 1"),
        (Load(input=10, output=10, concurrency=0.5), "concurrency 0.5"),
        (Load(input=10, output=10, concurrency=float("inf")), "concurrency inf"),
    ],
)
def test_loads_that_cannot_be(load: Load, says: str) -> None:
    with pytest.raises(FarthingError, match=says):
        estimate(DENSE, load)


@pytest.mark.parametrize("utilization", [0, -0.1, 1.01, 50])
def test_a_utilization_is_a_share(utilization: float) -> None:
    with pytest.raises(FarthingError, match=r"utilization .*: a share over 0, up to 1"):
        estimate(DENSE, Load(input=10, output=10), utilization=utilization)


def test_every_model_on_every_device_is_an_answer() -> None:
    load, feasible = Load(input=1_000, output=200), 0
    for id in models.names():
        for device in devices.everything():
            found = estimate(plan(models.find(id), device), load, usd_per_gpu_hour=Decimal(1))
            assert found.feasible or found.why
            if found.feasible:
                feasible += 1
                assert found.tpot_ms is not None and 0 < found.tpot_ms.low < found.tpot_ms.value < found.tpot_ms.high
    assert feasible > 1_000


@pytest.mark.parametrize("id", ["meta-llama/Llama-3.1-8B", "openai/gpt-oss-120b", "deepseek-ai/DeepSeek-V3"])
@pytest.mark.parametrize(
    "device", [one for one in devices.everything() if one.vendor.lower() == "nvidia"], ids=lambda d: d.id
)
def test_no_token_is_faster_than_its_weights_are_read(id: str, device: object) -> None:
    """Below the ceiling of bandwidth, and of arithmetic: whatever the coefficients."""
    model = models.find(id)
    one = plan(model, device, weights="fp4" if "gpt" in id else "bf16")  # type: ignore[arg-type]
    load = Load(input=500, output=500, concurrency=1)
    found: Estimate = estimate(one, load)
    if not found.feasible:
        return
    embedding = 0 if model.tied else model.head_parameters
    least = (model.active_parameters - embedding) * (0.5 if "gpt" in id else 2)
    ceiling = least / (one.gpus * one.device.bandwidth_bytes_s)
    known = prepared(one).point(500, 500, 1, 1)[3]
    assert known > ceiling
    assert value(found.tpot_ms) / 1e3 > 0.8 * ceiling

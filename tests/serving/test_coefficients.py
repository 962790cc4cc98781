"""Coefficients: how those of one deployment are chosen by its tags and its engine's age."""

import math
from datetime import date

import msgspec
import pytest

from farthing.evidence import Grade
from farthing.serving import devices, models
from farthing.serving.coefficients import Coefficient, Fit, choose, months_of, packaged, tags_of
from farthing.serving.deployment import Deployment
from farthing.serving.fitting.fit import FIRST

DENSE, MIXTURE = models.find("meta-llama/Llama-3.1-8B"), models.find("openai/gpt-oss-120b")
H100 = devices.find("h100-sxm")


def with_values(**values: float) -> tuple[Fit, dict[str, float]]:
    fit = packaged()
    linear = ("front_power", "monthly_gain")
    more = {
        name: Coefficient(name=name, value=value, prior=1, sd=1, linear=name in linear)
        for name, value in values.items()
    }
    fit = msgspec.structs.replace(fit, coefficients={**fit.coefficients, **more})
    return fit, {**dict.fromkeys(fit.coefficients, 1.0), **values}


def test_a_tag_is_a_factor_and_a_summand_where_the_plain_one_is_an_exponent() -> None:
    fit, values = with_values(**{
        "kv_bandwidth": 0.8, "kv_bandwidth@vllm": 1.1, "kv_bandwidth@hopper": 0.5, "front_power": 0.2,
        "front_power@vllm": 0.05,
    })  # fmt: skip
    plain = choose(fit, values, ())
    both = choose(fit, values, ("vllm", "fp8", "hopper"))
    assert plain.kv_bandwidth == 0.8
    assert both.kv_bandwidth == pytest.approx(0.8 * 1.1 * 0.5)
    assert choose(fit, values, ("sglang",)).kv_bandwidth == pytest.approx(0.8 * values["kv_bandwidth@sglang"])
    assert packaged().coefficients["front_power"].linear
    assert both.front_power == pytest.approx(0.25)


def test_newer_engines_gain_by_the_month_and_drafts_by_their_factor() -> None:
    fit, values = with_values(monthly_gain=0.02, drafted=0.7)
    assert choose(fit, values, ()).speed == 1
    assert choose(fit, values, (), months=5).speed == pytest.approx(math.exp(-0.1))
    assert choose(fit, values, (), months=-5).speed == pytest.approx(math.exp(0.1))
    assert choose(fit, values, (), drafted=True).drafted == 0.7
    assert choose(fit, values, ()).drafted == 1


def test_tags_of_a_deployment() -> None:
    fit = packaged()
    one = Deployment(model=DENSE, device=H100, engine="sglang", weights="fp8")
    assert set(tags_of(one, fit)) == {"sglang", "fp8", "hopper", "nvidia"}
    assert set(tags_of(one, fit, lockstep=True)) == {"sglang", "fp8", "hopper", "nvidia", "lockstep"}
    card = Deployment(model=DENSE, device=devices.find("l40s"))
    assert set(tags_of(card, fit)) == {"vllm", "bf16", "pcie", "nvidia"}  # a family that was not measured gives none


def test_age_counts_for_mixtures_only_and_within_the_days_of_the_fit() -> None:
    fit = packaged()
    assert months_of(Deployment(model=DENSE, device=H100, engine_date=fit.newest), fit) == 0
    one = Deployment(model=MIXTURE, device=H100)
    assert months_of(one, fit) == pytest.approx((fit.newest - fit.reference).days / 30.4)
    far = msgspec.structs.replace(one, engine_date=date(2031, 1, 1))
    assert months_of(far, fit) == months_of(one, fit)
    old = msgspec.structs.replace(one, engine_date=date(2019, 1, 1))
    assert months_of(old, fit) == pytest.approx((fit.oldest - fit.reference).days / 30.4)
    assert months_of(msgspec.structs.replace(one, engine_date=fit.reference), fit) == 0


def test_the_packaged_fit_is_plausible_and_says_where_it_is_from() -> None:
    fit = packaged()
    assert fit.source.grade is Grade.DERIVED
    assert fit.oldest < fit.reference < fit.newest
    for name, one in fit.coefficients.items():
        if not one.linear:
            assert one.value > 0, name
            far = abs(math.log(one.value / one.prior)) / one.sd
        else:
            far = abs(one.value - one.prior) / one.sd
        assert far < 4, f"{name} is {far:.1f} sd from its prior"
        assert "@" not in name or name.split("@")[0] in fit.coefficients, name
    for tags in (
        ("vllm", "fp8", "hopper"),
        ("trtllm", "fp4", "blackwell"),
        ("sglang", "int4"),
        ("vllm", "bf16", "pcie"),
    ):
        chosen = choose(fit, fit.values(), tags)
        for name in ("dense_bandwidth", "expert_bandwidth", "kv_bandwidth", "prompt_compute", "link_bandwidth"):
            assert 0.1 < getattr(chosen, name) <= 1, (name, tags)  # no more than what the device has
        assert 1 <= chosen.imbalance < 2
        assert 0 < chosen.interference <= 1.2
    for name in FIRST:
        assert name in fit.coefficients


def test_every_family_is_of_known_devices() -> None:
    for device in packaged().families:
        assert devices.find(device).id == device

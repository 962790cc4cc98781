"""Deployments of one's own: how they are spelt, kept and found again, and what their rate cards charge."""

from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farthing.charges.reference import price_usage
from farthing.evidence import Grade
from farthing.problems import FarthingError
from farthing.rates.book import Book
from farthing.rates.toml import load_card
from farthing.rates.write import prepare, write_card
from farthing.serving import devices, market
from farthing.serving.deployment import Speculation
from farthing.serving.estimate import Estimate, Load, estimate
from farthing.serving.hosted import Hosted, card, estimated, hosted, load, offer, parse, save, to_rate
from farthing.usage.record import Usage

DAY = date(2026, 11, 21)
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No farthing-hosts.toml of the person who runs the tests is read."""
    monkeypatch.chdir(tmp_path)


def refusal(text: str, file: Path | None = None) -> str:
    with pytest.raises(FarthingError) as caught:
        parse(text, file)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- spelt out ------------------------------------------------------------------------------------


def test_a_bare_spec_takes_the_checkpoint_and_the_fewest_devices() -> None:
    one = parse("llama-3.1-8b@h100-sxm")
    assert (one.deployment.model.id, one.deployment.device.id) == ("meta-llama/Llama-3.1-8B", "h100-sxm")
    assert (one.deployment.count, one.deployment.weights, one.deployment.engine) == (1, "bf16", "vllm")
    assert (one.concurrency, one.prefix_hit, one.usd_per_gpu_hour, one.utilization) == (None, 0.0, None, 1.0)
    assert parse("deepseek-v3@h200").deployment.weights == "fp8"  # as its maker publishes it


def test_every_key_of_a_spec_is_used() -> None:
    one = parse(
        "gpt-oss-120b@h100-sxm*8,engine=sglang,weights=fp4,kv=fp8,tp=4,dp=2,ep=8,pp=1,concurrency=12,prefix-hit=0.5,"
        "usd-per-gpu-hour=2.40,utilization=0.25,draft-tokens=3,acceptance=0.7"
    )
    made = one.deployment
    assert (made.engine, made.weights, made.kv) == ("sglang", "fp4", "fp8")
    assert made.layout == {"tp": 4, "pp": 1, "dp": 2, "ep": 8, "replicas": 1}
    assert made.speculation == Speculation(tokens=3, acceptance=0.7)
    assert (one.concurrency, one.prefix_hit, one.utilization) == (12, 0.5, 0.25)
    assert one.usd_per_gpu_hour == Decimal("2.40")


def test_a_count_beyond_one_copy_makes_further_copies() -> None:
    assert parse("llama-3.1-8b@rtx-4090*3,tp=1").deployment.replicas == 3
    assert parse("llama-3.1-70b@h100-sxm*4, weights = fp8").deployment.layout["tp"] == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is neither a saved deployment nor MODEL@DEVICE"),
        ("ours", "such as host:llama-3.1-70b@h100-sxm*4,weights=fp8"),
        ("llama-3.1-8b@", "is neither"),
        ("@h100-sxm", "is neither"),
        ("llama-3.1-8b@h100-sxm*", "is neither"),
        ("llama-3.1-8b@h100-sxm*2*2", "is neither"),
        ("llama-3.1-8b@h100-sxm,", "is neither"),
        ("llama-3.1-8b@h100-sxm,weights", "'weights' is not KEY=VALUE"),
        ("llama-3.1-8b@h100-sxm,weight=fp8", "unknown 'weight'; one of model, device, engine, weights"),
        ("llama-3.1-8b@h100-sxm,tp=2,tp=4", "tp is stated twice"),
        ("llama-3.1-8b@h100-sxm*2,count=4", "count is stated twice"),
        ("llama-3.1-8b@h100-sxm,device=h200", "device is stated twice"),
        ("llama-9@h100-sxm", "llama-9"),
        ("llama-3.1-8b@h100", "name one: h100-sxm, h100-pcie, h100-nvl"),
        ("llama-3.1-8b@h1000", "unknown device 'h1000'"),
        ("llama-3.1-8b@h100-sxm,engine=ollama", "one of vllm, sglang, trtllm"),
        ("llama-3.1-8b@h100-sxm,weights=q4", "unknown format of weights 'q4'"),
        ("llama-3.1-8b@h100-sxm,kv=q4", "unknown format of the KV cache 'q4'"),
        ("llama-3.1-8b@h100-sxm,tp=3", "tp 3 does not divide the 32 attention heads"),
        ("llama-3.1-8b@h100-sxm*3,tp=2", "--count 3 is not a multiple of tp × pp × dp = 2"),
        ("llama-3.1-8b@h100-sxm*0", "a whole number from 1 to 1,000,000"),
        ("llama-3.1-8b@h100-sxm*" + "9" * 5000, "a whole number from 1 to 1,000,000"),
        ("llama-3.1-8b@h100-sxm,tp=²", "tp is '²'; a whole number"),
        ("llama-3.1-8b@h100-sxm,tp=2.0", "a whole number"),
        ("llama-3.1-8b@h100-sxm,draft-tokens=2.7,acceptance=0.5", "draft_tokens is '2.7'; a whole number"),
        ("llama-3.1-8b@h100-sxm,draft-tokens=3", "go together"),
        ("llama-3.1-8b@h100-sxm,acceptance=0.5", "go together"),
        ("llama-3.1-8b@h100-sxm,concurrency=nan", "a number of at least 0"),
        ("llama-3.1-8b@h100-sxm,concurrency=-1", "a number of at least 0"),
        ("llama-3.1-8b@h100-sxm,usd-per-gpu-hour=1e400", "a number of at least 0"),
        ("llama-3.1-8b@h100-sxm,usd-per-gpu-hour=2,5", "'5' is not KEY=VALUE"),
        ("llama-3.1-8b@h100-sxm,usd-per-gpu-hour=", "a number of at least 0"),
    ],
)
def test_a_bad_spec_is_one_line(text: str, said: str) -> None:
    assert said in refusal(text)


# --- kept -----------------------------------------------------------------------------------------


def test_what_is_kept_is_found_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "farthing-hosts.toml"
    first = hosted("ours", {"model": "llama-3.1-70b", "device": "h100-sxm", "count": "4", "weights": "fp8"})
    second = hosted("theirs", {"model": "llama-3.1-8b", "device": "l40s", "usd_per_gpu_hour": "0.80"})
    save(first, file)
    save(second, file)
    assert load(file) == {"ours": first, "theirs": second}
    assert parse("ours", file) == parse("ours") == first  # ./farthing-hosts.toml is the default
    assert parse("llama-3.1-8b@h100-sxm").name == "llama-3.1-8b@h100-sxm"  # beside the file
    assert "has ours, theirs" in refusal("nobody's", file)


def test_keeping_again_replaces_only_that_name(tmp_path: Path) -> None:
    file = tmp_path / "h.toml"
    for name, count in (("a", "1"), ("b", "2"), ("a", "4")):
        save(hosted(name, {"model": "llama-3.1-8b", "device": "h100-sxm", "count": count}), file)
    assert {name: one.deployment.count for name, one in load(file).items()} == {"a": 4, "b": 2}


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip),
    hit=st.decimals(0, "0.9", places=3),
)
def test_any_name_survives_the_file(tmp_path: Path, name: str, hit: Decimal) -> None:
    file = tmp_path / "any.toml"
    file.unlink(missing_ok=True)
    one = hosted(name, {"model": "llama-3.1-8b", "device": "h100-sxm", "prefix_hit": str(hit)})
    save(one, file)
    assert load(file) == {name: one}


def test_a_name_of_spaces_is_none(tmp_path: Path) -> None:
    with pytest.raises(FarthingError, match="kept under a name"):
        save(hosted(" ", {"model": "llama-3.1-8b", "device": "h100-sxm"}), tmp_path / "h.toml")
    assert not (tmp_path / "h.toml").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[host]]\nname = "x"\nmodel = "llama-3.1-8b"\ndevice = "h100-sxm"\ncolour = "red"\n', ":5: unknown key"),
        ('[[host]]\nmodel = "llama-3.1-8b"\ndevice = "h100-sxm"\n', ":1: 'name' is missing"),
        ('[[host]]\nname = "x"\ndevice = "h100-sxm"\n', ":1: x: no model is stated"),
        ('[[host]]\nname = "x"\nmodel = "llama-3.1-8b"\ndevice = "h100"\n', ":1: device 'h100' stands for 3"),
        ('[[host]]\nname = "x"\nmodel = "llama-3.1-8b"\ndevice = "h100-sxm"\ntp = 2\n', ":5: 'tp' is 2, not text"),
        ('[[host]]\nname = "x"\nmodel = "llama-3.1-8b"\ndevice = "h100-sxm"\ntp = "3"\n', ":1: tp 3 does not divide"),
        ("[tool]\na = 1\n", ":1: unknown key 'tool'"),
        ("[[host]\n", ":1: "),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "h.toml"
    file.write_text(text)
    assert refusal("x", file).startswith(f"{file}{said.split(' ')[0]}")
    assert said in refusal("x", file)


def test_a_name_twice_in_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "h.toml"
    entry = '[[host]]\nname = "x"\nmodel = "llama-3.1-8b"\ndevice = "{}"\n'
    file.write_text(entry.format("h100-sxm") + entry.format("h200"))
    assert refusal("x", file) == f"{file}:6: deployment 'x' is there twice"


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    assert "no.toml: cannot be read: No such file" in refusal("x", tmp_path / "no.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    assert "cannot be read: not UTF-8" in refusal("x", tmp_path / "binary.toml")


# --- as an offer ----------------------------------------------------------------------------------


def at(spec: str, input: float, output: float, hit: float | None = None) -> tuple[Hosted, Estimate]:
    one = parse(spec)
    return one, estimated(one, input, output, hit, DAY)


def request_usd(found: Estimate) -> float:
    """What one request costs: all devices' dollars a second over the requests a second, by the hours in use."""
    assert found.usd_per_gpu_hour is not None and found.requests_per_s is not None
    a_second = float(found.usd_per_gpu_hour) * found.deployment.count / 3600
    return a_second / found.requests_per_s.value / found.utilization


def charged(found: Estimate, cached: float | None = None, **counts: int) -> Fraction:
    """What the book charges for one request at the estimate's rate card."""
    book = Book([card("x", found, DAY, cached)])
    charge = price_usage(Usage(at=AT, quantities=counts), book.find("host/x"))
    assert charge.total_usd is not None, charge.reason
    return charge.total_usd


def test_the_rent_is_the_markets_unless_one_is_stated() -> None:
    _, found = at("llama-3.1-8b@h100-sxm", 1000, 200)
    assert found.usd_per_gpu_hour == market.rent("h100-sxm", DAY).usd_per_gpu_hour
    _, stated = at("llama-3.1-8b@h100-sxm,usd-per-gpu-hour=1.25", 1000, 200)
    assert stated.usd_per_gpu_hour == Decimal("1.25")


def test_the_estimate_is_that_of_its_deployment_and_load() -> None:
    one, found = at("llama-3.1-8b@h100-sxm*2,concurrency=24,utilization=0.5,usd-per-gpu-hour=2", 900, 300, 0.25)
    same = estimate(
        one.deployment, Load(input=900, output=300, concurrency=24, prefix_hit=0.25),
        usd_per_gpu_hour=Decimal(2), utilization=0.5,
    )  # fmt: skip
    assert found == same


def test_the_rates_are_the_estimates_values() -> None:
    _, found = at("llama-3.1-70b@h100-sxm*4,weights=fp8", 2000, 500)
    made = offer("x", found, DAY)
    rates = {rate.meter: rate.amount for rate in made.prices[0].rates}
    assert found.usd_per_mtok_input is not None and found.usd_per_mtok_output is not None
    assert rates["input"] == to_rate(found.usd_per_mtok_input.value)
    assert rates["output"] == to_rate(found.usd_per_mtok_output.value)
    assert float(rates["output"]) == pytest.approx(found.usd_per_mtok_output.value, rel=1e-5)
    assert rates["cache_read"] == 0
    assert rates["cache_write"] == rates["cache_write_1h"] == rates["input"]
    assert not any(meter.endswith(("_audio", "_image", "_video")) for meter in rates)  # it reads text
    assert (made.provider, made.model) == ("host", "x")


def test_six_digits_are_kept_of_a_rate() -> None:
    assert to_rate(0.123456789) == Decimal("0.123457")
    assert to_rate(1234567.9) == Decimal("1234570")
    assert to_rate(0.0) == 0


def test_a_charge_is_tokens_times_rate_exactly() -> None:
    _, found = at("llama-3.1-8b@h100-sxm", 1000, 200)
    rates = {rate.meter: Fraction(rate.amount) for rate in offer("x", found, DAY).prices[0].rates if rate.amount}
    expected = (700 * rates["input"] + 300 * 0 + 200 * rates["output"]) / 1_000_000
    assert charged(found, input=700, cache_read=300, output=200) == expected


@pytest.mark.parametrize("spec", ["llama-3.1-8b@h100-sxm", "deepseek-v3@h200*16,utilization=0.3", "qwen3-32b@l40s*2"])
def test_the_charge_of_a_mean_request_is_the_machines_time(spec: str) -> None:
    """Input and output rates divide the dollars of a request among its tokens: together they are its dollars."""
    _, found = at(spec, 1500, 250)
    assert float(charged(found, input=1500, output=250)) == pytest.approx(request_usd(found), rel=1e-5)


@settings(deadline=None, max_examples=40)
@given(cached=st.integers(0, 900), hit=st.sampled_from([None, 0.0, 0.3, 0.9]))
def test_cached_tokens_are_free_and_the_rest_carries_the_cost(cached: int, hit: float | None) -> None:
    """Of 1,000 prompt tokens `cached` are recorded as read from a cache; the machine finds the share `hit`
    (None: as many). Either way, the charges are what the machine's time costs."""
    share = cached / 1000
    _, found = at("llama-3.1-8b@h100-sxm", 1000, 200, share if hit is None else hit)
    made = charged(found, share, input=1000 - cached, cache_read=cached, output=200)
    assert float(made) == pytest.approx(request_usd(found), rel=1e-5)


def test_the_source_says_what_was_computed() -> None:
    _, found = at("llama-3.1-70b@h100-sxm*4,weights=fp8,usd-per-gpu-hour=2.5", 2000, 500)
    source = offer("x", found, DAY).prices[0].source
    assert "Llama-3.1-70B on 4 × h100-sxm (vllm, fp8 tp4), 2,000 tokens in, 500 out, 64 at once" in source.title
    assert "at 2.5 USD a device-hour" in source.title and source.seen == DAY
    assert source.grade == Grade.DERIVED  # of the measured group, within what was measured
    _, far = at("llama-3.1-8b@mi300x", 2000, 500)
    assert offer("x", far, DAY).prices[0].source.grade == Grade.ASSUMED


def test_the_card_can_be_written_and_read_back(tmp_path: Path) -> None:
    _, found = at("llama-3.1-8b@h100-sxm", 1000, 200)
    offers, left = prepare([offer("ours", found, DAY)], DAY)
    text = write_card(offers)
    assert not left
    (tmp_path / "c.toml").write_text(text)
    book = Book([load_card(tmp_path / "c.toml")])
    charge = price_usage(Usage(at=AT, quantities={"input": 1000, "output": 200}), book.find("host/ours"))
    assert charge.total_usd == charged(found, input=1000, output=200)


def test_what_does_not_fit_is_refused_by_its_name() -> None:
    with pytest.raises(FarthingError, match=r"^host:llama-3.1-405b@rtx-4090: .* would fit$"):
        at("llama-3.1-405b@rtx-4090", 1000, 200)


def test_a_device_without_a_known_rent_needs_one() -> None:
    unknown = next(one.id for one in devices.everything() if not market.rents(one.id))
    with pytest.raises(FarthingError, match="is known"):
        at(f"llama-3.1-8b@{unknown}", 1000, 200)
    assert at(f"llama-3.1-8b@{unknown},usd-per-gpu-hour=1", 1000, 200)[1].usd_per_mtok_output is not None


def test_an_estimate_without_dollars_makes_no_card() -> None:
    _, found = at("llama-3.1-8b@h100-sxm", 1000, 200)
    with pytest.raises(FarthingError, match="host:x: no dollars per hour"):
        offer("x", msgspec.structs.replace(found, usd_per_mtok_input=None), DAY)

"""`farthing tco`, `breakeven` and `margin` as a user runs them: JSON, tables, charts, refusals."""

import tomllib
from pathlib import Path

import pytest

from farthing.cli import plans, plans_margin
from tests.cli import Ran, run

GPU = ("--input-tokens-s", "3000", "--output-tokens-s", "3000")
SEED = ("--rent", "2.49", *GPU, "--hours-per-month", "720", "--mix", "1:1")
PAIR = ("--device", "h100-sxm", "--gpus", "2", "--input-tokens-s", "4400..5544..8900", "--output-tokens-s",
        "2900..3636..5800")  # fmt: skip
CARD = """
[source.me]
title = "A contract"
where = "contract.pdf"
seen = 2026-10-01
grade = "vendor-stated"
[[offer]]
provider = "acme"
model = "flat"
[[offer.price]]
valid_from = 2026-01-01
source = "me"
[offer.price.rates]
input = 0.30
output = 0.30
"""


@pytest.fixture
def card(tmp_path: Path) -> Path:
    file = tmp_path / "card.toml"
    file.write_text(CARD)
    return file


def narrow(ran: Ran) -> str:
    """The printed tables, which must fit 100 columns."""
    assert ran.code == 0, ran.err
    assert max(len(text.rstrip()) for text in ran.out.splitlines()) <= 100
    return ran.out


# --- tco ------------------------------------------------------------------------------------------


def test_tco_of_the_seeds_gpu() -> None:
    found = run("tco", *SEED, "--volume", "5B", "--json").json
    assert found["usd_per_month"] == {"low": 1792.8, "mid": 1792.8, "high": 1792.8}
    assert found["usd_per_mtok_blended"]["mid"] == 0.35856
    assert found["gpus"] == 1 and found["kind"] == "rented"
    assert found["evidence"] == "assumed"
    assert found["sci_g_per_mtok"] is None and found["carbon_missing"] == ["what a GPU draws"]
    assert found["not_included"] == ["staff", "network"]


def test_tco_of_owned_servers_from_the_libraries() -> None:
    found = run("tco", *PAIR, "--buy", "market", "--region", "us-va", "--volume", "30B", "--peak", "2", "--spare", "1",
                "--staff", "4000", "--capital-rate", "0.08", "--json").json  # fmt: skip
    assert found["kind"] == "owned" and found["gpus"] == 24  # two servers for the peak, and one spare
    names = {cost["name"] for cost in found["costs"]}
    assert names == {"depreciation", "cost of capital", "electricity, waiting", "electricity, serving", "staff"}
    assert sum(cost["usd_per_month"]["mid"] for cost in found["costs"]) == pytest.approx(found["usd_per_month"]["mid"])
    for key in ("usd_per_mtok_input", "usd_per_mtok_output", "utilization", "sci_g_per_mtok", "wh_per_mtok"):
        assert found[key]["low"] < found[key]["mid"] < found[key]["high"]
    assert [year["year"] for year in found["years"]] == [1, 2, 3, 4]
    assert found["drivers"][0]["input"] == "machine_usd"
    assert len(found["sources"]) > 5


def test_tco_as_a_table() -> None:
    text = narrow(run("tco", *PAIR, "--region", "fra", "--utilization", "0.5"))
    assert "per million tokens, rented h100-sxm, on-demand; evidence: assumed" in text.splitlines()[0]
    assert "SCI (ISO/IEC 21031)" in text
    assert "not stated, so not in it: staff, network" in text
    owned = narrow(run("tco", *PAIR, "--buy", "250000..300000", "--unit-gpus", "8", "--residual", "0.2", "--life",
                       "5.5", "--usd-per-kwh", "0.1", "--utilization", "0.5", "--colocation", "150"))  # fmt: skip
    assert "worth at the end" in owned and "straight; 1 of them" in owned


def test_tco_of_spot_machines() -> None:
    plain = run("tco", *SEED, "--utilization", "1", "--json").json
    spot = run("tco", *SEED, "--term", "spot", "--interruptions", "10", "--restart-h", "0.5", "--lost-h", "1",
               "--utilization", "1", "--json").json  # fmt: skip
    assert spot["useful_share"] == pytest.approx(142 / 145)
    assert spot["usd_per_mtok_blended"]["mid"] == pytest.approx(plain["usd_per_mtok_blended"]["mid"] * 145 / 142)


def test_tco_of_an_estimate() -> None:
    found = run("tco", "--model", "llama-3.1-70b", "--weights", "fp8", "--device", "h100-sxm", "--gpus", "2",
                "--input", "3072", "--output", "1024", "--utilization", "0.5", "--json").json  # fmt: skip
    assert found["input_share"] == 0.75  # of the requests that were estimated
    assert found["drivers"][0]["input"] == "scale" and found["carbon_evidence"] == "assumed"
    assert any(source["id"] == "estimate" for source in found["sources"])
    price = found["usd_per_mtok_blended"]
    assert price["low"] < price["mid"] < price["high"]


def test_a_stated_price_is_of_the_machine_that_holds_a_replica() -> None:
    """$350,000 over 4 years of 12 months: 7,291.67 a month for the 8 GPUs, not for each of them."""
    bought = ("--buy", "350000", "--gpus", "8", *GPU, "--board-w", "500", "--usd-per-kwh", "0.1", "--volume", "1B")
    found = run("tco", *bought, "--json").json
    (lost,) = [cost for cost in found["costs"] if cost["name"] == "depreciation"]
    assert lost["usd_per_month"]["mid"] == pytest.approx(350_000 / 48)
    assert found["gpus"] == found["gpus_of_a_machine"] == 8
    assert "on 8 GPUs in machines of 8 GPUs" in narrow(run("tco", *bought))
    apart = run("tco", *bought, "--unit-gpus", "1", "--json").json
    (lost,) = [cost for cost in apart["costs"] if cost["name"] == "depreciation"]
    assert lost["usd_per_month"]["mid"] == pytest.approx(8 * 350_000 / 48)
    assert "in machines of 1 GPU," in narrow(run("tco", *bought, "--unit-gpus", "1"))


def test_an_estimate_takes_the_checkpoints_own_weights() -> None:
    """DeepSeek-R1 is published in FP8: 671 GB fit 8 H200 (1,128 GB), and in 16 bits they would not."""
    asked = ("tco", "--model", "deepseek-r1", "--device", "h200-sxm", "--gpus", "8", "--volume", "1B", "--rent", "3")
    own, stated = run(*asked, "--json").json, run(*asked, "--weights", "fp8", "--json").json
    assert own["usd_per_mtok_blended"] == stated["usd_per_mtok_blended"]
    assert "would fit" in run(*asked, "--weights", "bf16").refusal


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--model", "llama-3.1-70b", "--rent", "2", "--volume", "1B"), "--model needs --device"),
        (("--model", "llama-3.1-70b", "--device", "h100-sxm", "--volume", "1B", *GPU), "not both"),
        (("--model", "llama-9", "--device", "h100-sxm", "--volume", "1B"), "llama-9"),
        (("--model", "llama-3.1-405b", "--device", "h100-sxm", "--volume", "1B"), "are usable on"),
        ((), "say what it runs on"),
        (("--rent", "2"), "--input-tokens-s 5000"),
        (("--rent", "x", *GPU), "--rent: 'x' is not a number, LOW..HIGH or LOW..MID..HIGH"),
        (("--rent", "4..2", *GPU), "--rent:"),
        (("--rent", "2", *GPU), "state a volume of tokens a month, or a mean utilisation"),
        (("--rent", "2", *GPU, "--volume", "many"), "--volume: 'many' is not a decimal number; write such as 5B, 300M"),
        (
            ("--model", "llama-3.1-70b", "--device", "h100-sxm", "--volume", "1B"),
            "; --gpus 2 or --weights fp8 would fit",
        ),
        (
            ("--model", "llama-3.1-405b", "--gpus", "8", "--device", "h100-sxm", "--volume", "1B"),
            "usable on NVIDIA H100 80 GB SXM5; --weights fp8 would fit",
        ),
        (("--rent", "2", *GPU, "--utilization", "3"), "utilisation is 3"),
        (("--rent", "2", "--buy", "3", *GPU), "--rent or --buy, not both"),
        (("--rent", "market", *GPU), "needs --device"),
        (("--device", "h100", *GPU), "stands for"),
        (("--device", "h1000", *GPU), "unknown device"),
        (("--buy", "30000", *GPU, "--volume", "1B"), "draw power"),
        (("--buy", "30000", "--device", "h100-sxm", *GPU, "--volume", "1B"), "price of the kWh or a region"),
        (("--buy", "3", "--board-w", "500", "--usd-per-kwh", "0.1", "--colocation", "9", *GPU), "name the --device"),
        (("--rent", "2", *GPU, "--volume", "1B", "--mix", "3"), "INPUT:OUTPUT"),
        (("--rent", "2", *GPU, "--volume", "1B", "--mix", "0:0"), "no tokens"),
        (("--rent", "2", *GPU, "--volume", "1B", "--cached", "2"), "cached share is 2"),
        (("--rent", "2", *GPU, "--volume", "1B", "--term", "weekly"), "--term 'weekly'"),
        (("--rent", "2", "--input-tokens-s", "0", "--output-tokens-s", "1", "--volume", "1B"), "above 0"),
        (("--buy", "2", "--decline", "0.5", "--residual", "0.1", "--board-w", "1", *GPU), "not both"),
        (("--rent", "2", *GPU, "--volume", "1B", "--mix", "1:0", "--cached", "1"), "takes no time"),
    ],
)
def test_tco_refusals(args: tuple[str, ...], said: str) -> None:
    assert said in run("tco", *args).refusal


# --- breakeven ------------------------------------------------------------------------------------


def test_breakeven_of_the_seeds_gpu(card: Path) -> None:
    found = run("breakeven", "acme/flat", "--card", card, "--at", "2026-11-01", *SEED, "--json").json
    (host,) = found["hosts"]
    assert host["break_even_tokens"]["mid"] == 5_976_000_000
    assert host["settled_tokens"]["mid"] == 23_904_000_000
    assert len(host["crossing"]["api_cheaper_again"]) == 3
    at = {row["tokens_per_month"]: row for row in found["curve"]}
    assert at[50e9]["gpus"] == {"rented, on-demand": 7}
    assert at[10e9]["winner"] == "acme/flat"
    assert len(found["surface"]) == 30
    assert found["evidence"] == "assumed"


def test_breakeven_says_what_it_leaves_out(card: Path) -> None:
    asked = ("breakeven", "acme/flat", "--card", card, "--at", "2026-11-01", "--buy", "350000", "--gpus", "8",
             "--board-w", "500", "--usd-per-kwh", "0.1", *GPU)  # fmt: skip
    (host,) = run(*asked, "--json").json["hosts"]
    absent = ["staff", "a place for the machines", "the cost of capital", "maintenance", "network"]
    assert host["not_included"] == absent and host["gpus_of_a_machine"] == 8
    text = " ".join(narrow(run(*asked)).split())
    assert f"owned: not stated, so not in it: {', '.join(absent)}" in text
    assert "owned: in machines of 8 GPUs" in text
    full = run(*asked, "--staff", "1", "--maintenance", "0.1", "--capital-rate", "0.1", "--network", "1", "--json").json
    assert full["hosts"][0]["not_included"] == ["a place for the machines"]


def test_breakeven_as_a_table_a_page_and_a_picture(tmp_path: Path) -> None:
    page, picture = tmp_path / "b.html", tmp_path / "b.png"
    ran = run("breakeven", "openai/gpt-4.1", "--at", "2026-11-01", *PAIR, "--rent", "market", "--buy", "market",
              "--region", "us-va", "--peak", "2", "--html", page, "--png", picture)  # fmt: skip
    text = narrow(ran)
    assert "rented h100-sxm, on-demand: cheaper from" in text
    assert "below 1 hosting wins" in text
    assert picture.read_bytes().startswith(b"\x89PNG")
    html = page.read_text()
    assert "vegaEmbed" in html and "openai/gpt-4.1 against hosting" in html
    assert "default-src 'none'" in html


@pytest.mark.parametrize("name", ["startup-70b", "enterprise-405b", "local-rtx5090", "decision-matrix"])
def test_scenarios(name: str) -> None:
    found = run("breakeven", "--scenario", name, "--json").json
    assert found["scenario"] == name and found["evidence"] == "assumed"
    assert {case["basis"] for case in found["cases"]} == {"stated", "corrected"}
    narrow(run("breakeven", "--scenario", name))


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "name an offer"),
        (("--scenario", "none"), "no scenario is called 'none': --scenario startup-70b or"),
        (("openai/gpt-4.1", "--scenario", "startup-70b"), "leave out OFFER"),
        (("openai/gpt-4.1",), "say what it runs on"),
        (("openai/none", "--rent", "2", *GPU), "none"),
        (("openai/gpt-4.1", "--rent", "2", *GPU, "--png", "/nowhere/b.png"), "/nowhere/b.png"),
        (("deepinfra/meta-llama/Llama-3.3-70B-Instruct", "--rent", "2", *GPU, "--cached", "0.5"), "cached input"),
    ],
)
def test_breakeven_refusals(args: tuple[str, ...], said: str) -> None:
    assert said in run("breakeven", *args).refusal


def test_a_scenario_file_that_is_no_toml(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text("[[scenario]\n")
    assert f"{file}:1" in run("breakeven", "--file", file, "--scenario", "a").refusal
    assert "No such file" in run("breakeven", "--file", tmp_path / "none.toml", "--scenario", "a").refusal


# --- margin ---------------------------------------------------------------------------------------


def test_deepseeks_disclosure() -> None:
    found = run("margin", "--scenario", "deepseek-open-infra", "--json").json
    assert found["figures"]["cost_usd"]["value"]["mid"] == 87072
    assert {one["verdict"] for one in found["findings"]} == {"holds"}
    assert found["cost"]["output_usd_per_mtok"]["mid"] == pytest.approx(0.30015, abs=1e-5)
    assert found["evidence"] == "vendor-stated"
    assert "545 %" in narrow(run("margin", "--scenario", "deepseek-open-infra"))
    cheaper = run("margin", "--scenario", "deepseek-open-infra", "--rent", "1", "--json").json
    assert cheaper["figures"]["cost_usd"]["value"]["mid"] == 43536


def test_the_margin_of_an_offer() -> None:
    stated = ("--cost-input", "0.1..0.2..0.4", "--cost-output", "1", "--at", "2026-11-01")
    found = run("margin", "openai/gpt-4.1", *stated, "--json").json
    read, written = found["kinds"]
    assert read["gross_margin"] == {"low": 0.8, "mid": 0.9, "high": 0.95}  # of $2
    assert written["gross_margin"]["mid"] == 0.875  # of $8
    assert found["blended"]["price_usd"] == 3.5
    assert found["evidence"] == "assumed"
    narrow(run("margin", "openai/gpt-4.1", *stated))
    like = run("margin", "openai/gpt-4.1", "--like", "deepseek-open-infra", "--factor", "0.5..2..8", "--cached", "0.5",
               "--at", "2026-11-01", "--json").json  # fmt: skip
    assert [kind["kind"] for kind in like["kinds"]] == ["input", "cached input", "output"]
    gpus = run("margin", "openai/gpt-4.1", *PAIR, "--utilization", "0.4", "--at", "2026-11-01", "--json").json
    assert gpus["cost"]["name"] == "rented h100-sxm, on-demand at 40%"


@pytest.mark.parametrize("name", ["claude-max-20x", "claude-pro"])
def test_subscriptions(name: str) -> None:
    found = run("margin", "--plan", name, "--json").json
    assert found["evidence"] == "assumed"
    corrected = found["cases"][-1]
    assert [user["name"] for user in corrected["users"]] == ["light", "typical", "heavy"]
    assert corrected["mean"]["gross_margin"]["low"] < corrected["mean"]["gross_margin"]["high"]
    narrow(run("margin", "--plan", name))


def test_a_subscription_at_your_own_cost() -> None:
    found = run("margin", "anthropic/claude-opus-4-5", "--plan", "claude-max-20x", "--cost-input", "0.1",
                "--cost-output", "5", "--cost-cached", "0.01", "--at", "2026-02-01", "--json").json  # fmt: skip
    (case,) = found["cases"]
    assert case["name"] == "with your cost"
    assert case["worst"]["kind"] == "output"  # 5 / 25 against 0.1 / 5


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "name an offer"),
        (("--scenario", "x"), "there are: deepseek-open-infra, note-h100-cluster"),
        (("--plan", "x"), "there are: claude-max-20x, claude-pro"),
        (("openai/gpt-4.1",), "state what a token costs"),
        (("openai/gpt-4.1", "--cost-input", "1"), "state both"),
        (("openai/gpt-4.1", "--cost-input", "1", "--like", "deepseek-open-infra"), "in one way"),
        (("openai/gpt-4.1", "--like", "x"), "no disclosure is called 'x'"),
        (("openai/gpt-4.1", "--scenario", "deepseek-open-infra"), "leave out OFFER"),
        (("openai/gpt-4.1", "--cost-input", "1", "--cost-output", "1", "--cached", "0.5"), "unknown"),
    ],
)
def test_margin_refusals(args: tuple[str, ...], said: str) -> None:
    assert said in run("margin", *args).refusal


@pytest.mark.parametrize("name", ["tco", "breakeven", "margin"])
def test_help_has_an_example(name: str) -> None:
    ran = run(name, "--help")
    assert ran.code == 0 and f"Example: farthing {name}" in " ".join(ran.out.split())


def test_the_example_of_margin_has_a_price() -> None:
    example = str(plans_margin.margin.__doc__).split("Example: farthing ")[1].split()
    assert example[0] == "margin"
    assert run(*example, "--at", "2026-11-22", "--json").json["blended"]["gross_margin"]["mid"] is not None


def test_every_number_of_our_data_has_a_source() -> None:
    folder = Path(plans.__file__).parents[1] / "data" / "plans"
    files = sorted(folder.glob("*.toml"))
    assert [file.name for file in files] == ["breakeven.toml", "embodied.toml", "margins.toml", "subscriptions.toml"]
    for file in files:
        for source in tomllib.loads(file.read_text())["source"].values():
            assert set(source) == {"title", "where", "seen", "grade"}

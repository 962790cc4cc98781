"""`farthing price`: worked examples with their arithmetic, the interface to the letter, and every refusal."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from tests.cli import run

AT = ("--at", "2026-11-01")
MILLION = 10**6

CARD = """
[source.contract]
title = "Contract with Acme"
where = "contract.pdf"
seen = 2026-10-01
grade = "vendor-stated"

[source.correction]
title = "Acme's correction"
where = "letter.pdf"
seen = 2026-10-20
grade = "vendor-stated"

[[offer]]
provider = "acme"
model = "large"
[[offer.price]]
valid_from = 2026-10-01
source = "contract"
[offer.price.rates]
input = 0.0000037
output = 2.00
reasoning = 8.00
image = 0.04
audio_second = 0.36
[[offer.price.rule]]
when = { tier = "batch" }
multiply = 0.5
[[offer.price.rule]]
when = { regions = ["eu-*"] }
multiply = 1.1
[[offer.price.rule]]
when = { size = "big" }
rates = { image = 0.08 }
[[offer.price]]
valid_from = 2026-10-01
recorded = 2026-10-20
source = "correction"
[offer.price.rates]
input = 5.00
output = 2.00

[[offer]]
provider = "openai"
model = "gpt-4o"
[[offer.price]]
source = "contract"
[offer.price.rates]
input = 1.00
"""


@pytest.fixture
def card(tmp_path: Path) -> Path:
    path = tmp_path / "card.toml"
    path.write_text(CARD)
    return path


def usd_by_meter(made: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    return {line["meter"]: line["usd"] for line in made["lines"]}


# --- worked examples --------------------------------------------------------------------------


def test_a_request_with_prompt_caching() -> None:
    """Claude Opus 4.8: 5 in, 0.50 read, 6.25 written for 5 minutes, 25 out, dollars a million tokens."""
    made = run(
        "price", "anthropic/claude-opus-4-8", "--input", 2892, "--cache-read", 27217, "--cache-write-5m", 2163,
        "--output", 931, *AT, "--json",
    ).json  # fmt: skip
    assert usd_by_meter(made) == {
        "input": "0.01446",  # 2,892 x 5 / 10^6
        "cache_read": "0.0136085",  # 27,217 x 0.5 / 10^6
        "cache_write_5m": "0.01351875",  # 2,163 x 6.25 / 10^6
        "output": "0.023275",  # 931 x 25 / 10^6
    }
    assert made["total_usd"] == "0.06486225"
    assert made["unknown"] == []
    assert made["offer"] == "anthropic/claude-opus-4-8"


def test_an_hour_of_caching_costs_twice_the_input() -> None:
    made = run("price", "anthropic/claude-opus-4-8", "--cache-write-1h", 1000, *AT, "--json").json
    assert made["total_usd"] == "0.01"  # 1,000 x 2 x 5 / 10^6


def test_batch_is_half() -> None:
    counts = ("--input", 1000, "--output", 200)
    assert run("price", "openai/gpt-4o", *counts, *AT, "--json").json["total_usd"] == "0.0045"  # (1000x2.5+200x10)/10^6
    batch = run("price", "openai/gpt-4o", *counts, "--tier", "batch", *AT, "--json").json
    assert (batch["total_usd"], batch["tier"]) == ("0.00225", "batch")


@pytest.mark.parametrize(("prompt", "usd"), [(272_000, "1.36"), (272_001, "2.72001")])
def test_a_long_prompt_reprices_all_of_it(prompt: int, usd: str) -> None:
    """GPT-5.5: 5 dollars a million up to 272,000 tokens, 10 for every token of a longer prompt."""
    assert run("price", "openai/gpt-5.5", "--input", prompt, *AT, "--json").json["total_usd"] == usd


def test_the_cached_part_counts_towards_the_long_prompt() -> None:
    made = run("price", "openai/gpt-5.5", "--input", 2000, "--cache-read", 270_001, "--output", 100, *AT, "--json").json
    # 2,000 x 10 + 270,001 x 1 + 100 x 45, a million: the second step's prices
    assert made["total_usd"] == "0.294501"


def test_many_requests_are_judged_by_their_mean() -> None:
    made = run("price", "openai/gpt-5.5", "--input", 400_000, "--requests", 2, *AT, "--json").json
    assert (made["total_usd"], made["requests"]) == ("2", 2)  # 200,000 a request: 400,000 x 5 / 10^6


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-5.5"),
        ("openai", "gpt-5.4"),
        ("openai", "gpt-4o-mini"),
        ("anthropic", "claude-sonnet-4-5"),
        ("anthropic", "claude-opus-4-8"),
        ("google", "gemini-2.5-pro"),
        ("google", "gemini-2.5-flash"),
        ("x-ai", "grok-4"),
    ],
)
@pytest.mark.parametrize(("plain", "cached", "output"), [(1000, 0, 200), (100_000, 99_999, 1), (1, 272_000, 7777)])
def test_the_catalogue_own_calculator_agrees(provider: str, model: str, plain: int, cached: int, output: int) -> None:
    """An independent oracle: genai-prices' calculator counts the input with its cached part."""
    import genai_prices

    theirs = genai_prices.calc_price(
        genai_prices.Usage(input_tokens=plain + cached, cache_read_tokens=cached, output_tokens=output),
        model_ref=model,
        provider_id=provider,
        genai_request_timestamp=datetime(2026, 11, 1, tzinfo=UTC),
    )
    counts = ("--input", plain, "--cache-read", cached, "--output", output)
    made = run("price", f"{provider}/{model}", *counts, *AT, "--json").json
    assert Decimal(made["total_usd"]) == theirs.total_price


# --- the JSON and the table -------------------------------------------------------------------


def test_lines_say_quantity_rate_source_and_grade() -> None:
    made = run("price", "openai/gpt-4o", "--input", 1000, "--web-search", 3, *AT, "--json").json
    assert set(made) >= {"total_usd", "lines", "unknown"}
    first, second = made["lines"]
    assert (first["meter"], first["quantity"], first["rate"], first["per"]) == ("input", "1000", "2.5", MILLION)
    assert (second["meter"], second["unit"], second["rate"], second["per"]) == ("web_search", "call", "10", 1000)
    assert second["usd"] == "0.03"  # 3 x 10 / 1,000
    for line in made["lines"]:
        assert line["grade"] == "vendor-stated"
        assert line["source"] in {source["id"] for source in made["sources"]}
        assert Fraction(line["usd"]) == Fraction(line["quantity"]) * Fraction(line["rate"]) / line["per"]
    assert sum(Decimal(line["usd"]) for line in made["lines"]) == Decimal(made["total_usd"])


def test_amounts_are_plain_decimal_text(card: Path) -> None:
    made = run("price", "acme/large", "--input", 1, "--at", "2026-10-05", "--as-of", "2026-10-05", "--card", card,
               "--json").json  # fmt: skip
    assert made["total_usd"] == "0.0000000000037"  # 0.0000037 / 10^6: no exponent, no float


def test_the_table_says_the_total_first_and_fits() -> None:
    ran = run("price", "openai/gpt-4o", "--input", 1000, "--output", 200, *AT)
    lines = ran.out.splitlines()
    assert lines[0].startswith("$0.0045 ")
    assert "openai/gpt-4o" in lines[0]
    assert [line.split()[:4] for line in lines[3:5]] == [
        ["input", "1000", "$2.5/M", "0.0025"],
        ["output", "200", "$10/M", "0.002"],
    ]
    assert max(map(len, lines)) <= 100
    assert (ran.code, ran.err) == (0, "")


def test_every_option_of_the_interface_is_in_the_help() -> None:
    shown = run("price", "--help").out
    for option in ("--input", "--output", "--cache-read", "--cache-write-5m", "--cache-write-1h", "--reasoning",
                   "--requests", "--tier", "--region", "--at", "--card", "--json"):  # fmt: skip
        assert option in shown


# --- unknown is not zero ----------------------------------------------------------------------


def test_steps_and_another_currency_are_shown(tmp_path: Path) -> None:
    """90 seconds are a minute at 1 and half of one at 2 yuan: 2 x 0.14 dollars."""
    card = tmp_path / "card.toml"
    card.write_text(
        CARD[: CARD.index("[source.correction]")]
        + """[[offer]]
provider = "acme"
model = "steps"
[[offer.price]]
source = "contract"
currency = "CNY"
usd = 0.14
[offer.price.rates]
audio_second = { brackets = [{ up_to = 60, amount = 1 }, { amount = 2 }], per = 60 }
"""
    )
    counts = ("acme/steps", "--audio-second", 90, "--card", card)
    shown = run("price", *counts).out
    assert "in steps/60  0.28  1 up to 60, 2 beyond" in shown
    assert "1 CNY is $0.14" in shown
    assert run("price", *counts, "--json").json["currency_usd"] == "0.14"
    assert "currency_usd" not in run("price", "openai/gpt-4o", "--input", 1, "--json").json


def test_a_cached_token_without_a_price_is_not_plain_input() -> None:
    """Groq's Llama 3.3 70B: 0.59 in, 0.79 out, and nobody states a cached price."""
    counts = ("groq/llama-3.3-70b-versatile", "--input", 1000, "--output", 100, *AT, "--json")
    assert run("price", *counts).json["total_usd"] == "0.000669"  # (1,000 x 0.59 + 100 x 0.79) / 10^6
    made = run("price", *counts, "--cache-read", 10).json
    assert (made["total_usd"], made["known_usd"]) == (None, "0.000669")
    assert [(line["meter"], line["reason"]) for line in made["unknown"]] == [
        ("cache_read", "no price stated for cache_read")
    ]


def test_a_tier_that_nobody_stated_is_unknown() -> None:
    made = run("price", "openai/gpt-4o", "--input", 1000, "--tier", "overnight", *AT, "--json").json
    assert (made["total_usd"], made["known_usd"], made["lines"]) == (None, "0", [])
    [line] = made["unknown"]
    assert (line["meter"], line["quantity"], line["usd"]) == ("input", "1000", None)
    assert "'overnight'" in line["reason"]


def test_a_meter_without_a_price_leaves_the_total_unknown_and_the_rest_known() -> None:
    counts = ("--input", 1000, "--input-video", 7)
    made = run("price", "openai/gpt-4o", *counts, "--maps-search", 1, *AT, "--json").json
    assert made["total_usd"] is None
    assert made["known_usd"] == "0.0025175"  # (1,000 + 7) x 2.5 / 10^6: no video price of its own, so it is input
    assert [line["meter"] for line in made["unknown"]] == ["maps_search"]
    shown = run("price", "openai/gpt-4o", *counts, "--maps-search", 1, *AT).out
    assert shown.startswith("unknown: at least $0.002518")
    assert "no price stated for maps_search" in shown


def test_a_price_that_starts_later_is_unknown_before(card: Path) -> None:
    made = run("price", "acme/large", "--input", 5, "--at", "2026-09-30", "--card", card, "--json").json
    assert made["total_usd"] is None
    assert made["unknown"] == [{"meter": None, "usd": None, "reason": "no price before 2026-10-01"}]
    assert (
        "no price before 2026-10-01"
        in run("price", "acme/large", "--input", 5, "--at", "2026-09-30", "--card", card).out
    )


# --- a card of one's own ----------------------------------------------------------------------


def test_a_card_with_every_kind_of_option(card: Path) -> None:
    made = run(
        "price", "acme/large", "--output", 1000, "--reasoning", 400, "--image", 2, "--audio-second=12.5",
        "--attr", "size=big", "--tier", "batch", "--region", "eu-west-1", "--at", "2026-10-05T12:00:00+02:00",
        "--as-of", "2026-10-05", "--card", card, "--json",
    ).json  # fmt: skip
    assert made["at"] == "2026-10-05T10:00:00Z"
    assert usd_by_meter(made) == {
        "output": "0.00066",  # (1,000 - 400) x 2 / 10^6 x 0.5 x 1.1
        "reasoning": "0.00176",  # 400 x 8 / 10^6 x 0.5 x 1.1
        "image": "0.16",  # 2 x 0.08: factors are for tokens
        "audio_second": "0.00125",  # 12.5 / 3,600 x 0.36
    }
    assert made["total_usd"] == "0.16367"


def test_a_correction_counts_from_the_day_it_was_recorded(card: Path) -> None:
    counts = ("acme/large", "--input", MILLION, "--at", "2026-10-05", "--card", card, "--json")
    assert run("price", *counts).json["total_usd"] == "5"
    assert run("price", *counts, "--as-of", "2026-10-19").json["total_usd"] == "0.0000037"


def test_a_card_goes_before_the_book(card: Path) -> None:
    assert run("price", "openai/gpt-4o", "--input", MILLION, *AT, "--json").json["total_usd"] == "2.5"
    made = run("price", "openai/gpt-4o", "--input", MILLION, *AT, "--card", card, "--json").json
    assert made["total_usd"] == "1"
    assert made["sources"][0]["title"] == "Contract with Acme"


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("output = 2.00\nreasoning", "ouput = 2.00\nreasoning", "did you mean 'output'?"),
        ('provider = "acme"', 'colour = "red"\nprovider = "acme"', "colour"),
        ("valid_from = 2026-10-01", "valid_from = 2026-10-01T09:00:00", "zone"),
        ("input = 0.0000037", "input = ", "Invalid value"),
        ("input = 0.0000037", "input = -1", "must be at least 0"),
        ('source = "correction"', 'source = "hearsay"', "no [source.hearsay]"),
        ('when = { tier = "batch" }', 'when = { tear = "batch" }', "tear"),
    ],
)
def test_a_broken_card_is_refused_with_its_line(tmp_path: Path, before: str, after: str, says: str) -> None:
    assert before in CARD
    broken = CARD.replace(before, after, 1)
    path = tmp_path / "bad.toml"
    path.write_text(broken)
    line = 1 + broken[: broken.index(after)].count("\n")
    refusal = run("price", "acme/large", "--input", 1, "--card", path).refusal
    assert says in refusal
    assert refusal.startswith(f"{path}:{line}: "), line


# --- refusals: one line, status 2 -------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["openai/gpt-4oo", "--input", 1], "near it: gpt-4o"),
        (["nobody/gpt-4o", "--input", 1], "unknown provider 'nobody'"),
        (["no-such-model-anywhere", "--input", 1], "no price for no-such-model-anywhere"),
        (["openai/gpt-4o", "--input", -1], "cannot be negative"),
        (["openai/gpt-4o", "--input", 10**12 + 1], "absurd"),
        (["openai/gpt-4o", "--input", "1e30"], "absurd"),
        (["openai/gpt-4o", "--input", "1.5"], "not a whole number"),
        (["openai/gpt-4o", "--input", "many"], "not a number"),
        (["openai/gpt-4o", "--input", "nan"], "not a whole number"),
        (["openai/gpt-4o", "--input", ""], "not a number"),
        (["openai/gpt-4o", "--output", 5, "--reasoning", 6], "reasoning (6) is part of output and cannot exceed it"),
        (["openai/gpt-4o", "--input", 1, "--at", "2026-11-01T09:00:00"], "write 2026-11-01T09:00:00Z if it is UTC"),
        (["openai/gpt-4o", "--input", 1, "--at", "yesterday"], "'yesterday' is not an ISO 8601 instant"),
        (["openai/gpt-4o"], "nothing to price"),
        (["openai/gpt-4o", "--inptu", 5], "--inptu is no option, and unknown meter"),
        (["openai/gpt-4o", "--web-search"], "--web-search needs a number"),
        (["openai/gpt-4o", "--web-search", 1, "--web-search", 2], "--web-search is given twice"),
        (["openai/gpt-4o", "--input", 1, "17"], "unexpected '17'"),
        (["openai/gpt-4o", "--input", 1, "--attr", "big"], "is not KEY=VALUE"),
        (["openai/gpt-4o", "--input", 1, "--requests", 0], "from 1 to 1,000,000,000,000"),
        (["openai/gpt-4o", "--input", 1, "--requests", 10**20], "from 1 to 1,000,000,000,000"),
        (["openai/gpt-4o", "--input", 1, "--attr", "=big"], "is not KEY=VALUE"),
        (["openai/gpt-4o", "--input", 1, "--attr", "a=1", "--attr", "a=2"], "--attr a is given twice: 1 and 2"),
        (["openai/gpt-4o", "--input", 1, "--card", "/nowhere/card.toml"], "/nowhere/card.toml"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["table", "json"])
def test_a_mistake_ends_in_one_line(args: list[object], says: str, form: tuple[str, ...]) -> None:
    ran = run("price", *args, *form)
    assert says in ran.refusal
    assert ran.out == ""


def test_the_installed_command_refuses_without_a_traceback() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "farthing", "price", "openai/gpt-4oo", "--input", "1"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "farthing: no price for openai/gpt-4oo; near it: gpt-4o, gpt-4\n"


def test_the_installed_command_prices() -> None:
    counts = ["--input", "1000", "--output", "200"]
    ran = subprocess.run(
        [sys.executable, "-m", "farthing", "price", "openai/gpt-4o", *counts, *AT, "--json"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout)["total_usd"] == "0.0045"

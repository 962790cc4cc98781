"""`farthing prices`: every verb by table and JSON, and what it says to mistakes."""

import json
from pathlib import Path

import pytest

from farthing.rates.toml import load_card
from tests.cli import run

AT = ("--at", "2026-11-22T12:00:00Z")  # outside the night of the card below
CARD = """
[source.s]
title = "My contract"
where = "a drawer"
seen = 2026-11-01
grade = "measured"
[[offer]]
provider = "acme"
model = "widget"
title = "The Widget"
[[offer.price]]
valid_from = 2026-01-01
source = "s"
[offer.price.rates]
input = 4
output = 10
[[offer.price]]
valid_from = 2026-06-01
source = "s"
minimum_usd = 0.01
[offer.price.rates]
input = 2
cache_read = 0.25
output = 12.50
web_search = { amount = 35, free = { quantity = 1_500, per = "day", group = "g" } }
[[offer.price.rule]]
when = { tier = "batch", context = { over = 200_000 } }
rates = { input = 1.25 }
[[offer.price.rule]]
when = { time = { from = "16:30", to = "00:30", decides = "completion" } }
multiply = 0.5
note = "night"
[[offer]]
provider = "acme"
model = "painter"
[[offer.price]]
source = "s"
[offer.price.rates]
image = 0.04
"""
FEED = {
    "widget": {"litellm_provider": "acme", "input_cost_per_token": 3e-06, "output_cost_per_token": 1.25e-05},
    "brandnew": {"litellm_provider": "acme", "mode": "chat", "input_cost_per_token": 1e-07, "output_cost_per_token": 0},
    "unpriced": {"litellm_provider": "acme", "max_tokens": 5},
}


@pytest.fixture
def card(tmp_path: Path) -> Path:
    (tmp_path / "mine.toml").write_text(CARD)
    return tmp_path / "mine.toml"


@pytest.fixture
def feed(tmp_path: Path) -> Path:
    (tmp_path / "list.json").write_text(json.dumps(FEED))
    return tmp_path / "list.json"


def fits(text: str) -> bool:
    return all(len(line) <= 100 for line in text.splitlines())


# --- list ---------------------------------------------------------------------------------------


def test_list_shows_one_line_a_provider() -> None:
    table = run("prices", "list", *AT)
    assert table.code == 0 and fits(table.out)
    providers = run("prices", "list", *AT, "--json").json["providers"]
    by_name = {row["provider"]: row for row in providers}
    assert {"openai", "anthropic", "aws"} <= set(by_name)
    assert by_name["aws"]["channel"] == "bedrock"
    total = sum(row["offers"] for row in providers)
    assert f"{total:,} offers of {len(providers)} providers" in table.out
    few = run("prices", "list", "--limit", 3, *AT)
    assert f"{len(providers) - 3} providers not shown" in few.out and len(few.out) < len(table.out)
    assert run("prices", "list", "--limit", 3, *AT, "--json").json["left_out"] == len(providers) - 3


def test_list_of_a_provider(card: Path) -> None:
    ran = run("prices", "list", "acme", "--card", card, *AT)
    assert ran.code == 0 and fits(ran.out)
    assert "2.00" in ran.out and "12.50" in ran.out and "$0.04 / image" in ran.out and "measured" in ran.out
    rows = {row["id"]: row for row in run("prices", "list", "acme", "--card", card, *AT, "--json").json["offers"]}
    assert rows["acme/widget"]["input_usd_per_mtok"] == "2"
    assert rows["acme/widget"]["cache_read_usd_per_mtok"] == "0.25"
    assert rows["acme/painter"] == {
        "id": "acme/painter", "channel": "direct", "mode": "image", "input_usd_per_mtok": None,
        "cache_read_usd_per_mtok": None, "output_usd_per_mtok": None, "otherwise": "$0.04 / image",
        "grade": "measured", "unknown": "",
    }  # fmt: skip


def test_list_at_an_instant(card: Path) -> None:
    def widget(at: str) -> dict[str, str]:
        ran = run("prices", "list", "acme", "--model", "widget", "--card", card, "--at", at, "--json")
        (row,) = ran.json["offers"]
        return dict(row)

    assert widget("2026-05-31T23:59:59Z")["input_usd_per_mtok"] == "4"
    assert widget("2026-06-01")["input_usd_per_mtok"] == "1"  # midnight is inside the night of 16:30 to 00:30: half
    assert widget("2026-06-01T00:30:00Z")["input_usd_per_mtok"] == "2"
    assert widget("2026-06-01T16:30:00Z")["input_usd_per_mtok"] == "1"
    before = widget("2025-12-31")
    assert before["input_usd_per_mtok"] is None and before["unknown"] == "no price before 2026-01-01"


def test_list_says_what_it_left_out() -> None:
    ran = run("prices", "list", "anthropic", "--limit", 2, *AT)
    every = run("prices", "list", "anthropic", *AT, "--json").json["offers"]
    assert f"{len(every)} offers, {len(every) - 2} not shown" in ran.out
    assert run("prices", "list", "anthropic", "--limit", 2, *AT, "--json").json["left_out"] == len(every) - 2


def test_list_by_glob_and_mode(card: Path) -> None:
    ran = run("prices", "list", "--model", "*llama-3.3-70b*", *AT, "--json")
    providers = {row["id"].split("/")[0] for row in ran.json["offers"]}
    assert {"groq", "cerebras", "together"} <= providers
    (row,) = run("prices", "list", "acme", "--mode", "image", "--card", card, *AT, "--json").json["offers"]
    assert row["id"] == "acme/painter"
    assert run("prices", "list", "acme", "--mode", "vidoe", "--card", card).refusal.endswith("modes here: chat, image")


# --- show ---------------------------------------------------------------------------------------


def test_show_says_everything(card: Path) -> None:
    ran = run("prices", "show", "acme/widget", "--card", card, *AT)
    assert ran.code == 0 and fits(ran.out)
    night = "× 0.5 on all tokens: daily 16:30-00:30 UTC, decided by completion (night)"
    for words in (
        "acme/widget  (The Widget, channel direct)", "in force since 2026-06-01",
        "tier batch, prompt over 200,000 tokens",
        "first 1,500 a day free, shared by g", night,
        "A request costs at least $0.01.", "My contract [measured, seen 2026-11-01, from 2026-06-01]", "a drawer",
        "No conflict between sources",
    ):  # fmt: skip
        assert words in ran.out, words


def test_show_in_json(card: Path) -> None:
    view = run("prices", "show", "acme/widget", "--card", card, *AT, "--json").json
    assert (view["id"], view["unknown"], view["price"]["minimum_usd"]) == ("acme/widget", "", "0.01")
    rates = {(rate["meter"], rate["when"]): rate for rate in view["price"]["rates"]}
    assert rates["input", "always"]["amount"] == "2"
    batch = rates["input", "tier batch, prompt over 200,000 tokens"]
    assert batch["amount"] == "1.25"
    assert batch["conditions"] == {"tier": "batch", "bands": [{"low": 200001, "high": 1 << 62, "of": "prompt"}]}
    assert view["price"]["modifiers"][0]["factor"] == "0.5"
    assert view["sources"][0]["source"]["grade"] == "measured"


def test_show_names_the_source_of_a_rate_that_has_its_own(card: Path) -> None:
    other = 'source.o = { title = "A rumour", where = "W", seen = 2026-11-01, grade = "assumed" }\n'
    card.write_text(other + CARD.replace("output = 12.50", 'output = { amount = 12.50, source = "o" }'))
    assert "[o, assumed]" in run("prices", "show", "acme/widget", "--card", card, *AT).out
    (row,) = run("prices", "list", "acme", "--model", "widget", "--card", card, *AT, "--json").json["offers"]
    assert row["grade"] == "assumed"  # the worst that the line rests on


def test_show_names_conflicts_and_rules() -> None:
    ran = run("prices", "show", "anthropic/claude-opus-4-5", *AT)
    assert "Conflict: input is 5 by genai-prices, 15 by note [assumed]" in ran.out
    assert "Prompt caching: breakpoint" in ran.out and "Batch: × 0.5" in ran.out
    view = run("prices", "show", "anthropic/claude-opus-4-5", *AT, "--json").json
    assert {c["meter"] for c in view["conflicts"]} == {"input", "output"}
    assert view["caching"]["read"] == "0.1" and view["batch"]["factor"] == "0.5"


def test_show_before_there_was_a_price(card: Path) -> None:
    ran = run("prices", "show", "acme/widget", "--card", card, "--at", "2025-01-01")
    assert ran.code == 0 and "No price at 2025-01-01: no price before 2026-01-01." in ran.out


# --- compare and history ------------------------------------------------------------------------


def test_compare_one_model() -> None:
    ran = run("prices", "compare", "meta-llama/Llama-3.3-70B-Instruct", *AT)
    assert ran.code == 0 and fits(ran.out)
    view = run("prices", "compare", "llama-3.3-70b", *AT, "--json").json
    assert view["family"] == "llama-3.3-70b" and view["maker"] is None
    groq = next(host for host in view["hosts"] if host["id"] == "groq/llama-3.3-70b-versatile")
    assert (groq["input_usd_per_mtok"], groq["output_usd_per_mtok"]) == ("0.59", "0.79")
    assert groq["blended_usd_per_mtok"] == "0.64"  # (3 x 0.59 + 0.79) / 4
    assert {"groq", "together", "fireworks", "deepinfra", "cerebras"} <= {h["provider"] for h in view["hosts"]}


def test_compare_marks_up_clouds() -> None:
    ran = run("prices", "compare", "claude-sonnet-4-5", *AT)
    assert "Mark-up over the maker's own price (anthropic/claude-sonnet-4-5)" in ran.out
    view = run("prices", "compare", "claude-sonnet-4-5", *AT, "--json").json
    regional = next(m for m in view["markups"] if m["platform"] == "bedrock regional")
    assert (regional["input"], regional["output"], regional["blended"]) == ("0.1", "0.1", "0.1")


def test_compare_clouds() -> None:
    ran = run("prices", "compare", "--clouds", *AT)
    assert ran.code == 0 and fits(ran.out) and "0 % to +20 %" in ran.out
    rows = {row["platform"]: row for row in run("prices", "compare", "--clouds", *AT, "--json").json["platforms"]}
    assert rows["vertex"]["count"] == len(rows["vertex"]["markups"]) > 0
    assert rows["vertex"]["claims"][0]["high"] == "0.15"


def test_history_of_the_users_card(card: Path) -> None:
    ran = run("prices", "history", "acme/widget", "--card", card)
    assert ran.code == 0 and fits(ran.out)
    assert "-50 %" in ran.out and "+25 %" in ran.out and "2 rates of other meters" in ran.out
    records = run("prices", "history", "acme/widget", "--card", card, "--json").json["records"]
    seen = [(r["valid_from"], r["recorded"], r["meter"], r["usd"], r["change"]) for r in records]
    assert seen == [
        ("2026-01-01", "2026-11-01", "input", "4", None), ("2026-01-01", "2026-11-01", "output", "10", None),
        ("2026-06-01", "2026-11-01", "input", "2", "-0.5"), ("2026-06-01", "2026-11-01", "cache_read", "0.25", None),
        ("2026-06-01", "2026-11-01", "output", "12.5", "0.25"),
    ]  # fmt: skip


def test_history_of_one_meter_with_its_conditions(card: Path) -> None:
    ran = run("prices", "history", "acme/widget", "--meter", "input", "--card", card)
    assert "tier batch, prompt" in " ".join(ran.out.split())
    records = run("prices", "history", "acme/painter", "--card", card, "--json").json["records"]
    assert [(r["meter"], r["usd"], r["valid_from"]) for r in records] == [("image", "0.04", None)]


def test_history_tells_sources_apart() -> None:
    records = run("prices", "history", "deepseek/deepseek-chat", "--json").json["records"]
    assert {"genai-prices", "first-party"} <= {r["layer"] for r in records}
    dated = [r["valid_from"] for r in records if r["valid_from"]]
    assert dated == sorted(dated) and records[0]["valid_from"] is None


# --- check and import ---------------------------------------------------------------------------


def test_check_the_book() -> None:
    ran = run("prices", "check", *AT)
    assert ran.code == 0 and fits(ran.out)
    assert "conflicts between sources" in ran.out and "genai-prices" in ran.out
    view = run("prices", "check", *AT, "--json").json
    assert view["clean"] and sum(pair["count"] for pair in view["conflict_pairs"]) == len(view["conflicts"])
    assert all(s["read"] == s["expressed"] + s["priceless"] for s in view["sources"])


def test_check_ends_with_1_where_something_is_not_expressed(feed: Path) -> None:
    assert run("prices", "check", feed).code == 0
    feed.write_text(json.dumps({**FEED, "odd": {"litellm_provider": "acme", "input_cost_per_smell": 1}}))
    ran = run("prices", "check", feed)
    assert ran.code == 1
    assert "not expressed (1)" in ran.out and "input_cost_per_smell" in ran.out


def test_import_says_what_it_would_write(feed: Path, card: Path) -> None:
    ran = run("prices", "import", feed, "--card", card, *AT)
    assert ran.code == 0 and "Nothing was written." in ran.out and "--card CARD.toml" in ran.out
    view = run("prices", "import", feed, "--card", card, *AT, "--json").json
    assert view["written"] is None
    assert [(c["meter"], c["used"], c["other"]) for c in view["conflicts"]] == [("input", "3", "2")]


def test_import_writes_a_card_that_prices(feed: Path, tmp_path: Path) -> None:
    out = tmp_path / "made.toml"
    ran = run("prices", "import", feed, "--out", out, *AT)
    assert ran.code == 0 and f"2 offers written to {out}" in ran.out
    text = out.read_text()
    assert "# left out: acme/unpriced: no price" in text
    assert {offer.model: offer.mode for offer in load_card(out).offers} == {"widget": "", "brandnew": "chat"}
    priced = run("price", "acme/widget", "--input", 1_000_000, "--output", 1_000, "--card", out, "--json").json
    assert priced["total_usd"] == "3.0125"  # 3 + 1,000 x 12.5 / 1,000,000
    assert run("prices", "import", feed, "--out", out, *AT).code == 0  # its own card may be written again
    assert out.read_text() == text


def test_import_of_the_installed_catalogue(tmp_path: Path) -> None:
    out = tmp_path / "groq.toml"
    view = run("prices", "import", "genai-prices", "--provider", "groq", "--out", out, *AT, "--json").json
    offers = load_card(out).offers
    assert view["written"] == len(offers) > 10 and {offer.provider for offer in offers} == {"groq"}
    assert any(offer.pattern for offer in offers)


def test_import_overwrites_no_card_of_the_users(feed: Path, card: Path) -> None:
    assert "was not written by this command" in run("prices", "import", feed, "--out", card).refusal
    assert card.read_text() == CARD


# --- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("list", "antropic"), "unknown provider 'antropic'; near it: anthropic"),
        (("list", "openai", "--model", "zzz*"), "no offer fits; --model takes a glob"),
        (("list", "--at", "2026-11-22T10:00"), "no time zone"),
        (("show", "anthropic/claude-sonet-4-5"), "near it: claude-sonnet-4-5"),
        (("show", "nobody/knows"), "unknown provider 'nobody'"),
        (("compare",), "name a model, or ask for --clouds"),
        (("compare", "x", "--clouds"), "name a model, or ask for --clouds"),
        (("compare", "llamma-3.3-70b"), "near it: llama-3.3-70b"),
        (("history", "openai/gpt-4o", "--meter", "ouput"), "unknown meter 'ouput'; did you mean 'output'?"),
        (("history", "openai/gpt-4o", "--meter", "video"), "no source states a price of video for openai/gpt-4o"),
        (("check", "absent.json"), "absent.json: No such file or directory"),
        (("check", "--feed", "litellm"), "--feed says what a FILE is"),
        (("import", "genai-prices", "--feed", "litelm"), "unknown format 'litelm'; known are litellm"),
        (("import", "genai-prices", "--provider", "groqq"), "near it: groq"),
        (("show", "acme/widget", "--card", "absent.toml"), "absent.toml: cannot be read"),
    ],
)
def test_mistakes_end_in_one_line(arguments: tuple[str, ...], reason: str) -> None:
    assert reason in run("prices", *arguments).refusal


@pytest.mark.parametrize(
    ("content", "reason"),
    [('{"a": {"litellm_provider": "x", "inp', "seems to be cut off"), ("{}", "none of the price lists known here")],
)
def test_files_that_are_no_price_list(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "cut.json").write_text(content)
    for verb in ("check", "import"):
        assert reason in run("prices", verb, tmp_path / "cut.json").refusal


def test_every_verb_shows_an_example() -> None:
    for verb in ("list", "show", "compare", "history", "check", "import"):
        ran = run("prices", verb, "--help")
        assert ran.code == 0 and "Example:" in ran.out and f"farthing prices {verb}" in ran.out

"""What each source of prices says, what is not expressed, and where sources disagree."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from farthing.problems import FarthingError
from farthing.rates.book import Book
from farthing.rates.check import check_book, check_files, read_source_file
from farthing.rates.toml import load_card

AT = datetime(2026, 11, 22, tzinfo=UTC)
LITELLM = {
    "fine-1": {"litellm_provider": "acme", "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06},
    "free-1": {"litellm_provider": "acme", "input_cost_per_token": 0, "output_cost_per_token": 0},
    "priceless-1": {"litellm_provider": "acme", "max_tokens": 100},
    "odd-1": {"litellm_provider": "acme", "input_cost_per_token": 1e-06, "input_cost_per_smell": 0.5},
    "gpt-4o-mini": {"litellm_provider": "openai", "input_cost_per_token": 1.5e-05, "output_cost_per_token": 6e-07},
}
CARD = """
[source.s]
title = "T"
where = "W"
seen = 2026-01-01
grade = "vendor-stated"
[[offer]]
provider = "openai"
model = "gpt-4o-mini"
[[offer.price]]
source = "s"
[offer.price.rates]
input = 15
"""


@pytest.fixture
def feed(tmp_path: Path) -> str:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(LITELLM))
    return str(path)


@pytest.fixture
def card(tmp_path: Path) -> str:
    path = tmp_path / "card.txt"  # told by its content, not by its name
    path.write_text(CARD)
    return str(path)


def test_the_book_itself_is_expressed_and_consistent() -> None:
    checked = check_book(Book(), [], AT)
    assert checked.clean
    accounts = {account.name: account for account in checked.accounts}
    catalogue = accounts["genai-prices"]
    assert catalogue.read == catalogue.expressed + catalogue.priceless > 2000
    assert catalogue.repaired and not catalogue.not_expressed
    assert {"first-party", "seed-accel4-economics-2026", "genai-prices"} <= set(accounts)
    for account in checked.accounts:
        assert account.ambiguous == []
    # Opus 4.5 is 5 in the catalogue; a document says 15.
    (opus,) = (c for c in checked.conflicts if c.offer == "anthropic/claude-opus-4-5" and c.meter == "input")
    assert (opus.used, opus.other, opus.other_source) == ("5", "15", "note")
    assert checked.pairs["genai-prices", "note"] == sum(
        (c.used_source, c.other_source) == ("genai-prices", "note") for c in checked.conflicts
    )


@pytest.mark.slow
def test_sources_not_seen_for_long_are_named(card: str) -> None:
    mine = load_card(Path(card))
    checked = check_book(Book([mine]), [("mine", mine)], datetime(2026, 4, 2, tzinfo=UTC))
    assert [source.id for source in checked.stale] == ["s"]  # 91 days
    checked = check_book(Book([mine]), [("mine", mine)], datetime(2026, 4, 1, tzinfo=UTC))
    assert checked.stale == []  # 90 days


def test_a_price_list_is_accounted_for(feed: str) -> None:
    (account,) = check_files([feed], None, [], AT).accounts
    assert (account.feed, account.read, account.expressed, account.priceless) == ("litellm", 5, 3, 1)
    assert account.zero_rows == 1
    (problem,) = account.not_expressed
    assert "odd-1" in problem.place and "input_cost_per_smell" in problem.reason
    assert account.undated == len(account.offers) - 1 == 4


def test_a_price_list_is_compared_with_the_book(feed: str) -> None:
    checked = check_files([feed], "litellm", [], AT)
    assert not checked.clean
    assert {c.meter for c in checked.conflicts} == {"input"}  # the price of output is the same: no conflict
    (conflict,) = (c for c in checked.conflicts if c.other_source == "genai-prices")
    assert (conflict.offer, conflict.meter, conflict.used, conflict.other) == (
        "openai/gpt-4o-mini",
        "input",
        "15",
        "0.15",
    )
    assert conflict.used_source == "litellm"


def test_a_card_is_told_by_its_content_and_compared(card: str) -> None:
    checked = check_files([card], None, [], AT)
    assert checked.clean and checked.accounts[0].feed == "card"
    assert ("15", "0.15", "genai-prices") in {(c.used, c.other, c.other_source) for c in checked.conflicts}


def test_only_conflicts_of_the_file_are_told(card: str, feed: str) -> None:
    """The list agrees with the user's own card, whose conflict with the catalogue is not the list's news."""
    checked = check_files([feed], None, [load_card(Path(card))], AT)
    assert {c.used_source for c in checked.conflicts} == {"litellm"}
    assert "s" not in {c.other_source for c in checked.conflicts}


def test_one_provider_of_a_list(feed: str) -> None:
    checked = check_files([feed], None, [], AT, "openai")
    assert [offer.id for offer in checked.accounts[0].offers] == ["openai/gpt-4o-mini"]
    assert checked.accounts[0].read == 5
    with pytest.raises(FarthingError, match="no offer of the provider 'acmee' in what was read; near it: acme"):
        check_files([feed], None, [], AT, "acmee")


@pytest.mark.parametrize(
    ("name", "content", "feed", "reason"),
    [
        ("absent.json", None, None, "absent.json: No such file or directory"),
        ("cut.json", '{"a": {"litellm_provider": "x"', None, "seems to be cut off"),
        ("list.json", "[1, 2]", None, "is a list"),
        ("other.json", '{"a": 1}', None, "none of the price lists known here"),
        ("empty.toml", "", None, r"no \[\[offer\]\]"),
        ("bad.toml", "[source.s]\ntitle = 1\n", None, "bad.toml:2: 'title' is 1, not text"),
        (
            "any.json",
            "{}",
            "litelm",
            "unknown format 'litelm'; known are litellm, openrouter, models.dev, genai-prices",
        ),
        ("any.json", "{}", "genai-prices", "is an installed package, not a file"),
        ("binary.bin", "\x00\x01", None, "binary.bin"),
    ],
)
def test_files_that_are_no_price_lists(
    tmp_path: Path, name: str, content: str | None, feed: str | None, reason: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(FarthingError, match=reason) as caught:
        read_source_file(str(tmp_path / name), feed)
    assert "\n" not in str(caught.value)


def test_the_installed_catalogue_by_its_name() -> None:
    account = read_source_file("genai-prices")
    assert account.feed == "genai-prices" and len(account.offers) == account.read
    assert all(offer.retires is None or isinstance(offer.retires, date) for offer in account.offers)

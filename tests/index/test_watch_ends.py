"""Announced ends of models: the packaged file, and what it says to mistakes."""

import re
from datetime import date

import pytest

from farthing.evidence import Grade
from farthing.index.watch.ends import read_retirements, retirements
from farthing.problems import FarthingError
from farthing.rates.book import Book
from farthing.rates.card import Offer

FILE = """
[source.s]
title = "Deprecations"
where = "a page"
seen = 2026-11-01
grade = "vendor-stated"
[[retirement]]
provider = "acme"
day = 2026-12-11
source = "s"
models = ["wing", "Wing-Mini"]
"""


def test_a_file_is_read() -> None:
    made = read_retirements(FILE, "r.toml")
    assert [(one.provider, one.model, one.day) for one in made] == [
        ("acme", "wing", date(2026, 12, 11)), ("acme", "Wing-Mini", date(2026, 12, 11)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("day = 2026-12-11\n", "", "r.toml:7: 'day' is missing"),
        ("2026-12-11", '"soon"', "r.toml:9: 'day' is 'soon', not a date"),
        ('source = "s"', 'source = "t"', "no [source.t]"),
        ('models = ["wing", "Wing-Mini"]', "", "'models' is missing"),
        ('"Wing-Mini"', '"WING"', "acme/WING is stated twice by s"),
        ("provider", "povider", "'provider' is missing"),
        ("models", "days = 3\nmodels", "unknown key 'days'"),
    ],
)
def test_mistakes(old: str, new: str, said: str) -> None:
    with pytest.raises(FarthingError, match=re.escape(said)):
        read_retirements(FILE.replace(old, new), "r.toml")


def test_the_packaged_days() -> None:
    """As OpenAI's page had them in November 2026; the catalogue says the same of what both have."""
    known = retirements()
    stated = {one.day for one in known["openai", "gpt-5"]}
    assert stated == {date(2026, 12, 11)}
    assert {one.source.grade for one in known["openai", "gpt-5"]} == {Grade.VENDOR_STATED, Grade.DERIVED}
    assert {one.day for one in known["openai", "gpt-4o-mini-2024-07-18"]} == {date(2027, 1, 14)}
    assert {one.day for one in known["anthropic", "claude-sonnet-4-5"]} == {date(2026, 11, 30)}
    apart = [names for names, found in known.items() if len({one.day for one in found}) > 1 and names[0] == "openai"]
    assert apart == []


def test_every_packaged_name_is_one_of_the_book() -> None:
    book = Book()
    lost = [names for names in retirements() if not isinstance(book.lookup(*names), Offer)]
    assert len(lost) <= 5, lost  # a catalogue may drop a model that is gone

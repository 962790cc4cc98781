"""The market's published volumes: read strictly, and weighing families whatever the number of their hosts."""

import pytest

from farthing.index.kinds import list_price
from farthing.index.market_volumes import read, weeks, weighed_by_market
from farthing.index.matched import of_panel
from farthing.index.panel import panel
from farthing.problems import FarthingError
from farthing.rates.family import family
from tests.index.made import day, steps

DATES = [day("2025-03-01"), day("2025-05-01")]
HEAD = '[source.s]\ntitle = "T"\nwhere = "W"\nseen = 2026-11-01\ngrade = "derived"\n'


def test_the_packaged_weeks_are_sound() -> None:
    found = weeks()
    assert len(found) >= 10 and [w.ended for w in found] == sorted({w.ended for w in found})
    for week in found:
        assert 4 <= len(week.tokens_bn) <= 12
        for name in week.tokens_bn:
            assert family(name) == name, f"{name} is not a family's key"


def test_a_family_is_weighed_once_whatever_the_number_of_its_hosts() -> None:
    """In the weeks of February and of April 2025 gpt-4o-mini had 24.780 and 214.618 billion tokens, gemini-2.0-flash
    118.369 and 259.073. One halves its price at three hosts, the other keeps its own."""
    lines = [
        steps("gpt-4o-mini", ("2025-01-01", 2), ("2025-04-01", 1), provider=host) for host in ("openai", "azure", "x")
    ]
    lines += [steps("gemini-2-flash", ("2025-01-01", 1), provider="google"), steps("unlisted", ("2025-01-01", 9))]
    made = weighed_by_market(panel(lines, list_price("input"), DATES))
    assert made.items == ["gemini-2-flash", "gpt-4o-mini"]
    laspeyres, paasche = (of_panel(made, method).points[1].index for method in ("laspeyres", "paasche"))
    assert laspeyres == pytest.approx(100 * (24.780 + 118.369) / (2 * 24.780 + 118.369))
    assert paasche == pytest.approx(100 * (214.618 + 259.073) / (2 * 214.618 + 259.073))


def test_what_nobody_bought_at_either_date_is_not_in_the_link() -> None:
    """mistral-nemo was among the first in February 2025, and grok-code-fast-1 not before autumn."""
    names = ("gpt-4o-mini", "mistral-nemo", "claude-3.5-sonnet", "grok-code-fast-1")
    made = weighed_by_market(panel([steps(n, ("2025-01-01", 1)) for n in names], list_price("input"), DATES))
    assert of_panel(made, "fisher").points[1].count == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[[week]]\nsource = "s"\ntokens_bn = { a = 1 }', "'ended' is missing"),
        ('[[week]]\nended = 2025-01-01\nsource = "s"', "a week without tokens"),
        ('[[week]]\nended = 2025-01-01\nsource = "x"\ntokens_bn = { a = 1 }', r"no \[source.x\]"),
        ('[[week]]\nended = 2025-01-01\nsource = "s"\ntokens_bn = { a = 0 }', "it must be above 0"),
        ('[[week]]\nended = 2025-01-01\nsource = "s"\ntokens_bn = { a = 1 }\nshare = 1', "unknown key 'share'"),
        (
            '[[week]]\nended = 2025-01-02\nsource = "s"\ntokens_bn = { a = 1 }\n'
            '[[week]]\nended = 2025-01-01\nsource = "s"\ntokens_bn = { a = 1 }',
            "2025-01-01 is not after the week before it",
        ),
    ],
)
def test_bad_files_are_refused_with_place(text: str, reason: str) -> None:
    with pytest.raises(FarthingError, match=rf"^data:\d+: .*{reason}"):
        read(HEAD + text, "data")

"""One model at its hosts, and clouds against makers, on a small book of our own."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction as F

import pytest

from farthing.evidence import Grade
from farthing.problems import FarthingError
from farthing.rates.book import Book
from farthing.rates.card import Offer
from farthing.rates.compare import claims, clouds, compare, host, maker, platform
from farthing.rates.toml import load_card

AT = datetime(2026, 11, 22, tzinfo=UTC)
HEAD = 'source.s = { title = "T", where = "W", seen = 2026-11-01, grade = "vendor-stated" }\n'


def offer(provider: str, model: str, rates: str, more: str = "") -> str:
    return (f'[[offer]]\nprovider = "{provider}"\nmodel = "{model}"\n{more}\n'
            f'[[offer.price]]\nsource = "s"\n[offer.price.rates]\n{rates}\n')  # fmt: skip


def book(*offers: str) -> Book:
    return Book([load_card(HEAD + "".join(offers))])


def only(text: str) -> Offer:
    return load_card(HEAD + text).offers[0]


WIDGET = (
    offer("cheap", "acme/Widget-9-70B-Instruct-Turbo", "input = 0.10\noutput = 0.50\ncache_read = 0.01"),
    offer("dear", "widget-9-70b", "input = 0.40\noutput = 0.40"),
    offer("gift", "widget-9-70b:free", "input = 0\noutput = 0"),
    offer("slow", "widget-9-70b:batch", "input = 0.01\noutput = 0.01"),
    offer("drawer", "widget-9-70b", "image = 0.04"),
    offer("other-size", "widget-9-8b", "input = 0.01\noutput = 0.01"),
)


def test_hosts_of_one_model_the_cheapest_first() -> None:
    found = compare(book(*WIDGET), "Widget-9-70B", AT)
    rows = {h.offer.provider: (h.blended, h.ratio) for h in found.hosts}
    # (3 x 0.10 + 0.50) / 4 = 0.20, and (3 x 0.40 + 0.40) / 4 = 0.40: twice as much.
    assert list(rows.items()) == [("gift", (0, None)), ("cheap", (F(1, 5), 1)), ("dear", (F(2, 5), 2))]
    assert (found.family, found.variants, found.unpriced) == ("widget-9-70b", 1, 1)
    assert found.hosts[1].cached.usd == F(1, 100) and found.hosts[2].cached.usd is None
    assert (found.maker, found.markups) == (None, ())


def test_an_unknown_model_names_the_near_ones() -> None:
    with pytest.raises(FarthingError, match="no offer of a model called 'widgett-9-70b'; near it: widget-9-70b"):
        compare(book(*WIDGET), "widgett-9-70b", AT)


def test_marginal_steps_and_currencies_are_compared_by_their_first_step_in_dollars() -> None:
    priced = only(
        '[[offer]]\nprovider = "p"\nmodel = "m-1"\n[[offer.price]]\nsource = "s"\ncurrency = "CNY"\nusd = 0.5\n'
        "[offer.price.rates]\ninput = { brackets = [{ up_to = 10, amount = 4 }, { amount = 9 }] }\noutput = 8\n"
    )
    found = host(priced, AT)
    assert found is not None
    assert (found.input.usd, found.output.usd, found.blended) == (2, 4, F(5, 2))


def test_clouds_against_the_maker() -> None:
    """Prices of the user's own card stand before the catalogue's, so these figures are ours."""
    claude = book(
        offer("anthropic", "claude-sonnet-4-5", "input = 2\noutput = 10"),
        offer("aws", "regional.anthropic.claude-sonnet-4-5-20250929-v1:0", "input = 2.4\noutput = 12"),
        offer("google", "claude-sonnet-4-5", "input = 2\noutput = 11"),
    )
    found = {m.platform: m for m in compare(claude, "claude-sonnet-4-5", AT).markups}
    assert found["bedrock regional"].blended == found["bedrock regional"].input == F(1, 5)
    # (3 x 2 + 11) / (3 x 2 + 10) - 1 = 17/16 - 1
    assert (found["vertex"].input, found["vertex"].output, found["vertex"].blended) == (0, F(1, 10), F(1, 16))
    assert found["vertex"].direct.offer.id == "anthropic/claude-sonnet-4-5"


def test_the_makers_snapshot_of_that_name_is_compared() -> None:
    """A dated snapshot with a price of its own is not what a cloud calls by the plain name."""
    found = compare(Book(), "gpt-4o", AT)
    (resold,) = (m for m in found.markups if m.host.offer.id == "openrouter/openai/gpt-4o")
    assert (resold.direct.input.usd, resold.direct.output.usd) == (F(5, 2), 10)


def test_every_cloud_with_its_claims() -> None:
    rows = {row.platform: row for row in clouds(Book(), AT)}
    assert {"azure", "bedrock global", "bedrock regional", "vertex", "openrouter"} <= set(rows)
    for row in rows.values():
        shares = [m.blended for m in row.markups]
        assert shares == sorted(shares) and row.median is not None and shares[0] <= row.median <= shares[-1]
        assert row.equal == shares.count(F(0))
        assert all(min(m.host.grade, m.direct.grade) > Grade.ASSUMED for m in row.markups)
        assert all(m.direct.platform == "direct" and m.host.platform == row.platform for m in row.markups)
    assert rows["bedrock regional"].claims[0].high == Decimal("0.20")
    # Regional endpoints of Bedrock: ten percent, by AWS's own statement.
    assert rows["bedrock regional"].median == F(1, 10)


def test_claims_have_a_source() -> None:
    assert {(c.platform, c.low, c.high) for c in claims()} == {
        ("bedrock", 0, Decimal("0.20")), ("azure", 0, Decimal("0.10")), ("vertex", 0, Decimal("0.15")),
    }  # fmt: skip
    assert all(c.source.title for c in claims())


def test_platforms() -> None:
    rates = "input = 1\noutput = 1"
    assert platform(only(offer("aws", "global.anthropic.claude-opus-5", rates))) == "bedrock global"
    assert platform(only(offer("aws", "amazon.nova-lite-v1:0", rates))) == "bedrock"
    assert platform(only(offer("google", "claude-opus-5", rates))) == "vertex"
    assert platform(only(offer("google", "gemini-2.5-pro", rates))) == "direct"
    assert platform(only(offer("acme", "m", rates, 'channel = "azure"'))) == "azure"
    assert (maker("claude-opus-5"), maker("glm-5"), maker("llama-3.3-70b")) == ("anthropic", "zai", None)

"""The spread of one model across hosts, on a small book and on lines of our own."""

import itertools
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction as F

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.evidence import Grade, Source
from farthing.index.closed import closed
from farthing.index.kinds import Mix, blended
from farthing.index.line import Line, Quote
from farthing.index.spread import dispersion, most_hosted, of_lines, over_time, seller, served_as, spread
from farthing.problems import FarthingError
from farthing.rates.book import Book
from farthing.rates.toml import load_card
from farthing.reports.index_spread import hosted_view, spread_rows, spread_table, spread_view

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
KIND = blended(Mix.parse("3:1"))
SOURCE = Source(id="s", title="T", where="W", seen=None, grade=Grade.VENDOR_STATED)
HEAD = 'source.s = { title = "T", where = "W", seen = 2026-11-01, grade = "vendor-stated" }\n'


def offer(provider: str, model: str, rates: str) -> str:
    return (f'[[offer]]\nprovider = "{provider}"\nmodel = "{model}"\n'
            f'[[offer.price]]\nsource = "s"\n[offer.price.rates]\n{rates}\n')  # fmt: skip


def book(*offers: str) -> Book:
    return Book([load_card(HEAD + "".join(offers))])


def line(provider: str, *steps: tuple[datetime, datetime | None, str, str], model: str = "widget-9-70b") -> Line:
    quotes = tuple(
        Quote(start=start, end=end, usd_per_mtok={"input": F(read), "output": F(written)}, source=SOURCE)
        for start, end, read, written in steps
    )
    return Line(provider=provider, model=model, family="widget-9-70b", quotes=quotes)


def headline(view: dict[str, object]) -> str:
    return str(next(iter(spread_table(view))))


def day(year: int, month: int, of_month: int = 1) -> datetime:
    return datetime(year, month, of_month, tzinfo=UTC)


WIDGET = (
    offer("cheap", "acme/Widget-9-70B-Instruct-Turbo", "input = 0.10\noutput = 0.50"),
    offer("dear", "widget-9-70b", "input = 0.40\noutput = 0.40"),
    offer("middle", "widget-9-70b-fp8", "input = 0.30\noutput = 0.30"),
    offer("huggingface_dear", "widget-9-70b", "input = 0.50\noutput = 0.50"),
    offer("openrouter", "acme/widget-9-70b", "input = 0.01\noutput = 0.01"),
    offer("gift", "widget-9-70b:free", "input = 0\noutput = 0"),
    offer("half", "widget-9-70b", "input = 0.2"),
    offer("other-size", "widget-9-8b", "input = 0.01\noutput = 0.01"),
)


def test_sellers_are_counted_once_and_routers_and_gifts_not() -> None:
    found = spread(book(*WIDGET), "Widget-9-70B", AT, KIND, [])
    # (3 x 0.10 + 0.50) / 4 = 0.20; 0.30; 0.40. Ratios to 0.20.
    assert [(h.provider, h.blended, h.counted, h.why) for h in found.hosts] == [
        ("openrouter", F(1, 100), False, "router"),
        ("cheap", F(1, 5), True, ""),
        ("middle", F(3, 10), True, ""),
        ("dear", F(2, 5), True, ""),
        ("huggingface_dear", F(1, 2), False, "same seller"),
    ]
    assert [h.ratio for h in found.hosts] == pytest.approx([0.05, 1, 1.5, 2, 2.5])
    assert found.of is not None
    assert (found.of.count, found.of.near) == (3, 1)
    assert (found.of.median, found.of.ratio) == (pytest.approx(0.3), pytest.approx(2))
    # Deviations -0.1, 0, 0.1: sqrt(0.02 / 2) = 0.1, over the mean 0.3.
    assert found.of.cv == pytest.approx(1 / 3)
    assert found.of.shares is None  # of three there are no percentiles
    assert found.cheapest is not None and found.cheapest.provider == "cheap"
    assert found.dearest is not None and found.dearest.provider == "dear"
    assert [h.provider for h in found.free] == ["gift"]
    assert [h.provider for h in found.unblended] == ["half"]
    assert [h.named for h in found.hosts] == ["", "turbo", "fp8", "", ""]
    assert any(note.startswith("1 offered through a router") for note in found.notes)


def test_another_mix_changes_the_order() -> None:
    found = spread(book(*WIDGET), "widget-9-70b", AT, blended(Mix.parse("0:1")), [])
    assert [h.provider for h in found.hosts if h.counted] == ["middle", "dear", "cheap"]


def test_one_host_and_none_give_no_spread() -> None:
    one = spread(book(WIDGET[0]), "widget-9-70b", AT, KIND, [])
    assert one.of is not None and (one.of.count, one.of.cv) == (1, None)
    assert "one seller only: there is no spread" in one.notes
    two = spread(book(*WIDGET[:2]), "widget-9-70b", AT, KIND, [])
    assert two.of is not None and (two.of.ratio, two.of.cv) == (pytest.approx(2), None)
    assert "two sellers only: the ratio is all there is to say" in two.notes
    gift = spread(book(WIDGET[5]), "widget-9-70b", AT, KIND, [])
    assert (gift.of, gift.cheapest, len(gift.free)) == (None, None, 1)
    assert "no price by the token is known at that date: there is no spread" in gift.notes
    view = spread_view(gift, "3:1")
    assert "sold by nobody" in headline(view)
    routed = spread_view(spread(book(WIDGET[4]), "widget-9-70b", AT, KIND, []), "3:1")
    assert "sold only through a router" in headline(routed)
    equal = [offer(name, "widget-9-70b", "input = 2\noutput = 2") for name in ("a", "b")]
    assert "all 2 sellers ask $2.00" in headline(spread_view(spread(book(*equal), "widget-9-70b", AT, KIND, []), "3:1"))
    assert (view["count"], view["ratio"], view["cheapest"], view["grade"]) == (0, None, None, None)


def test_an_unknown_model_names_the_near_ones() -> None:
    with pytest.raises(FarthingError, match="near it: widget-9-70b"):
        spread(book(*WIDGET), "widgett-9-70b", AT, KIND, [])


def test_a_past_day_is_answered_by_dated_lines_alone() -> None:
    """The card's prices have no date: of March 2025 they say nothing."""
    lines = [line("cheap", (day(2025, 1), None, "0.8", "0.8")), line("middle", (day(2025, 2), None, "1.6", "1.6"))]
    found = spread(book(*WIDGET), "widget-9-70b", day(2025, 3), KIND, lines)
    assert [(h.provider, h.blended) for h in found.hosts] == [("cheap", F(4, 5)), ("middle", F(8, 5))]
    # Of the seven providers of the card two are in the lines.
    assert "hosts of today left out, as their price at that date is not known: 5" in found.notes


def test_the_dispersion_over_time_needs_three_sellers() -> None:
    lines = [
        line("a", (day(2024, 1), None, "1", "1")),
        line("b", (day(2024, 2), None, "2", "2")),
        line("c", (day(2024, 5), day(2025, 1), "4", "4")),
        line("huggingface_c", (day(2024, 1), None, "8", "8")),
        line("openrouter", (day(2024, 1), None, "0.1", "0.1")),
        line("d", (day(2024, 8), None, "3", "3"), (day(2024, 12), None, "0", "0")),
    ]
    found = {one.day: one.of for one in over_time(lines, KIND, day(2024, 11, 15))}
    # On 1 April Hugging Face's door to c stands for c; from May c itself is cheaper.
    assert {d: (of.count, of.low, of.high) for d, of in found.items()} == {
        date(2024, 4, 1): (3, 1, 8), date(2024, 7, 1): (3, 1, 4), date(2024, 10, 1): (4, 1, 4),
        date(2024, 11, 15): (4, 1, 4),
    }  # fmt: skip
    later = over_time(lines, KIND, day(2025, 2))[-1]
    assert (later.of.count, later.of.high) == (3, 8)  # c's own offer ended; d became free, which is no price
    assert over_time([], KIND, AT) == ()


def test_a_slip_of_units_is_shown_and_not_counted() -> None:
    lines = [line(name, (day(2025, 1), None, usd, usd)) for name, usd in (("a", "1"), ("b", "2"), ("c", "91250"))]
    found = of_lines([*lines, line("d", (day(2025, 1), None, "3", "3"))], "widget-9-70b", AT, KIND)
    assert [(h.provider, h.why) for h in found.hosts] == [("a", ""), ("b", ""), ("d", ""), ("c", "slip of units?")]
    assert found.of is not None and (found.of.count, found.of.ratio) == (3, 3)
    assert all(one.of.ratio == 3 for one in found.over_time)
    assert any("taken for a slip of units" in note for note in found.notes)


def test_of_lines_refuses_what_it_does_not_know() -> None:
    with pytest.raises(FarthingError, match="no dated price of a model called 'gadget'"):
        of_lines([], "gadget", AT, KIND)
    found = of_lines([line("a", (day(2024, 1), None, "1", "2"))], "widget-9-70b", AT, KIND)
    assert found.of is not None and found.of.low == 1.25  # (3 x 1 + 2) / 4


def test_who_sells_and_how() -> None:
    assert [seller(name) for name in ("huggingface_groq", "groq")] == ["groq", "groq"]
    assert seller("huggingface_fireworks-ai") == "fireworks"
    assert served_as("@cf/meta/llama-3.3-70b-instruct-fp8-fast") == "fp8 fast"
    assert served_as("Qwen/Qwen3-32B-AWQ") == "awq"
    assert served_as("meta-llama/Llama-3.3-70B-Instruct") == ""


@settings(deadline=None)
@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=40))
def test_a_dispersion_keeps_its_order(prices: list[float]) -> None:
    of = dispersion(prices)
    assert of is not None
    assert of.low <= of.median <= of.high
    assert of.ratio >= 1 and 1 <= of.near <= of.count == len(prices)
    if of.shares:
        ordered = [of.low, *of.shares[:2], of.median, *of.shares[2:], of.high]
        assert all(a <= b * (1 + 1e-12) for a, b in itertools.pairwise(ordered))
    assert (of.cv is None) == (len(prices) < 3)
    same = dispersion([price * 7 for price in prices])  # in another currency nothing is further apart
    assert same is not None and same.ratio == pytest.approx(of.ratio)
    if of.cv:
        assert same.cv == pytest.approx(of.cv)


def test_open_models_by_number_of_sellers() -> None:
    known = [
        offer("a1", "zwidget-9-70b", "input = 1\noutput = 1"),
        offer("a2", "zwidget-9-70b", "input = 2\noutput = 2"),
        offer("a3", "zwidget-9-70b", "input = 3\noutput = 3"),
        offer("a1", "gadget-1-7b", "input = 1\noutput = 1"),
        offer("a2", "gadget-1-7b", "input = 1\noutput = 1"),
    ]
    dated = msgspec.structs.replace(line("a4", (day(2025, 1), None, "4", "4")), family="zwidget-9-70b")
    found = {one.family: one for one in most_hosted(book(*known), AT, KIND, [dated])}
    assert (found["zwidget-9-70b"].of.count, found["zwidget-9-70b"].of.ratio) == (4, 4)
    assert found["zwidget-9-70b"].cheapest == "a1/zwidget-9-70b"
    assert "gadget-1-7b" not in found  # two sellers are not a market
    view = hosted_view(list(found.values()), AT, "3:1", 2)
    assert len(view["models"]) == 2 and view["left_out"] == len(found) - 2
    assert len(spread_rows(view)) == 2


def test_a_model_without_published_weights_has_no_hosts() -> None:
    """Four who resell Claude at Anthropic's price are no market of hosts (data/index_closed.toml)."""
    known = [offer(f"a{n}", "claude-sonnet-4.5", "input = 3\noutput = 15") for n in range(4)]
    assert "claude-sonnet-4.5" not in {one.family for one in most_hosted(book(*known), AT, KIND, [])}
    told = spread(book(*known), "claude-sonnet-4.5", AT, KIND, [])
    assert any("weights are not published" in note for note in told.notes)
    assert closed("grok-4") and not closed("grok-2") and not closed("gpt-oss-120b") and not closed("llama-3.3-70b")


@pytest.mark.slow
def test_a_day_to_come_is_said() -> None:
    ahead = datetime.now(UTC) + timedelta(days=900)
    found = spread(book(*WIDGET), "widget-9-70b", ahead, KIND, [])
    assert any("lies ahead" in note for note in found.notes)
    past = spread(book(*WIDGET), "widget-9-70b", datetime.now(UTC) - timedelta(hours=1), KIND, [])
    assert past.hosts and not any("lies ahead" in note for note in past.notes)
    assert any("lies ahead" in note for note in hosted_view([], ahead, "3:1")["notes"])


def test_the_view_has_exact_prices_as_text_and_statistics_as_numbers() -> None:
    view = spread_view(spread(book(*WIDGET), "widget-9-70b", AT, KIND, []), "3:1")
    cheap = next(one for one in view["hosts"] if one["provider"] == "cheap")
    assert (cheap["input"], cheap["output"], cheap["blended"], cheap["ratio"]) == ("0.1", "0.5", "0.2", 1.0)
    assert (view["count"], view["cheapest"]) == (3, "cheap/acme/Widget-9-70B-Instruct-Turbo")
    assert len(view["basket"]) == 3
    assert len(spread_rows(view)) == 7  # five priced, one free, one without an output price

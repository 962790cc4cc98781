"""The structure of the market: providers, output against input, models at one price each, tiers of capability."""

from datetime import UTC, date, datetime
from fractions import Fraction as F

import pytest

from farthing.evidence import Grade, Source
from farthing.index import sold as offers
from farthing.index import structure
from farthing.index.compared import compared, floors, scores_on
from farthing.index.kinds import Mix, blended
from farthing.index.line import Line, Quote
from farthing.index.sold import Sold
from farthing.index.structure import Model
from farthing.problems import FarthingError
from farthing.rates.book import Book
from farthing.rates.toml import load_card
from farthing.reports.index_compare import compare_rows, compare_view, score_range

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
KIND = blended(Mix.parse("3:1"))
HEAD = 'source.s = { title = "T", where = "W", seen = 2026-11-01, grade = "vendor-stated" }\n'
SOURCE = Source(id="s", title="T", where="W", seen=None, grade=Grade.DERIVED)


def offer(provider: str, model: str, rates: str, more: str = "") -> str:
    return (f'[[offer]]\nprovider = "{provider}"\nmodel = "{model}"\n{more}\n'
            f'[[offer.price]]\nsource = "s"\n[offer.price.rates]\n{rates}\n')  # fmt: skip


def sold(provider: str, model: str, read: str, written: str, maker: str | None = None, channel: str = "direct") -> Sold:
    cost, out = F(read), F(written)
    return Sold(provider=provider, model=model, family=model, maker=maker, channel=channel, input=cost, output=out,
                blended=(3 * cost + out) / 4, grade=Grade.VENDOR_STATED)  # fmt: skip


def model(name: str, price: float) -> Model:
    return Model(family=name, maker=None, input=price, output=price, blended=price, sellers=1, own=True, id=f"p/{name}")


def test_what_counts_as_a_priced_text_model() -> None:
    card = load_card(
        HEAD
        + offer("shop", "widget-1", "input = 1\noutput = 5")
        + offer("shop", "gift-1", "input = 0\noutput = 0")
        + offer("shop", "vector-1", "input = 0.1")
        + offer("shop", "drawer-1", "image = 0.04")
        + offer("shop", "widget-1:batch", "input = 0.5\noutput = 2.5")
        + offer("shop", "speaker-1", "input = 1\noutput = 5", 'mode = "audio"')
    )
    found = offers.market(Book([card]), AT, KIND, ["shop"])
    assert [(one.id, one.blended, one.ratio) for one in found.sold] == [("shop/widget-1", 2, 5)]  # (3 x 1 + 5) / 4
    assert found.left_out == {
        "free, batch or moving pointer": 2, "not priced by input and output": 1, "no token price": 1,
        "not a text model": 1,
    }  # fmt: skip


def test_an_unknown_provider_names_the_near_ones() -> None:
    with pytest.raises(FarthingError, match="unknown provider 'antropic'; near it: anthropic"):
        offers.market(Book(), AT, KIND, ["antropic"])


def test_a_retired_model_is_no_offer() -> None:
    """OpenAI's gpt-4 ended on 23 October 2026 (data/retirements)."""
    assert offers.retired("openai", "GPT-4", datetime(2026, 10, 23, tzinfo=UTC))
    assert not offers.retired("openai", "gpt-4", datetime(2026, 10, 22, 23, tzinfo=UTC))
    assert not offers.retired("openai", "no-such-model", AT)
    before = offers.market(Book(), datetime(2026, 10, 22, tzinfo=UTC), KIND, ["openai"])
    after = offers.market(Book(), AT, KIND, ["openai"])
    assert "gpt-4" in {one.model for one in before.sold}
    assert "gpt-4" not in {one.model for one in after.sold}
    assert after.left_out["ended by then"] > 0


def test_a_price_a_hundred_times_off_is_a_slip_of_units() -> None:
    assert offers.slipped([1.0, 1.2, 91250.0]) == [False, False, True]
    assert offers.slipped([1.0, 1.2, 0.001]) == [False, False, True]
    assert offers.slipped([1.0, 1.2, 99.0]) == [False, False, False]  # dear, but who knows
    assert offers.slipped([1.0, 91250.0]) == [False, False]  # of two nobody knows which is wrong
    quotes = [(F(1), F(1)), (F(2), F(2)), (F(55000), F(200000))]
    lines = [
        Line(provider=f"p{n}", model="m", family="m", quotes=(
            Quote(start=datetime(2025, 1, 1, tzinfo=UTC), end=None, source=SOURCE,
                  usd_per_mtok={"input": read, "output": out}),))
        for n, (read, out) in enumerate(quotes)
    ]  # fmt: skip
    found = offers.of_lines(lines, AT, KIND)
    assert [one.provider for one in found.sold] == ["p0", "p1"]
    assert found.left_out == {"100 times off the model's other offers: slips of units": 1}


def test_providers_by_what_they_are() -> None:
    found = structure.rows(
        [
            sold("acme", "a", "1", "2", "acme"),
            sold("acme", "b", "3", "6", "acme"),
            sold("acme", "c", "5", "30", "acme"),
            sold("host", "a", "2", "2", "acme"),
            sold("host", "d", "4", "4", None),
            sold("aws", "a", "1", "2", "acme", "bedrock"),
            sold("aws", "b", "3", "6", "acme", "bedrock"),
            sold("aws", "c", "3", "6", "acme", "bedrock"),
        ]
    )
    assert [(row.provider, row.kind, row.count) for row in found] == [
        ("acme", "maker", 3), ("aws", "cloud", 3), ("host", "host", 2),
    ]  # fmt: skip
    assert found[0].input == (1, 3, 5) and found[0].output == (2, 6, 30)
    assert (found[0].cheapest.model, found[0].dearest.model) == ("a", "c")
    assert found[0].blended == (F(5, 4), F(15, 4), F(45, 4))


def test_what_a_maker_resells_is_a_row_of_its_own() -> None:
    """Google sells Gemini, and Claude on Vertex: Claude's price is none of Gemini's range."""
    found = structure.rows(
        [
            sold("acme", "a", "1", "2", "acme"),
            sold("acme", "b", "3", "6", "acme"),
            sold("acme", "c", "2", "2", None),
            sold("acme", "z", "15", "75", "other", "stall"),
        ]
    )
    assert [(row.name, row.provider, row.kind, row.count) for row in found] == [
        ("acme", "acme", "maker", 3), ("acme stall", "acme", "cloud", 1),
    ]  # fmt: skip
    assert found[0].output == (2, 2, 6) and found[1].output == (75, 75, 75)


def test_the_lowest_tier_has_no_floor() -> None:
    tier = {"score_low": 0.0, "score_high": 1315.2}
    assert score_range(tier) == "below 1315.2"
    assert score_range({"score_low": 1315.2, "score_high": 1417.3}) == "1315.2 – 1417.3"
    assert score_range({"score_low": 1417.3, "score_high": None}) == "1417.3 and more"


def test_a_model_stands_at_its_makers_price_else_at_the_middle_of_its_hosts() -> None:
    found = {
        m.family: m
        for m in structure.models(
            [
                sold("acme", "own", "2", "2", "acme"),
                sold("host", "own", "1", "1", "acme"),
                sold("h1", "open", "1", "1", "meta"),
                sold("h2", "open", "2", "2", "meta"),
                sold("h3", "open", "9", "9", "meta"),
                sold("h1", "pair", "1", "1"),
                sold("h2", "pair", "3", "3"),
            ]
        )
    }
    assert (found["own"].blended, found["own"].own, found["own"].sellers, found["own"].id) == (2, True, 2, "acme/own")
    assert (found["open"].blended, found["open"].own, found["open"].sellers) == (2, False, 3)
    assert found["open"].id == "h2/open"
    assert found["pair"].blended == 2  # the mean of the two in the middle


def test_output_against_input_in_quartiles() -> None:
    every = [sold("p", f"m{n}", "1", str(n)) for n in (1, 2, 3, 4, 5)] + [sold("q", "x", "1", "9")]
    first, second = structure.ratios(every, structure.models(every))
    # 1, 2, 3, 4, 5, 9: the quartiles (inclusive) lie at positions 1.25, 2.5 and 3.75 from the first.
    assert (first.name, first.count, first.low, first.quarter, first.median, first.three_quarters, first.high) == (
        "all models", 6, 1, pytest.approx(2.25), 3.5, pytest.approx(4.75), 9,
    )  # fmt: skip
    assert (second.name, second.count, second.median) == ("p", 5, 3)  # q has one offer: no distribution
    assert structure.quartiles("few", [1.0, 2.0, 3.0]).quarter is None
    assert structure.ratios([], []) == []


def test_ratios_over_time_are_of_makers_own_dated_models() -> None:
    def line(name: str, out: str, first: bool = True) -> Line:
        start = datetime(2024, 1, 1, tzinfo=UTC)
        quotes = (Quote(start=start, end=None, usd_per_mtok={"input": F(1), "output": F(out)}, source=SOURCE),)
        return Line(provider="p", model=name, family=name, quotes=quotes, first_party=first)

    lines = [line("a", "2"), line("b", "4"), line("c", "6"), line("d", "100", first=False)]
    days = [datetime(2023, 7, 1, tzinfo=UTC), datetime(2024, 7, 1, tzinfo=UTC)]
    ((when, of),) = structure.ratios_by_date(lines, days)
    assert (when, of.count, of.median) == (date(2024, 7, 1), 3, 4)
    assert structure.ratios_by_date(lines[:2], days) == []


def test_tiers_are_shares_of_the_days_best_score() -> None:
    offers = [model("best", 10.0), model("near", 8.0), model("good", 1.0), model("weak", 0.1), model("unknown", 5.0)]
    scores = {"best": 80.0, "near": 73.0, "good": 40.0, "p/weak": 10.0}
    found = structure.tiers(offers, scores, [("frontier", 0.9), ("strong", 0.75), ("good", 0.5), ("basic", 0.0)])
    assert [(t.name, t.low, t.high, [m.family for m, _ in t.models]) for t in found] == [
        ("frontier", 72, None, ["near", "best"]), ("strong", 60, 72, []), ("good", 40, 60, ["good"]),
        ("basic", 0, 40, ["weak"]),
    ]  # fmt: skip
    assert found[0].prices == (8, 9, 10)
    assert found[1].prices is None  # an empty tier has no price
    assert structure.tiers(offers, {}, [("all", 0.0)]) == ()


def test_tiers_of_ratings_are_shares_of_an_even_chance() -> None:
    offers_made = [model("best", 10.0), model("near", 8.0), model("far", 1.0)]
    # Of 1500: 35 points behind is winning 45 of 100, which is 0.9 of an even chance; 36 behind is less.
    (first, rest) = structure.tiers(
        offers_made, {"best": 1500.0, "near": 1466.0, "far": 1464.0}, [("frontier", 0.9), ("basic", 0.0)], "elo"
    )
    assert first.low == pytest.approx(1465.14, abs=0.01)  # 1500 - 400 log10(2 / 0.9 - 1)
    assert [m.family for m, _ in first.models] == ["near", "best"]
    assert (rest.low, [m.family for m, _ in rest.models]) == (0, ["far"])


def test_the_packaged_tiers_cover_every_score() -> None:
    shares = [share for _, share in floors()]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == 0 and all(0 <= share < 1 for share in shares)


def test_a_score_counts_from_the_release_on() -> None:
    """GPT-4 was released on 14 March 2023."""
    assert "gpt-4" not in scores_on("mmlu", date(2023, 3, 13))
    assert 80 < scores_on("mmlu", date(2023, 3, 14))["gpt-4"] < 90


@pytest.fixture(scope="module")
def whole() -> dict[str, object]:
    return compare_view(compared(Book(), AT, KIND, []), "3:1", False)


def test_the_packaged_market_adds_up(whole: dict[str, object]) -> None:
    view: dict[str, list[dict[str, object]]] = whole
    rows = view["providers"]
    assert sum(row["count"] for row in rows) == view["count"]
    assert sum(band["count"] for band in view["bands"]) == view["models_count"]
    assert {row["provider"]: row["kind"] for row in rows}.items() >= {
        ("openai", "maker"), ("anthropic", "maker"), ("aws", "cloud"), ("groq", "host"), ("openrouter", "cloud"),
    }  # fmt: skip
    for row in rows:
        assert F(row["input_low"]) <= F(row["input_median"]) <= F(row["input_high"])
        assert F(row["output_low"]) <= F(row["output_median"]) <= F(row["output_high"])
    bedrock = next(one for one in view["markups"] if one["platform"] == "bedrock regional")
    assert bedrock["claimed"] == [{"low": "0", "high": "0.2", "source": bedrock["claimed"][0]["source"]}]
    assert compare_rows(view)[0]["mix"] == "3:1"
    scored = sum(tier["count"] for tier in view["tiers"])
    assert scored >= 8 or view["benchmark"] is None
    if view["tiers"]:
        assert [t["tier"] for t in view["tiers"]] == ["frontier", "strong", "good", "basic"]
        assert view["tiers"][0]["median"] > view["tiers"][-1]["median"]


def test_named_providers_list_their_models() -> None:
    view = compare_view(compared(Book(), AT, KIND, [], ["deepseek", "anthropic"], natural=3), "3:1", True)
    assert {one["provider"] for one in view["models"]} == {"deepseek", "anthropic"}
    assert len(view["bands"]) == 3
    assert 0 < view["bands_fit"] <= 1
    assert view["markups"] == []  # mark-ups are of the whole market
    assert len(compare_rows(view)) == view["count"] == len(view["models"])


def test_a_past_day_rests_on_dated_prices_alone() -> None:
    day = datetime(2024, 7, 1, tzinfo=UTC)
    quote = Quote(start=datetime(2024, 5, 13, tzinfo=UTC), end=None, source=SOURCE,
                  usd_per_mtok={"input": F(5), "output": F(15)})  # fmt: skip
    lines = [
        Line(provider="openai", model="gpt-4o", family="gpt-4o", quotes=(quote,), maker="openai", first_party=True)
    ]
    found = compared(Book(), day, KIND, lines)
    assert [(one.id, one.blended) for one in found.sold] == [("openai/gpt-4o", F(15, 2))]  # (3 x 5 + 15) / 4
    assert found.platforms == ()
    assert any("only offers whose price that day is known" in note for note in found.notes)
    empty = compared(Book(), datetime(2019, 1, 1, tzinfo=UTC), KIND, [])
    assert (empty.sold, empty.bands, empty.tiers) == ((), (), ())
    assert "no text model has a known price at that date" in empty.notes
    assert compare_view(empty, "3:1", False)["grade"] is None

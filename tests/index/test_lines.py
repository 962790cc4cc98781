"""Price lines: what each kind of statement says of when a price began, and what is no line at all."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction as F

import msgspec
import pytest

from farthing.index.line import Line, Quote
from farthing.index.lines import lines, renewed, survey
from farthing.index.quotes import joined, of_history
from farthing.problems import FarthingError
from farthing.rates import history
from farthing.rates.book import Book
from farthing.rates.history import HistoryOffer, HistoryPrice
from farthing.rates.toml import Card, load_card
from tests.index.made import SOURCE, day, quote, steps

NOW = day("2026-11-22")
HEAD = 'source.s = { title = "T", where = "W", seen = 2026-11-01, grade = "vendor-stated" }\n'


def card(*offers: str) -> Card:
    return load_card(HEAD + "".join(offers))


def offer(model: str, *prices: str, more: str = "", provider: str = "acme") -> str:
    head = f'[[offer]]\nprovider = "{provider}"\nmodel = "{model}"\n{more}\n'
    return head + "".join(f'[[offer.price]]\nsource = "s"\n{price}\n' for price in prices)


def price(start: str | None, input: str, output: str, more: str = "") -> str:
    begin = f"valid_from = {start}\n" if start else ""
    return f"{begin}[offer.price.rates]\ninput = {input}\noutput = {output}\n{more}"


def past(
    model: str, *prices: tuple[str, str | None, str, str], gone: str | None = None, sure: bool = True
) -> HistoryOffer:
    made = tuple(
        HistoryPrice(
            start=day(start),
            after=day(after) if after else None,
            usd_per_mtok={"input": Decimal(read), "output": Decimal(written)},
            batch_usd_per_mtok={},
            source=SOURCE,
            sure=sure,
        )
        for start, after, read, written in prices
    )
    return HistoryOffer(
        provider="acme", model=model, channel="direct", mode="chat", prices=made, gone=day(gone) if gone else None
    )


def told(quotes: list[Quote] | tuple[Quote, ...]) -> list[tuple[str, str | None, F]]:
    """Start, end and input price of each."""
    return [(f"{q.start:%Y-%m-%d}", f"{q.end:%Y-%m-%d}" if q.end else None, q.usd_per_mtok["input"]) for q in quotes]


@pytest.fixture
def no_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "offers", lambda provider=None: [])


def of_card(*offers: str) -> list[Line]:
    return lines(Book([card(*offers)]), providers=["acme"], at=NOW)


# --- dated and undated records ------------------------------------------------------------------------


def test_dated_records_follow_one_another(no_history: None) -> None:
    made = of_card(offer("m-1", price("2024-01-01", "10", "30"), price("2024-08-06", "2.50", "10")))
    assert [line.id for line in made] == ["acme/m-1"]
    assert told(made[0].quotes) == [("2024-01-01", "2024-08-06", F(10)), ("2024-08-06", None, F("2.5"))]
    assert made[0].at(day("2024-08-06")) is made[0].quotes[1]
    assert made[0].at(day("2023-12-31")) is None


def test_an_undated_record_makes_no_quote_and_is_counted(no_history: None) -> None:
    book = Book([card(offer("m-1", price(None, "10", "30")), offer("m-2", price("2024-01-01", "1", "2")))])
    found = survey(book, providers=["acme"], at=NOW)
    assert [line.model for line in found.lines] == ["m-2"] and found.undated == 1


def test_a_withdrawal_ends_a_line_and_the_future_is_not_told(no_history: None) -> None:
    gone = of_card(offer("m-1", "valid_to = 2024-03-01\n" + price("2024-01-01", "1", "2")))
    assert told(gone[0].quotes) == [("2024-01-01", "2024-03-01", F(1))]
    retired = of_card(offer("m-1", price("2024-01-01", "1", "2"), more="retires = 2025-01-01"))
    assert told(retired[0].quotes) == [("2024-01-01", "2025-01-01", F(1))]
    ahead = of_card(offer("m-1", price("2024-01-01", "1", "2"), price("2027-01-01", "5", "9")))
    assert told(ahead[0].quotes) == [("2024-01-01", "2027-01-01", F(1))]


def test_since_leaves_out_what_had_ended(no_history: None) -> None:
    book = Book([card(offer("m-1", price("2024-01-01", "10", "30"), price("2024-08-06", "2.50", "10")))])
    (made,) = lines(book, since=day("2024-09-01"), providers=["acme"], at=NOW)
    assert told(made.quotes) == [("2024-08-06", None, F("2.5"))]


@pytest.mark.parametrize(("until", "usd"), [("08:00", F(10)), ("16:00", F(5))])
def test_the_price_of_most_of_the_week_is_the_price(no_history: None, until: str, usd: F) -> None:
    """Half price for eight hours of 24 leaves the other hours' price standing; for sixteen hours it is the price."""
    when = f'when = {{ time = {{ from = "00:00", to = "{until}" }} }}'
    night = f"[[offer.price.rule]]\n{when}\nrates = {{ input = 5 }}\n"
    (made,) = of_card(offer("m-1", price("2024-01-01", "10", "30", night)))
    assert made.quotes[0].usd_per_mtok == {"input": usd, "output": F(30)}


def test_what_is_no_line(no_history: None) -> None:
    book = Book(
        [
            card(
                offer("m-latest", price("2024-01-01", "1", "2")),
                offer("~acme/m", price("2024-01-01", "1", "2")),
                offer("m-1:batch", price("2024-01-01", "1", "2")),
                offer("embed-1", price("2024-01-01", "0.1", "0")),
                offer("embed-2", "valid_from = 2024-01-01\n[offer.price.rates]\ninput = 0.1\n"),
                offer("free-1", price("2024-01-01", "0", "0")),
                offer("claude-9-latest", price("2024-01-01", "1", "2")),  # says which model it is
            )
        ]
    )
    found = survey(book, providers=["acme"], at=NOW)
    assert [line.model for line in found.lines] == ["free-1", "claude-9-latest"]
    assert found.left_out == {"moving pointer": 2, "batch variant": 1, "not a text model": 2}


def test_unknown_providers_are_refused_with_the_nearest_name() -> None:
    with pytest.raises(FarthingError, match=r"unknown provider 'opnai'; did you mean 'openai'\?"):
        lines(Book(), providers=["opnai"])


# --- several sources ----------------------------------------------------------------------------------


def test_a_stated_date_inside_the_snapshots_gap_is_the_change() -> None:
    history = [
        quote("2024-05-15", "2024-10-15", "5", "15", after="2024-05-01"),
        quote("2024-10-15", None, "2.5", "10", after="2024-10-01"),
    ]
    stated = [quote("2024-05-13", "2024-10-02", "5", "15"), quote("2024-10-02", None, "2.5", "10")]
    for own, catalogue in ((stated, []), ([], stated)):
        found = joined(own, catalogue, history)
        assert told(found) == [("2024-05-13", "2024-10-02", F(5)), ("2024-10-02", None, F("2.5"))]
        assert [q.after for q in found] == [None, None]  # both days are known


def test_history_before_the_first_stated_date_stands() -> None:
    history = [quote("2024-01-01", "2024-06-01", "8", "24", after="2023-12-15"), quote("2024-06-01", None, "4", "12")]
    found = joined([quote("2024-05-20", None, "4", "12")], [], history)
    assert told(found) == [("2024-01-01", "2024-05-20", F(8)), ("2024-05-20", None, F(4))]
    assert found[0].after == day("2023-12-15")


def test_a_vendors_own_statement_goes_before_lists_that_say_otherwise() -> None:
    history = [quote("2024-01-01", None, "8", "24")]
    found = joined([quote("2024-05-20", None, "4", "12")], [], history)
    assert told(found) == [("2024-01-01", "2024-05-20", F(8)), ("2024-05-20", None, F(4))]
    later = [quote("2024-01-01", "2024-06-01", "8", "24"), quote("2024-06-01", None, "6", "18")]
    assert told(joined([quote("2024-05-20", None, "4", "12")], [], later)) == told(found)


def test_of_list_and_history_the_later_statement_counts() -> None:
    catalogue = [quote("2026-01-01", None, "1", "3")]
    history = [quote("2025-06-01", "2026-03-01", "2", "6"), quote("2026-03-01", None, "3", "9")]
    assert told(joined([], catalogue, history)) == [
        ("2025-06-01", "2026-01-01", F(2)),
        ("2026-01-01", "2026-03-01", F(1)),
        ("2026-03-01", None, F(3)),
    ]


def test_meters_are_filled_in_where_the_prices_agree() -> None:
    history = [quote("2024-01-01", None, "2.5", "10", cache_read="1.25")]
    (agrees,) = joined([quote("2024-01-01", None, "2.5", "10")], [], history)
    assert agrees.usd_per_mtok["cache_read"] == F("1.25")
    (differs,) = joined([quote("2024-01-01", None, "2.5", "11")], [], history)
    assert "cache_read" not in differs.usd_per_mtok


def test_a_gap_stays_a_gap_and_a_withdrawal_a_withdrawal() -> None:
    history = [quote("2024-01-01", "2024-02-01", "1", "2"), quote("2024-04-01", None, "1", "2")]
    found = joined([], [], history)
    assert told(found) == [("2024-01-01", "2024-02-01", F(1)), ("2024-04-01", None, F(1))]
    own = [quote("2024-01-01", "2024-03-01", "1", "2")]
    assert told(joined(own, [], history)) == [("2024-01-01", "2024-03-01", F(1))]  # its maker withdrew it


# --- our history ---------------------------------------------------------------------------------------


def test_history_becomes_quotes_with_both_days() -> None:
    old = past("m-1", ("2024-01-01", None, "10", "30"), ("2024-07-01", "2024-06-15", "5", "15"), gone="2025-01-01")
    found = of_history(old)
    assert told(found) == [("2024-01-01", "2024-07-01", F(10)), ("2024-07-01", "2025-01-01", F(5))]
    assert [q.after for q in found] == [None, day("2024-06-15")]
    assert [q.unclear for q in of_history(past("m-1", ("2024-01-01", None, "1", "2"), sure=False))] == [True]


def test_history_and_book_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    old = past("M-1", ("2024-01-15", "2024-01-01", "10", "30"), ("2024-08-15", "2024-08-01", "2.5", "10"))
    other = past("m-2", ("2024-03-01", None, "1", "2"))
    monkeypatch.setattr(history, "offers", lambda provider=None: [old, other])
    made = of_card(offer("m-1", price("2024-08-06", "2.50", "10")))
    assert [line.id for line in made] == ["acme/M-1", "acme/m-2"]
    assert told(made[0].quotes) == [("2024-01-15", "2024-08-06", F(10)), ("2024-08-06", None, F("2.5"))]


def test_sources_that_disagree_today_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    old = [past("m-1", ("2024-01-15", None, "10", "30")), past("m-2", ("2024-01-15", None, "10", "30"))]
    monkeypatch.setattr(history, "offers", lambda provider=None: old)
    stated = [offer("m-1", price("2024-08-06", "2.50", "10")), offer("m-2", price("2024-08-06", "10", "30"))]
    assert survey(Book([card(*stated)]), providers=["acme"], at=NOW).differing == ("acme/m-1",)


def test_names_that_begin_to_serve_one_newer_model_are_marked() -> None:
    """From one day on three of a maker's models cost the same, one dearer, two cheaper: they are a newer model."""

    def made(model: str, before: str, after: str, own: bool = True) -> Line:
        one = steps(model, ("2024-01-01", before), ("2024-06-01", after), ("2024-09-01", "1"))
        return msgspec.structs.replace(one, first_party=own)

    def marks(*lines: Line) -> list[list[bool]]:
        return [[q.renewed for q in line.quotes] for line in renewed(lines)]

    swapped = [made("a", "5", "2"), made("b", "1.5", "2"), made("c", "7", "2")]
    assert marks(*swapped) == [[False, True, False]] * 3  # all three fell to 1 in September: that was a cut
    assert marks(made("a", "5", "2"), made("b", "7", "2"))[0] == [False] * 3  # a cut to one price
    assert (
        marks(*(msgspec.structs.replace(one, first_party=False) for one in swapped))[0] == [False] * 3
    )  # host's tiers
    halved = [steps("a", ("2024-01-01", 4), ("2024-06-01", 2)), steps("b", ("2024-01-01", 1), ("2024-06-01", 2))]
    assert marks(*halved) == [[False, False]] * 2  # not their maker's


def test_provider_rules_of_the_time_complete_history() -> None:
    """OpenAI's batch API halves prices; it began on 2024-04-15 (data/batch.toml)."""
    prices = tuple(
        HistoryPrice(
            start=day(start),
            after=None,
            usd_per_mtok={"input": Decimal(10), "output": Decimal(30)},
            batch_usd_per_mtok={},
            source=SOURCE,
        )
        for start in ("2023-11-06", "2024-09-01")
    )
    old = HistoryOffer(provider="openai", model="gpt-4-turbo", channel="direct", mode="chat", prices=prices)
    before, now = of_history(old)
    assert before.batch_usd_per_mtok == {} and before.end == now.start == day("2024-04-15")
    assert now.batch_usd_per_mtok == {"input": 5, "output": 15} and now.usd_per_mtok == before.usd_per_mtok


# --- what is packaged ----------------------------------------------------------------------------------


def test_the_packaged_lines_know_famous_price_cuts() -> None:
    found = {line.id: line for line in lines(Book(), at=NOW)}

    def at(name: str, moment: str) -> tuple[float, float]:
        known = found[name].at(day(moment))
        assert known is not None, (name, moment)
        return float(known.usd_per_mtok["input"]), float(known.usd_per_mtok["output"])

    assert at("openai/o3", "2025-05-01") == (10, 40) and at("openai/o3", "2025-06-11") == (2, 8)
    assert at("openai/gpt-4o-2024-08-06", "2024-09-01") == (2.5, 10)
    assert at("anthropic/claude-2", "2023-11-02") == (11.02, 32.68)
    assert at("anthropic/claude-2", "2024-01-15") == (8, 24)
    assert at("deepseek/deepseek-chat", "2025-10-01") == (0.28, 0.42)


def test_the_packaged_lines_are_sound() -> None:
    found = survey(Book(), at=NOW)
    assert len(found.lines) > 1000
    ids = [line.id for line in found.lines]
    assert len(set(ids)) == len(ids)
    for line in found.lines:
        assert line.quotes
        for one, following in zip(line.quotes, line.quotes[1:], strict=False):
            assert one.end is not None and one.end <= following.start, line.id
        for q in line.quotes:
            assert q.start <= NOW and (q.end is None or q.start < q.end)
            assert q.start >= datetime(2020, 1, 1, tzinfo=UTC)
            assert all(usd >= 0 for usd in q.usd_per_mtok.values())
            assert q.after is None or q.after < q.start

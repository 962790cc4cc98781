"""The book: layers of sources in order of trust, one answer for each instant, names found, conflicts kept."""

from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec
import pytest

from farthing.evidence import Grade
from farthing.problems import FarthingError
from farthing.rates.book import Book, Layer, combine
from farthing.rates.card import ALWAYS, Offer, Price
from farthing.rates.select import Unknown, price_at
from farthing.rates.toml import load_card
from farthing.usage.record import Usage

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SOURCES = """
source.contract = { title = "Contract", where = "contract.pdf", seen = 2026-10-01, grade = "vendor-stated" }
source.forum = { title = "A forum", where = "a forum", seen = 2026-10-01, grade = "assumed" }
"""


def offer(model: str, *prices: str, provider: str = "acme", head: str = "", source: str = "contract") -> str:
    made = f'[[offer]]\nprovider = "{provider}"\nmodel = "{model}"\n{head}\n'
    for price in prices:
        keys, _, rates = price.rpartition("|")
        made += f'[[offer.price]]\nsource = "{source}"\n{keys}\n[offer.price.rates]\n{rates}\n'
    return made


def book(*cards: str, as_of: datetime | None = None) -> Book:
    return Book([load_card(SOURCES + card) for card in cards], as_of)


def found(where: Book, provider: str | None, model: str) -> Offer:
    offer = where.lookup(provider, model)
    assert isinstance(offer, Offer), offer
    return offer


def at(offer: Offer, when: datetime | str = NOW, as_of: datetime | None = None) -> Price:
    moment = when if isinstance(when, datetime) else datetime.fromisoformat(when).replace(tzinfo=UTC)
    price = price_at(offer, moment, as_of)
    assert isinstance(price, Price), price
    return price


def plain(price: Price, meter: str = "input") -> str:
    """The price of a meter without a condition."""
    [amount] = [rate.amount for rate in price.rates if rate.meter == meter and rate.when == ALWAYS]
    return str(amount)


BOOK = Book()


# --- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        ("openai", "gpt-4o", "openai/gpt-4o"),
        ("OpenAI", "GPT-4o", "openai/gpt-4o"),  # names are case folded
        ("openai", "gpt-4o-2024-08-06", "openai/gpt-4o-2024-08-06"),  # a record of ours
        ("openai", "gpt-4o-20240806", "openai/gpt-4o-2024-08-06"),  # the compact form of a date
        ("anthropic", "claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5"),  # a pattern
        ("anthropic", "claude-3-5-haiku-20241022", "anthropic/claude-3-5-haiku-latest"),  # an alias
        ("bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0", "aws/"),  # a provider's other name
        ("x_ai", "grok-4.3", "x-ai/grok-4.3"),
    ],
)
def test_lookup_by_id_alias_pattern_and_compact_date(provider: str, model: str, expected: str) -> None:
    assert found(BOOK, provider, model).id.startswith(expected)


def test_azure_charges_what_openai_charges() -> None:
    azure, openai = found(BOOK, "azure", "gpt-4o"), found(BOOK, "openai", "gpt-4o")
    assert (azure.id, azure.via, azure.channel) == ("azure/gpt-4o", "openai/gpt-4o", "azure")
    assert azure.prices == openai.prices


def test_a_model_alone_is_its_makers_and_a_shared_one_must_be_named() -> None:
    assert BOOK.find("claude-sonnet-4-5").id == "anthropic/claude-sonnet-4-5"
    assert found(BOOK, None, "gpt-4o").id == "openai/gpt-4o"
    two = book(offer("big", "input = 1", provider="acme"), offer("big", "input = 2", provider="best"))
    assert two.find("big").provider == "acme"  # the first card
    shared = "meta-llama/llama-3.3-70b-instruct"  # open weights: many hosts, none of them its maker
    with pytest.raises(FarthingError, match=rf"'{shared}' is offered by \d+ providers; name one: \w+/{shared}, "):
        BOOK.find(shared)
    assert isinstance(BOOK.lookup(None, shared), Unknown)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gpt-4oo", "no price for gpt-4oo; near it: gpt-4o, gpt-4"),
        ("openai/gpt-4oo", "no price for openai/gpt-4oo; near it: gpt-4o, gpt-4"),
        ("nobody/gpt-4oo", r"unknown provider 'nobody'; `farthing prices list` shows the \d+"),
        ("zzzzzzzz", "no price for zzzzzzzz; `farthing prices list` shows them"),
        ("openai/zzzzzzzz", "no price for openai/zzzzzzzz; `farthing prices list openai` shows them"),
    ],
)
def test_unknown_names_say_what_is_near(text: str, says: str) -> None:
    with pytest.raises(FarthingError, match=says) as refused:
        BOOK.find(text)
    assert "\n" not in str(refused.value)


def test_usage_that_names_nothing_known_has_no_offer() -> None:
    usage = Usage(at=NOW, quantities={"input": 1})
    assert BOOK.offer_of(usage) == Unknown("the usage names no model")
    assert BOOK.lookup("nobody", "gpt-4o") == Unknown("no provider 'nobody' in the price book")
    assert BOOK.lookup("openai", "zzz") == Unknown("no offer openai/zzz in the price book")
    served = msgspec.structs.replace(usage, provider="openai", model_asked="gpt-4o", model_served="gpt-4o-mini")
    answer = BOOK.offer_of(served)
    assert isinstance(answer, Offer) and answer.id == "openai/gpt-4o-mini"  # what was served decides


# --- precedence -------------------------------------------------------------------------------


def test_cards_go_before_all_and_the_first_card_before_the_second() -> None:
    listed = plain(at(found(BOOK, "openai", "gpt-4o")))
    one = offer("gpt-4o", "input = 1", provider="openai")
    two = offer("gpt-4o", "input = 2", provider="openai")
    assert listed == "2.5"
    assert plain(at(found(book(one), "openai", "gpt-4o"))) == "1"
    assert plain(at(found(book(one, two), "openai", "gpt-4o"))) == "1"
    assert plain(at(found(book(two, one), "openai", "gpt-4o"))) == "2"
    assert plain(at(found(book(one), "openai", "gpt-4o-mini"))) == plain(at(found(BOOK, "openai", "gpt-4o-mini")))


def test_what_a_card_does_not_state_is_unknown() -> None:
    """A contract without a cached price has none: neither the list's nor a rule's fills it."""
    price = at(found(book(offer("gpt-4o", "input = 1", provider="openai")), "openai", "gpt-4o"))
    assert [rate.meter for rate in price.rates] == ["input"]
    assert price.modifiers == ()


def test_a_card_counts_from_its_date_and_the_book_before() -> None:
    made = book(offer("gpt-4o", "valid_from = 2026-10-01|input = 1", provider="openai"))
    gpt = found(made, "openai", "gpt-4o")
    assert plain(at(gpt, "2026-09-30")) == "2.5"
    assert plain(at(gpt, "2026-10-01")) == "1"


@pytest.mark.parametrize("name", ["vertex", "Gemini", "google"])
def test_a_card_may_call_a_provider_by_another_of_its_names(name: str) -> None:
    """Readers write "google" for "vertex_ai": the contract must be found, and must not hide the rest of the book."""
    made = book(offer("gemini-2.5-pro", "input = 0.9", provider=name))
    for asked in ("google", "vertex_ai", "vertex", name):
        assert plain(at(found(made, asked, "gemini-2.5-pro"))) == "0.9"
        assert found(made, asked, "gemini-2.5-flash").id == "google/gemini-2.5-flash"
    assert name == "google" or name not in made.providers


def test_second_hand_statements_come_last() -> None:
    """Every layer that is graded below vendor-stated stands behind the catalogue."""
    names = []
    for layer in BOOK.layers("openai"):
        grades = {price.source.grade for one in layer.offers for price in one.prices}
        names.append((layer.name, min(grades) >= Grade.VENDOR_STATED))
    catalogue = [name for name, _ in names].index("genai-prices")
    assert all(good for _, good in names[:catalogue])
    assert names[catalogue + 1 :] and not any(good for _, good in names[catalogue + 1 :])


# --- combining --------------------------------------------------------------------------------


def offers(*texts: str) -> list[Offer]:
    return [load_card(SOURCES + text).offers[0] for text in texts]


def segments(made: Offer) -> list[tuple[str | None, str | None, str]]:
    def day(moment: datetime | None) -> str | None:
        return moment.date().isoformat() if moment else None

    return [(day(p.valid_from), day(p.valid_to), plain(p)) for p in made.prices]


def test_dated_segments_of_several_layers_follow_one_another() -> None:
    trusted = offer("m", "valid_from = 2026-03-01|input = 1", "valid_from = 2026-05-01|input = 4")
    other = offer("m", "|input = 2", "valid_from = 2026-04-01|input = 3")
    assert segments(combine(offers(trusted, other))) == [
        (None, None, "2"),  # the undated one until the trusted one begins
        ("2026-03-01", None, "1"),
        ("2026-04-01", None, "1"),  # the other changed; the trusted one still answers
        ("2026-05-01", None, "4"),
    ]


def test_a_withdrawal_ends_the_offer_for_less_trusted_sources_too() -> None:
    """A list that still carries a model does not know yet; a more trusted one may state it again."""
    gone = offer("m", "valid_from = 2026-03-01\nvalid_to = 2026-05-01|input = 1")
    stale = offer("m", "|input = 2")
    made = combine(offers(gone, stale))
    assert segments(made) == [(None, None, "2"), ("2026-03-01", "2026-05-01", "1")]
    assert price_at(made, datetime(2026, 5, 1, tzinfo=UTC)) == Unknown("withdrawn on 2026-05-01")
    back = combine(offers(offer("m", "valid_from = 2026-07-01|input = 3"), gone, stale))
    assert segments(back) == [(None, None, "2"), ("2026-03-01", "2026-05-01", "1"), ("2026-07-01", None, "3")]


def test_what_the_first_layer_leaves_out_comes_from_the_next_with_its_source() -> None:
    one, two = offers(offer("m", "input = 1"), offer("m", "input = 9\noutput = 4", source="forum"))
    [price] = combine([one, two]).prices
    assert (plain(price), plain(price, "output")) == ("1", "4")
    assert {rate.meter: rate.source.id if rate.source else price.source.id for rate in price.rates} == {
        "input": "contract", "output": "forum",
    }  # fmt: skip
    [closed] = combine([one, two], closed=1).prices
    assert [rate.meter for rate in closed.rates] == ["input"]


def test_one_offer_keeps_its_names_and_facts() -> None:
    one = offer("m", "input = 1", head='aliases = ["m-latest"]')
    two = offer("m-1", "input = 2", head='aliases = ["m"]\ntitle = "The M"\ncontext_window = 1000')
    made = combine(offers(one, two))
    assert (made.model, made.aliases, made.title, made.context_window) == ("m", ("m-latest", "m-1"), "The M", 1000)


def test_a_pattern_is_searched_only_where_no_name_is_exact() -> None:
    text = SOURCES + offer("m", "input = 1", head="pattern = '^m'") + offer("m-2", "input = 2")
    layer = Layer("card", load_card(text).offers)
    assert [o.model if (o := layer.find(name)) else None for name in ("m", "M-2", "m-3", "n")] == [
        "m",
        "m-2",
        "m",
        None,
    ]


# --- the second clock -------------------------------------------------------------------------


def test_as_of_hides_what_was_recorded_later() -> None:
    """The records that Farthing carries were recorded when their source was seen: in November 2026."""
    model, sources = "deepseek-v4-pro", {"deepseek-v4-may", "deepseek-v4-peak", "deepseek-weekends"}
    now = found(BOOK, "deepseek", model)
    assert {price.source.id for price in now.prices} >= sources
    before = Book(as_of=datetime(2026, 11, 21, tzinfo=UTC)).lookup("deepseek", model)
    assert isinstance(before, Offer)
    assert not {price.source.id for price in before.prices} & sources
    recorded = {price.recorded.date() for price in now.prices if price.source.id in sources and price.recorded}
    assert recorded == {date(2026, 11, 22)}
    after = Book(as_of=datetime(2026, 11, 22, tzinfo=UTC)).lookup("deepseek", model)
    assert isinstance(after, Offer) and {price.source.id for price in after.prices} >= sources


def test_a_corrected_card_as_of_both_days() -> None:
    card = offer("m", "valid_from = 2026-10-01|input = 5", "valid_from = 2026-10-01\nrecorded = 2026-10-20|input = 4")
    assert plain(at(found(book(card), "acme", "m"))) == "4"
    assert plain(at(found(book(card, as_of=datetime(2026, 10, 19, tzinfo=UTC)), "acme", "m"))) == "5"
    assert found(book(card, as_of=datetime(2026, 9, 30, tzinfo=UTC)), "acme", "m").prices == ()


# --- conflicts --------------------------------------------------------------------------------


def test_conflicts_are_kept_and_name_both_sides() -> None:
    cards = (
        offer("m", "valid_from = 2026-09-01|input = 1\noutput = 4"),
        offer("m", "valid_from = 2026-10-01|input = 2\noutput = 4", source="forum"),
    )
    [conflict] = book(*cards).conflicts("acme")
    assert (conflict.offer, conflict.meter, conflict.at) == ("acme/m", "input", datetime(2026, 10, 1, tzinfo=UTC))
    assert (conflict.used, conflict.used_source, conflict.other, conflict.other_source, conflict.other_grade) == (
        "1", "contract", "2", "forum", Grade.ASSUMED,
    )  # fmt: skip
    assert list(book(*cards).conflicts("acme", at=datetime(2026, 9, 15, tzinfo=UTC))) == []  # not stated yet


def test_a_range_that_holds_the_price_is_no_conflict() -> None:
    def conflicts(low: int, high: int) -> int:
        other = offer("m", f"input = {{ low = {low}, high = {high} }}", source="forum")
        return len(list(book(offer("m", "input = 3"), other).conflicts("acme")))

    assert [conflicts(2, 4), conflicts(3, 3), conflicts(4, 5), conflicts(1, 2)] == [0, 0, 1, 1]


def test_the_same_price_in_another_currency_is_no_conflict() -> None:
    euro = offer("m", 'currency = "EUR"\nusd = 1.25|input = 2', source="forum")
    assert list(book(offer("m", "input = 2.5"), euro).conflicts("acme")) == []
    [conflict] = book(offer("m", "input = 2"), euro).conflicts("acme")
    assert (Decimal(conflict.used), Decimal(conflict.other)) == (2, 2)  # as each states it, in its currency


# --- the whole book ---------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["openai", "anthropic", "deepseek", "groq"])
def test_every_offer_is_found_under_its_own_id_with_the_same_prices(provider: str) -> None:
    seen = [one.id for one in BOOK.offers(provider)]
    assert len(seen) == len(set(seen)) > 0
    for one in BOOK.offers(provider):
        assert found(BOOK, provider, one.model).id == one.id
        starts = [price.valid_from for price in one.prices]
        assert len(starts) == len(set(starts))
        dated = [start for start in starts if start is not None]
        assert dated == sorted(dated) and starts[len(starts) - len(dated) :] == dated


def test_after_a_contract_has_ended_the_list_price_counts_again() -> None:
    card = offer("gpt-4o", "valid_from = 2026-01-01\nvalid_to = 2026-07-01|input = 1", provider="openai")
    made = found(book(card), "openai", "gpt-4o")
    assert plain(at(made, "2026-06-30T23:59:59Z")) == "1"
    assert plain(at(made, "2026-07-01")) == plain(at(found(book(), "openai", "gpt-4o"), "2026-07-01")) != "1"


def test_an_offer_for_one_region_counts_there_and_only_there() -> None:
    card = offer("m", "|input = 3") + offer("m", "|input = 3.3", head='region = "europe-west4"')
    made = book(card)
    assert plain(at(found(made, "acme", "m"))) == "3"
    for region, amount in (("europe-west4", "3.3"), ("us-east1", "3"), (None, "3")):
        chosen = made.lookup("acme", "m", region)
        assert isinstance(chosen, Offer)
        assert plain(at(chosen)) == amount, region
    assert [one.region for one in made.offers("acme")] == [None, "europe-west4"]
    only = book(offer("m", "|input = 3.3", head='region = "europe-west4"'))
    assert isinstance(only.lookup("acme", "m", "us-east1"), Unknown)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "aws/regional.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("aws/arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
         "aws/regional.anthropic.claude-3-haiku-20240307-v1:0"),
        ("google/models/gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("google/publishers/google/models/gemini-2.5-flash", "google/gemini-2.5-flash"),
    ],
)  # fmt: skip
def test_long_names_of_clouds(name: str, expected: str) -> None:
    assert Book().find(name).id == expected


def test_a_misspelt_provider_is_told_the_near_one() -> None:
    with pytest.raises(FarthingError, match="did you mean 'anthropic'"):
        Book().find("antropic/claude-opus-4-8")


def test_a_card_for_a_model_counts_for_the_dated_names_that_mean_it() -> None:
    made = book(offer("gpt-5-mini", "|input = 0.20", provider="openai"))
    assert plain(at(found(made, "openai", "gpt-5-mini-2025-08-07"))) == "0.20"

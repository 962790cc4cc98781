"""Writing rate cards: what is written is read back as the same offers, and charges the same."""

from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from farthing.charges.bill import price_records
from farthing.evidence import Grade, Source
from farthing.problems import FarthingError, Problem
from farthing.rates.card import ALL_WEEK, ALWAYS, Modifier, Offer, Price, Rate, When, Window
from farthing.rates.describe import describe, spans
from farthing.rates.feeds import genai
from farthing.rates.select import clashing
from farthing.rates.toml import load_card
from farthing.rates.write import prepare, write_card
from farthing.usage.record import Usage
from tests.charges.cards import logs, offers, windows

DAY = date(2026, 11, 22)
SOURCE = Source(id="list", title="A list", where="a file", seen=None, grade=Grade.ASSUMED)


def as_a_card_may_say(offer: Offer) -> Offer:
    """The random cards have dollars at a rate, which no card states: those are yuan; and factors that clash."""
    prices = [
        msgspec.structs.replace(
            p, currency="USD" if p.usd == 1 else "CNY", modifiers=p.modifiers[: 1 if clashing(p.modifiers) else None]
        )
        for p in offer.prices
    ]
    return msgspec.structs.replace(offer, prices=tuple(prices))


def made(*rates: Rate, model: str = "m", **more: object) -> Offer:
    return Offer(provider="p", model=model, prices=(Price(source=SOURCE, rates=rates),), **more)  # type: ignore[arg-type]


def rate(amount: str = "1", **more: object) -> Rate:
    return Rate(**{"meter": "input", "amount": Decimal(amount), "per": 1_000_000, **more})  # type: ignore[arg-type]


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(offers("m"), logs())
def test_a_random_card_is_read_back_and_charges_the_same(offer: Offer, rows: list[Usage]) -> None:
    offer = as_a_card_may_say(offer)
    kept, left = prepare([offer], DAY)
    (read,) = load_card(write_card(kept)).offers
    assert (read, left) == (kept[0], [])
    before, after = (price_records(rows, lambda usage, one=one: one) for one in (offer, read))
    assert (before.usd, before.usd_by_meter, before.unpriced) == (after.usd, after.usd_by_meter, after.unpriced)


def test_the_whole_catalogue_is_read_back() -> None:
    """Every offer with a price, its pattern, its conditions, its dates; the 179 without one are named."""
    imported = genai.load()
    kept, left = prepare(imported.offers, DAY)
    assert load_card(write_card(kept)).offers == tuple(kept)
    assert len(kept) == imported.expressed and len(left) == imported.priceless
    of = {offer.id: offer for offer in imported.offers}
    for offer in kept:
        original = of[offer.id]
        assert (offer.pattern, offer.channel, offer.title) == (original.pattern, original.channel, original.title)
        for written, stated in zip(offer.prices, original.prices, strict=True):
            assert sorted(written.rates, key=repr) == sorted(stated.rates, key=repr)
            assert written.valid_from == stated.valid_from


def test_every_key_survives() -> None:
    other = Source(id="list", title="Another", where="elsewhere", seen=date(2026, 1, 2), grade=Grade.MEASURED)
    offer = made(
        rate("0.10", source=other, note='"quoted" \\ and\nlined \x7f'),
        rate(when=When(tier="batch", attrs=frozenset({("odd key", "ö")}))),
        mode="chat", region="eu", channel="vertex", aliases=("other",), pattern=r"^m-\d{8}$", title="M",
        context_window=1000, retires=date(2027, 1, 1), note="noted",
    )  # fmt: skip
    factor = Modifier(
        when=When(tier="flex"), factor=Decimal("0.5"), meters=frozenset({"output"}), note="n", source=other
    )
    offer = msgspec.structs.replace(
        offer,
        prices=(msgspec.structs.replace(offer.prices[0], modifiers=(factor,), minimum_usd=Decimal("0.01"), note="n"),),
    )
    (kept,), left = prepare([offer], DAY)
    assert left == []
    text = write_card([kept], ["a heading\nof two lines"], ["at the end"])
    assert text.startswith("# a heading of two lines\n") and text.endswith("# at the end\n")
    (read,) = load_card(text).offers
    assert read == kept
    assert (read.mode, read.region, read.pattern, read.retires) == ("chat", "eu", r"^m-\d{8}$", date(2027, 1, 1))
    assert read.prices[0].recorded == datetime(2026, 11, 22, tzinfo=UTC)
    assert [s.id for s in (read.prices[0].source, read.prices[0].rates[0].source or SOURCE)] == ["list", "list-2"]
    assert read.prices[0].rates[0].note == '"quoted" \\ and\nlined \x7f'


def test_offers_of_one_name_are_written_under_their_other_names() -> None:
    """A feed that states one model twice: the entry that is called so keeps the name."""
    twice = [made(rate("1"), aliases=("vertex_ai/m",)), made(rate("2")), made(rate("3"))]
    kept, left = prepare(twice, DAY)
    assert [(offer.model, offer.prices[0].rates[0].amount) for offer in kept] == [("vertex_ai/m", 1), ("m", 2)]
    assert left == [Problem("p/m", "another offer of that name came before", "keep one of the two")]


def test_an_offer_without_a_price_is_left_out_by_name() -> None:
    assert prepare([made()], DAY) == ([], [Problem("p/m", "no price", "it stays unknown")])
    with pytest.raises(FarthingError, match="no offer with a price"):
        write_card([])


def test_what_the_format_cannot_hold_is_refused() -> None:
    some_day = When(window=Window(minutes=0, dates=frozenset({DAY})))
    kept, _ = prepare([made(rate(), rate("2", when=some_day))], DAY)
    with pytest.raises(FarthingError, match="whole dates only"):
        write_card(kept)


@given(windows())
def test_spans_hold_every_minute_once(window: Window) -> None:
    minutes = 0
    for start, end, days in spans(window.minutes):
        for day in days:
            length = (end - start) % 1440 or 1440
            for minute in range(day * 1440 + start, day * 1440 + start + length):
                assert not minutes >> minute % 10080 & 1
                minutes |= 1 << minute % 10080
    assert minutes == window.minutes


def test_conditions_in_words() -> None:
    load = 'source.s = { title = "T", where = "W", seen = 2026-11-01, grade = "assumed" }\n[[offer]]\nprovider = "p"\n'
    load += 'model = "m"\n[[offer.price]]\nsource = "s"\n[[offer.price.rule]]\nwhen = '

    def words(when: str) -> str:
        return describe(load_card(load + when + "\nrates = { input = 1 }\n").offers[0].prices[0].rates[0].when)

    weekdays = 'days = ["mon", "tue", "wed", "thu", "fri"]'
    night = f'{{ time = {{ from = "16:30", to = "00:30", {weekdays}, decides = "completion" }} }}'
    assert words(night) == "Mon-Fri 16:30-00:30 UTC, decided by completion"
    assert words('{ tier = "batch", context = { over = 200_000 } }') == "tier batch, prompt over 200,000 tokens"
    assert words("{ context = { at_least = 200_000 } }") == "prompt of at least 200,000 tokens"
    assert words('{ context = { up_to = 200, of = "output" } }') == "output up to 200 tokens"
    assert words('{ context = { over = 8, of = "video_second" } }') == "video_second over 8 seconds"
    assert words('{ context = { at_least = 101, under = 600, of = "audio_second" } }') == (
        "audio_second of at least 101 and under 600 seconds"
    )
    assert words('{ regions = ["us-*", "eu-1"], size = "large" }') == "size large, region eu-1 or us-*"
    assert words("{ period = { from = 2026-11-01, to = 2026-12-01 } }") == "from 2026-11-01 until 2026-12-01"
    excepted = '{ time = { days = ["sat", "mon"], not_dates = [2026-10-01] } }'
    assert words(excepted) == "Mon, Sat all day UTC, not on 2026-10-01"
    assert describe(ALWAYS) == "always"
    assert describe(When(window=Window(minutes=ALL_WEEK))) == "daily all day UTC"

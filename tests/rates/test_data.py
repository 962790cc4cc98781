"""The numbers that Farthing carries: that they are what their sources say, and that the documentation tells them."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from genai_prices import data as genai
from genai_prices.types import TieredPrices

from farthing.evidence import Grade
from farthing.rates.card import Offer, Price, Rate
from farthing.rates.rules import providers
from farthing.rates.select import Facts, Resolved, Unknown, index, price_at
from farthing.rates.toml import load_card, packaged_cards
from farthing.units import METERS

ROOT = Path(__file__).resolve().parents[2]
SEEDS = ROOT / "../shared/seeds"
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def offer(card: str, provider: str, model: str) -> Offer:
    (found,) = [o for o in packaged_cards()[card].offers if (o.provider, o.model) == (provider, model)]
    return found


def prices(prefix: str) -> Iterator[tuple[Offer, Price]]:
    for name, card in packaged_cards().items():
        if name.startswith(prefix):
            yield from ((o, p) for o in card.offers for p in o.prices)


# --- the documentation ------------------------------------------------------------------------

BLOCKS = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/rate-cards.md").read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: str(re.findall(r'model = "(.*?)"', block)[0]))
def test_every_example_of_the_documentation_is_a_card(block: str) -> None:
    assert load_card(block, "docs/rate-cards.md").offers


def documented(model: str) -> Offer:
    (found,) = [
        o
        for block in BLOCKS
        for o in load_card(block).offers
        if o.model == model and o.channel in ("direct", "bedrock")
    ]
    return found


def charge(found: Offer, meter: str, at: datetime = NOW, **facts: Any) -> Decimal:
    """What the published unit of `meter` costs: amount x factor."""
    record = price_at(found, at)
    assert isinstance(record, Price)
    got = index(record).resolve(meter, Facts(at=at, completed=facts.pop("completed", at), **facts))
    assert isinstance(got, Resolved), got
    assert got.rate.amount is not None
    return got.rate.amount * got.factor_usd.numerator / got.factor_usd.denominator


def test_the_examples_cost_what_the_text_says() -> None:
    def prompt(tokens: int) -> dict[str, int]:
        return {"prompt": tokens}

    assert charge(documented("strict"), "input", measures=prompt(272_000)) == Decimal("2.50")
    assert charge(documented("strict"), "input", measures=prompt(272_001)) == Decimal("5.00")
    assert charge(documented("inclusive"), "input", measures=prompt(200_000)) == Decimal("2.00")
    tiered = documented("tiered")
    assert charge(tiered, "cache_read", tier="batch") == Decimal("0.20")
    assert charge(tiered, "output", tier="batch") == 4
    assert charge(tiered, "cache_read", tier="flex") == Decimal("0.10")
    assert charge(tiered, "output", tier="priority") == 14
    assert charge(documented("regional"), "input", region="eu-west-1") == Decimal("3.30")
    assert charge(documented("regional"), "input", region="us-gov-east-1") == Decimal("3.60")
    product = documented("product")
    assert charge(product, "input", tier="batch", measures=prompt(200_001)) == 1  # 2.00 x 0.5
    assert charge(product, "cache_write_1h", tier="batch", measures=prompt(200_001)) == Decimal("2.40")
    assert charge(product, "cache_write_5m", tier="batch", measures=prompt(200_001)) == Decimal("1.25")
    night = datetime(2026, 11, 22, 16, 0, tzinfo=UTC)
    assert charge(documented("night-rate"), "input", night) == Decimal("0.27")
    assert charge(documented("night-rate"), "input", night, completed=night + timedelta(hours=1)) == Decimal("0.135")
    assert charge(documented("on-sale"), "input", datetime(2026, 11, 30, tzinfo=UTC)) == Decimal("2.25")
    assert charge(documented("on-sale"), "input", datetime(2026, 12, 1, tzinfo=UTC)) == 3
    hd = frozenset({("size", "1024x1024"), ("quality", "hd")})
    assert charge(documented("painter"), "image", attrs=hd) == Decimal("0.080")
    assert charge(documented("dated"), "output", datetime(2026, 7, 1, tzinfo=UTC)) == 8


def test_the_documentation_names_every_meter() -> None:
    text = (ROOT / "docs/rate-cards.md").read_text("utf-8")
    section = text[text.index("## Meters") : text.index("### Cache writes")]
    assert set(re.findall(r"`(\w+)`", section)) == set(METERS)
    for scale, names in re.findall(r"^\| ([\d,]+)[^|]* \| (.*) \|$", section, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", names):
            assert METERS[name].per == int(scale.replace(",", "")), name


# --- the seed documents -----------------------------------------------------------------------

SEED_CARDS = {
    "000": "seed-ainews-price-index",
    "001": "seed-glossary-inference-cost",
    "002": "seed-accel4-economics-2026",
    "003": "seed-note-inference-economics",
}

# Figures with a dollar sign that are not prices of anything that is sold by a meter.
NOT_PRICES = {
    "000": "12.5 100 1.3 4.2 18.5 2.8 12.1 1.5 8.3 0.9 7.2 5.4 "  # investments and market sizes
    "1.00 0.10",  # a threshold and a prediction
    "001": "0.20 0.01 1",  # self-hosting, a prediction, "under $1"
    "002": "0.076 0.114 0.061 0.091 0.34 0.46 0.68 0.95 1.14 1.43 1.71 0.128 0.197 "  # amortisation
    "0.12 0.069 0.036 0.084 "  # electricity (no meter counts energy)
    "0.14 0.03 0.05 0.50 0.24 0.36 0.01 0.30 "  # computed costs per token, bands and projections
    "1793 300 3000 15000 1500 897 900 142 600 14400 20 5",  # monthly sums; eight GPUs, rounded
    "003": "0.003 3.08 0.01 0.30 3 5 9 17 300 "  # computed costs
    "625 2679 83",  # credits of a plan
    "004": "",
}


def amounts(card: str) -> set[Decimal]:
    """Every amount of a card, as stated and per million where it is stated per thousand."""
    found = set()
    for _, price in prices(card):
        for rate in price.rates:
            found |= {x for x in (rate.amount, rate.low, rate.high) if x is not None}
            if rate.amount is not None and rate.per == 1000:
                found.add(rate.amount * 1000)
    return found


@pytest.mark.skipif(not SEEDS.is_dir(), reason="the seed documents are not beside the project")
@pytest.mark.parametrize("seed", sorted(NOT_PRICES))
def test_every_price_of_a_seed_is_recorded_and_every_record_is_in_it(seed: str) -> None:
    (path,) = SEEDS.glob(f"{seed}_*.txt")
    text = path.read_text("utf-8")
    # Tables are run together in the text: "$2,00032GB" is $2,000 beside 32 GB, "$30.002x" is $30.00 beside 2x.
    figures = re.findall(r"\$\s?(\d{1,3}(?:,\d{3})+|\d+\.\d\d(?=\d+(?:GB|x))|\d+(?:\.\d+)?)", text)
    stated = {Decimal(figure.replace(",", "")) for figure in figures}
    recorded = amounts(SEED_CARDS[seed]) if seed in SEED_CARDS else set()
    explained = {Decimal(figure) for figure in NOT_PRICES[seed].split()}
    assert stated - recorded - explained == set()
    ranges = {Decimal(x.replace(",", "")) for x in re.findall(r"[–/]\s?\$?(\d[\d,]*(?:\.\d\d)?)", text)}
    assert recorded - stated - ranges == set()


def test_seeds_are_dated_sourced_and_assumed() -> None:
    seen = 0
    for found, price in prices("seed-"):
        seen += 1
        assert price.source.grade is Grade.ASSUMED, found.id
        assert price.valid_from is not None, found.id
        assert price.recorded is not None and price.recorded > price.valid_from
    assert seen >= 60


def test_the_history_of_gpt_4_class_output() -> None:
    """The table of the economics document: 60 (Mar 2023), 30, 15, 0.60, 0.90 (Jan 2025)."""
    card = "seed-accel4-economics-2026"
    steps = [
        ("openai", "gpt-4", (2023, 3), "60.00"),
        ("openai", "gpt-4-turbo", (2023, 11), "30.00"),
        ("openai", "gpt-4o", (2024, 5), "15.00"),
        ("openai", "gpt-4o-mini", (2024, 7), "0.60"),
        ("deepseek", "deepseek-chat", (2025, 1), "0.90"),
    ]
    for provider, model, (year, month), amount in steps:
        first = offer(card, provider, model).prices[0]
        assert first.valid_from == datetime(year, month, 1, tzinfo=UTC)
        assert first.rates == (Rate(meter="output", amount=Decimal(amount), per=1_000_000),)


def test_ranges_estimates_and_tiers_of_seeds() -> None:
    card = "seed-accel4-economics-2026"
    (rate,) = offer(card, "vast-ai", "a100-80gb").prices[0].rates
    assert (rate.amount, rate.low, rate.high) == (None, Decimal("0.80"), Decimal("1.20"))
    assert charge(offer(card, "runpod", "h100-sxm"), "gpu_hour") == Decimal("3.29")
    assert charge(offer(card, "runpod", "h100-sxm"), "gpu_hour", tier="spot") == Decimal("2.49")
    aws = offer(card, "aws", "p5-h100").prices[0].rates[0]
    assert aws.per_count == Decimal("32.77") / 8 / METERS["gpu_hour"].scale
    grok = offer("seed-ainews-price-index", "x-ai", "grok-1").prices[0].rates[0]
    assert grok.note == "(est.)"


def base(value: Any) -> Any:
    return value.base if isinstance(value, TieredPrices) else value


def against_genai() -> tuple[set[str], set[str]]:
    """The seed offers that differ from genai-prices at their date, and those of token prices that it lacks."""
    differ, absent = set(), set()
    for found, price in prices("seed-"):
        assert price.valid_from is not None
        models = [
            m for p in genai.providers if p.id == found.provider for m in p.models
            if m.id == found.model or any(m.match.is_match(name) for name in (found.model, *found.aliases))
        ]  # fmt: skip
        for rate in price.rates:
            if rate.meter not in ("input", "output"):
                continue
            if not models:
                absent.add(found.id)
                continue
            book = getattr(models[0].get_prices(price.valid_from), f"{rate.meter}_mtok")
            if rate.amount is None or rate.amount * 1_000_000 / rate.per != base(book):
                differ.add(found.id)
    return differ, absent


def test_the_disagreements_with_the_book_are_those_that_the_documentation_lists() -> None:
    text = (ROOT / "docs/seeds.md").read_text("utf-8")
    rows = set(re.findall(r"^\| ([\w.-]+/\S+) \|", text, re.MULTILINE))
    differ, absent = against_genai()
    assert differ <= rows
    assert rows - differ <= absent
    listed = text[text.index("Not in genai-prices") : text.index("## Against each other")]
    assert absent - rows == set(re.findall(r"[\w-]+/[\w./-]*\w", listed))


# --- first parties ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "amount"),
    [
        ("2026-08-17T02:00", "1.32"),  # a Monday, peak
        ("2026-08-17T04:00", "0.66"),  # half-open
        ("2026-08-22T02:00", "1.32"),  # a Saturday, before weekends were exempt
        ("2026-08-23T02:00", "0.66"),  # a Sunday, after
        ("2026-08-24T09:59", "1.32"),
        ("2026-10-01T02:00", "0.66"),  # a national holiday
        ("2026-10-08T02:00", "1.32"),  # the day after the holidays
    ],
)
def test_deepseek_bills_peaks_by_weekday_and_holiday(at: str, amount: str) -> None:
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    assert charge(offer("first-party", "deepseek", "deepseek-v4-pro"), "input", moment) == Decimal(amount)


def test_the_name_deepseek_chat_through_its_models() -> None:
    chat = offer("first-party", "deepseek", "deepseek-chat")
    steps = [("2025-06-01", "0.27"), ("2025-09-10", "0.56"), ("2025-12-01", "0.28"), ("2026-05-01", "0.14")]
    for day, amount in steps:
        assert charge(chat, "input", datetime.fromisoformat(f"{day}T06:00:00Z")) == Decimal(amount)
    assert charge(chat, "cache_read", datetime(2026, 4, 26, 12, 14, tzinfo=UTC)) == Decimal("0.028")
    assert charge(chat, "cache_read", datetime(2026, 4, 26, 12, 15, tzinfo=UTC)) == Decimal("0.0028")
    withdrawn = price_at(chat, datetime(2026, 7, 24, 15, 59, tzinfo=UTC))
    assert isinstance(withdrawn, Unknown) and withdrawn.reason.startswith("withdrawn on 2026-07-24")
    early = price_at(chat, datetime(2025, 2, 8, 15, 59, tzinfo=UTC))
    assert isinstance(early, Unknown)  # the introductory price is not recorded: unknown, not the later price


def test_deepseek_decides_by_completion() -> None:
    chat = offer("first-party", "deepseek", "deepseek-chat")
    start = datetime(2025, 3, 1, 16, 29, tzinfo=UTC)
    assert charge(chat, "output", start) == Decimal("1.10")
    assert charge(chat, "output", start, completed=start + timedelta(minutes=1)) == Decimal("0.55")
    assert providers()["deepseek"].time_decides == "completion"
    cut = datetime(2025, 9, 5, 16, tzinfo=UTC)
    assert charge(chat, "output", cut - timedelta(hours=1)) == Decimal("1.10")
    assert charge(chat, "output", cut) == Decimal("1.68")

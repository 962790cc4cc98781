"""What the gateway takes a request to cost: no more than reserved, by what was served, unknown where nobody knows."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from farthing.charges.reference import price_usage
from farthing.gateway.config.values import Rules
from farthing.gateway.metering import Asked, Served, Surface, read_request
from farthing.gateway.spending.amount_text import nano_text, usd_text
from farthing.gateway.spending.costs import Costs, Seller, is_version_of
from farthing.gateway.spending.output_limits import output_limit, output_limits, read_output_limits
from farthing.gateway.spending.worst import LEAST_CAP, Ceilings, Worst
from farthing.ledger.budgets import nano_up
from farthing.money import decimal_text
from farthing.problems import FarthingError
from farthing.rates.book import Book
from farthing.rates.card import ALWAYS, Band, Modifier, Offer, Price, Rate, When, Window
from farthing.rates.select import Unknown
from farthing.rates.toml import Card
from farthing.time import microseconds
from farthing.units import METERS, MICRO, PROMPT_METERS
from farthing.usage.record import Usage
from tests.charges.cards import SOURCE, instants, offers

RULES = Rules()
NOW = 1_795_000_000_000_000  # November 2026


def rate(meter: str, amount: str, when: When = ALWAYS) -> Rate:
    return Rate(meter=meter, amount=Decimal(amount), per=METERS[meter].per, when=when)


def offer(*rates: Rate, window: int | None = None, model: str = "m", **more: object) -> Offer:
    price = Price(source=SOURCE, rates=rates, **more)  # type: ignore[arg-type]
    return Offer(provider="p", model=model, prices=(price,), context_window=window)


def costs(*made: Offer) -> Costs:
    return Costs(Book([Card(offers=made, sources={SOURCE.id: SOURCE})]))


@pytest.fixture(scope="module")
def real() -> Costs:
    return Costs(Book())


# --- the charge of an answer ------------------------------------------------------------------


TWO = (offer(rate("input", "2"), rate("output", "10")), offer(rate("input", "20"), rate("output", "100"), model="big"))


def test_what_was_served_decides_the_price() -> None:
    counts = {"input": 100, "output": 10}
    found = costs(*TWO).price(
        Served(quantities=counts, model="big"), provider="p", model_asked="m", started_us=NOW, ended_us=NOW
    )
    assert found.usd == Fraction(100 * 20 + 10 * 100, MICRO)  # not 300 millionths, as asked
    assert found.offer is not None and found.offer.model == "big"
    assert found.price is found.offer.prices[0]


@pytest.mark.parametrize(
    ("served", "usd", "estimated", "unknown"),
    [
        (Served(unknown="the provider stated no usage"), None, False, "the provider stated no usage"),
        (Served(quantities={"input": 1}, unknown="no usage", estimated=True), Fraction(2, MICRO), True, ""),
        (Served(quantities={"input": 1}, unknown="steps are billed apart"), None, False, "steps are billed apart"),
        (Served(error="rate_limit_error"), Fraction(0), False, ""),
        (Served(quantities={"input": 1, "page": 1}), None, False, "no price stated for page"),
        (Served(quantities={"input": 1}, tier="scale"), None, False, "no price stated for service tier 'scale'"),
        (Served(quantities={"input": 1}, tier="default"), Fraction(2, MICRO), False, ""),
    ],
)
def test_unknown_is_never_zero_and_nothing_consumed_is(
    served: Served, usd: Fraction | None, estimated: bool, unknown: str
) -> None:
    found = costs(*TWO).price(served, provider="p", model_asked="m", started_us=NOW, ended_us=NOW)
    assert (found.usd, found.estimated, found.unknown) == (usd, estimated, unknown)


@settings(deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))
@given(offers("m"), instants, st.dictionaries(st.sampled_from(["input", "output", "page"]), st.integers(0, 10**9)))
def test_an_amount_is_the_same_exact_in_text_and_rounded_up(of: Offer, at: datetime, counts: dict[str, int]) -> None:
    by = costs(msgspec.structs.replace(of, provider="p"))
    for _ in range(2):  # learned, and remembered
        found = by.price(
            Served(quantities=counts), provider="p", model_asked="m", started_us=microseconds(at),
            ended_us=microseconds(at),
        )  # fmt: skip
        usd = found.usd
        event("unknown" if usd is None else "priced")
        assert found.text == (None if usd is None else str(usd))
        assert found.nano == (None if usd is None else nano_up(usd))
        assert (found.unknown == "") == (usd is not None)


def test_what_answers_may_name_is_remembered_within_bounds() -> None:
    seller = Seller(costs(*TWO), "p", "m", "", None)
    for n in range(300):
        served = Served(quantities={"input": 1}, model=f"m-2026-01-{n % 31:02}", tier=f"t{n}")
        assert seller.price(served, "", NOW, NOW).usd is None  # no such tier
        assert seller.price(Served(quantities={"input": n + 1}), "", NOW, NOW).usd == Fraction(2 * (n + 1), MICRO)
        seller.price(
            Served(quantities={"input": 1}, model=f"m-2026-{n // 28 % 12 + 1:02}-{n % 28 + 1:02}"), "", NOW, NOW
        )
    assert len(seller._terms) <= 64 and seller.remembered <= 64


ALL = offer(rate("input", "2"), rate("output", "10"), rate("cache_read", "0.2"), rate("page", "5"))


@st.composite
def answers(draw: st.DrawFn) -> Served:
    counts = draw(st.dictionaries(st.sampled_from(["input", "output", "cache_read", "page"]), st.integers(0, 10**9)))
    return Served(
        quantities=counts, model=draw(st.sampled_from("mx")),
        tier=draw(st.sampled_from(["", "default", "batch", "flex"])), region=draw(st.sampled_from(["", "", "us"])),
        unknown=draw(st.sampled_from(["", "", "", "nobody knows"])), estimated=draw(st.booleans()),
    )  # fmt: skip


@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(st.just(ALL) | offers("m", linear=True), st.lists(st.tuples(answers(), instants), min_size=1, max_size=5))
def test_what_is_remembered_of_answers_prices_the_next_as_if_it_were_the_first(
    of: Offer, served: list[tuple[Served, datetime]]
) -> None:
    by = costs(msgspec.structs.replace(of, provider="p"))
    seller = Seller(by, "p", "m", "", None)
    for one, at in served:
        now = microseconds(at)
        plain = {name: count or 1 for name, count in one.quantities.items()}
        for counts, unknown in ((plain, ""), (plain, ""), (one.quantities, ""), (one.quantities, one.unknown)):
            answer = msgspec.structs.replace(one, quantities=counts, unknown=unknown)
            found = seller.price(answer, "", now, now)
            first = Seller(by, "p", "m", "", None).price(answer, "", now, now)
            assert found.amounts() == first.amounts()
            assert (found.unknown, found.estimated, found.price) == (first.unknown, first.estimated, first.price)
            assert (found.offer, found.note) == (first.offer, first.note)
    event("remembered" if seller.remembered else "not")


def test_a_price_that_changes_is_remembered_for_its_time() -> None:
    start, day = datetime(2026, 3, 2, tzinfo=UTC), timedelta(days=1)
    prices = tuple(
        Price(source=SOURCE, rates=(rate("input", f"{n + 1}"),), valid_from=start + n * day) for n in range(3)
    )
    seller = Seller(costs(Offer(provider="p", model="m", prices=prices)), "p", "m", "", None)
    for _ in range(3):
        for n in (0, 1, 2, 1, 0):  # from the first to the last microsecond of each day
            for at in (microseconds(start + n * day), microseconds(start + (n + 1) * day) - 1):
                assert seller.price(Served(quantities={"input": 7}), "", at, at).usd == Fraction(7 * (n + 1), MICRO)


def test_amounts_in_headers() -> None:
    assert usd_text(3, 500_000) == b"0.000006"
    assert usd_text(0, 7) == b"0"
    assert usd_text(1200, 1) == b"1200"
    assert usd_text(5, 2) == usd_text(500, 200) == b"2.5"
    assert usd_text(1, 3600) == b"0.0002777777777777777777777777778"  # 28 digits
    assert usd_text(10**40 + 1, 10**20) == b"1" + b"0" * 20 + b"." + b"0" * 19 + b"1"  # all of them: it ends
    assert nano_text(0) == b"0"
    assert nano_text(100_000_000_000) == b"100"
    assert nano_text(1_000_000_001) == b"1.000000001"


@given(st.integers(0, 10**20), st.integers(1, 10**9) | st.integers(0, 20).map(lambda places: 10**places))
def test_amounts_in_headers_are_those_of_the_money(top: int, bottom: int) -> None:
    assert usd_text(top, bottom) == decimal_text(Fraction(top, bottom)).encode()


def test_a_price_of_zero_is_a_price() -> None:
    free = costs(offer(rate("input", "0"), rate("output", "0")))
    found = free.price(Served(quantities={"input": 9}), provider="p", model_asked="m", started_us=NOW, ended_us=NOW)
    assert found.usd == 0 and found.price is not None


@pytest.mark.parametrize(
    ("served", "asked", "is_one"),
    [
        ("gpt-4o-2024-11-20", "gpt-4o", True), ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5", True),
        ("gpt-4-0613", "gpt-4", True), ("mistral-large-2411", "mistral-large-latest", True),
        ("gemini-1.5-pro-002", "gemini-1.5-pro", True), ("GPT-4o", "gpt-4o", True),
        ("anthropic.claude-sonnet-4-20250514-v1:0", "anthropic.claude-sonnet-4", True),
        ("gpt-4o-mini", "gpt-4o", False), ("gpt-4.1", "gpt-4", False),
        ("gpt-4o-2024-08-06", "gpt-4o-2024-05-13", False), ("gpt-4o", "gpt-4o-2024-05-13", False),
        ("llama-3-70b", "llama-3", False), ("o3-pro", "o3", False),
        ("x", "", False), ("", "x", False), ("x", "-latest", False), ("gpt-4o-20240806x", "gpt-4o", False),
    ],
)  # fmt: skip
def test_a_version_of_a_name(served: str, asked: str, is_one: bool) -> None:
    assert is_version_of(served, asked) is is_one


def test_a_served_name_without_a_price_has_the_asked_ones_only_as_its_version() -> None:
    of, counts = costs(*TWO), {"input": 100}

    def ask(served: str, asked: str = "m") -> tuple[Fraction | None, str, str]:
        found = of.price(
            Served(quantities=counts, model=served), provider="p", model_asked=asked, started_us=NOW, ended_us=NOW
        )
        return found.usd, found.unknown, found.note

    assert ask("m") == (Fraction(200, MICRO), "", "")
    assert ask("m-2026-01-31") == (Fraction(200, MICRO), "", "m-2026-01-31 is priced as m, of which it is a version")
    assert ask("") == (Fraction(200, MICRO), "", "the answer names no model: priced as the one asked for")
    usd, unknown, _ = ask("m-turbo")
    assert usd is None and "p/m-turbo" in unknown and "asked for: m" in unknown
    assert ask("other", "nobody")[0] is None


def test_a_configured_offer_goes_before_the_name_that_was_served() -> None:
    of = costs(*TWO)
    found = of.price(
        Served(quantities={"input": 1}, model="qwen.gguf"), provider="p", model_asked="local", started_us=NOW,
        ended_us=NOW, offer=TWO[1],
    )  # fmt: skip
    assert found.usd == Fraction(20, MICRO) and found.offer is TWO[1]
    unpriced = of.price(
        Served(quantities={"input": 1}, model="m"), provider="p", model_asked="m", started_us=NOW, ended_us=NOW,
        offer=Unknown("the configured offer has no price"),
    )  # fmt: skip
    assert unpriced.usd is None and unpriced.unknown == "the configured offer has no price"


def test_tier_and_region_are_those_served_else_those_asked() -> None:
    half = Modifier(when=When(tier="flex"), factor=Decimal("0.5"))
    uplift = Modifier(when=When(regions=frozenset({"us"})), factor=Decimal("1.1"))
    of = costs(offer(rate("input", "10"), rate("output", "1"), modifiers=(half, uplift)))

    def ask(served: Served, tier: str, region: str) -> Fraction | None:
        return of.price(
            served, provider="p", model_asked="m", started_us=NOW, ended_us=NOW, tier_asked=tier, region=region
        ).usd

    counts = {"input": MICRO}
    assert ask(Served(quantities=counts), "flex", "us") == Fraction(55, 10)  # 10 x 0.5 x 1.1
    assert ask(Served(quantities=counts, tier="default"), "flex", "us") == 11
    assert ask(Served(quantities=counts, region="global"), "", "us") == 10


def test_the_real_book_prices_real_answers(real: Costs) -> None:
    found = real.price(
        Served(quantities={"input": 1000, "cache_read": 500, "output": 100}, model="gpt-4o-2024-11-20"),
        provider="openai", model_asked="gpt-4o", started_us=NOW, ended_us=NOW + 10**6,
    )  # fmt: skip
    # gpt-4o: 2.50 in, 1.25 cached, 10 out per million: 0.0025 + 0.000625 + 0.001
    assert found.usd == Fraction(4125, MICRO)
    assert real.price(
        Served(quantities={"input": 1}, model="gpt-99"), provider="openai", model_asked="gpt-99", started_us=NOW,
        ended_us=NOW,
    ).usd is None  # fmt: skip


def test_offers_by_name_and_preloading(real: Costs) -> None:
    assert isinstance(real.offer("OpenAI", "gpt-4o"), Offer)
    assert isinstance(real.offer("nobody", "gpt-4o"), Unknown)
    assert isinstance(real.named("openai/gpt-4o"), Offer)
    assert isinstance(real.named("openai/gpt-4o-nonsense"), Unknown)
    missing = real.preload([("openai", "gpt-4o"), ("openai", "*"), ("nobody", "*"), ("openai", "no-such")])
    assert missing == ["openai/no-such: no offer openai/no-such in the price book"]


# --- the most that a request can cost ---------------------------------------------------------


def ask(prompt: int | None = 1000, output: int | None = 500, **more: object) -> Asked:
    return Asked(model="m", prompt_tokens_bound=prompt, max_output_tokens=output, **more)  # type: ignore[arg-type]


def worst(of: Offer, asked: Asked, rules: Rules = RULES, **more: object) -> Worst:
    return Ceilings(of).worst(asked, rules, started_us=NOW, **more)  # type: ignore[arg-type]


PLAIN = offer(rate("input", "2"), rate("output", "10"))
CACHED = offer(rate("input", "2"), rate("cache_read", "0.2"), rate("cache_write", "2.5"), rate("cache_write_1h", "4"),
               rate("output", "10"))  # fmt: skip


def test_the_bound_is_the_dearest_way_to_read_and_the_longest_answer() -> None:
    # 1,000 x 2 + 500 x 10 = 7,000 millionths of a dollar = 7,000,000 nanodollars
    assert worst(PLAIN, ask()) == Worst(7_000_000)
    # all of the prompt written to the cache for an hour: 1,000 x 4
    assert worst(CACHED, ask()) == Worst(9_000_000)
    assert worst(PLAIN, ask(choices=3)) == Worst(1000 * 2000 + 3 * 500 * 10_000)
    assert worst(PLAIN, ask()).usd == Fraction(7, 1000)


def test_it_is_rounded_up_to_the_next_nanodollar() -> None:
    assert worst(offer(rate("input", "0.0001"), rate("output", "0")), ask(1, 0)) == Worst(1)
    assert nano_up(Fraction(1, 3)) == 333_333_334
    assert nano_up(Fraction(1, 10**9)) == 1
    assert nano_up(Fraction(0)) == 0


def test_the_dearest_context_tier_that_the_prompt_may_reach() -> None:
    banded = offer(
        rate("input", "2"), rate("input", "4", When(bands=(Band(low=1001),))), rate("output", "10"),
        rate("output", "1", When(bands=(Band(low=2001),))),
    )  # fmt: skip
    assert worst(banded, ask(1000)) == Worst(1000 * 2000 + 500 * 10_000)
    assert worst(banded, ask(1001)) == Worst(1001 * 4000 + 500 * 10_000)
    assert worst(banded, ask(5000)) == Worst(5000 * 4000 + 500 * 10_000)  # a shorter one would pay more for output


def test_tiers_that_may_serve_it() -> None:
    tiered = offer(
        rate("input", "2"), rate("output", "10"), rate("input", "4", When(tier="priority")),
        rate("output", "20", When(tier="priority")), rate("output", "1", When(tier="flex")),
    )  # fmt: skip
    assert worst(tiered, ask(tier="default")) == Worst(7_000_000)
    assert worst(tiered, ask(tier="standard_only")) == Worst(7_000_000)
    assert worst(tiered, ask(tier="flex")) == Worst(7_000_000)  # it may be served as standard
    assert worst(tiered, ask(tier="priority")) == Worst(14_000_000)
    assert worst(tiered, ask(tier="auto")) == worst(tiered, ask()) == Worst(14_000_000)
    assert worst(PLAIN, ask(tier="auto")) == Worst(7_000_000)
    assert worst(PLAIN, ask(tier="scale")).why == "no price stated for service tier 'scale'"


def test_regions_and_windows_that_may_hold() -> None:
    uplift = Modifier(when=When(regions=frozenset({"eu-*"})), factor=Decimal("1.1"))
    assert worst(offer(rate("input", "2"), rate("output", "10"), modifiers=(uplift,)), ask()) == Worst(7_700_000)
    cheap_here = rate("output", "1", When(regions=frozenset({"eu-west"})))  # and dearer where it may go instead
    assert worst(offer(rate("input", "2"), rate("output", "10"), cheap_here), ask(), region="eu-west") == Worst(
        7_000_000
    )
    minute = (NOW // 60_000_000 + 3 * 1440 + 14) % 10080  # begins in 14 minutes: a long answer may end in it
    night = When(window=Window(minutes=1 << minute, decides="completion"))
    assert worst(offer(rate("input", "2"), rate("output", "10"), rate("output", "30", night)), ask()) == Worst(
        17_000_000
    )
    gone = When(window=Window(minutes=1 << (minute + 3) % 10080, decides="completion"))
    assert worst(offer(rate("input", "2"), rate("output", "10"), rate("output", "30", gone)), ask()) == Worst(7_000_000)


def test_modalities_count_where_they_are_asked_for() -> None:
    heard = offer(rate("input", "2"), rate("input_audio", "40"), rate("output", "10"), rate("output_audio", "80"))
    assert worst(heard, ask()) == Worst(1000 * 2000 + 500 * 80_000)  # nothing in the request says what is spoken
    assert worst(heard, ask(audio=1)) == Worst(1000 * 40_000 + 500 * 80_000)
    seen = offer(rate("input", "2"), rate("input_image", "8"), rate("output", "10"))
    assert worst(seen, ask()) == Worst(7_000_000)
    assert worst(seen, ask(images=2)) == Worst(13_000_000)


def test_a_request_of_its_own_price_and_a_minimum() -> None:
    each = offer(rate("input", "2"), rate("output", "10"), rate("requests", "5"))
    assert worst(each, ask()) == Worst(12_000_000)  # 5 / 1,000 requests = 5,000,000 nanodollars more
    least = offer(rate("input", "2"), rate("output", "10"), minimum_usd=Decimal("0.5"))
    found = worst(least, ask())
    assert found.nano is not None and found.nano >= 500_000_000


def test_without_a_price_there_is_no_bound() -> None:
    assert worst(offer(rate("input", "2")), ask()) == Worst(None, None, "no price stated for output")
    assert worst(offer(rate("input", "2")), ask(output=0)) == Worst(2_000_000)  # an embedding
    assert Costs(Book()).worst(ask(), Unknown("no offer"), RULES, started_us=NOW) == Worst(None, None, "no offer")


def test_an_unstated_answer_is_capped_at_an_eighth_of_what_is_left() -> None:
    def cap(remaining: int | None, asked: Asked | None = None, of: Offer = PLAIN) -> int | None:
        return worst(of, asked or ask(output=None), remaining=remaining).cap_output

    # an eighth of 1 dollar at 10 dollars a million tokens buys 12,500
    assert cap(10**9) == 12_500
    assert cap(10**9, ask(output=None, choices=2)) == 6_250
    assert cap(10**12) == 16_384
    assert cap(10**6) == cap(0) == cap(-5) == LEAST_CAP
    assert cap(None) is None  # no hard budget: nothing is written into the request
    assert cap(10**9, ask(output=100_000)) is None  # it states one itself
    assert cap(10**9, None, offer(rate("input", "2"), rate("output", "0"))) is None  # an answer costs nothing
    assert worst(PLAIN, ask(output=None), remaining=10**9) == Worst(1000 * 2000 + 12_500 * 10_000, 12_500)
    assert worst(PLAIN, ask(output=None)) == Worst(1000 * 2000 + 16_384 * 10_000)
    # A hard budget of which nobody has asked yet what is left of it: the bound must hold all the same.
    assert worst(PLAIN, ask(output=None), hard=True) == Worst(1000 * 2000 + 16_384 * 10_000, 16_384)
    assert worst(PLAIN, ask(), hard=True) == Worst(7_000_000)
    assert worst(PLAIN, ask(output=None), Rules(unstated_max_output_tokens=2000), remaining=10**12).cap_output == 2000


def test_no_cap_that_the_model_would_refuse(real: Costs) -> None:
    def cap(provider: str, model: str) -> int | None:
        found = real.offer(provider, model)
        return real.worst(ask(10, None), found, RULES, started_us=NOW, remaining=10**12).cap_output

    assert cap("openai", "gpt-4-turbo") == 4096
    assert cap("openai", "gpt-4o") == 16_384
    small = offer(rate("input", "2"), rate("output", "10"), window=8192)
    assert worst(small, ask(1000, None), remaining=10**12).cap_output == 7192
    assert worst(small, ask(8000, None), remaining=10**12).cap_output == 2048


def test_output_limits_are_read_with_line_and_repair() -> None:
    assert output_limit("openai", "GPT-3.5-turbo-0125") == 4096
    assert output_limit("groq", "gpt-3.5-turbo") is None
    assert output_limits()
    with pytest.raises(FarthingError, match=r"x\.toml:1: 'tokens' is missing"):
        read_output_limits("[[limit]]\n", "x.toml")


UNBOUNDED = ask(
    None, prompt_tokens_estimate=700, prompt_size_from="no bound: documents cannot be counted from the request's bytes"
)


def test_a_prompt_without_a_bound() -> None:
    wide = offer(rate("input", "2"), rate("output", "10"), window=200_000)
    assert worst(wide, UNBOUNDED) == Worst(200_000 * 2000 + 500 * 10_000)
    refused = worst(PLAIN, UNBOUNDED)
    assert refused.nano is None and refused.why.startswith("no bound: documents")
    assert worst(PLAIN, UNBOUNDED, Rules(on_unbounded_prompt="estimate")) == Worst(700 * 2000 + 500 * 10_000)


def test_the_context_is_no_bound_for_what_built_in_tools_read() -> None:
    wide = offer(rate("input", "2"), rate("output", "10"), window=200_000)
    body = b'{"model":"m","input":"x","max_output_tokens":500,"tools":[{"type":"web_search"}]}'
    asked = read_request(Surface.RESPONSES, body)
    assert asked.prompt_tokens_bound is None
    assert worst(wide, asked).nano is None
    assert worst(wide, asked, Rules(on_unbounded_prompt="estimate")).nano == 200_000 * 2000 + 500 * 10_000


TOKENS_IN = [name for name in PROMPT_METERS if METERS[name].modality in ("text", "audio")]


@st.composite
def served_within(draw: st.DrawFn, asked: Asked) -> dict[str, int]:
    """Counts that an answer to `asked` may have."""
    counts: dict[str, int] = {}
    left = draw(st.integers(0, asked.prompt_tokens_bound or 0))
    for name in draw(st.lists(st.sampled_from(TOKENS_IN), unique=True, max_size=4)):
        if METERS[name].modality == "text" or asked.audio:
            counts[name] = draw(st.integers(0, left))
            left -= counts[name]
    counts["input"] = counts.get("input", 0) + left
    made = draw(st.integers(0, (asked.max_output_tokens or 0) * asked.choices))
    counts["output"] = made
    counts["reasoning"] = draw(st.sampled_from([0, made, made // 2]))
    return {name: count for name, count in counts.items() if count}


def with_plain(of: Offer) -> Offer:
    """`of` with a price of input and output in every record: without them there is no bound to test."""

    def whole(price: Price) -> Price:
        stated = {one.meter for one in price.rates}
        missing = [rate(name, "3") for name in ("input", "output") if name not in stated]
        return msgspec.structs.replace(price, rates=(*price.rates, *missing))

    return msgspec.structs.replace(of, prices=tuple(map(whole, of.prices)))


@pytest.mark.slow
@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(st.data(), offers("m").map(with_plain), instants)
def test_no_answer_costs_more_than_its_bound(data: st.DataObject, of: Offer, at: datetime) -> None:
    started = microseconds(at)
    asked = ask(
        data.draw(st.sampled_from([1, 100, 101, 300, 5000])),
        data.draw(st.sampled_from([0, 99, 101, 700])),
        choices=data.draw(st.sampled_from([1, 1, 3])),
        audio=data.draw(st.integers(0, 1)),
        tier=data.draw(st.sampled_from(["", "auto", "default", "batch", "flex"])),
    )
    attrs = data.draw(st.sampled_from([{}, {"size": "s"}]))
    region = data.draw(st.sampled_from([None, "eu-west", "us-east"]))
    where = region, frozenset(attrs.items())
    made = Ceilings(of)
    first = made.stated(asked, where, started)
    bound = made.worst(asked, RULES, started_us=started, region=region, attrs=attrs)
    linear = not any(price.minimum_usd is not None or not rate.linear for price in of.prices for rate in price.rates)
    event("linear" if linear and bound.nano is not None else "odd or unknown")
    # The short way says the same or nothing, and the same again when the rates are remembered.
    assert first == made.stated(asked, where, started) == (bound.nano if linear else first)
    assert first in (bound.nano, None)
    assume(bound.nano is not None)
    assert bound.nano is not None
    tiers = {"": ["standard", "priority"], "auto": ["standard", "priority"], "default": ["standard"]}
    for _ in range(4):
        usage = Usage(
            at=at,
            completed=at + data.draw(st.timedeltas(timedelta(0), timedelta(minutes=15))),
            quantities=data.draw(served_within(asked)),
            tier_served=data.draw(st.sampled_from(tiers.get(asked.tier, [asked.tier, "standard"]))),
            region=data.draw(st.sampled_from([region, None, "eu-north", "eu-west", "us-east", "mars"])),
            attrs=attrs,
        )
        charge = price_usage(usage, of).total_usd
        event("priced" if charge is not None else "unknown")
        if charge is not None:
            assert nano_up(charge) <= bound.nano, (usage, charge)

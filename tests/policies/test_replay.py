"""Replay: what usage cost and would have cost. Each expected sum shows its arithmetic (dollars a million)."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from farthing.charges.reference import price_usage
from farthing.evidence import Grade
from farthing.policies.prompt_cache import PromptCache, behaviour
from farthing.policies.question import AS_SERVED, Question, Ratio, Replay, Row
from farthing.policies.replay import replay
from farthing.problems import FarthingError, Problems
from farthing.rates.book import Book
from farthing.rates.card import Offer
from farthing.rates.rules import caching_rule
from farthing.rates.toml import load_card
from farthing.reports.replay import replay_json
from farthing.time import EPOCH
from farthing.usage.read import read_usage
from farthing.usage.record import Usage
from tests.charges.cards import logs, offers

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
AT = datetime(2026, 11, 4, 12, tzinfo=UTC)  # a Wednesday
MILLION = 10**6
CARD = """
source.acme = { title = "Acme", where = "acme.pdf", seen = 2026-11-01, grade = "vendor-stated" }
[[offer]]
provider = "acme"
model = "m"
[[offer.price]]
source = "acme"
[offer.price.rates]
input = 4
cache_read = 0.4
output = 20
[[offer.price.rule]]
when = { tier = "batch" }
multiply = 0.5

[[offer]]
provider = "acme"
model = "plain"
[[offer.price]]
source = "acme"
[offer.price.rates]
input = 1
output = 2

[[offer]]
provider = "best"
model = "stepped"
context_window = 1_000
[[offer.price]]
source = "acme"
[offer.price.rates]
input = 1
cache_read = 0.1
output = 2
[[offer.price.rule]]
when = { context = { over = 130 } }
rates = { input = 3 }

[[offer]]
provider = "best"
model = "new"
[[offer.price]]
valid_from = 2026-11-10
source = "acme"
[offer.price.rates]
input = 5
output = 5
[[offer.price]]
valid_from = 2026-11-20
source = "acme"
[offer.price.rates]
input = 7
output = 7
"""
BOOK = Book([load_card(CARD)])


def used(number: int = 0, model: str | None = "m", provider: str | None = "acme", **more: object) -> Usage:
    counts = {name: more.pop(name) for name in ("input", "cache_read", "output", "page") if name in more}
    stated = {"at": AT + timedelta(seconds=number), "provider": provider, "model_served": model}
    return Usage(quantities=counts, **{**stated, **more})  # type: ignore[arg-type]


def ask(
    rows: Sequence[Usage], *to: str, book: Book = BOOK, policies: tuple[str, ...] = ("as-is",), **more: object
) -> Replay:
    question = Question(to=to, policies=policies, **{"now": NOW, **more})  # type: ignore[arg-type]
    return replay(lambda: iter(rows), book, question)


def row(made: Replay, offer: str, policy: str = "as-is") -> Row:
    [found] = [one for one in made.rows if (one.offer, one.policy) == (offer, policy)]
    return found


# --- the golden example -----------------------------------------------------------------------

THREE = [used(1, input=100, output=10), used(2, input=100, cache_read=50, output=20), used(3, input=200, output=30)]


def test_three_requests_by_hand() -> None:
    """400 in at 4, 50 cached at 0.4, 60 out at 20: 1,600 + 20 + 1,200 = 2,820 micro-dollars."""
    made = ask(THREE, "acme/m", "acme/plain", policies=("as-is", "batch"))
    own = made.as_is
    assert own.total_usd == Fraction(2820, MILLION)
    assert own.lines == {
        "input": (400, Fraction(1600, MILLION)),
        "cache_read": (50, Fraction(20, MILLION)),
        "output": (60, Fraction(1200, MILLION)),
    }
    assert (own.offer, own.rows, own.unpriced_rows, own.ratio) == ("acme/m", 3, 0, 1)
    assert own.usd_per_mtok == Fraction(2820, 510)  # over 400 + 50 + 60 tokens
    assert own.mean_usd == Fraction(940, MILLION)  # 2,820 / 3
    assert own.spread is not None
    # 600; 820; 1,400
    assert (own.spread.p50, own.spread.p99) == (Fraction(820, MILLION), Fraction(1400, MILLION))
    assert own.shares == {
        "input": Fraction(1600, 2820), "output": Fraction(1200, 2820), "cache_read": Fraction(20, 2820),
    }  # fmt: skip
    assert (own.grade, own.assumptions) == (Grade.VENDOR_STATED, ())
    assert row(made, "acme/m").total_usd == own.total_usd
    assert row(made, "acme/m", "batch").total_usd == own.total_usd / 2
    plain = row(made, "acme/plain")
    assert plain.total_usd == Fraction(450 * 1 + 60 * 2, MILLION)  # no cached price: plain input
    assert plain.ratio == Fraction(570, 2820)
    assert plain.grade is Grade.ASSUMED and len(plain.assumptions) == 2
    assert (made.usage_rows, made.requests, made.first, made.last) == (
        3, 3, AT + timedelta(seconds=1), AT + timedelta(seconds=3),
    )  # fmt: skip
    batch = row(made, "acme/plain", "batch")
    assert (batch.total_usd, batch.unpriced_rows) == (None, 3)
    assert batch.reasons == {"no price stated for service tier 'batch'": 3}


def test_rows_without_a_price_are_counted_and_leave_no_total() -> None:
    rows = [*THREE, used(4, input=10, page=3), used(5, model="unheard-of", input=7)]
    made = ask(rows, "acme/plain")
    assert (made.as_is.total_usd, made.as_is.unpriced_rows, made.as_is.ratio) == (None, 2, None)
    assert made.as_is.known_usd == Fraction(2820 + 40, MILLION)  # what is known of the page's row too
    assert made.as_is.reasons == {
        "no price stated for page": 1, "no offer acme/unheard-of in the price book": 1,
    }  # fmt: skip
    plain = row(made, "acme/plain")
    assert (plain.total_usd, plain.unpriced_rows, plain.known_usd) == (None, 1, Fraction(570 + 17, MILLION))
    assert plain.usd_per_mtok is None and plain.mean_usd is None
    assert [(one.offer, one.unpriced_rows) for one in made.models] == [("acme/m", 1), ("acme/unheard-of", 1)]


@settings(phases=[Phase.explicit, Phase.reuse, Phase.generate], deadline=None, max_examples=40,
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(offers("m"), logs())
def test_as_it_was_is_the_sum_of_its_requests(offer: object, rows: list[Usage]) -> None:
    """Any card, any usage: the columns of a replay against the itemised charges, one by one."""
    from farthing.charges.reference import price_all
    from farthing.rates.toml import Card

    book = Book([Card(offers=(offer,), sources={})])  # type: ignore[arg-type]
    rows = [msgspec.structs.replace(usage, provider="p", model_served="m") for usage in rows]
    if rows:
        made = ask(rows, "p/m", book=book)
        charges = list(price_all((usage, offer) for usage in rows))  # type: ignore[misc]
        assert made.as_is.known_usd == sum(charge.known_usd for charge in charges)
        assert made.as_is.unpriced_rows == sum(charge.total_usd is None for charge in charges)


# --- the question -----------------------------------------------------------------------------


def test_from_says_where_it_was_served() -> None:
    nameless = [msgspec.structs.replace(one, provider=None, model_served=None) for one in THREE]
    for rows in (THREE, nameless):
        made = ask(rows, "acme/m", served="acme/plain")
        # cached tokens have no price there: that is unknown, and not plain input
        assert (made.as_is.offer, made.as_is.total_usd, made.as_is.unpriced_rows) == ("acme/plain", None, 1)
        assert row(made, "acme/m").total_usd == Fraction(2820, MILLION)
    unsaid = ask(nameless, "acme/m").as_is
    assert unsaid.total_usd is None
    assert unsaid.reasons == {"the usage names no model; --from OFFER says where it was served": 3}


def test_to_takes_globs_and_names_once_each() -> None:
    made = ask(THREE, "ACME/*", "acme/plain", "best/stepped")
    assert [one.offer for one in made.rows] == ["acme/m", "acme/plain", "best/stepped"]
    assert (made.everywhere, made.unable) == ([], 0)


def test_without_to_there_is_a_short_list_and_everything_in_order() -> None:
    made = ask(THREE)
    assert {"acme/m", "openai/gpt-5-mini", "anthropic/claude-haiku-4-5"} <= {one.offer for one in made.rows}
    totals = [one.total_usd for one in made.everywhere if one.total_usd is not None]
    assert len(totals) > 500 and totals == sorted(totals)
    assert made.unable + len(made.everywhere) == len(list(BOOK.offers()))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"policies": ("magic",)}, "unknown policy 'magic'; the policies are as-is, batch, prompt-cache, joined by +"),
        ({"served": "acme/none"}, "no price for acme/none"),
        ({"to": ("acme/none",)}, "no price for acme/none"),
        ({"to": ("nobody/*",)}, "no offer matches --to 'nobody/\\*'"),
    ],
)
def test_mistakes(more: dict[str, tuple[str, ...]], says: str) -> None:
    with pytest.raises(FarthingError, match=says):
        replay(lambda: iter(THREE), BOOK, Question(now=NOW, **more))  # type: ignore[arg-type]


def test_no_usable_row_is_a_mistake() -> None:
    with pytest.raises(FarthingError, match="no usable row of usage"):
        ask([], "acme/m")


# --- ratios -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("prompt", "usd"), [(100, "130"), (101, "393.9"), (99, "128.7")])
def test_another_tokenizer_crosses_the_threshold_at_its_own_length(prompt: int, usd: str) -> None:
    """Over 130 there, that is at least 131; of tokens that become 1.3 each, from ceil(131 / 1.3) = 101 on (x 3)."""
    made = ask([used(input=prompt)], "best/stepped", token_ratios=(Ratio(offers="best/*", ratio=Fraction("1.3")),))
    assert row(made, "best/stepped").total_usd == Fraction(usd) / MILLION
    assert made.as_is.total_usd == Fraction(prompt * 4, MILLION)  # the usage itself is what it is


def test_longer_answers_and_the_first_ratio_that_matches() -> None:
    made = ask(
        [used(input=100, output=10)], "acme/plain", "best/stepped",
        answer_ratios=(Ratio(offers="best/stepped", ratio=Fraction(3)), Ratio(offers="*", ratio=Fraction(2))),
        token_ratios=(Ratio(offers="acme/plain", ratio=Fraction(1, 2)),),
    )  # fmt: skip
    assert row(made, "best/stepped").total_usd == Fraction(100 + 10 * 3 * 2, MILLION)
    assert row(made, "acme/plain").total_usd == Fraction(50 + 10 * 2, MILLION)  # 100 / 2; 10 / 2 x 2 at 2
    assert row(made, "acme/plain").assumptions == ("tokens x0.5 (another tokenizer)", "answers x2 as long")


def test_requests_longer_than_the_context_are_counted() -> None:
    rows = [used(1, input=1000), used(2, input=1001), used(3, input=600)]
    made = ask(rows, "best/stepped", "acme/plain")
    assert (row(made, "best/stepped").too_long_rows, row(made, "acme/plain").too_long_rows) == (1, 0)
    twice = ask(rows, "best/stepped", token_ratios=(Ratio(offers="*", ratio=Fraction(2)),))
    assert row(twice, "best/stepped").too_long_rows == 3
    assert "3 requests are longer than its context of 1,000 tokens" in row(twice, "best/stepped").notes


# --- policies ---------------------------------------------------------------------------------

OPUS, GPT = "anthropic/claude-opus-4-8", "openai/gpt-4o"


def turns(*prompts: int, gap: int = 60, model: str = "claude-opus-4-8", provider: str = "anthropic") -> list[Usage]:
    return [
        used(n * gap, model, provider, input=prompt, output=10, session="s") for n, prompt in enumerate(prompts)
    ]  # fmt: skip


def test_the_prompt_cache_of_a_session() -> None:
    """Opus 4.8: 5 in, 6.25 written, 0.5 read, 25 out. Written 10,000 + 2,000 + 3,000, read 10,000 + 12,000."""
    made = ask(turns(10_000, 12_000, 15_000), OPUS, policies=("as-is", "prompt-cache", "batch", "batch+prompt-cache"))
    plain, cached = Fraction(37_000 * 5 + 30 * 25, MILLION), Fraction(15_000 * 25, 4) + 11_000 + 30 * 25
    assert made.as_is.total_usd == row(made, OPUS).total_usd == plain
    simulated = row(made, OPUS, "prompt-cache")
    assert simulated.total_usd == cached / MILLION
    assert simulated.assumptions == ("cache simulated under the provider's rule",)
    assert {name: n for name, (n, _) in simulated.lines.items()} == {
        "cache_write_5m": 15_000, "cache_read": 22_000, "output": 30,
    }  # fmt: skip
    assert row(made, OPUS, "batch").total_usd == plain / 2
    assert row(made, OPUS, "batch+prompt-cache").total_usd == cached / MILLION / 2  # there both discounts stack


def test_the_simulation_is_the_policy_request_by_request() -> None:
    """One object in three lives: what the replay sums is what `PromptCache` makes of each request, priced."""
    rows = turns(5_000, 9_000, 8_000, 8_500, 30_000, gap=200)
    rows += [msgspec.structs.replace(one, session="t", at=one.at + timedelta(seconds=7)) for one in rows]
    made = ask(rows[::-1], OPUS, policies=("prompt-cache",))  # a file in disorder: the cache meets them in time
    rule = caching_rule("anthropic", "claude-opus-4-8", AT)
    way = behaviour(rule) if rule else None
    assert way is not None
    cache, at = PromptCache(way), BOOK.find(OPUS)
    usd = [price_usage(cache.apply(one), at).total_usd for one in sorted(rows, key=lambda one: one.at)]
    assert row(made, OPUS, "prompt-cache").total_usd == sum(one for one in usd if one is not None)


def test_prompts_that_never_repeat_come_out_a_quarter_dearer_and_the_view_says_so() -> None:
    rows = [used(n, "claude-opus-4-8", "anthropic", input=8_192, prefix_hashes=tuple(range(n * 16, n * 16 + 16)),
                 block_tokens=512) for n in range(10)]  # fmt: skip
    made = ask(rows, OPUS, policies=("prompt-cache",))
    assert row(made, OPUS, "prompt-cache").ratio == Fraction(5, 4)
    from farthing.problems import Problems

    assert replay_json(made, "test", Problems())["candidates"][0]["dearer"] is True


def test_batch_and_cache_where_they_do_not_stack() -> None:
    """GPT-4o: 2.5 in, 1.25 cached, 10 out; nothing is cached in a batch, so all of it is input at half price."""
    rows = [used(input=1000, cache_read=3000, output=10, model="gpt-4o", provider="openai")]
    made = ask(rows, GPT, policies=("as-is", "batch"))
    assert row(made, GPT).total_usd == Fraction(2500 + 3750 + 100, MILLION)
    batch = row(made, GPT, "batch")
    assert batch.total_usd == Fraction(4000 * 5, 4 * MILLION) + Fraction(50, MILLION)
    assert "batch and prompt caching do not stack there: nothing is cached in a batch" in batch.notes


def test_where_nothing_tells_what_is_shared_it_is_left_as_it_was() -> None:
    rows = [used(input=1000, cache_read=3000, output=10, model="claude-opus-4-8", provider="anthropic")]
    made = ask(rows, OPUS, "acme/plain", policies=("as-is", "prompt-cache"))
    left = row(made, OPUS, "prompt-cache")
    assert left.total_usd == row(made, OPUS).total_usd == Fraction(5000 + 1500 + 250, MILLION)
    assert "nothing tells what prompts share (no block hashes, no sessions): left as it was" in left.notes
    bare = row(made, "acme/plain", "prompt-cache")
    assert bare.total_usd == Fraction(4000 + 20, MILLION)
    assert "no prompt cache is known of this offer: everything is uncached" in bare.notes
    assert made.cacheable_rows == 0
    assert {one.policy for one in ask(rows, OPUS, policies=()).rows} == {"as-is", "batch"}  # not unless asked for


def test_each_request_at_its_own_offer_under_each_policy() -> None:
    rows = [*turns(10_000, 12_000), used(5, "gpt-4o", "openai", input=1000, output=100)]
    made = ask(rows, "acme/plain", policies=("as-is", "batch", "prompt-cache"))
    opus, gpt = 22_000 * 5 + 20 * 25, 2_500 + 1_000
    assert made.as_is.total_usd == Fraction(opus + gpt, MILLION)
    assert row(made, AS_SERVED, "batch").total_usd == Fraction(opus + gpt, 2 * MILLION)
    cached = Fraction(12_000 * 25, 4) + 5_000 + 20 * 25
    assert row(made, AS_SERVED, "prompt-cache").total_usd == (cached + gpt) / MILLION
    assert [one.offer for one in made.models] == [OPUS, GPT]


# --- time -------------------------------------------------------------------------------------

NIGHT = """
source.acme = { title = "Acme", where = "acme.pdf", seen = 2026-11-01, grade = "vendor-stated" }
[[offer]]
provider = "acme"
model = "m"
[[offer.price]]
source = "acme"
[offer.price.rates]
input = 2
[[offer.price.rule]]
when = { time = { from = "22:00", to = "02:00", days = ["fri"] } }
rates = { input = 1 }
[[offer.price]]
valid_from = 2026-11-10
source = "acme"
[offer.price.rates]
input = 20
[[offer.price.rule]]
when = { time = { from = "22:00", to = "02:00", days = ["fri"], not_dates = [2026-11-20] } }
rates = { input = 10 }
[[offer.price.rule]]
when = { period = { from = 2026-11-18, to = 2026-11-20 } }
multiply = 0.5
"""
NIGHTS = Book([load_card(NIGHT)])
FRIDAY = datetime(2026, 11, 6, 23, tzinfo=UTC)


def million(at: datetime, **more: object) -> Usage:
    stated = {"quantities": {"input": MILLION}, "provider": "acme", "model_served": "m", **more}
    return Usage(at=at, **stated)  # type: ignore[arg-type]


def test_at_another_instant_the_time_of_the_week_stays() -> None:
    """Friday night and Saturday noon, at the rates of 16 November."""
    rows = [million(FRIDAY), million(FRIDAY + timedelta(hours=13))]
    assert ask(rows, "acme/m", book=NIGHTS).as_is.total_usd == 1 + 2
    made = ask(rows, "acme/m", book=NIGHTS, at=datetime(2026, 11, 16, tzinfo=UTC))
    assert made.as_is.total_usd == row(made, "acme/m").total_usd == 10 + 20
    assert "priced at the rates of 2026-11-16" in made.notes


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(
    ("at", "expected"),
    [("2026-11-17", 7 * 20), ("2026-11-18", 7 * 10), ("2026-11-19T23:59:59", 7 * 10), ("2026-11-20", 7 * 20)],
)
def test_promotions_and_holidays_are_those_of_that_instant(at: str, expected: int, backwards: bool) -> None:
    """Noons of a whole week: whether the promotion of 18 and 19 November counts depends on `at`, for all alike."""
    rows = [million(datetime(2026, 10, 5, 12, tzinfo=UTC) + timedelta(days=n)) for n in range(7)]
    made = ask(
        rows[::-1] if backwards else rows, "acme/m", book=NIGHTS, at=datetime.fromisoformat(at).replace(tzinfo=UTC)
    )
    assert made.as_is.total_usd == row(made, "acme/m").total_usd == expected


def test_a_holiday_of_that_instant() -> None:
    rows = [million(FRIDAY)]
    night = [
        ask(rows, "acme/m", book=NIGHTS, at=datetime(2026, 11, day, tzinfo=UTC)).as_is.total_usd for day in (13, 20)
    ]
    assert night == [10, 20]  # the 20th is excepted


def test_a_nameless_trace_is_a_workload_at_todays_rates() -> None:
    rows = [million(FRIDAY, provider=None, model_served=None)]
    made = ask(rows, "acme/m", book=NIGHTS)
    assert made.as_is.total_usd is None
    assert row(made, "acme/m").total_usd == 10
    assert any("names no model: priced at the rates of" in note for note in made.notes)
    named = ask(rows, "acme/m", book=NIGHTS, served="acme/m")
    assert named.as_is.total_usd == row(named, "acme/m").total_usd == 10  # --from says where, not that it is a bill


def test_a_trace_of_offsets_starts_at_the_midnight_before_now() -> None:
    """A Saturday, 21 November: what starts in the first two hours is still Friday's night rate."""
    saturday = datetime(2026, 11, 21, 15, tzinfo=UTC)
    rows = [million(EPOCH + timedelta(hours=hours), relative=True) for hours in (0, 1, 2, 3)]
    made = ask(rows, "acme/m", book=NIGHTS, now=saturday)
    assert made.relative and "the usage gives only offsets in time" in made.notes
    assert row(made, "acme/m").total_usd == 10 + 10 + 20 + 20


def test_an_offer_that_did_not_exist_yet_is_priced_at_its_first_rates_and_says_so() -> None:
    rows = [used(input=100), used(10 * 86_400, input=100)]  # 4 and 14 November; offered since the 10th
    new = row(ask(rows, "best/new"), "best/new")
    assert new.total_usd == Fraction(200 * 5, MILLION)
    assert "not yet offered then: priced at its first rates, of 2026-11-10" in new.notes
    later = row(ask(rows[1:], "best/new"), "best/new")
    assert not any("not yet offered" in note for note in later.notes)
    both = row(ask([used(input=100), used(17 * 86_400, input=100)], "best/new"), "best/new")
    assert both.total_usd == Fraction(100 * 5 + 100 * 7, MILLION)
    own = ask([used(input=100, model="new", provider="best")], "acme/m").as_is
    assert own.reasons == {"no price before 2026-11-10": 1}  # a bill of that day cannot have been at that price


# --- aggregates, order, determinism -----------------------------------------------------------


def test_rows_that_sum_requests() -> None:
    made = ask([used(input=1000, output=100, requests=10)], "acme/plain", "best/stepped")
    assert (made.requests, made.usage_rows) == (10, 1)
    assert row(made, "acme/plain").mean_usd == Fraction(1200, 10 * MILLION)
    assert row(made, "best/stepped").total_usd == Fraction(1000 + 200, MILLION)  # 100 each: not over 130
    assert any("judged by their mean" in note for note in made.notes)
    assert made.as_is.spread is None


@settings(phases=[Phase.explicit, Phase.reuse, Phase.generate], deadline=None, max_examples=15,
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(st.permutations(THREE + turns(2_000, 3_000)))
def test_the_order_of_rows_changes_nothing(rows: list[Usage]) -> None:
    from farthing.problems import Problems

    def told(these: list[Usage]) -> object:
        made = ask(these, "acme/*", OPUS, policies=("as-is", "batch", "prompt-cache"))
        made = replay_json(made, "", Problems())
        for one in made["candidates"]:
            one["lines"].sort(key=str)
            one["unknown"].sort(key=str)
        return made["candidates"], made["total_usd"]

    assert told(rows) == told(THREE + turns(2_000, 3_000))


def test_every_request_at_its_own_offer_in_a_batch_equals_the_requests_one_by_one() -> None:
    example = Path(__file__).resolve().parents[2] / "examples" / "usage.jsonl"
    records = list(read_usage([example], Problems()))
    known = Book()
    question = Question(now=datetime(2026, 11, 22, tzinfo=UTC), to=("openai/gpt-5.5",), policies=("batch",))
    made = replay(lambda: iter(records), known, question)
    [row] = [row for row in made.rows if row.offer == "as served"]
    expected = Fraction(0)
    for usage in records:
        offer = known.offer_of(usage)
        assert isinstance(offer, Offer)
        expected += price_usage(msgspec.structs.replace(usage, tier_served="batch"), offer).total_usd or 0
    assert row.total_usd == expected
    assert 0 < expected < (made.as_is.total_usd or 0)


def test_an_offers_price_per_million_tokens_is_of_its_own_tokens() -> None:
    example = Path(__file__).resolve().parents[2] / "examples" / "usage.jsonl"
    records = list(read_usage([example], Problems()))
    question = Question(now=datetime(2026, 11, 22, tzinfo=UTC), to=("openai/gpt-5.5",), policies=("as-is",))
    made = replay(lambda: iter(records), Book(), question)
    assert len(made.models) == 2
    for row in made.models:
        own = [usage for usage in records if usage.offer == row.offer]
        tokens = sum(usage.prompt_tokens + usage.quantities.get("output", 0) for usage in own)
        assert row.total_usd is not None
        assert row.usd_per_mtok == row.total_usd * 1_000_000 / tokens

"""The price watch: one usage at the rates of two days. Each expected sum shows its arithmetic (dollars a million)."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from farthing.evidence import Grade, Source
from farthing.index.line import Line, Quote
from farthing.index.watch.ends import Retirement, Retirements
from farthing.index.watch.run import month_of, watch
from farthing.index.watch.values import Constraints, Threshold, Watch, WatchQuestion
from farthing.money import ZERO
from farthing.policies.rewrite import carry_over
from farthing.rates.book import Book
from farthing.rates.card import Offer
from farthing.rates.toml import Card, load_card
from farthing.usage.record import Usage
from farthing.usage.table import UsageTable, connect, stage
from tests.charges.cards import logs, offers

SINCE = datetime(2026, 9, 1, tzinfo=UTC)
UNTIL = datetime(2026, 11, 20, tzinfo=UTC)
AT = datetime(2026, 11, 4, 12, tzinfo=UTC)
CARD = """
source.s = { title = "Lists", where = "lists.pdf", seen = 2026-01-01, grade = "vendor-stated" }
[[offer]]
provider = "acme"
model = "wing-70b"
[[offer.price]]
valid_from = 2026-01-01
source = "s"
[offer.price.rates]
input = 4
cache_read = 0.4
output = 20
[[offer.price]]
valid_from = 2026-10-01
source = "s"
[offer.price.rates]
input = 5
cache_read = 0.5
output = 20
[[offer.price.rule]]
when = { tier = "batch" }
multiply = 0.5

[[offer]]
provider = "beta"
model = "Wing-70B-Instruct"
context_window = 32_000
[[offer.price]]
source = "s"
[offer.price.rates]
input = 4.5
cache_read = 0.45
output = 18

[[offer]]
provider = "gamma"
model = "other-9b"
[[offer.price]]
source = "s"
[offer.price.rates]
input = 1
output = 2
"""
ROWS = [  # 400 input, 50 cache reads, 60 output
    Usage(at=AT, provider="acme", model_served="wing-70b", quantities={"input": 100, "output": 10}),
    Usage(
        at=AT + timedelta(days=1), provider="acme", model_served="wing-70b",
        quantities={"input": 100, "cache_read": 50, "output": 20},
    ),
    Usage(
        at=AT + timedelta(days=10), provider="acme", model_served="wing-70b", quantities={"input": 200, "output": 30}
    ),
]  # fmt: skip
MICRO = Fraction(1, 10**6)


def asked(**how: Any) -> WatchQuestion:
    return WatchQuestion(
        **{"since": SINCE, "until": UNTIL, "present": UNTIL, "threshold": Threshold(share=Fraction(1, 100)), **how}
    )


def card_of(tmp_path: Path, text: str = CARD) -> Card:
    path = tmp_path / "card.toml"
    path.write_text(text)
    return load_card(path)


def watched(tmp_path: Path, rows: Sequence[Usage] = ROWS, text: str = CARD, **how: Any) -> Watch:
    card = card_of(tmp_path, text)
    extra = {key: how.pop(key) for key in ("lines", "scores", "retirements") if key in how}
    question = asked(**how)
    return watch(stage(rows), Book([card]), Book([card], question.since), question, carry_over, **extra)


# --- the dollars ------------------------------------------------------------------------------


def test_the_golden_example(tmp_path: Path) -> None:
    """Then 400 x 4 + 50 x 0.4 + 60 x 20 = 2,820; now 400 x 5 + 50 x 0.5 + 60 x 20 = 3,225; +405 = +14.36 %."""
    found = watched(tmp_path)
    assert (found.then.usd, found.now.usd, found.change) == (2820 * MICRO, 3225 * MICRO, 405 * MICRO)
    assert not found.partial and found.requests == 3
    [one] = found.offers
    assert (one.offer, one.direction, one.basis, one.change) == ("acme/wing-70b", "dearer", "dated", 405 * MICRO)
    assert one.stated_from == datetime(2026, 10, 1, tzinfo=UTC)
    meters = {m.meter: (m.quantity, m.then_price, m.now_price, m.then_usd, m.now_usd) for m in one.meters}
    assert meters == {
        "input": (400, 4, 5, 1600 * MICRO, 2000 * MICRO),
        "cache_read": (50, Fraction(2, 5), Fraction(1, 2), 20 * MICRO, 25 * MICRO),
        "output": (60, 20, 20, 1200 * MICRO, 1200 * MICRO),
    }
    assert {alert.kind for alert in found.alerts} >= {"total", "dearer"}


def test_a_new_tier_is_told_with_what_this_usage_costs_in_it(tmp_path: Path) -> None:
    """All of it in batch: 3,225 / 2 = 1,612.5."""
    [one] = watched(tmp_path).offers
    [tier] = [c for c in one.conditions if c.tier]
    assert (tier.tier, tier.is_new, tier.tier_usd) == ("batch", True, Fraction(3225, 2) * MICRO)


@pytest.mark.slow
def test_a_month_is_of_the_span_of_the_usage(tmp_path: Path) -> None:
    """405 in 10 days: x 30.4375 / 10 = 1,232.71875."""
    found = watched(tmp_path)
    assert found.days == 10
    assert month_of(found.change, found.days) == pytest.approx(1232.71875e-6, rel=1e-12)


def test_a_few_hours_say_nothing_of_a_month(tmp_path: Path) -> None:
    found = watched(tmp_path, ROWS[:1])
    assert found.days is None and month_of(found.change, found.days) is None
    assert any("less than a day" in note for note in found.notes)


def test_nothing_changed(tmp_path: Path) -> None:
    found = watched(tmp_path, since=datetime(2026, 10, 2, tzinfo=UTC))
    assert (found.change, found.alerts) == (0, ())
    assert found.offers[0].direction == "same"


# --- where it is best placed ------------------------------------------------------------------


def test_the_same_model_elsewhere_is_now_the_better_place(tmp_path: Path) -> None:
    """At beta 400 x 4.5 + 50 x 0.45 + 60 x 18 = 2,902.5: dearer than 2,820 then, 322.5 cheaper than 3,225 now."""
    [best] = watched(tmp_path).best
    assert (best.best, best.best_then) == ("beta/Wing-70B-Instruct", "acme/wing-70b")
    assert (best.saving, best.saving_then) == (Fraction(645, 2) * MICRO, 0)
    assert [(h.offer.id, h.usd) for h in best.hosts] == [("beta/Wing-70B-Instruct", Fraction(5805, 2) * MICRO)]
    assert best.others == ()  # nobody said that another model would do
    kinds = {a.kind: a.usd for a in watched(tmp_path).alerts}
    assert kinds["better-offer"] == Fraction(645, 2) * MICRO


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        (Constraints(avoid=("beta",)), "at a provider that is not wanted"),
        (Constraints(providers=("acme", "gamma")), "at a provider that is not wanted"),
        (Constraints(min_context=64_000), "with a context under 64,000 tokens"),
        (Constraints(grade=Grade.MEASURED), "priced on worse evidence than measured"),
    ],
)
def test_what_does_not_meet_the_constraints_is_counted_and_not_proposed(
    tmp_path: Path, limits: Constraints, why: str
) -> None:
    [best] = watched(tmp_path, constraints=limits).best
    assert best.hosts == () and best.left_out == {why: 1}


def test_a_context_that_nobody_states_meets_no_limit(tmp_path: Path) -> None:
    text = CARD.replace("context_window = 32_000\n", "")
    [best] = watched(tmp_path, text=text, constraints=Constraints(min_context=1000)).best
    assert best.left_out == {"of a context length that nobody states": 1}
    assert best.best is None  # nor does the offer in use state one


def test_requests_that_are_too_long_for_a_host(tmp_path: Path) -> None:
    text = CARD.replace("32_000", "199")
    [best] = watched(tmp_path, text=text).best
    assert best.left_out == {"with a context too short for some of these requests": 1}


def test_free_offers_are_no_price(tmp_path: Path) -> None:
    text = CARD.replace("input = 4.5", "input = 0").replace("cache_read = 0.45", "cache_read = 0")
    [best] = watched(tmp_path, text=text.replace("output = 18", "output = 0")).best
    assert best.left_out == {"free of charge (promotions are no price)": 1} and best.best == "acme/wing-70b"


@pytest.mark.slow
def test_another_model_is_listed_only_where_it_is_named(tmp_path: Path) -> None:
    """At gamma the cache reads are plain input: 450 x 1 + 60 x 2 = 570; 3,225 - 570 = 2,655."""
    [best] = watched(tmp_path, constraints=Constraints(models=("other-*",))).best
    [other] = best.others
    assert (other.kind, other.usd, other.saving) == ("named", 570 * MICRO, 2655 * MICRO)
    assert other.evidence == () and other.grade == Grade.ASSUMED  # its tokens and answers would be others
    assert best.best == "beta/Wing-70B-Instruct"  # like for like


@pytest.mark.parametrize(("theirs", "listed"), [(50.0, True), (49.0, True), (48.9, False)])
def test_another_model_is_listed_where_its_scores_are_nowhere_below(
    tmp_path: Path, theirs: float, listed: bool
) -> None:
    scores = {
        "wing-70b": {"gpqa": (49.0, "a"), "mmlu": (80.0, "a"), "math": (60.0, "a")},
        "other-9b": {"gpqa": (theirs, "b"), "mmlu": (80.0, "b")},
    }
    [best] = watched(tmp_path, scores=scores).best
    assert [o.offer.id for o in best.others] == (["gamma/other-9b"] if listed else [])
    if listed:
        assert [(e.benchmark, e.used, e.other) for e in best.others[0].evidence] == [
            ("gpqa", 49.0, theirs), ("mmlu", 80.0, 80.0),
        ]  # fmt: skip


def test_one_benchmark_is_no_evidence(tmp_path: Path) -> None:
    scores = {"wing-70b": {"gpqa": (49.0, "a")}, "other-9b": {"gpqa": (90.0, "b"), "mmlu": (80.0, "b")}}
    [best] = watched(tmp_path, scores=scores).best
    assert best.others == ()


def test_usage_without_a_price_is_placed_without_a_saving(tmp_path: Path) -> None:
    rows = [msgspec.structs.replace(row, provider="nowhere") for row in ROWS]
    found = watched(tmp_path, rows)
    [best] = found.best
    assert (best.offer, best.best, best.saving) == ("nowhere/wing-70b", "beta/Wing-70B-Instruct", None)
    assert found.change is None and found.now.usd is None


# --- what has no price ------------------------------------------------------------------------


def test_what_has_no_price_is_unknown_and_the_rest_is_compared(tmp_path: Path) -> None:
    strange = Usage(at=AT, provider="acme", model_served="unheard-of", quantities={"input": 7, "output": 3})
    found = watched(tmp_path, [*ROWS, strange])
    assert (found.change, found.partial, found.now.usd) == (405 * MICRO, True, None)
    [gone] = found.unpriced
    assert (gone.model, gone.rows, gone.tokens, gone.had) == ("acme/unheard-of", 1, 10, None)
    assert "no offer" in gone.reason


def test_a_meter_without_a_price_at_both_instants(tmp_path: Path) -> None:
    rows = [*ROWS, Usage(at=AT, provider="acme", model_served="wing-70b", quantities={"input": 100, "page": 2})]
    [one] = watched(tmp_path, rows).offers
    assert (one.change, one.partial) == (505 * MICRO, True)  # 100 x (5 - 4) more than in the golden example
    assert one.now.reasons == {"no price stated for page": 1}


def test_rows_of_a_tier_that_had_no_price_then_are_left_out_of_the_change(tmp_path: Path) -> None:
    """Batch has a price since October: its row (1,000 input) is in the cost of now (2,500), and in no change."""
    batch = Usage(
        at=AT, provider="acme", model_served="wing-70b", tier_served="batch", quantities={"input": 1000}
    )  # fmt: skip
    found = watched(tmp_path, [*ROWS, batch])
    [one] = found.offers
    assert (one.change, one.partial, one.then.usd, one.now.usd) == (405 * MICRO, True, None, 5725 * MICRO)
    assert {m.meter: m.change for m in one.meters} == {"input": 400 * MICRO, "cache_read": 5 * MICRO, "output": 0}
    assert (found.change, found.partial) == (405 * MICRO, True)


def test_a_model_that_lost_its_price_is_an_alarm(tmp_path: Path) -> None:
    text = CARD.replace("input = 5\n", "input = 5\n", 1).replace(
        "valid_from = 2026-10-01\n", "valid_from = 2026-10-01\nvalid_to = 2026-11-01\n"
    )
    found = watched(tmp_path, text=text)
    assert found.offers[0].direction == "unknown" and found.change is None
    assert {a.kind for a in found.alerts} == {"ending", "unpriced"}
    [end] = found.ending
    assert (end.day, end.days_left, end.why) == (date(2026, 11, 1), -19, "lost its price")


def test_a_price_that_begins_later_is_told(tmp_path: Path) -> None:
    """From December 400 x 5 + 50 x 0.5 + 60 x 10 = 2,625: 600 less than now."""
    text = CARD.replace(
        '[[offer]]\nprovider = "beta"',
        '[[offer.price]]\nvalid_from = 2026-12-01\nsource = "s"\n[offer.price.rates]\n'
        'input = 5\ncache_read = 0.5\noutput = 10\n[[offer]]\nprovider = "beta"',
    )
    [late] = watched(tmp_path, text=text).upcoming
    assert (late.at, late.usd, late.change) == (datetime(2026, 12, 1, tzinfo=UTC), 2625 * MICRO, -600 * MICRO)


# --- the two clocks ---------------------------------------------------------------------------


def test_a_correction_is_not_a_change(tmp_path: Path) -> None:
    """Recorded in October: since June it was 3, not 4. Then as known then 2,820; as known now 400 x 3 + 20 + 1,200
    = 2,420: a correction of -400. The change is from 2,420 to 3,225."""
    text = CARD.replace(
        "valid_from = 2026-10-01\n",
        'valid_from = 2026-06-01\nrecorded = 2026-10-15\nsource = "s"\n[offer.price.rates]\n'
        "input = 3\ncache_read = 0.4\noutput = 20\n[[offer.price]]\nvalid_from = 2026-10-01\n",
        1,
    )
    found = watched(tmp_path, text=text)
    [learned] = found.learned
    assert (learned.known_usd, learned.usd, learned.difference) == (2820 * MICRO, 2420 * MICRO, -400 * MICRO)
    assert found.change == 805 * MICRO
    assert "recorded on 2026-10-15" in learned.what
    assert "correction" in {alert.kind for alert in found.alerts}


def test_what_is_recorded_after_the_span_was_not_learned_in_it(tmp_path: Path) -> None:
    text = CARD.replace("valid_from = 2026-01-01\n", "valid_from = 2026-01-01\nrecorded = 2026-10-15\n", 1)
    assert watched(tmp_path, text=text, until=datetime(2026, 10, 10, tzinfo=UTC)).learned == ()


def test_a_price_that_was_not_known_then_is_learned_without_a_difference(tmp_path: Path) -> None:
    text = CARD.replace("valid_from = 2026-01-01\n", "valid_from = 2026-01-01\nrecorded = 2026-10-15\n", 1)
    found = watched(tmp_path, text=text)
    [learned] = found.learned
    assert (learned.known_usd, learned.usd, learned.difference) == (None, 2820 * MICRO, None)
    assert "correction" not in {alert.kind for alert in found.alerts}


def test_an_undated_price_is_taken_as_unchanged_and_that_is_said(tmp_path: Path) -> None:
    rows = [msgspec.structs.replace(row, provider="beta", model_served="Wing-70B-Instruct") for row in ROWS]
    found = watched(tmp_path, rows)
    assert (found.change, found.offers[0].basis) == (0, "undated")
    assert any("no source dates the price of beta/Wing-70B-Instruct" in note for note in found.notes)


def test_a_day_before_any_price_is_known_is_said(tmp_path: Path) -> None:
    """History begins in January 2025: of 1999 nothing is known, though an undated record stands for it."""
    rows = [msgspec.structs.replace(row, provider="beta", model_served="Wing-70B-Instruct") for row in ROWS]
    early = watched(tmp_path, rows, since=datetime(1999, 1, 1, tzinfo=UTC), lines=lambda _: [line(None)])
    said = "no price of 1999-01-01 is known of beta/Wing-70B-Instruct (from 2025-01-01)"
    assert any(said in note for note in early.notes)
    later = watched(tmp_path, rows, since=datetime(2026, 1, 1, tzinfo=UTC), lines=lambda _: [line(None)])
    assert not any("no price of" in note for note in later.notes)


def line(end: datetime | None, **later: Any) -> Line:
    source = Source(id="h", title="old catalogues", where="tests", seen=date(2026, 1, 1), grade=Grade.DERIVED)
    usd = {"input": Fraction(9), "output": Fraction(36)}
    now = {"input": Fraction(9, 2), "output": Fraction(18)}
    quote = Quote(start=datetime(2025, 1, 1, tzinfo=UTC), end=end, usd_per_mtok=usd, source=source)
    after = Quote(start=end, end=None, usd_per_mtok=now, source=source, **later) if end else None
    quotes = (quote, after) if after else (quote,)
    return Line(provider="beta", model="wing-70b-instruct", family="wing-70b", quotes=quotes)


def test_history_says_what_an_undated_price_was_before(tmp_path: Path) -> None:
    """Then 400 x 9 + 50 x 0.45 + 60 x 36 = 5,782.5 (the cache price has no history); now 2,902.5."""
    rows = [msgspec.structs.replace(row, provider="beta", model_served="Wing-70B-Instruct") for row in ROWS]
    found = watched(tmp_path, rows, lines=lambda _: [line(datetime(2026, 10, 10, tzinfo=UTC))])
    [one] = found.offers
    assert (one.basis, one.then.usd, one.change) == ("history", Fraction(11565, 2) * MICRO, -2880 * MICRO)
    assert (
        one.then_source is not None
        and one.then_source.id == "h"
        and one.direction == "cheaper"
        and one.then.grade == Grade.DERIVED
    )
    still = watched(tmp_path, rows, lines=lambda _: [line(None)])  # what did not end is no change that anybody saw
    assert (still.offers[0].basis, still.change) == ("undated", 0)


def test_history_that_saw_no_change_makes_none_of_a_disagreement(tmp_path: Path) -> None:
    """It has another price than the book, but the same one before and after its list was made anew."""
    rows = [msgspec.structs.replace(row, provider="beta", model_served="Wing-70B-Instruct") for row in ROWS]
    made = line(datetime(2026, 10, 10, tzinfo=UTC))
    same = [msgspec.structs.replace(quote, usd_per_mtok=made.quotes[0].usd_per_mtok) for quote in made.quotes]
    found = watched(tmp_path, rows, lines=lambda _: [msgspec.structs.replace(made, quotes=tuple(same))])
    assert (found.offers[0].basis, found.change) == ("undated", 0)


@pytest.mark.slow
def test_history_also_says_what_a_past_end_of_the_span_was(tmp_path: Path) -> None:
    """Until September, asked in November: 5,782.5 at both."""
    rows = [msgspec.structs.replace(row, provider="beta", model_served="Wing-70B-Instruct") for row in ROWS]
    end = datetime(2026, 9, 20, tzinfo=UTC)  # sixty days before it is asked
    found = watched(tmp_path, rows, lines=lambda _: [line(datetime(2026, 10, 10, tzinfo=UTC))], until=end)
    assert (found.then.usd, found.now.usd, found.change) == (Fraction(11565, 2) * MICRO, Fraction(11565, 2) * MICRO, 0)
    assert any("as if they had been there" in note for note in found.notes)


@pytest.mark.parametrize(
    ("later", "basis"),
    [
        ({"unclear": True}, "unclear"),
        ({"after": datetime(2026, 9, 15, tzinfo=UTC)}, "history"),
        ({"after": datetime(2026, 8, 15, tzinfo=UTC)}, "unclear"),  # it may have happened before the first day
    ],
)
def test_what_history_does_not_say_surely(tmp_path: Path, later: dict[str, Any], basis: str) -> None:
    rows = [msgspec.structs.replace(row, provider="beta", model_served="Wing-70B-Instruct") for row in ROWS]
    found = watched(tmp_path, rows, lines=lambda _: [line(datetime(2026, 10, 10, tzinfo=UTC), **later)])
    assert (found.offers[0].basis, found.change) == (basis, -2880 * MICRO)
    assert any("does not say surely" in note for note in found.notes) == (basis == "unclear")


# --- what ends, and what sources disagree on --------------------------------------------------


def retiring(*days: date) -> Retirements:
    sources = [Source(id=f"r{n}", title="", where="", seen=None, grade=Grade(1 + n)) for n in range(len(days))]
    return {
        ("acme", "wing-70b"): tuple(
            Retirement(provider="acme", model="wing-70b", day=day, source=source)
            for day, source in zip(days, sources, strict=True)
        )
    }


@pytest.mark.parametrize(
    ("day", "left", "alarm"),
    [
        (date(2026, 11, 30), 10, True),
        (date(2027, 2, 18), 90, True),
        (date(2027, 2, 19), 91, False),
        (date(2026, 11, 20), 0, True),
        (date(2026, 8, 31), -81, False),  # it was over before the first day: no news
    ],
)
def test_a_model_that_ends(tmp_path: Path, day: date, left: int, alarm: bool) -> None:
    found = watched(tmp_path, retirements=retiring(day))
    [end] = found.ending
    assert (end.offer, end.days_left, end.usd) == ("acme/wing-70b", left, 3225 * MICRO)
    assert ("ending" in {a.kind for a in found.alerts}) == alarm


def test_two_sources_of_one_day_are_one_and_of_two_days_two(tmp_path: Path) -> None:
    same = watched(tmp_path, retirements=retiring(date(2026, 12, 1), date(2026, 12, 1))).ending
    assert [(e.day, e.source and e.source.id) for e in same] == [(date(2026, 12, 1), "r1")]  # the better evidence
    assert len(watched(tmp_path, retirements=retiring(date(2026, 12, 1), date(2026, 12, 9))).ending) == 2


def test_a_retired_host_is_not_proposed_and_an_ending_one_says_so(tmp_path: Path) -> None:
    def ends(day: date) -> Retirements:
        [one] = retiring(day)[("acme", "wing-70b")]
        return {("beta", "wing-70b-instruct"): (one,)}

    [best] = watched(tmp_path, retirements=ends(date(2026, 11, 1))).best
    assert best.hosts == () and best.left_out == {"that is retired": 1}
    [best] = watched(tmp_path, retirements=ends(date(2026, 12, 24))).best
    assert best.hosts[0].notes == ("retires on 2026-12-24",)


OTHER = """
source.o = {{ title = "Hearsay", where = "a talk", seen = 2026-01-01, grade = "assumed" }}
[[offer]]
provider = "acme"
model = "wing-70b"
[[offer.price]]
source = "o"
{currency}[offer.price.rates]
input = {{ {stated} }}
output = 20
"""


@pytest.mark.parametrize(
    ("stated", "currency", "low", "high"),
    [
        ("amount = 6", "", 3625, 3625),  # 400 x 6 instead of x 5: 400 more than 3,225
        ("amount = 0.006, per = 1000", "", 3625, 3625),
        ("low = 6, high = 7", "", 3625, 4025),
        ("amount = 12", 'currency = "EUR"\nusd = 0.5\n', 3625, 3625),
    ],
)
def test_a_disagreement_in_dollars(tmp_path: Path, stated: str, currency: str, low: int, high: int) -> None:
    one = card_of(tmp_path)
    two = card_of(tmp_path, OTHER.format(stated=stated, currency=currency))
    found = watch(stage(ROWS), Book([one, two]), Book([one, two], SINCE), asked(), carry_over)
    [told] = [d for d in found.disagreements if d.meter == "input"]
    assert (told.usd, told.usd_low, told.usd_high) == (3225 * MICRO, low * MICRO, high * MICRO)
    assert (told.used_source, told.other_source, told.other_grade) == ("s", "o", Grade.ASSUMED)
    assert not {a.kind for a in found.alerts} & {"disagreement"}


# --- the threshold ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("threshold", "alarm"),
    [
        (Threshold(share=Fraction(405, 2820)), False),  # beyond, not at
        (Threshold(share=Fraction(404, 2820)), True),
        (Threshold(usd=405 * MICRO), False),
        (Threshold(usd=404 * MICRO), True),
        (Threshold(usd=Fraction(0)), True),
    ],
)
def test_the_threshold(tmp_path: Path, threshold: Threshold, alarm: bool) -> None:
    found = watched(tmp_path, threshold=threshold)
    assert ("total" in {a.kind for a in found.alerts}) == alarm


def test_one_dearer_and_one_cheaper_are_alarms_though_the_sum_is_as_before(tmp_path: Path) -> None:
    """gamma's output falls from 2 to 1.595: 1,000 x 0.405 = 405 less, as much as acme's rise."""
    text = CARD.replace(
        'input = 1\noutput = 2\n',
        'input = 1\noutput = 2\n[[offer.price]]\nvalid_from = 2026-10-05\nsource = "s"\n[offer.price.rates]\n'
        "input = 1\noutput = 1.595\n",
    )  # fmt: skip
    rows = [*ROWS, Usage(at=AT, provider="gamma", model_served="other-9b", quantities={"output": 1000})]
    found = watched(tmp_path, rows, text=text)
    assert found.change == 0
    assert {(a.kind, a.offer) for a in found.alerts} >= {("dearer", "acme/wing-70b"), ("cheaper", "gamma/other-9b")}
    assert "total" not in {a.kind for a in found.alerts}


# --- properties -------------------------------------------------------------------------------

CONNECTION = connect()


class Alone(Book):
    """A book in which nothing may be proposed instead: these tests are of changes."""

    def offers(self, provider: str | None = None) -> Iterator[Offer]:
        return iter(())


def staged(rows: list[Usage]) -> UsageTable:
    CONNECTION.execute("DROP VIEW IF EXISTS watched_0; DROP VIEW IF EXISTS watched_1; DROP TABLE IF EXISTS usage")
    return stage(rows, CONNECTION)


@settings(
    phases=[Phase.explicit, Phase.reuse, Phase.generate], deadline=None, max_examples=8,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(offers("m"), offers("n", linear=True), logs())
def test_changes_add_up_over_offers_and_over_time(one: Offer, two: Offer, rows: list[Usage]) -> None:
    """From the first day to the last is from the first to the one between, and from there to the last; the whole is
    the sum of the offers; and nothing changes between an instant and itself."""
    if not rows:
        return
    table = staged(rows)
    book = Alone([Card(offers=(one, two), sources={})])
    days = [datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=n) for n in (0, 20, 41)]

    def change(since: datetime, until: datetime) -> Watch:
        return watch(table, book, book, asked(since=since, until=until), carry_over)

    whole, first, second = change(days[0], days[2]), change(days[0], days[1]), change(days[1], days[2])
    if None not in (whole.then.usd, first.now.usd, second.now.usd):
        assert whole.change == (first.change or ZERO) + (second.change or ZERO)
    for found in (whole, first, second):
        known = [offer.change for offer in found.offers]
        if found.now.usd is not None and found.then.usd is not None:
            assert found.change == sum((c for c in known if c is not None), ZERO) and None not in known
        assert found.rows == found.now.rows == found.then.rows
    assert all(offer.change in (0, None) for offer in change(days[1], days[1]).offers)

"""Changes and corrections: each rule by an example, the known cuts of 2023-2026 among them."""

import json
import random
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.evidence import Grade, Source
from farthing.rates.card import Offer, Price, Rate
from farthing.rates.feeds.litellm import read
from farthing.rates.series.events import Event, judged
from farthing.rates.series.read import Series
from farthing.rates.series.snapshot import Snapshot, snapshot_of

Listed = Mapping[str, tuple[Any, ...]]


def listed(day: str, models: Listed, source: str = "litellm") -> Snapshot:
    """A list of `day`: name to (input, output, cache_read) in dollars per million tokens; "provider:name" for others
    than OpenAI."""
    entries = {}
    for name, prices in models.items():
        provider, _, model = name.rpartition(":")
        entry: dict[str, Any] = {"litellm_provider": provider or "openai", "mode": "chat"}
        keys = ("input_cost_per_token", "output_cost_per_token", "cache_read_input_token_cost")
        for key, usd in zip(keys, prices, strict=False):
            if usd is not None:
                entry[key] = float(Decimal(str(usd)) / 1_000_000)
        entries[f"{provider}/{model}" if provider else model] = entry
    made, problems = snapshot_of(
        read(json.dumps(entries).encode(), "list"), source, date.fromisoformat(day), day, f"{source}/{day}.json"
    )
    assert not problems
    return made


def series(*snapshots: Snapshot) -> Series:
    by_source: dict[str, list[Snapshot]] = {}
    for one in snapshots:
        by_source.setdefault(one.source, []).append(one)
    return Series(
        snapshots={name: tuple(made) for name, made in by_source.items()}, problems=(), notes=(), files=len(snapshots)
    )


def of(events: tuple[Event, ...], model: str, meter: str = "input") -> list[Event]:
    """The events of a price, oldest first."""
    return [e for e in reversed(events) if e.key.subject.model == model and e.key.meter == meter]


def steps(model: str, *days: tuple[str, Listed], meter: str = "input") -> list[Event]:
    return of(judged(series(*[listed(day, models) for day, models in days])).events, model, meter)


def stated(model: str, *prices: tuple[str, Any, Any]) -> Offer:
    source = Source(id="v", title="The vendor", where="x", seen=None, grade=Grade.VENDOR_STATED)
    return Offer(
        provider="openai",
        model=model,
        prices=tuple(
            Price(
                source=source,
                valid_from=datetime.fromisoformat(day).replace(tzinfo=UTC),
                rates=tuple(
                    Rate(meter=meter, amount=Decimal(str(usd)), per=1_000_000)
                    for meter, usd in (("input", input_usd), ("output", output_usd))
                ),
            )
            for day, input_usd, output_usd in prices
        ),
    )


MONTHS = ["2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01", "2024-05-01", "2024-06-01"]


def test_an_event_has_both_clocks_and_both_sources() -> None:
    (event,) = steps("m", ("2024-01-01", {"m": (4, 8)}), ("2024-02-01", {"m": (4, 8)}), ("2024-03-01", {"m": (2, 4)}))
    assert (event.before, event.now) == (4, 2)
    assert (event.after, event.by, event.recorded) == (date(2024, 2, 1), date(2024, 3, 1), date(2024, 3, 1))
    assert (event.told[0].before, event.told[0].now) == ("2024-02-01", "2024-03-01")
    assert event.verdict == "change" and event.holds == "to" and event.reason


def test_one_list_has_no_event() -> None:
    assert judged(series(listed("2024-01-01", {"m": (4, 8)}))).events == ()


def test_an_offer_that_vanishes_is_no_change_of_a_price() -> None:
    found = judged(
        series(
            listed("2024-01-01", {"old": (4, 8), "m": (1, 1)}),
            listed("2024-02-01", {"m": (1, 1), "new": (3, 3)}),
        )
    )
    assert [(e.verdict, e.key.subject.model, e.key.meter, dict(e.prices)) for e in found.events] == [
        ("withdrawn", "old", "", {"input": 4, "output": 8}),
        ("first-seen", "new", "", {"input": 3, "output": 3}),
    ]


def test_an_offer_that_comes_back_with_its_price_is_no_event_of_prices() -> None:
    there, gone = {"m": (4, 8), "n": (1, 1)}, {"n": (1, 1)}
    found = judged(series(*[listed(d, m) for d, m in zip(MONTHS, (there, gone, there), strict=False)]))
    assert found.events == ()
    assert sorted(seen.vanished for seen in found.histories["litellm"].seen.values()) == [0, 1]


@pytest.mark.parametrize(
    ("before", "now", "says"),
    [
        ((0.4, 0.8), (0.0004, 0.0008), "unit slip: it fell by exactly 10^3"),
        ((2_700_000, 4), (2.7, 4), "unit slip: it fell by exactly 10^6"),
        ((0.03, 0.06), (3, 6), "unit slip: it rose by exactly 10^2"),
        ((0.5, 6800), (0.5, 0.85), "fell by a factor of 8,000"),
        ((0, 0), (3, 6), "0 stood for a price that was not known"),
        ((2, 8), (8, 2), "input and output were swapped"),
        ((0.27, 1), (0.2705, 1), "other digits"),
    ],
)
def test_slips_swaps_and_zeros_are_corrections(before: tuple[Any, ...], now: tuple[Any, ...], says: str) -> None:
    days = [(d, {"m": p}) for d, p in zip(MONTHS, (before, before, now, now), strict=False)]
    found = steps("m", *days, meter="output" if before[0] == now[0] else "input")
    assert [e.verdict for e in found] == ["correction"] and says in found[0].reason


def test_a_tenfold_step_is_judged_by_other_hosts_of_the_model() -> None:
    """Claude 3 Opus stood at 1.5 and 7.5 on Vertex; it was 15 and 75 everywhere."""
    maker = {"anthropic:claude-3-opus-20240229": (15, 75)}
    wrong, right = {"vertex_ai:claude-3-opus@20240229": (1.5, 7.5)}, {"vertex_ai:claude-3-opus@20240229": (15, 75)}
    days = [(d, {**maker, **m}) for d, m in zip(MONTHS, (wrong, wrong, right, right), strict=False)]
    (event,) = steps("claude-3-opus@20240229", *days)
    assert event.verdict == "correction" and event.holds == "to" and "right now" in event.reason
    # The other way round the list got worse, and the old price is the right one (Claude Instant, December 2023).
    days = [(d, {**maker, **m}) for d, m in zip(MONTHS, (right, right, wrong, wrong), strict=False)]
    (event,) = steps("claude-3-opus@20240229", *days)
    assert event.verdict == "correction" and event.holds == "from" and "right before" in event.reason


def test_an_edit_that_is_reverted_is_two_corrections() -> None:
    days = [(d, {"m": (p, 8)}) for d, p in zip(MONTHS, (4, 4, 3, 4, 4), strict=False)]
    first, second = steps("m", *days)
    assert (first.verdict, first.holds, second.verdict, second.holds) == ("correction", "from", "correction", "to")
    assert "reverted by 2024-04-01" in first.reason and "reverts a wrong edit" in second.reason


def test_a_promotion_that_two_sources_saw_is_no_wrong_edit() -> None:
    found = judged(
        series(
            *[listed(d, {"m": (p, 8)}, s) for s in ("litellm", "b") for d, p in zip(MONTHS, (4, 3, 4), strict=False)]
        )
    )
    first, second = of(found.events, "m")
    assert first.verdict == second.verdict == "change"
    assert {told.source for told in first.told} == {"b", "litellm"}  # one event, with both sources


def test_a_long_spell_is_no_wrong_edit() -> None:
    days = [("2024-01-01", {"m": (4, 8)}), ("2024-06-01", {"m": (3, 6)}), ("2025-06-01", {"m": (4, 8)})]
    assert "revert" not in " ".join(e.reason for e in steps("m", *days))


def test_a_first_mistake_put_right_is_a_correction() -> None:
    others = {"n": (1, 1)}
    days = [("2024-01-01", others), ("2024-02-01", {**others, "m": (6, 9)}), ("2024-02-15", {**others, "m": (4, 8)})]
    (event,) = steps("m", *days)
    assert event.verdict == "correction" and "within 14 days of its first appearance" in event.reason


def test_a_vendors_word_decides_and_dates_it() -> None:
    """o3: 10 and 40 until 2025-06-10, then 2 and 8; the list had it five days later."""
    lists = series(listed("2025-05-01", {"o3": (10, 40)}), listed("2025-06-15", {"o3": (2, 8)}))
    found = judged(lists, [stated("o3", ("2025-04-16", 10, 40), ("2025-06-10", 2, 8))])
    (event,) = of(found.events, "o3")
    assert (event.verdict, event.since, event.start) == ("change", date(2025, 6, 10), date(2025, 6, 10))
    assert event.reason == "stated by The vendor"


def test_a_dated_word_from_before_the_list_makes_it_a_correction() -> None:
    lists = series(listed("2025-05-01", {"m": (10, 40)}), listed("2025-06-15", {"m": (2, 8)}))
    (event,) = of(judged(lists, [stated("m", ("2025-01-01", 2, 8))]).events, "m")
    assert event.verdict == "correction" and "stated it from 2025-01-01" in event.reason


def test_the_snapshot_of_a_model_moves_with_its_name() -> None:
    old, new = {"o3": (10, 40), "o3-2025-04-16": (10, 40)}, {"o3": (2, 8), "o3-2025-04-16": (2, 8)}
    lists = series(listed("2025-06-01", old), listed("2025-06-15", new), listed("2025-06-20", {**new, "x": (1, 1)}))
    found = judged(lists, [stated("o3", ("2025-06-10", 2, 8))])
    (event,) = of(found.events, "o3-2025-04-16")
    assert event.verdict == "change" and event.reason.startswith("as o3: stated by The vendor")


def test_a_list_that_is_late_is_corrected_and_the_better_day_is_kept() -> None:
    """gpt-4o-mini's cached price, say: one source had it half a year before the other."""
    found = judged(
        series(
            *[listed(d, {"m": (p, 8)}) for d, p in zip(MONTHS, (4, 4, 4, 4, 4, 2), strict=True)],
            listed("2024-02-15", {"m": (2, 8)}, "b"),
            listed("2024-03-15", {"m": (2, 8), "x": (1, 1)}, "b"),
        )
    )
    (event,) = of(found.events, "m")
    assert event.verdict == "correction" and "the list was late: b had the new value by 2024-02-15" in event.reason
    assert (event.since, event.since_source) == (date(2024, 2, 15), "b")


def test_a_source_that_was_right_before_shows_that_the_other_was_wrong() -> None:
    found = judged(
        series(
            listed("2023-12-01", {"m": (2, 8)}, "b"),
            listed("2024-06-15", {"m": (2, 8), "x": (1, 1)}, "b"),
            *[listed(d, {"m": (p, 8)}) for d, p in zip(MONTHS, (4, 4, 4, 4, 4, 2), strict=True)],
        )
    )
    (event,) = of(found.events, "m")
    assert event.verdict == "correction" and "wrong since it stood there: b never said so" in event.reason
    assert event.since is None


def test_models_that_move_by_one_factor_on_one_day_are_a_cut() -> None:
    """A cut by half, as of Mistral Large and Small in June 2024, seen 14 days after a first list with them."""
    others = {"mistral:mistral-tiny": (0.25, 0.25)}
    names = ("mistral:mistral-large", "mistral:mistral-small", "mistral:mistral-medium")
    old, new = dict.fromkeys(names, (8, 24)), dict.fromkeys(names, (4, 12))
    days = [("2024-01-01", others), ("2024-06-01", {**others, **old}), ("2024-06-15", {**others, **new})]
    (event,) = steps("mistral-large", *days)
    assert event.verdict == "change" and "3 models moved by the factor 0.5 on one day" in event.reason


def test_names_that_come_to_lead_to_one_model_are_changes() -> None:
    """xAI led its retired models to Grok 4.3 in September 2026: all of them at 1.25 and 2.5 on one day."""
    old = {"xai:grok-3": (3, 15), "xai:grok-3-mini": (0.3, 0.5), "xai:grok-4-fast": (0.2, 0.5)}
    new = dict.fromkeys(old, (1.25, 2.5))
    (event,) = steps("grok-3-mini", ("2026-09-01", old), ("2026-09-15", new))
    assert event.verdict == "change" and "3 names went to one price on one day" in event.reason


def test_a_name_that_begins_to_lead_to_a_newer_model_is_a_change() -> None:
    small = {"mistral:mistral-small-latest": (1, 3)}
    newer = {"mistral:mistral-small-2503": (0.1, 0.3)}
    days = [
        ("2025-01-01", small),
        ("2025-03-01", {**small, **newer}),
        ("2025-03-15", {"mistral:mistral-small-latest": (0.1, 0.3), **newer}),
    ]
    (event,) = steps("mistral-small-latest", *days)
    assert event.verdict == "change" and "now leads to mistral-small-2503" in event.reason


def test_a_regions_surcharge_is_a_correction_on_a_cloud_and_not_elsewhere() -> None:
    cloud = [(d, {"azure:gpt-9": (p, q)}) for d, p, q in (("2024-01-01", 10, 30), ("2024-06-01", 11, 33))]
    (event,) = steps("gpt-9", *cloud)
    assert event.verdict == "correction" and "10 % is a region's surcharge" in event.reason
    direct = [(d, {"gpt-9": (p, q)}) for d, p, q in (("2024-01-01", 10, 30), ("2024-06-01", 11, 33))]
    assert steps("gpt-9", *direct)[0].verdict == "change"


@pytest.mark.parametrize(("day", "verdict"), [("2024-12-01", "change"), ("2025-09-01", "correction")])
def test_a_cloud_follows_the_maker_at_once_or_late(day: str, verdict: str) -> None:
    """GPT-4o at OpenAI fell from 5 and 15 to 2.5 and 10 in October 2024; Azure's row followed in April 2025."""
    old, new = (5, 15), (2.5, 10)
    found = judged(
        series(
            listed("2024-06-01", {"gpt-4o": old, "azure:gpt-4o": old}),
            listed("2024-11-01", {"gpt-4o": new, "azure:gpt-4o": old}),
            listed(day, {"gpt-4o": new, "azure:gpt-4o": new}),
        )
    )
    (event,) = [e for e in of(found.events, "gpt-4o") if e.key.subject.provider == "azure"]
    assert event.verdict == verdict and "openai moved alike by 2024-11-01" in event.reason


def test_a_list_brought_up_to_date_at_once_is_unclear() -> None:
    """DeepInfra's rows in LiteLLM stood from April 2024 to September 2025, and were then all replaced."""
    hosted = [f"deepinfra:model-{n}-{n}b" for n in range(1, 9)]
    old = {name: (1 + n, 2 + n) for n, name in enumerate(hosted)}
    new = {name: (0.9 + 0.7 * n, 1.1 + 0.8 * n) for n, name in enumerate(hosted)}
    days = [("2024-04-01", old), ("2025-08-15", {**old, "m": (1, 1)}), ("2025-09-01", new)]
    (event,) = steps("model-5-5b", *days)
    assert event.verdict == "unclear" and "8 offers of deepinfra were revised at once" in event.reason


def test_cached_tokens_follow_input() -> None:
    days = [(d, {"m": p}) for d, p in zip(MONTHS, ((4, 8, 0.4), (4, 8, 0.4), (2, 4, 0.2)), strict=False)]
    (event,) = steps("m", *days, meter="cache_read")
    assert event.verdict == "change" and event.reason.startswith("as input: input and output moved the same way")


def test_a_lone_step_of_one_meter_is_unclear() -> None:
    days = [(d, {"m": p}) for d, p in zip(MONTHS, ((4, 8), (4, 8), (4, 7)), strict=False)]
    assert [e.verdict for e in steps("m", *days, meter="output")] == ["unclear"]


KNOWN_CUTS = [
    # model, old in and out, the last list with it; new in and out, the first list with it (facts of the vendors)
    ("gpt-4o", (5, 15), "2024-09-15", (2.5, 10), "2024-10-15"),  # OpenAI, 2 October 2024
    ("o3", (10, 40), "2025-06-01", (2, 8), "2025-06-15"),  # OpenAI, 10 June 2025
    ("anthropic:claude-2", (11.02, 32.68), "2023-11-15", (8, 24), "2023-12-15"),  # Anthropic, 21 November 2023
    ("anthropic:claude-3-5-haiku-20241022", (1, 5), "2024-12-01", (0.8, 4), "2024-12-15"),  # December 2024
    ("gemini:gemini-1.5-flash", (0.35, 1.05), "2024-08-01", (0.075, 0.3), "2024-09-01"),  # Google, 12 August 2024
    ("gemini:gemini-1.5-pro", (3.5, 10.5), "2024-09-15", (1.25, 5), "2024-10-15"),  # Google, 1 October 2024
    ("deepseek:deepseek-chat", (0.14, 0.28), "2025-02-01", (0.27, 1.1), "2025-02-15"),  # end of the promotion
    ("cohere:command-r-plus", (3, 15), "2024-08-15", (2.5, 10), "2024-09-15"),  # Cohere, 30 August 2024
]


@pytest.mark.parametrize(("name", "old", "after", "new", "by"), KNOWN_CUTS)
def test_known_cuts_are_changes(name: str, old: tuple[Any, ...], after: str, new: tuple[Any, ...], by: str) -> None:
    """From lists alone: the old price in the first list and until `after`, the new one from `by` on."""
    rest = {"other": (1, 1)}
    lists = [("2023-06-01", {**rest, name: old}), (after, {**rest, name: old, "x": (1, 1)}), (by, {**rest, name: new})]
    for meter in ("input", "output"):
        (event,) = steps(name.rpartition(":")[2], *lists, meter=meter)
        assert event.verdict == "change", event.reason
        assert (event.after, event.by) == (date.fromisoformat(after), date.fromisoformat(by))


prices = st.sampled_from([0, 0.5, 1, 2, 3, 10, 3000])
tables = st.dictionaries(st.sampled_from(["a", "b-1", "azure:b-1", "c-latest"]), st.tuples(prices, prices), min_size=1)


@settings(deadline=None, max_examples=60)
@given(st.lists(tables, min_size=1, max_size=6), st.integers(0, 99))
def test_every_step_is_judged_once_and_the_order_given_is_no_matter(lists: list[Any], seed: int) -> None:
    made = [listed(day, models) for day, models in zip(MONTHS, lists, strict=False)]
    found = judged(series(*made))
    expected = 0
    known: dict[Any, Decimal] = {}
    for one in made:
        expected += sum(key in known and known[key] != value for key, value in one.prices.items())
        known.update(one.prices)
    assert len(found.steps) == expected
    priced = [e for e in found.events if e.key.meter]
    assert len(priced) == expected  # one source: nothing merges
    assert all(e.verdict in ("change", "correction", "unclear") and e.reason for e in priced)
    assert all(e.after is not None and e.after < e.by for e in priced)
    random.Random(seed).shuffle(made)
    again = judged(series(*sorted(made, key=lambda one: one.day)))
    assert again.events == found.events


# --- slips that one list cannot show ------------------------------------------------------------


def test_by_ten_beside_a_sibling_that_stays_is_a_slip() -> None:
    """claude-instant-1.2 in December 2023: 1.63 and 5.51 became a tenth, claude-instant-1 beside it kept them."""
    before = {"a-instant-1": (1.63, 5.51), "a-instant-1.2": (1.63, 5.51)}
    after = {"a-instant-1": (1.63, 5.51), "a-instant-1.2": (0.163, 0.551)}
    days = ((MONTHS[0], before), (MONTHS[1], before), (MONTHS[2], before), (MONTHS[3], after), (MONTHS[4], after))
    (event,) = steps("a-instant-1.2", *days)
    assert (event.verdict, event.holds) == ("correction", "from") and "a-instant-1 still costs" in event.reason
    alone = tuple((day, {"a-instant-1.2": models["a-instant-1.2"]}) for day, models in days)
    (event,) = steps("a-instant-1.2", *alone)
    assert (event.verdict, event.holds) == ("correction", "to")
    latest = tuple((day, {"a-latest": models["a-instant-1.2"]}) for day, models in days)
    assert "slip of the point" not in steps("a-latest", *latest)[0].reason  # the name may lead to another model


def test_ten_but_for_rounding_is_ten() -> None:
    """Databricks' prices come from units of $0.07, so a tenth of 5 is 0.50001."""
    days = [(day, {"llama-4-9": (5, 15)}) for day in MONTHS[:3]] + [
        (day, {"llama-4-9": (0.50001, 1.50003)}) for day in MONTHS[3:5]
    ]
    (event,) = steps("llama-4-9", *days)
    assert event.verdict == "correction" and "10" in event.reason


def test_many_times_what_all_others_ask_was_wrong() -> None:
    others = {"groq:m-9-70b": (0.3, 0.4), "nebius:m-9-70b": (0.2, 0.4)}
    days = [(day, {**others, "novita:m-9-70b": (3.7, 17)}) for day in MONTHS[:3]]
    days += [(day, {**others, "novita:m-9-70b": (0.21, 1)}) for day in MONTHS[3:5]]
    found = [e for e in judged(series(*[listed(*day) for day in days])).events if e.key.meter == "input"]
    # 3.7 / median(0.3, 0.2) = 14.8, more than 8; 0.21 is within 3 times of it.
    assert [(e.verdict, "times what 2 other offers" in e.reason) for e in found] == [("correction", True)]
    dearer = [(day, {**others, "novita:m-9-70b": (1.2, 2)}) for day in MONTHS[:3]]  # 4.8 times: dear, and possible
    dearer += [(day, {**others, "novita:m-9-70b": (0.21, 1)}) for day in MONTHS[3:5]]
    (event,) = [e for e in judged(series(*[listed(*day) for day in dearer])).events if e.key.meter == "input"]
    assert "times what" not in event.reason


def test_a_preview_that_became_a_model_of_its_name_costs_what_that_does() -> None:
    days: list[tuple[str, Listed]] = [(day, {"f-2-preview-05-20": (0.15, 0.6)}) for day in MONTHS[:2]]
    days += [(day, {"f-2-preview-05-20": (0.3, 2.5), "f-2": (0.3, 2.5)}) for day in MONTHS[2:4]]
    (event,) = steps("f-2-preview-05-20", *days)
    assert event.verdict == "change" and "now leads to f-2" in event.reason

"""A ledger priced again, and read as usage: what nobody knows stays unknown, what was nothing stays nothing, and what
the gateway priced in a way of its own is priced so again."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest

from farthing.charges.bill import price_records
from farthing.ledger.days import close_days
from farthing.ledger.decisions import requests_in
from farthing.ledger.export import export
from farthing.ledger.ledger import Ledger
from farthing.ledger.reprice import Repriced, reprice
from farthing.ledger.row import Attempt
from farthing.ledger.summary import summarise_ledger
from farthing.policies.question import Question, Replay
from farthing.policies.replay import replay
from farthing.policies.routing import Context, Decision
from farthing.policies.routing.file import PolicyFile
from farthing.policies.routing.offline import Routed, TargetRow, replay_routing
from farthing.problems import Problems
from farthing.rates.book import Book
from farthing.rates.card import Offer, Price, Rate
from farthing.rates.kept import as_priced
from farthing.rates.select import Unknown
from farthing.rates.toml import Card, load_card
from farthing.reports.ledger import repriced_json, repriced_view
from farthing.reports.replay import replay_json, replay_view
from farthing.reports.routing import routed_json, routed_view
from farthing.reports.usage import summary_view
from farthing.usage.read import read_usage
from farthing.usage.record import PriceRecord, Usage
from farthing.usage.summary import summarise
from tests.ledger.made import DAY_US, NOON_US, OFFER, SOURCE, done
from tests.policies.routing.cases import chain
from tests.policies.test_replay import CARD

NOW = datetime(2026, 11, 22, tzinfo=UTC)
BOOK = Book([Card(offers=(OFFER,), sources={})])
BROKEN = "no answer came (broken): what was consumed is not known"
FREE_USD = Decimal("0.5")
OWN = Offer(
    provider="host",
    model="own-box",
    prices=(Price(source=SOURCE, rates=tuple(Rate(meter=m, amount=FREE_USD, per=1000) for m in ("input", "output"))),),
)
COUNTS = {"input": 100, "output": 10}
# $2.50 and $10 a million: 100 x 2.5 + 10 x 10
ONE = Fraction(350, 10**6)


def aimed(target: str) -> str:
    return Decision(target=target, policy="passthrough", probability=Fraction(1),
                    alternatives=((target, Fraction(1)),), context=Context(targets=(target,))).log()  # fmt: skip


def nothing(seed: int, /, **fields: Any) -> Attempt:
    """An attempt that failed with an answer of status 500."""
    values: dict[str, Any] = {
        "state": "failed",
        "status": 500,
        "quantities": {},
        "usd": "0",
        "model_served": "",
        **fields,
    }
    return done(seed, **values)


@pytest.fixture(params=["hot", "closed"])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    with Ledger.open(tmp_path / "data") as ledger:
        own = ledger.price_name(OWN, OWN.prices[0])
        ledger.write([
            done(1, ledger=ledger, quantities=COUNTS),
            # an alias whose first target fails without cost, whose second breaks off, and whose third answers
            nothing(2, request="r2", model_asked="fast", decision=aimed("main/gpt-test")),
            nothing(3, request="r2", number=2, model_asked="fast", decision=aimed("main/gpt-test"), status=None,
                    usd=None, unknown=BROKEN),
            done(4, ledger=ledger, request="r2", number=3, model_asked="fast", quantities=COUNTS,
                 decision=aimed("main/gpt-test")),
            # an upstream at a stated offer, and one priced by a record that no book has
            done(5, ledger=ledger, provider="two", upstream="two", quantities=COUNTS),
            done(6, provider="llamacpp", upstream="local", model_asked="phi", model_served="phi", quantities=COUNTS,
                 price=own, usd="0.055"),
            done(7, surface="messages/count_tokens", quantities={}, usd="0", price=""),
            nothing(8, state="lost", status=None, usd=None),
            # a client's mistake: nothing answered, nothing consumed
            nothing(9, status=400),
        ])  # fmt: skip
    if request.param == "closed":
        close_days(tmp_path / "data", NOON_US + 2 * DAY_US)
    return tmp_path / "data"


def shown(view: object) -> str:
    from rich.console import Console

    console = Console(width=160)
    with console.capture() as capture:
        console.print(view)
    return capture.get()


def test_repriced_unknown_stays_unknown(folder: Path) -> None:
    found: Repriced = reprice(folder, BOOK)
    assert found.differ == 0, found.differences
    offers = {one.offer: one for one in found.offers}
    main = offers["openai/gpt-test"]
    # r1, three tries of r2, the counting, the lost one and the mistake
    assert (main.rows, main.recorded_usd, main.repriced_usd) == (7, 2 * ONE, 2 * ONE)
    assert (main.unknown_before, main.unknown_now) == (2, 2)
    assert main.reasons == {BROKEN: 1, "lost with its worker: nobody knows what it consumed": 1}
    assert "2 attempts without a known charge under this book" in shown(repriced_view(found))


def test_repriced_by_what_the_gateway_priced_by(folder: Path) -> None:
    offers = {one.offer: one for one in reprice(folder, BOOK).offers}
    assert set(offers) == {"openai/gpt-test", "two/gpt-test", "llamacpp/phi"}
    two, own = offers["two/gpt-test"], offers["llamacpp/phi"]
    assert (two.repriced_usd, two.unknown_now) == (ONE, 0)
    assert list(two.notes) == ["two/gpt-test is priced as openai/gpt-test, as it was charged"]
    assert (own.repriced_usd, own.unknown_now) == (Fraction(55, 1000), 0)  # 110 x 0.5 / 1,000
    assert "under the record that it was charged under (host/own-box " in next(iter(own.notes))
    assert repriced_json(reprice(folder, BOOK))["offers"][0]["notes"] == dict(own.notes)
    # Another price of the stated offer is taken, not the recorded one.
    dearer = tuple(msgspec.structs.replace(rate, amount=(rate.amount or 0) * 2) for rate in OFFER.prices[0].rates)
    price = msgspec.structs.replace(OFFER.prices[0], rates=dearer)
    again = reprice(folder, Book([Card(offers=(msgspec.structs.replace(OFFER, prices=(price,)),), sources={})]))
    assert {one.offer: one.repriced_usd for one in again.offers}["two/gpt-test"] == 2 * ONE


def usage_of(folder: Path) -> tuple[list[Usage], Problems]:
    problems = Problems()
    return list(read_usage([folder], problems)), problems


def test_usage_is_what_consumed_or_answered(folder: Path) -> None:
    found, problems = usage_of(folder)
    assert sorted(usage.tags["request"] for usage in found) == ["r1", "r2", "r2", "r5", "r6", "r8"]
    assert sorted(filter(None, (usage.unmeasured for usage in found))) == [
        "lost with its worker: nobody knows what it consumed", BROKEN,
    ]  # fmt: skip
    assert {(usage.model, usage.model_asked) for usage in found if usage.tags["request"] == "r2"} == {
        ("gpt-test", "fast")
    }
    assert problems.notes == [
        f"{folder / 'ledger.sqlite'}: 9 attempts at 7 requests, 6 of them counted here; left out: "
        "2 failed before anything was consumed, 1 only counted tokens"
    ]
    summary = summarise(iter(found), problems)
    assert (summary.rows, summary.prompt.count, summary.without_tokens) == (6, 4, 0)
    assert sum(summary.unmeasured.values()) == 2 and summary.notes == problems.notes
    text = shown(summary_view(summary))
    assert "2 rows of which nobody knows what they consumed: all counts are at least" in text
    assert "9 attempts at 7 requests" in text


def test_replay_keeps_unknown_and_the_gateways_own_prices(folder: Path) -> None:
    problems = Problems()
    answer: Replay = replay(
        lambda: read_usage([folder], problems if not problems.notes else Problems()), BOOK,
        Question(now=NOW, to=("openai/gpt-test",)),
    )  # fmt: skip
    assert (answer.as_is.total_usd, answer.as_is.unpriced_rows, answer.unmeasured) == (None, 2, 2)
    assert answer.as_is.known_usd == 3 * ONE + Fraction(55, 1000)
    assert answer.as_is.reasons == {BROKEN: 1, "lost with its worker: nobody knows what it consumed": 1}
    assert {row.offer: (row.known_usd, row.unpriced_rows) for row in answer.models} == {
        "openai/gpt-test": (3 * ONE, 2), "host/own-box": (Fraction(55, 1000), 0),
    }  # fmt: skip
    [moved] = [row for row in answer.rows if row.offer == "openai/gpt-test" and row.policy == "as-is"]
    assert (moved.total_usd, moved.known_usd, moved.unpriced_rows) == (None, 4 * ONE, 2)
    text = shown(replay_view(answer, "data", problems))
    assert "at least $0.05605 " in text and "≥ $.0014" in text and "9 attempts at 7 requests" in text
    assert replay_json(answer, "data", problems)["usage"]["unmeasured_rows"] == 2


def test_the_cheapest_are_told_in_spite_of_what_is_unknown(folder: Path) -> None:
    answer = replay(lambda: read_usage([folder], Problems()), BOOK, Question(now=NOW))
    assert answer.everywhere and all(row.total_usd is None for row in answer.everywhere)
    cheapest = shown(replay_view(answer, "data", Problems())).partition("the cheapest 5 of")[2]
    assert cheapest.count("≥ $") == 5


def test_one_by_one_and_in_columns_are_the_same(folder: Path) -> None:
    bill = price_records(usage_of(folder)[0], BOOK.offer_of)
    answer = replay(lambda: read_usage([folder], Problems()), BOOK, Question(now=NOW, to=("openai/gpt-test",)))
    assert (bill.usd, bill.rows, bill.unpriced, bill.reasons) == (
        answer.as_is.known_usd, answer.as_is.rows, answer.as_is.unpriced_rows, answer.as_is.reasons
    )  # fmt: skip
    # Steps are priced row by row.
    book = Book([load_card(CARD)])
    answer = replay(lambda: read_usage([folder], Problems()), book, Question(now=NOW, to=("best/stepped",)))
    moved = next(row for row in answer.rows if row.offer == "best/stepped")
    assert (moved.offer, moved.rows, moved.unpriced_rows, bool(moved.known_usd)) == ("best/stepped", 6, 2, True)


def test_where_it_was_served_is_said(folder: Path) -> None:
    answer = replay(lambda: read_usage([folder], Problems()), BOOK, Question(now=NOW, served="openai/gpt-test"))
    assert (answer.as_is.known_usd, answer.as_is.unpriced_rows, answer.as_is.offer) == (4 * ONE, 2, "openai/gpt-test")


def test_a_record_that_cannot_be_read_is_none() -> None:
    broken = PriceRecord(name="host/x undated card 0", offer="host/x", record='{"rates": 1}')
    offer, note = as_priced(BOOK, "llamacpp", "phi", None, broken)
    assert isinstance(offer, Unknown) and not note
    assert "llamacpp" in offer.reason


def routed(folder: Path, text: str) -> Routed:
    return replay_routing(requests_in(folder), BOOK, PolicyFile(name="p.toml", chain=chain(text)), Question(now=NOW))


def target(answer: Routed, name: str) -> TargetRow:
    return next(row for row in answer.targets if row.target == name)


def test_policies_on_it(folder: Path) -> None:
    answer = routed(folder, '[[policy]]\nkind = "passthrough"\n')
    assert (answer.requests, answer.attempts) == (6, 8)  # without the counting
    main = target(answer, "main/gpt-test")
    # The two failures without cost are no unknown, though nothing says what "fast" would cost.
    assert (main.served_usd, main.served_unpriced) == (2 * ONE, 2)
    assert (target(answer, "two/gpt-test").served_usd, target(answer, "two/gpt-test").served_unpriced) == (ONE, 0)
    assert target(answer, "local/phi").served_usd == Fraction(55, 1000)
    assert answer.as_served.total_usd is None and answer.as_served.unpriced_rows == 2


def test_a_target_without_a_price_is_not_free(folder: Path) -> None:
    answer = routed(folder, '[[policy]]\nkind = "route"\ntarget = "main/nobody-knows"\n')
    row = target(answer, "main/nobody-knows")
    assert row.unpriced and row.usd == 0 and row.share is None
    text = shown(routed_view(answer, "data", Problems()))
    [line] = [line for line in text.splitlines() if line.startswith("main/nobody-knows")]
    assert "unknown" in line and "≥ $0.0007 " in text
    [found] = [one for one in routed_json(answer, "data", Problems())["targets"] if one["target"] == row.target]
    assert (found["usd"], found["known_usd"], found["unpriced_attempts"]) == (None, "0", row.unpriced)


def test_a_failed_attempt_is_of_the_model_that_was_sent(folder: Path, tmp_path: Path) -> None:
    groups = summarise_ledger(folder, ["model"]).groups
    assert {group.key["model"] for group in groups} == {"gpt-test", "phi"}
    assert {group.key["offer"] for group in summarise_ledger(folder, ["offer", "model_asked"]).groups} == {
        "openai/gpt-test", "two/gpt-test", "llamacpp/phi"
    }  # fmt: skip
    assert {group.key["model_asked"] for group in summarise_ledger(folder, ["model_asked"]).groups} == {
        "gpt-test", "phi", "fast"
    }  # fmt: skip
    assert export(folder, tmp_path / "focus.csv", focus=True) > 0
    assert ",fast," not in (tmp_path / "focus.csv").read_text()


def test_a_decision_that_cannot_be_read_tells_no_model(tmp_path: Path) -> None:
    logs = ["{not json", '{"target":null}', '{"target":"bare"}', "[1]"]
    with Ledger.open(tmp_path) as ledger:
        ledger.write([nothing(n, model_asked="fast", decision=text) for n, text in enumerate(logs)])
    [group] = summarise_ledger(tmp_path, ["model"]).groups
    assert group.key == {"model": "fast"}


def test_reasons_with_equal_counts_are_in_the_order_of_their_text(tmp_path: Path) -> None:
    reasons = [f"reason {letter}" for letter in "ecabd"]
    with Ledger.open(tmp_path) as ledger:
        ledger.write([nothing(n, usd=None, unknown=why) for n, why in enumerate([*reasons, "reason e"])])
    expected = ["reason e", "reason a", "reason b", "reason c", "reason d"]
    for by in ([], ["model"]):
        summary = summarise_ledger(tmp_path, by)
        assert [list(group.reasons) for group in (summary.whole, *summary.groups)] == [expected] * (1 + len(by))

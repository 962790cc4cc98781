"""Decisions of a ledger made again: what the gateway decided live, and what replay decides from its rows."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest

from farthing.ledger.decisions import check_decisions, requests_in
from farthing.ledger.ledger import Ledger, attempt_id
from farthing.ledger.row import Attempt
from farthing.policies.question import Question
from farthing.policies.routing import Ask, Chain, Context, Failure, model_of, upstream_of
from farthing.policies.routing.file import Place, PolicyFile
from farthing.policies.routing.offline import Routed, replay_routing
from farthing.problems import FarthingError
from farthing.rates.book import Book
from farthing.rates.toml import load_card
from tests.ledger.made import DAY_US, NOON_US
from tests.policies.routing.cases import chain
from tests.policies.test_replay import CARD

TEXT = """
[[policy]]
kind = "split"
name = "plain"
unit = "user"
weights = { asked = 2, "one/plain" = 1 }
when = { feature = "c*", prompt_tokens = { under = 500 }, tags = { team = "a" } }

[[policy]]
kind = "split"
name = "stepped"
weights = { asked = 3, "three/stepped" = 1 }
when = { stream = true }

[[policy]]
kind = "fallback"
targets = ["two/plain", "one/m"]
on = ["429", "5xx", "timeout"]
retries = 1
"""
PLACES = {"one": Place(provider="acme"), "two": Place(provider="acme"), "three": Place(provider="best")}
BOOK = Book([load_card(CARD)])
RETRIES = 2
FAULTS = [(429, ""), (503, ""), (400, ""), (None, "timeout: first byte"), (None, "connect")]


def live(policies: Chain, ask: Ask, choose: random.Random, started_us: int) -> list[Attempt]:
    """The attempts at one request of a gateway that runs `policies`, its upstreams failing now and then."""
    rows: list[Attempt] = []
    failed: tuple[Failure, ...] = ()
    while len(rows) < 12:
        context = Context(
            attempt=len(rows) + 1,
            failed=failed,
            unavailable=frozenset(name for name in PLACES if choose.random() < 0.05),
            targets=("one/m", "two/m"),
            retries=RETRIES,
        )
        decision = policies.decide(ask, context)
        if decision.target is None:
            break
        upstream = upstream_of(decision.target)
        row = Attempt(
            attempt=attempt_id(started_us + len(rows)), request=ask.request_id, number=len(rows) + 1, state="done",
            started_us=started_us + len(rows), ended_us=started_us + 900_000, provider=PLACES[upstream].provider or "",
            upstream=upstream, model_asked=ask.model, model_served=model_of(decision.target), status=200, key=ask.key,
            protocol=ask.protocol, surface=ask.surface, streamed=ask.stream, feature=ask.feature, user=ask.user,
            request_type=ask.request_type, segment=ask.segment, session=ask.session, tags=ask.tags,
            quantities={"input": ask.prompt_tokens or 0, "output": choose.randrange(1, 40)}, decision=decision.log(),
        )  # fmt: skip
        fate = choose.random()
        if fate > 0.4:
            return [*rows, row]
        status, error = choose.choice(
            [(429, ""), (503, ""), (400, ""), (None, "timeout: first byte"), (None, "connect")]
        )
        failed += (Failure(target=decision.target, status=status, error=error, retryable=status != 400),)
        rows.append(
            msgspec.structs.replace(row, state="failed", status=status, error=error, quantities={}, usd="0", unknown="")
        )
    return rows


def asks(count: int) -> list[Ask]:
    choose = random.Random(7)
    return [
        Ask(
            request_id=f"r-{n}", model="m", surface="chat/completions", protocol="openai", key="k_1",
            feature=choose.choice(["", "chat", "code", "search"]), user=choose.choice(["", "ann", "bob", "eve"]),
            request_type="q", segment=choose.choice(["", "free"]), session=f"s{n % 9}",
            tags=choose.choice([{}, {"team": "a"}, {"team": "b", "x": "y"}]), stream=choose.random() < 0.5,
            prompt_tokens=choose.randrange(1, 1000), max_output_tokens=99, images=0, tools=choose.randrange(2),
        )
        for n in range(count)
    ]  # fmt: skip


def filled(folder: Path, count: int = 400, policies: Chain | None = None) -> int:
    """A ledger of requests over two days; how many attempts."""
    choose, rows = random.Random(3), list[Attempt]()
    for n, ask in enumerate(asks(count)):
        rows += live(policies or chain(TEXT), ask, choose, NOON_US + (n % 2) * DAY_US + n * 1_000_000)
    with Ledger.open(folder) as ledger:
        ledger.write(rows)
    return len(rows)


def replayed(folder: Path, policies: Chain) -> Routed:
    file = PolicyFile(name="p.toml", chain=policies, upstreams=PLACES, retries=RETRIES)
    return replay_routing(requests_in(folder), BOOK, file, Question(now=datetime(2026, 11, 22, tzinfo=UTC)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def close_some(folder: Path) -> None:
    from farthing.ledger.days import close_days

    close_days(folder, NOON_US + DAY_US)  # the first of the two days


@pytest.mark.parametrize("closed", [False, True])
def test_every_decision_is_made_again(folder: Path, closed: bool) -> None:
    attempts = filled(folder)
    if closed:
        close_some(folder)
    checked = check_decisions(folder, chain(TEXT))
    assert (checked.attempts, checked.agree, checked.differ) == (attempts, attempts, 0)
    assert (checked.unlogged, checked.unreadable, checked.first) == (0, 0, [])


@pytest.mark.parametrize("closed", [False, True])
def test_replay_leads_every_request_where_it_went(folder: Path, closed: bool) -> None:
    attempts = filled(folder)
    if closed:
        close_some(folder)
    answer = replayed(folder, chain(TEXT))
    assert (answer.requests, answer.attempts) == (len({r.ask.request_id for r in requests_in(folder)}), attempts)
    assert (answer.differ, answer.saved_usd) == (0, 0)
    assert answer.under.total_usd == answer.as_served.total_usd != 0


def test_another_chain_is_told_apart(folder: Path) -> None:
    attempts = filled(folder)
    checked = check_decisions(folder, chain(TEXT.replace("asked = 2", "asked = 1")))
    assert checked.agree + checked.differ == checked.other == attempts
    assert checked.agree > 50  # requests that the changed policy is not about
    assert checked.differ > 20 == len(checked.first)
    answer = replayed(folder, chain('[[policy]]\nkind = "route"\ntarget = "one/plain"'))
    assert answer.differ > 100
    assert answer.saved_usd is not None
    assert answer.saved_usd > 0
    assert {row.target for row in answer.targets if row.requests} <= {"one/plain", "one/m", "two/plain", "two/m",
                                                                      "three/stepped"}  # fmt: skip


def test_one_decision_that_was_tampered_with_is_found(folder: Path) -> None:
    change: Callable[[str], str] = lambda log: log.replace('"p":"2/3"', '"p":"1/3"')  # noqa: E731
    made = next(
        ask for ask in asks(400) if chain(TEXT).decide(ask, Context(targets=("one/m",))).probability == Fraction(2, 3)
    )
    decision = chain(TEXT).decide(made, Context(targets=("one/m",), retries=RETRIES))
    rows = [
        Attempt(
            attempt=attempt_id(NOON_US + n), request=made.request_id, started_us=NOON_US + n, state="done",
            key=made.key, model_asked=made.model, feature=made.feature, user=made.user, tags=made.tags,
            streamed=made.stream, decision=log,
        )
        for n, log in enumerate([decision.log(), change(decision.log()), "", "{not json"])
    ]  # fmt: skip
    with Ledger.open(folder) as ledger:
        ledger.write(rows)
    checked = check_decisions(folder, chain(TEXT))
    assert (checked.attempts, checked.agree, checked.differ, checked.other) == (4, 1, 1, 0)
    assert (checked.unlogged, checked.unreadable) == (1, 1)
    assert [(one.attempt, one.reason) for one in checked.first] == [(rows[1].attempt, "probability")]


def test_requests_in_progress_and_lost_attempts(folder: Path) -> None:
    def row(request: str, number: int, state: str, **fields: object) -> Attempt:
        return Attempt(
            attempt=attempt_id(), request=request, number=number, started_us=NOON_US + number, state=state,
            provider="acme", upstream="one", model_asked="one/m", **fields,  # type: ignore[arg-type]
        )  # fmt: skip

    with Ledger.open(folder) as ledger:
        ledger.write([
            row("a", 1, "failed", status=429, quantities={}), row("a", 2, "open"),
            row("b", 1, "lost"), row("c", 1, "done", quantities={"input": 10, "output": 5}),
            row("d", 2, "done", quantities={"input": 7}), row("d", 1, "failed", error="connect"),
            row("e", 1, "done", unknown="the stream told no usage"),
        ])  # fmt: skip
    found = {one.ask.request_id: one for one in requests_in(folder)}
    assert set(found) == {"b", "c", "d", "e"}
    assert [seen.target for seen in found["d"].attempts] == ["one/m", "one/m"]
    assert found["d"].attempts[0].failure == Failure(target="one/m", error="connect", retryable=True)
    assert found["d"].ask.prompt_tokens == 7
    assert "lost" in found["b"].attempts[0].unmeasured
    assert found["e"].attempts[0].unmeasured == "the stream told no usage"
    assert found["c"].attempts[0].unmeasured == ""


def test_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(FarthingError, match="no ledger here"):
        check_decisions(tmp_path, Chain())

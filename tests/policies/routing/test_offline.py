"""Routing policies replayed on recorded usage. Expected sums show their arithmetic (dollars a million)."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.charges.reference import price_usage
from farthing.policies.question import Question, Ratio
from farthing.policies.rewrite import carry_over
from farthing.policies.routing import Decision, Failure
from farthing.policies.routing.deployments import with_deployments
from farthing.policies.routing.file import Deployment, PolicyFile, read_policy_file
from farthing.policies.routing.offline import Routed, TargetRow, decision_line, replay_routing
from farthing.policies.routing.recorded import Outcome, Recorded, Seen, requests_of
from farthing.problems import FarthingError
from farthing.rates.book import Book
from farthing.rates.card import Price
from farthing.rates.toml import load_card
from farthing.serving import hosted
from farthing.usage.record import Usage
from tests.policies.routing.cases import ask, at, chain, hit
from tests.policies.test_replay import CARD

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
AT = datetime(2026, 11, 4, 12, tzinfo=UTC)
MILLION = 10**6
BOOK = Book([load_card(CARD)])
QUESTION = Question(now=NOW)
PLAIN = '[[policy]]\nkind = "route"\ntarget = "acme/plain"\n'


def used(number: int = 0, **fields: Any) -> Usage:
    values: dict[str, Any] = {
        "at": AT + timedelta(minutes=number),
        "quantities": {"input": 100, "output": 10},
        "provider": "acme",
        "model_asked": "m",
        "model_served": "m",
        "id": f"r-{number}",
    }
    return Usage(**{**values, **fields})


ROWS = [
    used(0),
    used(1, quantities={"input": 100, "cache_read": 50, "output": 20}),
    used(2, quantities={"input": 200, "output": 30}, feature="chat", user="ann"),
]
SERVED = Fraction(600 + 820 + 1400, MILLION)  # 100x4 + 10x20; 100x4 + 50x0.4 + 20x20; 200x4 + 30x20


def policies(text: str, **fields: Any) -> PolicyFile:
    return PolicyFile(name="policy.toml", chain=chain(text), **fields)


def routed(text: str, rows: Iterable[Usage] = ROWS, question: Question = QUESTION, **fields: Any) -> Routed:
    return replay_routing(requests_of(rows, BOOK, question.served), BOOK, policies(text, **fields), question)


def row(answer: Routed, target: str) -> TargetRow:
    [found] = [one for one in answer.targets if one.target == target]
    return found


def test_no_policy_changes_nothing() -> None:
    answer = routed("")
    assert answer.as_served.total_usd == answer.under.total_usd == SERVED
    assert (answer.saved_usd, answer.differ, answer.requests, answer.attempts) == (0, 0, 3, 3)
    assert answer.policies == {"passthrough": 3}
    [target] = answer.targets
    assert (target.target, target.requests, target.requests_served, target.share) == ("acme/m", 3, 3, 1)
    assert [source.id for source in answer.under.sources] == ["acme"]


def test_a_route_prices_every_token_there() -> None:
    answer = routed(PLAIN)
    # No cache is priced at acme/plain, so what was read from one is input: 100x1 + 10x2; 150x1 + 20x2; 200x1 + 30x2
    assert answer.under.total_usd == Fraction(120 + 190 + 260, MILLION)
    assert answer.as_served.total_usd == SERVED
    assert answer.saved_usd == SERVED - Fraction(570, MILLION)
    assert (answer.differ, answer.policies) == (3, {"route": 3})
    assert row(answer, "acme/m").requests == 0
    assert row(answer, "acme/m").served_usd == SERVED
    assert row(answer, "acme/plain").usd == Fraction(570, MILLION)
    assert "acme/plain: tokens x1 (another tokenizer)" in answer.under.assumptions


def test_only_what_matches_moves() -> None:
    answer = routed(PLAIN + 'when = { feature = "chat" }')
    assert answer.under.total_usd == Fraction(600 + 820 + 260, MILLION)
    assert (answer.differ, answer.policies) == (1, {"passthrough": 2, "route": 1})
    assert row(answer, "acme/plain").share == Fraction(260, 1680)


def test_a_tokenizer_that_makes_more_of_the_same_text() -> None:
    ratios = (Ratio(offers="acme/plain", ratio=Fraction(2)),)
    answer = routed(PLAIN, question=msgspec.structs.replace(QUESTION, token_ratios=ratios))
    assert answer.under.total_usd == 2 * Fraction(570, MILLION)


def test_a_target_without_a_price_is_unknown_and_never_free() -> None:
    answer = routed(PLAIN.replace("acme/plain", "nobody/knows") + 'when = { feature = "chat" }')
    assert answer.under.total_usd is None
    assert answer.under.known_usd == Fraction(600 + 820, MILLION)
    assert answer.saved_usd is None
    assert row(answer, "nobody/knows").unpriced == 1
    [reason] = answer.under.reasons
    assert "no provider is known of upstream 'nobody'" in reason


def test_an_unknown_price_of_what_stays_leaves_the_difference_known() -> None:
    answer = routed(PLAIN + 'when = { feature = "chat" }', [*ROWS, used(3, model_served="other", model_asked="other")])
    assert answer.as_served.total_usd is None is answer.under.total_usd
    assert answer.saved_usd == Fraction(1400 - 260, MILLION)


class TestWhereTargetsArePriced:
    def file(self, tmp_path: Path, text: str) -> PolicyFile:
        path = tmp_path / "farthing.toml"
        path.write_text(text)
        return read_policy_file(path, {"acme-preset": "acme"})

    def price(self, file: PolicyFile) -> Routed:
        return replay_routing(requests_of(ROWS, BOOK, None), BOOK, file, QUESTION)

    UPSTREAMS = """
port = 4141
[[upstream]]
name = "one"
provider = "acme"
url = "https://x.example/v1"
[[upstream.model]]
name = "cheap"
sent = "plain"
[[upstream.model]]
name = "step*"
offer = "best/stepped"
[[upstream]]
name = "two"
preset = "acme-preset"
[retries]
count = 0
"""

    def test_the_same_offer_at_another_upstream_is_no_move(self, tmp_path: Path) -> None:
        for upstream in ("one", "two"):
            text = self.UPSTREAMS + PLAIN.replace("acme/plain", f"{upstream}/m")
            answer = self.price(self.file(tmp_path, text))
            assert (answer.differ, answer.saved_usd) == (0, 0)

    def test_a_name_of_its_own(self, tmp_path: Path) -> None:
        file = self.file(tmp_path, self.UPSTREAMS + PLAIN.replace("acme/plain", "one/cheap"))
        assert file.retries == 0
        assert self.price(file).under.total_usd == Fraction(570, MILLION)

    def test_a_stated_offer(self, tmp_path: Path) -> None:
        answer = self.price(self.file(tmp_path, self.UPSTREAMS + PLAIN.replace("acme/plain", "one/stepper")))
        # best/stepped: input 1, over 130 in all 3; cache_read 0.1; output 2.
        # 100x1 + 10x2; 100x3 + 50x0.1 + 20x2; 200x3 + 30x2
        assert answer.under.total_usd == Fraction(120 + 345 + 660, MILLION)
        assert row(answer, "one/stepper").offer == "best/stepped"

    def test_an_alias_is_where_its_targets_are(self, tmp_path: Path) -> None:
        text = self.UPSTREAMS + '[[policy]]\nkind = "passthrough"\n[[model]]\nname = "m"\ntargets = ["one/cheap"]\n'
        assert self.price(self.file(tmp_path, text)).under.total_usd == Fraction(570, MILLION)

    def test_a_pattern_keeps_the_name(self, tmp_path: Path) -> None:
        text = self.UPSTREAMS + '[[policy]]\nkind = "passthrough"\n[[model]]\nname = "m*"\ntargets = ["two/*"]\n'
        file = self.file(tmp_path, text)
        assert file.targets_of("mini") == ("two/mini",)
        assert file.targets_of("other") == ()

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "farthing.toml:1: no [[policy]]"),
            ("[[policy]]\nkind = 3", "farthing.toml:2: 'kind' is 3, not text"),
            ("[[policy]", "farthing.toml:1: "),
            ('[[policy]]\nkind = "passthrough"\n[[model]]\nname = "x"\ntargets = "y"', "'targets' is 'y', not a list"),
            ('[[policy]]\nkind = "passthrough"\n[[upstream]]\nurl = "y"', "'name' is missing"),
        ],
    )
    def test_what_is_wrong(self, tmp_path: Path, text: str, message: str) -> None:
        with pytest.raises(FarthingError) as caught:
            self.file(tmp_path, text)
        assert message in str(caught.value)

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(FarthingError, match="cannot be read: No such file"):
            read_policy_file(tmp_path / "none.toml")

    def test_deployments_are_named_once(self, tmp_path: Path) -> None:
        text = PLAIN + '[[upstream]]\nname = "own"\nprice = "host:llama@h100-sxm*4"\n'
        text += '[[upstream]]\nname = "own2"\nprice = "host:llama@h100-sxm*4"\n'
        assert self.file(tmp_path, text).deployments == (Deployment(price="host:llama@h100-sxm*4"),)

    def test_a_deployment_costs_what_the_gateway_computes(self, tmp_path: Path) -> None:
        price = "host:llama-3.1-70b@h100-sxm*4,weights=fp8"
        text = PLAIN.replace("acme/plain", "own/llama") + f'[[upstream]]\nname = "own"\nprice = "{price}"\n'
        file = self.file(tmp_path, text + "mean_input_tokens = 1200\nmean_output_tokens = 250\n")
        found, book = with_deployments(file, BOOK, lambda: iter(ROWS), NOW.date())
        answer = replay_routing(requests_of(ROWS, book, None), book, file, QUESTION, found)
        one = hosted.parse(price.removeprefix("host:"))
        offer = hosted.offer("own", hosted.estimated(one, 1200, 250, None, NOW.date()), NOW.date())
        expected = sum((_carried(usage, offer.prices[0]) for usage in ROWS), Fraction(0))
        assert answer.under.total_usd == expected > 0
        # At the mean lengths of the usage itself it is another price.
        other, _ = with_deployments(self.file(tmp_path, text), BOOK, lambda: iter(ROWS), NOW.date())
        assert set(other) == set(found) == {price}

    def test_cards_and_deployments_are_beside_the_file(self, tmp_path: Path) -> None:
        file = self.file(tmp_path, PLAIN + '[gateway]\ncards = ["a.toml"]\nhosts = "b.toml"\n')
        assert (file.cards, file.hosts) == ((tmp_path / "a.toml",), tmp_path / "b.toml")
        assert self.file(tmp_path, PLAIN).hosts is None
        (tmp_path / "farthing-hosts.toml").touch()
        assert self.file(tmp_path, PLAIN).hosts == tmp_path / "farthing-hosts.toml"

    def test_an_alias_of_an_alias(self, tmp_path: Path) -> None:
        text = PLAIN + '[[model]]\nname = "fast"\ntargets = ["small", "one/*"]\n'
        text += '[[model]]\nname = "small"\ntargets = ["two/s", "one/*"]\n'
        assert self.file(tmp_path, text).targets_of("fast") == ("two/s", "one/fast")
        with pytest.raises(FarthingError, match="'fast' leads back to itself"):
            self.file(tmp_path, text.replace('"two/s"', '"fast"'))


class TestAttempts:
    """Requests of several attempts, as a ledger tells them."""

    TWO = PLAIN + '[[policy]]\nkind = "fallback"\ntargets = ["acme/m"]\n'

    def seen(self, target: str, failure: Failure | None = None, **fields: Any) -> Seen:
        model = target.partition("/")[2]
        quantities = {"input": 100, "output": 10} if failure is None else {"input": 100}
        usage = used(model_asked="m", model_served=model, quantities=quantities)
        return Seen(usage=usage, target=target, failure=failure, answered=failure is None, **fields)

    def run(self, text: str, *attempts: Seen, **fields: Any) -> tuple[Routed, Outcome]:
        heard: list[Outcome] = []
        recorded = Recorded(ask=ask(model="m"), attempts=attempts)
        file = policies(text, **{"retries": 0, **fields})
        answer = replay_routing([recorded], BOOK, file, QUESTION, told=lambda _, outcome: heard.append(outcome))
        return answer, heard[0]

    def test_a_fallback_that_was_is_a_fallback_that_is(self) -> None:
        aliases = (("m", ("acme/plain",)),)
        text = '[[policy]]\nkind = "fallback"\ntargets = ["acme/m"]\n'
        attempts = (self.seen("acme/plain", hit("acme/plain")), self.seen("acme/m"))
        answer, outcome = self.run(text, *attempts, aliases=aliases)
        assert (outcome.stand, outcome.moved, answer.differ) == (2, False, 0)
        # The failed attempt read 100 tokens at 1; the answer cost 100x4 + 10x20.
        assert answer.as_served.total_usd == answer.under.total_usd == Fraction(100 + 600, MILLION)
        assert row(answer, "acme/m").requests == 1
        assert row(answer, "acme/plain").requests == 0

    def test_what_stood_before_the_policy_went_elsewhere_is_paid(self) -> None:
        aliases = (("m", ("acme/plain",)),)
        text = '[[policy]]\nkind = "fallback"\ntargets = ["best/stepped"]\n'
        attempts = (self.seen("acme/plain", hit("acme/plain")), self.seen("acme/m"))
        answer, outcome = self.run(text, *attempts, aliases=aliases)
        assert (outcome.stand, outcome.moved, outcome.decision.target) == (1, True, "best/stepped")
        assert answer.under.total_usd == Fraction(100 + 100 + 20, MILLION)  # kept 100x1; 100x1 + 10x2 there
        assert answer.saved_usd == Fraction(600 - 120, MILLION)

    def test_a_request_that_would_not_have_failed(self) -> None:
        answer, outcome = self.run(PLAIN, self.seen("acme/m", hit("acme/m")), self.seen("acme/m"), retries=1)
        assert (outcome.stand, outcome.moved) == (0, True)
        assert answer.as_served.total_usd == Fraction(400 + 600, MILLION)
        assert answer.under.total_usd == Fraction(120, MILLION)

    def test_nothing_is_known_of_an_answer_that_never_came(self) -> None:
        answer, _ = self.run(PLAIN, self.seen("acme/m", hit("acme/m")))
        assert (answer.differ, answer.unanswered, answer.saved_usd) == (1, 1, 0)
        assert answer.under.total_usd == answer.as_served.total_usd == Fraction(400, MILLION)
        assert any("nothing tells what an answer would have" in note for note in answer.notes)

    def test_a_fallback_that_the_gateway_did_not_have(self) -> None:
        answer, outcome = self.run(self.TWO, self.seen("acme/plain", hit("acme/plain")))
        assert (outcome.stand, outcome.moved, outcome.decision.target) == (1, True, "acme/m")
        assert answer.unanswered == 1

    def test_a_request_that_the_policies_refuse(self) -> None:
        attempts = (self.seen("acme/m", hit("acme/m")), self.seen("acme/m"))
        answer, outcome = self.run("", *attempts)  # no retries: passthrough gives up
        assert (outcome.moved, outcome.decision.target, answer.refused) == (True, None, 1)
        assert answer.under.total_usd == Fraction(400, MILLION)
        assert answer.saved_usd == Fraction(600, MILLION)
        assert sum(one.requests for one in answer.targets) == 0

    def test_what_nobody_knows_is_not_nothing(self) -> None:
        answer, _ = self.run("", self.seen("acme/m", unmeasured="the stream told no usage"))
        assert answer.as_served.total_usd is None
        assert answer.as_served.reasons == {"the stream told no usage": 1}
        moved, _ = self.run(PLAIN, self.seen("acme/m", unmeasured="the stream told no usage"))
        assert (moved.unanswered, moved.under.total_usd) == (1, None)

    def test_what_the_gateway_saw_counts(self) -> None:
        text = '[[policy]]\nkind = "fallback"\ntargets = ["best/stepped"]\n'
        logged = chain(text).decide(ask(model="m"), at("acme/m", out=("acme",)))
        assert logged.target == "best/stepped"
        answer, _ = self.run(text, self.seen("best/stepped", logged=logged))
        assert answer.differ == 0
        without, _ = self.run(text, self.seen("best/stepped"))
        assert without.differ == 0  # the model's own target is then taken to be where it went
        plain, _ = self.run("", self.seen("best/stepped", logged=logged))
        assert (plain.differ, plain.refused) == (1, 1)  # acme was not available, and nothing else is known


def test_decisions_are_told_one_by_one() -> None:
    lines: list[dict[str, object]] = []
    text = '[[policy]]\nkind = "split"\nname = "try"\nunit = "user"\nweights = { asked = 3, "acme/plain" = 1 }\n'
    rows = [used(n, user=f"u{n}") for n in range(200)]

    def told(recorded: Recorded, outcome: Outcome) -> None:
        lines.append(decision_line(recorded, outcome))

    answer = replay_routing(requests_of(rows, BOOK, None), BOOK, policies(text), QUESTION, told=told)
    assert [line["request"] for line in lines] == [f"r-{n}" for n in range(200)]
    moved = [line for line in lines if line["differs"]]
    assert len(moved) == answer.differ == row(answer, "acme/plain").requests > 0
    assert {(line["target"], line["probability"]) for line in lines} == {("acme/m", "3/4"), ("acme/plain", "1/4")}


def test_what_has_no_id_is_drawn_by_its_place_and_the_answer_says_so() -> None:
    rows = [used(n, id=None) for n in range(5)]
    assert any("5 requests have no id" in note for note in routed("", rows).notes)
    assert not routed("").notes


def test_usage_without_models_needs_an_offer() -> None:
    rows = [used(n, model_asked=None, model_served=None, provider=None) for n in range(3)]
    with pytest.raises(FarthingError, match="names no model"):
        routed(PLAIN, rows)
    answer = routed(PLAIN, rows, msgspec.structs.replace(QUESTION, served="acme/m"))
    assert answer.as_served.total_usd == 3 * Fraction(600, MILLION)
    assert answer.under.total_usd == 3 * Fraction(120, MILLION)
    with pytest.raises(FarthingError, match="no usable row"):
        routed(PLAIN, [])


counts = st.fixed_dictionaries(
    {"input": st.integers(0, 300), "output": st.integers(0, 50)},
    optional={"cache_read": st.integers(1, 200)},
)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(counts, st.sampled_from(["", "chat"])), min_size=1, max_size=12), st.integers(0, 9))
def test_the_sum_is_that_of_the_requests_one_by_one(rows: list[tuple[dict[str, int], str]], salt: int) -> None:
    """What the columns give is what the reference gives for each request at the target that `decide` names."""
    text = (
        f'[[policy]]\nkind = "split"\nname = "s{salt}"\nweights = {{ asked = 1, "acme/plain" = 1, "best/stepped" = 1 }}'
        '\n[[policy]]\nkind = "route"\ntarget = "best/new"\n'
        'when = { feature = "chat", prompt_tokens = { over = 99 } }\n'
    )
    usages = [used(n, quantities=stated, feature=feature or None) for n, (stated, feature) in enumerate(rows)]
    answer = routed(text, usages)
    file, expected, saved = policies(text), Fraction(0), Fraction(0)
    for usage, recorded in zip(usages, requests_of(usages, BOOK, None), strict=True):
        decision: Decision = file.chain.decide(recorded.ask, at("acme/m"))
        assert decision.target is not None
        as_was = price_usage(usage, BOOK.find("acme/m")).total_usd
        assert as_was is not None
        cost = as_was
        if decision.target != "acme/m":
            cost = _carried(usage, BOOK.find(decision.target).prices[0])
        expected, saved = expected + cost, saved + as_was - cost
    assert answer.under.total_usd == expected
    assert answer.saved_usd == saved


def _carried(usage: Usage, price: Price) -> Fraction:
    from farthing.charges.reference import facts_of, lines

    quantities, facts = carry_over(usage.quantities, facts_of(usage), price)
    return sum((line.usd or Fraction(0) for line in lines(price, quantities, 1, facts)), Fraction(0))

"""What each policy decides: at the first attempt, at retries, where upstreams fail or are not available."""

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.policies.routing import Chain, Failure
from tests.policies.routing.cases import ask, at, chain, hit

NINETY = Fraction(9, 10)
SPLIT = """
[[policy]]
kind = "split"
name = "try"
weights = { "openai/gpt-5" = 9, "openai/gpt-5-mini" = 1 }
"""
FALLBACK = """
[[policy]]
kind = "fallback"
targets = ["azure/gpt-5", "groq/oss"]
"""


class TestPassthrough:
    def test_the_best_target_of_the_model(self) -> None:
        found = Chain().decide(ask(), at("openai/gpt-5", "azure/gpt-5"))
        assert (found.target, found.policy, found.probability) == ("openai/gpt-5", "passthrough", 1)
        assert found.alternatives == (("openai/gpt-5", Fraction(1)),)

    def test_the_same_again_while_retries_are_left_then_the_next(self) -> None:
        two = ("openai/gpt-5", "azure/gpt-5")
        once, twice = (hit(two[0]),), (hit(two[0]), hit(two[0]))
        assert Chain().decide(ask(), at(*two, failed=once, retries=1)).target == two[0]
        after = Chain().decide(ask(), at(*two, failed=twice, retries=1))
        assert (after.target, after.reason) == (two[1], "openai/gpt-5 failed (503)")
        everything = (*twice, hit(two[1]), hit(two[1]))
        assert Chain().decide(ask(), at(*two, failed=everything, retries=1)).target is None

    def test_a_failure_that_is_not_retryable_ends_its_target(self) -> None:
        failed = (hit("a/m", 401, retryable=False),)
        assert Chain().decide(ask(), at("a/m", "b/m", failed=failed, retries=5)).target == "b/m"

    def test_a_fault_of_the_request_is_told_to_the_client(self) -> None:
        failed = (hit("a/m", 400, retryable=False),)
        found = Chain().decide(ask(), at("a/m", "b/m", failed=failed, retries=5))
        assert (found.target, found.reason) == (None, "a/m refused the request itself (400)")
        assert found.alternatives == ((None, Fraction(1)),)

    def test_an_upstream_that_is_not_available_is_passed_over(self) -> None:
        found = Chain().decide(ask(), at("a/m", "b/m", out=("a",)))
        assert (found.target, found.reason) == ("b/m", "a/m is not available")
        assert Chain().decide(ask(), at("a/m", "b/m", out=("a", "b"))).target is None

    def test_a_model_that_lives_nowhere(self) -> None:
        assert Chain().decide(ask(), at()).target is None

    def test_nothing_follows_once_output_began(self) -> None:
        failed = (Failure(target="a/m", error="broken", retryable=True, began=True),)
        for policies in (Chain(), chain(FALLBACK + 'on = ["all"]')):
            found = policies.decide(ask(), at("a/m", "b/m", failed=failed, retries=5))
            assert (found.target, found.reason) == (None, "the answer had begun")


class TestRoute:
    TEXT = '[[policy]]\nkind = "route"\ntarget = "groq/oss"\nwhen = { feature = ["chat", "search-*"] }\n'

    def test_what_matches_goes_there_and_nothing_else(self) -> None:
        there = chain(self.TEXT)
        assert there.decide(ask(feature="chat"), at("openai/gpt-5")).target == "groq/oss"
        assert there.decide(ask(feature="search-web"), at("openai/gpt-5")).target == "groq/oss"
        assert there.decide(ask(feature="search"), at("openai/gpt-5")).target == "openai/gpt-5"
        assert there.decide(ask(), at("openai/gpt-5")).target == "openai/gpt-5"

    def test_it_leads_nowhere_else_where_it_fails(self) -> None:
        found = chain(self.TEXT).decide(ask(feature="chat"), at("openai/gpt-5", out=("groq",)))
        assert found.target is None
        assert found.reason == "groq/oss is not available, and no fallback follows"
        failed = (hit("groq/oss"),)
        assert chain(self.TEXT).decide(ask(feature="chat"), at("openai/gpt-5", failed=failed)).target is None

    def test_the_same_model_elsewhere(self) -> None:
        there = chain('[[policy]]\nkind = "route"\ntarget = "azure/*"')
        assert there.decide(ask(), at("openai/gpt-5")).target == "azure/gpt-5"
        named = ask(model="openai/gpt-5")  # asked for as a target
        assert there.decide(named, at("openai/gpt-5")).target == "azure/gpt-5"
        slashed = ask(model="meta/llama")
        assert there.decide(slashed, at("groq/meta/llama")).target == "azure/meta/llama"

    def test_a_later_policy_replaces_an_earlier_one(self) -> None:
        text = self.TEXT + '[[policy]]\nkind = "passthrough"\nwhen = { key = "k_free" }\n'
        assert chain(text).decide(ask(feature="chat", key="k_free"), at("openai/gpt-5")).target == "openai/gpt-5"
        assert chain(text).decide(ask(feature="chat", key="k_1"), at("openai/gpt-5")).target == "groq/oss"


class TestSplit:
    def test_arms_by_weight_with_their_probabilities(self) -> None:
        policies = chain(SPLIT)
        made = [policies.decide(ask(f"r-{n}"), at("openai/gpt-5")) for n in range(5000)]
        counted = Counter(decision.target for decision in made)
        # Binomial(5000, 0.1): 500, deviation 21.2.
        assert abs(counted["openai/gpt-5-mini"] - 500) < 106
        for decision in made:
            assert dict(decision.alternatives) == {"openai/gpt-5": NINETY, "openai/gpt-5-mini": 1 - NINETY}
            assert decision.probability == dict(decision.alternatives)[decision.target]
            [draw] = decision.draws
            assert (draw.policy, draw.unit, draw.arm) == ("try", "request", decision.target)

    def test_weights_are_normalised_exactly(self) -> None:
        found = chain(SPLIT.replace("9,", "0.7,").replace("= 1 }", "= 0.35 }")).decide(ask(), at("openai/gpt-5"))
        assert sorted(p for _, p in found.alternatives) == [Fraction(1, 3), Fraction(2, 3)]

    @pytest.mark.parametrize("unit", ["user", "session", "key"])
    def test_a_unit_keeps_its_arm(self, unit: str) -> None:
        policies = chain(SPLIT + f'unit = "{unit}"')
        for n in range(20):
            facts = {unit: f"someone-{n}"}
            made = {policies.decide(ask(f"r-{i}", **facts), at("openai/gpt-5")).target for i in range(10)}
            assert len(made) == 1

    def test_who_is_not_named_is_drawn_by_request(self) -> None:
        policies = chain(SPLIT + 'unit = "user"')
        made = [policies.decide(ask(f"r-{n}"), at("openai/gpt-5")) for n in range(200)]
        assert {decision.target for decision in made} == {"openai/gpt-5", "openai/gpt-5-mini"}
        assert {draw.unit for decision in made for draw in decision.draws} == {"request"}

    def test_a_retry_keeps_the_arm_and_a_dead_arm_is_not_replaced(self) -> None:
        policies = chain(SPLIT)
        first = policies.decide(ask(), at("openai/gpt-5", retries=1))
        assert first.target is not None
        again = policies.decide(ask(), at("openai/gpt-5", failed=(hit(first.target),), retries=1))
        assert (again.target, again.draws) == (first.target, first.draws)
        spent = policies.decide(ask(), at("openai/gpt-5", failed=(hit(first.target), hit(first.target)), retries=1))
        assert spent.target is None
        # What the other arm's units would have got is still what it is.
        other = next(target for target, _ in first.alternatives if target != first.target)
        assert dict(spent.alternatives) == {None: first.probability, other: 1 - first.probability}
        assert spent.probability == first.probability

    def test_the_arm_asked_leaves_what_was_decided(self) -> None:
        policies = chain(SPLIT.replace('"openai/gpt-5"', "asked") + 'control = "asked"')
        for n in range(50):
            found = policies.decide(ask(f"r-{n}"), at("azure/gpt-5"))
            assert dict(found.alternatives) == {"azure/gpt-5": NINETY, "openai/gpt-5-mini": 1 - NINETY}
            assert found.policy == "try"

    def test_two_splits_multiply(self) -> None:
        text = SPLIT + SPLIT.replace('"try"', '"then"').replace('"openai/gpt-5"', "asked").replace("-mini", "-nano")
        made = [chain(text).decide(ask(f"r-{n}"), at("openai/gpt-5")) for n in range(300)]
        # then: 9/10 of (9/10 gpt-5, 1/10 mini), 1/10 nano
        expected = {"openai/gpt-5": NINETY**2, "openai/gpt-5-mini": NINETY / 10, "openai/gpt-5-nano": Fraction(1, 10)}
        assert all(dict(decision.alternatives) == expected for decision in made)
        assert {len(decision.draws) for decision in made} == {2}

    def test_arms_that_come_to_the_same_target_are_one_alternative(self) -> None:
        found = chain(SPLIT.replace('"openai/gpt-5-mini"', "asked")).decide(ask(), at("openai/gpt-5"))
        assert (found.target, found.probability) == ("openai/gpt-5", 1)
        assert found.alternatives == (("openai/gpt-5", Fraction(1)),)


class TestFallback:
    def test_it_stays_while_the_target_can_be_tried(self) -> None:
        policies = chain(FALLBACK)
        assert policies.decide(ask(), at("openai/gpt-5")).policy == "passthrough"
        failed = (hit("openai/gpt-5"),)
        assert policies.decide(ask(), at("openai/gpt-5", failed=failed, retries=1)).target == "openai/gpt-5"

    def test_it_goes_on_in_order(self) -> None:
        policies, failed = chain(FALLBACK), (hit("openai/gpt-5", 429),)
        second = policies.decide(ask(), at("openai/gpt-5", failed=failed))
        assert (second.target, second.policy) == ("azure/gpt-5", "fallback")
        assert second.reason == "openai/gpt-5 failed (429)"
        failed += (hit("azure/gpt-5", None, error="timeout: first byte"),)
        assert policies.decide(ask(), at("openai/gpt-5", failed=failed)).target == "groq/oss"
        failed += (hit("groq/oss", None, error="connect"),)
        ended = policies.decide(ask(), at("openai/gpt-5", failed=failed))
        assert ended.target is None
        assert ended.reason == "groq/oss failed (connect), and every fallback has failed or is not available"

    def test_its_targets_are_retried_too(self) -> None:
        policies = chain(FALLBACK)
        failed = (hit("openai/gpt-5", 429, retryable=False), hit("azure/gpt-5"))
        assert policies.decide(ask(), at("openai/gpt-5", failed=failed, retries=1)).target == "azure/gpt-5"

    def test_only_from_what_it_says(self) -> None:
        policies = chain(FALLBACK + 'on = ["429"]')
        failed = (hit("openai/gpt-5", 500),)
        ended = policies.decide(ask(), at("openai/gpt-5", failed=failed))
        assert (ended.target, ended.reason) == (None, "openai/gpt-5 failed (500), from which no fallback goes on")
        failed = (hit("openai/gpt-5", 429), hit("azure/gpt-5", 500))
        assert policies.decide(ask(), at("openai/gpt-5", failed=failed)).target is None
        # A retry of the same target is no going on.
        assert policies.decide(ask(), at("openai/gpt-5", failed=failed, retries=1)).target == "openai/gpt-5"
        failed = (hit("openai/gpt-5", 429, retryable=False), hit("azure/gpt-5", 500))
        assert policies.decide(ask(), at("openai/gpt-5", failed=failed, retries=1)).target == "azure/gpt-5"

    @pytest.mark.parametrize(
        ("on", "status", "error", "goes"),
        [
            ("429", 429, "", True), ("429", 529, "", False), ("5xx", 529, "", True), ("5xx", 429, "", False),
            ("connect", None, "connect", True), ("connect", None, "timeout_idle", False),
            ("timeout", None, "timeout_idle", True), ("timeout", 504, "", False), ("broken", 200, "broken", True),
            ("all", 418, "", True), ("all", None, "anything", True), ("400", 400, "", True), ("4xx", 404, "", True),
        ],
    )  # fmt: skip
    def test_what_its_words_mean(self, on: str, status: int | None, error: str, goes: bool) -> None:
        failed = (hit("openai/gpt-5", status, error=error, retryable=False),)
        found = chain(FALLBACK + f'on = ["{on}"]').decide(ask(), at("openai/gpt-5", failed=failed))
        assert found.target == ("azure/gpt-5" if goes else None)

    def test_an_upstream_that_is_not_available_needs_no_word(self) -> None:
        policies = chain(FALLBACK + 'on = ["429"]')
        assert policies.decide(ask(), at("openai/gpt-5", out=("openai",))).target == "azure/gpt-5"
        assert policies.decide(ask(), at("openai/gpt-5", out=("openai", "azure"))).target == "groq/oss"

    def test_it_saves_what_lives_nowhere(self) -> None:
        assert chain(FALLBACK).decide(ask(model="unheard-of"), at()).target == "azure/gpt-5"

    def test_it_goes_on_at_once_if_told_so(self) -> None:
        policies = chain(FALLBACK + "retries = 0")
        failed = (hit("openai/gpt-5"),)
        assert policies.decide(ask(), at("openai/gpt-5", failed=failed, retries=2)).target == "azure/gpt-5"

    def test_without_targets_it_uses_the_models_own(self) -> None:
        text = '[[policy]]\nkind = "route"\ntarget = "groq/oss"\n[[policy]]\nkind = "fallback"\n'
        assert chain(text).decide(ask(), at("a/m", "b/m", out=("groq",))).target == "a/m"

    def test_a_split_goes_on_from_its_arm_and_the_probabilities_follow(self) -> None:
        policies = chain(SPLIT + FALLBACK)
        context = at("openai/gpt-5", failed=(hit("openai/gpt-5-mini"),))
        made = [policies.decide(ask(f"r-{n}"), context) for n in range(100)]
        assert {decision.target for decision in made} == {"openai/gpt-5", "azure/gpt-5"}
        for decision in made:
            assert dict(decision.alternatives) == {"openai/gpt-5": NINETY, "azure/gpt-5": Fraction(1, 10)}
            assert decision.probability == dict(decision.alternatives)[decision.target]


class TestWhen:
    @pytest.mark.parametrize(
        ("when", "facts", "meets"),
        [
            ('model = "gpt-*"', {}, True),
            ('model = "GPT-*"', {}, False),
            ('model = ["o3", "gpt-5"]', {}, True),
            ('model = "gpt-[67]"', {}, False),
            ('user = "?*"', {}, False),  # nobody said who
            ('user = ""', {}, True),
            ('user = "?*"', {"user": "u"}, True),
            ('surface = "chat/*", protocol = "openai"', {"surface": "chat/completions", "protocol": "openai"}, True),
            ('surface = "chat/*", protocol = "openai"', {"surface": "chat/completions"}, False),
            ("tags = { team = \"a*\" }", {"tags": {"team": "abc"}}, True),
            ("tags = { team = \"a*\" }", {"tags": {"other": "abc"}}, False),
            ("stream = true", {"stream": True}, True),
            ("stream = false", {"stream": True}, False),
            ("prompt_tokens = { at_least = 1000 }", {"prompt_tokens": 1000}, True),
            ("prompt_tokens = { over = 1000 }", {"prompt_tokens": 1000}, False),
            ("prompt_tokens = { up_to = 1000 }", {"prompt_tokens": 1000}, True),
            ("prompt_tokens = { at_least = 0, under = 1000 }", {"prompt_tokens": 1000}, False),
            ("prompt_tokens = { under = 1000 }", {}, False),  # unknown is not small
            ("images = true", {"images": 2}, True),
            ("images = false", {"images": 0}, True),
            ("images = false", {}, False),
            ("tools = false", {"tools": 3}, False),
            ('request_type = "a", segment = "b", session = "c", key = "k_1"',
             {"request_type": "a", "segment": "b", "session": "c", "key": "k_1"}, True),
        ],
    )  # fmt: skip
    def test_what_meets_it(self, when: str, facts: dict[str, object], meets: bool) -> None:
        policies = chain(f'[[policy]]\nkind = "route"\ntarget = "there/m"\nwhen = {{ {when} }}')
        assert (policies.decide(ask(**facts), at("here/m")).target == "there/m") is meets

    def test_a_pattern_matches_the_whole_text_whatever_it_holds(self) -> None:
        policies = chain('[[policy]]\nkind = "route"\ntarget = "there/m"\nwhen = { feature = ["a.b", "c*"] }')
        assert policies.decide(ask(feature="axb"), at("here/m")).target == "here/m"
        assert policies.decide(ask(feature="a.b.c"), at("here/m")).target == "here/m"
        assert policies.decide(ask(feature="c\nd"), at("here/m")).target == "there/m"


TARGETS = ["a/m", "b/m", "c/m"]
CHAINS = [
    "", SPLIT, FALLBACK, SPLIT + FALLBACK, TestRoute.TEXT + SPLIT.replace('"openai/gpt-5"', "asked") + FALLBACK,
    SPLIT.replace("openai/gpt-5-mini", "b/m").replace('"openai/gpt-5"', "asked")
    + FALLBACK.replace('["azure/gpt-5", "groq/oss"]', '["c/m", "a/m"]\non = ["5xx"]\nretries = 1'),
]  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(CHAINS),
    st.lists(st.sampled_from([*TARGETS, "openai/gpt-5", "azure/gpt-5"]), max_size=4),
    st.frozensets(st.sampled_from(["a", "b", "c", "openai", "azure"])),
    st.integers(0, 2),
    st.sampled_from([400, 429, 503, None]),
    st.booleans(),
    st.text(max_size=5),
)
def test_what_always_holds(
    text: str, failed: list[str], out: frozenset[str], retries: int, status: int | None, retryable: bool, unit: str
) -> None:
    failures = tuple(hit(target, status, error="connect", retryable=retryable) for target in failed)
    context = at(*TARGETS, failed=failures, out=tuple(out), retries=retries)
    who = ask(unit, feature="chat")
    found = chain(text).decide(who, context)
    assert found == chain(text).decide(who, context)
    assert sum(p for _, p in found.alternatives) == 1
    assert dict(found.alternatives)[found.target] == found.probability > 0
    for target, _ in found.alternatives:
        if target is not None:
            assert target.partition("/")[0] not in out
            times = failed.count(target)
            assert times <= (retries if retryable else 0)
    if found.target is None:
        assert found.reason

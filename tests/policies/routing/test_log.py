"""The log of a decision holds what is needed to make it again."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.policies.routing import Ask, Chain, Decision, Failure, read_log, recompute
from farthing.policies.routing.when import FACTS
from farthing.problems import FarthingError
from tests.policies.routing.cases import ask, at, chain, hit
from tests.policies.routing.test_chain import CHAINS, FALLBACK, SPLIT


def test_a_plain_decision_is_short() -> None:
    assert Chain().decide(ask(), at("openai/gpt-5", retries=2)).log() == '{"target":"openai/gpt-5"}'


def test_what_it_says_of_a_split() -> None:
    policies = chain(SPLIT + 'unit = "user"\nwhen = { prompt_tokens = { under = 9000 } }')
    found = policies.decide(ask(user="ann", prompt_tokens=812), at("openai/gpt-5", retries=2))
    [draw] = found.draws
    said = json.loads(found.log())
    assert said == {
        "chain": policies.id,
        "policy": "try",
        "target": "openai/gpt-5",
        "p": "9/10",
        "of": [["openai/gpt-5", "9/10"], ["openai/gpt-5-mini", "1/10"]],
        "draws": [["try", "user", draw.number, "openai/gpt-5"]],
        "facts": {"prompt_tokens": 812},
    }


def test_what_it_says_after_failures() -> None:
    context = at("openai/gpt-5", failed=(hit("openai/gpt-5", 429),), out=("groq", "azure"))
    said = json.loads(chain(FALLBACK).decide(ask(), context).log())
    assert said["attempt"] == 2
    assert said["failed"] == [["openai/gpt-5", 429, "", True, False]]
    assert said["unavailable"] == ["azure", "groq"]
    assert said["target"] is None
    assert said["targets"] == ["openai/gpt-5"]


def row_of(who: Ask) -> Ask:
    """What a ledger's row keeps of a request."""
    return msgspec.structs.replace(who, **dict.fromkeys(FACTS), max_output_tokens=None)


SIZED = SPLIT + "when = { prompt_tokens = { over = 100 }, tools = true }\n" + FALLBACK


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from([*CHAINS, SIZED]),
    st.builds(
        Ask,
        request_id=st.text(max_size=4),
        model=st.sampled_from(["gpt-5", "m", "openai/gpt-5"]),
        feature=st.sampled_from(["", "chat"]),
        user=st.text(max_size=3),
        prompt_tokens=st.none() | st.integers(0, 300),
        tools=st.none() | st.integers(0, 2),
    ),
    st.lists(
        st.builds(
            Failure,
            target=st.sampled_from(["a/m", "openai/gpt-5", "azure/gpt-5"]),
            status=st.sampled_from([None, 400, 429, 503]),
            error=st.sampled_from(["", "connect", "timeout: x"]),
            retryable=st.booleans(),
            began=st.booleans(),
        ),
        max_size=3,
    ),
    st.frozensets(st.sampled_from(["a", "openai", "azure"])),
    st.integers(0, 3),
    st.lists(st.sampled_from(["a/m", "b/m", "openai/gpt-5"]), max_size=2, unique=True),
)
def test_row_and_log_give_the_decision_again(
    text: str, who: Ask, failed: list[Failure], out: frozenset[str], retries: int, targets: list[str]
) -> None:
    policies = chain(text)
    context = at(*targets, failed=tuple(failed), out=tuple(out), retries=retries)
    made = policies.decide(who, context)
    assert read_log(made.log()) == made
    again = recompute(policies, row_of(who), made.log())
    assert again == made
    # What was consumed in the end, known only afterwards, does not count.
    assert recompute(policies, msgspec.structs.replace(row_of(who), prompt_tokens=10**6, tools=1), made.log()) == made


def test_another_chain_has_another_name() -> None:
    assert Chain().id == ""
    assert len({chain(text).id for text in CHAINS}) == len(CHAINS)
    assert chain(SPLIT).id == chain(SPLIT + "\n# a remark\n").id
    assert chain(SPLIT) == chain(SPLIT) != chain(FALLBACK)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"p": "1/0"}', '{"p": "much"}', '{"of": [["a/m"]]}', '{"failed": 3}', "[" * 5000]
)
def test_what_is_no_log(text: str) -> None:
    with pytest.raises(FarthingError, match="not the log of a decision"):
        read_log(text)


def test_a_decision_is_what_its_log_says() -> None:
    assert isinstance(read_log('{"target":"a/m","later":"fields are passed over"}'), Decision)

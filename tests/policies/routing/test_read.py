"""Reading `[[policy]]`: what is understood, and the one line that says what is not."""

import re
from fractions import Fraction
from pathlib import Path

import pytest

from farthing.policies.routing import Chain, read_chain, read_log
from farthing.policies.routing.specs import Fallback, Passthrough, Route, Split
from farthing.policies.routing.when import Size, When
from farthing.problems import FarthingError
from farthing.rates.toml_table import Document
from tests.policies.routing.cases import chain

WHOLE = """
port = 4141                      # the caller's

[[policy]]
kind = "route"
target = "groq/openai/gpt-oss-120b"
when = { feature = "search-*", tags = { team = ["a", "b"] }, prompt_tokens = { over = 10, under = 20 }, stream = true }

[[policy]]
kind = "split"
name = "try-mini"
weights = { asked = 9.5, "openai/gpt-5-mini" = 0.5 }
unit = "user"
salt = "2026-11"
control = "asked"

[[policy]]
kind = "fallback"
targets = ["azure/*"]
on = ["429", "5xx"]
retries = 0

[[policy]]
kind = "fallback"

[[policy]]
kind = "passthrough"
when = { key = "" }
"""


def test_every_key() -> None:
    size = Size(least=11, most=19)
    assert chain(WHOLE).specs == (
        Route(
            name="route",
            target="groq/openai/gpt-oss-120b",
            when=When(texts={"feature": ("search-*",)}, tags={"team": ("a", "b")}, prompt_tokens=size, stream=True),
        ),
        Split(
            name="try-mini",
            weights=(("asked", Fraction(19, 2)), ("openai/gpt-5-mini", Fraction(1, 2))),
            unit="user",
            salt="2026-11",
            control="asked",
        ),
        Fallback(name="fallback-3", targets=("azure/*",), on=("429", "5xx"), retries=0),
        Fallback(name="fallback-4"),
        Passthrough(name="passthrough", when=When(texts={"key": ("",)})),
    )
    assert chain(WHOLE).targets == ("groq/openai/gpt-oss-120b", "openai/gpt-5-mini", "azure/*")


def test_no_policy_is_passthrough() -> None:
    assert chain("port = 1") == Chain()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "x"', "policy.toml:2: 'kind' is missing (one of passthrough, route, split, fallback)"),
        ('kind = "rout"', "policy.toml:3: 'kind' is 'rout' (one of passthrough, route, split, fallback)"),
        ('kind = "route"', "policy.toml:2: 'target' is missing (write target = \"upstream/model\")"),
        ('kind = "route"\ntarget = "gpt-5"', "policy.toml:4: 'gpt-5' is no target (write \"upstream/model\""),
        ('kind = "route"\ntarget = "a/ m"', "policy.toml:4: 'a/ m' is no target"),
        ('kind = "route"\ntarget = "a/"', "policy.toml:4: 'a/' is no target"),
        ('kind = "route"\ntarget = "a/m"\ntargt = 1', "policy.toml:5: unknown key 'targt' (did you mean 'target'?)"),
        ('kind = "route"\ntarget = "a/m"\nwhen = { fature = "x" }', "policy.toml:5: unknown key 'fature'"),
        ('kind = "route"\ntarget = "a/m"\nwhen = {}', "policy.toml:5: 'when' states no condition"),
        ('kind = "route"\ntarget = "a/m"\nwhen = { feature = 3 }', "policy.toml:5: 'feature' is 3, not a list of"),
        ('kind = "route"\ntarget = "a/m"\nwhen = { prompt_tokens = {} }', "policy.toml:5: no bound"),
        ('kind = "route"\ntarget = "a/m"\nwhen = { prompt_tokens = { over = 5, under = 6 } }', "no size lies in it"),
        ('kind = "route"\ntarget = "a/m"\nwhen = { prompt_tokens = { over = 5, at_least = 6 } }', "keep one"),
        ('kind = "route"\ntarget = "a/m"\nwhen = { prompt_tokens = { up_to = 5, under = 6 } }', "keep one"),
        ('kind = "split"\nweights = { "a/m" = 1 }', "policy.toml:2: a split needs a name (its draws depend on it"),
        ('kind = "split"\nname = "x"', "policy.toml:2: 'weights' is missing"),
        ('kind = "split"\nname = "x"\nweights = {}', "policy.toml:5: no weight is above 0"),
        ('kind = "split"\nname = "x"\nweights = { "a/m" = 0 }', "policy.toml:5: no weight is above 0"),
        ('kind = "split"\nname = "x"\nweights = { "a/m" = -1 }', "policy.toml:5: 'a/m' is -1; it must be at least 0"),
        ('kind = "split"\nname = "x"\nweights = { "a/m" = "9" }', "policy.toml:5: 'a/m' is '9', not a number"),
        ('kind = "split"\nname = "x"\nweights = { "a" = 1 }', "policy.toml:5: 'a' is no target"),
        ('kind = "split"\nname = "x"\nweights = { "a/m" = 1 }\ncontrol = "b/m"', "policy.toml:6: 'control' is 'b/m'"),
        ('kind = "split"\nname = "x"\nweights = { "a/m" = 1 }\nunit = "team"', "(one of request, user, session, key)"),
        ('kind = "fallback"\ntargets = ["a"]', "policy.toml:4: 'a' is no target"),
        ('kind = "fallback"\non = ["slow"]', "policy.toml:4: 'on' has 'slow' (a status such as 429 or 5xx, connect"),
        ('kind = "fallback"\nretries = -1', "policy.toml:4: 'retries' is -1, not a whole number of at least 0"),
        ('kind = "passthrough"\nname = "x"\n[[policy]]\nkind = "passthrough"\nname = "x"',
         "policy.toml:7: two policies are called 'x'"),
        ('kind = "split"\nname = "x"\nweights = { "a/m" = 1 }\n[[policy]]\nkind = "split"\nname = "y"\nsalt = "x"\n'
         'weights = { "a/m" = 1 }', "policy.toml:9: 'y' has the salt of 'x': their draws would be the same"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(text: str, message: str) -> None:
    with pytest.raises(FarthingError) as caught:
        chain(f"\n[[policy]]\n{text}\n")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_target_that_its_caller_does_not_know() -> None:
    table = Document('[[policy]]\nkind = "fallback"\ntargets = ["a/m", "b/m"]', "f.toml").table()
    with pytest.raises(FarthingError, match=r"f.toml:3: 'b/m': no upstream is called 'b'"):
        read_chain(table, lambda target: "no upstream is called 'b'" if target.startswith("b/") else "")


ROOT = Path(__file__).resolve().parents[3]


def test_the_documented_chain_is_read() -> None:
    [text] = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/policies.md").read_text(), re.DOTALL)
    assert [type(spec) for spec in chain(text).specs] == [Split, Route, Passthrough, Fallback]
    assert len(chain((ROOT / "examples/policy.toml").read_text()).specs) == 3


def test_the_documented_log_is_read() -> None:
    [text] = re.findall(r"```json\n(.*?)```", (ROOT / "docs/policies.md").read_text(), re.DOTALL)
    assert read_log(text).probability == Fraction(1, 10)

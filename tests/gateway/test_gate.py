"""What the gate remembers of who asks, and when it must not."""

from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from farthing.gateway.config import load
from farthing.gateway.gate import Gate, Party
from farthing.gateway.limits import Limits
from farthing.gateway.metering import Asked
from farthing.ledger.keys import Key, KeyDefaults, KeyLimits

RULES = """
[[budget]]
per = "user"
usd = 10
period = "day"

[[budget]]
per = "feature"
who = "chat"
usd = 5
period = "month"
hard = false

[[limit]]
per = "key"
requests_per_minute = 7
"""
ALICE = {b"x-farthing-user": b"alice", b"host": b"x"}


def gate(tmp_path: Path) -> Gate:
    file = tmp_path / "farthing.toml"
    file.write_text(RULES)
    shared: Any = SimpleNamespace(limits=Limits.open(tmp_path))  # nothing else is asked for here
    return Gate(load(file, {}), shared, {})


def limits_of(party: Party) -> list[str]:
    return [limit.id for limit in party.limiter.limits] if party.limiter is not None else []


def key(**more: Any) -> Key:
    return Key(id="k_1", name="one", **more)


def test_who_asks_again_is_known(tmp_path: Path) -> None:
    made, one = gate(tmp_path), key()
    by, party = made.who(one, ALICE, Asked())
    again = made.who(one, {**ALICE, b"host": b"y", b"accept": b"z"}, Asked())
    assert again[0] is by and again[1] is party
    assert by.user == "alice" and [(ref.id, ref.hard) for ref in party.budgets] == [("user:alice", True)]
    assert party.hard is party.budgets[0] and limits_of(party) == ["key:k_1#0"]


def test_every_header_and_the_key_tell_requests_apart(tmp_path: Path) -> None:
    made = gate(tmp_path)
    others = [
        (Key(id="k_2", name="two"), ALICE),
        (None, ALICE),
        (key(), {**ALICE, b"x-farthing-user": b"bob"}),
        (key(), {**ALICE, b"x-farthing-feature": b"chat"}),
        (key(), {**ALICE, b"x-farthing-request-type": b"batch"}),
        (key(), {**ALICE, b"x-farthing-segment": b"eu"}),
        (key(), {**ALICE, b"x-farthing-session": b"s1"}),
        (key(), {**ALICE, b"x-farthing-tags": b"a=1"}),
    ]
    made.who(key(), ALICE, Asked())
    found = [(one.id if one else "", made.who(one, headers, Asked())) for one, headers in others]
    told = {(id, by.user, by.feature, by.request_type, by.segment, by.session, *by.tags) for id, (by, _) in found}
    assert len(told) == len(others)
    chat = found[3][1][1]
    assert [(ref.id, ref.hard) for ref in chat.budgets] == [("user:alice", True), ("feature:chat", False)]


def test_what_the_body_says_is_never_remembered(tmp_path: Path) -> None:
    made, one = gate(tmp_path), key()
    for asked, user in (
        (Asked(user="carol"), "carol"), (Asked(metadata={"user": "dave"}), "dave"), (Asked(), ""),
        (Asked(user="erin"), "erin"),
    ):  # fmt: skip
        by, party = made.who(one, {}, asked)
        assert by.user == user and party.budgets[0].id == f"user:{user}"
    assert made.who(one, {}, Asked(session="s"))[0].session == "s"
    assert made.who(one, {}, Asked())[0].session == ""


def test_a_key_that_was_changed_holds_at_once(tmp_path: Path) -> None:
    made = gate(tmp_path)
    before, party = made.who(key(), ALICE, Asked())
    changed = key(limits=KeyLimits(concurrent=1), defaults=KeyDefaults(feature="chat"), models=("gpt-*",))
    after, now = made.who(changed, ALICE, Asked())
    assert (before.feature, party.scoped, limits_of(party)) == ("", False, ["key:k_1#0"])
    assert (after.feature, now.scoped, limits_of(now)) == ("chat", True, ["key:k_1#0", "key:k_1"])
    assert now.key is changed and "feature:chat" in {ref.id for ref in now.budgets}


def test_long_words_of_clients_are_not_kept(tmp_path: Path) -> None:
    made, one = gate(tmp_path), key()
    long = {b"x-farthing-segment": b"x" * 10_000}
    first, second = made.who(one, long, Asked())[0], made.who(one, long, Asked())[0]
    assert first == second and first is not second and len(first.segment) <= 256


def test_budgets_are_amounts_in_nanodollars(tmp_path: Path) -> None:
    [ref] = gate(tmp_path).who(None, {}, Asked())[1].budgets
    assert ref.limit == int(Decimal(10) * 10**9)

"""What the gate remembers of who asks, and when it must not."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from farthing.gateway import gate as module
from farthing.gateway.config import load
from farthing.gateway.gate import Caller, Gate, Party
from farthing.gateway.limits import Limited, Limits
from farthing.gateway.metering import Asked
from farthing.gateway.problem import Problem
from farthing.ledger import keys as ledger_keys
from farthing.ledger.keys import Key, KeyDefaults, KeyLimits, KeyRing, Keys

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


def gate(tmp_path: Path, keys: str = "auto") -> Gate:
    file = tmp_path / "farthing.toml"
    file.write_text(f'[gateway]\nkeys = "{keys}"\n{RULES}')
    # Nothing else is asked for here.
    shared: Any = SimpleNamespace(limits=Limits.open(tmp_path), keys=KeyRing(tmp_path))
    return Gate(load(file, {}), shared, {})


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[Keys]:
    with Keys(tmp_path, create=True) as made:
        yield made


def shown(token: str, **more: str) -> dict[bytes, bytes]:
    return {b"authorization": b"Bearer " + token.encode()} | {
        b"x-farthing-" + name.replace("_", "-").encode(): value.encode() for name, value in more.items()
    }


def refusal(made: Gate, headers: dict[bytes, bytes]) -> int:
    with pytest.raises(Problem) as found:
        made.caller(headers)
    return found.value.status


def limits_of(party: Party) -> list[str]:
    return [limit.id for limit in party.limiter.limits] if party.limiter is not None else []


def key(**more: Any) -> Key:
    return Key(id="k_1", name="one", **more)


def test_who_asks_again_is_known(tmp_path: Path, keys: Keys) -> None:
    made, (one, token) = gate(tmp_path, "required"), keys.create("one")
    caller = made.caller(shown(token, user="alice"))
    assert made.caller(shown(token, user="alice") | {b"host": b"y", b"content-length": b"7"}) is caller
    assert caller.key == one and caller.by.user == "alice" and caller.party.key is caller.key
    assert [(ref.id, ref.hard) for ref in caller.party.budgets] == [("user:alice", True)]
    assert caller.party.hard is caller.party.budgets[0] and limits_of(caller.party) == [f"key:{one.id}#0"]
    assert made.party(caller.key, caller.by) is caller.party


def test_every_header_and_the_key_tell_requests_apart(tmp_path: Path, keys: Keys) -> None:
    made = gate(tmp_path, "required")
    tokens = [keys.create(name)[1] for name in ("one", "two")]
    alice = shown(tokens[0], user="alice")
    others = [
        alice, shown(tokens[1], user="alice"), shown(tokens[0], user="bob"), shown(tokens[0]),
        alice | {b"x-farthing-feature": b"chat"}, alice | {b"x-farthing-request-type": b"batch"},
        alice | {b"x-farthing-segment": b"eu"}, alice | {b"x-farthing-session": b"s1"},
        alice | {b"x-farthing-session": b"s2"}, alice | {b"x-farthing-tags": b"a=1"},
        alice | {b"x-farthing-tags": b"b=1"},
    ]  # fmt: skip

    def told(caller: Caller) -> tuple[str, ...]:
        by = caller.by
        assert caller.key is not None
        return caller.key.id, by.user, by.feature, by.request_type, by.segment, by.session, *by.tags

    for _ in range(2):  # none of them is taken for another, known or not
        found = [made.caller(headers) for headers in others]
        assert len({told(caller) for caller in found}) == len(others)
        assert [(ref.id, ref.hard) for ref in found[4].party.budgets] == [("user:alice", True), ("feature:chat", False)]
        assert found[7].by.session == "s1" and found[9].by.tags == {"a": "1"}


def test_a_wrong_key_beside_a_known_one_opens_nothing(tmp_path: Path, keys: Keys) -> None:
    made, (_, token) = gate(tmp_path, "required"), keys.create("one")
    good = token.encode()
    for headers in ({b"authorization": b"Bearer " + good}, {b"x-api-key": good}, {b"api-key": good}):
        assert made.caller(headers) is made.caller(dict(headers))
    for wrong in (
        {}, {b"authorization": b"Bearer " + good + b"x"}, {b"authorization": b"Bearer fk-"}, {b"authorization": good},
        {b"authorization": b"Bearer fk-x", b"x-api-key": good}, {b"x-api-key": b"fk-x", b"api-key": good},
        {b"user": b"Bearer " + good},
    ):  # fmt: skip
        assert refusal(made, wrong) == refusal(made, wrong) == 401


def test_a_key_that_ends_is_refused_at_the_next_request(
    tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, now_us = gate(tmp_path, "required"), ledger_keys._now_us()
    monkeypatch.setattr(ledger_keys, "_now_us", lambda: now_us)
    (revoked, one), (_, rotated), (_, short) = (
        keys.create("a"), keys.create("b"), keys.create("c", expires_us=now_us + 1_000_000),
    )  # fmt: skip
    for token in (one, rotated, short):
        assert made.caller(shown(token)).key is not None
    keys.revoke(revoked.id)
    assert refusal(made, shown(one)) == 401
    anew = keys.rotate("b")[1]
    assert refusal(made, shown(rotated)) == 401 and made.caller(shown(anew)).key is not None
    assert made.caller(shown(short)) is made.caller(shown(short))
    now_us += 1_000_000
    assert refusal(made, shown(short)) == 401


def test_where_none_is_needed_anybody_passes_until_there_is_a_key(tmp_path: Path, keys: Keys) -> None:
    auto, off = gate(tmp_path), gate(tmp_path, "off")
    for headers in ({}, shown("sk-whatever"), ALICE):
        for made in (auto, off):
            assert made.caller(headers) is made.caller(headers) and made.caller(headers).key is None
    one, token = keys.create("one")
    assert refusal(auto, {}) == refusal(auto, shown("sk-whatever")) == 401
    assert auto.caller(shown(token)).key == one
    assert off.caller({}).key is None and off.caller(shown(token)).key is None
    keys.revoke("one")  # revoking the last one opens no door
    assert refusal(auto, {}) == 401


def test_what_the_body_says_is_never_remembered(tmp_path: Path) -> None:
    made, one = gate(tmp_path), key()
    for asked, user in (
        (Asked(user="carol"), "carol"), (Asked(metadata={"user": "dave"}), "dave"), (Asked(), ""),
        (Asked(user="erin"), "erin"),
    ):  # fmt: skip
        by, party = made.who(one, {}, asked)
        assert by.user == user and party.budgets[0].id == f"user:{user}"
        assert made.caller({}).by.user == ""
    assert made.who(one, {}, Asked(session="s"))[0].session == "s"
    assert made.who(one, ALICE, Asked(user="carol"))[0].user == "alice"  # a header before the body


def test_a_key_that_was_changed_holds_at_once(tmp_path: Path) -> None:
    made = gate(tmp_path)
    before, party = made.who(key(), ALICE, Asked())
    changed = key(limits=KeyLimits(concurrent=1), defaults=KeyDefaults(feature="chat"), models=("gpt-*",))
    after, now = made.who(changed, ALICE, Asked())
    assert (before.feature, party.scoped, limits_of(party)) == ("", False, ["key:k_1#0"])
    assert (after.feature, now.scoped, limits_of(now)) == ("chat", True, ["key:k_1#0", "key:k_1"])
    assert now.key is changed and "feature:chat" in {ref.id for ref in now.budgets}


def test_long_words_of_clients_are_not_kept_and_short_ones_not_without_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = gate(tmp_path)
    long = {b"x-farthing-segment": b"x" * 10_000}
    first, second = made.caller(long).by, made.caller(long).by
    assert first == second and first is not second and len(first.segment) <= 256
    monkeypatch.setattr(module, "_MOST_PARTIES", 50)
    for number in range(200):
        assert made.caller({b"x-farthing-user": b"u%d" % number}).by.user == f"u{number}"
    assert len(made._callers) <= 50 and len(made._parties) <= 50


def test_budgets_are_amounts_in_nanodollars(tmp_path: Path) -> None:
    [ref] = gate(tmp_path).who(None, {}, Asked())[1].budgets
    assert ref.limit == int(Decimal(10) * 10**9)


def test_a_table_of_limits_that_is_busy_is_told_as_nobodys_limit() -> None:
    party = Party(key=None, budgets=(), hard=None, limiter=None, scoped=False)
    told = module.limited(Limited(limit="", what="busy", retry_after_s=1), party)
    assert (told.status, told.message) == (429, "the limits are busy")
    full = module.limited(Limited(limit="user:#0", what="table", retry_after_s=1), party)
    assert full.message == "requests without a user: the limits are busy"

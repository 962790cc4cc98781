"""What the gateway decides live, replay decides offline: the same requests, through a running gateway whose upstreams
fail, then from its ledger alone."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from farthing.ledger.decisions import check_decisions, requests_in
from farthing.policies.question import Question
from farthing.policies.routing.file import read_policy_file
from farthing.policies.routing.offline import replay_routing
from farthing.rates.book import Book
from tests.gateway.faulty import Upstream
from tests.gateway.running import IMPATIENT, Running

ONE = """
[[upstream]]
name = "{name}"
provider = "openai"
protocol = "openai"
url = "{url}/v1"
key_env = "TEST_OPENAI_KEY"
models = ["gpt-*"]
"""
POLICIES = """
[[model]]
name = "chat"
targets = ["one/gpt-4o", "two/gpt-4o"]

[[policy]]
kind = "split"
name = "mini"
unit = "user"
weights = { asked = 2, "two/gpt-4o-mini" = 1 }
when = { feature = "s*", tags = { team = "a" } }

[[policy]]
kind = "split"
name = "spread"
weights = { asked = 1, "two/*" = 1 }
when = { model = "gpt-*", prompt_tokens = { over = 30 } }

[[policy]]
kind = "fallback"
targets = ["three/gpt-4o-mini"]
on = ["429", "5xx", "broken"]

[retries]
count = 1
first_s = 0.001
most_s = 0.01

[breaker]
failures = 6
window_s = 60
open_s = 0.5
"""
CONFIG = "".join(ONE.replace("{name}", name) for name in ("one", "two", "three")) + IMPATIENT + POLICIES
REQUESTS = 120


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """The data folder and the configuration of a gateway that has served some requests and ended."""
    choose = random.Random(5)
    with Upstream() as upstream, Running(tmp_path_factory.mktemp("live"), CONFIG, upstream.url) as gateway:
        for n in range(REQUESTS):
            for _ in range(choose.choice([0, 0, 0, 1, 1, 2, 4])):
                upstream.next(choose.choice(["status=429", "status=503", "status=400", "fault=html", "status=529"]))
            headers = {
                "x-farthing-user": choose.choice(["ann", "bob", "eve", "joe"]),
                "x-farthing-feature": choose.choice(["search", "summary", "chat"]),
                "x-farthing-tags": choose.choice(["team=a", "team=b", "team=a,place=x"]),
            }
            if n % 10 == 0:
                del headers["x-farthing-user"]
            body = {
                "model": choose.choice(["chat", "gpt-4o", "one/gpt-4o"]),
                "stream": choose.random() < 0.3,
                "max_tokens": 20,
                "messages": [{"role": "user", "content": "word " * choose.randrange(1, 120)}],
            }
            gateway.post("/v1/chat/completions", body, headers)
            upstream.server.next.clear()
        assert gateway.stop() == 0
        yield gateway.data, gateway.config


def test_every_live_decision_is_made_again(data: tuple[Path, Path]) -> None:
    folder, config = data
    checked = check_decisions(folder, read_policy_file(config).chain)
    assert checked.first == []
    assert checked.agree == checked.attempts > REQUESTS
    assert (checked.differ, checked.other, checked.unlogged, checked.unreadable) == (0, 0, 0, 0)


def test_replay_leads_every_request_where_the_gateway_did(data: tuple[Path, Path]) -> None:
    folder, config = data
    seen = list(requests_in(folder))
    targets = {attempt.target for one in seen for attempt in one.attempts}
    assert targets >= {"one/gpt-4o", "two/gpt-4o", "two/gpt-4o-mini", "three/gpt-4o-mini"}
    policies = {attempt.logged.policy for one in seen for attempt in one.attempts if attempt.logged}
    assert policies == {"passthrough", "mini", "spread", "fallback"}
    answer = replay_routing(
        seen, Book(), read_policy_file(config), Question(now=datetime(2026, 11, 22, tzinfo=UTC))
    )  # fmt: skip
    assert (answer.requests, answer.differ) == (REQUESTS, 0)
    assert answer.saved_usd == 0

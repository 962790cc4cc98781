"""Routing policies: microseconds of a decision and of its log, and of a request replayed under a split."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from farthing.policies.question import Question
from farthing.policies.routing import Ask, Chain, Context, Failure, read_chain, recompute
from farthing.policies.routing.file import PolicyFile
from farthing.policies.routing.offline import replay_routing
from farthing.policies.routing.recorded import requests_of
from farthing.rates.book import Book
from farthing.rates.toml_table import Document
from farthing.usage.record import Usage

REQUESTS = 200_000
SPLIT = '[[policy]]\nkind = "split"\nname = "try"\nweights = { "openai/gpt-5" = 9, "openai/gpt-5-mini" = 1 }\n'
ASKED = SPLIT.replace('"openai/gpt-5"', "asked") + 'unit = "user"\nwhen = { feature = ["chat", "search*"] }\n'
FALLBACK = '[[policy]]\nkind = "fallback"\ntargets = ["azure/gpt-5"]\n'


def main() -> None:
    ask = Ask(request_id="0193f6a1", model="gpt-5", feature="chat", user="ann")
    first = Context(targets=("openai/gpt-5",), retries=2)
    failed = (Failure(target="openai/gpt-5", status=429),)
    later = Context(attempt=2, failed=failed, targets=("openai/gpt-5",), retries=2)
    print(f"{'':32}{'decide':>10}{'log':>10}{'recompute':>12}   µs")
    for name, text, context in (
        ("no policy", "", first),
        ("split", SPLIT, first),
        ("split by user, when, fallback", ASKED + FALLBACK, first),
        ("the same after a failure", ASKED + FALLBACK, later),
    ):
        chain = _chain(text)
        decision = chain.decide(ask, context)
        log = decision.log()
        times = [
            _us(lambda c=chain, at=context: c.decide(ask, at)),
            _us(decision.log),
            _us(lambda c=chain, text=log: recompute(c, ask, text)),
        ]
        print(f"{name:32}{times[0]:10.2f}{times[1]:10.2f}{times[2]:12.2f}")
    at = datetime(2026, 11, 4, tzinfo=UTC)
    rows = [
        Usage(at=at + timedelta(seconds=n), quantities={"input": 100 + n % 999, "output": n % 50 + 1},
              provider="openai", model_asked="gpt-5", model_served="gpt-5", id=f"r{n}", user=f"u{n % 1000}")
        for n in range(REQUESTS)
    ]  # fmt: skip
    book, file = Book(), PolicyFile(name="bench", chain=_chain(SPLIT + FALLBACK))
    began = time.perf_counter()
    replay_routing(requests_of(rows, book, None), book, file, Question(now=at))
    each = (time.perf_counter() - began) / REQUESTS * 1e6
    print(f"replayed under a split: {REQUESTS:,} requests, {each:.1f} µs each, pricing included")


def _chain(text: str) -> Chain:
    return read_chain(Document(text, "bench").table())


def _us(work: Callable[[], Any], times: int = 20_000) -> float:
    """The best of five runs, in microseconds a call."""
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(times):
            work()
        best = min(best, time.perf_counter() - began)
    return best / times * 1e6


if __name__ == "__main__":
    main()

"""Somebody removes the ledger's files under a running gateway: it says so, loses nothing, and keeps its doors."""

import shutil
import threading
import time
from collections import Counter
from pathlib import Path

from farthing.ledger.verify import verify
from tests.gateway.faulty import Upstream
from tests.gateway.running import UPSTREAMS, Running, read_rows

BODY = {"model": "gpt-4o-mini", "max_tokens": 5, "messages": [{"role": "user", "content": "[[words=3]]"}]}


def ask(gateway: Running, token: str) -> int:
    answer, _ = gateway.post("/v1/chat/completions", BODY, {"authorization": f"Bearer {token}"})
    return answer.status


def test_the_database_is_removed_under_a_busy_gateway(tmp_path: Path) -> None:
    with Upstream() as upstream, Running(tmp_path, UPSTREAMS, upstream.url, workers=2) as gateway:
        _, token = gateway.key("mine", budgets=())
        seen: Counter[int] = Counter()
        done = threading.Event()

        def go_on() -> None:
            while not done.is_set():
                seen[ask(gateway, token)] += 1
                time.sleep(0.01)

        client = threading.Thread(target=go_on)
        client.start()
        for names in ("ledger.sqlite", "ledger.sqlite*"):
            time.sleep(0.3)
            for path in gateway.data.glob(names):
                path.unlink()
            gateway.wait((gateway.data / "ledger.sqlite").exists, "the database")
        gateway.wait(lambda: all(gateway.is_ready() for _ in range(8)), "both workers")
        done.set()
        client.join(10)
        assert seen[200] > 20 and seen.keys() <= {200, 503}
        gateway.wait(lambda: ask(gateway, "fk-" + "x" * 43) == 401, "the keys")
        gateway.wait(lambda: ask(gateway, token) == 200, "both workers' keys")
        assert gateway.stop() == 0
        served = sum(record.status == 200 for record in upstream.records())
    rows = [row for row in read_rows(gateway.data) if row.state == "done"]
    assert len(rows) == served == seen[200] + 1 and verify(gateway.data).ok


def test_the_folder_is_removed_under_a_gateway(tmp_path: Path) -> None:
    with Upstream() as upstream, Running(tmp_path, UPSTREAMS, upstream.url) as gateway:
        assert ask(gateway, "") == 200
        shutil.rmtree(gateway.data)
        gateway.wait(lambda: gateway.get("/readyz")[0] == 503, "word of it")
        assert b"was removed" in gateway.get("/readyz")[1]
        # What cannot be recorded is not served; until that is noticed, memory keeps it.
        gateway.wait(lambda: ask(gateway, "") == 503, "a refusal", timeout_s=5)

"""Keys that leaked, were not revoked, or led elsewhere; requests put down to nobody; metrics without end."""

import json
import re
import subprocess
import sys
import time
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import pytest

from farthing.ledger.keys import KeyDefaults, Keys
from farthing.ledger.view import open_view
from tests.gateway.faulty import Upstream
from tests.gateway.real_failures.asking import (
    CHAT,
    CLAUDE,
    GPT,
    MESSAGES,
    RESPONSES,
    Json,
    Told,
    ask,
    bearer,
    chat,
    data,
    fresh,
    said,
)  # fmt: skip
from tests.gateway.running import ANTHROPIC_KEY, OPENAI_KEY, Running

# --- secrets


@pytest.mark.parametrize(("status", "stream"), [(200, False), (400, False), (500, False), (302, False), (200, True)])
def test_a_key_that_an_upstream_sends_back_goes_no_further(
    gateway: Running, upstream: Upstream, status: int, stream: bool
) -> None:
    """Bifrost #3954: the provider's key came back in a response header (x-goog-api-key) and was passed on; errors that
    quote the key were, too (ai-gateway-api #185, redash-mcp #30)."""
    echo = [
        ("x-goog-api-key", OPENAI_KEY),
        ("x-debug", f"auth=Bearer {OPENAI_KEY}"),
        ("location", f"/?key={OPENAI_KEY}"),
    ]
    error = json.dumps({"error": {"message": f"bad key {OPENAI_KEY}", "type": "x", "code": None}}).encode()
    fresh(upstream)
    for _ in range(2):
        if stream:
            upstream.reply(data({"choices": [], "note": OPENAI_KEY}), error.join([b"data: ", b"\n\n"]), headers=echo)
        else:
            upstream.reply(chat() if status == 200 else error, status=status, headers=echo)
    answer, body = gateway.post(CHAT, said(stream=stream))
    seen = body + json.dumps(answer.getheaders()).encode()
    assert OPENAI_KEY.encode() not in seen


def test_no_key_is_written_anywhere(keyed: Running, upstream: Upstream) -> None:
    """llm-gateway #34: keys that were refused were logged as they came; others kept upstreams' keys in their rows."""
    _, token = keyed.key("secret")
    shown = ["fk-shown-and-unknown-0123456789abcdefghijklmno", token]
    for one in shown:
        ask(keyed, CHAT, said("[[status=500]]"), bearer(one))
        ask(keyed, CHAT, b"{" + one.encode(), bearer(one))
        with closing(HTTPConnection("127.0.0.1", keyed.port, timeout=5)) as link:
            link.request("GET", f"/v1/models?api_key={one}&key={one}")
            assert link.getresponse().status == 401, "a key in an address is none"
    time.sleep(0.3)
    files = [path for path in keyed.data.rglob("*") if path.is_file()]
    told = [keyed.said().encode(), keyed.get("/metrics")[1], *(path.read_bytes() for path in files)]
    for secret in (*shown, OPENAI_KEY, ANTHROPIC_KEY):
        assert not any(secret.encode() in text for text in told)


@pytest.mark.parametrize(
    "field", ["api_base", "base_url", "api_key", "custom_llm_provider", "litellm_params", "extra_body"]
)
def test_a_request_cannot_say_where_it_goes(gateway: Running, upstream: Upstream, field: str) -> None:
    """LiteLLM #24952, #5418, #37053, mlflow GHSA-h7x2-h6g9-p789: `api_base` in a body sent the provider's key to an
    address of the caller's. Here a body is the upstream's business, and addresses stand in the configuration."""
    fresh(upstream)
    more: Json = {field: "http://127.0.0.1:1/steal" if "base" in field else {"api_base": "http://127.0.0.1:1"}}
    body = said() | more
    headers = {"host": "169.254.169.254", "x-forwarded-host": "127.0.0.1:1", "x-upstream-url": "http://127.0.0.1:1"}
    told = ask(gateway, CHAT, body, headers)
    assert told.status == 200 and len(upstream.records()) == 1
    passed = dict(upstream.records()[0].headers)
    assert (
        passed["host"].startswith("127.0.0.1:") and "x-forwarded-host" not in passed and "x-upstream-url" not in passed
    )


def test_what_a_client_must_not_say_is_not_passed_on(gateway: Running, upstream: Upstream) -> None:
    """Client headers went upstream as they came: keys, cookies, the organisation that is billed."""
    fresh(upstream)
    mine = {
        "authorization": "Bearer fk-mine", "x-api-key": "fk-mine", "cookie": "a=fk-mine", "openai-project": "org-x",
        "openai-organization": "org-x", "proxy-authorization": "Basic fk-mine", "anthropic-beta": "new-2026",
    }  # fmt: skip
    assert ask(gateway, CHAT, said(), mine).status == 200
    assert ask(gateway, MESSAGES, said(model=CLAUDE), mine).status == 200
    openai, anthropic = upstream.records()
    assert (openai.key, anthropic.key) == (f"Bearer {OPENAI_KEY}", ANTHROPIC_KEY)
    for record in (openai, anthropic):
        assert "fk-mine" not in json.dumps(record.headers) and "org-x" not in json.dumps(record.headers)
    assert dict(anthropic.headers)["anthropic-beta"] == "new-2026"


def test_a_key_that_is_revoked_or_changed_is_so_on_every_worker(keyed: Running, upstream: Upstream) -> None:
    """LiteLLM and others keep keys in each process's cache: one that was revoked went on for minutes."""
    _, token = keyed.key("revoked")
    assert {ask(keyed, CHAT, said("[[words=1]]"), bearer(token)).status for _ in range(6)} == {200}
    with Keys(keyed.data) as keys:
        keys.revoke("revoked")
    assert {ask(keyed, CHAT, said(), bearer(token)).status for _ in range(12)} == {401}


def test_a_key_is_taken_where_azures_clients_put_it(keyed: Running, upstream: Upstream) -> None:
    """Bifrost 2.0.0: calls with an `api-key` header were put down to nobody."""
    key, token = keyed.key("azure")
    told = ask(keyed, CHAT, said("[[words=1]]"), {"api-key": token})
    assert told.status == 200 and told.row.key == key.id


def test_models_are_listed_as_the_key_may_use_them(keyed: Running, upstream: Upstream) -> None:
    """/v1/models listed what a key may not use, or nothing, and knew one protocol's form alone."""
    _, token = keyed.key("lists", models=["team/*"])
    with closing(HTTPConnection("127.0.0.1", keyed.port, timeout=5)) as link:
        link.request("GET", "/v1/models", headers=bearer(token))
        told = json.loads(link.getresponse().read())
    assert [one["id"] for one in told["data"]] == ["team/chat-70b"]


# --- attribution


def tags_of(gateway: Running, told: Told) -> Json:
    assert told.row.state == "done"
    with open_view(gateway.data) as view:
        sql = "SELECT tags FROM attempts WHERE request = ?"
        (found,) = view.connection.execute(sql, [told.headers["x-farthing-request-id"]]).fetchall()
    tags: Json = json.loads(found[0]) if isinstance(found[0], str) else dict(found[0])
    return tags


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "body", "user"),
    [
        (CHAT, said("[[words=2]]", user="u-1", metadata={"team": "red"}), "u-1"),
        (CHAT, said("[[words=2]]", CLAUDE, user="u-2", metadata={"team": "red"}), "u-2"),
        (MESSAGES, said("[[words=2]]", CLAUDE, metadata={"user_id": "u-3"}), "u-3"),
        (RESPONSES, {"model": GPT, "input": "x", "safety_identifier": "u-4", "metadata": {"team": "red"}}, "u-4"),
    ],
)
def test_who_asked_is_in_the_row_of_a_stream_too(
    keyed: Running, upstream: Upstream, path: str, body: Json, user: str, stream: bool
) -> None:
    """LiteLLM (several): end user, tags and team were null in the spend of streams, or of one surface."""
    _, token = keyed.key(
        f"who {user} {stream}", team="blue", defaults=KeyDefaults(feature="search", tags={"env": "prod"})
    )
    headers = bearer(token, x_farthing_session="s-9", x_farthing_tags="run=7")
    told = ask(keyed, path, body | {"stream": stream}, headers)
    row = told.row
    assert (row.user, row.feature, row.session, row.streamed) == (user, "search", "s-9", stream)
    tags = tags_of(keyed, told)
    assert tags["env"] == "prod" and tags["run"] == "7" and tags.get("team") == ("red" if path != MESSAGES else None)


def test_answers_without_an_id_are_rows_of_their_own(gateway: Running, upstream: Upstream) -> None:
    """LiteLLM #6633: rows were keyed by the answer's id, so that of streams without one only the first was kept."""
    before = len(gateway.rows())
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    fresh(upstream)
    for _ in range(3):
        upstream.reply(json.dumps({"id": "", "choices": [{"message": {"content": "x"}}], "usage": usage}).encode())
    for _ in range(3):
        ask(gateway, CHAT, said())
    assert len(gateway.rows(before + 3)) == before + 3


def test_a_stored_answer_is_paid_for_once_however_often_it_is_fetched(keyed: Running, upstream: Upstream) -> None:
    """LiteLLM #17814 and #25015: each GET of a response was charged as if it were made anew."""
    _, token = keyed.key("fetches")
    used = {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110}
    made = {"id": "resp_once", "object": "response", "status": "completed", "model": GPT, "usage": used}
    fresh(upstream).reply(json.dumps(made | {"background": False}).encode())
    told = ask(keyed, RESPONSES, {"model": GPT, "input": "x"}, bearer(token))
    expected = told.row.usd
    later = made | {"id": "resp_later", "background": True, "created_at": int(time.time())}
    upstream.reply(json.dumps(later | {"status": "queued", "usage": None}).encode())
    queued = ask(keyed, RESPONSES, {"model": GPT, "input": "x", "background": True}, bearer(token))
    assert queued.row.usd != expected
    for answer in (made | {"background": False}, later):
        for _ in range(3):
            upstream.reply(json.dumps(answer).encode())
            with closing(HTTPConnection("127.0.0.1", keyed.port, timeout=5)) as link:
                link.request("GET", f"/v1/responses/{answer['id']}", headers=bearer(token))
                assert link.getresponse().status == 200
    keyed.wait(lambda: _paid(keyed) == [expected, expected], "one charge each", 5)
    time.sleep(0.3)
    assert _paid(keyed) == [expected, expected]


def _paid(gateway: Running) -> list[Any]:
    return [row.usd for row in gateway.rows() if row.quantities == {"input": 100, "output": 10}]


# --- the rest


def test_asking_for_health_costs_nothing(gateway: Running, upstream: Upstream) -> None:
    """LiteLLM's /health sent a paid request to every model, each time an orchestrator asked."""
    fresh(upstream)
    before = len(gateway.rows())
    for path in ("/healthz", "/readyz", "/metrics", "/v1/models"):
        assert gateway.get(path)[0] == 200
    assert not upstream.records() and len(gateway.rows()) == before


def test_what_has_no_price_is_seen_in_the_header_the_metrics_and_the_summary(
    keyed: Running, upstream: Upstream
) -> None:
    """LiteLLM #36561: models without a price were $0 everywhere, and nothing said that they were."""
    _, token = keyed.key("unpriced")
    told = ask(keyed, CHAT, said("[[words=1]]", "unknown-seen"), bearer(token))
    assert told.headers["x-farthing-cost-usd"] is None and "unknown-seen" in told.headers["x-farthing-cost-unknown"]
    told.rows()

    def counted() -> bool:
        lines = keyed.get("/metrics")[1].decode().splitlines()
        return any("unknown" in one.partition("{")[0] and 'model="unknown-seen"' in one for one in lines)

    keyed.wait(counted, "the metric", 5)
    command = [sys.executable, "-m", "farthing", "ledger", "summary", "--by", "model", "--data", str(keyed.data)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.search(r"unknown-seen .* unknown ", shown) and "no offer openai/unknown-seen" in shown


def test_names_that_clients_make_up_do_not_fill_the_metrics(keyed: Running, upstream: Upstream) -> None:
    """Labels of metrics from clients' words (models, users, features) grew without end."""
    _, token = keyed.key("inventive")

    def lines() -> set[str]:
        return {one.partition("}")[0] for one in keyed.get("/metrics")[1].decode().splitlines() if "{" in one}

    for number in range(3):
        ask(keyed, CHAT, said("[[status=404]]", f"unknown-{number}", user=f"u{number}"), bearer(token))
    before = len(lines())
    for number in range(3, 20):
        headers = bearer(token, x_farthing_feature=f"f{number}", x_farthing_tags=f"t{number}=1")
        ask(keyed, CHAT, said("[[status=404]]", f"unknown-{number}", user=f"u{number}"), headers)
    assert not any(word in keyed.get("/metrics")[1].decode() for word in ("unknown-19", "u19", "f19", "t19"))
    assert len(lines()) <= before + 2


@pytest.mark.parametrize("given", ["text", ["a", "b"], [1, 2, 3], [[1, 2], [3]]])
def test_embeddings_of_every_kind_are_metered(gateway: Running, upstream: Upstream, given: Any) -> None:
    """Aisix #402 and others: embeddings left no usage; lists of tokens and base64 were not understood."""
    body = {"model": "text-embedding-3-small", "input": given, "encoding_format": "base64"}
    fresh(upstream).next("prompt=40")
    told = ask(gateway, "/v1/embeddings", body)
    assert told.status == 200 and told.row.quantities == {"input": 40} and told.row.usd


def test_counting_tokens_costs_nothing_and_is_not_translated(gateway: Running, upstream: Upstream) -> None:
    """Vercel #17326: a count was sent to Anthropic whatever model was named."""
    told = ask(gateway, "/v1/messages/count_tokens", said("[[prompt=77]]", CLAUDE))
    assert told.json == {"input_tokens": 77} and told.row.usd == 0 and not told.row.quantities
    fresh(upstream)
    told = ask(gateway, "/v1/messages/count_tokens", said(model=GPT))
    assert told.status == 404 and not upstream.records()

import json

import pytest

from farthing.gateway.breaker import Breaker
from farthing.gateway.config.secret import Secret
from farthing.gateway.config.values import Breaker as Rule
from farthing.gateway.config.values import Upstream as Settings
from farthing.gateway.metering import Surface, read_request
from farthing.gateway.outgoing import outgoing, with_model
from farthing.gateway.translation import AnthropicTarget
from farthing.gateway.upstream import Upstream

BODY = b'{ "messages": [{"role":"user","content":"hi \\"model\\": 1"}],\n "model" : "gpt-4o" , "temperature":0.50 }'


def upstream(**more) -> Upstream:
    fields = {"name": "up", "provider": "openai", "protocol": "openai", "url": "http://127.0.0.1:1/v1"} | more
    return Upstream(Settings(**fields), Breaker(Rule()))


def send(body: bytes, model: str, cap: int | None = None, up: Upstream | None = None, to: Surface = Surface.CHAT):
    return outgoing(up or upstream(), Surface.CHAT, to, body, read_request(Surface.CHAT, body), model, cap, "id")


def test_a_request_goes_as_it_came_to_the_byte():
    assert send(BODY, "gpt-4o").body is BODY


def test_another_model_changes_that_value_and_nothing_else():
    assert with_model(BODY, 'a"b') == BODY.replace(b'"gpt-4o"', b'"a\\"b"')
    assert send(BODY, "gpt-5").body == BODY.replace(b'"gpt-4o"', b'"gpt-5"')


def test_usage_is_asked_for_in_streams_where_the_client_did_not():
    body = b'{"model":"m","stream":true,"messages":[]}'
    sent = send(body, "m")
    assert sent.hide_usage and json.loads(sent.body)["stream_options"] == {"include_usage": True}
    asked = b'{"model":"m","stream":true,"messages":[],"stream_options":{"include_usage":true}}'
    assert not send(asked, "m").hide_usage and send(asked, "m").body is asked
    unasked = send(body, "m", up=upstream(stream_usage="unasked"))
    assert not unasked.hide_usage and unasked.body is body


def test_a_cap_is_written_in_where_none_is_stated():
    assert json.loads(send(BODY, "gpt-4o", cap=777).body)["max_completion_tokens"] == 777


def test_a_translated_request_has_the_model_and_the_cap_of_its_target():
    up = upstream(protocol="anthropic", target=AnthropicTarget(), surfaces=frozenset({"messages"}))
    sent = send(BODY, "claude-x", cap=555, up=up, to=Surface.MESSAGES)
    body = json.loads(sent.body)
    assert (body["model"], body["max_tokens"]) == ("claude-x", 555)
    assert sent.reply is not None


def pairs(lines: bytes) -> list[tuple[str, str]]:
    """Header lines by name and value."""
    return [tuple(line.split(": ", 1)) for line in lines.decode().removesuffix("\r\n").split("\r\n")]


SECRET = Secret("sk-very-secret-key", "$KEY")


@pytest.mark.parametrize(
    ("auth", "name", "value"),
    [("bearer", "authorization", "Bearer sk-very-secret-key"), ("x-api-key", "x-api-key", "sk-very-secret-key"),
     ("api-key", "api-key", "sk-very-secret-key"), ("none", "authorization", None)],
)  # fmt: skip
def test_the_upstreams_key_is_sent_and_the_clients_is_not(auth, name, value):
    client = {
        b"authorization": b"Bearer fk-client", b"x-api-key": b"fk-client", b"cookie": b"a=b", b"host": b"gateway",
        b"openai-organization": b"org", b"openai-project": b"p", b"x-forwarded-for": b"1.2.3.4", b"user-agent": b"me",
        b"content-length": b"3", b"connection": b"keep-alive", b"x-farthing-user": b"u",
    }  # fmt: skip
    made = pairs(lines(upstream(auth=auth, key=SECRET), client))
    named = dict(made)
    assert named.get(name) == value
    assert len(named) == len(made)
    allowed = {"accept-encoding", "user-agent", "x-farthing-attempt-id"} | ({name} if value else set())
    assert set(named) == allowed
    assert "fk-client" not in repr(made)


def test_configured_headers_go_before_the_clients():
    up = upstream(headers=(("user-agent", "ours"), ("x-more", "1")))
    made = pairs(lines(up, {b"user-agent": b"theirs"}))
    assert [value for name, value in made if name == "user-agent"] == ["ours"]


def test_anthropic_upstreams_get_a_version_and_translated_requests_none_of_the_other_protocols_headers():
    up = upstream(protocol="anthropic")
    stated = {b"anthropic-version": b"2023-01-01", b"openai-beta": b"x", b"anthropic-beta": b"y"}
    assert dict(pairs(lines(up, stated)))["anthropic-version"] == "2023-01-01"
    assert dict(pairs(lines(up, {})))["anthropic-version"] == "2023-06-01"
    translated = dict(pairs(lines(up, stated, translated=True)))
    assert translated["anthropic-version"] == "2023-06-01" and not {"openai-beta", "anthropic-beta"} & set(translated)


def test_an_error_that_quotes_the_key_does_not_show_it():
    body = upstream(key=SECRET).hiding.body(b'{"error":"bad key sk-very-secret-key"}')
    assert b"secret" not in body


def test_the_address_is_the_configurations():
    up = upstream(query=(("api-version", "v1"),))
    assert up.target("chat/completions") == b"/v1/chat/completions?api-version=v1"
    assert up.open().origin.start("POST", b"/v1/x") == b"POST /v1/x HTTP/1.1\r\nhost: 127.0.0.1:1\r\n"


def test_no_value_of_a_clients_header_can_begin_another_one():
    for bad in (b"a\r\nauthorization: Bearer other", b"a\nb: c", b"a\0b"):
        assert bad not in lines(upstream(), {b"user-agent": bad})


@pytest.mark.parametrize("translated", [False, True])
@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
def test_what_is_passed_on_of_the_clients_headers(protocol, translated):
    up = upstream(protocol=protocol, headers=(("x-title", "ours"),))
    clients = [
        {}, {b"user-agent": b"a"}, {b"user-agent": b"b"}, {b"accept": b"a"}, {b"user-agent": b"a", b"x-title": b"t"},
        {b"user-agent": b"a", b"anthropic-version": b"v", b"openai-beta": b"o"}, {b"user-agent": b"a\r\nb: c"},
        {b"user-agent": b"a", b"x-request-id": b"1", b"traceparent": b"t"}, {b"x-request-id": b"2"},
        {b"user-agent": b"long" * 100}, {b"user-agent": b"a", b"x-session-id": b"1\r\n"}, {b"cookie": b"c"},
    ]  # fmt: skip
    for client in clients:
        expected = {"accept-encoding": "identity", "x-title": "ours", "x-farthing-attempt-id": "a"}
        for name, value in client.items():
            others = name.startswith((b"anthropic-", b"openai-"))
            if name not in (b"x-title", b"cookie") and b"\r" not in value and not (translated and others):
                expected[name.decode()] = value.decode()
        if protocol == "anthropic":
            expected.setdefault("anthropic-version", "2023-06-01")
        assert sorted(pairs(lines(up, client, translated=translated))) == sorted(expected.items())


def test_a_traced_request_has_a_parent_of_ours_alone():
    stated = {b"traceparent": b"theirs", b"tracestate": b"kept"}
    made = dict(pairs(lines(upstream(), stated, traced=True)))
    assert "traceparent" not in made and made["tracestate"] == "kept"
    assert dict(pairs(lines(upstream(), stated)))["traceparent"] == "theirs"


def lines(up: Upstream, client, **how) -> bytes:
    """The lines of a request whose attempt is "a"."""
    return up.lines(client, **how) + b"a\r\n"


def test_a_request_is_sent_as_json_of_its_length_to_the_path():
    request = upstream(query=(("api-version", "v1"),)).post("chat/completions", b"x: y\r\nz: ", "a1", b"{}")
    assert request._data == (
        b"POST /v1/chat/completions?api-version=v1 HTTP/1.1\r\nhost: 127.0.0.1:1\r\nx: y\r\nz: a1\r\n"
        b"content-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
    )

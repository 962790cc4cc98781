"""Spans: what they say, where they stand, and that sending them never holds up a request."""

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import farthing
from farthing.gateway.observe import tracing
from farthing.gateway.observe.otlp import CLIENT as CLIENT_KIND
from farthing.gateway.observe.otlp import SERVER, Sender, Span, encode, pairs, traces_address
from farthing.gateway.observe.spans import Trace, attributes, span_id, trace_of
from farthing.gateway.observe.tracing import MOST_WAITING, Tracer
from farthing.ledger.row import Attempt

CLIENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
START_US = 1_795_000_000_000_000

needs_proto = pytest.mark.skipif(
    not (find_spec("opentelemetry") and find_spec("opentelemetry.proto")), reason="needs opentelemetry-proto to decode"
)


def decoded(body: bytes) -> Any:
    """The request as the official package reads it."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    return ExportTraceServiceRequest.FromString(body)


def attempt(**fields: Any) -> Attempt:
    values: dict[str, Any] = {
        "attempt": "a1", "request": "r1", "state": "done", "started_us": START_US, "ended_us": START_US + 2_000_000,
        "first_us": START_US + 250_000, "upstream": "main", "provider": "openai", "surface": "chat/completions",
        "model_asked": "gpt-test", "model_served": "gpt-test-2026", "status": 200, "usd": "23/5000",
        "quantities": {"input": 100, "cache_read": 40, "cache_write_1h": 7, "output": 20, "reasoning": 5},
    }  # fmt: skip
    return Attempt(**{**values, **fields})


# --- attributes -------------------------------------------------------------------------------


def test_attributes() -> None:
    told = attributes(attempt(streamed=True, session="s1", key="k_1", answer="chatcmpl-1"), "api.example.com", 443)
    assert told == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-test",
        "gen_ai.request.stream": True,
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": "gpt-test-2026",
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.conversation.id": "s1",
        "gen_ai.usage.input_tokens": 147,  # 100 + 40 + 7: what was cached is part of the input
        "gen_ai.usage.output_tokens": 20,  # reasoning is part of it
        "gen_ai.usage.cache_read.input_tokens": 40,
        "gen_ai.usage.cache_write.input_tokens": 7,
        "gen_ai.usage.cache_creation.input_tokens": 7,
        "gen_ai.usage.reasoning.output_tokens": 5,
        "http.response.status_code": 200,
        "server.address": "api.example.com",
        "server.port": 443,
        "farthing.request.id": "r1",
        "farthing.attempt.id": "a1",
        "farthing.attempt.number": 1,
        "farthing.attempt.state": "done",
        "farthing.upstream": "main",
        "farthing.key": "k_1",
        "farthing.cost.usd": 0.0046,
    }


def test_modalities_and_operations() -> None:
    told = attributes(
        attempt(surface="embeddings", provider="google",
                quantities={"input": 3, "input_audio": 5, "cache_read_audio": 2, "output_audio": 4})
    )  # fmt: skip
    assert told["gen_ai.operation.name"] == "embeddings"
    assert told["gen_ai.provider.name"] == "gcp.gemini"
    assert told["gen_ai.usage.input_tokens"] == 10
    assert told["gen_ai.usage.audio.input_tokens"] == 7
    assert told["gen_ai.usage.cache_read.input_tokens"] == 2
    assert told["gen_ai.usage.audio.output_tokens"] == told["gen_ai.usage.output_tokens"] == 4
    assert attributes(attempt(surface="responses"))["gen_ai.operation.name"] == "chat"
    assert attributes(attempt(provider="", upstream="vllm-1"))["gen_ai.provider.name"] == "vllm-1"


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"state": "failed", "status": 529, "error": "overloaded_error"}, "overloaded_error"),
        ({"state": "failed", "status": 500}, "500"),
        ({"state": "failed", "status": None}, "failed"),
        ({"state": "cancelled"}, None),
        ({}, None),
    ],
)
def test_errors(fields: dict[str, Any], error: str | None) -> None:
    assert attributes(attempt(**fields)).get("error.type") == error


def test_an_unknown_charge_is_no_zero() -> None:
    told = attributes(attempt(usd=None, unknown="no price stated", reported_usd="1/100", estimated=True))
    assert "farthing.cost.usd" not in told
    assert told["farthing.cost.unknown"] == "no price stated"
    assert told["farthing.cost.reported_usd"] == 0.01
    assert told["farthing.usage.estimated"] is True
    nothing = attributes(attempt(quantities={}, usd=None, unknown="no answer came"))
    assert not any(name.startswith("gen_ai.usage") for name in nothing)


def test_no_users_and_no_tags() -> None:
    told = attributes(attempt(user="alice@example.com", tags={"note": "secret"}, decision='{"why": "secret"}'))
    assert not any("alice" in str(value) or "secret" in str(value) for value in told.values())


# --- where a span stands ----------------------------------------------------------------------


def test_the_clients_trace_goes_on() -> None:
    found = trace_of("r1", CLIENT, "vendor=1")
    assert found == Trace(0x0AF7651916CD43DD8448EB211C80319C, span_id("r1"), 0xB7AD6B7169203331, "vendor=1")
    assert found.header("a1") == f"00-0af7651916cd43dd8448eb211c80319c-{span_id('a1'):016x}-01"
    assert trace_of("r1", CLIENT[:-2] + "00") is None  # the client does not record it
    assert trace_of("r1", CLIENT, ratio=0.0) is not None  # the client decides


@pytest.mark.parametrize(
    ("header", "valid"),
    [
        (CLIENT, True),
        (CLIENT.replace("00-", "cc-", 1) + "-what-the-future-will-be-like", True),
        (CLIENT.replace("00-", "cc-", 1), True),
        (CLIENT + "-more", False),  # of version 00, which has no more
        (CLIENT.replace("00-", "ff-", 1), False),
        (CLIENT.upper(), False),
        ("00-" + "0" * 32 + "-b7ad6b7169203331-01", False),
        ("00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01", False),
        (CLIENT[:-1], False),
        ("", False),
    ],
)
def test_traceparent(header: str, valid: bool) -> None:
    found = trace_of("r1", header)
    assert found is not None
    assert (found.parent != 0) == valid
    assert (found.trace == 0x0AF7651916CD43DD8448EB211C80319C) == valid


@settings(deadline=None)
@given(st.text(max_size=80), st.text(max_size=30))
def test_any_header_will_do(header: str, request: str) -> None:
    found = trace_of(request.encode("utf-8", "replace").decode(), header)
    assert found is None or (0 < found.trace < 2**128 and 0 < found.span < 2**64)


def test_a_share_is_recorded() -> None:
    recorded = sum(trace_of(f"r{number}", ratio=0.25) is not None for number in range(4000))
    assert 850 < recorded < 1150  # 1,000 ± 5 standard deviations of 27
    assert all(trace_of(f"r{number}", ratio=0.0) is None for number in range(100))


@pytest.mark.parametrize(
    ("stated", "address"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
        ("https://otel.example.com/api/otlp/v1/traces", "https://otel.example.com/api/otlp/v1/traces"),
    ],
)
def test_where_traces_go(stated: str, address: str) -> None:
    assert traces_address(stated) == address


# --- the encoding -----------------------------------------------------------------------------

values = st.text(max_size=300) | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)


@needs_proto
@settings(deadline=None, max_examples=150)
@given(
    name=st.text(max_size=40),
    told=st.dictionaries(st.text(min_size=1, max_size=10), values, max_size=5),
    state=st.text(max_size=5),
    parent=st.integers(0, 2**64 - 1),
    failed=st.booleans(),
    kind=st.sampled_from([SERVER, CLIENT_KIND]),
)
def test_the_official_decoder_reads_it(
    name: str, told: dict[str, Any], state: str, parent: int, failed: bool, kind: int
) -> None:
    span = Span(name, kind, 7, 9, parent, state, START_US, START_US + 5, failed, told)
    found = decoded(encode({"service.name": "x" * 200}, [span, span]))
    assert found.resource_spans[0].resource.attributes[0].value.string_value == "x" * 200
    assert found.resource_spans[0].scope_spans[0].scope.name == "farthing.gateway"
    one, other = found.resource_spans[0].scope_spans[0].spans
    assert one == other

    def clean(text: str) -> str:
        return text.encode("utf-8", "replace").decode()

    assert (one.name, one.trace_state, one.kind) == (clean(name), clean(state), kind)
    assert (int.from_bytes(one.trace_id), int.from_bytes(one.span_id)) == (7, 9)
    assert one.parent_span_id == (parent.to_bytes(8) if parent else b"")
    assert (one.start_time_unix_nano, one.end_time_unix_nano) == (START_US * 1000, START_US * 1000 + 5000)
    assert one.status.code == (2 if failed else 0)
    assert one.flags == 0x101 | (0x200 if kind == SERVER and parent else 0)
    read = [(pair.key, getattr(pair.value, pair.value.WhichOneof("value"))) for pair in one.attributes]
    assert read == [(clean(key), clean(value) if isinstance(value, str) else value) for key, value in told.items()]
    assert [type(value) for _, value in read] == [type(value) for value in told.values()]


def test_pairs() -> None:
    assert pairs("authorization=Bearer%20x, a=b=c,,nonsense,=d") == {"authorization": "Bearer x", "a": "b=c"}


# --- sending ----------------------------------------------------------------------------------


class Receiver:
    """An OTLP/HTTP receiver: what it was sent, and what it answers, in order (200 at the end)."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[int] = []
        self.go = threading.Event()
        self.go.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.go.wait(30)
                outer.got.append((self.path, {key.lower(): value for key, value in self.headers.items()}, body))
                self.send_response(outer.answers.pop(0) if outer.answers else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

        self.server = Server(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def spans(self) -> list[Any]:
        return [
            span
            for _, _, body in self.got
            for part in decoded(body).resource_spans
            for span in part.scope_spans[0].spans
        ]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.go.set()
    made.server.shutdown()
    made.server.server_close()


def begun(tracer: Tracer) -> Trace:
    trace = tracer.begin("r1", {b"traceparent": CLIENT.encode(), b"tracestate": b"vendor=1"})
    assert trace is not None
    return trace


@needs_proto
def test_spans_of_a_request(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20secret")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.name=other")
    tracer = Tracer(receiver.address, service="gate", worker="w1", upstreams={"main": ("api.example.com", 443)})
    trace = begun(tracer)
    tracer.attempt(trace, attempt(state="failed", status=500, attempt="a1"))
    tracer.attempt(trace, attempt(number=2, attempt="a2"))
    tracer.request(
        trace, "r1", method="POST", path="/v1/chat/completions", status=200, started_us=START_US, ended_us=START_US + 9
    )
    tracer.close()
    assert tracer.counters == {"sent": 3, "failed": 0, "dropped": 0}
    ((path, headers, body),) = receiver.got
    assert (path, headers["content-type"]) == ("/v1/traces", "application/x-protobuf")
    assert headers["authorization"] == "Bearer secret"
    resource = decoded(body).resource_spans[0].resource
    assert {one.key: one.value.string_value for one in resource.attributes} == {
        "deployment.environment.name": "test",
        "service.name": "gate",
        "service.version": farthing.__version__,
        "service.instance.id": "w1",
    }
    first, second, whole = receiver.spans()
    assert [span.name for span in (first, second, whole)] == ["chat gpt-test"] * 2 + ["POST /v1/chat/completions"]
    assert {span.trace_id.hex() for span in (first, second, whole)} == {CLIENT[3:35]}
    assert whole.parent_span_id.hex() == CLIENT[36:52]
    assert first.parent_span_id == second.parent_span_id == whole.span_id
    assert first.span_id.hex() == f"{span_id('a1'):016x}" != second.span_id.hex()
    assert whole.trace_state == "vendor=1"
    assert (first.kind, whole.kind) == (CLIENT_KIND, SERVER)
    assert [span.status.code for span in (first, second, whole)] == [2, 0, 0]
    told = {one.key: one.value for one in second.attributes}
    assert told["server.address"].string_value == "api.example.com"
    assert told["gen_ai.usage.input_tokens"].int_value == 147
    assert told["farthing.cost.usd"].double_value == 0.0046


@needs_proto
def test_a_busy_receiver_is_asked_again(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "_BACK_OFF_S", 0.01)
    monkeypatch.setattr(tracing, "_PAUSE_S", 0.01)
    receiver.answers = [503, 429]
    tracer = Tracer(receiver.address)
    tracer.attempt(begun(tracer), attempt())
    for _ in range(300):
        if tracer.counters["sent"]:
            break
        time.sleep(0.01)
    tracer.close()
    assert tracer.counters == {"sent": 1, "failed": 0, "dropped": 0}
    assert len(receiver.got) == 3


def test_what_cannot_be_sent_is_counted_and_holds_up_nothing(
    receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.go.clear()
    receiver.answers = [400] * 100
    tracer = Tracer(receiver.address)
    trace = begun(tracer)
    start_s = time.perf_counter()
    for number in range(MOST_WAITING + 2000):
        tracer.attempt(trace, attempt(attempt=f"a{number}"))
    assert time.perf_counter() - start_s < 1.0
    dropped = tracer.counters["dropped"]
    assert dropped >= 2000 - tracing._BATCH  # one batch may have been taken out meanwhile
    receiver.go.set()
    tracer.close(timeout_s=20)
    assert tracer.counters == {"sent": 0, "failed": MOST_WAITING + 2000 - dropped, "dropped": dropped}
    assert capsys.readouterr().err.count("spans are lost: the receiver answers 400") == 1
    tracer.attempt(trace, attempt())  # after the end
    assert tracer.counters["dropped"] == dropped + 1


def test_a_receiver_that_hangs_does_not_hold_up_the_end(receiver: Receiver) -> None:
    receiver.go.clear()
    tracer = Tracer(receiver.address)
    trace = begun(tracer)
    for number in range(2 * tracing._BATCH):
        tracer.attempt(trace, attempt(attempt=f"a{number}"))
    start_s = time.perf_counter()
    tracer.close(timeout_s=0.2)
    assert time.perf_counter() - start_s < 2
    assert tracer.counters["dropped"] >= tracing._BATCH


def test_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        tracer = Tracer(f"http://127.0.0.1:{taken.getsockname()[1]}")
        tracer.attempt(begun(tracer), attempt())
        tracer.close()
    assert tracer.counters == {"sent": 0, "failed": 1, "dropped": 0}
    assert "spans are lost: [Errno 111] Connection refused" in capsys.readouterr().err


def test_a_connection_closed_while_idle_is_opened_again(receiver: Receiver) -> None:
    sender = Sender(receiver.address)
    assert sender.send(b"") == ("", False)
    assert sender._connection.sock is not None
    sender._connection.sock.shutdown(socket.SHUT_RDWR)
    assert sender.send(b"") == ("", False)
    sender.close()


def test_a_fault_of_ours_costs_a_batch_and_no_more(receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    tracer = Tracer(receiver.address)
    tracer.attempt(begun(tracer), attempt(usd="no number"))
    tracer.close()
    assert tracer.counters == {"sent": 0, "failed": 1, "dropped": 0}
    assert "Invalid literal" in capsys.readouterr().err

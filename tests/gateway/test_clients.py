"""The official clients against a running gateway, and for comparison against the upstream itself: unchanged, they must
see the same."""

import asyncio
import io
import json
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import anthropic
import openai
import pytest

from tests.gateway.faulty import Upstream
from tests.gateway.running import ANTHROPIC_KEY, OPENAI_KEY, UPSTREAMS, Row, Running

GPT, CLAUDE = "gpt-4o-mini", "claude-sonnet-4-6"
TOOL = {
    "name": "weather",
    "description": "The weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
}
OPENAI_TOOLS: Any = [{"type": "function", "function": TOOL}]
ANTHROPIC_TOOLS: Any = [{"name": TOOL["name"], "description": TOOL["description"], "input_schema": TOOL["parameters"]}]


_made: list[Any] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Clients let go of their connections at a test's end, not when the collector finds them."""
    yield
    while _made:
        _made.pop().close()


def say(text: str) -> Any:
    return [{"role": "user", "content": text}]


class Place:
    """Where clients are pointed to. `gateway`: None for the upstream itself."""

    def __init__(self, url: str, key: str, upstream: Upstream, gateway: Running | None) -> None:
        self.url = url
        self.key = key
        self.upstream = upstream
        self.gateway = gateway

    def openai(self, **options: Any) -> openai.OpenAI:
        made = openai.OpenAI(**{"base_url": f"{self.url}/v1", "api_key": self.key, "max_retries": 0, **options})
        _made.append(made)
        return made

    def anthropic(self, **options: Any) -> anthropic.Anthropic:
        made = anthropic.Anthropic(**{"base_url": self.url, "api_key": self.key, "max_retries": 0, **options})
        _made.append(made)
        return made

    def row(self) -> Row | None:
        """The ledger's row of the request that reached the upstream last; None where there is no ledger."""
        if self.gateway is None:
            return None
        return self.gateway.row(self.upstream.records()[-1].attempt)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, str]]:
    config = UPSTREAMS + "[retries]\ncount = 0\n[breaker]\nfailures = 1000\n"
    with Running(tmp_path_factory.mktemp("gateway"), config, upstream.url) as running:
        _, token = running.key("clients")
        yield running, token


@pytest.fixture(params=["direct", "gateway"])
def place(request: pytest.FixtureRequest, upstream: Upstream, gateway: tuple[Running, str]) -> Place:
    upstream.clear()
    running, token = gateway
    if request.param == "direct":
        return Place(upstream.url, "sk-direct", upstream, None)
    return Place(running.url, token, upstream, running)


@pytest.fixture
def through(upstream: Upstream, gateway: tuple[Running, str]) -> Place:
    """The gateway alone, for what an upstream cannot do."""
    upstream.clear()
    return Place(gateway[0].url, gateway[1], upstream, gateway[0])


# OpenAI's client


def test_chat(place: Place) -> None:
    raw = place.openai().chat.completions.with_raw_response.create(
        model=GPT, messages=say("one two three [[words=4 cached=2]]"), user="alice"
    )
    answer = raw.parse()
    assert answer.choices[0].message.content == "word0 word1 word2 word3 "
    assert answer.usage is not None and answer.usage.prompt_tokens == 7  # 3 words, 2 of the orders, 2 cached
    if (row := place.row()) is not None:
        assert row.quantities == {"input": 5, "cache_read": 2, "output": 4}
        # gpt-4o-mini: $0.15 in, $0.075 cached, $0.60 out a million: (5 * 0.15 + 2 * 0.075 + 4 * 0.6) / 1e6
        assert row.usd == Fraction(33, 10_000_000)
        assert raw.headers["x-farthing-cost-usd"] == "0.0000033"
        assert raw.headers["x-farthing-request-id"] == row.request
        assert (row.user, row.state, row.http_status) == ("alice", "done", 200)


def test_chat_stream(place: Place) -> None:
    client = place.openai()
    chunks = list(client.chat.completions.create(model=GPT, messages=say("[[words=3]]"), stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "word0 word1 word2 "
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks), "usage that the client did not ask for"
    if (row := place.row()) is not None:
        assert row.quantities == {"input": 1, "output": 3} and not row.estimated and row.streamed


def test_chat_stream_with_usage(place: Place) -> None:
    with place.openai().chat.completions.stream(
        model=GPT, messages=say("[[words=3]]"), stream_options={"include_usage": True}
    ) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    assert final.usage is not None and final.usage.completion_tokens == 3
    assert final.choices[0].message.content == "word0 word1 word2 "
    if (row := place.row()) is not None:
        assert row.quantities == {"input": 1, "output": 3}


@pytest.mark.parametrize("stream", [False, True])
def test_chat_tools(place: Place, stream: bool) -> None:
    client = place.openai()
    asked: Any = {"model": GPT, "messages": say("rain? [[tool]]"), "tools": OPENAI_TOOLS}
    if stream:
        with client.chat.completions.stream(**asked) as events:
            for _ in events:
                pass
            message: Any = events.get_final_completion().choices[0].message
    else:
        message = client.chat.completions.create(**asked).choices[0].message
    (call,) = message.tool_calls
    assert (call.id, call.function.name, json.loads(call.function.arguments)) == (
        "call_1",
        "weather",
        {"city": "Brno", "days": 2},
    )
    history: Any = [*asked["messages"], message.model_dump(exclude_none=True)]
    history += [{"role": "tool", "tool_call_id": call.id, "content": "rain"}, *say("so?")]
    answer = client.chat.completions.create(model=GPT, messages=history, tools=OPENAI_TOOLS, tool_choice="none")
    assert answer.choices[0].message.content


def test_structured_output(place: Place) -> None:
    schema = {"name": "a", "strict": True, "schema": {"type": "object", "properties": {"answer": {"type": "string"}}}}
    answer = place.openai().chat.completions.create(
        model=GPT, messages=say("[[words=2]]"), response_format={"type": "json_schema", "json_schema": schema}
    )
    assert json.loads(answer.choices[0].message.content or "") == {"answer": "word0 word1"}
    sent = json.loads(place.upstream.records()[-1].body)
    assert sent["response_format"]["json_schema"]["schema"] == schema["schema"]


def test_an_image_is_passed_on_as_it_came(place: Place) -> None:
    image = {"type": "image_url", "image_url": {"url": "https://images.example/cat.png", "detail": "low"}}
    place.openai().chat.completions.create(
        model=GPT, messages=[{"role": "user", "content": [{"type": "text", "text": "what?"}, image]}]
    )
    assert json.loads(place.upstream.records()[-1].body)["messages"][0]["content"][1] == image
    assert len(place.upstream.records()) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_responses(place: Place, stream: bool) -> None:
    client = place.openai()
    asked: Any = {"model": GPT, "input": "one two [[words=3 cached=1 reasoning=2]]"}
    if stream:
        with client.responses.stream(**asked) as events:
            kinds = [event.type for event in events]
            answer: Any = events.get_final_response()
        assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    else:
        answer = client.responses.create(**asked)
    assert answer.output_text == "word0 word1 word2 "
    assert answer.usage.output_tokens == 5
    if (row := place.row()) is not None:
        assert row.surface == "responses"
        assert row.quantities == {"input": 5, "cache_read": 1, "output": 5, "reasoning": 2}


def test_embeddings(place: Place) -> None:
    answer = place.openai().embeddings.create(model="text-embedding-3-small", input=["one two", "three"])
    assert [one.embedding for one in answer.data] == [[0.25, -0.5, 0.125, 1.0]] * 2
    assert answer.usage.prompt_tokens == 3
    if (row := place.row()) is not None:
        assert row.usd == Fraction(3 * 2, 100_000_000)  # $0.02 a million


def test_openai_models(place: Place) -> None:
    names = [model.id for model in place.openai().models.list()]
    if place.gateway is None:
        assert GPT in names
    else:
        assert names == [model.id for model in place.openai().models.list().data]


def test_files_and_batches(place: Place) -> None:
    client = place.openai()
    line = b'{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {}}\n'
    made = client.files.create(file=("batch.jsonl", io.BytesIO(line * 3)), purpose="batch")
    assert (made.filename, made.bytes) == ("batch.jsonl", 3 * len(line))
    assert client.files.content(made.id).read() == line * 3
    assert made.id in [file.id for file in client.files.list()]
    batch = client.batches.create(input_file_id=made.id, endpoint="/v1/chat/completions", completion_window="24h")
    assert client.batches.retrieve(batch.id).status == "validating"
    assert batch.id in [one.id for one in client.batches.list()]
    assert client.batches.cancel(batch.id).status == "cancelling"
    assert client.files.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(made.id)
    if place.gateway is not None:
        keys = {record.key for record in place.upstream.records()}
        assert keys == {f"Bearer {OPENAI_KEY}"}, "the client's key went upstream"


# Anthropic's client


def test_messages(place: Place) -> None:
    raw = place.anthropic().messages.with_raw_response.create(
        model=CLAUDE,
        max_tokens=50,
        messages=say("[[words=4 cached=100 written_5m=20 written_1h=3]]"),
        system="be brief",
    )
    answer: Any = raw.parse()
    assert answer.content[0].text == "word0 word1 word2 word3 " and answer.stop_reason == "end_turn"
    if (row := place.row()) is not None:
        assert row.quantities == {
            "input": 6,  # four words of orders, two of the system prompt
            "cache_read": 100,
            "cache_write_5m": 20,
            "cache_write_1h": 3,
            "output": 4,
        }
        # Sonnet 4.6: $3, $0.30 read, $3.75 and $6 written, $15 a million
        assert row.usd == Fraction(6 * 300 + 100 * 30 + 20 * 375 + 3 * 600 + 4 * 1500, 100_000_000)
        assert Fraction(raw.headers["x-farthing-cost-usd"]) == row.usd


@pytest.mark.parametrize("fault", ["", "cumulative", "usage_always"])
def test_messages_stream(place: Place, fault: str) -> None:
    orders = f"[[words=6 cached=9 {f'fault={fault}' if fault else ''}]]"
    with place.anthropic().messages.stream(model=CLAUDE, max_tokens=50, messages=say(orders)) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == "word0 word1 word2 word3 word4 word5 "
    assert final.usage.output_tokens == 6
    if (row := place.row()) is not None:
        assert row.quantities == {"input": len(orders.split()), "cache_read": 9, "output": 6}


@pytest.mark.parametrize("stream", [False, True])
def test_messages_tools(place: Place, stream: bool) -> None:
    client = place.anthropic()
    asked: Any = {
        "model": CLAUDE,
        "max_tokens": 50,
        "messages": say("rain?"),
        "tools": ANTHROPIC_TOOLS,
        "tool_choice": {"type": "tool", "name": "weather"},
    }
    if stream:
        with client.messages.stream(**asked) as events:
            answer: Any = events.get_final_message()
    else:
        answer = client.messages.create(**asked)
    assert answer.stop_reason == "tool_use"
    assert (answer.content[0].name, answer.content[0].input) == ("weather", {"city": "Brno", "days": 2})


def test_count_tokens(place: Place) -> None:
    counted = place.anthropic().messages.count_tokens(model=CLAUDE, messages=say("one two three"))
    assert counted.input_tokens == 3


def test_anthropic_models(through: Place) -> None:
    names = [model.id for model in through.anthropic().models.list()]
    assert len(names) == len(set(names))


def test_anthropic_client_with_a_bearer_token(through: Place) -> None:
    with anthropic.Anthropic(base_url=through.url, auth_token=through.key, max_retries=0) as client:
        client.messages.create(model=CLAUDE, max_tokens=5, messages=say("hello"))
    assert through.upstream.records()[-1].key == ANTHROPIC_KEY


# Errors

OPENAI_ERRORS = {
    400: openai.BadRequestError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
}
ANTHROPIC_ERRORS = {
    400: anthropic.BadRequestError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    429: anthropic.RateLimitError,
    500: anthropic.InternalServerError,
    529: anthropic.InternalServerError,
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", OPENAI_ERRORS)
def test_openai_errors(place: Place, status: int, stream: bool) -> None:
    with pytest.raises(OPENAI_ERRORS[status]) as caught:
        place.openai().chat.completions.create(
            model=GPT, messages=say(f"[[status={status} retry_after=7]]"), stream=stream
        )
    assert f"ordered status {status}" in str(caught.value)
    assert caught.value.response.headers["retry-after"] == "7"
    if (row := place.row()) is not None:
        assert (row.state, row.http_status) == ("failed", status)
        # An upstream that refuses has done nothing; one that failed may have, and then the cost is unknown.
        assert row.usd == (Fraction(0) if status < 500 or status == 529 else None)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", ANTHROPIC_ERRORS)
def test_anthropic_errors(place: Place, status: int, stream: bool) -> None:
    with pytest.raises(ANTHROPIC_ERRORS[status]) as caught:
        made: Any = place.anthropic().messages.create(
            model=CLAUDE, max_tokens=9, messages=say(f"[[status={status} retry_after=7]]"), stream=stream
        )
        list(made)
    assert f"ordered status {status}" in str(caught.value)
    assert caught.value.response.headers["retry-after"] == "7"
    if (row := place.row()) is not None:
        assert (row.state, row.http_status) == ("failed", status)
        # An upstream that refuses has done nothing; one that failed may have, and then the cost is unknown.
        assert row.usd == (Fraction(0) if status < 500 or status == 529 else None)


def test_a_wrong_key_is_an_authentication_error(through: Place) -> None:
    through.key = "fk-wrong"
    with pytest.raises(openai.AuthenticationError):
        through.openai().chat.completions.create(model=GPT, messages=say("x"))
    with pytest.raises(anthropic.AuthenticationError):
        through.anthropic().messages.create(model=CLAUDE, max_tokens=5, messages=say("x"))
    assert through.upstream.records() == []


def test_the_gateways_own_errors_are_read_by_both_clients(through: Place) -> None:
    with pytest.raises(openai.NotFoundError, match="no-such-model"):
        through.openai().chat.completions.create(model="no-such-model", messages=say("x"))
    with pytest.raises(anthropic.NotFoundError, match="no-such-model"):
        through.anthropic().messages.create(model="no-such-model", max_tokens=5, messages=say("x"))


def test_an_upstreams_401_never_shows_its_key_and_is_no_error_of_the_client(through: Place) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        through.openai().chat.completions.create(model=GPT, messages=say("[[status=401]]"))
    assert OPENAI_KEY not in str(caught.value) and caught.value.status_code == 502


# Each client, the other's models


@pytest.mark.parametrize("stream", [False, True])
def test_openai_client_reaches_an_anthropic_model(through: Place, stream: bool) -> None:
    asked: Any = {"model": CLAUDE, "messages": say("[[words=3 cached=10]]"), "max_tokens": 50}
    client = through.openai()
    if stream:
        with client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as events:
            for _ in events:
                pass
            answer: Any = events.get_final_completion()
    else:
        answer = client.chat.completions.create(**asked)
    assert answer.choices[0].message.content == "word0 word1 word2 "
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (12, 3)  # 2 + 10 cached
    row = through.row()
    assert row is not None and row.quantities == {"input": 2, "cache_read": 10, "output": 3}
    assert through.upstream.records()[-1].path == "/v1/messages"


@pytest.mark.parametrize("stream", [False, True])
def test_anthropic_client_reaches_an_openai_model(through: Place, stream: bool) -> None:
    asked: Any = {"model": GPT, "messages": say("[[words=3 cached=10]]"), "max_tokens": 50}
    client = through.anthropic()
    if stream:
        with client.messages.stream(**asked) as events:
            answer: Any = events.get_final_message()
    else:
        answer = client.messages.create(**asked)
    assert answer.content[0].text == "word0 word1 word2 " and answer.stop_reason == "end_turn"
    usage = answer.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (2, 10, 3)
    row = through.row()
    assert row is not None and row.quantities == {"input": 2, "cache_read": 10, "output": 3}
    assert through.upstream.records()[-1].path == "/v1/chat/completions"


@pytest.mark.parametrize("stream", [False, True])
def test_tools_across_protocols(through: Place, stream: bool) -> None:
    choice: Any = {"type": "tool", "name": "weather"}
    asked: Any = {"model": GPT, "max_tokens": 50, "messages": say("rain?"), "tools": ANTHROPIC_TOOLS}
    if stream:
        with through.anthropic().messages.stream(**asked, tool_choice=choice) as events:
            answer: Any = events.get_final_message()
    else:
        answer = through.anthropic().messages.create(**asked, tool_choice=choice)
    assert answer.stop_reason == "tool_use"
    assert (answer.content[0].name, answer.content[0].input) == ("weather", {"city": "Brno", "days": 2})
    force: Any = {"type": "function", "function": {"name": "weather"}}
    made: Any = through.openai().chat.completions.create(
        model=CLAUDE, messages=say("rain?"), tools=OPENAI_TOOLS, tool_choice=force
    )
    (call,) = made.choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Brno", "days": 2})


def test_errors_across_protocols(through: Place) -> None:
    with pytest.raises(openai.InternalServerError) as overloaded:
        through.openai().chat.completions.create(model=CLAUDE, messages=say("[[status=529]]"), max_tokens=5)
    assert overloaded.value.status_code == 503
    with pytest.raises(anthropic.RateLimitError):
        through.anthropic().messages.create(model=GPT, messages=say("[[status=429]]"), max_tokens=5)


@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
def test_an_error_in_the_middle_of_a_stream_is_raised(through: Place, protocol: str) -> None:
    """The clients raise on an error event; they would take a stream that simply stops for a whole answer."""
    ask = say("[[words=9 fault=die at=5]]")
    if protocol == "openai":
        with pytest.raises(openai.APIError):
            list(through.openai().chat.completions.create(model=GPT, messages=ask, stream=True))
    else:
        with pytest.raises(anthropic.APIError):
            list(through.anthropic().messages.create(model=CLAUDE, max_tokens=50, messages=ask, stream=True))
    row = through.row()
    assert row is not None and row.state == "failed" and row.estimated


# Asynchronous clients, many at once


def test_async_clients_at_once(through: Place) -> None:
    asyncio.run(_at_once(through))
    attempts = [record.attempt for record in through.upstream.records()]
    assert len(set(attempts)) == 40 and through.gateway is not None
    assert {through.gateway.row(attempt).state for attempt in attempts} == {"done"}


async def _at_once(through: Place) -> None:
    async with (
        openai.AsyncOpenAI(base_url=f"{through.url}/v1", api_key=through.key, max_retries=0) as gpt,
        anthropic.AsyncAnthropic(base_url=through.url, api_key=through.key, max_retries=0) as claude,
    ):

        async def one(n: int) -> None:
            ask = say(f"[[words={n + 1} gap_ms=1]]")
            if n % 4 == 0:
                answer = await gpt.chat.completions.create(model=GPT, messages=ask)
                assert answer.usage is not None and answer.usage.completion_tokens == n + 1
            elif n % 4 == 1:
                stream = await gpt.chat.completions.create(model=GPT, messages=ask, stream=True)
                assert sum([bool(c.choices[0].delta.content) async for c in stream]) == n + 1
            elif n % 4 == 2:
                message = await claude.messages.create(model=CLAUDE, max_tokens=99, messages=ask)
                assert message.usage.output_tokens == n + 1
            else:
                async with claude.messages.stream(model=CLAUDE, max_tokens=99, messages=ask) as events:
                    assert (await events.get_final_message()).usage.output_tokens == n + 1

        await asyncio.gather(*(one(n) for n in range(40)))


def test_bodies_are_untouched_and_only_known_headers_pass(through: Place) -> None:
    body = (
        b'{ "model" : "gpt-4o-mini",\n "messages":[{"role":"user","content":"\\u017elu\xc3\xa9"}],"temperature":1.10 }'
    )
    assert through.gateway is not None
    answer, _ = through.gateway.post(
        "/v1/chat/completions", body, {"authorization": f"Bearer {through.key}", "openai-organization": "org-other"}
    )
    record = through.upstream.records()[-1]
    assert answer.status == 200 and record.body == body
    names = [name for name, _ in record.headers]
    assert "openai-organization" not in names and record.key == f"Bearer {OPENAI_KEY}"
    assert through.key not in str(record.headers)


def test_a_response_that_breaks_off_ends_by_its_error_event(through: Place) -> None:
    """The event that OpenAI documents for it; the client gives it to its caller."""
    events = through.openai().responses.create(model=GPT, input="[[words=9 fault=die at=6]]", stream=True)
    kinds: list[str] = []
    try:
        kinds += [event.type for event in events]
    except openai.APIError:
        kinds.append("error")
    assert kinds[0] == "response.created" and kinds[-1] == "error" and "response.completed" not in kinds
    row = through.row()
    assert row is not None and row.state == "failed" and row.estimated and row.usd

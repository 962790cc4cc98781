"""Each reader on a tiny sample of its format: what it recognises, and what becomes of the counts."""

import io
import json
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest

from farthing.problems import Problems
from farthing.usage.read import READERS, reader_named
from farthing.usage.record import Usage


def jsonl(*rows: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def read(name: str, data: bytes) -> tuple[list[Usage], Problems]:
    problems = Problems()
    return list(reader_named(name).read(io.BytesIO(data), "f", problems)), problems


AZURE = b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.995,0,7\n"
MOONCAKE = jsonl(
    {"timestamp": 0, "input_length": 1100, "output_length": 6, "hash_ids": [0, 1, 2]},
    {"timestamp": 2500, "input_length": 600, "output_length": 2, "hash_ids": [0, 3]},
)
BURST = (
    b"Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    b"5,7,2.5,ChatGPT,472,18,490,Conversation log\n45.5,,,GPT-4,1087,0,1087,API log\n"
)


def claude(identifier: str, request: str | None, output: int, **more: Any) -> dict[str, Any]:
    usage = {
        "input_tokens": 10, "cache_creation_input_tokens": 300, "cache_read_input_tokens": 2000,
        "output_tokens": output, "service_tier": "standard",
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
        "server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 5}, "inference_geo": "not_available",
    }  # fmt: skip
    usage.update(more.pop("usage", {}))
    return {
        "type": "assistant", "uuid": f"u-{identifier}", "parentUuid": None, "sessionId": "s1",
        "timestamp": "2026-06-01T05:40:29.420Z", "isSidechain": False, "requestId": request,
        "message": {"id": identifier, "type": "message", "model": "claude-opus-4-8", "usage": usage}, **more,
    }  # fmt: skip


CLAUDE = jsonl(
    {"type": "summary", "summary": "a", "leafUuid": "x"},
    {"type": "user", "uuid": "u0", "sessionId": "s1", "timestamp": "2026-06-01T05:40:20Z", "message": {"role": "user"}},
    claude("msg_1", "req_1", 3),
    claude("msg_1", "req_1", 50, timestamp="2026-06-01T05:40:31.420Z"),
    claude("msg_2", "req_2", 70, usage={"speed": "fast", "inference_geo": "us"}),
    claude("msg_3", "req_3", 0, message={"id": "x", "model": "<synthetic>", "usage": {"input_tokens": 0}}),
)


def codex(total: tuple[int, ...], last: tuple[int, ...] | None, second: int = 0) -> dict[str, Any]:
    names = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens", "total_tokens")
    info: dict[str, Any] = {"total_token_usage": dict(zip(names, total, strict=False))}
    if last:
        info["last_token_usage"] = dict(zip(names, last, strict=False))
    stamp = f"2026-02-06T10:00:{second:02d}Z"
    return {"timestamp": stamp, "type": "event_msg", "payload": {"type": "token_count", "info": info}}


CODEX = jsonl(
    {"timestamp": "2026-02-06T10:00:00Z", "type": "session_meta", "payload": {"id": "s-1", "cli_version": "0.60"}},
    {"timestamp": "2026-02-06T10:00:00Z", "type": "turn_context", "payload": {"model": "gpt-5-codex"}},
    {"timestamp": "2026-02-06T10:00:01Z", "type": "event_msg", "payload": {"type": "token_count", "info": None}},
    codex((100, 20, 30, 10), (100, 20, 30, 10), 2),
    codex((100, 20, 30, 10), (100, 20, 30, 10), 3),
    codex((300, 120, 50, 15), (200, 100, 20, 5), 4),
)
OPENAI = json.dumps(
    {
        "object": "page", "has_more": False, "next_page": None,
        "data": [
            {
                "object": "bucket", "start_time": 1730419200, "end_time": 1730505600,
                "results": [
                    {"object": "organization.usage.completions.result", "input_tokens": 1000, "output_tokens": 500,
                     "input_cached_tokens": 800, "num_model_requests": 5, "project_id": "proj_a", "user_id": None,
                     "api_key_id": None, "model": "gpt-4o-2024-08-06", "batch": True},
                    {"object": "organization.usage.completions.result", "input_tokens": 27444, "output_tokens": 50,
                     "input_cached_tokens": 8448, "input_uncached_tokens": 18996, "input_text_tokens": 18000,
                     "input_image_tokens": 996, "num_model_requests": 2, "model": "gpt-5.6", "batch": False,
                     "service_tier": "priority"},
                ],
            },
            {"object": "bucket", "start_time": 1730505600, "end_time": 1730592000, "results": []},
        ],
    }, indent=1,
).encode()  # fmt: skip
OPENAI_CSV = (
    b"start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,model,batch,input_tokens,"
    b"output_tokens,input_cached_tokens,input_uncached_tokens\n"
    b"1761523440,1761523500,2025-10-27T00:04:00+00:00,2025-10-27T00:05:00+00:00,proj_a,3.0,gpt-5,False,7162,40,1280,5882\n"
    b"1761523500,1761523560,2025-10-27T00:05:00+00:00,2025-10-27T00:06:00+00:00,,,,,,,,\n"
)
ANTHROPIC = json.dumps(
    {
        "data": [
            {
                "starting_at": "2025-08-01T00:00:00Z", "ending_at": "2025-08-02T00:00:00Z",
                "results": [
                    {"uncached_input_tokens": 1500, "cache_read_input_tokens": 200, "output_tokens": 500,
                     "cache_creation": {"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 300},
                     "server_tool_use": {"web_search_requests": 10}, "api_key_id": "k", "workspace_id": "w",
                     "model": "claude-sonnet-4-20250514", "service_tier": "batch", "context_window": "200k-1M",
                     "inference_geo": "us"}
                ],
            }
        ],
        "has_more": False, "next_page": None,
    }
).encode()  # fmt: skip
ANTHROPIC_CSV = (
    "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,"
    "usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,"
    "usage_output_tokens,web_search_count,inference_geo,speed\n"
    "2026-03-22,claude-sonnet-4-20250514,k,Default,standard,≤ 200k,100000,7,8,9,5000,10,not_available,\n"
).encode()
LITELLM = jsonl(
    {
        "request_id": "chatcmpl-1", "call_type": "acompletion", "api_key": "h", "spend": 0.00123, "total_tokens": 1100,
        "prompt_tokens": 1000, "completion_tokens": 100, "startTime": "2025-11-14T00:00:00.500Z",
        "endTime": "2025-11-14T00:00:02.500Z", "completionStartTime": "2025-11-14T00:00:01Z",
        "model": "anthropic/claude-sonnet-4-5", "model_group": "sonnet", "custom_llm_provider": "anthropic",
        "user": "u1", "end_user": "", "session_id": "sess", "request_tags": ["a", "b"], "cache_hit": "None",
        "status": "success", "team_id": "t",
        "metadata": {"additional_usage_values": {"cache_read_input_tokens": 600, "cache_creation_input_tokens": 150,
                     "prompt_tokens_details": {"cached_tokens": 600}}},
    },
    {
        "request_id": "chatcmpl-2", "call_type": "acompletion", "spend": 0, "prompt_tokens": 1000,
        "completion_tokens": 100, "startTime": "2025-11-14T00:00:03Z", "endTime": "2025-11-14T00:00:03Z",
        "model": "gpt-4o", "custom_llm_provider": "openai", "cache_hit": "True", "metadata": {},
    },
)  # fmt: skip
LANGFUSE = jsonl(
    {
        "id": "obs-1", "traceId": "t-1", "type": "GENERATION", "name": "answer", "level": "DEFAULT",
        "startTime": "2026-02-03T13:30:50.382Z", "endTime": "2026-02-03T13:30:54.382Z", "timeToFirstToken": 0.25,
        "providedModelName": "gpt-5", "usageDetails": {"input": 200, "input_cached_tokens": 800, "output": 60,
        "output_reasoning_tokens": 40, "total": 1100}, "costDetails": {"input": 0.001, "output": 0.002, "total": 0.003},
        "userId": "u", "sessionId": "s",
    },
    {
        "id": "obs-2", "traceId": "t-1", "type": "GENERATION", "startTime": "2026-02-03T13:30:50Z", "model": "m",
        "usageDetails": {"input": 1000, "cache_read_input_tokens": 800, "output": 100, "total": 1100},
    },
    {"id": "obs-3", "traceId": "t-1", "type": "SPAN", "startTime": "2026-02-03T13:30:50Z", "usageDetails": {}},
)  # fmt: skip
LANGFUSE_CSV = (
    b"id,trace_id,type,start_time,end_time,provided_model_name,usage_details,cost_details,level\n"
    b"o1,t,GENERATION,2024-05-29 13:46:19.963000,2024-05-29 13:46:20.963000,gpt-4o,"
    b'"{""input"": 5, ""output"": 7, ""total"": 12}","{""total"": 0.1}",ERROR\n'
)
HELICONE = jsonl(
    {
        "request_id": "r1", "request_created_at": "2025-03-01T10:00:00.000Z", "response_status": 200,
        "response_created_at": "2025-03-01T10:00:01.500Z", "delay_ms": 1400, "time_to_first_token": 300,
        "prompt_tokens": 100, "prompt_cache_read_tokens": 900, "prompt_cache_write_tokens": 50,
        "completion_tokens": 40, "reasoning_tokens": 25, "prompt_audio_tokens": 30, "completion_audio_tokens": 10,
        "model": "gpt-4o", "request_model": "gpt-4o", "provider": "OPENAI", "costUSD": 0.0042,
        "request_user_id": "u", "request_properties": {"Helicone-Session-Id": "s", "feature": "chat"},
    },
)  # fmt: skip
HELICONE_CSV = (
    b"response_id,response_created_at,response_status,request_created_at,request_body,request_properties,"
    b"request_user_id,model,prompt_tokens,completion_tokens,latency,cost_usd\n"
    b'"r2","2025-03-01T10:00:01Z","500","2025-03-01T10:00:00Z","{""a"": ""x, y""}","","","gpt-4o","7","0","1000",""\n'
)
OPENROUTER_CSV = (
    b"generation_id,created_at,cost_total,cost_web_search,cost_cache,cost_file_processing,byok_usage_inference,"
    b"tokens_prompt,tokens_completion,tokens_reasoning,tokens_cached,model_permaslug,provider_name,variant,cancelled,"
    b"streamed,user,finish_reason_raw,finish_reason_normalized,generation_time_ms,time_to_first_token_ms,app_name\n"
    b"gen-1,2025-08-16 13:55:18.378,0.000164,0,0,0,0,285,25,5,200,mistralai/mistral-medium-3.1,Mistral,standard,false,"
    b"true,,stop,stop,418,343,Demo\n"
)
OPENROUTER = json.dumps(
    {"data": {"id": "gen-2", "created_at": "2026-01-13T02:11:11Z", "model": "x-ai/grok-4", "provider_name": "xAI",
              "tokens_prompt": 40, "tokens_completion": 150, "native_tokens_prompt": 51,
              "native_tokens_completion": 199, "native_tokens_reasoning": 132, "native_tokens_cached": 11,
              "usage": 0.00025, "total_cost": 0.00025308, "latency": 278, "generation_time": 1234,
              "cancelled": False}}, indent=2,
).encode()  # fmt: skip


def attribute(key: str, value: object) -> dict[str, Any]:
    kind = "intValue" if isinstance(value, int) else "stringValue"
    return {"key": key, "value": {kind: str(value)}}


OTEL = jsonl(
    {
        "resourceSpans": [
            {
                "resource": {"attributes": [attribute("service.name", "shop")]},
                "scopeSpans": [
                    {
                        "scope": {"name": "x"},
                        "spans": [
                            {
                                "traceId": "t", "spanId": "a", "name": "chat gpt-5", "status": {},
                                "startTimeUnixNano": "1767225600000000000", "endTimeUnixNano": "1767225602500000000",
                                "attributes": [
                                    attribute("gen_ai.operation.name", "chat"),
                                    attribute("gen_ai.provider.name", "openai"),
                                    attribute("gen_ai.request.model", "gpt-5"),
                                    attribute("gen_ai.response.model", "gpt-5-2025-08-07"),
                                    attribute("gen_ai.usage.input_tokens", 1000),
                                    attribute("gen_ai.usage.output_tokens", 50),
                                    attribute("gen_ai.usage.cache_read.input_tokens", 700),
                                    attribute("gen_ai.usage.cache_write.input_tokens", 100),
                                    attribute("gen_ai.usage.reasoning.output_tokens", 20),
                                ],
                            },
                            {"traceId": "t", "spanId": "b", "name": "GET /", "startTimeUnixNano": "1767225600000000000",
                             "attributes": [attribute("http.method", "GET")]},
                        ],
                    }
                ],
            }
        ]
    },
)  # fmt: skip
OTEL_LINE = jsonl(
    {
        "name": "chat", "context": {"trace_id": "0x1", "span_id": "0x2"}, "status": {"status_code": "ERROR"},
        "start_time": "2026-01-01T00:00:00.000000Z", "end_time": "2026-01-01T00:00:01Z",
        "attributes": {"gen_ai.system": "anthropic", "gen_ai.request.model": "claude-opus-4-5",
                       "gen_ai.usage.input_tokens": 90, "gen_ai.usage.output_tokens": 4,
                       "gen_ai.usage.cache_read_input_tokens": 40, "gen_ai.usage.cache_creation_input_tokens": 30},
    },
)  # fmt: skip
BEDROCK = jsonl(
    {
        "schemaType": "ModelInvocationLog", "schemaVersion": "1.0", "timestamp": "2025-06-26T12:00:00Z",
        "accountId": "111122223333", "region": "us-east-1", "requestId": "abc-1", "operation": "Converse",
        "modelId": "arn:aws:bedrock:us-east-1:1112:inference-profile/us.anthropic.claude-sonnet-4-20250514-v1:0",
        "input": {"inputTokenCount": 512, "cacheReadInputTokenCount": 64, "cacheWriteInputTokenCount": 300},
        "output": {"outputTokenCount": 256, "outputBodyJson": {"usage": {"cacheDetails": [
            {"ttl": "1h", "inputTokens": 200}, {"ttl": "5m", "inputTokens": 100}]}}},
        "identity": {"arn": "arn:aws:sts::111122223333:assumed-role/R/x"},
    },
)  # fmt: skip
GEMINI = jsonl(
    {
        "candidates": [{"content": {"role": "model"}, "finishReason": "STOP"}], "modelVersion": "gemini-2.5-pro",
        "responseId": "r-1", "createTime": "2026-05-01T08:00:00Z",
        "usageMetadata": {
            "promptTokenCount": 1000, "cachedContentTokenCount": 400, "candidatesTokenCount": 50,
            "thoughtsTokenCount": 30, "toolUsePromptTokenCount": 7, "totalTokenCount": 1087,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 740}, {"modality": "AUDIO", "tokenCount": 260}],
            "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 300}, {"modality": "AUDIO", "tokenCount": 100}],
        },
    },
)  # fmt: skip
RESPONSES = jsonl(
    {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1750000000, "model": "gpt-4o-2024-08-06",
        "service_tier": "default", "usage": {"prompt_tokens": 1200, "completion_tokens": 300, "total_tokens": 1500,
        "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 128, "audio_tokens": 0}},
    },
    {
        "timestamp": "2026-01-02T03:04:05Z",
        "response": {"id": "msg_1", "type": "message", "model": "claude-opus-4-8", "usage": {"input_tokens": 5,
                     "cache_creation_input_tokens": 20, "cache_read_input_tokens": 30, "output_tokens": 8}},
    },
    {
        "id": "batch_req_1", "custom_id": "c1", "error": None,
        "response": {"status_code": 200, "body": {"id": "chatcmpl-2", "object": "chat.completion",
                     "created": 1750000001, "model": "gpt-4o-mini", "usage": {"prompt_tokens": 22,
                     "completion_tokens": 2, "total_tokens": 24}}},
    },
)  # fmt: skip
TABLE = (
    b"at,provider,model,input,cache-read,output,user,reported_usd\n2026-01-01T00:00:00Z,OpenAI,gpt-5,10,,20,ann,0.10\n"
).replace(b"cache-read", b"cache_read")

SAMPLES: dict[str, tuple[str, bytes]] = {
    "azure.csv": ("azure-trace", AZURE), "mooncake.jsonl": ("mooncake", MOONCAKE), "burst.csv": ("burstgpt", BURST),
    "claude.jsonl": ("claude-code", CLAUDE), "codex.jsonl": ("codex", CODEX), "openai.json": ("openai", OPENAI),
    "openai.csv": ("openai", OPENAI_CSV), "anthropic.json": ("anthropic", ANTHROPIC),
    "anthropic.csv": ("anthropic", ANTHROPIC_CSV), "litellm.jsonl": ("litellm", LITELLM),
    "langfuse.jsonl": ("langfuse", LANGFUSE), "langfuse.csv": ("langfuse", LANGFUSE_CSV),
    "helicone.jsonl": ("helicone", HELICONE), "helicone.csv": ("helicone", HELICONE_CSV),
    "openrouter.csv": ("openrouter", OPENROUTER_CSV), "openrouter.json": ("openrouter", OPENROUTER),
    "otel.jsonl": ("otel", OTEL), "otel-line.jsonl": ("otel", OTEL_LINE), "bedrock.jsonl": ("bedrock", BEDROCK),
    "gemini.jsonl": ("gemini", GEMINI), "responses.jsonl": ("responses", RESPONSES), "table.csv": ("table", TABLE),
}  # fmt: skip

EXPECTED: dict[str, list[dict[str, int]]] = {
    "azure.csv": [{"input": 374, "output": 44}, {"output": 7}],
    "mooncake.jsonl": [{"input": 1100, "output": 6}, {"input": 600, "output": 2}],
    "burst.csv": [{"input": 472, "output": 18}, {"input": 1087}],
    "claude.jsonl": [
        {"input": 10, "cache_read": 2000, "cache_write_5m": 100, "cache_write_1h": 200, "output": output,
         "web_search": 1}
        for output in (50, 70)
    ],
    "codex.jsonl": [
        {"input": 100 - 20, "cache_read": 20, "output": 30, "reasoning": 10},
        {"input": 200 - 100, "cache_read": 100, "output": 20, "reasoning": 5},
    ],
    "openai.json": [
        {"input": 1000 - 800, "cache_read": 800, "output": 500},
        {"input": 27444 - 8448 - 996, "input_image": 996, "cache_read": 8448, "output": 50},
    ],
    "openai.csv": [{"input": 7162 - 1280, "cache_read": 1280, "output": 40}],
    "anthropic.json": [
        {"input": 1500, "cache_read": 200, "cache_write_5m": 300, "cache_write_1h": 1000, "output": 500,
         "web_search": 10}
    ],
    "anthropic.csv": [
        {"input": 100000, "cache_read": 9, "cache_write_5m": 7, "cache_write_1h": 8, "output": 5000, "web_search": 10}
    ],
    "litellm.jsonl": [{"input": 1000 - 600 - 150, "cache_read": 600, "cache_write_5m": 150, "output": 100}, {}],
    "langfuse.jsonl": [
        {"input": 200, "cache_read": 800, "output": 60 + 40, "reasoning": 40},
        {"input": 1000 - 800, "cache_read": 800, "output": 100},  # its total is input + output alone
    ],
    "langfuse.csv": [{"input": 5, "output": 7}],
    "helicone.jsonl": [
        {"input": 100 - 30, "input_audio": 30, "cache_read": 900, "cache_write": 50, "output": 40 - 10 + 25,
         "reasoning": 25, "output_audio": 10}
    ],
    "helicone.csv": [{"input": 7}],
    "openrouter.csv": [{"input": 285 - 200, "cache_read": 200, "output": 25, "reasoning": 5}],
    "openrouter.json": [{"input": 51 - 11, "cache_read": 11, "output": 199, "reasoning": 132}],
    "otel.jsonl": [
        {"input": 1000 - 700 - 100, "cache_read": 700, "cache_write": 100, "output": 50, "reasoning": 20}
    ],
    "otel-line.jsonl": [{"input": 90 - 40 - 30, "cache_read": 40, "cache_write_5m": 30, "output": 4}],
    "bedrock.jsonl": [
        {"input": 512, "cache_read": 64, "cache_write_5m": 100, "cache_write_1h": 200, "output": 256}
    ],
    "gemini.jsonl": [
        {"input": 740 - 300, "cache_read": 300, "input_audio": 260 - 100, "cache_read_audio": 100, "input_tool": 7,
         "output": 50 + 30, "reasoning": 30}
    ],
    "responses.jsonl": [
        {"input": 1200 - 1024, "cache_read": 1024, "output": 300, "reasoning": 128},
        {"input": 5, "cache_read": 30, "cache_write_5m": 20, "output": 8},
        {"input": 22, "output": 2},
    ],
    "table.csv": [{"input": 10, "output": 20}],
}  # fmt: skip


@pytest.mark.parametrize("sample", SAMPLES)
def test_counts_become_disjoint(sample: str) -> None:
    name, data = SAMPLES[sample]
    found, problems = read(name, data)
    assert [str(problem) for problem in problems.kept] == []
    assert [dict(usage.quantities) for usage in found] == EXPECTED[sample]
    assert all(usage.at.tzinfo is UTC for usage in found)


@pytest.mark.parametrize("sample", SAMPLES)
def test_one_reader_alone_recognises_a_sample(sample: str) -> None:
    name, data = SAMPLES[sample]
    fitting = [reader.name for reader in READERS[:-1] if reader.sniff(sample, data)]
    assert fitting == ([] if name == "table" else [name])
    if name == "table":
        assert reader_named("table").sniff(sample, data)


def test_every_reader_has_a_sample_and_says_what_it_does() -> None:
    # A ledger is a folder, not a stream: tests/ledger/test_reader.py has it.
    assert {name for name, _ in SAMPLES.values()} == {reader.name for reader in READERS} - {"ledger"}
    for reader in READERS:
        assert reader.containment.endswith(".")
        assert reader.clock in ("utc", "relative")


def one(sample: str, index: int = 0) -> Usage:
    return read(*SAMPLES[sample])[0][index]


def test_azure_time_without_a_zone_is_utc_to_the_microsecond_and_an_offset_is_heeded() -> None:
    assert one("azure.csv").at == datetime(2023, 11, 16, 18, 15, 46, 680590, tzinfo=UTC)
    later = b"TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 02:00:00.009930+02:00,2162,5\n"
    assert read("azure-trace", later)[0][0].at == datetime(2024, 5, 10, 0, 0, 0, 9930, tzinfo=UTC)
    images = b"TIMESTAMP,NumImages,ContextTokens,GeneratedTokens\n2024-10-15 00:00:00,2,2162,5\n"
    assert read("azure-trace", images)[0][0].quantities == {"input_image_count": 2, "input": 2162, "output": 5}


def test_traces_with_offsets_are_relative() -> None:
    usage = one("mooncake.jsonl", 1)
    assert usage.at == datetime(1970, 1, 1, 0, 0, 2, 500_000, tzinfo=UTC)
    assert (usage.relative, usage.prefix_hashes, usage.block_tokens) == (True, (0, 3), 512)
    usage = one("burst.csv", 0)
    assert (usage.relative, usage.session, usage.latency_s, usage.model) == (True, "7", 2.5, "ChatGPT")
    assert one("burst.csv", 1).status == "failed"


def test_bailian_counts_seconds_and_blocks_of_16_and_follows_the_conversation() -> None:
    row = {"type": "text", "input_length": 32, "output_length": 1, "hash_ids": [4, 5]}
    rows = [
        {"chat_id": 1, "parent_chat_id": -1, "timestamp": 0.5, "turn": 1, **row},
        {"chat_id": 2, "parent_chat_id": 1, "timestamp": 1, "turn": 2, **row},
        {"chat_id": 3, "parent_chat_id": 2, "timestamp": 61.114, "turn": 3, **row},
    ]
    found, _ = read("mooncake", jsonl(*rows))
    assert [usage.session for usage in found] == ["1", "1", "1"]
    assert found[2].at == datetime(1970, 1, 1, 0, 1, 1, 114_000, tzinfo=UTC)
    assert found[0].block_tokens == 16


def test_claude_code_fields() -> None:
    usage = one("claude.jsonl")
    assert (usage.provider, usage.model, usage.tier, usage.region) == ("anthropic", "claude-opus-4-8", "standard", None)
    assert (usage.session, usage.id, usage.estimated, usage.reported_usd) == ("s1", "msg_1", True, None)
    assert (usage.at.second, usage.completed and usage.completed.second) == (29, 31)
    assert (one("claude.jsonl", 1).tier, one("claude.jsonl", 1).region) == ("fast", "us")


def test_codex_fields() -> None:
    usage = one("codex.jsonl", 1)
    assert (usage.provider, usage.model, usage.session, usage.estimated) == ("openai", "gpt-5-codex", "s-1", False)
    assert usage.at == datetime(2026, 2, 6, 10, 0, 4, tzinfo=UTC)


def test_openai_fields() -> None:
    usage, other = one("openai.json"), one("openai.json", 1)
    assert (usage.tier, usage.requests, usage.feature, usage.model) == ("batch", 5, "proj_a", "gpt-4o-2024-08-06")
    assert (usage.at, usage.completed) == (datetime(2024, 11, 1, tzinfo=UTC), datetime(2024, 11, 2, tzinfo=UTC))
    assert (other.tier, other.requests) == ("priority", 2)
    assert (one("openai.csv").requests, one("openai.csv").tier) == (3, "standard")


def test_anthropic_fields() -> None:
    usage = one("anthropic.json")
    assert (usage.tier, usage.region, usage.attrs, usage.feature) == ("batch", "us", {"context_window": "200k-1M"}, "w")
    console = one("anthropic.csv")
    assert (console.at, console.region) == (datetime(2026, 3, 22, tzinfo=UTC), None)
    assert console.attrs == {"context_window": "0-200k"}


def test_litellm_fields() -> None:
    usage = one("litellm.jsonl")
    assert (usage.provider, usage.model, usage.model_asked) == ("anthropic", "claude-sonnet-4-5", "sonnet")
    assert (usage.latency_s, usage.ttft_s, usage.reported_usd) == (2.0, 0.5, Fraction(123, 100_000))
    assert (usage.user, usage.session, usage.tags["labels"], usage.status) == ("u1", "sess", "a,b", "ok")
    assert one("litellm.jsonl", 1).tags["served_from"] == "litellm-cache"


def test_langfuse_and_helicone_and_openrouter_fields() -> None:
    usage = one("langfuse.jsonl")
    assert (usage.latency_s, usage.ttft_s, usage.reported_usd) == (4.0, 0.25, Fraction(3, 1000))
    assert (usage.model, usage.user, usage.session, usage.feature) == ("gpt-5", "u", "s", "answer")
    assert (one("langfuse.csv").at.microsecond, one("langfuse.csv").status) == (963_000, "error")
    usage = one("helicone.jsonl")
    assert (usage.provider, usage.latency_s, usage.ttft_s, usage.session) == ("openai", 1.4, 0.3, "s")
    assert (usage.feature, usage.reported_usd) == ("chat", Fraction(42, 10_000))
    assert one("helicone.csv").status == "500"
    usage = one("openrouter.csv")
    assert (usage.model, usage.tags["upstream"]) == ("mistralai/mistral-medium-3.1", "Mistral")
    assert (usage.latency_s, usage.ttft_s, usage.reported_usd) == (0.418, 0.343, Fraction(164, 1_000_000))
    assert one("openrouter.json").reported_usd == Fraction(25308, 10**8)


def test_otel_fields() -> None:
    usage = one("otel.jsonl")
    assert (usage.provider, usage.model_asked, usage.model) == ("openai", "gpt-5", "gpt-5-2025-08-07")
    assert (usage.at, usage.latency_s) == (datetime(2026, 1, 1, tzinfo=UTC), 2.5)
    assert (usage.feature, usage.id, usage.status) == ("shop", "t/a", "ok")
    assert (one("otel-line.jsonl").provider, one("otel-line.jsonl").status) == ("anthropic", "error")


def test_bedrock_and_gemini_and_responses_fields() -> None:
    usage = one("bedrock.jsonl")
    assert (usage.provider, usage.model, usage.region) == (
        "aws",
        "anthropic.claude-sonnet-4-20250514-v1:0",
        "us-east-1",
    )
    assert (usage.attrs, usage.id, usage.channel) == ({"geography": "us"}, "abc-1", "bedrock")
    usage = one("gemini.jsonl")
    assert (usage.provider, usage.model, usage.id) == ("google", "gemini-2.5-pro", "r-1")
    chat, message, batch = read(*SAMPLES["responses.jsonl"])[0]
    assert (chat.provider, chat.tier, chat.id) == ("openai", "standard", "chatcmpl-1")
    assert (message.provider, message.at.hour) == ("anthropic", 3)
    assert (batch.tier, batch.tags) == ("batch", {"custom_id": "c1"})


def test_table_fields() -> None:
    usage = one("table.csv")
    assert (usage.provider, usage.model, usage.user, usage.reported_usd) == ("openai", "gpt-5", "ann", Fraction(1, 10))

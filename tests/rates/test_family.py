"""Which ids name one model: real ids of hosts, and what must never be merged."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.rates.family import family
from farthing.rates.feeds import genai

SAME = {
    "llama-3.3-70b": [
        "llama-3.3-70b-versatile", "llama-3.3-70b-specdec",  # groq
        "meta-llama/Llama-3.3-70B-Instruct-Turbo", "meta-llama/Meta-Llama-3.3-70B-Instruct-Turbo",  # together
        "llama-v3p3-70b-instruct",  # fireworks
        "meta-llama/Llama-3.3-70B-Instruct",  # deepinfra
        "llama-3.3-70b",  # cerebras
        "meta.llama3-3-70b-instruct-v1:0", "us.meta.llama3-3-70b-instruct-v1:0",  # bedrock
        "databricks-meta-llama-3-3-70b-instruct",
        "@cf/meta/llama-3.3-70b-instruct-fp8-fast",  # cloudflare
        "Meta-Llama-3_3-70B-Instruct",  # ovhcloud
        "meta-llama/llama-3.3-70b-instruct:free",  # openrouter
    ],
    "llama-3.1-8b": ["llama-3.1-8b-instant", "llama3.1-8b", "llama-v3p1-8b-instruct", "meta.llama3-1-8b-instruct-v1:0"],
    "llama-4-maverick": [
        "meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8", "llama4-maverick-instruct-basic",
        "meta.llama4-maverick-17b-instruct-v1:0", "databricks-llama-4-maverick", "meta-llama/llama-4-maverick:free",
    ],
    "deepseek-v3": ["deepseek-ai/DeepSeek-V3", "deepseek/deepseek_v3"],
    "deepseek-v3.1": ["deepseek-ai/DeepSeek-V3.1", "deepseek/deepseek-chat-v3.1"],
    "deepseek-v3.2": ["deepseek-ai/DeepSeek-V3.2", "deepseek-v3p2", "deepseek/deepseek-v3.2"],
    "deepseek-r1": ["deepseek-ai/DeepSeek-R1", "deepseek.r1-v1:0", "deepseek/deepseek-r1:free"],
    "gpt-oss-120b": ["openai.gpt-oss-120b-1:0", "databricks-gpt-oss-120b", "@cf/openai/gpt-oss-120b"],
    "qwen3-235b-2507": ["Qwen/Qwen3-235B-A22B-Instruct-2507", "qwen/qwen3-235b-a22b-2507"],
    "qwen3-235b-thinking-2507": ["Qwen/Qwen3-235B-A22B-Thinking-2507"],
    "qwen3-32b": ["qwen-3-32b", "Qwen/Qwen3-32B", "qwen.qwen3-32b-v1:0", "qwen3-32b:free"],
    "qwen3-coder-480b": ["Qwen/Qwen3-Coder-480B-A35B-Instruct", "qwen-3-coder-480b", "qwen/qwen3-coder"],
    "qwen3.5-122b": ["databricks-qwen35-122b-a10b", "Qwen/Qwen3.5-122B-A10B"],
    "kimi-k2.7-code": ["kimi-k2p7-code", "moonshotai/Kimi-K2.7-Code", "databricks-kimi-k2-7-code"],
    "glm-4.7": ["zai-glm-4.7", "glm-4p7", "zai-org/GLM-4.7-FP8"],
    "claude-sonnet-4.5": [
        "claude-sonnet-4-5", "anthropic/claude-sonnet-4.5", "claude-sonnet-4-5-20250929", "claude-sonnet-4-5@20250929",
        "global.anthropic.claude-sonnet-4-5-20250929-v1:0", "us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0",
    ],
    "claude-3.5-haiku": ["claude-3-5-haiku-latest", "regional.anthropic.claude-3-5-haiku-20241022-v1:0"],
    "claude-opus-4": ["claude-4-opus", "claude-opus-4-0", "claude-opus-4-20250514"],
    "gemini-1.5-pro": ["gemini-pro-1.5", "google/gemini-1.5-pro"],
    "gemini-2-flash": ["gemini-2.0-flash", "gemini-2.0-flash-001"],
    "gpt-4o": ["gpt-4o", "gpt-4o-2024-08-06", "openai/gpt-4o"],
    "mixtral-8x7b": [
        "mixtral-8x7b-32768", "mistralai/Mixtral-8x7B-Instruct-v0.1", "mistral.mixtral-8x7b-instruct-v0:1",
    ],
    "gemma-2-9b": ["gemma2-9b-it", "google/gemma-2-9b-it:free"],
    "nova-lite": ["amazon.nova-lite-v1:0", "amazon/nova-lite-v1"],
}  # fmt: skip

APART = [
    ("gpt-4o", "gpt-4o-mini"),
    ("gpt-4", "gpt-4-turbo"),
    ("gpt-4.1", "gpt-4.1-mini"),
    ("gpt-3.5-turbo", "gpt-3.5-turbo-instruct"),
    ("gpt-5", "gpt-5-chat"),
    ("gpt-4o", "ft:gpt-4o"),
    ("text-davinci-002", "text-davinci-003"),
    ("davinci", "davinci-002"),
    ("deepseek-ai/DeepSeek-V3", "deepseek-ai/DeepSeek-V3.1"),
    ("deepseek-ai/DeepSeek-V3", "deepseek-ai/DeepSeek-V3-0324"),
    ("deepseek-v3.1", "deepseek-v3.2"),
    ("deepseek-v3.2", "deepseek-v3.2-exp"),
    ("deepseek-r1", "deepseek-r1-0528"),
    ("deepseek-r1", "deepseek-r1-distill-llama-70b"),
    ("deepseek-chat", "deepseek-reasoner"),
    ("Qwen/Qwen3-235B-A22B-Instruct-2507", "Qwen/Qwen3-235B-A22B-Thinking-2507"),
    ("Qwen/Qwen3-235B-A22B-Instruct-2507", "Qwen/Qwen3-235B-A22B"),
    ("Qwen/Qwen2.5-72B-Instruct", "Qwen/Qwen2.5-VL-72B-Instruct"),
    ("qwen-turbo", "qwen-max"),
    ("llama-3.1-70b-versatile", "llama-3.3-70b-versatile"),
    ("llama-3.1-8b-instant", "llama-3.1-70b-versatile"),
    ("llama-3.3-70b", "llama-guard-3-8b"),
    ("llama-4-scout", "llama-4-maverick"),
    ("grok-4-fast-reasoning", "grok-4-fast-non-reasoning"),
    ("grok-4", "grok-4-fast"),
    ("claude-opus-4", "claude-opus-4-1"),
    ("claude-3-5-sonnet", "claude-3-7-sonnet"),
    ("gemini-2.5-flash", "gemini-2.5-flash-lite"),
    ("gemini-2.5-flash", "gemini-2.5-flash-preview"),
    ("whisper-large-v3", "whisper-large-v3-turbo"),
    ("amazon.titan-embed-text-v1", "amazon.titan-embed-text-v2:0"),
    ("mistral-7b-instruct-v0.1", "mistral.mistral-7b-instruct-v0:2"),
    ("mistral-small-24b-instruct-2501", "mistral-small-3.1-24b-instruct"),
    ("ministral-8b-2512", "ministral-8b-latest"),
    ("voyage-large-2", "voyage-large-2-instruct"),
    ("command-r", "command-r-08-2024"),
    ("gemma-3-27b-it", "gemma-3-12b-it"),
]


@pytest.mark.parametrize(("key", "ids"), SAME.items())
def test_ids_of_one_model_at_its_hosts(key: str, ids: list[str]) -> None:
    assert {name: family(name) for name in ids} == dict.fromkeys(ids, key)


@pytest.mark.parametrize(("one", "other"), APART)
def test_other_models_stay_apart(one: str, other: str) -> None:
    assert family(one) != family(other)


CATALOGUE = [offer.model for offer in genai.load().offers]


def sizes(name: str) -> set[str]:
    """The parameter counts in an id, without the active ones of a mixture (…-a22b)."""
    return set(re.findall(r"(?<![a-z\d.])(\d+(?:x\d+)?(?:\.\d+)?b)(?![a-z\d])", name.lower().replace("_", "-")))


def test_no_family_of_the_catalogue_mixes_sizes() -> None:
    """Where two ids of one family both name a size, it is the same one."""
    found: dict[str, set[str]] = {}
    for name in CATALOGUE:
        stated = sizes(re.sub(r"(?<=\d)p(?=\d)", ".", name.rsplit("/", 1)[-1]))
        if stated:
            found.setdefault(family(name), set()).add("+".join(sorted(stated)))
    assert {key: stated for key, stated in found.items() if len(stated) > 1} == {}
    assert len(found) > 250


def test_every_id_of_the_catalogue_has_a_family_that_is_its_own_key() -> None:
    for name in CATALOGUE:
        key = family(name)
        assert key and family(key) == key, name
    assert len({family(name) for name in CATALOGUE}) < len(set(CATALOGUE))


@given(
    # Bedrock's own ids end in a revision, and are never served under another host's name.
    st.sampled_from([n for n in CATALOGUE if ":" not in n and "/" not in n and not re.match(r"[a-z-]+\.[a-z]", n)]),
    st.sampled_from(["", ":free", "-FP8", "-hf"]),
    st.booleans(),
)
def test_hosts_prefixes_and_precision_say_nothing(name: str, suffix: str, upper: bool) -> None:
    shown = f"some-host/{name}{suffix}"
    assert family(shown.upper() if upper else shown) == family(name)


@given(st.text(max_size=40))
def test_any_text_has_a_family(text: str) -> None:
    assert family(family(text)) == family(text)

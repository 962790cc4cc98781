"""Model families: which ids, at different hosts, name one model.

`family` turns an id into a key by writing it in one way: without the host's prefixes and without what
says how the weights are served (precision, engine, snapshot of a first party's API), but with all that
says which weights they are: series, version, size, variant, and the short stamps (0528, 2507) under
which new weights of one name are published. In doubt two ids stay apart: a missing row can be seen,
a wrong one misleads.
"""

import re
from functools import lru_cache

_VENDORS = ("databricks", "meta", "nvidia", "zai", "z-ai", "anthropic", "openai", "mistralai", "amazon", "xai")
_SERVED = frozenset(
    ("it", "hf", "fp4", "fp8", "fp16", "bf16", "nvfp4", "mxfp4", "awq", "gptq", "gguf", "int4", "int8", "w4a16", "4bit",
     "8bit", "versatile", "instant", "specdec", "maas")
)  # fmt: skip
"""How weights are served, not which: dropped wherever they stand."""
_AFTER_INSTRUCT = frozenset(("turbo", "lite", "reference", "fast", "basic"))
"""Levels of service where they follow "instruct" or a precision; elsewhere ("gpt-4-turbo") part of the model's name."""
_INSTRUCT_IS_ANOTHER = ("gpt-", "voyage-", "redpajama-")
"""Makers that sell an "instruct" or "chat" model beside another one of the same name."""
_SAME = (
    (r"^llama-4-(maverick|scout)-17b(-\d+e)?", r"llama-4-\1"),
    (r"^qwen3-coder$", "qwen3-coder-480b"),
    (r"^(muse-spark-open|beam-1)-.*", r"\1"),
    (r"^(nemotron-3-ultra)-550b|^(nemotron-3\.5-super-vl)-120b", r"\1\2"),
    (r"^(gemini-.*)-00\d$", r"\1"),
    (r"^(mixtral-8x\d+b)-v?0\.1$", r"\1"),
    (r"^(nova-[a-z]+|nova-2-[a-z]+)-v1$", r"\1"),
    (r"^(kimi-k\d.*)-preview$", r"\1"),
    (r"^nemotron-(super|nano|ultra)-(\d+)(?=-|$)", r"nemotron-\2-\1"),
    (r"^claude-([4-9](?:\.\d+)?)-(opus|sonnet|haiku)", r"claude-\2-\1"),
    (r"^gemini-(pro|flash)-(\d\.\d)", r"gemini-\2-\1"),
)
"""Names of one model that differ by more than spelling: models of one size that some hosts do not repeat,
and makers that changed the order of their names."""

_VERSION = re.compile(r"(?<![\d.])(\d)[-_](\d{1,2})(?=[-_@:]|$)(?!-bit)")
_FULL_DATE = re.compile(r"[-@](?:20\d{6}|20\d\d-\d\d-\d\d)(?=-|$)")
_VERSION_TOKEN = re.compile(r"[a-z]{0,2}\d(?:\.\d+)*")
_ACTIVE = re.compile(r"(\d+(?:\.\d+)?[bt])-a\d+(?:\.\d+)?b(?=-|$)")


@lru_cache(maxsize=1 << 15)
def family(model: str) -> str:
    """The key of the model that the id `model` names; ids with one key are one model at different hosts.

    `family("meta-llama/Llama-3.3-70B-Instruct-Turbo")` and `family("llama-v3p3-70b-instruct")` are
    "llama-3.3-70b". The key of a key is itself.
    """
    before, key = "", model
    while key != before:  # what one rule takes off can uncover what another looks for
        before, key = key, _once(key)
    return key


def _once(model: str) -> str:
    key = model.strip().lower().lstrip("~").rsplit("/", 1)[-1]
    key = _without_bedrock(re.sub("^ft:", "ft-", key))
    key = re.sub(r":(?!thinking|extended)[^:]*$", "", key).replace(":", "-")
    key = re.sub(r"(?<=\d)p(?=\d)", ".", key)
    for vendor in _VENDORS:
        key = key.removeprefix(f"{vendor}-")
    key = _FULL_DATE.sub("", key)
    key = _VERSION.sub(r"\1.\2", key).replace("_", "-")
    key = re.sub(r"^qwen-?(\d)(?:(\d)(?=-))?", lambda found: f"qwen{found[1]}" + f".{found[2]}" * bool(found[2]), key)
    key = re.sub(r"^(?!qwen)([a-z]{3,})(\d)", r"\1-\2", key)
    key = key if key.startswith("deepseek") else re.sub(r"-v(?=\d+\.\d)", "-", key)
    key = re.sub(r"(?<=\d)\.0(?![\d.b])", "", key)
    key = _ACTIVE.sub(r"\1", key)
    key = re.sub(r"-(?:4096|8192|32768|131072)$", "", key)
    if any(_VERSION_TOKEN.fullmatch(token) for token in key.split("-")):  # without one "latest" is a pointer that moves
        key = re.sub(r"-(?:latest|us|eu)$", "", key)
    key = _without_serving(key)
    for pattern, name in _SAME:
        key = re.sub(pattern, name, key)
    return key


def _without_bedrock(key: str) -> str:
    """Bedrock writes REGION.MAKER.MODEL-vREVISION:N."""
    makers = re.match(r"(?:[a-z-]+\.)+(?=[a-z])", key)
    if makers is None:
        return key
    rest = re.sub(r":(?=[a-z]).*$", "", key[makers.end() :])  # a host's variant, such as ":free"
    rest = re.sub(r"-v0:(\d)$", r"-v0.\1", rest)
    rest = re.sub(r"(?:(?<=-20\d{6})-v\d+:\d+|-v1(?::\d+)?|-\d:\d|:\d)$", "", rest)
    maker = makers[0].rstrip(".").rsplit(".", 1)[-1]
    return f"{maker}-{rest}" if maker == "deepseek" and not rest.startswith(maker) else rest


def _without_serving(key: str) -> str:
    another = key.startswith(_INSTRUCT_IS_ANOTHER) and not key.startswith("gpt-oss")
    kept: list[str] = []
    level = False
    tokens = key.split("-")
    for position, token in enumerate(tokens):
        others = [other for other in [*tokens[:position], *tokens[position + 1 :]] if other not in _SERVED]
        # Without a number the rest would not say which model it is: "deepseek-chat".
        spoken = token in ("instruct", "chat") and not another and any(re.search(r"\d", other) for other in others)
        if position > 0 and (spoken or token in _SERVED):
            level = True
        elif not (level and token in _AFTER_INSTRUCT):
            kept.append(token)
            level = False
    return "-".join(kept)

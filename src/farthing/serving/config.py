"""A model's config.json to its shape. The family is the key "model_type"; one that is not known is refused.

A config.json of a new family is never guessed at, also where it looks like one that is known: the same
keys with one more norm, gate or window mean other weights and another cache.
"""

import difflib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from farthing.serving import config_attention as attention
from farthing.serving import config_feed_forward as feed_forward
from farthing.serving.config_attention import Grouped
from farthing.serving.config_compressed import compressed
from farthing.serving.config_feed_forward import Mixture
from farthing.serving.config_gemma4 import gemma4
from farthing.serving.config_keys import Keys, load, unwrapped
from farthing.serving.shape import Attention, FeedForward, ModelShape

Block = TypeVar("Block", Attention, FeedForward)
Blocks = tuple[Sequence[Attention], Sequence[FeedForward]]


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """One model_type: its attention, its feed-forward (a mixture, or dense blocks with `norms` norms).

    `tied`: are head and embedding one where the config does not say. `defaults`: keys that published
    configs of the family leave out, as its code sets them.
    """

    attention: Grouped | str
    mixture: Mixture | None = None
    norms: int = 1
    tied: bool = False
    defaults: Mapping[str, object] = {}


_LLAMA = Family(attention=Grouped(bias="stated", output_bias="stated", derived=True))
_MISTRAL = Family(attention=Grouped(derived=True, layers="all"))
_QWEN2 = Grouped(bias=True, derived=True, layers="deep")
_QWEN3 = Grouped(bias="stated", output_bias="stated", norm="head", layers="deep")
_QWEN_MOE = Mixture(dense="intermediate_size", layers="step")
_DEEPSEEK = Mixture(dense="intermediate_size", shared="number", router_bias=True, layers="after")
_GEMMA3 = Family(
    attention=Grouped(norm="head", norms=2, layers="pattern", pattern=6),
    norms=2,
    tied=True,
    defaults={
        "head_dim": 256,
        "vocab_size": 262208,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "max_position_embeddings": 131072,
    },
)
_QWEN3_NEXT_MOE = msgspec.structs.replace(_QWEN_MOE, shared="width")

FAMILIES: dict[str, Family] = {
    "llama": _LLAMA,
    "mistral": _MISTRAL,
    "qwen2": Family(attention=_QWEN2),
    "mimo": Family(attention=_QWEN2),
    "qwen3": Family(attention=_QWEN3),
    "qwen3_vl": Family(attention=_QWEN3),
    "phi3": Family(attention=Grouped(derived=True, layers="all")),
    "gemma": Family(attention=Grouped(), tied=True),
    "gemma2": Family(attention=Grouped(norms=2, layers="even"), norms=2, tied=True),
    "gemma3": _GEMMA3,
    "gemma4": Family(attention="gemma4", tied=True),
    "mixtral": Family(attention=Grouped(derived=True, layers="all"), mixture=Mixture(width="intermediate_size")),
    "qwen2_moe": Family(attention=_QWEN2, mixture=msgspec.structs.replace(_QWEN_MOE, shared="width")),
    "qwen3_moe": Family(attention=_QWEN3, mixture=_QWEN_MOE),
    "qwen3_vl_moe": Family(attention=_QWEN3, mixture=_QWEN_MOE),
    "qwen3_next": Family(attention="gated_delta", mixture=_QWEN3_NEXT_MOE),
    "qwen3_5": Family(attention="gated_delta"),
    "qwen3_5_moe": Family(attention="gated_delta", mixture=_QWEN3_NEXT_MOE),
    "deepseek_v2": Family(attention="latent", mixture=msgspec.structs.replace(_DEEPSEEK, router_bias=False)),
    "deepseek_v3": Family(attention="latent", mixture=_DEEPSEEK),
    "deepseek_v32": Family(attention="latent", mixture=_DEEPSEEK),
    "deepseek_v4": Family(attention="compressed", mixture=Mixture(shared="number", router_bias=True)),
    "kimi_k2": Family(attention="latent", mixture=_DEEPSEEK),
    "glm_moe_dsa": Family(attention="latent", mixture=_DEEPSEEK),
    "gpt_oss": Family(
        attention=Grouped(bias=True, output_bias=True, sinks=True, layers="even"),
        mixture=Mixture(width="intermediate_size", router_bias=True, expert_bias=True),
    ),
    "minimax_m2": Family(attention=Grouped(norm="layer"), mixture=Mixture(width="intermediate_size", router_bias=True)),
    "llama4": Family(
        attention=Grouped(bias="stated", layers="pattern", window="attention_chunk_size", pattern=4),
        mixture=Mixture(width="intermediate_size", dense="intermediate_size_mlp", shared="one", layers="interleave"),
    ),
    "nemotron_h": Family(attention="hybrid_override_pattern"),
}
# glm4_moe states whether its queries and keys have norms: see _family
_GLM4 = Family(attention=Grouped(bias="stated"), mixture=_DEEPSEEK)
KNOWN = tuple(sorted((*FAMILIES, "glm4_moe")))


def read_config(text_or_path: str | Path, id: str = "") -> ModelShape:
    """The shape of the model that a Hugging Face `config.json` (its text, or its path) describes.

    Raises `FarthingError`, in one line, for a file that is none, a family that is not known, a key that
    is missing and sizes that do not fit together.
    """
    return shape_of(load(text_or_path, id), id)


def shape_of_values(values: Mapping[str, object], id: str, place: str) -> ModelShape:
    """The same from parsed keys; `place` is what errors call them."""
    return shape_of(unwrapped(values, place), id)


def shape_of(keys: Keys, id: str) -> ModelShape:
    name, family = _family(keys)
    stated = {key: value for key, value in keys.values.items() if value is not None}
    if isinstance(kinds := stated.get("layers_block_type"), list):
        stated.setdefault("num_hidden_layers", len(kinds))
    keys = Keys({**family.defaults, **stated}, keys.place)
    layers, hidden = attention.layer_count(keys), keys.whole("hidden_size")
    mixing, feeding = _blocks(keys, family)
    return ModelShape(
        id=id or keys.text("_name_or_path") or name,
        architecture=name,
        layers=layers,
        hidden=hidden,
        vocabulary=keys.whole("vocab_size"),
        attention=_grouped(mixing),
        feed_forward=_grouped(feeding),
        tied=keys.flag("tie_word_embeddings", family.tied),
        norm_parameters=hidden,
        context=keys.whole("max_position_embeddings", default=0),
    )


PRECISIONS = ("bf16", "fp8", "int8", "int4", "fp4", "fp32")


def checkpoint_precision(text_or_path: str | Path) -> str | None:
    """The number format of most weights of the checkpoint beside this config.json; None where it does not say.

    One of `PRECISIONS`; fp16 counts as bf16 (as many bytes). Of a path, ModelOpt's hf_quant_config.json beside
    it is read too: without it such a checkpoint's config.json names the format of what it was made from.
    Raises `FarthingError` for what is no config.json.
    """
    keys = load(text_or_path)
    quantised = keys.values.get("quantization_config")
    if quantised is None and not str(text_or_path).lstrip().startswith("{"):
        beside = Path(text_or_path).with_name("hf_quant_config.json")
        quantised = load(beside).values.get("quantization") if beside.is_file() else None
    if isinstance(quantised, Mapping):
        # Where experts have a format of their own, most weights are theirs.
        for stated in (keys.values.get("expert_dtype"), quantised.get("moe_quant_algo"), quantised.get("quant_algo")):
            if isinstance(stated, str) and (found := _FORMATS.get(stated.lower())):
                return found
        return _grouped_format(quantised) or _FORMATS.get(str(quantised.get("quant_method")).lower())
    return _FORMATS.get(str(keys.values.get("dtype") or keys.values.get("torch_dtype")).removeprefix("torch."))


_FORMATS = {
    "bfloat16": "bf16",
    "float16": "bf16",
    "float32": "fp32",
    "fp8": "fp8",
    "nvfp4": "fp4",
    "mxfp4": "fp4",
    "fp4": "fp4",
    "fbgemm_fp8": "fp8",
    "w4a16_awq": "int4",
    "int8_sq": "int8",
}


def _grouped_format(quantised: Mapping[str, object]) -> str | None:
    """What compressed-tensors (bits and type of a group's weights), AWQ and GPTQ (bits), bitsandbytes state."""
    if quantised.get("load_in_4bit") is True or quantised.get("load_in_8bit") is True:
        return "int4" if quantised.get("load_in_4bit") is True else "int8"
    bits: object = quantised.get("bits")
    kind: object = "int"
    groups = quantised.get("config_groups")
    if isinstance(groups, Mapping):
        found = {
            (weights.get("num_bits"), weights.get("type"))
            for group in groups.values()
            if isinstance(group, Mapping) and isinstance(weights := group.get("weights"), Mapping)
        }
        if len(found) != 1:
            return None  # mixed: neither is most of the weights
        bits, kind = found.pop()
    known = {(8, "float"): "fp8", (8, "int"): "int8", (4, "int"): "int4", (4, "float"): "fp4"}
    return known.get((bits, str(kind))) if isinstance(bits, int) else None


def _family(keys: Keys) -> tuple[str, Family]:
    """The family of the key "model_type": the nested text model's name loses its "_text"."""
    name = keys.text("model_type").removesuffix("_text")
    if name == "glm4_moe":
        norm = "head" if keys.flag("use_qk_norm", False) else ""
        return name, msgspec.structs.replace(_GLM4, attention=Grouped(bias="stated", norm=norm))
    family = FAMILIES.get(name)
    if family is None:
        near = difflib.get_close_matches(name, KNOWN, 3)
        hint = f"nearest: {', '.join(near)}; " if near else ""
        what = f"model_type {name!r} is not known" if name else "'model_type' is missing"
        keys.fail(what, f"{hint}known: {', '.join(KNOWN)}")
    return name, family


_ATTENTION: dict[str, Callable[[Keys], list[Attention]]] = {
    "latent": attention.latent,
    "gated_delta": attention.gated_delta,
    "compressed": compressed,
}


def _blocks(keys: Keys, family: Family) -> Blocks:
    """Attention and feed-forward of every layer. Nemotron-H's layers are one or the other; others' are both."""
    if family.attention == "hybrid_override_pattern":
        return _hybrid(keys)
    if family.attention == "gemma4":
        return gemma4(keys)
    if isinstance(family.attention, Grouped):
        mixing = attention.grouped(keys, family.attention)
    else:
        mixing = _ATTENTION[family.attention](keys)
    if family.mixture is None:
        return mixing, feed_forward.dense(keys, norms=family.norms)
    return mixing, feed_forward.mixture(keys, family.mixture)


def _hybrid(keys: Keys) -> Blocks:
    """Nemotron-H: a letter (or a word) a layer: M Mamba-2, * attention, - dense block, E experts."""
    count = attention.layer_count(keys)
    words = {"mamba": "M", "attention": "*", "mlp": "-", "moe": "E"}
    stated = keys.listed("layers_block_type", count)
    pattern = "".join(words.get(str(word), "?") for word in stated or ()) or keys.text("hybrid_override_pattern")
    if len(pattern) != count or set(pattern) - set("M*-E"):
        keys.fail(f"'hybrid_override_pattern' is {pattern[:40]!r}", f"{count} letters, a layer each, of M * - E")
    mixers: dict[str, Callable[[Keys], Attention]] = {"M": attention.mamba, "*": attention.full_only}
    feeders = {"-": feed_forward.squared, "E": feed_forward.squared_experts}
    mixing = [mixers[letter](keys) for letter in pattern if letter in mixers]
    return mixing, [feeders[letter](keys) for letter in pattern if letter in feeders]


def _grouped(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """Layers that are alike as one block with their number, in order of first appearance."""
    return tuple(msgspec.structs.replace(block, layers=count) for block, count in Counter(blocks).items())

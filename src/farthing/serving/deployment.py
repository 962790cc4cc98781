"""A deployment: a model on devices, its number formats and its parallelism, checked; what fits in memory."""

import math
from collections.abc import Callable
from datetime import date
from functools import cached_property
from typing import Any

import msgspec

from farthing.problems import FarthingError
from farthing.serving import formats
from farthing.serving.device import Device
from farthing.serving.shape import ModelShape

ENGINES = ("vllm", "sglang", "trtllm")


class Speculation(msgspec.Struct, frozen=True, kw_only=True):
    """Speculative decoding: `tokens` drafted a step, each accepted with probability `acceptance`.

    `draft`: the cost of drafting one token as a share of a decode step (an extra layer: a few per cent; a
    separate small model: its size over the large one's).
    """

    tokens: int
    acceptance: float
    draft: float = 0.05

    @property
    def per_step(self) -> float:
        """Expected tokens a step: (1 - a^(γ+1)) / (1 - a) (Leviathan et al. 2023, equation 1)."""
        a = self.acceptance
        return self.tokens + 1.0 if a >= 1 else (1 - a ** (self.tokens + 1)) / (1 - a)

    def check(self) -> None:
        """Raise `FarthingError` for a number that cannot be."""
        if self.tokens < 1:
            raise FarthingError(f"speculation drafts {self.tokens} tokens a step; at least 1")
        if not 0 <= self.acceptance <= 1:
            raise FarthingError(f"acceptance {self.acceptance:g}: a share from 0 to 1 (0.7 for 70 %)")
        if not 0 <= self.draft < math.inf:
            raise FarthingError(f"the cost of drafting a token is {self.draft:g} of a step; 0 or more")


class Deployment(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One replica: `tp` × `pp` × `dp` devices serve one copy of the model; `replicas` of them.

    `tp`: tensor parallelism of the attention; `pp`: pipeline stages; `dp`: copies of the attention whose
    experts are spread over all ranks (models without experts: independent copies are `replicas`);
    `ep`: the number of ranks that hold different experts (1: every rank holds a slice of each).
    `weights`, `kv`: number formats. `chunk`: tokens in one step at most. `engine_date`: how new the
    engine is; None: as new as the newest measurement that the model was fitted on.
    """

    model: ModelShape
    device: Device
    engine: str = "vllm"
    weights: str = "bf16"
    kv: str = "bf16"
    tp: int = 1
    pp: int = 1
    ep: int = 1
    dp: int = 1
    replicas: int = 1
    chunk: int = 8192
    max_sequences: int = 1024
    speculation: Speculation | None = None
    engine_date: date | None = None

    @property
    def gpus(self) -> int:
        """Devices of one replica."""
        return self.tp * self.pp * self.dp

    @property
    def count(self) -> int:
        """All devices."""
        return self.gpus * self.replicas

    @property
    def name(self) -> str:
        """What a person calls it: "Llama-3.1-70B on 4 × h100-sxm (vllm, fp8, tp4)"."""
        layout = "".join(f" {key}{value}" for key, value in self.layout.items() if value > 1)
        return f"{self.model.id} on {self.count} × {self.device.id} ({self.engine}, {self.weights}{layout})"

    @property
    def layout(self) -> dict[str, int]:
        return {"tp": self.tp, "pp": self.pp, "dp": self.dp, "ep": self.ep, "replicas": self.replicas}

    @cached_property
    def stage_share(self) -> float:
        """The share of the layers that the fullest pipeline stage has: 27 of 80 with three stages."""
        return math.ceil(self.model.layers / self.pp) / self.model.layers

    @cached_property
    def weight_bytes(self) -> float:
        """Bytes of weights on the fullest device: attention and heads by TP and stage, experts over all ranks."""
        model, stage = self.model, self.tp / self.stage_share
        form = formats.find(self.weights)
        dense = model.attention_parameters + model.dense_parameters + model.norm_parameters
        # One stage holds the embedding and the head (once, if tied); of several the first and the last hold one each.
        heads = (1 if model.tied or self.pp > 1 else 2) * model.head_parameters
        shared = dense * form.dense_bytes(bool(model.expert_parameters)) / stage
        shared += heads * formats.HEAD_BYTES / self.tp
        other = model.other_parameters * formats.HEAD_BYTES / stage
        return shared + other + model.expert_parameters * form.expert_bytes / (stage * self.dp)

    @cached_property
    def reserve_bytes(self) -> float:
        """Bytes an engine keeps for itself on a device: context, graphs, the activations of one full step."""
        rules = formats.memory()
        return rules.fixed_bytes + self.chunk * self.model.hidden * rules.activations_per_hidden * 2

    @cached_property
    def kv_room_bytes(self) -> float:
        """Bytes left for contexts on one device; negative where the weights alone do not fit."""
        return self.device.memory_bytes * formats.memory().utilisation - self.weight_bytes - self.reserve_bytes

    @property
    def kv_split(self) -> float:
        """Among how many devices of a stage one sequence's cache is divided: KV heads are, a latent is not."""
        heads = [block.kv_heads for block in self.model.attention if not block.latent and block.kind != "linear"]
        return float(min(self.tp, min(heads, default=1)))

    def kv_bytes(self, tokens: Any, least: Callable[[Any, Any], Any] = min) -> Any:
        """Bytes that one sequence of `tokens` tokens keeps on one device of its rank (of each stage)."""
        model = self.model
        state = sum(block.layers * block.state_values for block in model.attention)
        cache = model.kv_values(tokens, least) - state
        here = cache * formats.kv_bytes(self.kv) / self.kv_split + state * formats.STATE_BYTES / self.tp
        return here * self.stage_share

    def max_batch(self, tokens: float) -> int:
        """How many sequences of `tokens` tokens each fit in one replica's memory at once; 0: not one."""
        room = self.kv_room_bytes
        if room <= 0:
            return 0
        return min(int(room / max(self.kv_bytes(tokens), 1.0)) * self.dp, self.max_sequences)

    def check(self) -> None:
        """Raise `FarthingError`, one line with what would work, where the parallelism does not divide or fit a node."""
        model = self.model
        if self.engine not in ENGINES:
            raise FarthingError(f"unknown engine {self.engine!r}; one of {', '.join(ENGINES)}")
        formats.find(self.weights)
        formats.kv_bytes(self.kv)
        for name, value in self.layout.items():
            if value < 1:
                raise FarthingError(f"{name} is {value}; it must be at least 1")
        heads = _heads(model)
        if heads % self.tp:
            raise FarthingError(
                f"tp {self.tp} does not divide the {heads} attention heads of {model.id}; {_divisors(heads)} would"
            )
        if not _divides(model, self.tp):
            good = ", ".join(str(tp) for tp in range(1, heads + 1) if _divides(model, tp))
            raise FarthingError(
                f"tp {self.tp} neither divides nor is a multiple of the KV heads of {model.id}; {good} would"
            )
        if self.speculation is not None:
            self.speculation.check()
        if self.pp > model.layers:
            raise FarthingError(f"pp {self.pp} is more than the {model.layers} layers of {model.id}")
        experts = max((block.experts for block in model.feed_forward), default=0)
        ranks = self.tp * self.dp
        if not experts and (self.ep > 1 or self.dp > 1):
            what, value = ("ep", self.ep) if self.ep > 1 else ("dp", self.dp)
            raise FarthingError(
                f"{what} {value}: {model.id} has no experts to spread; use --count for more copies of it"
            )
        if experts and (ranks % self.ep or experts % self.ep):
            raise FarthingError(
                f"ep {self.ep} must divide tp × dp = {ranks} and the {experts} experts of {model.id}; "
                f"{_divisors(ranks, experts)} would"
            )


def _heads(model: ModelShape) -> int:
    """What TP must divide: the attention heads of every layer."""
    return math.gcd(*(block.heads for block in model.attention)) or 1


def _divides(model: ModelShape, tp: int) -> bool:
    """Whether engines can divide every layer's heads by `tp`; fewer KV heads than devices are repeated evenly."""
    kept = (block.kv_heads for block in model.attention if block.kind != "linear" and not block.latent)
    return _heads(model) % tp == 0 and all(not one or one % tp == 0 or tp % one == 0 for one in kept)


def _divisors(*numbers: int) -> str:
    common = [str(n) for n in range(1, 129) if all(number % n == 0 for number in numbers)]
    return ", ".join(common)


def plan(
    model: ModelShape, device: Device, *, count: int | None = None, tp: int | None = None, context: float = 4096,
    **more: Any,
) -> Deployment:  # fmt: skip
    """A checked deployment with what was not said filled in.

    `count`: devices in all; None: the fewest (a power of two within the scale-up domain) on which the weights
    and one sequence of `context` tokens fit. `tp`: None: all devices of a replica (where `count` is more
    than one domain, or more than heads can be divided by, the rest are further replicas).
    Raises `FarthingError` for what does not divide; whether it fits is the estimate's to say.
    """
    others = {key: value for key, value in more.items() if value is not None}
    for name, value in {"--count": count, "tp": tp, **{key: others.get(key) for key in ("pp", "dp", "ep")}}.items():
        if value is not None and value < 1:
            raise FarthingError(f"{name} is {value}; it must be at least 1")
    pp, dp = others.get("pp", 1), others.get("dp", 1)
    domain = max(device.link_devices, 1)
    if tp is None:
        if count is None:
            tp = _smallest(model, device, others, domain, context)
        else:
            tp = _widest(model, count // (pp * dp) or 1, domain)
    gpus = tp * pp * dp
    if count is not None and count % gpus:
        raise FarthingError(
            f"--count {count} is not a multiple of tp × pp × dp = {gpus}; {gpus}, {2 * gpus}, {3 * gpus} … would do"
        )
    deployment = Deployment(model=model, device=device, tp=tp, replicas=(count or gpus) // gpus, **others)
    deployment.check()
    return deployment


def _widest(model: ModelShape, devices: int, domain: int) -> int:
    """The most devices that can share one copy: within a domain, dividing heads and devices."""
    return next(tp for tp in range(min(devices, domain), 0, -1) if _divides(model, tp) and devices % tp == 0)


def _smallest(model: ModelShape, device: Device, others: dict[str, Any], domain: int, context: float) -> int:
    tp = 1
    while True:
        one = Deployment(model=model, device=device, tp=tp, **others)
        if one.max_batch(context) > 0 or tp * 2 > domain or not _divides(model, tp * 2):
            return tp
        tp *= 2

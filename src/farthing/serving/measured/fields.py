"""Reading fields of a record whose types nobody promises; what is unusable is refused with its name."""

import math
from collections.abc import Mapping
from typing import Any


class Refused(Exception):
    """A record that cannot be a measurement: `reason`, `repair`, and `kind` to group it by."""

    def __init__(self, reason: str, repair: str = "", kind: str = "") -> None:
        super().__init__(reason)
        self.reason, self.repair, self.kind = reason, repair, kind or reason


_NOTHING = ("none", "null", "n/a", "nan", "-", "unknown", "trace")


def number(record: Mapping[str, Any], *names: str) -> float | None:
    """The first of the fields `names` that is stated, as a finite number; None where none is.

    Null, empty text, NaN and infinity ("inf": no limit) are not stated. Raises `Refused` for other text.
    """
    for name in names:
        value = record.get(name)
        if value is None or value == "" or isinstance(value, bool):
            continue
        if not isinstance(value, (int, float, str)):
            continue
        if isinstance(value, str) and value.strip().lower() in _NOTHING:
            continue
        try:
            found = float(value)
        except ValueError:
            raise Refused(f"{name} is {value!r}, not a number", "write plain digits", f"{name}: no number") from None
        if math.isfinite(found):
            return found
    return None


def positive(record: Mapping[str, Any], *names: str) -> float | None:
    """As `number`; zero and below are not stated (tools write 0 for what they did not measure)."""
    found = number(record, *names)
    return found if found is not None and found > 0 else None


def whole(record: Mapping[str, Any], *names: str) -> int | None:
    """As `positive`, a whole number. Raises `Refused` for a fraction."""
    found = positive(record, *names)
    if found is None:
        return None
    if found != int(found):
        raise Refused(f"{names[0]} is {found:g}, not a whole number", "give a count", f"{names[0]}: no whole number")
    return int(found)


def text(record: Mapping[str, Any], *names: str) -> str:
    """The first of the fields `names` that holds text (of a list, its first), else ""."""
    for name in names:
        value = record.get(name)
        if isinstance(value, (list, tuple)) and value:
            value = value[0]
        if isinstance(value, str) and value.strip() and value.strip().lower() not in ("none", "null"):
            return value.strip()
    return ""


def flag(record: Mapping[str, Any], *names: str) -> bool:
    """Whether one of the fields is true, "true" or 1."""
    return any(str(record.get(name, "")).strip().lower() in ("true", "1", "yes") for name in names)


def find(tree: Any, name: str, depth: int = 6) -> Any:
    """The nearest value called `name` in nested objects, breadth first (configurations move between versions)."""
    level = [tree]
    for _ in range(depth):
        below: list[Any] = []
        for node in level:
            if isinstance(node, Mapping):
                if node.get(name) not in (None, "", [], {}):
                    return node[name]
                below.extend(node.values())
            elif isinstance(node, (list, tuple)):
                below.extend(node[:100])
        level = below
    return None


LAYOUT = {
    "gpus": ("gpus", "num_gpus", "gpu_count", "n_gpus", "num_gpu"),
    "tp": ("tp", "tp_size", "tensor_parallel_size", "tensor_parallel", "tensor-parallel-size"),
    "pp": ("pp", "pp_size", "pipeline_parallel_size"),
    "ep": ("ep", "ep_size", "moe_ep_size", "expert_parallel_size"),
    "dp": ("dp", "dp_size", "data_parallel_size", "attention_dp_size"),
}
"""What the fields of a layout are called by the tools and by those who add them as metadata."""

DEVICE = ("device", "hw", "hardware", "gpu", "gpu_type", "gpu_name", "accelerator", "system")
ENGINES = ("vllm", "sglang", "trtllm", "tensorrt", "lmdeploy", "tgi", "llama", "mindie", "xllm", "dynamo")


def layout(record: Mapping[str, Any]) -> dict[str, Any]:
    """`gpus`, `tp`, `pp`, `ep`, `dp` as far as they are stated; GPUs = tp × pp × dp where all else is silent."""
    found = {field: whole(record, *names) for field, names in LAYOUT.items()}
    if found["gpus"] is None and found["tp"] is not None:
        found["gpus"] = found["tp"] * (found["pp"] or 1) * (found["dp"] or 1)
    return found


def engine_of(*names: str) -> str:
    """The engine that one of `names` tells ("vllm", "sglang", "trtllm", ...); "" for a mere protocol ("openai")."""
    for name in names:
        lowered = name.lower().replace("-", "").replace("_", "")
        for engine in ENGINES:
            if engine in lowered or (engine == "trtllm" and lowered.endswith("trt")):
                return {"tensorrt": "trtllm", "llama": "llama.cpp"}.get(engine, engine)
    return ""

"""Physical bounds of serving: memory, operations and bytes per second. Pure functions of named units.

They are ceilings: no time for communication, launch or waiting, every operation and byte at the device's rate.
What is beyond them cannot be; what is below them need not be reached.
"""

from farthing.serving.device import Device
from farthing.serving.shape import ModelShape

BYTE_BITS = 8
_EIGHT_BIT = ("bf16", "fp8", "int8")
_FOUR_BIT = 5.0  # formats of at most so many bits may compute in fp4 where the device does


def weights_bytes(parameters: float, bits: float) -> float:
    """Bytes of `parameters` weights of `bits` bits each."""
    return parameters * bits / BYTE_BITS


def fastest_flops(device: Device, bits: float | None, number_format: str | None) -> tuple[str, float]:
    """The format and the operations per second that serve best: weights of `bits` may compute in any wider one."""
    if number_format is not None:
        return number_format, device.flops_of(number_format)
    formats = [*_EIGHT_BIT, *(["fp4"] if bits is None or bits <= _FOUR_BIT else [])]
    if bits is not None and bits > BYTE_BITS:
        formats = ["bf16"]
    best = max((name for name in formats if name in device.flops), key=lambda name: device.flops[name])
    return best, device.flops[best]


def compute_tokens_s(flops: float, active_parameters: float) -> float:
    """Tokens a second by operations alone: flops / (2 × parameters that a token passes). A multiply and an add each."""
    return flops / (2 * active_parameters)


def bandwidth_tokens_s(bytes_s: float, read_bytes: float, kv_bytes: float, batch: float) -> float:
    """Tokens a second of decoding by bytes alone: batch × bandwidth / (weights + batch × KV cache of a sequence)."""
    return batch * bytes_s / (read_bytes + batch * kv_bytes)


def read_parameters(shape: ModelShape, batch: float) -> float:
    """Weights that a step of `batch` tokens reads: E (1 − (1 − k/E)^batch) distinct experts of E with k a token."""
    idle = 0.0
    for block in shape.feed_forward:
        if block.experts:
            left = (1 - block.per_token / block.experts) ** batch
            idle += block.layers * block.experts * block.expert_parameters * left
    return shape.parameters - shape.other_parameters - idle


def largest_cost_ratio(flops: float, bytes_s: float, bits: float) -> float:
    """How many times an output token can cost an input token at most: decoding one sequence alone, weights only.

    Prefill takes 2 P / flops a token, decoding P × bits/8 / bandwidth; the parameters cancel.
    """
    return flops * bits / BYTE_BITS / (2 * bytes_s)


def speculative_tokens(acceptance: float, draft: float) -> float:
    """Expected tokens per pass of the large model: (1 − a^(γ+1)) / (1 − a) (Leviathan et al. 2023, eq. 1)."""
    if acceptance >= 1:
        return draft + 1
    return float((1 - acceptance ** (draft + 1)) / (1 - acceptance))


def speculative_speedup(acceptance: float, draft: float, draft_cost: float) -> float:
    """Speed-up where a draft token costs `draft_cost` passes: tokens / (γ c + 1) (Leviathan et al. 2023, th. 3.8)."""
    return speculative_tokens(acceptance, draft) / (draft * draft_cost + 1)

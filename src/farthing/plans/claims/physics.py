"""Checks against physics: memory, ceilings of compute and bandwidth, form factors, shapes, draft models."""

from fractions import Fraction

from farthing.plans.claims import bounds
from farthing.plans.claims.given import Given
from farthing.plans.claims.verdict import Finding, Span, Stated, Verdict, agree, below, number, percent, point, show
from farthing.serving.device import Device
from farthing.serving.shape import ModelShape

USUAL_BITS = (16, 8, 4)
GB = 10**9
ATTRIBUTES = {
    "memory-gb": "memory", "tdp-w": "tdp", "bandwidth-gb-s": "bandwidth", "bf16-tflops": "flops",
    "fp8-tflops": "flops", "fp4-tflops": "flops",
}  # fmt: skip


def _size(given: Given) -> tuple[ModelShape | None, Span]:
    """The model's shape where it is named, and its parameters."""
    if "model" in given.table:
        if "parameters" in given.table:
            given.fail("parameters", "state a model or its parameters, not both")
        shape = given.model()
        return shape, point(shape.parameters)
    return None, given.quantity("parameters")


def _device(given: Given, *figures: str) -> tuple[Device, int]:
    device = given.device()
    given.rely(*(device.source_of(figure) for figure in figures))
    return device, _count(given)


def _count(given: Given) -> int:
    return given.table.whole("count") or 1


def _name(device: Device, count: int) -> str:
    return f"{count} × {device.title}" if count > 1 else device.title


def _b(value: float) -> str:
    return number(Fraction(value))


def fits(given: Given) -> Finding:
    """Weights and KV cache fit the memory. Without `bits`, the widest of 16, 8 and 4 bits that does is found.

    `sequences` of `context` tokens each in a KV cache of `kv_bits` (16); `usable`: the share that engines use. What
    fits the memory and not that share is off by a factor: nothing is left for activations and contexts.
    """
    shape, parameters = _size(given)
    device, count = _device(given, "memory")
    asked, usable = given.perhaps("bits"), given.perhaps("usable")
    kv = _kv_bytes(given, shape)
    memory = device.memory_bytes * count * float(usable.high if usable else 1)
    tried = []
    for bits in (float(asked.low),) if asked else USUAL_BITS:
        need = bounds.weights_bytes(float(parameters.low), bits) + kv
        tried.append(f"{_b(float(parameters.low))} × {bits:g} bits" + (f" + {kv / GB:.3g} GB of KV" if kv else "")
                     + f" = {need / GB:.4g} GB")  # fmt: skip
        if need <= memory:
            text = f"{'; '.join(tried)} of {memory / GB:.4g} GB ({_name(device, count)})"
            note = f"only at {bits:g} bits or fewer" if len(tried) > 1 else ""
            return Finding(verdict=Verdict.HOLDS, computation=text, computed=point(need), note=note)
    whole = device.memory_bytes * count
    text = f"{'; '.join(tried)}, more than the {memory / GB:.4g} GB of {_name(device, count)}"
    if memory < whole:
        text += f" that an engine can use ({whole / GB:.4g} GB in all)"
    verdict = Verdict.OFF if need <= whole else Verdict.IMPOSSIBLE
    return Finding(verdict=verdict, computation=text, computed=point(need), factor=Fraction(need / memory), too="high")


def _kv_bytes(given: Given, shape: ModelShape | None) -> float:
    """Bytes of the KV cache of all sequences; 0 where no context is stated."""
    context = given.perhaps("context")
    sequences, bits = given.perhaps("sequences"), given.perhaps("kv_bits")
    if context is None:
        if sequences is not None or bits is not None:
            given.fail(None, "'context' is missing", "the KV cache needs the tokens of a sequence")
        return 0.0
    if shape is None:
        given.fail("context", "a KV cache needs a model's shape", "name a model instead of its parameters")
    each: float = shape.kv_values(float(context.low)) * float(bits.low if bits else 16) / bounds.BYTE_BITS
    return each * float(sequences.low if sequences else 1)


def throughput(given: Given) -> Finding:
    """Tokens a second (or in `seconds`) lie below the ceilings of operations and, for output, of bytes.

    `tokens`: "output" counts each token's step, "any" (input, or both) the operations alone. `batch` sequences
    decode together (without it bytes are no bound, for a batch may be as large as one likes). `practical`: the
    share of the ceiling that measurements reach at best.
    """
    stated = given.stated()
    seconds = given.perhaps("seconds")
    rate = stated.span if seconds is None else stated.span / seconds
    ceiling, text = _ceiling(given)
    return below(rate, ceiling, given.perhaps("practical"), text, _in_tokens_s(stated, seconds))


def _in_tokens_s(stated: Stated, seconds: Span | None) -> str:
    return "" if seconds is None else f"{show(stated.span)} tokens in {show(seconds)} s"


def _ceiling(given: Given) -> tuple[float, str]:
    """The lowest ceiling in tokens a second, and how it comes about."""
    tokens = given.choice("tokens", ("output", "any"))
    shape, parameters = _size(given)
    device, count = _device(given, "flops", "bandwidth")
    bits = given.perhaps("bits")
    width = float(bits.low) if bits else None
    name, flops = bounds.fastest_flops(device, width, given.maybe("format"))
    active = float(shape.active_parameters if shape else parameters.low)
    ceiling = bounds.compute_tokens_s(flops * count, active)
    text = f"{_b(flops * count)} {name} operations/s / (2 × {_b(active)}) = {_b(ceiling)} tokens/s"
    text += f" ({_name(device, count)})"
    batch = given.perhaps("batch")
    if tokens == "any" or batch is None:
        if batch is not None or "context" in given.table:
            given.fail("batch" if batch else "context", "only decoding output reads weights and KV for each step",
                       'write tokens = "output" and a batch')  # fmt: skip
        return ceiling, text
    if width is None:
        given.fail(None, "'bits' is missing", "bytes of weights need it: bits = 16")
    read = bounds.read_parameters(shape, float(batch.high)) if shape else float(parameters.low)
    read_bytes = bounds.weights_bytes(read, width)
    speed = device.bandwidth_bytes_s * count
    by_bytes = bounds.bandwidth_tokens_s(speed, read_bytes, _kv_bytes(given, shape), float(batch.high))
    if by_bytes < ceiling:
        each = f"{show(batch)} × " if batch.high > 1 else ""
        return by_bytes, (f"{each}{speed / GB:,.0f} GB/s / {read_bytes / GB:.3g} GB a step = {_b(by_bytes)} tokens/s "
                          f"({_name(device, count)})")  # fmt: skip
    return ceiling, text


def cost_floor(given: Given) -> Finding:
    """A cost per million tokens is at least $/h / (ceiling × 3600): what is cheaper is impossible at that rent."""
    stated, usd = given.stated(), given.quantity("usd_per_hour")
    if not stated.low:
        given.fail("stated", "'stated' is 0; a machine that costs something makes no token for nothing")
    ceiling, text = _ceiling(given)
    needed = Span(usd.low / stated.span.high * 10**6 / 3600, usd.high / stated.span.low * 10**6 / 3600)
    head = f"{show(usd)} $/h / {show(stated.span)} $/M = {show(needed)} tokens/s needed; "
    return below(needed, ceiling, given.perhaps("practical"), head + text)


def cost_ratio(given: Given) -> Finding:
    """An output token costs so many times an input token: plausible up to what decoding one sequence alone takes.

    That is with both at the device's rates; every further sequence of a batch divides it. `measured`: what real
    systems show, to compare with.
    """
    stated = given.stated()
    device, _ = _device(given, "flops", "bandwidth")
    bits, measured = given.quantity("bits"), given.perhaps("measured")
    name, flops = bounds.fastest_flops(device, float(bits.low), given.maybe("format"))
    largest = Fraction(bounds.largest_cost_ratio(flops, device.bandwidth_bytes_s, float(bits.high)))
    text = (f"{_b(flops)} {name} operations/s × {show(bits)}/8 B / (2 × {device.bandwidth_bytes_s / GB:,.0f} GB/s) "
            f"= {number(largest)}, decoding one sequence alone")  # fmt: skip
    if measured is not None:
        return agree(stated, measured, f"{text}; measured {show(measured)}")
    if stated.span.high <= largest:
        return Finding(verdict=Verdict.HOLDS, computation=text, computed=point(largest))
    return Finding(verdict=Verdict.OFF, computation=text, computed=point(largest), too="high",
                   factor=stated.span.high / largest)  # fmt: skip


def device(given: Given) -> Finding:
    """A figure of a device. Several form factors may be meant: it holds if it is one's, and says whose."""
    stated, what = given.stated(), given.choice("what", tuple(ATTRIBUTES))
    found = []
    for one in given.devices():
        given.rely(one.source_of(ATTRIBUTES[what]))
        values = attribute(one, what)
        if not values:
            given.fail("what", f"{one.title} has no {what} of its own")
        findings = [agree(stated, point(value), f"{one.title} {number(Fraction(value))}") for value in values]
        found.append(min(findings, key=lambda f: (f.verdict is not Verdict.HOLDS, f.factor or 0)))
    best = min(found, key=lambda f: (f.verdict is not Verdict.HOLDS, f.factor or 0))
    text = ", ".join(f.computation for f in found)
    holding = [f for f in found if f.verdict is Verdict.HOLDS]
    note = f"true of {', '.join(f.computation for f in holding)} only" if 0 < len(holding) < len(found) else ""
    return Finding(verdict=best.verdict, computation=text, computed=best.computed, factor=best.factor, too=best.too,
                   note=note)  # fmt: skip


def attribute(one: Device, what: str) -> list[float]:
    """The device's figure; memory in GB and in GiB, for both are called GB."""
    if what == "memory-gb":
        return [one.memory_bytes / 2**30, one.memory_bytes / GB]
    if what == "tdp-w":
        return [one.tdp_w]
    if what == "bandwidth-gb-s":
        return [one.bandwidth_bytes_s / GB]
    name = what.removesuffix("-tflops")
    return [one.flops[name] / 1e12] if name in one.flops else []


def parameters(given: Given) -> Finding:
    """Billions of parameters of a model, in total or active, as its shape gives them.

    Makers count the active ones with or without the embedding's table: both hold.
    """
    stated, which = given.stated(), given.choice("which", ("total", "active"))
    shape = given.model()
    name = shape.title or shape.id
    if which == "total":
        return agree(stated, point(Fraction(shape.parameters, 10**9)), f"{name}: {shape.parameters / 1e9:.1f} B")
    bare = shape.active_parameters - (0 if shape.tied else shape.head_parameters)
    found = Span(Fraction(bare, 10**9), Fraction(shape.active_parameters, 10**9))
    text = f"{name}: {bare / 1e9:.1f} B active, {shape.active_parameters / 1e9:.1f} B with the embedding's table"
    return agree(stated, found, text)


def offload(given: Given) -> Finding:
    """Per cent of the weights that do not fit the device: 1 − usable memory / weights."""
    stated = given.stated()
    _, size = _size(given)
    card, count = _device(given, "memory")
    bits, usable = given.quantity("bits"), given.perhaps("usable") or point(1)
    weights = bounds.weights_bytes(float(size.low), float(bits.low))
    memory = card.memory_bytes * count
    left = Span(max(Fraction(0), 1 - Fraction(memory / weights) * usable.high), max(
        Fraction(0), 1 - Fraction(memory / weights) * usable.low))  # fmt: skip
    found = Span(left.low * 100, left.high * 100)
    text = (f"{_b(float(size.low))} × {show(bits)} bits = {weights / GB:.3g} GB; 1 − {show(usable)} × "
            f"{memory / GB:.3g} / {weights / GB:.3g} = {show(found)} %")  # fmt: skip
    return agree(stated, found, text)


def offload_speed(given: Given) -> Finding:
    """Tokens a second where what does not fit the device stays in the host's memory and is computed there.

    A single user waits for every byte: 1 / (inside / device bandwidth + outside / `host_gb_s`). Batched, the
    host's operations bound it: `host_tflops` / (2 × the parameters that stay outside); and so do its bytes: with
    `context` tokens a sequence, as many sequences as device and `host_gb` of memory hold wait for both to be read.
    """
    stated = given.stated()
    shape, size = _size(given)
    card, _ = _device(given, "memory", "bandwidth")
    bits, usable = given.quantity("bits"), given.perhaps("usable") or point(1)
    weights = bounds.weights_bytes(float(size.low), float(bits.low))
    inside = min(weights, card.memory_bytes * float(usable.high))
    outside = weights - inside
    head = f"{outside / GB:.3g} of {weights / GB:.3g} GB stay in host memory; "
    if "host_tflops" in given.table:
        flops = float(given.quantity("host_tflops").high) * 1e12
        behind = float(size.low) * outside / weights
        ceiling = bounds.compute_tokens_s(flops, behind) if behind else float("1e30")
        return below(
            stated.span, ceiling, None, f"{head}{_b(flops)} operations/s / (2 × {_b(behind)}) = {_b(ceiling)} tokens/s"
        )
    host = given.quantity("host_gb_s")
    if "context" in given.table:
        each = _kv_bytes(given, shape)
        room = float(given.quantity("host_gb").high) * GB
        batch = (inside + room - weights) / each
        if batch < 1:
            given.fail("host_gb", "the host's memory holds not even the weights that stay outside")
        step_s = inside / card.bandwidth_bytes_s + room / (float(host.high) * GB)
        text = (f"{inside / GB:.3g} + {room / GB:.3g} GB hold {batch:.0f} sequences beside the weights; {batch:.0f} / "
                f"({inside / GB:.3g} GB / {card.bandwidth_bytes_s / GB:,.0f} GB/s + {room / GB:.3g} GB / "
                f"{number(host.high)} GB/s) = {batch / step_s:.3g} tokens/s")  # fmt: skip
        return below(stated.span, batch / step_s, None, text)
    step_s = inside / card.bandwidth_bytes_s + outside / (float(host.high) * GB)
    text = (f"{head}1 / ({inside / GB:.3g} GB / {card.bandwidth_bytes_s / GB:,.0f} GB/s + {outside / GB:.3g} GB / "
            f"{number(host.high)} GB/s) = {1 / step_s:.3g} tokens/s")  # fmt: skip
    return below(stated.span, 1 / step_s, None, text)


def speculation(given: Given) -> Finding:
    """The speed-up (with `draft_cost` 0: the fewer passes) of speculative decoding: (1 − a^(γ+1)) / ((1 − a)(γ c + 1)).

    More than γ + 1 tokens a pass are impossible.
    """
    stated = given.stated()
    rate, draft = given.quantity("acceptance"), given.quantity("draft")
    if rate.high > 1:
        given.fail("acceptance", f"{show(rate)} is more than 1")
    cost = given.perhaps("draft_cost") or point(0)
    most = draft.high + 1
    if stated.span.high > most:
        text = f"a pass that verifies {show(draft)} tokens gives {number(most)} at most"
        return Finding(verdict=Verdict.IMPOSSIBLE, factor=stated.span.high / most, too="high", computed=point(most),
                       computation=text)  # fmt: skip
    found = Span(
        Fraction(bounds.speculative_speedup(float(rate.low), float(draft.low), float(cost.high))),
        Fraction(bounds.speculative_speedup(float(rate.high), float(draft.high), float(cost.low))),
    )
    head = f"(1 − a^{number(most)}) / ((1 − a)({show(draft)} × {show(cost)} + 1))"
    text = f"{head} at a = {show(rate)}: {show(found)}; at most {number(most)}"
    return agree(stated, found, text)


def context_cost(given: Given) -> Finding:
    """How many times the operations of prefill grow from a prompt of `short` tokens to one of `long`.

    2 P a token and the attention's operations for each pair of tokens, n²/2 of them (causal).
    """
    stated, shape = given.stated(), given.model()
    short, long = given.quantity("short"), given.quantity("long")
    pair = sum(block.layers * block.prefill_flops_per_pair for block in shape.attention)

    def work(tokens: float) -> float:
        return 2 * shape.active_parameters * tokens + pair * tokens**2 / 2

    found = point(work(float(long.low)) / work(float(short.low)))
    share = percent(point(pair * float(long.low) ** 2 / 2), Fraction(work(float(long.low))))
    text = f"operations of {show(long)} tokens / of {show(short)} = {show(found)}; {share} of the long one is attention"
    return agree(stated, found, text)


CHECKS = {
    "fits": fits, "throughput": throughput, "cost-floor": cost_floor, "cost-ratio": cost_ratio, "device": device,
    "parameters": parameters, "offload": offload, "offload-speed": offload_speed, "speculation": speculation,
    "context-cost": context_cost,
}  # fmt: skip

"""What a span says, from a finished ledger row, and where it stands in a trace. Pure.

Names are those of OpenTelemetry's `gen_ai.*` conventions (in development; as of November 2026). Never content: no
prompts, no answers, no users' names. Ids come from the ledger's ids, so that a row leads to its span.
"""

import re
from collections.abc import Mapping
from fractions import Fraction
from hashlib import blake2b
from typing import NamedTuple

from farthing.ledger.row import Attempt
from farthing.units import CACHE_READS, CACHE_WRITES, METERS, PROMPT_METERS

Value = str | bool | int | float

_PARENT = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_OPERATIONS = {"completions": "text_completion", "embeddings": "embeddings", "messages/count_tokens": "count_tokens"}
# The price book's ids that the conventions (gen_ai.provider.name, well-known values) write otherwise.
_PROVIDERS = {
    "aws": "aws.bedrock", "azure": "azure.ai.openai", "google": "gcp.gemini", "mistral": "mistral_ai",
    "moonshotai": "moonshot_ai", "x-ai": "x_ai",
}  # fmt: skip
_OUTPUT_METERS = tuple(
    name for name, one in METERS.items() if one.unit == "token" and one.direction == "output" and not one.part_of
)
_USAGE = (
    ("gen_ai.usage.input_tokens", PROMPT_METERS),
    ("gen_ai.usage.output_tokens", _OUTPUT_METERS),
    ("gen_ai.usage.cache_read.input_tokens", CACHE_READS),
    ("gen_ai.usage.cache_write.input_tokens", CACHE_WRITES),
    ("gen_ai.usage.reasoning.output_tokens", ("reasoning",)),
    *(
        (f"gen_ai.usage.{modality}.{side}_tokens", tuple(name for name in names if METERS[name].modality == modality))
        for modality in ("audio", "image")
        for side, names in (("input", PROMPT_METERS), ("output", _OUTPUT_METERS))
    ),
)
_WHOLE = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens")


class Trace(NamedTuple):
    """Where a request stands in a trace. `parent`: the client's span, 0 where there is none. `state`: tracestate."""

    trace: int
    span: int
    parent: int
    state: str = ""

    def header(self, attempt: str) -> str:
        """`traceparent` for an upstream, naming the span that the attempt of this id will have."""
        return f"00-{self.trace:032x}-{span_id(attempt):016x}-01"


def span_id(name: str) -> int:
    """The span of the request or attempt with this id."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest()) or 1


def trace_of(request: str, traceparent: str = "", tracestate: str = "", ratio: float = 1.0) -> Trace | None:
    """The trace of a request; None where it is not to be recorded.

    A client that sends a valid `traceparent` decides (its sampled flag); of the others `ratio` are recorded. Source:
    W3C Trace Context (an invalid header is as none; of a later version its first fields are read).
    """
    found = _PARENT.fullmatch(traceparent.strip())
    if found is not None and (found[1] != "00" or not found[5]):
        trace, parent, flags = int(found[2], 16), int(found[3], 16), int(found[4], 16)
        if trace and parent:
            return Trace(trace, span_id(request), parent, tracestate[:512]) if flags & 1 else None
    made = int.from_bytes(blake2b(request.encode(), digest_size=16, person=b"trace").digest()) or 1
    return Trace(made, span_id(request), 0) if (made & (2**64 - 1)) < ratio * 2**64 else None


def attributes(attempt: Attempt, address: str = "", port: int | None = None) -> dict[str, Value]:
    """What a span of a finished attempt says. `address`, `port`: its upstream's."""
    made: dict[str, Value] = {
        "gen_ai.operation.name": _OPERATIONS.get(attempt.surface, "chat"),
        "gen_ai.provider.name": _PROVIDERS.get(attempt.provider, attempt.provider or attempt.upstream),
        "farthing.request.id": attempt.request,
        "farthing.attempt.id": attempt.attempt,
        "farthing.attempt.number": attempt.number,
        "farthing.attempt.state": attempt.state,
        "farthing.upstream": attempt.upstream,
    }
    for name, text in (
        ("gen_ai.request.model", attempt.model_asked),
        ("gen_ai.response.model", attempt.model_served),
        ("gen_ai.response.id", getattr(attempt, "answer", "")),
        ("gen_ai.conversation.id", attempt.session),
        ("server.address", address),
        ("farthing.key", attempt.key),
        ("farthing.feature", attempt.feature),
        ("farthing.request_type", attempt.request_type),
        ("farthing.segment", attempt.segment),
        ("farthing.tier", attempt.tier_served),
        ("farthing.region", attempt.region),
        ("farthing.price", attempt.price),
        ("farthing.cost.unknown", attempt.unknown if attempt.usd is None else ""),
        ("error.type", attempt.error or (_failure(attempt) if attempt.state in ("failed", "lost") else "")),
    ):
        if text:
            made[name] = text
    if address and port:
        made["server.port"] = port
    if attempt.status is not None:
        made["http.response.status_code"] = attempt.status
    if attempt.streamed:
        made["gen_ai.request.stream"] = True
        if attempt.first_us is not None:
            made["gen_ai.response.time_to_first_chunk"] = (attempt.first_us - attempt.started_us) / 1e6
    made.update(_usage(attempt.quantities))
    if attempt.usd is not None:
        made["farthing.cost.usd"] = float(Fraction(attempt.usd))
    if attempt.reported_usd is not None:
        made["farthing.cost.reported_usd"] = float(Fraction(attempt.reported_usd))
    if attempt.estimated:
        made["farthing.usage.estimated"] = True
    return made


def _failure(attempt: Attempt) -> str:
    return str(attempt.status) if attempt.status is not None else attempt.state


def _usage(quantities: Mapping[str, int]) -> dict[str, Value]:
    """Tokens as the conventions count them: input holds what was cached, output what was reasoning."""
    if not quantities:
        return {}
    made: dict[str, Value] = {}
    for name, meters in _USAGE:
        tokens = sum(quantities.get(meter, 0) for meter in meters)
        if tokens or (name in _WHOLE and any(meter in quantities for meter in meters)):
            made[name] = tokens
    if written := made.get("gen_ai.usage.cache_write.input_tokens"):
        made["gen_ai.usage.cache_creation.input_tokens"] = written  # its name until August 2026, which many read
    return made

"""What a run comes to: statistics of its requests, goodput under an SLO, errors, and a `Measurement` of it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from farthing.serving.live.exchange import Reply
from farthing.serving.live.loops import Run
from farthing.serving.measured import own
from farthing.serving.measured.measurement import Latency, Measurement, common_statistic

_SHARES = (90.0, 95.0, 99.0)
_CLIENT_BUSY = 0.7
_CACHED = 0.05
_ROUNDS = 3


class Slo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a good request meets, in ms; None: no limit."""

    ttft_ms: float | None = None
    tpot_ms: float | None = None
    e2e_ms: float | None = None

    def met(self, reply: Reply) -> bool:
        """Whether a successful `reply` meets all limits (a single token has no TPOT to miss)."""
        pairs = ((self.ttft_ms, reply.ttft_s), (self.tpot_ms, reply.tpot_s), (self.e2e_ms, reply.e2e_s))
        return not any(limit is not None and took is not None and took * 1000 > limit for limit, took in pairs)


class BenchResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One measured point. `measurement` is what calibration takes; the rest tells how it came about.

    `good_share`: of the requests sent, those that met the SLO. `client_cpu`: of one core, what this program's
    own loop used. `late_ms`: how late requests were sent in an open loop (p99).
    """

    url: str
    api: str
    measurement: Measurement
    errors: dict[str, int] = {}
    example: str = ""
    slo: Slo | None = None
    good_share: float | None = None
    interrupted: bool = False
    client_cpu: float = 0.0
    late_ms: float | None = None
    settings: dict[str, Any] = {}
    replies: tuple[Reply, ...] = ()


def spread(values_s: Iterable[float]) -> Latency | None:
    """The statistics of `values_s` (seconds) in ms; percentiles interpolate linearly; None for no value."""
    ranked = sorted(values_s)
    if not ranked:
        return None
    mean = sum(ranked) / len(ranked)
    deviation = (sum((value - mean) ** 2 for value in ranked) / len(ranked)) ** 0.5
    return Latency(
        mean=mean * 1000, median=_at(ranked, 50.0) * 1000, std=deviation * 1000, min=ranked[0] * 1000,
        max=ranked[-1] * 1000, percentiles={f"p{share:g}": _at(ranked, share) * 1000 for share in _SHARES},
    )  # fmt: skip


def _at(ranked: Sequence[float], share: float) -> float:
    position = (len(ranked) - 1) * share / 100
    low = int(position)
    high = min(low + 1, len(ranked) - 1)
    return ranked[low] + (ranked[high] - ranked[low]) * (position - low)


def summarised(
    run: Run, *, url: str, api: str, about: Mapping[str, Any], settings: Mapping[str, Any], slo: Slo | None,
    busy_s: float, detailed: bool, notes: Iterable[str] = (),
) -> BenchResult:  # fmt: skip
    """The result of `run`. `about`: fields of `Measurement` that the run does not know itself."""
    good = [reply for reply in run.replies if not reply.error]
    duration = max(run.ended_s - run.begun_s, 1e-9)
    ttft, tpot, e2e = (_of(good, name) for name in ("ttft_s", "tpot_s", "e2e_s"))
    said, doubts = list(notes), []
    output = sum(reply.tokens for reply in good)
    counted = [reply.input_tokens for reply in good if reply.input_tokens is not None]
    cached = sum(reply.cached_tokens or 0 for reply in good)
    client = busy_s / duration
    if client > _CLIENT_BUSY:
        doubts.append(f"this program itself used {client:.0%} of a core: it may be what was measured")
    if counted and cached > _CACHED * sum(counted):
        said.append(f"{cached / sum(counted):.0%} of the prompt tokens came from the server's cache")
    if len(good) < _ROUNDS * (about.get("concurrency") or 0):
        said.append("few requests a slot: the throughput counts filling and emptying the slots")
    if run.interrupted:
        said.append("interrupted: what was measured until then")
    met = sum(1 for reply in good if slo.met(reply)) if slo else None
    measurement = Measurement(
        format=own.NAME, source="", statistic=common_statistic(ttft, tpot, e2e), requests=len(good) or None,
        failed=len(run.replies) - len(good) or None, duration_s=duration,
        input_tokens=sum(counted) / len(counted) if counted else None,
        output_tokens=output / len(good) if good else None,
        observed_concurrency=sum(reply.e2e_s or 0.0 for reply in good) / duration or None,
        ttft_ms=ttft, tpot_ms=tpot, itl_ms=spread(run.gaps), e2e_ms=e2e,
        output_tokens_per_s=output / duration or None, input_tokens_per_s=sum(counted) / duration or None,
        requests_per_s=len(good) / duration or None,
        goodput_requests_per_s=None if met is None else met / duration,
        prefix_hit=cached / sum(counted) if counted and any(r.cached_tokens is not None for r in good) else None,
        notes=tuple(said), doubts=tuple(doubts), **about,
    )  # fmt: skip
    bad = [reply for reply in run.replies if reply.error]
    late = sorted((reply.sent_s - reply.start_s) * 1000 for reply in run.replies)
    return BenchResult(
        url=url, api=api, measurement=measurement, errors=dict(Counter(reply.error for reply in bad).most_common()),
        example=next((reply.detail for reply in bad if reply.detail), ""), slo=slo,
        good_share=met / len(run.replies) if met is not None and run.replies else None, interrupted=run.interrupted,
        client_cpu=client, late_ms=_at(late, 99.0) if late and about.get("request_rate") else None,
        settings=dict(settings), replies=tuple(_relative(run)) if detailed else (),
    )  # fmt: skip


def _of(good: Iterable[Reply], name: str) -> Latency | None:
    return spread(took for reply in good if (took := getattr(reply, name)) is not None)


def _relative(run: Run) -> Iterable[Reply]:
    """The replies with times from the start of the run, in the order of their numbers."""
    for reply in sorted(run.replies, key=lambda reply: reply.index):
        moved = {
            name: None if (at := getattr(reply, name)) is None else at - run.begun_s
            for name in ("start_s", "sent_s", "first_s", "last_s")
        }
        yield msgspec.structs.replace(reply, **moved)


def write_results(out: Path, results: Iterable[BenchResult]) -> None:
    """Write `results` as a file that `read_measurements` reads back. Raises `FarthingError`."""
    kept = list(results)
    own.write(out, [result.measurement for result in kept], {"bench": [_bare(result) for result in kept]})


def _bare(result: BenchResult) -> dict[str, Any]:
    tree: dict[str, Any] = msgspec.to_builtins(result)
    del tree["measurement"]
    return tree

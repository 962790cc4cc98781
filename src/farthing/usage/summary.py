"""What a pile of usage holds: one pass over the records, in memory that does not grow with them.

Exact are all counts and sums. Two things would need the whole pile in memory to be exact and are
bounded instead, each saying so in its result: quantiles over more than 20,000 distinct lengths
(within 0.5 %), and the number of distinct sessions beyond 65,536 (standard error 0.4 %). The prefix
ceilings keep one entry a distinct block (or `cache_blocks` of them).
"""

import heapq
import math
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from fractions import Fraction
from hashlib import blake2b

import msgspec

from farthing.money import ZERO, decimal_text
from farthing.problems import Problem, Problems
from farthing.units import METERS, PROMPT_METERS, TOKEN_METERS
from farthing.usage.prefix import Ceiling, PrefixCache
from farthing.usage.record import Usage

UNKNOWN = "unknown"
QUANTILES = {"p50": Fraction(50, 100), "p90": Fraction(90, 100), "p95": Fraction(95, 100), "p99": Fraction(99, 100)}
_PROMPT = frozenset(PROMPT_METERS)
_OUTPUT = frozenset(name for name in TOKEN_METERS if METERS[name].direction == "output")


class Lengths(msgspec.Struct, frozen=True, kw_only=True):
    """The distribution of a length in tokens over `count` requests.

    A quantile is the nearest rank: the least length that at least p of the requests do not exceed.
    `quantile_error` is its largest relative error, "0" where quantiles are exact. Count, total, mean,
    min and max are always exact; of no requests, all but count and total are None.
    """

    count: int
    total: int
    mean: Fraction | None
    min: int | None
    max: int | None
    p50: int | None
    p90: int | None
    p95: int | None
    p99: int | None
    quantile_error: str


class LengthCounter:
    """Accumulates lengths: an exact count a distinct value up to `distinct`, then logarithmic buckets.

    A bucket holds (g**(i-1), g**i] with g = (1+a)/(1-a) and stands for 2 g**i/(g+1), which is within
    a = 0.5 % of everything in it (DDSketch, Masson, Rim and Lee, VLDB 2019, section 2.1).
    """

    ERROR = "0.005"
    _A = float(ERROR)
    _G = (1 + _A) / (1 - _A)
    _LOG_G = math.log(_G)

    def __init__(self, distinct: int = 20_000) -> None:
        self.distinct = distinct
        self.exact = True
        self.count = 0
        self.total = 0
        self.low: int | None = None
        self.high: int | None = None
        self._counts: dict[int, int] = {}  # by length while exact, then by bucket; -1 is the bucket of 0

    def add(self, length: int, times: int = 1) -> None:
        """Count `length` (a whole number >= 0) `times` times."""
        self.count += times
        self.total += length * times
        if self.low is None or length < self.low:
            self.low = length
        if self.high is None or length > self.high:
            self.high = length
        key = length if self.exact else self._bucket(length)
        self._counts[key] = self._counts.get(key, 0) + times
        if self.exact and len(self._counts) > self.distinct:
            counts, self._counts, self.exact = self._counts, {}, False
            for value, count in counts.items():
                key = self._bucket(value)
                self._counts[key] = self._counts.get(key, 0) + count

    def _bucket(self, length: int) -> int:
        return -1 if length == 0 else math.ceil(math.log(length) / self._LOG_G)

    def _value(self, key: int) -> int:
        if self.exact:
            return key
        middle = 0 if key < 0 else round(2 * self._G**key / (self._G + 1))
        return min(max(middle, self.low or 0), self.high or 0)

    def quantile(self, p: Fraction) -> int | None:
        """The nearest-rank quantile, exact or within `ERROR`; None of nothing."""
        rank = max(1, math.ceil(p * self.count))
        below = 0
        for key in sorted(self._counts):
            below += self._counts[key]
            if below >= rank:
                return self._value(key)
        return None

    def result(self) -> Lengths:
        """The distribution so far."""
        return Lengths(
            count=self.count,
            total=self.total,
            mean=Fraction(self.total, self.count) if self.count else None,
            min=self.low,
            max=self.high,
            quantile_error="0" if self.exact else self.ERROR,
            **{name: self.quantile(p) for name, p in QUANTILES.items()},
        )


class DistinctCounter:
    """Counts distinct names: exactly up to `keep`, beyond that by the `keep` smallest hashes.

    The estimate is (k-1)/U for the k-th smallest of hashes spread evenly over (0, 1), U; its standard
    error is 1/sqrt(k-2) (Beyer et al., SIGMOD 2007, "On synopses for distinct-value estimation").
    """

    _RANGE = 1 << 64

    def __init__(self, keep: int = 65_536) -> None:
        self.keep = keep
        self.exact = True
        self._held: set[int] = set()
        self._largest: list[int] = []  # a heap of negated hashes

    def add(self, name: str) -> None:
        """Count `name`; a repeated name does not count again."""
        key = int.from_bytes(blake2b(name.encode(), digest_size=8).digest())
        if key in self._held:
            return
        if len(self._held) < self.keep:
            self._held.add(key)
            heapq.heappush(self._largest, -key)
            return
        self.exact = False
        if key < -self._largest[0]:
            self._held.discard(-heapq.heappushpop(self._largest, -key))
            self._held.add(key)

    def result(self) -> int:
        """The number of distinct names; estimated where `exact` is false."""
        if self.exact:
            return len(self._held)
        return (self.keep - 1) * self._RANGE // -self._largest[0]


class Slice(msgspec.Struct, kw_only=True):
    """One part of the usage: its requests and the tokens that they read and generated."""

    requests: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What the records hold. `to_json` gives the documented JSON form: these names, in this order.

    rows: records read. requests: requests that they stand for (a bucket is one row of many).
    quantities: meter name to its total in whole 1/scale units (tokens; see `farthing.units`);
    `reasoning` is a part of `output`. prompt_tokens, output_tokens: sums over those directions.
    clock: "absolute", "relative" (offsets from an unstated start), "mixed" or "none"; first, last:
    the earliest and latest start of a request, None when mixed or none. span_s is between them,
    requests_per_second is requests / span_s. out_of_order: rows that start before the row above.
    by_offer ("provider/model"), by_provider, by_tier, by_status: `Slice`s, most requests first;
    "unknown" where the record does not say. sessions: distinct session names, exact if so marked.
    prompt, output: lengths over rows that are one request and have tokens; buckets: rows that are
    several requests; without_tokens: rows of one request with no token at all (neither is in them).
    unmeasured: rows of which nobody knows what they consumed, by reason: all counts are lower bounds then.
    estimated: rows whose own source calls them incomplete. reported_rows, reported_usd: what
    sources said that it cost (None: none said). prefix: ceilings where hashes exist.
    rejected, reasons, problems: input that was refused: how much, why, and the first of it in full.
    notes: how the input was read, where there is something to know.
    """

    rows: int
    requests: int
    quantities: dict[str, int]
    prompt_tokens: int
    output_tokens: int
    clock: str
    first: datetime | None
    last: datetime | None
    span_s: float | None
    requests_per_second: float | None
    out_of_order: int
    by_offer: dict[str, Slice]
    by_provider: dict[str, Slice]
    by_tier: dict[str, Slice]
    by_status: dict[str, Slice]
    sessions: int
    sessions_exact: bool
    prompt: Lengths
    output: Lengths
    buckets: int
    without_tokens: int
    unmeasured: dict[str, int]
    estimated: int
    reported_rows: int
    reported_usd: Fraction | None
    prefix: list[Ceiling]
    rejected: int
    reasons: dict[str, int]
    problems: list[Problem]
    notes: list[str]

    def to_json(self) -> dict[str, object]:
        """Plain JSON values: dollars as decimal text, instants as ISO 8601, means and shares as numbers."""
        plain: dict[str, object] = msgspec.to_builtins(self, enc_hook=float)
        plain["reported_usd"] = None if self.reported_usd is None else decimal_text(self.reported_usd)
        return plain


def summarise(records: Iterable[Usage], problems: Problems, cache_blocks: int | None = None) -> Summary:
    """`records` in one pass; `problems` is read at the end, when its reader has filled it.

    `cache_blocks` adds the prefix ceiling of a cache of that many blocks (LRU) to the unlimited one.
    """
    rows = requests = prompt_tokens = output_tokens = relative = out_of_order = 0
    buckets = without_tokens = estimated = reported_rows = 0
    reported = ZERO
    first: datetime | None = None
    last: datetime | None = None
    before: datetime | None = None
    quantities: dict[str, int] = {}
    by: tuple[dict[str, Slice], ...] = ({}, {}, {}, {})
    unmeasured: Counter[str] = Counter()
    sessions, prompts, outputs = DistinctCounter(), LengthCounter(), LengthCounter()
    caches = [PrefixCache()] if cache_blocks is None else [PrefixCache(), PrefixCache(cache_blocks)]

    for usage in records:
        rows += 1
        count = usage.requests
        requests += count
        prompt = output = 0
        for name, quantity in usage.quantities.items():
            quantities[name] = quantities.get(name, 0) + quantity
            if name in _PROMPT:
                prompt += quantity
            elif name in _OUTPUT:
                output += quantity
        prompt_tokens += prompt
        output_tokens += output
        if usage.unmeasured:
            unmeasured[usage.unmeasured] += 1
        elif count != 1:
            buckets += 1
        elif prompt or output:
            prompts.add(prompt)
            outputs.add(output)
        else:
            without_tokens += 1

        at = usage.at
        relative += usage.relative
        if first is None or last is None:
            first = last = at
        elif at < first:
            first = at
        elif at > last:
            last = at
        if before is not None and at < before:
            out_of_order += 1
        before = at

        keys = (usage.offer or UNKNOWN, usage.provider or UNKNOWN, usage.tier, usage.status)
        for slices, key in zip(by, keys, strict=True):
            part = slices.get(key)
            if part is None:
                part = slices[key] = Slice()
            part.requests += count
            part.prompt_tokens += prompt
            part.output_tokens += output

        if usage.session is not None:
            sessions.add(usage.session)
        estimated += usage.estimated
        if usage.reported_usd is not None:
            reported_rows += 1
            reported += usage.reported_usd
        if usage.prefix_hashes:
            for cache in caches:
                cache.add(usage)

    clock = "none" if not rows else "absolute" if not relative else "relative" if relative == rows else "mixed"
    if clock == "mixed":
        first = last = None  # an instant and an offset cannot be compared
    span_s = (last - first).total_seconds() if first and last else None
    ceilings = [cache.ceiling() for cache in caches]
    by_offer, by_provider, by_tier, by_status = (
        dict(sorted(slices.items(), key=lambda item: (-item[1].requests, item[0]))) for slices in by
    )
    return Summary(
        rows=rows,
        requests=requests,
        quantities={name: quantities[name] for name in METERS if name in quantities},
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        clock=clock,
        first=first,
        last=last,
        span_s=span_s,
        requests_per_second=requests / span_s if span_s else None,
        out_of_order=out_of_order,
        by_offer=by_offer,
        by_provider=by_provider,
        by_tier=by_tier,
        by_status=by_status,
        sessions=sessions.result(),
        sessions_exact=sessions.exact,
        prompt=prompts.result(),
        output=outputs.result(),
        buckets=buckets,
        without_tokens=without_tokens,
        unmeasured=dict(sorted(unmeasured.items(), key=lambda one: (-one[1], one[0]))),
        estimated=estimated,
        reported_rows=reported_rows,
        reported_usd=reported if reported_rows else None,
        prefix=[ceiling for ceiling in ceilings if ceiling.requests],
        rejected=problems.total,
        reasons=dict(problems.reasons.most_common()),
        problems=list(problems.kept),
        notes=list(problems.notes),
    )

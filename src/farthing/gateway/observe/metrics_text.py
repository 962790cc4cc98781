"""The text that Prometheus reads (exposition format 0.0.4), from snapshots of workers."""

from collections.abc import Callable, Iterable, Sequence

from farthing import __version__
from farthing.gateway.observe.metrics_store import BOUNDS_S, Labels, Series, Snapshot
from farthing.units import METERS

COUNTERS: dict[str, tuple[str, str]] = {
    "refusals": ("Requests that the gateway refused itself, by what it told the client", "reason"),
    "limit_refusals": ("Requests refused by a rate or concurrency limit", "what"),
    "budget_refusals": ("Requests refused by a budget", "why"),
    "retries": ("Attempts that repeated a failed one at the same target", "upstream"),
    "fallbacks": ("Attempts at another target, after one that failed (the upstream that was tried next)", "upstream"),
    "drains": ("Streams read on after their client had left, by how that ended", "outcome"),
    "bank": ("What budgets asked of the shared ledger", "event"),
    "spans": ("OpenTelemetry spans, by what became of them", "outcome"),
    "reloads": ("Configurations read anew", "outcome"),
    "cpu_seconds": ("Processor time of the workers", ""),
    "snapshot_failures": ("Snapshots of metrics that could not be written", ""),
}
"""Events: what each is, and the name of its label."""

GAUGES: dict[str, tuple[str, str, Callable[[Iterable[float]], float]]] = {
    "in_flight": ("Requests being served", "", sum),
    "upstream_in_flight": ("Attempts being served by an upstream", "upstream", sum),
    "breaker_open": ("Whether a worker's circuit breaker holds requests back from an upstream", "upstream", max),
    "draining": ("Whether a worker is stopping", "", max),
    "ledger_waiting_rows": ("Ledger rows that are not in the database yet", "", sum),
    "ledger_spilled_rows": ("Ledger rows in journals", "", sum),
    "ledger_failing_seconds": ("For how long the ledger's database has refused rows", "", max),
    "ledger_ok": ("Whether every worker's ledger takes rows", "", min),
    "resident_memory_bytes": ("Resident memory of all workers (pages that they share count for each)", "", sum),
}
"""How things are: what, the name of its label, and how workers' values become one."""


def render(retired: Snapshot, living: Sequence[Snapshot]) -> str:
    """The metrics of all workers, as text."""
    out: list[str] = []
    _family(
        out, "farthing_info", "gauge", "The version that answers", [(f'{{version="{_escaped(__version__)}"}}', "1")]
    )
    _family(out, "farthing_workers", "gauge", "Workers that live", [("", str(len(living)))])
    whole = Snapshot()
    for snapshot in (retired, *living):
        whole.add(snapshot)
    _attempts(out, whole.series)
    _models(out, whole.series)
    errors = [(_labels(upstream=at, error=code), str(count)) for (at, code), count in sorted(whole.errors.items())]
    _family(out, "farthing_errors_total", "counter", "Attempts that ended in an error, by its code", errors)
    for name, (what, label) in COUNTERS.items():
        found = sorted((value, count) for (event, value), count in whole.counters.items() if event == name)
        rows = [(_labels(**{label: value}) if label else "", _number(count)) for value, count in found]
        _family(out, f"farthing_{name}_total", "counter", what, rows)
    for name, (what, label, merge) in GAUGES.items():
        values: dict[str, list[float]] = {}
        for snapshot in living:
            for (event, value), number in snapshot.gauges.items():
                if event == name:
                    values.setdefault(value, []).append(number)
        rows = [
            (_labels(**{label: value}) if label else "", _number(merge(found)))
            for value, found in sorted(values.items())
        ]
        _family(out, f"farthing_{name}", "gauge", what, rows)
    return "\n".join(out) + "\n"


def _attempts(out: list[str], series: dict[Labels, Series]) -> None:
    rows = [
        (_labels(upstream=at.upstream, model=at.model, state=at.state, status=at.status), str(one.attempts))
        for at, one in sorted(series.items())
    ]
    _family(out, "farthing_attempts_total", "counter", "Attempts that ended, by how", rows)


_SIMPLE: tuple[tuple[str, str, Callable[[Series], int]], ...] = (
    ("requests", "Requests, counted where their first attempt was", lambda one: one.requests),
    ("streams", "Attempts that were to be answered in a stream", lambda one: one.streams),
    ("estimated", "Attempts whose usage is not, or not all, what the provider stated", lambda one: one.estimated),
    ("reported", "Attempts for which the provider states a charge of its own", lambda one: one.reported),
    ("drifted", "Of these, attempts where it differs from ours by more than 1 %", lambda one: one.drifted),
)
_MONEY: tuple[tuple[str, str, Callable[[Series], int]], ...] = (
    ("cost_usd", "Known charges; attempts with unknown ones are in no sum", lambda one: one.usd),
    ("reported_cost_usd", "What providers state as their charge", lambda one: one.reported_usd),
    ("reported_cost_ours_usd", "Our charges of the same attempts", lambda one: one.ours_usd),
)


def _models(out: list[str], series: dict[Labels, Series]) -> None:
    """What is counted by upstream and model alone."""
    sums: dict[tuple[str, str], Series] = {}
    for labels, one in series.items():
        sums.setdefault((labels.upstream, labels.model), Series()).add(one)
    by = [
        (f'upstream="{_escaped(upstream)}",model="{_escaped(model)}"', one)
        for (upstream, model), one in sorted(sums.items())
    ]
    for name, what, count in _SIMPLE:
        _family(out, f"farthing_{name}_total", "counter", what, [(f"{{{at}}}", str(count(one))) for at, one in by])
    for name, what, count in _MONEY:
        _family(
            out, f"farthing_{name}_total", "counter", what, [(f"{{{at}}}", _decimal(count(one), 12)) for at, one in by]
        )
    unknown = [
        (f'{{{at},reason="{reason}"}}', str(count))
        for at, one in by
        for reason, count in (("price", one.unpriced), ("usage", one.unmetered))
        if count
    ]
    _family(out, "farthing_unknown_charges_total", "counter", "Attempts whose charge is unknown: it has no price, or "
            "what was consumed is not known", unknown)  # fmt: skip
    tokens, reasoning, units = [], [], []
    for at, one in by:
        for meter, used in sorted(one.quantities.items()):
            known = METERS.get(meter)
            if known is not None and known.unit == "token" and not known.part_of:
                tokens.append((f'{{{at},kind="{meter}"}}', str(used)))
            elif meter == "reasoning":
                reasoning.append((f"{{{at}}}", str(used)))
            else:
                amount = str(used) if known is None or known.scale == 1 else _decimal(used, 6)
                units.append((f'{{{at},meter="{_escaped(meter)}"}}', amount))
    _family(out, "farthing_tokens_total", "counter", "Tokens by kind; each is counted under one", tokens)
    _family(out, "farthing_reasoning_tokens_total", "counter", "Output tokens that were reasoning", reasoning)
    _family(out, "farthing_units_total", "counter", "What is not metered in tokens, by meter", units)
    _histogram(out, "farthing_attempt_duration_seconds", "From sending to the end, of answered attempts",
               [(at, one.durations, one.duration_us) for at, one in by])  # fmt: skip
    _histogram(out, "farthing_first_byte_seconds", "From sending to the first byte of the answer",
               [(at, one.firsts, one.first_us) for at, one in by])  # fmt: skip


def _histogram(out: list[str], name: str, what: str, found: Sequence[tuple[str, Sequence[int], int]]) -> None:
    rows = []
    for at, buckets, sum_us in found:
        count = 0
        for bound, inside in zip((*map(str, BOUNDS_S), "+Inf"), buckets, strict=True):
            count += inside
            rows.append((f'_bucket{{{at},le="{bound}"}}', str(count)))
        rows.append((f"_sum{{{at}}}", _decimal(sum_us, 6)))
        rows.append((f"_count{{{at}}}", str(count)))
    _family(out, name, "histogram", what, rows)


def _family(out: list[str], name: str, kind: str, what: str, rows: Sequence[tuple[str, str]]) -> None:
    if rows:
        out.append(f"# HELP {name} {what}")
        out.append(f"# TYPE {name} {kind}")
        out.extend(f"{name}{labels} {value}" for labels, value in rows)


def _labels(**values: str) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in values.items()) + "}"


def _escaped(value: str) -> str:
    # Half a character cannot be encoded; it comes from a client's bytes.
    clean = value.encode("utf-8", "replace").decode()
    return clean.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


def _decimal(value: int, places: int) -> str:
    """`value` / 10**places, digit for digit."""
    sign, digits = ("-", str(-value)) if value < 0 else ("", str(value))
    digits = digits.zfill(places + 1)
    return f"{sign}{digits[:-places]}.{digits[-places:]}".rstrip("0").rstrip(".")

"""Latencies in flat records (`median_ttft_ms`, `p99_itl`, `ttft_p50_ms`): which metric, statistic and unit."""

import re
from collections.abc import Mapping
from typing import Any

from farthing.serving.measured.fields import Refused, number
from farthing.serving.measured.measurement import Latency

_METRICS = {
    "ttft": "ttft", "time_to_first_token": "ttft", "tpot": "tpot", "time_per_output_token": "tpot", "itl": "itl",
    "inter_token_latency": "itl", "e2el": "e2e", "e2e_latency": "e2e", "e2e": "e2e", "request_latency": "e2e",
}  # fmt: skip
_STATISTICS = {"mean": "mean", "avg": "mean", "average": "mean", "median": "median", "p50": "median"}
_STATISTIC = r"mean|avg|average|median|std|min|max|p\d{1,2}(?:[._]\d+)?"
_NAME = "|".join(sorted(_METRICS, key=len, reverse=True))
_KEY = re.compile(rf"(?:(?P<a>{_STATISTIC})_)?(?P<metric>{_NAME})(?:_(?P<b>{_STATISTIC}))?(?:_(?P<unit>ms|s|sec|us))?")
_TO_MS = {"ms": 1.0, "s": 1000.0, "sec": 1000.0, "us": 0.001}

FASTEST_TPOT_MS = 0.05  # 20,000 tokens a second to one user: ten times what any engine has shown
SLOWEST_TPOT_MS = 5000.0

Stated = dict[str, dict[str, tuple[float, str]]]
"""metric → statistic → (value, unit), the unit "" where the name states none."""


def stated_latencies(record: Mapping[str, Any]) -> Stated:
    """The latencies of a flat record by the grammar of their names. Raises `Refused` for text in such a field."""
    found: Stated = {}
    for key in record:
        match = _KEY.fullmatch(key.lower()) if isinstance(key, str) else None
        if match is None or (match["a"] and match["b"]):
            continue
        value = number(record, key)
        if value is None or value < 0:
            continue
        word = match["a"] or match["b"] or "unstated"
        statistic = _STATISTICS.get(word, word.replace("_", "."))
        found.setdefault(_METRICS[match["metric"]], {}).setdefault(statistic, (value, match["unit"] or ""))
    return found


def in_ms(stated: Stated, unit: str) -> dict[str, Latency]:
    """`stated` as latencies in ms; values whose name states no unit are in `unit` ("ms" or "s")."""
    return {metric: _latency(values, unit) for metric, values in stated.items() if _measured(values)}


def _measured(values: dict[str, tuple[float, str]]) -> bool:
    # A tool that did not stream writes zeros; a latency of zero in all statistics is none.
    return any(value > 0 for value, _ in values.values())


def _latency(values: dict[str, tuple[float, str]], unit: str) -> Latency:
    def ms(name: str) -> float | None:
        return values[name][0] * _TO_MS[values[name][1] or unit] if name in values else None

    shares = {name: ms(name) for name in values if name.startswith("p")}
    return Latency(
        mean=ms("mean"), median=ms("median"), std=ms("std"), min=ms("min"), max=ms("max"), unstated=ms("unstated"),
        percentiles={name: value for name, value in shares.items() if value is not None},
    )  # fmt: skip


def has_bare(stated: Stated) -> bool:
    """Whether a latency's name states no unit."""
    return any(not unit for values in stated.values() for _, unit in values.values())


def bare_unit(
    stated: Stated, rate_per_user: float | None, tokens_per_s: float | None, concurrency: float | None,
    output_tokens: float | None, usual: str,
) -> str:  # fmt: skip
    """The unit ("s" or "ms") of values whose names state none.

    In order: the tokens a second of one user are 1 / TPOT; in a closed loop, tokens a second are
    concurrency × tokens / end-to-end time (Little's law); else `usual`, what the format writes, where it
    is possible. Raises `Refused` where the evidence contradicts itself or nothing decides.
    """
    tpot, ttft, e2e = (_typical(stated, metric) for metric in ("tpot", "ttft", "e2e"))
    found = set()
    if tpot and rate_per_user:
        found.add(_unit_of(tpot * rate_per_user))
    if tokens_per_s and concurrency and output_tokens:
        total = e2e if e2e else ttft + tpot * (output_tokens - 1) if ttft and tpot else None
        if total:
            found.add(_unit_of(total * tokens_per_s / (concurrency * output_tokens)))
    found.discard("")
    if len(found) == 1:
        return found.pop()
    if len(found) > 1:
        raise Refused(
            "the times without a unit are seconds by one count and milliseconds by another",
            "name each with its unit, as in mean_ttft_ms", "mixed units",
        )  # fmt: skip
    if not usual:
        raise Refused("ttft and tpot state no unit", "name them with it, as in ttft_ms and tpot_ms", "no unit stated")
    if tpot is not None and not FASTEST_TPOT_MS <= tpot * _TO_MS[usual] <= SLOWEST_TPOT_MS:
        raise Refused(
            f"tpot {tpot:g} would be {tpot:g} {usual} a token, which is not possible",
            "name the times with their unit, as in mean_tpot_ms", "impossible unit",
        )  # fmt: skip
    return usual


def _typical(stated: Stated, metric: str) -> float | None:
    values = stated.get(metric, {})
    for statistic in ("mean", "median", "unstated"):
        if statistic in values and not values[statistic][1]:
            return values[statistic][0]
    return None


def _unit_of(ratio: float) -> str:
    """ "s" for a ratio about 1, "ms" for about 1000, "" for neither."""
    return "s" if 0.05 < ratio < 20 else "ms" if 50 < ratio < 20_000 else ""

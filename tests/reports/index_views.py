"""Views of the index as its commands print them, small and made up, for the tests of charts and pages."""

from typing import Any

EVIL = 'acme/<script>alert("x")</script>'


def show(method: str = "jevons", fall: float = 0.99, months: int = 24, **more: Any) -> dict[str, Any]:
    """An index that falls by a constant factor a month."""
    points = [
        {"date": f"{2024 + n // 12}-{n % 12 + 1:02}-01", "index": 100 * fall**n, "low": 98 * fall**n,
         "high": 102 * fall**n, "count": 10 + n, "entered": 1, "left": 0}
        for n in range(months)
    ]  # fmt: skip
    return {"method": method, "mix": "3:1", "kind": "blended", "base": "2024-01-01", "level": 0.9, "points": points,
            "yearly_factor": fall**-12, "half_life_months": 69.0, "basket": ["a"], "count": 34, "grade": "derived",
            "notes": ["2 free offers left out"], **more}  # fmt: skip


def history() -> dict[str, Any]:
    def line(id: str, *points: tuple[str, str | None, str]) -> dict[str, Any]:
        provider, _, model = id.partition("/")
        return {"id": id, "provider": provider, "model": model, "maker": provider,
                "points": [{"start": a, "end": b, "price": c} for a, b, c in points]}  # fmt: skip

    return {
        "lines": [
            line("openai/gpt-a", ("2023-03-14", "2024-05-13", "37.5"), ("2024-05-13", None, "7.5")),
            line(EVIL, ("2023-08-01", None, "2.0")),
            line("openai/gone", ("2023-08-01", "2024-01-01", "12")),
            line("acme/free", ("2023-08-01", None, "0")),
        ],
        "mix": "3:1",
        "at": "2026-11-22",
        "notes": [],
    }


def benchmark(name: str = "GPQA", score: float | None = 50, rate: float = 10.0, n: int = 8) -> dict[str, Any]:
    """Models whose price falls `rate`-fold a year exactly, each a new low but the second."""
    days = [f"{2023 + k // 4}-{1 + 3 * (k % 4):02}-01" for k in range(n)]
    models = [
        {"date": day, "model": f"model-{k}" if k != 2 else EVIL, "provider": "acme", "score": 51.0,
         "price": f"{40 * rate ** (-k / 4) * (3 if k == 1 else 1):.6f}", "frontier": k != 1}
        for k, day in enumerate(days)
    ]  # fmt: skip
    fit = {"yearly_factor": rate, "low": rate / 2, "high": rate * 2, "half_life_months": 3.61, "n": n - 1, "r2": 0.97,
           "first": days[0], "last": days[-1]}  # fmt: skip
    return {"benchmark": name, "score": score, "models": models, "fit": fit, "notes": []}


def decline(*declines: dict[str, Any]) -> dict[str, Any]:
    return {"benchmark": None, "declines": list(declines), "level": 0.9, "mix": "3:1", "grade": "derived", "notes": []}


def pair() -> dict[str, Any]:
    return {"from": 60.0, "to": 0.6, "start": "2023-03-14", "end": "2024-07-18", "days": 492, "total_factor": 100.0,
            "yearly_factor": 30.56, "half_life_months": 2.43, "notes": []}  # fmt: skip


def spread(hosts: int = 4) -> dict[str, Any]:
    found = [
        {"id": f"host-{n}/m", "provider": f"host-{n}", "model": EVIL if n == 0 else "m", "seller": f"host-{n}",
         "channel": "direct", "input": str(0.1 * (n + 1)), "cached": None, "output": str(0.3 * (n + 1)),
         "blended": str(0.15 * (n + 1)), "ratio": n + 1.0, "counted": n != 1, "why_not": "router" if n == 1 else "",
         "served_as": "fp8", "grade": "derived"}
        for n in range(hosts)
    ]  # fmt: skip
    return {"model": "llama-3.3-70b", "at": "2026-11-22T00:00:00Z", "mix": "3:1", "hosts": found, "free": [],
            "unpriced": [], "count": hosts, "grade": "derived", "notes": []}  # fmt: skip


def spreads() -> dict[str, Any]:
    models = [
        {"model": f"open-{n}", "count": 5, "low": 0.1 * n, "median": 0.2 * n, "high": 0.1 * n * (n + 1),
         "ratio": n + 1.0, "cheapest": "a/x", "dearest": "b/x"}
        for n in (1, 2, 3)
    ]  # fmt: skip
    return {"at": "2026-11-22", "mix": "3:1", "models": models, "notes": []}


def compare() -> dict[str, Any]:
    providers = [
        {"provider": f"p{n}", "kind": "maker", "count": 5 + n, "blended_low": str(0.1 * n), "blended_median": str(n),
         "blended_high": str(10 * n), "cheapest": "a", "dearest": "b", "grade": "derived"}
        for n in range(1, 31)
    ]  # fmt: skip
    return {
        "at": "2026-11-22", "mix": "3:1", "count": 600, "providers": providers,
        "models": [{"id": "p1/x", "provider": "p1", "blended": "3"}],
        "bands": [{"low": 0.1, "high": 0.3, "count": 9, "examples": ["x", "y"]},
                  {"low": 0.3, "high": 1.0, "count": 0, "examples": []}],
        "benchmark": "GPQA",
        "tiers": [{"tier": "frontier", "score_low": 80.0, "low": 1.0, "median": 3.0, "high": 9.0, "count": 7,
                   "cheapest": "x"}],
        "ratios": [{"name": "all models", "count": 60, "low": 1.0, "p25": 2.0, "median": 4.0, "p75": 5.0, "high": 8.0}],
        "markups": [], "grade": "derived", "notes": [],
    }  # fmt: skip


def forecast(**more: Any) -> dict[str, Any]:
    return {
        "series": "GPQA at 50", "kind": "constant-capability", "unit": "usd_per_mtok",
        "history": [{"date": "2024-01-01", "price": 8.0, "model": "a"}, {"date": "2025-06-01", "price": 1.0,
                                                                         "model": EVIL}],
        "points": [{"date": f"2026-{m:02}-01", "months": m - 1, "expected": 0.9**m, "low": 0.8**m, "high": 0.97**m}
                   for m in range(1, 13)],
        "model": "drift", "backtest": {"horizons": [{"months": 12, "factor_error": 2.2}], "covered": 0.91},
        "level": 0.9, "yearly_factor": 3.5, "notes": [], **more,
    }  # fmt: skip


def viability(**more: Any) -> dict[str, Any]:
    return {"cost": 1.2, "target": 0.1, "factor": 12.0, "benchmark": None, "at": "2026-11-22", "date": "2028-03-01",
            "earliest": "2027-06-01", "latest": "2030-01-15", "level": 0.9, "basis": "all benchmarks", "points": [],
            "notes": [], **more}  # fmt: skip


def gpu() -> dict[str, Any]:
    def point(date: str, usd: float) -> dict[str, Any]:
        return {"date": date, "usd_per_hour": usd, "low": usd * 0.8, "high": usd * 1.3, "count": 4, "grade": "derived"}

    return {
        "term": "on-demand",
        "devices": [{"device": "h100", "points": [point("2023-09-01", 3.38), point("2026-09-01", 3.79)]},
                    {"device": "b200", "points": [point("2026-09-01", 6.6)]}],
        "index": [],
        "tokens": [{"date": "2023-09-01", "token_index": 100.0, "gpu_index": 100.0, "ratio": 1.0},
                   {"date": "2026-09-01", "token_index": 2.5, "gpu_index": 112.1, "ratio": 0.02}],
        "tokens_method": "constant-capability", "tokens_device": "h100", "notes": [],
    }  # fmt: skip


def every() -> dict[str, tuple[str, dict[str, Any]]]:
    """Each chart's name and a view that it draws, by a name for the test."""
    many = decline(*(benchmark(f"B{n}", 10.0 * n, 3.0 + n) for n in range(1, 8)))
    return {
        "index": ("index", show()),
        "indices": ("index", {"series": [show(), show("geks", 0.98), show("constant-capability", 0.8)]}),
        "history": ("history", history()),
        "decline": ("decline", decline(benchmark())),
        "declines": ("decline", many),
        "pair": ("decline", pair()),
        "spread": ("spread", spread()),
        "spreads": ("spread", spreads()),
        "compare": ("compare", compare()),
        "forecast": ("forecast", forecast()),
        "viability": ("viability", viability()),
        "open": ("viability", viability(latest=None)),
        "gpu": ("gpu", gpu()),
    }


def empty() -> dict[str, tuple[str, dict[str, Any]]]:
    """Views in which nothing can be drawn."""
    none = [{"date": "2024-01-01", "index": None, "low": None, "high": None, "count": 0}] * 3
    zero = [{"start": "2024-01-01", "end": None, "price": "0"}]
    free = {"id": "a/b", "provider": "a", "model": "b", "maker": None, "points": zero}
    return {
        "index": ("index", show(points=[])),
        "unknown index": ("index", show(points=none, yearly_factor=None)),
        "one point": ("index", show(months=1)),
        "history": ("history", {"lines": [free], "mix": "3:1", "notes": []}),
        "decline": ("decline", decline()),
        "spread": ("spread", spread(0)),
        "spreads": ("spread", {"at": "2026-11-22", "mix": "3:1", "models": [], "notes": []}),
        "compare": ("compare", {"at": "2026-11-22", "mix": "3:1", "count": 0, "providers": [], "notes": []}),
        "forecast": ("forecast", forecast(points=[], notes=["too thin"])),
        "viability": ("viability", viability(date=None, notes=["the price is expected to stay"])),
        "gpu": ("gpu", {"devices": [], "index": [], "tokens": [], "notes": []}),
    }

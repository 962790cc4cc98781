"""Farthing: usage x rates -> charges. What every token costs, and what the same work would cost elsewhere.

    import farthing

    charge = farthing.price("openai/gpt-4o", input=1000, output=200, at="2026-11-01")
    summary = farthing.summarise(["usage.jsonl"])
    answer = farthing.replay(["usage.jsonl"], to=["openai/gpt-5-mini"], policies=["as-is", "batch"])
    result = farthing.reconcile(["usage.jsonl"], "invoice.csv")

Names are imported when they are first used, so that `import farthing` is quick. Modules below are
importable as usual (`farthing.rates.book.Book`, `farthing.usage.record.Usage`, …).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from farthing.api import (
        Book,
        Charge,
        FarthingError,
        Problems,
        Usage,
        price,
        read_usage,
        reconcile,
        replay,
        summarise,
    )

__version__ = "0.1.0"
__all__ = [
    "Book",
    "Charge",
    "FarthingError",
    "Problems",
    "Usage",
    "price",
    "read_usage",
    "reconcile",
    "replay",
    "summarise",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from farthing import api

        return getattr(api, name)
    raise AttributeError(f"module 'farthing' has no attribute {name!r}")

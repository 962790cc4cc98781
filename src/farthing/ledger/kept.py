"""The price records that a ledger keeps, by the names that its rows give."""

from pathlib import Path

from farthing.ledger.schema import connect
from farthing.usage.record import PriceRecord


def kept_prices(folder: Path) -> dict[str, PriceRecord]:
    """All of them. Raises `FarthingError` where there is no ledger."""
    hot = connect(folder, read_only=True)
    try:
        found = hot.execute("SELECT name, offer, record FROM price").fetchall()
    finally:
        hot.close()
    return {name: PriceRecord(name=name, offer=offer, record=record) for name, offer, record in found}

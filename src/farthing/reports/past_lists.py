"""What price lists of a past day said, beside the answer of the catalogue, most of whose prices have no date."""

from datetime import UTC, datetime, timedelta
from typing import Any

from farthing.money import decimal_text
from farthing.rates.card import ALWAYS, Offer, Price

_CATALOGUE = "genai-prices"
_RECENT = timedelta(days=2)
"""Of so short a time ago no list says more than the book; and what is priced now need not wait for our history."""


def said_then(offer: Offer | None, price: Price | None, moment: datetime) -> dict[str, Any] | None:
    """The token prices in the lists of `moment`, where the book answered from the catalogue and they differ.

    None where a card or a vendor's dated statement answered, `moment` is of these days, or the lists say nothing else.
    """
    if offer is None or price is None or price.currency != "USD" or datetime.now(UTC) - moment < _RECENT:
        return None
    # The book begins a record anew where another source's begins, so a start does not say that the catalogue dates it.
    if price.source.id != _CATALOGUE:
        return None
    from farthing.rates.history import find, price_on

    past = find(offer.provider, (offer.model, *offer.aliases), offer.channel)
    then = price_on(past, moment) if past else None
    used = {r.meter: r.per_count for r in price.rates if r.when == ALWAYS and r.per_count is not None}
    stated = then.usd_per_mtok if then else {}
    differing = {meter: usd for meter, usd in stated.items() if meter in used and used[meter] * 10**6 != usd}
    if then is None or not differing:
        return None
    return {
        "usd_per_mtok": {meter: decimal_text(usd) for meter, usd in differing.items()},
        "valid_from": then.start.date().isoformat(),
        "after": then.after.date().isoformat() if then.after else None,
        "source": then.source.title,
        "grade": str(then.source.grade),
    }


def told(said: dict[str, Any], offer_id: str) -> str:
    """`said` as a line for a person."""
    prices = ", ".join(f"{meter} ${usd}" for meter, usd in said["usd_per_mtok"].items())
    return (
        f"The price lists of that day had another price: {prices} a million tokens, from "
        f"{said['valid_from']} ({said['source']}, {said['grade']}). `farthing prices history {offer_id}` has all; a "
        "rate card with dates settles it (--card)."
    )

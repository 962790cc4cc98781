"""Price records by name: what a row rests on, so that it can be priced again under exactly that.

A name says offer, start, source and a fingerprint of the whole record: "openai/gpt-4o 2024-08-06 openai-pricing
1f3a9c2e07b4". The record itself is kept in the ledger as JSON, so a bill can be repeated after the book has changed.
"""

from hashlib import blake2b

from farthing.rates.card import Offer, Price
from farthing.rates.kept import record_json as record_json
from farthing.rates.kept import record_of as record_of


def price_name(offer: Offer, price: Price) -> str:
    """The name of the record `price` of `offer`; two records have one name only if they state the same."""
    since = price.valid_from.date().isoformat() if price.valid_from else "undated"
    mark = blake2b(record_json(price).encode(), digest_size=6).hexdigest()
    return f"{offer.id} {since} {price.source.id} {mark}"

"""Price records by name: what a row rests on, so that it can be priced again under exactly that.

A name says offer, start, source and a fingerprint of the whole record: "openai/gpt-4o 2024-08-06 openai-pricing
1f3a9c2e07b4". The record itself is kept in the ledger as JSON, so a bill can be repeated after the book has changed.
"""

from hashlib import blake2b
from typing import Any

import msgspec

from farthing.rates.card import Offer, Price

_encode = msgspec.json.Encoder(order="deterministic").encode
_WEEK = "minutes"  # a bit for each minute of the week: more than a JSON number holds


def price_name(offer: Offer, price: Price) -> str:
    """The name of the record `price` of `offer`; two records have one name only if they state the same."""
    since = price.valid_from.date().isoformat() if price.valid_from else "undated"
    mark = blake2b(record_json(price).encode(), digest_size=6).hexdigest()
    return f"{offer.id} {since} {price.source.id} {mark}"


def record_json(price: Price) -> str:
    """`price` as JSON that `record_of` reads back as the same record."""
    return _encode(_weeks(msgspec.to_builtins(price, order="deterministic"), out=True)).decode()


def record_of(text: str) -> Price:
    """The record that `record_json` wrote. Raises `msgspec.ValidationError` or `DecodeError` for anything else."""
    return msgspec.convert(_weeks(msgspec.json.decode(text), out=False), Price, strict=False)


def _weeks(value: Any, *, out: bool) -> Any:
    """`value` with the bits of weekly windows as hexadecimal text (`out`), or back as numbers."""
    if isinstance(value, dict):
        return {
            key: (hex(inner) if out else int(inner, 16)) if key == _WEEK else _weeks(inner, out=out)
            for key, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_weeks(inner, out=out) for inner in value]
    return value

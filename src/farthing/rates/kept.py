"""Price records that a source keeps beside its charges: as JSON, and as the offer of what the price book does not know.

A gateway may price a model by a stated offer, a deployment of one's own, a card that is gone since: the names of its
usage then lead nowhere in the book, or to a price that was never paid.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.rates.card import Offer, Price
from farthing.rates.select import Unknown
from farthing.usage.record import PriceRecord

if TYPE_CHECKING:
    from farthing.rates.book import Book

_encode = msgspec.json.Encoder(order="deterministic").encode
_WEEK = "minutes"  # a bit for each minute of the week: more than a JSON number holds


def as_priced(
    book: "Book", provider: str | None, model: str | None, region: str | None, priced: PriceRecord | None
) -> tuple[Offer | Unknown, str]:
    """The offer of usage that was charged under `priced`, and a note where it is another than its names say.

    That of its names in `book`; where there is none, or the record is another provider's (then somebody stated the
    offer), the record's offer in `book`; where there is none, the record itself.
    """
    found: Offer | Unknown = Unknown("the usage names no model")
    if model is not None:
        found = book.lookup(provider, model, region)
    if priced is None:
        return found, ""
    owner, _, name = priced.offer.partition("/")
    elsewhere = provider is not None and owner != (book.provider(provider) or provider)
    if isinstance(found, Offer) and not elsewhere:
        return found, ""
    own = "/".join(filter(None, (provider, model))) or "unknown"
    stated = book.lookup(owner, name, region)
    if isinstance(stated, Offer):
        return stated, f"{own} is priced as {priced.offer}, as it was charged"
    kept = _kept(priced)
    if kept is None:
        return found, ""
    return kept, f"{own} is priced under the record that it was charged under ({priced.name}): the book has none"


@lru_cache(256)
def _kept(priced: PriceRecord) -> Offer | None:
    """The record alone as an offer; None where it cannot be read."""
    try:
        price = record_of(priced.record)
    except msgspec.MsgspecError:
        return None
    owner, _, name = priced.offer.partition("/")
    return Offer(provider=owner, model=name, prices=(price,))


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

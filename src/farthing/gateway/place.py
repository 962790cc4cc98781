"""Where a request can be sent, and what prices it there: worked out once for a model at an upstream."""

import msgspec

from farthing.gateway.metering import Surface
from farthing.gateway.spending.costs import Costs, Seller
from farthing.gateway.spending.worst import Ceilings, Where
from farthing.gateway.upstream import Upstream
from farthing.rates.card import Offer
from farthing.rates.select import Unknown


class Place(msgspec.Struct, frozen=True):
    """A model at an upstream: the name it is sent under, and where its price is found.

    `surface`: the upstream's own that answers. `offer`: the one that the configuration names, or None: what was
    served decides.
    """

    upstream: Upstream
    surface: Surface
    sent: str
    provider: str
    offer: Offer | Unknown | None
    region: str
    expected: Offer | Unknown
    """The offer of the name that is sent, for what has to be known before it is served."""
    ceilings: Ceilings | None
    """Its bounds; None where there is no such offer."""
    where: Where
    seller: Seller


class Way(msgspec.Struct, frozen=True):
    """Where a first attempt usually goes: to `target`, which is `place`; `log` is that decision's."""

    target: str
    log: str
    place: Place


def place_of(costs: Costs, upstream: Upstream, surface: Surface, model: str) -> Place:
    """What `model` of `upstream`, which answers `surface`, is sent as, and what of `costs` prices it."""
    settings = upstream.settings
    own = settings.model(model)
    sent = own.sent if own is not None and own.sent is not None else model
    stated = (own.offer if own else None) or settings.offer
    provider, region = upstream.provider, settings.region
    named = costs.named(stated) if stated is not None else None
    expected = named if named is not None else costs.offer(provider, sent, region)
    ceilings = costs.ceilings(expected) if isinstance(expected, Offer) else None
    seller = Seller(costs, provider, sent, region, named)
    where = region or None, frozenset[tuple[str, str]]()
    return Place(upstream, surface, sent, provider, named, region, expected, ceilings, where, seller)

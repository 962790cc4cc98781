"""The offers at which the targets of a policy file are priced."""

from collections.abc import Mapping

from farthing.policies.routing.file import Place, PolicyFile
from farthing.policies.routing.values import model_of, upstream_of
from farthing.problems import FarthingError
from farthing.rates.book import Book
from farthing.rates.card import Offer
from farthing.rates.kept import as_priced
from farthing.rates.select import Unknown
from farthing.usage.record import PriceRecord


class Offers:
    """The offers of targets: by the file's upstreams, by the providers that the ledger saw, by the book."""

    def __init__(self, book: Book, file: PolicyFile, deployments: Mapping[str, str]) -> None:
        self.book = book
        self.presets = file.presets
        self.upstreams = dict(file.upstreams)
        self.deployments = deployments
        self._found: dict[str, Offer | Unknown] = {}
        self._priced: dict[str, PriceRecord] = {}

    def saw(self, target: str, provider: str | None, priced: PriceRecord | None = None) -> None:
        """Learn from a recorded attempt whose prices its upstream has, where the file does not say, and under which
        record the gateway charged its target."""
        upstream = upstream_of(target)
        if provider and upstream not in self.upstreams:
            self.upstreams[upstream] = Place(provider=provider)
            self._found.clear()
        if priced is not None and target not in self._priced:
            self._priced[target] = priced
            self._found.pop(target, None)

    def of(self, target: str) -> Offer | Unknown:
        """The offer of "upstream/model", or why there is none."""
        found = self._found.get(target)
        if found is None:
            found = self._found[target] = self._of(target)
        return found

    def _of(self, target: str) -> Offer | Unknown:
        upstream, model = upstream_of(target), model_of(target)
        place = self.upstreams.get(upstream, Place())
        stated, sent = place.offer_of(model)
        try:
            if stated is not None:
                return self.book.find(self.deployments.get(stated, stated))
            provider = place.provider or self.presets.get(upstream) or self.book.provider(upstream)
            priced = self._priced.get(target)
            if provider is None and priced is None:
                return Unknown(f"no provider is known of upstream {upstream!r}: [[upstream]] with name and provider")
            return as_priced(self.book, provider, sent, None, priced)[0]
        except FarthingError as error:
            return Unknown(str(error))

    def served(
        self, target: str, provider: str | None, model: str | None, region: str | None,
        priced: PriceRecord | None = None,
    ) -> Offer | Unknown:  # fmt: skip
        """The offer at which an attempt ran: where the file states one for its target that, else by what was served and
        the record under which it was charged (`rates.kept.as_priced`).

        A served name that the book does not know is the one asked for with a version behind it, or has no price.
        """
        place = self.upstreams.get(upstream_of(target), Place())
        if place.offer_of(model_of(target))[0] is not None:
            return self.of(target)
        if model is None:
            return Unknown("the usage names no model; --from OFFER says where it was served")
        found = as_priced(self.book, provider, model, region, priced)[0]
        if isinstance(found, Unknown) and model.startswith(model_of(target)):
            asked = self.of(target)
            return asked if isinstance(asked, Offer) else found
        return found

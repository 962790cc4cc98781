"""The offers at which the targets of a policy file are priced."""

from collections.abc import Mapping

from farthing.policies.routing.file import Place, PolicyFile
from farthing.policies.routing.values import model_of, upstream_of
from farthing.problems import FarthingError
from farthing.rates.book import Book
from farthing.rates.card import Offer
from farthing.rates.select import Unknown


class Offers:
    """The offers of targets: by the file's upstreams, by the providers that the ledger saw, by the book."""

    def __init__(self, book: Book, file: PolicyFile, deployments: Mapping[str, str]) -> None:
        self.book = book
        self.presets = file.presets
        self.upstreams = dict(file.upstreams)
        self.deployments = deployments
        self._found: dict[str, Offer | Unknown] = {}

    def saw(self, upstream: str, provider: str | None) -> None:
        """Learn from a recorded attempt whose prices an upstream has, where the file does not say."""
        if provider and upstream not in self.upstreams:
            self.upstreams[upstream] = Place(provider=provider)
            self._found.clear()

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
            if provider is None:
                return Unknown(f"no provider is known of upstream {upstream!r}: [[upstream]] with name and provider")
            return self.book.lookup(provider, sent)
        except FarthingError as error:
            return Unknown(str(error))

    def served(self, target: str, provider: str | None, model: str | None, region: str | None) -> Offer | Unknown:
        """The offer at which an attempt ran: where the file states one for its target that, else by what was served.

        A served name that the book does not know is the one asked for with a version behind it, or has no price.
        """
        place = self.upstreams.get(upstream_of(target), Place())
        if place.offer_of(model_of(target))[0] is not None:
            return self.of(target)
        if model is None:
            return Unknown("the usage names no model; --from OFFER says where it was served")
        found = self.book.lookup(provider, model, region)
        if isinstance(found, Unknown) and model.startswith(model_of(target)):
            asked = self.of(target)
            return asked if isinstance(asked, Offer) else found
        return found

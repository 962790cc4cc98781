"""Deployments of one's own that a policy file prices its upstreams at: their computed rates, in the book."""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

from farthing.policies.hosted import PREFIX, with_hosts
from farthing.policies.routing.file import PolicyFile
from farthing.rates.book import Book
from farthing.usage.record import Usage


def with_deployments(
    file: PolicyFile, book: Book, records: Callable[[], Iterator[Usage]], today: date, hosts: Path | None = None
) -> tuple[dict[str, str], Book]:
    """The offer that each "host:NAME" of `file` stands for, in the book that is given back with their rate cards.

    Rates are computed at the mean lengths that the file states, as the gateway computes them; where it states none,
    at those of the usage. `hosts`: a file of deployments, instead of the one that `file` names. Raises
    `FarthingError` for a deployment that is unknown or does not fit.
    """
    saved, found, cards = hosts or file.hosts, dict[str, str](), []
    for one in file.deployments:
        if one.input is None or one.output is None:
            [offer], book = with_hosts([one.price], book, records, None, today, saved)
        else:
            from farthing.serving import hosted

            name = one.price.removeprefix(PREFIX)
            estimate = hosted.estimated(hosted.parse(name, saved), one.input, one.output, None, today)
            card = hosted.card(name, estimate, today)
            cards.append(card)
            offer = card.offers[0].id
        found[one.price] = offer
    return found, book.with_cards(cards) if cards else book

"""What prices a configuration names: cards in files, offers of the book, computed rates of deployments of one's own."""

import difflib
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from farthing.problems import FarthingError
from farthing.rates.toml_table import Table

if TYPE_CHECKING:
    from farthing.rates.toml import Card

HOST = "host"
"""The provider of computed rates in the price book (`serving.hosted.PROVIDER`; importing that would take 40 ms)."""
_PREFIX = f"{HOST}:"
_HOSTS_FILE = "farthing-hosts.toml"
_CATALOGUE = "genai-prices"


class PriceReader:
    """Reads `offer = "provider/model"` or `price = "host:NAME"`; remembers the deployments whose rates are needed, and
    the offers that are named."""

    def __init__(self) -> None:
        self.hosts: dict[str, tuple[int, int, Table]] = {}
        self._named: list[tuple[str, Table]] = []

    def __call__(self, table: Table) -> str | None:
        """The offer ("provider/model") that `table` states, None where it states none."""
        offer, price = table.text("offer"), table.text("price")
        read, written = table.whole("mean_input_tokens"), table.whole("mean_output_tokens")
        if price is not None:
            if offer is not None:
                table.fail("price", "'offer' and 'price' both state what it costs", "leave one out")
            return self._host(table, price, read, written)
        for key in ("mean_input_tokens", "mean_output_tokens"):
            if key in table:
                table.fail(key, f'{key!r} goes with price = "host:…"', "leave it out")
        if offer is not None and not all(offer.partition("/")):
            table.fail("offer", f"{offer!r} is no offer", 'write offer = "provider/model", such as "openai/gpt-4o"')
        if offer is not None:
            self._named.append((offer, table))
        return offer

    def check(self, cards: "Sequence[Card]") -> None:
        """Refuse an offer that neither `cards` nor the price book have, of a provider whose catalogue we have whole.

        Of another provider's models the book knows some: an offer of it may be right, and is told as a doubt only.
        """
        if not self._named:
            return
        from farthing.rates.book import Book
        from farthing.rates.card import Offer

        book = Book(cards)
        for offer, table in self._named:
            provider, _, model = offer.partition("/")
            known = book.provider(provider)
            if known is None or isinstance(book.lookup(known, model), Offer):
                continue
            layers = book.layers(known)
            if any(layer.name == _CATALOGUE for layer in layers):
                names = [one.model for layer in layers for one in layer.offers]
                near = difflib.get_close_matches(model, names, 1, 0.5)
                hint = f"did you mean {f'{provider}/{near[0]}'!r}? Else " if near else ""
                repair = f"{hint}`farthing prices list {known}` shows them; a price card can add one"
                table.fail("offer", f"no offer {offer!r} in the price book", repair)

    def _host(self, table: Table, price: str, read: int | None, written: int | None) -> str:
        name = price.removeprefix(_PREFIX)
        if name == price or not name:
            table.fail("price", f"'price' is {price!r}", 'write price = "host:NAME", or offer = "provider/model"')
        if read is None or written is None:
            table.fail(
                "price", "what a token costs a machine depends on the lengths of requests",
                "state mean_input_tokens and mean_output_tokens beside it",
            )  # fmt: skip
        known = self.hosts.setdefault(name, (read, written, table))
        if known[:2] != (read, written):
            table.fail("price", f"{price!r} was stated at other mean lengths", "state the same, or save it twice")
        return f"{HOST}/{name}"

    def cards(self, file: Path | None, folder: Path, today: date) -> "list[Card]":
        """A card of the computed rates of each deployment named, at the market's rent of `today`."""
        if not self.hosts:
            return []
        from farthing.serving import hosted

        beside = folder / _HOSTS_FILE
        saved = file or (beside if beside.exists() else None)
        made = []
        for name, (read, written, table) in self.hosts.items():
            try:
                one = hosted.parse(name, saved)
                made.append(hosted.card(name, hosted.estimated(one, read, written, None, today), today))
            except FarthingError as error:
                table.fail("price", str(error))
        return made


def read_cards(table: Table | None, folder: Path) -> "tuple[tuple[Path, ...], list[Card]]":
    """The price cards that [gateway] names: their files and what they say. Errors name the card's own line."""
    if table is None:
        return (), []
    files = tuple(folder / Path(name).expanduser() for name in table.texts("cards"))
    if not files:
        return (), []
    from farthing.rates.toml import load_card

    for number, file in enumerate(files):
        if not file.is_file():
            table.fail("cards", f"{file}: no such file", "paths are relative to this file's folder")
        if file in files[:number]:
            table.fail("cards", f"{file} is there twice", "leave one out")
    return files, [load_card(file) for file in files]

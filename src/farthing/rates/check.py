"""What each source of prices says, what of it could not be expressed, and where sources disagree."""

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from farthing.evidence import Source
from farthing.problems import FarthingError, Problem
from farthing.rates.book import Book, Conflict
from farthing.rates.card import Offer
from farthing.rates.feeds import READERS, Imported, genai, read_feed
from farthing.rates.rules import batch_rules, caching_rules, providers
from farthing.rates.select import ambiguous
from farthing.rates.toml import Card, load_card, packaged_cards

STALE_DAYS = 90
FEEDS = (*READERS, genai.FEED)


class Account(msgspec.Struct, kw_only=True):
    """One source's offers, and an account of every entry that was read.

    `read` == `expressed` + `priceless` + the number of distinct places in `not_expressed`. `undated`:
    offers of which a price has no `valid_from`.
    """

    name: str
    feed: str
    offers: list[Offer]
    read: int
    expressed: int
    priceless: int = 0
    not_expressed: list[Problem] = msgspec.field(default_factory=list)
    repaired: list[Problem] = msgspec.field(default_factory=list)
    notes: list[Problem] = msgspec.field(default_factory=list)
    zero_rows: int = 0
    undated: int = 0
    ambiguous: list[Problem] = msgspec.field(default_factory=list)


class Checked(msgspec.Struct, kw_only=True):
    """Accounts by source, conflicts between sources, and sources that nobody has looked at for long."""

    at: datetime
    accounts: list[Account]
    conflicts: list[Conflict]
    stale: list[Source]

    @property
    def pairs(self) -> Counter[tuple[str, str]]:
        """The number of conflicts by (source used, source that says otherwise)."""
        return Counter((c.used_source, c.other_source) for c in self.conflicts)

    @property
    def clean(self) -> bool:
        """Whether everything that was read is expressed, without a price that two rates could decide."""
        return not any(account.not_expressed or account.ambiguous for account in self.accounts)


def check_book(book: Book, cards: Iterable[tuple[str, Card]], at: datetime) -> Checked:
    """The account of all that the book holds: the user's `cards` (by name), our own cards, and the catalogue."""
    held = [*cards, *packaged_cards().items()]
    accounts = [_card(name, card) for name, card in held]
    accounts.append(_imported(genai.FEED, genai.load()))
    sources = {s for _, card in held for s in card.sources.values()}
    sources.update(rule.source for rule in caching_rules())
    sources.update(rule.source for rule in batch_rules())
    sources.update(provider.source for provider in providers().values())
    stale = [s for s in sources if s.seen is not None and (at.date() - s.seen).days > STALE_DAYS]
    return Checked(
        at=at,
        accounts=accounts,
        conflicts=list(book.conflicts()),
        stale=sorted(stale, key=lambda s: (str(s.seen), s.id)),
    )


def check_files(
    files: Sequence[str], feed: str | None, cards: Sequence[Card], at: datetime, provider: str | None = None
) -> Checked:
    """The account of price lists or rate cards, and where they differ at `at` from what the book says.

    `provider` keeps only its offers; the account still counts all entries. Raises `FarthingError` for a
    file that cannot be read, an unknown `feed`, or a provider that no file has.
    """
    accounts = [read_source_file(file, feed) for file in files]
    if provider is not None:
        _keep(accounts, Book(cards).provider(provider) or provider)
    own = [Card(offers=tuple(account.offers), sources={}) for account in accounts]
    without = set(Book(cards).conflicts(at=at))
    found = [c for c in Book([*own, *cards]).conflicts(at=at) if c not in without]
    return Checked(at=at, accounts=accounts, conflicts=found, stale=[])


def _keep(accounts: Iterable[Account], provider: str) -> None:
    names = sorted({offer.provider for account in accounts for offer in account.offers})
    if provider not in names:
        near = difflib.get_close_matches(provider, names, 3, 0.5)
        hint = f"; near it: {', '.join(near)}" if near else f"; there are {', '.join(names[:6])}, …"
        raise FarthingError(f"no offer of the provider {provider!r} in what was read{hint}")
    for account in accounts:
        account.offers = [offer for offer in account.offers if offer.provider == provider]


def read_source_file(file: str, feed: str | None = None) -> Account:
    """A file as the price list or rate card that its content shows it to be; the installed catalogue by its name.

    Raises `FarthingError`, one line, for a file that is neither.
    """
    if feed is not None and feed not in FEEDS:
        raise FarthingError(f"unknown format {feed!r}; known are {', '.join(FEEDS)}")
    path = Path(file)
    if genai.FEED in (file, feed):
        if file != genai.FEED:
            raise FarthingError(f"{genai.FEED} is an installed package, not a file: give its name instead of {file}")
        return _imported(file, genai.load())
    if feed is None and _is_card(path):
        return _card(file, load_card(path))
    return _imported(file, read_feed(path, feed))


def _is_card(path: Path) -> bool:
    """TOML rather than JSON: a price list is a JSON object, and no TOML document starts with a brace."""
    try:
        with path.open("rb") as stream:
            start = stream.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    except OSError as error:
        raise FarthingError(f"{path}: {error.strerror or error}") from None
    return path.suffix == ".toml" or start[:1] not in (b"{", b"[") or (start[:1] == b"[" and path.suffix != ".json")


def _card(name: str, card: Card) -> Account:
    offers = list(card.offers)
    return Account(
        name=name,
        feed="card",
        offers=offers,
        read=len(offers),
        expressed=len(offers),
        undated=_undated(offers),
        ambiguous=_ambiguous(name, offers),
    )


def _imported(name: str, imported: Imported) -> Account:
    return Account(
        name=name,
        feed=imported.feed,
        offers=imported.offers,
        read=imported.read,
        expressed=imported.expressed,
        priceless=imported.priceless,
        not_expressed=imported.not_expressed,
        repaired=imported.repaired,
        notes=imported.notes,
        zero_rows=imported.zero_rows,
        undated=_undated(imported.offers),
        ambiguous=_ambiguous(name, imported.offers),
    )


def _undated(offers: Iterable[Offer]) -> int:
    return sum(any(price.rates and price.valid_from is None for price in offer.prices) for offer in offers)


def _ambiguous(name: str, offers: Iterable[Offer]) -> list[Problem]:
    found = []
    for offer in offers:
        for price in offer.prices:
            pair = ambiguous(price.rates)
            if pair is not None:
                reason = f"two prices of {pair[0].meter} can hold for one request"
                found.append(Problem(f"{name}: {offer.id}", reason, "state the price of their overlap"))
    return found

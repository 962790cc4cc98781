"""Our history of list prices: what dated releases of public price lists show of 2023 to now (data/history).

`tools/build_history.py` writes it. A price is known to have begun after one list and by the next (`after`, `start`),
except where a vendor stated the day. A file is TOML (sources strictly as everywhere), and holds its thousands of prices
as lines of text, because reading them as tables would take seconds:

    @ gpt-4o chat gone=2027-01-15
    2024-05-13 input=5 output=15 vendor
    2024-08-01<2024-10-02 input=2.5 output=10 cache_read=1.25 batch.input=1.25 litellm@1.49.0

An offer's line begins with "@": its id, its mode ("-": none stated), and perhaps channel=, gone=. Every other line is
the prices from a day on, in dollars per million tokens, and last the source: an id, with the release after "@". Before
"<" stands the last day on which the list still had another price. A "?" behind the day: the lists do not say whether
that was a change of the price or a correction.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

import msgspec

from farthing.evidence import Source
from farthing.problems import FarthingError
from farthing.rates.toml_sources import Sources, read_sources
from farthing.rates.toml_table import Document
from farthing.units import METERS

_BATCH = "batch."
_SUFFIX = ".toml"


class HistoryPrice(msgspec.Struct, frozen=True, kw_only=True):
    """What an offer charged from `start` (a UTC midnight) until the next record: dollars per million tokens by meter.

    The change lies in (`after`, `start`]; `after` is None where the day was stated, or nothing earlier is known. `sure`
    is False where the change may have been a correction of the list. `batch_usd_per_mtok`: of the batch tier.
    """

    start: datetime
    after: datetime | None
    usd_per_mtok: dict[str, Decimal]
    batch_usd_per_mtok: dict[str, Decimal]
    source: Source
    sure: bool = True


class HistoryOffer(msgspec.Struct, frozen=True, kw_only=True):
    """One model at one provider over one channel. `gone`: the first list without it (None: it was in the last one)."""

    provider: str
    model: str
    channel: str
    mode: str
    prices: tuple[HistoryPrice, ...]
    gone: datetime | None = None


def providers() -> list[str]:
    """The providers that our history holds."""
    return sorted(_files())


def offers(provider: str | None = None) -> list[HistoryOffer]:
    """The offers of our history, or one provider's (none, where it holds no such provider)."""
    known = _files()
    chosen = sorted(known) if provider is None else [provider] if provider in known else []
    return [offer for name in chosen for offer in _packaged(name)]


def find(provider: str, names: Iterable[str], channel: str = "direct") -> HistoryOffer | None:
    """The offer of our history under the first of `names` that it holds; None where it holds none of them."""
    listed = {one.model.casefold(): one for one in offers(provider) if one.channel == channel}
    return next((found for name in names if (found := listed.get(name.casefold()))), None)


def price_on(past: HistoryOffer, moment: datetime) -> HistoryPrice | None:
    """What `past` charged at `moment`; None before its first price, and from when the lists no longer had it."""
    if past.gone is not None and moment >= past.gone:
        return None
    return next((price for price in reversed(past.prices) if price.start <= moment), None)


@cache
def _packaged(provider: str) -> tuple[HistoryOffer, ...]:
    file = _files()[provider]
    return tuple(read_history(file.read_text("utf-8"), f"data/history/{file.name}"))


@cache
def _files() -> dict[str, Traversable]:
    folder = files("farthing") / "data" / "history"
    return {file.name.removesuffix(_SUFFIX): file for file in folder.iterdir() if file.name.endswith(_SUFFIX)}


def read_history(text: str, place: str) -> list[HistoryOffer]:
    """The offers in the text of a history file; `place` is what errors call it.

    Raises `FarthingError` with line and repair for what is not such a file, days that do not ascend, unknown meters and
    sources, and prices that are no decimals of at least 0.
    """
    root = Document(text, place).table()
    sources = read_sources(root)
    provider = root.needed_text("provider")
    lines = root.needed_text("prices", 'write prices = """ and a line for each offer and price')
    root.finish()
    reader = _Reader(provider, sources, place)
    for number, line in enumerate(lines.split("\n"), root.document.lines["prices",] + 1):
        if line:
            reader.line(line, number)
    return reader.done()


class _Reader:
    """Reads the lines of one provider."""

    def __init__(self, provider: str, sources: Sources, place: str) -> None:
        self.provider, self.sources, self.place = provider, sources, place
        self.number = 0
        self.made: dict[tuple[str, str], HistoryOffer] = {}
        self.head: tuple[str, str, str, datetime | None] | None = None
        self.prices: list[HistoryPrice] = []
        self.days: dict[str, datetime] = {}
        self.releases: dict[str, Source] = {}

    def fail(self, reason: str, repair: str) -> FarthingError:
        return FarthingError(f"{self.place}:{self.number}: {reason} ({repair})")

    def line(self, line: str, number: int) -> None:
        self.number = number
        if line.startswith("@"):
            self.finish()
            self.head = self.offer(line.split()[1:])
        elif self.head is None:
            raise self.fail("a price before any offer", 'write a line such as "@ gpt-4o chat" before it')
        else:
            self.prices.append(self.price(line.split()))

    def done(self) -> list[HistoryOffer]:
        self.finish()
        return list(self.made.values())

    def finish(self) -> None:
        if self.head is None:
            return
        model, mode, channel, gone = self.head
        if not self.prices:
            raise self.fail(f"{model} has no price", "remove it, or write its prices under it")
        if (model, channel) in self.made:
            raise self.fail(f"{model} stands twice", "put its prices under one of the two")
        if gone is not None and gone <= self.prices[-1].start:
            raise self.fail(f"{model} is gone before its last price", "put gone= after it")
        self.made[model, channel] = HistoryOffer(
            provider=self.provider, model=model, channel=channel, mode=mode, prices=tuple(self.prices), gone=gone
        )
        self.prices = []

    def offer(self, words: list[str]) -> tuple[str, str, str, datetime | None]:
        if len(words) < 2:
            raise self.fail("an offer without id or mode", 'write "@ ID MODE", with - for an unknown mode')
        channel, gone = "direct", None
        for word in words[2:]:
            name, _, value = word.partition("=")
            if name == "channel" and value:
                channel = value
            elif name == "gone":
                gone = self.day(value)
            else:
                raise self.fail(f"{word!r} is not known here", "after the mode: channel=NAME or gone=DAY")
        return words[0], "" if words[1] == "-" else words[1], channel, gone

    def price(self, words: list[str]) -> HistoryPrice:
        if len(words) < 3:
            raise self.fail("a price line that is too short", "write DAY METER=USD … SOURCE")
        text, sure = words[0].removesuffix("?"), not words[0].endswith("?")
        before, between, begin = text.rpartition("<")
        start, after = self.day(begin), self.day(before) if between else None
        if after is not None and after >= start:
            raise self.fail(f"{text} ends before it begins", "the earlier day stands before <")
        if self.prices and start <= self.prices[-1].start:
            raise self.fail(f"{begin} is not after the line before it", "order the lines of an offer by day")
        usd: dict[str, Decimal] = {}
        batch: dict[str, Decimal] = {}
        for word in words[1:-1]:
            name, _, amount = word.partition("=")
            if name.startswith(_BATCH):
                self.put(batch, name.removeprefix(_BATCH), amount)
            else:
                self.put(usd, name, amount)
        return HistoryPrice(
            start=start,
            after=after,
            usd_per_mtok=usd,
            batch_usd_per_mtok=batch,
            source=self.source(words[-1]),
            sure=sure,
        )

    def put(self, usd: dict[str, Decimal], meter: str, amount: str) -> None:
        if meter not in METERS or METERS[meter].unit != "token":
            raise self.fail(f"{meter!r} is not a meter of tokens", "input, output, cache_read, cache_write, …")
        if meter in usd:
            raise self.fail(f"{meter} stands twice", "remove one of the two")
        try:
            value = Decimal(amount)
        except InvalidOperation:
            raise self.fail(f"{meter}={amount} is not a number", "write dollars per million tokens: 2.5") from None
        if not value.is_finite() or value < 0:
            raise self.fail(f"{meter}={amount} is not a price", "write a decimal of at least 0")
        usd[meter] = value

    def day(self, text: str) -> datetime:
        found = self.days.get(text)
        if found is None:
            try:
                day = date.fromisoformat(text)
            except ValueError:
                raise self.fail(f"{text!r} is not a day", "write 2024-05-13") from None
            found = self.days[text] = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return found

    def source(self, text: str) -> Source:
        found = self.releases.get(text)
        if found is None:
            name, _, release = text.partition("@")
            if name not in self.sources:
                raise self.fail(f"no [source.{name}]", "add it, or name one of: " + ", ".join(self.sources))
            found = self.sources[name]
            if release:
                found = msgspec.structs.replace(found, title=f"{found.title}, release {release}")
            self.releases[text] = found
        return found

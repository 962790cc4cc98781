"""What an hour of a rented GPU costs over time: published market averages, offers, and an index of matched sellers.

The three are kept apart. An average says what its publisher's basket cost; offers are lists, whose composition
changes as sellers come and go; the index links only sellers that are there at both ends of a step.
"""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from statistics import geometric_mean, median

import msgspec

from farthing.evidence import Grade, Source, worst
from farthing.index.formulas import jevons
from farthing.index.gpu_averages import Average, averages, disagreements
from farthing.problems import FarthingError
from farthing.serving import devices, market
from farthing.serving.market import Rent

FEWEST_SELLERS = 3
"""With fewer sellers on both sides of a step, an index would be one seller's price list."""
FEWEST_DATES = 3
"""Dates from which a publisher's figures are a series; below, the latest figure is worth more than two old ones."""
_BASE = 100.0


class RentPoint(msgspec.Struct, frozen=True, kw_only=True):
    """The rent of one device on a day, in dollars per GPU-hour: of `count` sellers the middle, lowest and highest.

    A market average counts as one statement (`count` 1); `source` names where it is stated ("" for offers), `basis`
    what it is an average of, where that is known.
    """

    day: date
    usd_per_hour: float
    low: float
    high: float
    count: int
    grade: Grade
    source: str = ""
    basis: str = ""
    sellers: tuple[str, ...] = ()


class IndexPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A rental index on a day. `count`: the sellers that the step to this day links; `moved`: how many changed."""

    day: date
    index: float
    count: int
    moved: int


class DeviceRents(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one device's rents for one term, oldest first.

    `averages`: published market averages, by publisher. `offers`: what sellers asked, at each day on which one
    of them changed or came. `index`: the chained Jevons index of matched sellers, 100 at its first day; empty
    where it is too thin (`notes` say why).
    """

    device: str
    title: str
    term: str
    averages: dict[str, tuple[RentPoint, ...]]
    offers: tuple[RentPoint, ...]
    index: tuple[IndexPoint, ...]
    sources: tuple[Source, ...]
    notes: tuple[str, ...]

    @property
    def main(self) -> tuple[RentPoint, ...]:
        """The series to show first: the averages of the publisher with most dates, or (where none has three) with the
        latest; the offers where nobody published an average."""
        return max(self.averages.values(), key=_weight, default=self.offers)

    @property
    def kind(self) -> str:
        """What `main` is: "average" or "offers"."""
        return "average" if self.averages else "offers"

    @property
    def grade(self) -> Grade:
        """The worst grade of `main`; every other point has its own."""
        return worst(point.grade for point in self.main)


def rented(name: str | None, term: str = "on-demand", since: date | None = None) -> list[DeviceRents]:
    """The rents of the devices that `name` may mean ("h100": SXM, PCIe, NVL); None: of all with a market average.

    Those with most dates come first. Raises `FarthingError` for an unknown device or term, and where no rent of
    the device is stated for the term.
    """
    ids = _meant(name) if name else devices.names()
    found = [of_device(one, market.rents(one, term=term), averages(one, term), term, since) for one in ids]
    if name:
        known = [one for one in found if one.averages or one.offers]
        if not known:
            raise FarthingError(_nothing(name, ids, term, since))
    else:
        known = [one for one in found if one.averages]
        if not known:
            when = f" since {since}" if since else ""
            raise FarthingError(f"no market average of {term} rents is known{when}; name a --device for its offers")
    return sorted(known, key=lambda one: (one.kind == "offers", -len(one.main), one.device))


def _weight(points: Sequence[RentPoint]) -> tuple[int, date]:
    return (len(points) if len(points) >= FEWEST_DATES else 0, points[-1].day)


def _meant(name: str) -> tuple[str, ...]:
    for bare, means in devices.ambiguous().items():
        if devices.key(bare) == devices.key(name):
            return means
    return (devices.find(name).id,)


def _nothing(name: str, ids: Iterable[str], term: str, since: date | None) -> str:
    others = sorted({rent.term for one in ids for rent in market.rents(one) if not rent.contradicted})
    when = f" since {since}" if since else ""
    if others == [term]:
        return f"no {term} rent of {name} is stated{when}; an earlier --since has some"
    hint = f"; stated are: {', '.join(others)}" if others else "; rents are in data/serving/rents.toml"
    return f"no {term} rent of {name} is stated{when}{hint}"


def of_device(
    device: str, rents: Sequence[Rent], published: Sequence[Average], term: str, since: date | None = None
) -> DeviceRents:
    """The series of one device from `rents` (offers are taken) and `published` averages, of that device and term."""
    known = [one for one in published if since is None or one.day >= since]
    notes = disagreements(known)
    wrong = sum(bool(rent.contradicted) for rent in rents)
    if wrong:
        notes.append(f"{wrong} statement{'s' * (wrong > 1)} known to be wrong left out")
    usable = [rent for rent in rents if not rent.contradicted]
    offers = [rent for rent in usable if rent.kind == "offer"]
    blocks = [rent for rent in offers if term in ("on-demand", "spot") and rent.min_hours > 1]
    if blocks:
        notes.append(f"{len(blocks)} offers left out that must be taken for days")
        offers = [rent for rent in offers if rent not in blocks]
    best, assumed = _trusted(offers)
    if assumed:
        notes.append(f"{assumed} second-hand offers (assumed) left out: sellers' own lists are there")
    index, why = matched(best, since)
    if why:
        notes.append(why)
    points = _offer_points(best, since)
    stated = [*(one.source for one in known), *(rent.source for rent in best)]
    used = {source.id: source for source in stated}
    return DeviceRents(
        device=device,
        title=devices.find(device).title,
        term=term,
        averages=_averages(known),
        offers=points,
        index=index,
        sources=tuple(used[key] for key in sorted(used)),
        notes=tuple(notes),
    )


def _averages(published: Iterable[Average]) -> dict[str, tuple[RentPoint, ...]]:
    found: dict[str, list[RentPoint]] = {}
    for one in sorted(published, key=lambda one: one.day):
        point = RentPoint(
            day=one.day, usd_per_hour=float(one.usd_per_gpu_hour), low=float(one.low), high=float(one.high), count=1,
            grade=one.source.grade, source=one.source.id, basis=one.basis,
        )  # fmt: skip
        found.setdefault(one.publisher, []).append(point)
    return {publisher: tuple(points) for publisher, points in found.items()}


def _trusted(offers: Sequence[Rent]) -> tuple[list[Rent], int]:
    """The offers that sellers stated themselves; all, where none did; and how many were left out."""
    good = [rent for rent in offers if rent.source.grade > Grade.ASSUMED]
    return (good, len(offers) - len(good)) if good else (list(offers), 0)


def _in_force(offers: Iterable[Rent], day: date) -> dict[str, Rent]:
    """Of each seller the offer that holds on `day`: its latest statement; of several sizes, the cheapest hour."""
    held: dict[str, Rent] = {}
    for rent in sorted(offers, key=lambda one: (one.valid_from, -one.usd_per_gpu_hour)):
        if rent.valid_from <= day:
            held[rent.provider] = rent
    return held


def _offer_points(offers: Sequence[Rent], since: date | None) -> tuple[RentPoint, ...]:
    points = []
    for day in _days(offers, since):
        held = _in_force(offers, day)
        prices = [float(rent.usd_per_gpu_hour) for rent in held.values()]
        points.append(
            RentPoint(
                day=day, usd_per_hour=median(prices), low=min(float(r.low) for r in held.values()),
                high=max(float(r.high) for r in held.values()), count=len(held),
                grade=worst(r.source.grade for r in held.values()), sellers=tuple(sorted(held)),
            )
        )  # fmt: skip
    return tuple(points)


def _days(offers: Iterable[Rent], since: date | None) -> list[date]:
    return sorted({rent.valid_from for rent in offers if since is None or rent.valid_from >= since})


def matched(offers: Sequence[Rent], since: date | None = None) -> tuple[tuple[IndexPoint, ...], str]:
    """The chained Jevons index of matched sellers, and why there is none ("" where there is one).

    At each day on which a statement begins, every line (seller, machine size, region) in force just before it
    and on it gives a relative p1/p0; a seller's relative is the geometric mean of its lines', the step is the
    geometric mean of the sellers' (exp(mean ln p1/p0)), and the index is the product of the steps. A line holds
    until its seller's next statement of it. Sellers that come or go enter or leave with no effect. The index
    begins where `FEWEST_SELLERS` are there.
    """
    lines: dict[tuple[str, int, str], list[Rent]] = {}
    for rent in sorted(offers, key=lambda one: one.valid_from):
        lines.setdefault((rent.provider, rent.gpus, rent.region), []).append(rent)
    days = _days(offers, since)
    points: list[IndexPoint] = []
    for day in days:
        relatives = _relatives(lines, day)
        if not points:
            started = {key[0] for key, stated in lines.items() if stated[0].valid_from <= day}
            if len(started) >= FEWEST_SELLERS:
                points.append(IndexPoint(day=day, index=_BASE, count=len(started), moved=0))
            continue
        step = jevons([1.0] * len(relatives), list(relatives.values()))
        moved = sum(relative != 1 for relative in relatives.values())
        points.append(IndexPoint(day=day, index=points[-1].index * step, count=len(relatives), moved=moved))
    most = len({key[0] for key in lines})
    if len(points) < 2:
        have = f"{most} seller{'s' * (most != 1)} with a list of their own" if most else "no seller's own list"
        return (), f"no matched index: {have}, {FEWEST_SELLERS} at two dates are the least"
    if not any(point.moved for point in points):
        return (), f"no matched index: none of {most} sellers is known to have changed its price"
    return tuple(points), ""


def _relatives(lines: dict[tuple[str, int, str], list[Rent]], day: date) -> dict[str, float]:
    """By seller, the geometric mean of its lines' p1/p0 on `day`; of sellers that were there before."""
    changes: dict[str, list[float]] = {}
    for (seller, _, _), stated in lines.items():
        before, after = _at(stated, day - timedelta(days=1)), _at(stated, day)
        if before is not None and after is not None:
            changes.setdefault(seller, []).append(float(after.usd_per_gpu_hour / before.usd_per_gpu_hour))
    return {seller: geometric_mean(relatives) for seller, relatives in changes.items()}


def _at(stated: Sequence[Rent], day: date) -> Rent | None:
    return next((rent for rent in reversed(stated) if rent.valid_from <= day), None)

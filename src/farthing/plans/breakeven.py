"""API against hosting: the monthly volume at which each wins, exactly, respecting capacity.

An API is a straight line in the volume; hosting is a staircase (`Option.usd`). Hosting wins first at
one volume, may lose again where a further block is due, and wins for good from another: both have
closed forms, since over whole steps the gap between line and staircase only grows (or only shrinks).
"""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil

import msgspec

from farthing.evidence import Grade, Source
from farthing.plans.fleet import MTOK, Load, Option, option
from farthing.plans.hosting import Capacity, Hosting, Owned, Power, check, grade_of
from farthing.plans.interval import Outcome, propagate
from farthing.problems import FarthingError

MARKS = tuple(Fraction(digit * 10**power) for power in range(8, 13) for digit in (1, 2, 5))[:-2]
INPUT_SHARES = tuple(Fraction(n, 100) for n in (0, 50, 75, 90, 95, 99))
UTILISATIONS = tuple(Fraction(n, 100) for n in (10, 25, 50, 75, 100))
_ISLANDS = 1000  # steps looked through for stretches where the API wins again


class ApiPrice(msgspec.Struct, frozen=True, kw_only=True):
    """What an API charges per million tokens. `cached_usd` None: unknown, so a load with cached tokens has no price."""

    name: str
    input_usd: Fraction
    output_usd: Fraction
    cached_usd: Fraction | None = None
    grade: Grade = Grade.ASSUMED
    sources: tuple[Source, ...] = ()

    def usd_per_token(self, load: Load) -> Fraction:
        """Dollars for the mean token of `load`. Raises `FarthingError` where it needs an unknown price."""
        cached = load.input_share * load.cached_share
        if cached and self.cached_usd is None:
            raise FarthingError(f"{self.name} states no price of cached input; leave out the cached share")
        plain = load.input_share * (1 - load.cached_share)
        return (
            plain * self.input_usd + cached * (self.cached_usd or 0) + (1 - load.input_share) * self.output_usd
        ) / MTOK


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """One way of hosting: the machines, what they do and what they draw."""

    hosting: Hosting
    capacity: Capacity
    power: Power | None = None

    @property
    def name(self) -> str:
        return self.hosting.name

    @property
    def grade(self) -> Grade:
        return grade_of(self.hosting, self.capacity, self.power if isinstance(self.hosting, Owned) else None)

    def option(self, load: Load) -> Option:
        """The costs of `load` here, at the best estimates."""
        check(self.hosting, self.capacity, self.power)
        return option(self.hosting, self.capacity, self.power, load)


class Crossing(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens a month: hosting is no dearer than the API from `first`, with exceptions, and from `settled` for good.

    None: never. `islands`: the stretches after `first` in which the API is cheaper again, from and to
    (None: for good); the first thousand of them.
    """

    first: Fraction | None
    settled: Fraction | None
    islands: tuple[tuple[Fraction, Fraction | None], ...] = ()


def crossing(hosted: Option, api_usd_per_token: Fraction) -> Crossing:
    """Where the staircase of `hosted` meets the line of an API.

    With n blocks needed, cost is C(n) + token × v for v up to k n. Hosting wins within step n if
    C(n) <= p k n, where p is the API's price less what a token adds; it has won the whole of a step if
    C(n) <= p k (n-1). Both conditions, once true past the minimum, stay true if p k > block cost.
    """
    price, step = api_usd_per_token - hosted.token_usd, hosted.sized_tokens()
    load = hosted.load

    def cost(blocks: int) -> Fraction:
        return hosted.fleet_usd + hosted.block_usd * (max(load.minimum, blocks) + load.spare)

    if cost(1) == 0:
        return Crossing(first=Fraction(0), settled=Fraction(0) if price >= 0 else None)
    if price <= 0:
        return Crossing(first=None, settled=None)
    gain = price * step - hosted.block_usd  # what one more step of the volume saves
    most = max(1, load.minimum)
    if gain > 0:
        most += ceil((cost(1) + price * step) / gain) + 1

    def smallest(lead: int) -> int | None:
        """The smallest n with C(n) <= p k (n - lead), which is monotone in n up to `most`."""
        if cost(most) > price * step * (most - lead):
            return None
        low, high = 1, most
        while low < high:
            half = (low + high) // 2
            if cost(half) <= price * step * (half - lead):
                high = half
            else:
                low = half + 1
        return low

    start = smallest(0)
    if start is None:
        return Crossing(first=None, settled=None)
    if gain <= 0:  # no further block is ever earned back: only the minimum fleet can win, and only up to its capacity
        return Crossing(first=cost(start) / price, settled=None, islands=((step * max(1, load.minimum), None),))
    whole = smallest(1)
    assert whole is not None
    islands: list[tuple[Fraction, Fraction | None]] = []
    for n in range(start, min(whole - 1, start + _ISLANDS)):
        until = cost(n + 1) / price
        if until > step * n:
            islands.append((step * n, until))
    return Crossing(first=cost(start) / price, settled=cost(whole - 1) / price, islands=tuple(islands))


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One volume: dollars a month at the API and at each host, blocks of each, and which is the cheapest."""

    volume: Fraction
    api_usd: Fraction
    hosted_usd: tuple[Outcome, ...]
    blocks: tuple[int, ...]
    gpus: tuple[int, ...]
    winner: str


class Against(msgspec.Struct, frozen=True, kw_only=True):
    """One host against the API. `utilisation`: the mean at which a large fleet costs as much; above 1: never."""

    host: Host
    option: Option
    crossing: Crossing
    first: Outcome
    settled: Outcome
    full_usd_per_mtok: Outcome
    utilisation: Outcome


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One point of the surface, for a large fleet at a mean utilisation: dollars per million tokens."""

    input_share: Fraction
    utilisation: Fraction
    api_usd: Fraction
    hosted_usd: tuple[Fraction, ...]
    winner: str


class Breakeven(msgspec.Struct, frozen=True, kw_only=True):
    """The whole comparison. `surface`: row by row of the input shares."""

    api: ApiPrice
    load: Load
    api_usd_per_mtok: Fraction
    against: tuple[Against, ...]
    curve: tuple[Point, ...]
    surface: tuple[Cell, ...]
    grade: Grade


def breakeven(api: ApiPrice, hosts: Sequence[Host], load: Load, volumes: Sequence[Fraction] = MARKS) -> Breakeven:
    """An API against ways of hosting the same load. Raises `FarthingError` for what cannot be."""
    load.check()
    if not hosts:
        raise FarthingError("state at least one way of hosting: --rent, --buy or both")
    per_token = api.usd_per_token(load)
    against = tuple(_against(api, host, load) for host in hosts)
    return Breakeven(
        api=api,
        load=load,
        api_usd_per_mtok=per_token * MTOK,
        against=against,
        curve=tuple(point(api, hosts, load, volume) for volume in volumes),
        surface=tuple(cell(api, hosts, load, share, use) for share in INPUT_SHARES for use in UTILISATIONS),
        grade=min(api.grade, *(host.grade for host in hosts)),
    )


def _against(api: ApiPrice, host: Host, load: Load) -> Against:
    made = host.option(load)
    per_token = api.usd_per_token(load)
    parts = (host.hosting, host.capacity, host.power)

    def first(h: Hosting, c: Capacity, p: Power | None) -> Fraction | None:
        return crossing(option(h, c, p, load), per_token).first

    def settled(h: Hosting, c: Capacity, p: Power | None) -> Fraction | None:
        return crossing(option(h, c, p, load), per_token).settled

    def full(h: Hosting, c: Capacity, p: Power | None) -> Fraction:
        return option(h, c, p, load).usd_per_mtok(Fraction(1))

    def use(h: Hosting, c: Capacity, p: Power | None) -> Fraction | None:
        o = option(h, c, p, load)
        saved = per_token - o.token_usd
        return o.block_usd / (o.block_tokens * saved) if saved > 0 else None

    return Against(
        host=host,
        option=made,
        crossing=crossing(made, per_token),
        first=propagate(first, *parts),
        settled=propagate(settled, *parts),
        full_usd_per_mtok=propagate(full, *parts),
        utilisation=propagate(use, *parts),
    )


def point(api: ApiPrice, hosts: Sequence[Host], load: Load, volume: Fraction) -> Point:
    """What a month of `volume` tokens costs at each."""
    options = [host.option(load) for host in hosts]
    usd = api.usd_per_token(load) * volume
    costs = {api.name: usd, **{o.name: o.usd(volume) for o in options}}
    return Point(
        volume=volume,
        api_usd=usd,
        hosted_usd=tuple(
            propagate(lambda h, c, p: option(h, c, p, load).usd(volume), host.hosting, host.capacity, host.power)
            for host in hosts
        ),
        blocks=tuple(o.blocks(volume) for o in options),
        gpus=tuple(o.blocks(volume) * o.gpus for o in options),
        winner=min(costs, key=lambda name: costs[name]),
    )


def cell(api: ApiPrice, hosts: Sequence[Host], load: Load, share: Fraction, utilisation: Fraction) -> Cell:
    """A large fleet at a mean utilisation and a share of input: what a million tokens cost at each."""
    mixed = msgspec.structs.replace(load, input_share=share)
    usd = api.usd_per_token(mixed) * MTOK
    hosted = tuple(host.option(mixed).usd_per_mtok(utilisation) for host in hosts)
    costs = {api.name: usd, **dict(zip((host.name for host in hosts), hosted, strict=True))}
    return Cell(
        input_share=share,
        utilisation=utilisation,
        api_usd=usd,
        hosted_usd=hosted,
        winner=min(costs, key=lambda name: costs[name]),
    )

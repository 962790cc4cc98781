"""Built-in workload profiles: usage for a team that has none yet, fitted to public traces.

A profile is data (`data/profiles.toml`: numbers, where they come from, how good they are); this module
reads it and draws from it. See `docs/workloads.md` for the fits and their errors.
"""

import heapq
import tomllib
from bisect import bisect_right
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import cache
from importlib.resources import files
from itertools import pairwise
from random import Random
from typing import Literal

import msgspec

from farthing.evidence import Grade, Source, worst
from farthing.problems import FarthingError
from farthing.time import aware
from farthing.usage.record import Usage

_PROBES = 4096  # points at which a table's mean is taken
_WARM_UP = 10  # mean durations of a session to run before the start: what began earlier has ended


class Table(msgspec.Struct, frozen=True):
    """A distribution by its quantiles: `values[i]` is not exceeded with probability `at[i]`.

    Between them the logarithm of the value runs straight (the value itself from 0 on).
    """

    at: tuple[float, ...]
    values: tuple[float, ...]

    def value(self, u: float) -> float:
        """The quantile at probability `u`, 0 <= u < 1."""
        i = bisect_right(self.at, u) - 1
        low, high = self.values[i], self.values[i + 1]
        along = (u - self.at[i]) / (self.at[i + 1] - self.at[i])
        if low <= 0 or low == high:
            return low + (high - low) * along
        return float(low * (high / low) ** along)

    def count(self, rng: Random) -> int:
        """A draw, to the nearest whole number."""
        return round(self.value(rng.random()))

    @property
    def mean(self) -> float:
        """The mean of whole-number draws."""
        return sum(round(self.value((i + 0.5) / _PROBES)) for i in range(_PROBES)) / _PROBES


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of session, `share` of all of them.

    turns: requests a session. gap_s: seconds from one request of a session to the next. output:
    tokens of an answer. What is asked next, and how much of it the last prompt has already said:

    * "append": the last prompt and its answer, then `new` tokens. `prompt` is the first one's length.
    * "repeat": the same `prompt` length again; all but about the last `new` tokens are the same.
    * "rising": each length is drawn from `prompt`, a session's in rising order; each begins with the last.
    """

    share: float
    next: Literal["append", "repeat", "rising"]
    turns: Table
    gap_s: Table
    prompt: Table
    output: Table
    new: Table


class Basis(msgspec.Struct, frozen=True, kw_only=True):
    """What one aspect of a profile rests on."""

    source: Source
    grade: Grade
    note: str


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of workload.

    `requests_per_second` is the mean rate; sessions start with gamma-distributed intervals whose
    coefficient of variation is `arrival_cv`. Sessions share their first `shared_prefix_tokens`.
    Prompts come in blocks of `block_tokens`. `provider` and `model` are those of the trace, if it
    says. `basis` gives the source and grade of "lengths", "arrivals" and "sessions".
    """

    name: str
    title: str
    what: str
    attribution: str
    licence: str
    provider: str | None
    model: str | None
    block_tokens: int
    shared_prefix_tokens: int
    requests_per_second: float
    arrival_cv: float
    basis: dict[str, Basis]
    parts: tuple[Part, ...]

    @property
    def grade(self) -> Grade:
        """The worst grade that the profile rests on."""
        return worst(basis.grade for basis in self.basis.values())

    @property
    def turns(self) -> float:
        """The mean number of requests a session."""
        return sum(part.share * part.turns.mean for part in self.parts)


class _RawSource(msgspec.Struct, forbid_unknown_fields=True):
    title: str
    where: str
    seen: date
    grade: str


class _RawBasis(msgspec.Struct, forbid_unknown_fields=True):
    source: str
    grade: str
    note: str = ""


class _RawPart(msgspec.Struct, forbid_unknown_fields=True):
    share: float
    next: Literal["append", "repeat", "rising"]
    turns: tuple[float, ...]
    gap_s: tuple[float, ...]
    prompt: tuple[float, ...]
    output: tuple[float, ...]
    new: tuple[float, ...]


class _RawProfile(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    title: str
    what: str
    attribution: str
    licence: str
    block_tokens: int
    shared_prefix_tokens: int
    requests_per_second: float
    arrival_cv: float
    basis: dict[str, _RawBasis]
    part: list[_RawPart]
    provider: str | None = None
    model: str | None = None


class _RawFile(msgspec.Struct, forbid_unknown_fields=True):
    quantiles: tuple[float, ...]
    source: dict[str, _RawSource]
    profile: list[_RawProfile]


def parse_profiles(text: str, place: str) -> dict[str, Profile]:
    """The profiles that the TOML `text` defines, by name.

    Raises `FarthingError`, naming `place` and the entry, for anything that is not as documented.
    """
    try:
        raw = msgspec.convert(tomllib.loads(text), _RawFile)
        sources = {
            key: Source(id=key, title=s.title, where=s.where, seen=s.seen, grade=Grade.parse(s.grade))
            for key, s in raw.source.items()
        }
        found = {profile.name: _profile(profile, raw.quantiles, sources) for profile in raw.profile}
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, ValueError) as error:
        raise FarthingError(f"{place}: {error}") from None
    if len(found) != len(raw.profile):
        raise FarthingError(f"{place}: two profiles have one name; rename one")
    return found


def _profile(raw: _RawProfile, at: tuple[float, ...], sources: dict[str, Source]) -> Profile:
    basis = {}
    for aspect in ("lengths", "arrivals", "sessions"):
        stated = raw.basis.get(aspect)
        if stated is None or stated.source not in sources:
            raise ValueError(f"profile {raw.name!r}: basis.{aspect} must name one of the sources: {', '.join(sources)}")
        basis[aspect] = Basis(source=sources[stated.source], grade=Grade.parse(stated.grade), note=stated.note)
    if abs(sum(part.share for part in raw.part) - 1) > 1e-9:
        raise ValueError(f"profile {raw.name!r}: the shares of its parts must add up to 1")
    if min(raw.block_tokens, raw.requests_per_second, raw.arrival_cv) <= 0 or raw.shared_prefix_tokens < 0:
        raise ValueError(f"profile {raw.name!r}: block size, rate and variation must be positive")
    parts = []
    for part in raw.part:
        tables = {name: _table(f"profile {raw.name!r}: {name}", at, getattr(part, name))
                  for name in ("turns", "gap_s", "prompt", "output", "new")}  # fmt: skip
        if tables["turns"].values[0] < 1 or tables["prompt"].values[0] < 1:
            raise ValueError(f"profile {raw.name!r}: a session has at least one turn, and a prompt one token")
        parts.append(Part(share=part.share, next=part.next, **tables))
    fields = {name: getattr(raw, name) for name in Profile.__struct_fields__ if name not in ("basis", "parts")}
    return Profile(**fields, basis=basis, parts=tuple(parts))


def _table(name: str, at: tuple[float, ...], values: tuple[float, ...]) -> Table:
    if len(at) < 2 or at[0] != 0 or at[-1] != 1 or any(a >= b for a, b in pairwise(at)):
        raise ValueError("quantiles must rise from 0 to 1")
    if len(values) == 1:
        values *= len(at)
    if len(values) != len(at):
        raise ValueError(f"{name} has {len(values)} values; write 1, or {len(at)}: one a quantile")
    if values[0] < 0 or any(a > b for a, b in pairwise(values)):
        raise ValueError(f"{name} must not be negative and must not fall")
    return Table(at, values)


@cache
def profiles() -> dict[str, Profile]:
    """The built-in profiles by name."""
    resource = files("farthing") / "data" / "profiles.toml"
    return parse_profiles(resource.read_text(encoding="utf-8"), "data/profiles.toml")


def profile(name: str) -> Profile:
    """The built-in profile called `name`. Raises `FarthingError` naming those that exist."""
    found = profiles().get(name)
    if found is None:
        raise FarthingError(f"unknown profile {name!r}; there are: {', '.join(profiles())}")
    return found


class _Session:
    """A session that is under way: what its next request will be."""

    def __init__(self, name: str, part: Part, rng: Random) -> None:
        self.name = name
        self.part = part
        self.left = max(1, part.turns.count(rng))  # requests still to come
        self.prompts = [part.prompt.count(rng) for _ in range(self.left if part.next == "rising" else 1)]
        self.prompts.sort(reverse=True)
        self.prompt = 0  # tokens of the last prompt
        self.output = 0  # and of its answer
        self.hashes: tuple[int, ...] = ()

    def ask(self, rng: Random, block: int, shared: tuple[int, ...], fresh: int) -> int:
        """Take the next turn: set prompt, output and hashes; returns the first block number not used."""
        before, part = self.prompt, self.part
        if not self.hashes:
            self.prompt = self.prompts.pop()
            known = shared[: self.prompt // block]
        elif part.next == "repeat":
            new = part.new.count(rng)
            # Only an unchanged prompt has its partial last block in common with the one before.
            same = min(max(0, round((before - new) / block)), before // block) if new else len(self.hashes)
            known = self.hashes[:same]
        else:
            self.prompt = before + self.output + part.new.count(rng) if part.next == "append" else self.prompts.pop()
            known = self.hashes[: before // block]
        last = fresh + -(-self.prompt // block) - len(known)
        self.hashes = known + tuple(range(fresh, last))
        self.output = part.output.count(rng)
        self.left -= 1
        return last


def generate(name: str, requests: int, seed: int, start: datetime) -> Iterator[Usage]:
    """`requests` records of profile `name`, in the order of their time, from `start` on.

    The same arguments give the same records. All prompt tokens are uncached `input`: what a cache
    would make of them is for a policy to say, from `session`, `at` and `prefix_hashes` (an answer is
    in no block until a later prompt repeats it). Sessions that began before `start` go on after it.
    Memory grows with the sessions that are open at one time, not with `requests`.

    Raises `FarthingError` for an unknown profile or a negative count, `ValueError` for a naive `start`.
    """
    if requests < 0:
        raise FarthingError(f"{requests} requests cannot be generated; ask for 0 or more")
    return _generate(profile(name), requests, seed, aware(start))


def _generate(chosen: Profile, requests: int, seed: int, start: datetime) -> Iterator[Usage]:
    rng = Random(seed)
    tags = {"profile": chosen.name}
    block = chosen.block_tokens
    # Blocks and sessions of different seeds differ, so that workloads can be mixed; 62 bits fit every file format.
    first = rng.getrandbits(30) << 32
    shared = tuple(range(first, first + chosen.shared_prefix_tokens // block))
    fresh = first + len(shared)

    interval = chosen.turns / chosen.requests_per_second  # mean seconds between the starts of sessions
    shape = chosen.arrival_cv**-2
    shares = [part.share for part in chosen.parts]
    next_start = -_WARM_UP * max(part.gap_s.mean * (part.turns.mean - 1) for part in chosen.parts)
    waiting: list[tuple[float, int, _Session]] = []  # a heap of when each open session asks next
    begun = 0
    while requests:
        if not waiting or next_start <= waiting[0][0]:
            begun += 1
            part = rng.choices(chosen.parts, shares)[0]
            heapq.heappush(waiting, (next_start, begun, _Session(f"{chosen.name}-{seed}-{begun}", part, rng)))
            next_start += rng.gammavariate(shape, interval / shape)
            continue
        at_s, number, session = heapq.heappop(waiting)
        fresh = session.ask(rng, block, shared, fresh)
        if session.left:
            gap_s = session.part.gap_s.value(rng.random())
            heapq.heappush(waiting, (at_s + gap_s, number, session))
        if at_s < 0:
            continue
        requests -= 1
        yield Usage(
            at=start + timedelta(seconds=at_s),
            quantities={"input": session.prompt, "output": session.output}
            if session.output
            else {"input": session.prompt},
            provider=chosen.provider,
            model_served=chosen.model,
            session=session.name,
            tags=tags,
            prefix_hashes=session.hashes,
            block_tokens=block,
        )

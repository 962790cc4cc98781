"""The requests of a simulation, as arrays: from usage records, or drawn."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from farthing.problems import FarthingError
from farthing.usage.record import Usage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

_LARGEST = 2**63 - 1


class Requests(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Requests in the order of their arrival; make them with `of`, `from_usage` or `synthetic`.

    `arrival_s`: seconds from any start. `priority`: the lower, the sooner. `cached_tokens`: tokens of the
    prompt that are taken as cached when it is first admitted (a recorded fact; not used where the
    simulation has a prefix cache of its own). What prompts share: request i begins with the pieces
    `prefix_ids[prefix_starts[i] : prefix_starts[i + 1]]` of so many `prefix_tokens`; an id stands for
    a piece and all that is before it. `left_out`: records that could not be used.
    """

    arrival_s: NDArray[np.float64]
    prompt_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    priority: NDArray[np.int64] | None = None
    cached_tokens: NDArray[np.int64] | None = None
    prefix_ids: NDArray[np.int64] | None = None
    prefix_tokens: NDArray[np.int64] | None = None
    prefix_starts: NDArray[np.int64] | None = None
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.arrival_s)

    @classmethod
    def of(
        cls,
        arrival_s: ArrayLike,
        prompt_tokens: ArrayLike,
        output_tokens: ArrayLike,
        *,
        priority: ArrayLike | None = None,
        cached_tokens: ArrayLike | None = None,
        prefixes: Iterable[Iterable[tuple[int, int]]] | None = None,
        left_out: int = 0,
    ) -> Requests:
        """Requests from columns of one length; `prefixes` has the (id, tokens) pieces of each.

        They are put in the order of arrival. Raises `FarthingError` for columns that do not fit together
        and for numbers that no request can have.
        """
        import numpy as np

        arrival = np.asarray(arrival_s, dtype=np.float64)
        columns: dict[str, Any] = {"prompt_tokens": prompt_tokens, "output_tokens": output_tokens}
        columns |= {"priority": priority, "cached_tokens": cached_tokens}
        columns = {name: np.asarray(column, dtype=np.int64) for name, column in columns.items() if column is not None}
        for name, column in columns.items():
            if column.shape != arrival.shape:
                raise FarthingError(f"{arrival.size} arrivals and {column.size} {name}: give one for each request")
        if not np.isfinite(arrival).all():
            raise FarthingError("an arrival time is not a finite number of seconds")
        for name, least in (("prompt_tokens", 1), ("output_tokens", 0), ("cached_tokens", 0)):
            if name in columns and arrival.size and columns[name].min() < least:
                place = int(columns[name].argmin())
                raise FarthingError(f"request {place + 1}: {name} is {columns[name][place]}, not {least} or more")
        order = np.argsort(arrival, kind="stable")
        pieces = _flat(prefixes, order) if prefixes is not None else {}
        sorted_columns = {name: column[order] for name, column in columns.items()}
        return cls(arrival_s=arrival[order], **sorted_columns, **pieces, left_out=left_out)

    @classmethod
    def from_usage(cls, records: Iterable[Usage], *, recorded_cache: bool = False) -> Requests:
        """The requests that `records` are, by the time they started (seconds from the first).

        What prompts share comes from `prefix_hashes`; where there are none, each turn of a session is
        taken to repeat the prompt of the turn before it, if it is not shorter (the answer in between is
        computed again: nothing tells where it stands). `recorded_cache`: recorded
        cache reads become `cached_tokens`. Records without a prompt and sums of several requests have
        no times of their own: they are counted in `left_out`. Raises `FarthingError` if nothing is left.
        """
        rows: list[_Row] = []
        left_out = 0
        for record in records:  # only what is needed is kept: a million records are large
            prompt = record.prompt_tokens
            if record.requests != 1 or prompt <= 0:
                left_out += 1
                continue
            size = record.block_tokens or -(-prompt // max(1, len(record.prefix_hashes)))
            session = (record.model, record.session) if record.session and not record.prefix_hashes else None
            made = (prompt, record.quantities.get("output", 0), record.quantities.get("cache_read", 0))
            rows.append((record.at, *made, record.prefix_hashes, size, session))
        if not rows:
            raise FarthingError(
                f"no request to simulate: {left_out} records have no prompt tokens or sum several requests"
            )
        rows.sort(key=lambda row: row[0])
        first = rows[0][0]
        known = any(row[4] or row[6] for row in rows)
        return cls.of(
            [(row[0] - first).total_seconds() for row in rows],
            [row[1] for row in rows],
            [row[2] for row in rows],
            cached_tokens=[row[3] for row in rows] if recorded_cache else None,
            prefixes=_prefixes(rows) if known else None,
            left_out=left_out,
        )

    @classmethod
    def synthetic(
        cls,
        count: int,
        *,
        rate_per_s: float | None,
        prompt_tokens: float,
        output_tokens: float,
        variation: float = 0.0,
        seed: int = 0,
    ) -> Requests:
        """`count` requests with Poisson arrivals of `rate_per_s` (None: all at once, for a closed loop).

        Lengths have the stated means; `variation` > 0: log-normal with that coefficient of variation.
        """
        import numpy as np

        if count < 0 or min(prompt_tokens, output_tokens) < 1 or (rate_per_s is not None and rate_per_s <= 0):
            raise FarthingError("synthetic requests need a count of 0 or more, lengths of 1 or more and a rate above 0")
        random = np.random.default_rng(seed)
        gaps = random.exponential(1 / rate_per_s, count) if rate_per_s is not None else np.zeros(count)

        def lengths(mean: float) -> NDArray[np.int64]:
            if variation <= 0:
                return np.full(count, round(mean), dtype=np.int64)
            sigma2 = np.log1p(variation**2)  # of a log-normal: cv² = exp(σ²) - 1, mean = exp(μ + σ²/2)
            drawn = random.lognormal(np.log(mean) - sigma2 / 2, np.sqrt(sigma2), count)
            return np.maximum(1, np.rint(drawn)).astype(np.int64)

        return cls.of(np.cumsum(gaps), lengths(prompt_tokens), lengths(output_tokens))


_Session = tuple[str | None, str]
_Row = tuple[datetime, int, int, int, tuple[int, ...], int, _Session | None]
"""Start, prompt tokens, output tokens, cache reads, hashes, tokens of a hashed block, session."""


def _flat(prefixes: Iterable[Iterable[tuple[int, int]]], order: NDArray[Any]) -> dict[str, Any]:
    """The pieces of all requests in three columns, requests in `order`. Raises `FarthingError` for too few."""
    import numpy as np

    flat, lengths = array("q"), array("q")
    for chain in prefixes:
        before = len(flat)
        for piece in chain:
            flat.extend(piece)
        lengths.append((len(flat) - before) // 2)
    if len(lengths) != len(order):
        raise FarthingError(f"{len(order)} arrivals and {len(lengths)} prefixes: give one for each request")
    pairs = np.array(flat, dtype=np.int64).reshape(-1, 2)
    counts = np.array(lengths, dtype=np.int64)
    begins = np.cumsum(counts) - counts
    counts, begins = counts[order], begins[order]
    starts = np.zeros(len(order) + 1, dtype=np.int64)
    np.cumsum(counts, out=starts[1:])
    places = np.arange(starts[-1]) - np.repeat(starts[:-1] - begins, counts)
    return {"prefix_ids": pairs[places, 0], "prefix_tokens": pairs[places, 1], "prefix_starts": starts}


def _prefixes(rows: list[_Row]) -> Iterator[list[tuple[int, int]]]:
    """The pieces of each prompt, in the order of time. Hashes count for blocks of their size; turns are below 0."""
    turns: dict[_Session, list[tuple[int, int]]] = {}
    for place, (_, prompt, _, _, hashes, size, session) in enumerate(rows):
        if hashes:
            yield [(hash((h, size)) & _LARGEST, size) for h in hashes]
        elif session:
            before = turns.get(session, [])
            known = sum(tokens for _, tokens in before)
            if known > prompt:  # not a continuation: a compaction, or another task
                before, known = [], 0
            turns[session] = [*before, (-1 - place, prompt - known)]
            yield turns[session]
        else:
            yield []

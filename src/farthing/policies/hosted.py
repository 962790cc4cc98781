"""Deployments of one's own among the candidates of a replay: "host:NAME" becomes an offer with computed rates."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from farthing.problems import FarthingError
from farthing.rates.book import Book
from farthing.units import CACHE_READS, PROMPT_METERS
from farthing.usage.record import Usage

if TYPE_CHECKING:
    from farthing.serving.estimate import Estimate
    from farthing.usage.table import UsageTable

PREFIX = "host:"
_MOST_CACHED = 0.99  # of a prompt: its end is always computed
_PLAIN = str.maketrans("*?[", "×._")  # as they are, these would make a pattern of an offer's name


class Lengths(msgspec.Struct, frozen=True, kw_only=True):
    """Mean tokens of a request: read (cached or not), written; and the share of what is read that was cached.

    `requests`: how many there are; `span_s`: from the first to the last, in seconds (0: no time is told).
    """

    input: float
    output: float
    cached: float
    requests: int = 0
    span_s: float = 0.0


def with_hosts(
    to: Sequence[str], book: Book, records: Callable[[], Iterator[Usage]], table: "UsageTable | None", today: date,
    file: Path | None = None,
) -> tuple[tuple[str, ...], Book]:  # fmt: skip
    """`to` with each "host:NAME" as an offer of `book`, which is given back with their rate cards in it.

    The rates are computed at the mean lengths of the usage: a machine's cost per token depends on them. What
    was read from a cache there is taken to be found in the machine's own prefix cache as often, unless the
    deployment states a `prefix_hit` of its own. Raises `FarthingError` for an unknown deployment, one that
    does not fit, and usage without tokens.
    """
    if not any(name.startswith(PREFIX) for name in to):
        return tuple(to), book
    from farthing.serving import hosted

    lengths = _of_table(table) if table is not None else _of_records(records())
    if lengths is None:
        raise FarthingError("the usage has no tokens, so no rate of a deployment can be computed for it")
    chosen, cards = [], []
    for name in to:
        if not name.startswith(PREFIX):
            chosen.append(name)
            continue
        one = hosted.parse(name.removeprefix(PREFIX), file)
        cached = min(lengths.cached, _MOST_CACHED)
        hit = one.prefix_hit if "prefix_hit" in one.stated else cached
        found = hosted.estimated(one, lengths.input, lengths.output, hit, today)
        plain = one.name.translate(_PLAIN)
        cards.append(hosted.card(plain, found, today, cached, _busy(found, lengths)))
        chosen.append(f"{hosted.PROVIDER}/{plain}")
    return tuple(chosen), book.with_cards(cards)


def _busy(found: "Estimate", lengths: Lengths) -> str:
    """How busy the usage as recorded would keep the machines, and what those hours cost."""
    if not lengths.span_s or found.requests_per_s is None or found.usd_per_gpu_hour is None:
        return ""
    hours = lengths.span_s / 3600
    share = lengths.requests / found.requests_per_s.value / lengths.span_s
    dollars = float(found.usd_per_gpu_hour) * found.deployment.count * hours
    much = f"keeps it {share:.2%} busy" if share < 1 else f"asks for {share:.3g} times what it does"
    return f"this usage {much}: the {hours:,.1f} hours that it spans cost ${dollars:,.2f}"


def _of_records(records: Iterable[Usage]) -> Lengths | None:
    requests = read = cached = written = 0
    first = last = None
    for one in records:
        requests += one.requests
        first, last = min(first or one.at, one.at), max(last or one.at, one.at)
        for name, count in one.quantities.items():
            if name in PROMPT_METERS:
                read += count
                cached += count if name in CACHE_READS else 0
            elif name == "output":
                written += count
    span_s = (last - first).total_seconds() if first is not None and last is not None else 0.0
    return _mean(requests, read, cached, written, span_s)


def _of_table(table: "UsageTable") -> Lengths | None:
    caches = " + ".join(f'coalesce(sum("{name}"), 0)' for name in table.meters if name in CACHE_READS) or "0"
    answers = 'coalesce(sum("output"), 0)' if "output" in table.meters else "0"
    query = f"SELECT sum(requests), sum({table.prompt_sql()}), {caches}, {answers} FROM {table.name}"
    [(requests, read, cached, written)] = table.connection.execute(query).fetchall()
    first, last = table.span() or (0, 0)
    return _mean(int(requests or 0), int(read or 0), int(cached), int(written), (last - first) / 1e6)


def _mean(requests: int, read: int, cached: int, written: int, span_s: float) -> Lengths | None:
    if not requests or not read + written:
        return None
    share = cached / read if read else 0.0
    return Lengths(
        input=read / requests, output=written / requests, cached=share, requests=requests, span_s=span_s
    )  # fmt: skip

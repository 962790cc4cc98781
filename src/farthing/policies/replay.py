"""Replay: what recorded usage cost, and what the same work would have cost anywhere else.

The usage is staged in columns and tallied once; each candidate offer is then priced on the tally.
Policies turn the usage into other usage first: another offer, the batch service, a prompt cache.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from fractions import Fraction

import msgspec

from farthing.charges.bill import Bill, Counterfactual, Rewrite, Served, bill_as_served
from farthing.charges.columns import Cuts, cuts_of
from farthing.charges.spread import Requests, Spread
from farthing.evidence import Grade, Source, worst
from farthing.money import Usd
from farthing.policies.prompt_cache import Behaviour, PromptCache, behaviour, tells_what_is_shared
from farthing.policies.rewrite import carry_over, chain, in_batch, stretched, uncached
from farthing.problems import FarthingError
from farthing.rates.book import Book
from farthing.rates.card import Offer, Price
from farthing.rates.rules import batch_rule, caching_rule
from farthing.rates.select import Facts, Unknown, price_at
from farthing.time import EPOCH, show_instant
from farthing.units import METERS, TOKEN_METERS
from farthing.usage.record import Usage
from farthing.usage.table import UsageTable, connect, from_micro

AS_IS, BATCH, PROMPT_CACHE = "as-is", "batch", "prompt-cache"
POLICIES = (AS_IS, BATCH, PROMPT_CACHE)
Progress = Callable[[int], None]
_ONE = Fraction(1)
_SPREADS = 200  # percentiles take milliseconds a row of the answer: left out of very long answers


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """A stated assumption: for offers whose id matches `offers` (a glob), so many times the tokens."""

    offers: str
    ratio: Fraction
    grade: Grade = Grade.ASSUMED


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask of the usage.

    `served`: the offer at which it ran ("provider/model"), for usage that does not say, or instead of
    what it says. `to`: offers (globs allowed) to price it at; empty: a short list, and all of the book
    summed up. `policies`: names joined by "+"; empty: each alone and both. `at`: price everything at
    one instant (the time of the week stays). `now`: what today is; usage that names no model is a workload
    and not a bill, and is priced at today's rates.
    `token_ratios`: tokens of that offer's tokenizer for each token of the usage; `answer_ratios`: the
    length of its answers, in the same words. The first that matches an offer counts; none is 1, assumed.
    """

    served: str | None = None
    to: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    at: datetime | None = None
    now: datetime
    token_ratios: tuple[Ratio, ...] = ()
    answer_ratios: tuple[Ratio, ...] = ()


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One offer under one policy. Amounts are exact dollars.

    `total_usd` is None while `unpriced_rows` is not 0; `known_usd` is then a lower bound. `ratio` is to
    the usage as it was. `usd_per_mtok` is per million tokens of the usage's own mix (as recorded).
    `shares` are parts of the cost by kind of meter; `lines` give each meter's count (1/scale units) and
    dollars (None: no row of it has a price).
    """

    offer: str
    policy: str
    total_usd: Usd | None
    known_usd: Usd
    ratio: Fraction | None
    usd_per_mtok: Fraction | None
    mean_usd: Usd | None
    spread: Spread | None
    shares: dict[str, Fraction]
    rows: int
    unpriced_rows: int
    reasons: dict[str, int]
    grade: Grade | None
    notes: tuple[str, ...]
    assumptions: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    lines: dict[str, tuple[int | Fraction, Usd | None]] = {}


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. `as_is` is the usage as it was; `models` the same by model served; `rows` the
    candidates asked for (or the short list) under each policy; `everywhere` every offer of the book
    as is, cheapest first (only where no offer was asked for); `unable` those that could not price it."""

    as_is: Row
    models: list[Row]
    rows: list[Row]
    everywhere: list[Row]
    unable: int
    usage_rows: int
    requests: int
    quantities: dict[str, int]
    first: datetime | None
    last: datetime | None
    relative: bool
    cacheable_rows: int
    notes: tuple[str, ...]


class _Staged:
    """The usage in columns, and again as each prompt cache would have left it."""

    def __init__(self, question: Question, served: Offer | None, table: UsageTable | None) -> None:
        self.question = question
        self.served = served
        self.connection = table.connection if table else connect()
        self.table = table or UsageTable(self.connection)
        self.relative = False
        self.nameless = all(subject.model is None for subject in self.table.subjects)
        self.cacheable = 0
        self.estimated = 0
        if table is not None and served is not None:
            table.subjects = [
                msgspec.structs.replace(s, provider=served.provider, model=served.model, channel=served.channel)
                for s in table.subjects
            ]

    def normal(self, usage: Usage) -> Usage:
        """`usage` on the clock of the question, and as served where it says."""
        if usage.relative:
            self.relative = True
            usage = msgspec.structs.replace(
                usage, at=_midnight(self.question.now) + (usage.at - EPOCH), completed=None, relative=False
            )
        self.nameless = self.nameless and usage.model is None
        if self.served is not None:
            usage = msgspec.structs.replace(
                usage, provider=self.served.provider, model_served=self.served.model, channel=self.served.channel
            )
        return usage

    def stage(self, records: Iterable[Usage], progress: Progress) -> None:
        for number, usage in enumerate(map(self.normal, records), 1):
            self.table.add(usage)
            self.cacheable += tells_what_is_shared(usage)
            self.estimated += usage.estimated
            if number % 65_536 == 0:
                progress(number)
        self.table.flush()

    def cached(self, records: Iterable[Usage], ways: Sequence[Behaviour], progress: Progress) -> list[UsageTable]:
        """One table for each way of caching, in a single pass over the records, in order of time."""
        tables = [UsageTable(self.connection, f"cached_{number}") for number in range(len(ways))]
        caches = [PromptCache(way) for way in ways]
        for number, usage in enumerate(map(self.normal, records), 1):
            for cache, table in zip(caches, tables, strict=True):
                table.add(cache.apply(usage))
            if number % 65_536 == 0:
                progress(number)
        for table in tables:
            table.flush()
        return tables


def replay(
    records: Callable[[], Iterator[Usage]],
    book: Book,
    question: Question,
    progress: Progress = lambda rows: None,
    table: UsageTable | None = None,
) -> Replay:
    """Price the usage as it was and as `question` asks. `records` gives the usage afresh each time.

    `table`: the usage already in columns (`view_parquet`), which then is not read through `records`;
    prompt caches cannot be simulated on it.

    Raises `FarthingError` for an unknown offer or policy, or usage without a row.
    """
    policies = [_policy(name) for name in question.policies]
    served = book.find(question.served) if question.served else None
    staged = _Staged(question, served, table)
    if table is None:
        staged.stage(records(), progress)
    table = staged.table
    if not table.rows:
        raise FarthingError("no usable row of usage; `farthing usage FILE` says what was rejected and why")

    nameless = Unknown("the usage names no model; --from OFFER says where it was served")
    if question.at is None and (staged.nameless or staged.relative):
        question = msgspec.structs.replace(question, at=question.now)
    offers = {
        n: book.lookup(subject.provider, subject.model) if subject.model else nameless
        for n, subject in enumerate(table.subjects)
    }
    own = bill_as_served(table, offers, question.at)
    quantities = _sums(table)
    tokens = sum(n for name, n in quantities.items() if name in TOKEN_METERS)
    baseline = own.bill.total_usd
    requests = Requests(own.tally)

    def row(offer: str, policy: str, bill: Bill, spread: Spread | None, assumptions: Sequence[str] = ()) -> Row:
        return _row(offer, policy, bill, spread, baseline, tokens, assumptions)

    as_is = row(_served_name(offers), AS_IS, own.bill, requests.spread(own.priced))
    models = _by_model(own, offers, row) if len({_name(offer) for offer in offers.values()}) > 1 else []

    asked = _candidates(book, question.to)
    candidates = asked or list(book.offers())
    cuts = Cuts()
    for offer in candidates:
        cuts |= _cuts(offer, question)
    asker = _Asker(Counterfactual(table, cuts), question, {_name(o) for o in offers.values()})
    everywhere = []
    if not asked:
        for offer in candidates:
            bill = asker.bill(offer, None)[0]
            if bill.unpriced < bill.rows:
                everywhere.append(row(offer.id, AS_IS, bill, None, asker.assumptions(offer)))
    unable = len(candidates) - len(everywhere) if not asked else 0
    everywhere.sort(key=lambda r: (r.total_usd is None, r.total_usd or r.known_usd, r.offer))

    shown = asked or _short_list(book, offers.values())
    # Where nothing tells what prompts share, a cache is simulated only if it is asked for by name.
    both = [(PROMPT_CACHE,), (BATCH, PROMPT_CACHE)] if staged.cacheable else []
    combos = policies or [(AS_IS,), (BATCH,), *both]
    spread = len(shown) * len(combos) <= _SPREADS
    ways: dict[str, Behaviour | None] = {}
    moment = question.at or from_micro((table.span() or (0, 0))[1])
    if any(PROMPT_CACHE in combo for combo in combos):
        for offer in shown:
            rule = caching_rule(offer.provider, offer.model, moment)
            ways[offer.id] = behaviour(rule) if rule else None
    distinct = list(dict.fromkeys(way for way in ways.values() if way is not None))
    cached: dict[Behaviour, _Asker] = {}
    if distinct and staged.cacheable:
        for way, again in zip(distinct, staged.cached(_in_time(records), distinct, progress), strict=True):
            cached[way] = _Asker(Counterfactual(again, cuts), question, asker.own)
    rows = []
    for offer in shown:
        for combo in combos:
            rows.append(_answer(offer, combo, asker, cached, ways.get(offer.id), moment, spread, row))
    span = table.span()
    return Replay(
        as_is=as_is,
        models=models,
        rows=rows,
        everywhere=everywhere,
        unable=unable,
        usage_rows=table.rows,
        requests=own.bill.requests,
        quantities=quantities,
        first=from_micro(span[0]) if span else None,
        last=from_micro(span[1]) if span else None,
        relative=staged.relative,
        cacheable_rows=staged.cacheable,
        notes=tuple(_notes(staged, question)),
    )


def _in_time(records: Callable[[], Iterator[Usage]]) -> Iterator[Usage]:
    """The records in order of their start, as a cache meets them; sorted only where they are not so already.

    Files are mostly in order; a window of records is held back to mend small disorder.
    """
    import heapq

    held: list[tuple[datetime, int, Usage]] = []
    for number, usage in enumerate(records()):
        heapq.heappush(held, (usage.at, number, usage))
        if len(held) > 100_000:
            yield heapq.heappop(held)[2]
    while held:
        yield heapq.heappop(held)[2]


class _Asker:
    """Prices one tally at any offer, with the assumptions that the question states."""

    def __init__(self, counterfactual: Counterfactual, question: Question, own: set[str]) -> None:
        self.counterfactual = counterfactual
        self.question = question
        self.own = own
        self.requests: Requests | None = None

    def ratios(self, offer: Offer) -> tuple[Fraction, Fraction]:
        return _ratios(offer, self.question)

    def assumptions(self, offer: Offer) -> list[str]:
        if offer.id in self.own:
            return []
        tokens, answers = self.ratios(offer)
        return [f"tokens x{float(tokens):g} (another tokenizer)", f"answers x{float(answers):g} as long"]

    def bill(self, offer: Offer, rewrite: Rewrite | None, spread: bool = False) -> tuple[Bill, Spread | None]:
        tokens, answers = self.ratios(offer)
        stretch = stretched(tokens, answers) if (tokens, answers) != (_ONE, _ONE) else None
        whole = chain(stretch, carry_over, rewrite)
        priced: dict[int, tuple[Price, Facts]] = {}
        bill = self.counterfactual.bill(
            offer,
            whole,
            at=self.question.at,
            price_of=_price_then_or_first,
            cuts=_cuts(offer, self.question),
            priced=priced if spread else None,
        )
        first = offer.prices[0].valid_from if offer.prices else None
        if first is not None and bill.usd and self.question.at is None and self._starts_before(first):
            bill.notes[f"not yet offered then: priced at its first rates, of {show_instant(first)}"] += 1
            bill.lower_grade(Grade.DERIVED)
        if not spread:
            return bill, None
        if self.requests is None:
            self.requests = Requests(self.counterfactual.tally)
        return bill, self.requests.spread(priced, whole)

    def _starts_before(self, moment: datetime) -> bool:
        span = self.counterfactual.tally.table.span()
        return span is not None and from_micro(span[0]) < moment


def _price_then_or_first(offer: Offer, at: datetime) -> Price | Unknown:
    """The record in force at `at`; where the offer did not exist yet, its first."""
    price = price_at(offer, at)
    if isinstance(price, Unknown) and offer.prices:
        first = offer.prices[0]
        if first.valid_from is not None and at < first.valid_from:
            return first
    return price


def _answer(
    offer: Offer,
    combo: tuple[str, ...],
    asker: _Asker,
    cached: dict[Behaviour, _Asker],
    way: Behaviour | None,
    moment: datetime,
    spread: bool,
    row: Callable[..., Row],
) -> Row:
    policy = "+".join(combo)
    use, notes = asker, []
    rewrite: Rewrite | None = in_batch if BATCH in combo else None
    rule = batch_rule(offer.provider, offer.model, moment) if BATCH in combo else None
    if rule is not None and rule.cached == "none":
        rewrite = chain(uncached, rewrite)
        notes.append("batch and prompt caching do not stack there: nothing is cached in a batch")
    elif PROMPT_CACHE in combo:
        if way is None:
            rewrite = chain(uncached, rewrite)
            notes.append("no prompt cache is known of this offer: everything is uncached")
        elif way not in cached:
            notes.append("nothing tells what prompts share (no block hashes, no sessions): left as it was")
        else:
            use = cached[way]
    bill, spreading = use.bill(offer, rewrite, spread)
    for note in notes:
        bill.notes[note] += 1
    assumptions = asker.assumptions(offer)
    if use is not asker:
        assumptions.append("cache simulated under the provider's rule")
        bill.lower_grade(Grade.DERIVED)
    made: Row = row(offer.id, policy, bill, spreading, assumptions)
    return made


def _row(
    offer: str, policy: str, bill: Bill, spread: Spread | None, baseline: Usd | None, tokens: int,
    assumptions: Sequence[str],
) -> Row:  # fmt: skip
    total = bill.total_usd
    grade = worst((bill.grade, Grade.ASSUMED)) if assumptions else bill.grade
    priced = bool(bill.usd_by_meter)
    return Row(
        offer=offer,
        policy=policy,
        total_usd=total,
        known_usd=bill.usd,
        ratio=total / baseline if total is not None and baseline else None,
        usd_per_mtok=total * 1_000_000 / tokens if total is not None and tokens else None,
        mean_usd=total / bill.requests if total is not None and bill.requests else None,
        spread=spread,
        shares=_shares(bill),
        rows=bill.rows,
        unpriced_rows=bill.unpriced,
        reasons=dict(bill.reasons.most_common()),
        grade=grade if priced else None,
        notes=tuple(bill.notes),
        assumptions=tuple(assumptions),
        sources=tuple(bill.sources.values()),
        lines={name: (n, bill.usd_by_meter.get(name)) for name, n in bill.quantity_by_meter.items()},
    )


def _shares(bill: Bill) -> dict[str, Fraction]:
    """Parts of the known cost by meter, largest first."""
    if not bill.usd:
        return {}
    parts = sorted(bill.usd_by_meter.items(), key=lambda item: -item[1])
    return {name: usd / bill.usd for name, usd in parts if usd}


def _policy(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split("+"))
    for name in names:
        if name not in POLICIES:
            raise FarthingError(f"unknown policy {name!r}; the policies are {', '.join(POLICIES)}, joined by +")
    chosen = tuple(name for name in (BATCH, PROMPT_CACHE) if name in names)
    return chosen or (AS_IS,)


def _candidates(book: Book, wanted: Sequence[str]) -> list[Offer]:
    found: dict[str, Offer] = {}
    for text in wanted:
        if any(sign in text for sign in "*?["):
            matching = [offer for offer in book.offers() if fnmatchcase(offer.id.casefold(), text.casefold())]
            if not matching:
                raise FarthingError(f"no offer matches --to {text!r}; `farthing prices list` shows them")
        else:
            matching = [book.find(text)]
        found.update((offer.id, offer) for offer in matching)
    return list(found.values())


def _short_list(book: Book, own: Iterable[Offer | Unknown]) -> list[Offer]:
    import tomllib
    from importlib import resources

    text = (resources.files("farthing") / "data" / "shortlist.toml").read_text("utf-8")
    found = {offer.id: offer for offer in own if isinstance(offer, Offer)}
    for name in tomllib.loads(text)["offers"]:
        offer = book.find(name)
        found.setdefault(offer.id, offer)
    return list(found.values())


def _ratios(offer: Offer, question: Question) -> tuple[Fraction, Fraction]:
    def first(ratios: Sequence[Ratio]) -> Fraction:
        return next((r.ratio for r in ratios if fnmatchcase(offer.id.casefold(), r.offers.casefold())), _ONE)

    return first(question.token_ratios), first(question.answer_ratios)


def _cuts(offer: Offer, question: Question) -> Cuts:
    """The cuts of `offer`; where its tokens are stretched by r, a threshold at t is one at ceil(t / r)."""
    cuts = cuts_of(offer.prices)
    tokens, answers = _ratios(offer, question)
    if (tokens, answers) == (_ONE, _ONE):
        return cuts
    edges = set()
    for of, edge in cuts.measures:
        output = of != "prompt" and METERS[of].direction == "output"
        ratio = tokens * answers if output else tokens
        edges.add((of, -(-edge // ratio)))
    return msgspec.structs.replace(cuts, measures=frozenset(edges))


def _sums(table: UsageTable) -> dict[str, int]:
    if not table.meters:
        return {}
    sums = ", ".join(f'sum("{name}")' for name in table.meters)
    [found] = table.connection.execute(f"SELECT {sums} FROM {table.name}").fetchall()
    return {name: int(n) for name, n in zip(table.meters, found, strict=True) if n}


def _name(offer: Offer | Unknown) -> str:
    return offer.id if isinstance(offer, Offer) else ""


def _served_name(offers: dict[int, Offer | Unknown]) -> str:
    names = sorted({_name(offer) for offer in offers.values()})
    return names[0] or "unknown" if len(names) == 1 else f"{len(names)} offers"


def _by_model(own: Served, offers: dict[int, Offer | Unknown], row: Callable[..., Row]) -> list[Row]:
    from farthing.charges.bill import total

    def label(number: int) -> str:
        subject = own.tally.table.subjects[number]
        return (
            _name(offers[number]) or "/".join(part for part in (subject.provider, subject.model) if part) or "unknown"
        )

    numbers = sorted(own.by_subject, key=label)
    made = [
        row(name, AS_IS, total(own.by_subject[n] for n in group), None)
        for name, group in itertools.groupby(numbers, key=label)
    ]
    return sorted(made, key=lambda r: -r.known_usd)


def _notes(staged: _Staged, question: Question) -> Iterator[str]:
    if staged.estimated:
        yield f"{staged.estimated:,} rows come from logs that can undercount: their counts are estimates"
    if staged.relative:
        yield "the usage gives only offsets in time"
    if question.at is not None:
        why = ": the usage names no model, so it is a workload and not a bill" if staged.nameless else ""
        yield f"priced at the rates of {show_instant(question.at)}{why}"
    buckets = [s for s in staged.table.subjects if s.bucket and "context_window" not in dict(s.attrs)]
    if buckets:
        yield "some rows sum several requests: context tiers are judged by their mean request"


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)

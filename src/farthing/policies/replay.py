"""Replay: what recorded usage cost, and what the same work would have cost anywhere else.

The usage is staged in columns and tallied once; each candidate offer is then priced on the tally.
Policies turn the usage into other usage first: another offer, the batch service, a prompt cache.
"""

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase

import msgspec

from farthing.charges.bill import Bill, Counterfactual, Rewrite, Served, bill_as_served, total
from farthing.charges.columns import Cuts
from farthing.charges.spread import Requests, Spread
from farthing.evidence import Grade
from farthing.policies.asker import Asker, cuts_at
from farthing.policies.prompt_cache import Behaviour, behaviour
from farthing.policies.question import (
    AS_IS,
    AS_SERVED,
    BATCH,
    PROMPT_CACHE,
    Question,
    Replay,
    Row,
    make_row,
    parse_policy,
)
from farthing.policies.rewrite import chain, in_batch, uncached
from farthing.policies.staged import Progress, Staged, in_time
from farthing.problems import FarthingError
from farthing.rates.book import Book
from farthing.rates.card import Offer
from farthing.rates.kept import as_priced
from farthing.rates.rules import batch_rule, caching_rule
from farthing.rates.select import Unknown
from farthing.time import show_instant
from farthing.units import TOKEN_METERS
from farthing.usage.record import Usage
from farthing.usage.table import UsageTable, from_micro

_SIMULATED = "cache simulated under the provider's rule"
OWN = "host"  # the provider that stands for machines of one's own (`serving.hosted`)
_SPREADS = 200  # percentiles take milliseconds a row of the answer: left out of very long answers


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
    policies = [parse_policy(name) for name in question.policies]
    served = book.find(question.served) if question.served else None
    staged = Staged(question, served, table)
    if table is None:
        staged.stage(records(), progress)
    table = staged.table
    if not table.rows:
        raise FarthingError("no usable row of usage; `farthing usage FILE` says what was rejected and why")

    if question.at is None and (staged.nameless or staged.relative):
        question = msgspec.structs.replace(question, at=question.now)
    offers, as_charged = _offers(table, book)
    own = bill_as_served(table, offers, question.at)
    quantities = _sums(table)
    tokens = sum(n for name, n in quantities.items() if name in TOKEN_METERS)
    baseline = own.bill.total_usd
    requests = Requests(own.tally)

    def row(offer: str, policy: str, bill: Bill, spread: Spread | None, assumptions: Sequence[str] = ()) -> Row:
        return make_row(offer, policy, bill, spread, baseline, tokens, assumptions)

    as_is = row(_served_name(offers), AS_IS, own.bill, requests.spread(own.priced))
    models = _by_model(own, offers, row) if len({_name(offer) for offer in offers.values()}) > 1 else []

    asked = _candidates(book, question.to)
    candidates = asked or list(book.offers())
    cuts = Cuts()
    for offer in candidates:
        cuts |= cuts_at(offer, question)
    own_ids = {o.id for o in offers.values() if isinstance(o, Offer)}
    asker = Asker(Counterfactual(table, cuts), question, own_ids)
    everywhere = []
    if not asked:
        for offer in candidates:
            bill = asker.bill(offer, None)[0]
            if bill.unpriced < bill.rows:
                made = row(offer.id, AS_IS, bill, None, asker.assumptions(offer))
                everywhere.append(msgspec.structs.replace(made, too_long_rows=asker.too_long(offer)))
    unable = len(candidates) - len(everywhere) if not asked else 0
    everywhere.sort(key=lambda r: (r.total_usd is None, r.total_usd or r.known_usd, r.offer))

    shown = asked or _short_list(book, offers.values())
    # Where nothing tells what prompts share, a cache is simulated only if it is asked for by name.
    both = [(PROMPT_CACHE,), (BATCH, PROMPT_CACHE)] if staged.cacheable else []
    combos = policies or [(AS_IS,), (BATCH,), *both]
    spread = len(shown) * len(combos) <= _SPREADS
    moment = question.at or from_micro((table.span() or (0, 0))[1])
    ways: dict[str, Behaviour | None] = {}
    if any(PROMPT_CACHE in combo for combo in combos):
        for offer in [*shown, *(o for o in offers.values() if isinstance(o, Offer))]:
            rule = caching_rule(offer.provider, offer.model, moment)
            ways[offer.id] = behaviour(rule) if rule else None
    distinct = list(dict.fromkeys(way for way in ways.values() if way is not None))
    cached: dict[Behaviour, Asker] = {}
    if distinct and staged.cacheable:
        for way, again in zip(distinct, staged.cached(in_time(records), distinct, progress), strict=True):
            cached[way] = Asker(Counterfactual(again, cuts), question, asker.own)

    rows = []
    if asker.own and (len(asker.own) > 1 or not asker.own & {offer.id for offer in shown}):
        for combo in combos:
            if combo != (AS_IS,):
                bill, assumptions = _as_served(offers, combo, asker, cached, ways, moment)
                rows.append(row(AS_SERVED, "+".join(combo), bill, None, assumptions))
    for offer in shown:
        for combo in combos:
            if not policies and BATCH in combo and offer.provider == OWN:
                continue  # one's own machines have no batch service
            rows.append(_answer(offer, combo, asker, cached, ways, moment, spread, row))
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
        notes=(*_notes(staged, question), *as_charged),
        unmeasured=sum(c.rows for c in own.tally.cells if table.subjects[c.subject].unmeasured),
    )


def _offers(table: UsageTable, book: Book) -> tuple[dict[int, Offer | Unknown], list[str]]:
    """The offer at which each subject was served, and notes on those that the source charged in a way of its own."""
    offers: dict[int, Offer | Unknown] = {}
    notes = dict[str, None]()
    for number, one in enumerate(table.subjects):
        if one.model is None:
            offers[number] = Unknown("the usage names no model; --from OFFER says where it was served")
            continue
        offers[number], note = as_priced(book, one.provider, one.model, one.region, one.priced)
        if note:
            notes[note] = None
    return offers, list(notes)


def _plan(
    offer: Offer, combo: tuple[str, ...], cached: Collection[Behaviour], ways: Mapping[str, Behaviour | None],
    moment: datetime,
) -> tuple[Behaviour | None, Rewrite | None, str]:  # fmt: skip
    """What a policy means at an offer: (the prompt cache to simulate, the rewrite of each request, a note)."""
    rewrite: Rewrite | None = in_batch if BATCH in combo else None
    rule = batch_rule(offer.provider, offer.model, moment) if BATCH in combo else None
    if rule is not None and rule.cached == "none":
        note = "batch and prompt caching do not stack there: nothing is cached in a batch"
        return None, chain(uncached, rewrite), note
    if PROMPT_CACHE not in combo:
        return None, rewrite, ""
    way = ways.get(offer.id)
    if way is None:
        return None, chain(uncached, rewrite), "no prompt cache is known of this offer: everything is uncached"
    if way not in cached:
        return None, rewrite, "nothing tells what prompts share (no block hashes, no sessions): left as it was"
    return way, rewrite, ""


def _answer(
    offer: Offer,
    combo: tuple[str, ...],
    asker: Asker,
    cached: Mapping[Behaviour, Asker],
    ways: Mapping[str, Behaviour | None],
    moment: datetime,
    spread: bool,
    row: Callable[..., Row],
) -> Row:
    way, rewrite, note = _plan(offer, combo, cached, ways, moment)
    bill, spreading = (cached[way] if way else asker).bill(offer, rewrite, spread)
    if note:
        bill.notes[note] += 1
    if longer := asker.too_long(offer):
        bill.notes[f"{longer:,} requests are longer than its context of {offer.context_window:,} tokens"] += 1
    assumptions = asker.assumptions(offer)
    if way:
        assumptions.append(_SIMULATED)
        bill.lower_grade(Grade.DERIVED)
    made: Row = row(offer.id, "+".join(combo), bill, spreading, assumptions)
    return msgspec.structs.replace(made, too_long_rows=longer)


def _as_served(
    offers: Mapping[int, Offer | Unknown],
    combo: tuple[str, ...],
    asker: Asker,
    cached: Mapping[Behaviour, Asker],
    ways: Mapping[str, Behaviour | None],
    moment: datetime,
) -> tuple[Bill, list[str]]:
    """The bill of every request at its own offer under one policy, and what it assumes."""
    table = asker.counterfactual.tally.table
    plans = {n: _plan(o, combo, cached, ways, moment) for n, o in offers.items() if isinstance(o, Offer)}
    bills, notes = [], {note for _, _, note in plans.values() if note}
    for way in dict.fromkeys(plans[n][0] if n in plans else None for n in offers):
        use = cached[way].counterfactual.tally.table if way else table
        chosen = [n for n in offers if (plans[n][0] if n in plans else None) == way]
        # The cached tables number the same subjects in another order.
        number = {subject: n for n, subject in enumerate(use.subjects)} if way else {}
        mine = {number[table.subjects[n]] if way else n: n for n in chosen}
        rewrites = {m: rewrite for m, n in mine.items() if n in plans and (rewrite := plans[n][1]) is not None}
        made = bill_as_served(use, {m: offers[n] for m, n in mine.items()}, asker.question.at, rewrites)
        bills += [made.by_subject[m] for m in mine]
    bill = total(bills)
    bill.notes.update(dict.fromkeys(notes, 1))
    simulated = any(way for way, _, _ in plans.values())
    return bill, [_SIMULATED] if simulated else []


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
    def label(number: int) -> str:
        subject = own.tally.table.subjects[number]
        return (
            _name(offers[number]) or "/".join(part for part in (subject.provider, subject.model) if part) or "unknown"
        )

    made = []
    for name, numbers in itertools.groupby(sorted(own.by_subject, key=label), key=label):
        group = set(numbers)
        whole = row(name, AS_IS, total(own.by_subject[n] for n in group), None)
        # Per million of this offer's own tokens, not of the whole usage's.
        cells = (cell.quantities for cell in own.tally.cells if cell.subject in group)
        tokens = sum(n for counts in cells for meter, n in counts.items() if meter in TOKEN_METERS)
        each = whole.total_usd * 1_000_000 / tokens if whole.total_usd is not None and tokens else None
        made.append(msgspec.structs.replace(whole, usd_per_mtok=each))
    return sorted(made, key=lambda r: -r.known_usd)


def _notes(staged: Staged, question: Question) -> Iterator[str]:
    if staged.estimated:
        yield f"{staged.estimated:,} rows come from logs that can undercount: their counts are estimates"
    if staged.relative:
        yield "the usage gives only offsets in time"
    if question.at is not None:
        day = show_instant(question.at)[:10]
        if staged.nameless:
            yield f"the usage itself names no model: priced at the rates of {day}, not of its own time"
        else:
            yield f"priced at the rates of {day}"
    buckets = [s for s in staged.table.subjects if s.bucket and "context_window" not in dict(s.attrs)]
    if buckets:
        yield "some rows sum several requests: context tiers are judged by their mean request"

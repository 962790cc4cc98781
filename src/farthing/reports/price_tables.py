"""The price book's views as tables for a terminal of at most 100 columns."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from farthing.evidence import Grade
from farthing.money import decimal_text, show_usd
from farthing.problems import Problem
from farthing.rates.book import Book
from farthing.rates.card import ALWAYS, Offer, Price
from farthing.rates.check import STALE_DAYS, Account, Checked
from farthing.rates.compare import Comparison, Platform, platform
from farthing.rates.describe import describe, describe_terms, describe_unit
from farthing.rates.family import family
from farthing.rates.rules import CachingRule, batch_rule, caching_rule
from farthing.rates.select import Unknown, price_at
from farthing.reports.past_lists import said_then, told
from farthing.reports.prices import (
    HistoryRow,
    OfferRow,
    ProviderRow,
    conflicts_of,
    ordered,
    rate_text,
    statements,
)
from farthing.time import show_instant
from farthing.units import METERS

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_CONFLICTS_SHOWN = 20
_PROBLEMS_SHOWN = 20
_LONG = 9  # digits beyond which a price is shown rounded; JSON has all of them


def money(amount: Fraction | None) -> str:
    """An amount as published, with at least two decimals; "–" where none is known."""
    if amount is None:
        return "–"
    text = decimal_text(amount)
    if len(text) > _LONG:
        return show_usd(amount).removeprefix("$")
    whole, _, cents = text.partition(".")
    return f"{int(whole):,}.{cents:0<2}"


def share(amount: Fraction | None, signed: bool = True) -> str:
    """A share as a percentage: 1/10 is "+10 %"."""
    if amount is None:
        return "–"
    percent = float(amount * 100)
    return (
        f"{percent:{'+' if signed and amount else ''}.{0 if abs(percent) >= 10 or percent == int(percent) else 1}f} %"
    )


def say(screen: "Console", text: str) -> None:
    """Print `text` as it is: brackets and colons in ids and notes are no markup."""
    screen.print(text, markup=False, emoji=False)


def _add(table: "Table", *cells: str) -> None:
    from rich.text import Text

    table.add_row(*map(Text, cells))


def _table(*columns: str, left: int = 1) -> "Table":
    """A plain table: the first `left` columns are text, the others numbers."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for position, name in enumerate(columns):
        if position < left:
            table.add_column(name, overflow="fold")
        else:
            table.add_column(name, justify="right", no_wrap=True)
    return table


# --- list -----------------------------------------------------------------------------------------


def providers_table(screen: "Console", rows: Sequence[ProviderRow], limit: int, at: datetime) -> None:
    """One line a provider, the first `limit` (0: all)."""
    table = _table("Provider", "Channel", "Offers", "Priced", "Free", "Output: low", "median", "high", left=2)
    for row in rows[: limit or None]:
        _add(table, row.provider, row.channel, str(row.offers), str(row.priced), str(row.free or ""),
             money(row.lowest), money(row.median), money(row.highest))  # fmt: skip
    say(screen, f"Prices at {show_instant(at)}: dollars per million output tokens, of offers that charge for them.\n")
    screen.print(table)
    say(
        screen,
        f"\n{sum(r.offers for r in rows):,} offers of {len(rows)} providers; "
        f"{sum(r.offers - r.priced for r in rows):,} without a price now"
        + (f", {len(rows) - limit} providers not shown" if 0 < limit < len(rows) else "")
        + ".\n"
        "`farthing prices list PROVIDER` shows its offers; `--model GLOB` finds a model everywhere.",
    )


def offers_table(screen: "Console", rows: Sequence[OfferRow], limit: int, at: datetime) -> None:
    """One line an offer, the first `limit` (0: all)."""
    shown = rows[:limit] if limit else rows
    many = len({row.offer.provider for row in shown}) > 1
    table = _table("Offer" if many else "Model", "Mode", "Input", "Cached", "Output", "Grade", left=2)
    for row in shown:
        prices = [money(q.usd) for q in (row.input, row.cached, row.output)]
        if row.otherwise:
            prices = ["", "", row.otherwise]
        elif not row.priced:
            prices = ["", "", "unknown"]
        name = row.offer.id if many else row.offer.model
        _add(table, name, row.mode, *prices, "" if row.grade is None else str(row.grade))
    say(screen, f"Prices at {show_instant(at)}: dollars per million tokens, standard tier, short prompt.\n")
    screen.print(table)
    left = len(rows) - len(shown)
    unknown = sum(not row.priced for row in rows)
    say(
        screen,
        f"\n{len(rows):,} offers" + (f", {left:,} not shown (--limit 0 shows all)" if left else "")
        + (f", {unknown} without a price now" if unknown else "") + "."
    )  # fmt: skip


# --- show -----------------------------------------------------------------------------------------


def offer_page(screen: "Console", book: Book, offer: Offer, at: datetime) -> None:
    """Everything known of one offer: rates, conditions, rules, sources, conflicts."""
    facts = [offer.title, f"channel {platform(offer)}", offer.region or "", offer.mode,
             f"context {offer.context_window:,}" if offer.context_window else "",
             f"retires {offer.retires}" if offer.retires else ""]  # fmt: skip
    say(screen, f"{offer.id}  ({', '.join(fact for fact in facts if fact)})")
    if offer.aliases:
        say(screen, f"Also called: {', '.join(offer.aliases)}")
    if offer.note:
        say(screen, f"Note: {offer.note}")
    price = price_at(offer, at, book.as_of)
    if isinstance(price, Unknown):
        say(screen, f"\nNo price at {show_instant(at)}: {price.reason}.")
    else:
        _rates(screen, price, at)
        said = said_then(offer, price, at)
        if said:
            say(screen, f"\n{told(said, offer.id)}")
    _rules(screen, offer, at)
    _sources(screen, book, offer, at)


def _rates(screen: "Console", price: Price, at: datetime) -> None:
    since = f"in force since {show_instant(price.valid_from)}" if price.valid_from else "undated"
    until = f", until {show_instant(price.valid_to)}" if price.valid_to else ""
    say(screen, f"\nPrice at {show_instant(at)} ({since}{until}):\n")
    table = _table("Meter", "When", "Price", "per", left=2)
    last = ""
    for rate in ordered(price.rates):
        name, last = ("" if rate.meter == last else rate.meter), rate.meter
        when = "" if rate.when == ALWAYS else describe(rate.when)
        terms = "; ".join(describe_terms(rate) if rate.amount is not None else [rate.note] * bool(rate.note))
        words = f"{when} ({terms})" if when and terms else when or terms
        if rate.source is not None:
            words = f"{words} [{rate.source.id}, {rate.source.grade}]".strip()
        _add(table, name, words, rate_text(rate, price), describe_unit(rate.meter, rate.per))
    screen.print(table)
    for modifier in price.modifiers:
        meters = ", ".join(sorted(modifier.meters)) if modifier.meters else "all tokens"
        if len(modifier.meters) > 6:
            meters = "all tokens but cached ones" if not any("cache" in m for m in modifier.meters) else meters
        note = f" ({modifier.note})" if modifier.note else ""
        say(screen, f"× {decimal_text(modifier.factor)} on {meters}: {describe(modifier.when)}{note}")
    if price.minimum_usd is not None:
        say(screen, f"A request costs at least ${decimal_text(price.minimum_usd)}.")
    if price.currency != "USD":
        say(screen, f"One {price.currency} is ${decimal_text(price.usd)}.")


def _rules(screen: "Console", offer: Offer, at: datetime) -> None:
    caching, batch = caching_rule(offer.provider, offer.model, at), batch_rule(offer.provider, offer.model, at)
    if caching is not None:
        say(screen, f"\nPrompt caching: {caching_words(caching)} [{caching.source.grade}]")
    if batch is not None:
        cached = {"discounted": "cached tokens are discounted too", "full": "cached tokens are not discounted",
                  "none": "nothing is cached"}.get(batch.cached or "", "")  # fmt: skip
        window = f"results within {batch.window_h} h" if batch.window_h else ""
        words = ", ".join(part for part in (f"× {decimal_text(batch.factor)}", window, cached) if part)
        say(screen, f"Batch: {words} [{batch.source.grade}]")


def caching_words(rule: CachingRule) -> str:
    """A caching rule in one line."""
    parts = [rule.mode if rule.mode != "none" else "none at a lower price"]
    if rule.min_tokens is not None:
        parts.append(f"from {rule.min_tokens:,} tokens")
    if rule.step > 1:
        parts.append(f"in steps of {rule.step}")
    parts += [f"write for {ttl.name} × {decimal_text(ttl.write)}" for ttl in rule.ttls]
    if rule.read is not None:
        parts.append(f"read × {decimal_text(rule.read)} of the input price")
    if rule.storage_usd_per_mtok_hour is not None:
        parts.append(f"storage ${decimal_text(rule.storage_usd_per_mtok_hour)} per 1M token-hours")
    return ", ".join(parts)


def _sources(screen: "Console", book: Book, offer: Offer, at: datetime) -> None:
    found = statements(book, offer, at)
    if found:
        say(screen, "\nSources, the most trusted first; the first decides:")
        for layer, price in found:
            seen = f", seen {price.source.seen}" if price.source.seen else ""
            dated = f", from {show_instant(price.valid_from)}" if price.valid_from else ", undated"
            note = f": {price.note}" if price.note else ""
            say(screen, f"  {layer}: {price.source.title} [{price.source.grade}{seen}{dated}]{note}")
            say(screen, f"    {price.source.where}")
    conflicts = conflicts_of(book, offer, at)
    for c in conflicts:
        say(screen, f"Conflict: {c.meter} is {c.used} by {c.used_source}, {c.other} by {c.other_source} "
                     f"[{c.other_grade}]")  # fmt: skip
    if not conflicts:
        say(screen, "No conflict between sources at that time.")


# --- compare --------------------------------------------------------------------------------------


def comparison_table(screen: "Console", found: Comparison) -> None:
    """One model at every host, the cheapest first, and the clouds' mark-ups."""
    table = _table("Offer", "Input", "Cached", "Output", "3:1", "Ratio", "Grade")
    for h in found.hosts:
        ratio = "free" if h.blended == 0 else "–" if h.ratio is None else f"{float(h.ratio):.2f}"
        _add(table, h.offer.id, *(money(q.usd) for q in (h.input, h.cached, h.output)), money(h.blended), ratio,
             "" if h.grade == Grade.VENDOR_STATED else str(h.grade))  # fmt: skip
    say(screen, f"{found.family} in {len(found.hosts)} offers at {show_instant(found.at)}: dollars per million tokens.")
    say(screen, "3:1 is three parts of input to one of output; the ratio is to the cheapest that charges.\n"
                "Prices are vendor-stated where no grade is named.\n")  # fmt: skip
    screen.print(table)
    if found.markups:
        table = _table("Platform", "Model id", "Input", "Output", "3:1", left=2)
        for m in found.markups:
            _add(table, m.platform, m.host.offer.model, share(m.input), share(m.output), share(m.blended))
        say(screen, f"\nMark-up over the maker's own price ({found.markups[0].direct.offer.id}):\n")
        screen.print(table)
    elif found.maker is None:
        say(screen, "\nNo mark-ups: no maker that sells this model itself is known.")
    left = [f"{found.variants} batch offers and moving pointers"] * bool(found.variants)
    left += [f"{found.unpriced} without a token price now"] * bool(found.unpriced)
    if left:
        say(screen, f"\nLeft out: {', '.join(left)}.")


def clouds_table(screen: "Console", rows: Sequence[Platform], at: datetime) -> None:
    """Each cloud platform's mark-ups, and the claims of documents beside them."""
    table = _table("Platform", "Offers", "Same price", "Median", "Lowest", "Highest", "of", "Claimed", left=1)
    table.columns[6].justify = "left"
    table.columns[6].no_wrap = False
    for row in rows:
        claimed = ", ".join(f"{share(Fraction(c.low))} to {share(Fraction(c.high))}" for c in row.claims)
        if not row.markups:
            _add(table, row.platform, "0", "", "–", "–", "–", "", claimed)
            continue
        low, high = row.markups[0], row.markups[-1]
        _add(table, row.platform, str(len(row.markups)), str(row.equal), share(row.median), share(low.blended),
                      share(high.blended), family(high.host.offer.model) if high.blended else "", claimed)  # fmt: skip
    say(screen, f"Mark-up of cloud platforms over the makers' own prices at {show_instant(at)}, blended 3:1 of input\n"
                "and output, over all models that both offer; \"of\" names the model of the highest.\n")  # fmt: skip
    screen.print(table)
    doubtful = sum(row.doubtful for row in rows)
    sources = {c.source.title for row in rows for c in row.claims}
    say(screen, f"\nClaimed by: {'; '.join(sorted(sources))}." if sources else "")
    say(screen, "Left out: batch and free variants, moving pointers, and what the book prices as the maker's offer"
                 + (f"; {doubtful} offers with an assumed price." if doubtful else "."))  # fmt: skip


# --- history --------------------------------------------------------------------------------------


def history_table(screen: "Console", offer: Offer, rows: Iterable[HistoryRow], left_out: int) -> None:
    """Dated rates in order of time, both clocks."""
    table = _table("From (UTC)", "Recorded", "Meter", "Price", "Change", "When", "Source", "Grade", left=3)
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    for column in table.columns[5:]:
        column.justify, column.no_wrap, column.overflow = "left", False, "fold"
    last: tuple[object, ...] = ()
    for row in rows:
        record = (row.layer, row.valid_from, row.recorded)
        start = _day(row.valid_from) if row.valid_from else "undated"
        recorded = f"{row.recorded:%Y-%m-%d}" if row.recorded else ""
        words = [describe(row.when)] * (row.when != ALWAYS)
        again = record == last
        words += [f"began after {_day(row.after)}"] if row.after and not again else []
        words += ["or a correction"] * (row.unclear and not again)
        words += [f"withdrawn {_day(row.valid_to)}"] if row.valid_to and not again else []
        _add(table, "" if again else start, "" if again else recorded, row.meter, money(row.usd),
             share(row.change) if row.change is not None else "", ", ".join(words), row.source.id,
             str(row.source.grade))  # fmt: skip
        last = record
    say(screen, f"{offer.id}: dollars per published unit ({describe_unit('input', METERS['input'].per)} for tokens). "
                "A change is to the record before of the same source.\n")  # fmt: skip
    screen.print(table)
    if left_out:
        say(screen, f"\n{left_out} rates of other meters, or under a condition, not shown: --meter M shows a meter's.")


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}".removesuffix(" 00:00")


# --- check and import -----------------------------------------------------------------------------


def accounts_table(screen: "Console", accounts: Sequence[Account], repaired: bool = True) -> None:
    """What was read of each source, what could not be expressed, and (unless only counted) repaired numbers."""
    table = _table("Source", "Entries", "Expressed", "No price", "Not expr.", "Repaired", "Zero", "Undated")
    for a in accounts:
        counts = (a.read, a.expressed, a.priceless, len({p.place for p in a.not_expressed}), len(a.repaired),
                  a.zero_rows, a.undated)  # fmt: skip
        _add(table, a.name, *(f"{count:,}" for count in counts))
    screen.print(table)
    for a in accounts:
        _problems(screen, f"{a.name}: not expressed", a.not_expressed)
        _problems(screen, f"{a.name}: ambiguous", a.ambiguous)
        if repaired:
            _problems(screen, f"{a.name}: numbers that a binary float had spoilt", a.repaired, shown=5)


def _problems(screen: "Console", title: str, problems: Sequence[Problem], shown: int = _PROBLEMS_SHOWN) -> None:
    if problems:
        say(screen, f"\n{title} ({len(problems)}):")
        for problem in problems[:shown]:
            say(screen, f"  {problem}")
        if len(problems) > shown:
            say(screen, f"  … {len(problems) - shown} more (--json lists all)")


def conflicts_table(screen: "Console", checked: Checked, shown: int = _CONFLICTS_SHOWN) -> None:
    """Conflicts between sources: counts by pair, then the first ones."""
    if not checked.conflicts:
        say(screen, "\nNo conflicts between sources.")
        return
    counts: Any = _table("Used", "Says otherwise", "Conflicts", left=2)
    for (used, other), number in checked.pairs.most_common(_CONFLICTS_SHOWN):
        _add(counts, used, other, str(number))
    say(screen, f"\n{len(checked.conflicts):,} conflicts between sources:\n")
    screen.print(counts)
    if not shown:
        return
    table = _table("Offer", "Meter", "At", "Used", "Otherwise", "by", left=3)
    for c in checked.conflicts[:shown]:
        day = c.at.date().isoformat()
        _add(table, c.offer, c.meter, day, c.used, c.other, f"{c.other_source} [{c.other_grade}]")
    screen.print()
    screen.print(table)
    if len(checked.conflicts) > shown:
        say(screen, f"… {len(checked.conflicts) - shown:,} more (--json lists all)")


def stale_lines(screen: "Console", checked: Checked) -> None:
    """Sources that nobody has looked at for long."""
    if not checked.stale:
        say(screen, f"\nEvery dated source was seen within {STALE_DAYS} days.")
        return
    say(screen, f"\nNot seen for over {STALE_DAYS} days ({len(checked.stale)}):")
    for source in checked.stale:
        say(screen, f"  {source.seen}  {source.id}: {source.title}")

"""`farthing reconcile`: usage against an invoice, the difference explained line by line."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.cli.common import Cards, Json, book_with, console, print_json, progress

if TYPE_CHECKING:
    from fractions import Fraction

    from rich.table import Table
    from rich.text import Text

    from farthing.charges.reconciliation.reconcile import GroupResult, Reconciliation
    from farthing.rates.book import Book
    from farthing.usage.record import Usage

_MOST = 12  # groups, unknown meters and rejected rows shown in tables; --json has all
_EVERY = 10_000


def reconcile(
    usage: Annotated[Path, typer.Argument(metavar="USAGE", help="A usage file, or a folder of them.")],
    invoice: Annotated[Path, typer.Argument(metavar="INVOICE", help="A cost export or invoice: JSON, JSONL or CSV.")],
    format: Annotated[
        str | None, typer.Option("--format", metavar="F", help="The usage's format, where it is not detected.")
    ] = None,
    card: Cards = None,
    as_json: Json = False,
) -> None:
    """Compare what usage costs with what was billed, and explain the difference line by line.

    Example: farthing reconcile usage.jsonl costs.json
    """
    run(book_with(card), [usage], invoice, format, as_json)


def run(book: "Book", usage_paths: Sequence[Path | str], invoice_path: Path | str, format: str | None,
        as_json: bool) -> int:  # fmt: skip
    """Read both sides, reconcile and print. Returns the exit status: 0, also where something stays unexplained.

    Raises `FarthingError` for files that are not there or not what they should be.
    """
    from farthing.charges.reconciliation.invoice import read_invoice
    from farthing.charges.reconciliation.reconcile import reconcile
    from farthing.problems import Problems
    from farthing.usage.read import read_usage

    problems = Problems()
    lines = read_invoice(invoice_path, problems)
    with progress("reading usage") as tell:

        def counted() -> "Iterator[Usage]":
            for number, usage in enumerate(read_usage(usage_paths, problems, format), 1):
                if number % _EVERY == 0:
                    tell(number)
                yield usage

        result = reconcile(counted(), book.offer_of, lines, problems)
    if as_json:
        print_json(result.to_json())
    else:
        screen = console()
        for table in tables(result):
            screen.print(table)
    return 0


def tables(result: "Reconciliation") -> "Iterator[Table | Text | str]":
    """What a person wants first: both totals, then why they differ, then where, then what is left out."""
    from rich.table import Table
    from rich.text import Text

    from farthing.money import show_usd
    from farthing.reports.usage import clean

    totals = Table(box=None, show_header=False, pad_edge=False)
    totals.add_column(style="bold")
    totals.add_column(justify="right")
    totals.add_column(style="dim")
    totals.add_row("Billed", show_usd(result.billed_usd), f"{result.invoice_lines:,} lines of the invoice")
    totals.add_row("Charged", show_usd(result.charged_usd), f"{result.rows:,} rows of usage at the price book")
    totals.add_row("Difference", _signed(result.difference_usd), "billed less charged")
    if result.unexplained_usd:
        totals.add_row("Unexplained", _signed(result.unexplained_usd), "of the difference")
    yield totals
    if result.lines:
        reasons = Table(title="Why they differ", title_justify="left", title_style="bold", pad_edge=False)
        reasons.add_column("USD", justify="right", no_wrap=True)
        reasons.add_column("explanation")
        reasons.add_column("evidence")
        for line in result.lines:
            reasons.add_row(_signed(line.usd), line.explanation, Text(clean(line.evidence)))
        reasons.add_section()
        reasons.add_row(_signed(result.difference_usd), "difference", "")
        yield ""
        yield reasons
        yield ""
        yield _where(result.groups)
    elif not result.unknown:
        yield "\nThe invoice and the usage agree in every group."
    if result.unknown:
        yield ""
        yield _unknown(result)
    if result.rejected_total:
        yield f"\n{result.rejected_total:,} rows rejected:"
        yield from (Text(f"  {clean(str(problem))}") for problem in result.rejected[:_MOST])


def _where(groups: "Sequence[GroupResult]") -> "Table":
    from rich.table import Table
    from rich.text import Text

    from farthing.money import show_usd
    from farthing.reports.usage import clean
    from farthing.time import show_instant

    apart = sorted((g for g in groups if g.difference_usd), key=lambda g: -abs(g.difference_usd))
    more = f"; the {_MOST} largest of {len(apart):,}, --json has all" if len(apart) > _MOST else ""
    table = Table(title=f"Where they differ{more}", title_justify="left", title_style="bold", pad_edge=False)
    for name in ("from", "model", "meter"):
        table.add_column(name)
    for name in ("billed", "charged", "difference"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in apart[:_MOST]:
        charged = show_usd(one.charged_usd) + (" + unknown" if one.unpriced else "")
        day, model = show_instant(one.group.span.start), Text(clean(one.group.family))
        kind, apart_by = one.group.kind or "all", _signed(one.difference_usd)
        table.add_row(day, model, kind, show_usd(one.billed_usd), charged, apart_by)
    return table


def _unknown(result: "Reconciliation") -> "Table":
    from rich.table import Table
    from rich.text import Text

    from farthing.money import decimal_text
    from farthing.reports.usage import clean

    table = Table(title="Usage without a price (not in the charge)", title_justify="left", title_style="bold",
                  pad_edge=False)  # fmt: skip
    for name in ("model", "meter", "quantity", "reason"):
        table.add_column(name, justify="right" if name == "quantity" else "left")
    for one in result.unknown[:_MOST]:
        table.add_row(
            Text(clean(one.model or "(no model)")), one.meter, decimal_text(one.quantity), Text(clean(one.reason))
        )
    if len(result.unknown) > _MOST:
        table.add_row(f"and {len(result.unknown) - _MOST} more", "", "", "--json has all")
    return table


def _signed(usd: "Fraction") -> str:
    from farthing.money import show_usd

    return f"+{show_usd(usd)}" if usd > 0 else show_usd(usd)

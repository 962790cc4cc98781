"""What the verbs share: option types, JSON output, the book with the user's cards, progress."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farthing.problems import FarthingError

if TYPE_CHECKING:
    from rich.console import Console

    from farthing.rates.book import Book

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Cards = Annotated[
    list[Path] | None, typer.Option("--card", metavar="FILE", help="A rate card of your own (TOML); repeatable.")
]
At = Annotated[str | None, typer.Option("--at", metavar="INSTANT", help="2026-11-21 or 2026-11-21T09:30:00Z.")]


def instant(text: str | None) -> datetime | None:
    """The instant that an option states. Raises `FarthingError` with the repair."""
    from farthing.time import parse_instant

    try:
        return parse_instant(text) if text is not None else None
    except ValueError as error:
        raise FarthingError(str(error)) from None


def book_with(cards: list[Path] | None, as_of: datetime | None = None) -> "Book":
    """The price book, with the user's cards before everything else."""
    from farthing.rates.book import Book
    from farthing.rates.toml import load_card

    return Book([load_card(card) for card in cards or []], as_of)


def print_json(value: Any) -> None:
    """Print `value` (already in JSON's types) as indented JSON; in ASCII where the output cannot take the rest."""
    import json

    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:  # half a character of a file's name, or a terminal of another encoding
        text = json.dumps(value, indent=2)
    sys.stdout.write(text + "\n")


def console() -> "Console":
    """Where tables go: as wide as the terminal, 100 columns where there is none."""
    from farthing.cli.screen import Screen

    return Screen()


@contextmanager
def share(what: str) -> Iterator[Callable[[int, int], None]]:
    """A function to call with (done, of all): a bar on stderr, and only on a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def progress(what: str) -> Iterator[Callable[[int], None]]:
    """A function to call with the number of rows done: shown on stderr, and only on a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda rows: None
        return
    from rich.console import Console

    with Console(stderr=True).status(what) as status:
        yield lambda rows: status.update(f"{what}: {rows:,} rows")

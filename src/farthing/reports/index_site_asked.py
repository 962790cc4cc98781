"""What the site asks of the index, and the parts that its pages are made of."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from itertools import pairwise
from typing import Any

import msgspec

from farthing.index.kinds import Kind, Mix, blended
from farthing.index.line import Line
from farthing.index.lines import Survey
from farthing.problems import FarthingError
from farthing.rates.book import Book
from farthing.reports.index_site import Page, Section

View = Mapping[str, Any]
LEVEL = 0.9  # of intervals


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the site is of. `missing` gathers what could not be made, page by page."""

    book: Book
    at: datetime
    mix: Mix
    surveyed: Survey

    @property
    def lines(self) -> Sequence[Line]:
        return self.surveyed.lines

    @property
    def kind(self) -> Kind:
        return blended(self.mix)


class Gathered:
    """The sections of a page that could be made, and why the others could not."""

    def __init__(self) -> None:
        self.sections: list[Section] = []
        self.missing: list[str] = []

    def add(self, id: str, chart: str, command: str, make: Callable[[], View], pictured: bool = True) -> View | None:
        """Make a view and its section; what is too thin to say is kept as a reason."""
        try:
            view = make()
        except FarthingError as error:
            self.missing.append(f"{command}: {error}")
            return None
        self.sections.append(Section(id=id, chart=chart, view=view, command=f"farthing index {command}",
                                     pictured=pictured))  # fmt: skip
        return view


def page(file: str, menu: str, title: str, gathered: Gathered, *words: str) -> Page:
    return Page(file=file, menu=menu, title=title, words=words, sections=gathered.sections, missing=gathered.missing)


def slug(name: str) -> str:
    """A name for a file: letters and digits, dashes for the rest."""
    return "".join(c if c.isalnum() and c.isascii() else "-" for c in name.lower())


def moves(asked: Asked, line: Line) -> int:
    """How often its price changed, for sure."""
    prices = [(asked.kind(quote), quote) for quote in line.quotes]
    return sum(bool(was and now and apart(was, now) and not q.unclear) for (was, _), (now, q) in pairwise(prices))


def apart(was: Fraction, now: Fraction) -> bool:
    """Whether two prices differ by more than rounding."""
    return abs(float(now / was) - 1) >= 0.005

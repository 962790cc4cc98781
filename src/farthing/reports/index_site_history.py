"""The pages of price history: makers whose prices changed, and every provider."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial

from farthing.index.line import Line
from farthing.reports.index_chart_words import count
from farthing.reports.index_site import Page
from farthing.reports.index_site_asked import Asked, Gathered, View, moves, slug

_LINES = 64  # of one chart, so that each has its name beside it
_MAKERS = 6  # on the first page


def history(asked: Asked) -> tuple[Page, list[Page]]:
    """The makers' own prices on one page, and a page for every provider of three lines or more."""
    by_provider: dict[str, list[Line]] = {}
    for line in asked.lines:
        by_provider.setdefault(line.provider, []).append(line)
    chosen = {name: own for name, own in sorted(by_provider.items()) if len(own) > 2}
    makers = {name: [line for line in own if line.first_party] for name, own in chosen.items()}
    gathered = Gathered()
    for name in sorted(makers, key=lambda name: (-sum(moves(asked, line) for line in makers[name]), name))[:_MAKERS]:
        shown = [line for line in _foremost(asked, makers[name]) if moves(asked, line)]
        if shown:
            gathered.add(f"history-{slug(name)}-changed", "history", f"show --provider {name} --mix {asked.mix}",
                         partial(_lines_view, asked, shown))  # fmt: skip
    page = Page(
        file="history.html",
        menu="History",
        title=f"Dated list prices of {count(len(asked.lines), 'offer')} by {count(len(by_provider), 'provider')}",
        words=[
            "Steps on a logarithmic scale; a dot is a day from which a price is known. Here are the makers whose own "
            "prices changed most often, with the models that changed; each provider has a page with the others."
        ],
        links=[(f"{name} ({len(own)})", f"history-{slug(name)}.html") for name, own in chosen.items()],
        sections=gathered.sections,
        missing=gathered.missing,
    )
    return page, [_provider(asked, name, own) for name, own in chosen.items()]


def _provider(asked: Asked, name: str, own: Sequence[Line]) -> Page:
    shown = _foremost(asked, own)
    left = len(own) - len(shown)
    gathered = Gathered()
    gathered.add(f"history-{slug(name)}", "history", f"show --provider {name}",
                 lambda: _lines_view(asked, shown), pictured=False)  # fmt: skip
    return Page(
        file=f"history-{slug(name)}.html",
        under="history.html",
        title=f"{name}: dated list prices of {count(len(own), 'model')}",
        words=[
            f"One line a model: those whose price changed, then the most widely sold. {left} more offers are further "
            "names of these models, or sold by few: farthing prices show has each."
        ]
        if left
        else [],
        sections=gathered.sections,
        missing=gathered.missing,
    )


def _foremost(asked: Asked, lines: Iterable[Line]) -> list[Line]:
    """One line a model (of several names, the one known longest), first those whose price changed, then the most
    widely sold."""
    sellers = Counter(line.family for line in asked.lines)
    by_family: dict[tuple[str, str], Line] = {}
    for line in sorted(lines, key=lambda line: (-moves(asked, line), line.quotes[0].start, len(line.model), line.id)):
        by_family.setdefault((line.provider, line.family), line)
    ranked = sorted(by_family.values(), key=lambda line: (-moves(asked, line), -sellers[line.family], line.id))
    return ranked[:_LINES]


def _lines_view(asked: Asked, lines: Sequence[Line]) -> View:
    from farthing.reports.index_show import history_view

    return history_view(lines, asked.kind, str(asked.mix)) | {"at": f"{asked.at:%Y-%m-%d}"}

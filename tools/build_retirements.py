"""Writes data/retirements/litellm.toml: the days on which models end, as a release of the LiteLLM package states them.

    python -m tools.build_retirements model_prices_and_context_window_backup.json 1.109.1 2026-11-22

The file lies in the package (`pip download --no-deps litellm==VERSION`, then unzip). Only days are taken, of the models
that the price book knows; a name is kept as the catalogue has it, since a dated snapshot ends on a day of its own.
"""

import sys
from datetime import date
from pathlib import Path

from farthing.rates.book import Book
from farthing.rates.card import Offer
from farthing.rates.feeds import read_feed

OUT = Path("src/farthing/data/retirements/litellm.toml")
HEAD = """# Days from which models are no longer served, as the LiteLLM catalogue states them. Written by
# tools/build_retirements.py; second-hand: what a vendor itself states is in vendors.toml.

[source.litellm]
title = "LiteLLM {version}, model_prices_and_context_window_backup.json: deprecation_date"
where = "https://github.com/BerriAI/litellm"
seen = {seen}
grade = "derived"
"""


def main(file: str, version: str, seen: str) -> None:
    """Write the data file from the catalogue in `file`, of package version `version`, seen on a day."""
    days: dict[tuple[str, date], set[str]] = {}
    book = Book()
    for offer in read_feed(Path(file), "litellm").offers:
        # Vertex AI ends Gemini models on days of its own, and the book has one offer of each for both of Google's APIs.
        of_vertex = offer.channel == "vertex" and offer.model.startswith("gemini")
        if offer.retires is not None and not of_vertex:
            for name in (offer.model, *offer.aliases):
                if "/" not in name and isinstance(book.lookup(offer.provider, name), Offer):
                    days.setdefault((offer.provider, offer.retires), set()).add(name)
    parts = [HEAD.format(version=version, seen=date.fromisoformat(seen))]
    for (provider, day), names in sorted(days.items()):
        models = "\n".join(f'  "{name}",' for name in sorted(names))
        parts.append(
            f'[[retirement]]\nprovider = "{provider}"\nday = {day}\nsource = "litellm"\nmodels = [\n{models}\n]\n'
        )
    OUT.write_text("\n".join(parts), "utf-8")
    print(f"{sum(map(len, days.values()))} names of {len({p for p, _ in days})} providers in {OUT}")


if __name__ == "__main__":
    main(*sys.argv[1:])

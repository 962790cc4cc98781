"""`farthing prices import --series`: years of dated price lists, and what changed between them."""

from datetime import date
from pathlib import Path
from typing import Any

from farthing.cli.common import console, instant, print_json, share
from farthing.problems import FarthingError


def import_series(
    paths: list[str],
    *,
    feed: str | None = None,
    provider: str | None = None,
    model: str | None = None,
    since: str | None = None,
    verdict: str | None = None,
    out: Path | None = None,
    card: list[Path] | None = None,
    limit: int | None = None,
    as_json: bool = False,
) -> None:
    """Read the lists in `paths` (files, folders), and print their events: counts first, then the newest.

    `out` is a .json or .csv file, or a folder for both. Prices that `card`, or our own dated records, state with a
    day decide before all other evidence. Raises `FarthingError` for options that mean nothing, and empty series.
    """
    from farthing.rates.series.events import VERDICTS, judged
    from farthing.rates.series.read import read_series
    from farthing.rates.toml import load_card, packaged_cards
    from farthing.reports.price_series import chosen, series_rows, series_table, series_view

    if verdict is not None and verdict not in VERDICTS:
        raise FarthingError(f"unknown verdict {verdict!r}; one of {', '.join(VERDICTS)}")
    begin = _day(since)
    if out is not None and not out.is_dir() and out.suffix not in (".json", ".csv"):
        raise FarthingError(f"{out}: --out of a series is a file ending in .json or .csv, or a folder for both")
    with share("price lists") as done:
        series = read_series([Path(path) for path in paths], feed, done, date.today())
    own = [load_card(path) for path in card or []]
    stated = packaged_cards().get("first-party")
    dated = [offer for one in [*own, *([stated] if stated else [])] for offer in one.offers]
    found = judged(series, dated)
    if provider is not None:
        _known(provider, {event.key.subject.provider for event in found.events}, found.histories)
    view = series_view(series, found, chosen(found.events, provider, model, begin, [verdict] if verdict else []))
    written = _write(view, series_rows(view), out) if out is not None else []
    if as_json:
        print_json({**view, "out": [str(path) for path in written]})
        return
    screen = console()
    for part in series_table(view) if limit is None else series_table(view, limit):
        screen.print(part)
    for path in written:
        screen.print(f"Written: {path}")


def _day(text: str | None) -> date | None:
    moment = instant(text)
    return moment.date() if moment is not None else None


def _known(provider: str, with_events: set[str], histories: dict[str, Any]) -> None:
    import difflib

    listed = {subject.provider for history in histories.values() for subject in history.seen}
    if provider not in listed | with_events:
        near = difflib.get_close_matches(provider, sorted(listed), 3, 0.5)
        hint = f"; near it: {', '.join(near)}" if near else f"; there are {', '.join(sorted(listed)[:12])}, …"
        raise FarthingError(f"no list of this series names a provider {provider!r}{hint}")


def _write(view: dict[str, Any], rows: list[dict[str, Any]], out: Path) -> list[Path]:
    import csv
    import io
    import json

    from farthing.files import write_whole

    written = [out / "events.json", out / "events.csv"] if out.is_dir() else [out]
    for path in written:
        if path.suffix == ".json":
            write_whole(path, json.dumps(view, indent=1, ensure_ascii=False) + "\n")
            continue
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]) if rows else ["provider", "model"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_whole(path, text.getvalue())
    return written

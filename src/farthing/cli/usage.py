"""`farthing usage`: what is in usage files."""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.cli.common import Json, console, print_json, progress
from farthing.problems import FarthingError

if TYPE_CHECKING:
    from farthing.usage.record import Usage

Format = Annotated[
    str | None, typer.Option("--format", metavar="F", help="The files' format, where it is not detected.")
]
Map = Annotated[
    list[str] | None, typer.Option("--map", metavar="FIELD=COLUMN", help="Which column holds a field; repeatable.")
]


def mapping(pairs: list[str] | None) -> dict[str, str] | None:
    """--map FIELD=COLUMN options as a dict. Raises `FarthingError` for another shape."""
    made: dict[str, str] = {}
    for pair in pairs or []:
        field, equals, column = pair.partition("=")
        if not (field and equals and column):
            raise FarthingError(f"--map {pair!r} is not FIELD=COLUMN, such as input=prompt_tokens")
        if field in made:
            raise FarthingError(f"--map states {field!r} twice: {made[field]!r} and {column!r}")
        made[field] = column
    return made or None


def usage(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="FILE…", help="Files or folders; - is standard input.")
    ] = None,
    format: Format = None,
    map: Map = None,
    cache_blocks: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Also the prefix-cache ceiling of an LRU of N blocks.")
    ] = None,
    profiles: Annotated[bool, typer.Option("--profiles", help="List the built-in workload profiles.")] = False,
    formats: Annotated[bool, typer.Option("--formats", help="List the formats that are read.")] = False,
    as_json: Json = False,
) -> None:
    """Rows, tokens by kind, time span, lengths, what was rejected and why, and prefix-cache ceilings.

    Example: farthing usage ~/.claude/projects
    """
    from farthing.reports import usage as views

    if profiles or formats:
        if as_json:
            print_json(views.profiles() if profiles else views.formats())
        else:
            console().print(views.profiles_table() if profiles else views.formats_table())
        return
    if not files:
        raise FarthingError("no file given; `farthing usage FILE…`, or `farthing usage --profiles`")
    from farthing.cli.shared_ledger import bring_files
    from farthing.problems import Problems
    from farthing.usage.read import read_usage
    from farthing.usage.summary import summarise

    bring_files(files)
    problems = Problems()
    with progress("reading") as tick:
        records = counted(read_usage(files, problems, format, mapping(map)), tick)
        summary = summarise(records, problems, cache_blocks)
    if as_json:
        print_json(summary.to_json())
    else:
        console().print(views.summary_view(summary))
    if cache_blocks and not summary.prefix and summary.rows:
        print("farthing: no prefix-cache ceiling: these files hold no prefix hashes", file=sys.stderr)
    if not summary.rows:
        raise FarthingError("no usable row in " + ", ".join(files))


def counted(records: Iterable["Usage"], tick: Callable[[int], None]) -> Iterator["Usage"]:
    """`records`, calling `tick` with their number now and then."""
    for number, record in enumerate(records, 1):
        yield record
        if number % 65_536 == 0:
            tick(number)

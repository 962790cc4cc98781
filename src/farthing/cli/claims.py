"""`farthing claims`: statements checked against physics, prices and arithmetic, each with its computation."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.cli.common import Cards, Json, book_with, console, print_json
from farthing.problems import FarthingError

if TYPE_CHECKING:
    from farthing.plans.claims import Judgement, Verdict

_VERDICTS = {"holds": "HOLDS", "off": "OFF", "impossible": "IMPOSSIBLE", "cannot-tell": "CANNOT_TELL"}


def claims(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="Statements of your own (TOML); without it, those that we ship."),
    ] = None,
    document: Annotated[
        str | None,
        typer.Option("--document", "--seed", metavar="ID", help="Only this document's, by its id or its file."),
    ] = None,
    verdict: Annotated[
        list[str] | None,
        typer.Option("--verdict", metavar="V", help="Only holds, off, impossible or cannot-tell; repeatable."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show every statement, not only the wrong ones.")] = False,
    card: Cards = None,
    as_json: Json = False,
) -> None:
    """Which figures hold, which are off by how much, which are impossible, which nobody can check.

    Without FILE: every figure of five documents about the economics of inference. docs/claims.md has the format of
    a file of your own.

    Example: farthing claims --document note
    """
    from farthing.plans.claims import judge_file, packaged
    from farthing.reports.claims import WRONG, claims_json, claims_view

    wanted = _wanted(verdict or [])
    book = book_with(card) if card else None
    judged = judge_file(file, book) if file is not None else packaged(book)
    if document is not None:
        judged = _of(judged, document)
    if as_json:
        print_json(claims_json([j for j in judged if not wanted or j.verdict in wanted]))
        return
    from farthing.plans.claims import Verdict

    console().print(claims_view(judged, wanted or (tuple(Verdict) if everything else WRONG)))


def _wanted(names: list[str]) -> "tuple[Verdict, ...]":
    from farthing.plans.claims import Verdict

    for name in names:
        if name not in _VERDICTS:
            raise FarthingError(f"--verdict {name!r} is not one of {', '.join(_VERDICTS)}")
    return tuple(Verdict[_VERDICTS[name]] for name in names)


def _of(judged: "list[Judgement]", document: str) -> "list[Judgement]":
    found = [j for j in judged if document == j.document.id or (j.file and j.file.startswith(document))]
    if not found:
        ids = ", ".join(dict.fromkeys(j.document.id for j in judged))
        raise FarthingError(f"--document {document!r}: no such document; there are {ids}")
    return found

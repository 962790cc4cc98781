"""`farthing replay --policy FILE`: routing policies asked about recorded requests."""

import itertools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from farthing.cli.common import book_with, console, print_json, progress
from farthing.problems import FarthingError, Problems

if TYPE_CHECKING:
    from datetime import datetime

    from farthing.policies.question import Ratio
    from farthing.policies.routing.offline import Told
    from farthing.policies.routing.recorded import Recorded
    from farthing.rates.book import Book
    from farthing.usage.record import Usage

_LEDGER = "ledger.sqlite"
Records = Callable[[], Iterator["Usage"]]


def policy_file(policies: list[str] | None) -> Path | None:
    """The file that `--policy` names; None where it names policies. Raises `FarthingError` where it names both."""
    from farthing.policies.question import POLICIES

    def names_a_file(text: str) -> bool:
        named = all(part.strip() in POLICIES for part in text.split("+"))
        return not named and (text.endswith(".toml") or Path(text).is_file())

    files = [text for text in policies or [] if names_a_file(text)]
    if not files:
        return None
    if len(policies or []) > 1:
        raise FarthingError(f"--policy {files[0]} stands alone: a file's policies are a chain; write them into one")
    return Path(files[0])


def replay_file(
    policy: Path, files: list[str], records: Records, source: str, problems: Problems, now: "datetime", *,
    served: str | None, at: "datetime | None", card: list[Path] | None, hosts: Path | None, decisions: Path | None,
    as_json: bool, ratios: "tuple[tuple[Ratio, ...], tuple[Ratio, ...]]",
) -> None:  # fmt: skip
    """Replay the policies of `policy` and print the answer."""
    from farthing.gateway.config.presets import presets
    from farthing.policies.question import Question
    from farthing.policies.routing.deployments import with_deployments
    from farthing.policies.routing.file import read_policy_file
    from farthing.policies.routing.offline import replay_routing
    from farthing.reports.routing import routed_json, routed_view

    file = read_policy_file(policy, {name: preset.provider for name, preset in presets().items()})
    book = book_with([*(card or []), *file.cards])
    deployments, book = with_deployments(file, book, records, now.date(), hosts)
    question = Question(served=served, at=at, now=now, token_ratios=ratios[0], answer_ratios=ratios[1])
    with _telling(decisions) as told, progress("deciding") as tick:
        answer = replay_routing(_requests(files, records, book, served), book, file, question, deployments, told, tick)
    if as_json:
        print_json(routed_json(answer, source, problems))
    else:
        console().print(routed_view(answer, source, problems))


def _requests(files: list[str], records: Records, book: "Book", served: str | None) -> "Iterator[Recorded]":
    """Requests of ledgers with all their attempts, of other usage one a record."""
    from farthing.policies.routing.recorded import requests_of

    ledgers = [folder for file in files if (folder := _ledger(file)) is not None]
    offer = book.find(served).id if served else None
    if not ledgers:
        return iter(requests_of(records(), book, offer))
    if len(ledgers) < len(files):
        raise FarthingError("a ledger and other files cannot be replayed together under a policy file; name one kind")
    from farthing.ledger.decisions import requests_in

    return itertools.chain.from_iterable(map(requests_in, ledgers))


def _ledger(file: str) -> Path | None:
    path = Path(file)
    if path.name == _LEDGER and path.is_file():
        return path.parent
    return path if (path / _LEDGER).is_file() else None


@contextmanager
def _telling(out: Path | None) -> "Iterator[Told]":
    """What writes each decision to `out`, whole or not at all; nothing where `out` is None."""
    from farthing.policies.routing.offline import decision_line

    if out is None:
        yield lambda recorded, outcome: None
        return
    beside = out.with_name(f".{out.name}.{os.getpid()}.new")
    try:
        with beside.open("w", encoding="utf-8", errors="replace") as file:
            lines: IO[str] = file
            yield lambda recorded, outcome: print(
                json.dumps(decision_line(recorded, outcome), ensure_ascii=False, separators=(",", ":")), file=lines
            )
        beside.replace(out)
    except OSError as error:
        raise FarthingError(f"{out}: cannot be written: {error.strerror or error}") from None
    finally:
        beside.unlink(missing_ok=True)

"""`farthing replay`: what usage cost, and what it would have cost anywhere else."""

import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farthing.cli.common import At, Cards, Json, book_with, console, instant, print_json, progress
from farthing.cli.shared_ledger import bring_files
from farthing.cli.usage import Format, Map, mapping
from farthing.problems import FarthingError, Problems

if TYPE_CHECKING:
    from datetime import datetime

    from farthing.policies.question import Ratio
    from farthing.usage.record import Usage
    from farthing.usage.table import UsageTable

PROFILE, PROFILE_REQUESTS = "coding-agent", 2000
_DIGITS = 6  # of a ratio, before or after the point
Records = Callable[[], Iterator["Usage"]]


def replay(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE…]", help="Usage files or folders; none: your own agent logs.")
    ] = None,
    format: Format = None,
    map: Map = None,
    served: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="OFFER", help="Where it was served, if the files do not say (or said otherwise)."
        ),
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="OFFER",
            help="An offer to price it at, a pattern such as 'groq/*', or your own machines: "
            "host:llama-3.1-70b@h100-sxm*4,weights=fp8; repeatable.",
        ),
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            "--policy",
            metavar="P",
            help="as-is, batch, prompt-cache, or batch+prompt-cache; repeatable; or a TOML FILE of [[policy]].",
        ),
    ] = None,
    decisions: Annotated[
        Path | None,
        typer.Option("--decisions", metavar="OUT", help="With --policy FILE: each request's decision as JSON lines."),
    ] = None,
    token_ratio: Annotated[
        list[str] | None,
        typer.Option("--token-ratio", metavar="OFFER=R", help="Tokens there for each token here (another tokenizer)."),
    ] = None,
    answer_ratio: Annotated[
        list[str] | None, typer.Option("--answer-ratio", metavar="OFFER=R", help="Length of its answers against these.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", metavar="NAME", help="A built-in workload instead of files.")
    ] = None,
    requests: Annotated[
        int, typer.Option(metavar="N", min=1, help="How many requests of that workload.")
    ] = PROFILE_REQUESTS,
    at: At = None,
    card: Cards = None,
    hosts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Deployments kept by `host estimate --save`, for --to host:NAME."),
    ] = None,
    as_json: Json = False,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="OUT", help="Also write every row as CSV.")] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="OUT", help="Also write one self-contained page with charts.")
    ] = None,
) -> None:
    """What this usage cost, what it is made of, and what the same work would have cost elsewhere.

    Without a file it reads your own Claude Code and Codex logs, and without those a built-in workload.
    A trace that names no model is priced at today's rates; --from says which offer served it.

    Example: farthing replay usage.jsonl --to openai/gpt-5-mini --to 'groq/*' --policy batch --html bill.html
    """
    from datetime import UTC, datetime

    from farthing.cli.replay_routing import policy_file, replay_file

    if (routing := policy_file(policy)) is not None:
        refused = {"--to": to, "--csv": csv, "--html": html}
        for option, value in refused.items():
            if value:
                raise FarthingError(f"{option} is not for a policy file; --policy {routing} prices where it routes")
        now = datetime.now(UTC).replace(microsecond=0)
        problems = Problems()
        records, source, _ = _usage(files, format, map, profile, requests, now, problems, columns=False)
        replay_file(
            routing, files or [], records, source, problems, now,
            served=served, at=instant(at), card=card, hosts=hosts, decisions=decisions, as_json=as_json,
            ratios=(_ratios("--token-ratio", token_ratio), _ratios("--answer-ratio", answer_ratio)),
        )  # fmt: skip
        return
    if decisions is not None:
        raise FarthingError("--decisions needs --policy FILE: named policies decide nothing request by request")
    from farthing.policies.hosted import with_hosts
    from farthing.policies.question import Question
    from farthing.policies.replay import replay as run
    from farthing.reports.replay import replay_json, replay_view, write_csv

    now = datetime.now(UTC).replace(microsecond=0)
    problems = Problems()
    records, source, table = _usage(files, format, map, profile, requests, now, problems)
    candidates, book = with_hosts(to or (), book_with(card), records, table, now.date(), hosts)
    question = Question(
        served=served,
        to=candidates,
        policies=tuple(policy or ()),
        at=instant(at),
        now=now,
        token_ratios=_ratios("--token-ratio", token_ratio),
        answer_ratios=_ratios("--answer-ratio", answer_ratio),
    )
    with progress("pricing") as tick:
        answer = run(records, book, question, tick, table)
    if csv is not None:
        write_csv(answer, csv)
    if html is not None:
        from farthing.reports.html import write_page

        command = shlex.join(["farthing", *sys.argv[1:]])
        write_page(answer, html, "What it cost, and what it would have cost", source, command)
    if as_json:
        print_json(replay_json(answer, source, problems))
    else:
        console().print(replay_view(answer, source, problems))


def _usage(
    files: list[str] | None, format: str | None, map: list[str] | None, profile: str | None, requests: int,
    now: "datetime", problems: Problems, columns: bool = True,
) -> "tuple[Records, str, UsageTable | None]":  # fmt: skip
    """Where the usage comes from, in words, as a source of records, and in columns where it is Parquet (if wanted)."""
    from farthing.usage.read import find_agent_logs, read_usage

    if files and profile:
        raise FarthingError("state files or --profile, not both")
    if profile:
        return _generated(profile, requests, now, "")
    if files:
        bring_files(files)
        source = ", ".join(files) if len(files) <= 3 else f"{files[0]} and {len(files) - 1} more"
    else:
        logs = find_agent_logs()
        if not logs:
            return _generated(PROFILE, requests, now, "no agent logs of your own were found; ")
        files = [str(log) for log in logs]
        source = f"your own agent logs, {len(logs):,} files (such logs can undercount)"
    table = _columns(files, format, map, problems) if columns else None
    if "-" in files:
        held = list(read_usage(files, problems, format, mapping(map)))
        return lambda: iter(held), source, None
    passes = iter([problems])

    def records() -> "Iterator[Usage]":
        # A second pass (for the prompt cache) meets the same bad rows: they are counted once.
        return read_usage(files, next(passes, Problems(keep=0)), format, mapping(map))

    return records, source, table


def _generated(profile: str, requests: int, now: "datetime", why: str) -> "tuple[Records, str, None]":
    from datetime import timedelta

    from farthing.usage.profiles import generate

    start = (now - timedelta(days=1)).replace(hour=9, minute=0, second=0, microsecond=0)
    source = f"{why}{requests:,} requests of the built-in workload {profile!r}"
    return lambda: generate(profile, requests, 1, start), source, None


def _columns(files: list[str], format: str | None, map: list[str] | None, problems: Problems) -> "UsageTable | None":
    """Parquet in our own columns, without sessions to simulate a cache on, is priced where it lies."""
    if map or format not in (None, "table") or not all(file.endswith(".parquet") for file in files):
        return None
    from farthing.usage.table import columns_of, view_parquet

    paths = [Path(file) for file in files]
    for path in paths:
        if not path.is_file():
            raise FarthingError(f"{path}: no such file")
    names = columns_of(paths)
    if "at" not in names or "session" in names or "prefix_hashes" in names:
        return None
    return view_parquet(paths, problems)


def _ratios(option: str, pairs: list[str] | None) -> "tuple[Ratio, ...]":
    from decimal import Decimal
    from fractions import Fraction

    from farthing.money import parse_decimal
    from farthing.policies.question import Ratio

    made = []
    for pair in pairs or []:
        offers, equals, text = pair.rpartition("=")
        try:
            number = parse_decimal(text)
        except ValueError:
            number = Decimal(0)
        # An absurd exponent is refused before it becomes an integer of that many digits.
        if not equals or number <= 0 or abs(number.adjusted()) > _DIGITS:
            raise FarthingError(f"{option} {pair!r} is not OFFER=RATIO, such as 'openai/*=1.15'")
        made.append(Ratio(offers=offers, ratio=Fraction(number)))
    return tuple(made)

"""Read usage from files, folders and standard input: every format, each file's own detected."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from farthing.problems import FarthingError, Problems
from farthing.usage.readers import (
    anthropic,
    azure_trace,
    bedrock,
    burstgpt,
    claude_code,
    codex,
    gemini,
    helicone,
    langfuse,
    ledger,
    litellm_logs,
    mooncake,
    openai,
    openrouter,
    otel,
    responses,
    table,
)
from farthing.usage.readers.base import Memory, Reader, shape
from farthing.usage.record import Usage
from farthing.usage.streams import Opened, open_source

READERS: tuple[Reader, ...] = tuple(
    module.READER
    for module in (
        azure_trace, mooncake, burstgpt, claude_code, codex, openai, anthropic, litellm_logs, langfuse, helicone,
        openrouter, otel, bedrock, gemini, responses, ledger, table,
    )
)  # fmt: skip
"""Every reader in the order of detection; the table, which fits the loosest, is tried only when no other fits."""

_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".log")
_PACKED = ("", ".gz", ".gzip", ".zst", ".zstd")


def reader_named(name: str) -> Reader:
    """The reader called `name` ("claude_code" and "claude-code" are the same). Raises `FarthingError`."""
    for reader in READERS:
        if reader.name == name.strip().lower().replace("_", "-"):
            return reader
    raise FarthingError(f"unknown format {name!r}; --format is one of {_choices()}")


def detect(path: Path | str) -> Reader:
    """The reader that fits the file at `path`; not for "-", which can be read only once: `read_usage` detects it.

    Raises `FarthingError` naming the choices where none fits, or two fit equally, or where the file
    is a cost export, which holds money and no usage.
    """
    if str(path) == "-":
        raise FarthingError("standard input can be read only once: read it with read_usage, which detects its format")
    with open_source(path, Problems()) as opened:
        return _choose(opened)


def read_usage(
    paths: Sequence[Path | str],
    problems: Problems,
    format: str | None = None,
    mapping: Mapping[str, str] | None = None,
) -> Iterator[Usage]:
    """The usage records of `paths`: files, folders (searched for logs and tables), "-" for standard input.

    `format` names a reader for all of them; without it each file's is detected. `mapping` (field of
    `Usage`, meter or `input_total`, to column) reads a table with other column names. Bad rows are
    collected in `problems`. Raises `FarthingError` for a path that is not there, an unknown format or
    field, and, once it comes to it, for a named file that no reader fits.
    """
    if mapping and format not in (None, "table"):
        raise FarthingError(f"a mapping of columns reads a table, not {format!r}; leave the format out")
    chosen = table.table_reader(mapping) if mapping else reader_named(format) if format else None
    if not paths:
        raise FarthingError("no file is given")
    for path in paths:
        if not str(path):
            raise FarthingError("the name of a file is empty")  # Path("") would be the whole folder
        if str(path) != "-" and not Path(path).exists():
            raise FarthingError(f"{path}: there is no such file")
    return _read(paths, problems, chosen, mapping)


def _read(
    paths: Sequence[Path | str], problems: Problems, chosen: Reader | None, mapping: Mapping[str, str] | None
) -> Iterator[Usage]:
    memories: dict[str, Memory] = {}
    done: set[Path] = set()
    for path, named in _files(paths):
        if isinstance(path, Path):
            if path.resolve() in done:
                if named:
                    problems.add(str(path), "the same file is given twice", "it is read once", "file given twice")
                continue
            done.add(path.resolve())
        try:
            yield from _one(path, named, problems, chosen, mapping, memories)
        except FarthingError as fault:
            if named:
                raise
            problems.add(str(path), str(fault).removeprefix(f"{path}: "), kind="file that cannot be read")


def _one(
    path: Path | str, named: bool, problems: Problems, chosen: Reader | None, mapping: Mapping[str, str] | None,
    memories: dict[str, Memory],
) -> Iterator[Usage]:  # fmt: skip
    with open_source(path, problems) as opened:
        if not opened.head:
            if named:
                problems.add(opened.place, "nothing can be read from it", "give a file with rows", "empty file")
            return
        reader = chosen or _choose(opened)
        memory = memories.setdefault(reader.name, Memory())
        if opened.head.startswith(b"PAR1") and reader.name == "table":
            yield from table.read_parquet(_on_disk(opened), opened.place, problems, memory, mapping)
        elif reader.name == "ledger":
            yield from ledger.read_ledger(opened, problems)
        else:
            yield from reader.read(opened.stream, opened.place, problems, memory)


def _on_disk(opened: Opened) -> Path:
    if opened.path is None:
        raise FarthingError("Parquet cannot be read from standard input; name the file")
    with opened.path.open("rb") as raw:
        if raw.read(4) != b"PAR1":
            raise FarthingError(f"{opened.place}: a compressed Parquet file; unpack it first")
    return opened.path


def _files(paths: Sequence[Path | str]) -> Iterator[tuple[Path | str, bool]]:
    """Every file, and whether it was named rather than found in a folder."""
    for path in paths:
        if str(path) == "-":
            yield "-", True
        elif (Path(path) / ledger.FILE).is_file():
            yield Path(path) / ledger.FILE, True  # its closed days come with it, each row once
        elif Path(path).is_dir():
            found = False
            for inner in sorted(Path(path).rglob("*")):
                if inner.name.lower().endswith(_ENDINGS) and inner.is_file():
                    found = True
                    yield inner, False
            if not found:
                raise FarthingError(f"{path}: the folder holds no {', '.join(_SUFFIXES)} file")
        else:
            yield Path(path), True


_ENDINGS = tuple(suffix + packed for suffix in _SUFFIXES for packed in _PACKED)


def _choose(opened: Opened) -> Reader:
    place, head = opened.place, opened.head
    if head.startswith(b"PK\x03\x04"):
        raise FarthingError(f"{place}: a zip archive or a workbook; unpack it, or save it as CSV")
    if head.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ\0")):
        raise FarthingError(f"{place}: packed twice, or in a way that is not read (gzip and zstd are); unpack it")
    if b"\0" in head[:4]:
        raise FarthingError(f"{place}: not text in UTF-8, nor Parquet; save it as UTF-8")
    if _is_cost_export(head):
        raise FarthingError(
            f"{place}: a cost export: it holds money, not usage; `farthing reconcile USAGE INVOICE` reads it"
        )
    fitting = [reader for reader in READERS if reader is not table.READER and reader.sniff(place, head)]
    if not fitting and table.READER.sniff(place, head):
        return table.READER
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = " and ".join(reader.name for reader in fitting)
        raise FarthingError(f"{place}: fits {names} equally; choose with --format")
    raise FarthingError(
        f"{place}: no known usage format fits; choose with --format ({_choices()}), or give a table a column for the "
        "time and one for each meter"
    )


def _is_cost_export(head: bytes) -> bool:
    """OpenAI's costs and Anthropic's cost report, as JSON or CSV: amounts of money without counts."""
    seen = shape(head)
    if seen.columns:
        money = seen.columns & {"cost_usd", "cost", "amount", "amount_usd", "amount_value"}
        dated = "usage_date_utc" in seen.columns or {"start_time", "end_time"} <= seen.columns
        return bool(money) and dated and not any("tokens" in name or "requests" in name for name in seen.columns)
    if b'"organization.costs.result"' in head:
        return True
    return seen.has("starting_at", "results") and seen.keys.isdisjoint(_ANTHROPIC_COUNTS) and b'"amount"' in head


_ANTHROPIC_COUNTS = {"uncached_input_tokens", "output_tokens", "results.output_tokens"}


def _choices() -> str:
    return ", ".join(reader.name for reader in READERS)


def find_agent_logs() -> list[Path]:
    """The user's own Claude Code and Codex session logs, oldest name first; empty when there are none.

    Looks where those tools keep them: `$CLAUDE_CONFIG_DIR` (else `~/.config/claude` and `~/.claude`)
    under `projects`, and `$CODEX_HOME` (else `~/.codex`) under `sessions` and `archived_sessions`.
    """
    stated = os.environ.get("CLAUDE_CONFIG_DIR", "")
    homes = [Path(part.strip()).expanduser() for part in stated.split(",") if part.strip()]
    homes = homes or [Path("~/.config/claude").expanduser(), Path("~/.claude").expanduser()]
    codex_home = Path(os.environ.get("CODEX_HOME") or "~/.codex").expanduser()
    folders = [home / "projects" for home in homes]
    folders += [codex_home / "sessions", codex_home / "archived_sessions"]
    found: dict[Path, Path] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*.jsonl")) if folder.is_dir() else ():
            found.setdefault(path.resolve(), path)
    return list(found.values())

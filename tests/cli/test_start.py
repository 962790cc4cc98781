"""The command's start: every verb is there, and nothing heavy is imported before it is needed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli import run

HEAVY = ("duckdb", "numpy", "altair", "jinja2", "genai_prices", "zstandard", "vl_convert")
STARTED = """
import sys
from farthing.cli import main
try:
    main()
finally:
    print("loaded:", *sorted(set(sys.modules) & {names}), file=sys.stderr)
"""


def loaded(*args: str, cache: Path | None = None) -> str:
    code = STARTED.replace("{names}", repr(set(HEAVY)))
    ran = subprocess.run(
        [sys.executable, "-c", code, *args],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **({"XDG_CACHE_HOME": str(cache)} if cache else {})},
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stderr.strip().splitlines()[-1]


def test_every_verb_is_there() -> None:
    shown = run("--help").out
    for verb in ("price", "usage", "replay", "reconcile", "prices"):
        assert f"\n  {verb} " in shown


def test_help_loads_nothing_heavy() -> None:
    assert loaded("--help") == "loaded:"


def test_a_price_loads_only_the_price_data_and_that_once(tmp_path: Path) -> None:
    asked = ("price", "openai/gpt-4o", "--input", "1", "--at", "2026-11-01", "--json")
    assert loaded(*asked, cache=tmp_path) == "loaded: genai_prices"
    assert loaded(*asked, cache=tmp_path) == "loaded:"


@pytest.mark.parametrize("args", [["nonsense"], ["price"], ["usage", "--no-such-option"], ["replay", "--policy"]])
def test_a_wrong_command_line_is_one_line(args: list[str]) -> None:
    ran = run(*args)
    assert ran.code == 2
    [line] = ran.err.splitlines()
    assert line.startswith("farthing: ")
    assert line.endswith("--help` shows what there is")

"""The plain spelling of `farthing up`: read as Typer reads it, or left to Typer."""

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import typer
from hypothesis import example, given, settings
from hypothesis import strategies as st

from farthing.cli.quick import FLAGS, OPTIONS, arguments_of_up
from farthing.cli.up import up
from farthing.cli.up_run import run

NAMES = [*OPTIONS, *FLAGS]
VALUES = ["a", "f.toml", "0", "1", "4141", "65535", "65536", "007", "-1", "+5", " 5", "1.5", "1_0", "٣", "", "-h",
          "--", "--port", "0.05", "::", "a=b", "~/x", "./x/../y", "9" * 30]  # fmt: skip
words = st.lists(
    st.one_of(
        st.sampled_from([f"--{name}" for name in NAMES]),
        st.sampled_from(VALUES),
        st.builds("--{}={}".format, st.sampled_from(NAMES), st.sampled_from(VALUES)),
        st.sampled_from(["--help", "--no-local", "--por", "-p", "up", "--local_usd_per_hour=1", "--data-x=1"]),
    ),
    max_size=6,
)
pairs = st.lists(st.tuples(st.sampled_from([f"--{n}" for n in OPTIONS]), st.sampled_from(VALUES)), max_size=4).map(
    lambda found: [word for pair in found for word in pair]
)
DEFAULTS = {name: one.default for name, one in inspect.signature(up).parameters.items()}


def by_typer(line: list[str]) -> dict[str, Any] | None:
    """What Typer calls `up` with; None where it refuses."""
    called: list[dict[str, Any]] = []

    def record(**arguments: Any) -> None:
        called.append(arguments)

    record.__signature__ = inspect.signature(up)  # type: ignore[attr-defined]
    record.__annotations__ = up.__annotations__
    wrong: type[Exception] = typer.BadParameter.__bases__[0]  # what `main` takes for a usage error
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command("up")(record)
    app.callback()(lambda: None)
    try:
        with patch.object(sys, "stdout"):
            app(["up", *line], standalone_mode=False)
    except wrong:
        return None
    return called[0] if called else None


@given(st.one_of(words, pairs))
@example(["--port", "4200", "--data=x", "--local", "--workers", "2"])
@example(["--config", "a b", "--host", "::1", "--local-usd-per-hour", "0.05"])
@example(["--port", "99999"])
@example(["--help"])
@example(["--port", "٣"])
@settings(deadline=None, max_examples=150)
def test_what_is_read_is_what_typer_reads(line: list[str]) -> None:
    quick = arguments_of_up(["up", *line])
    if quick is not None:
        assert {**DEFAULTS, **quick} == by_typer(line)


def test_every_option_of_up_is_known() -> None:
    assert {name.replace("-", "_") for name in NAMES} == set(DEFAULTS)
    assert {name: one.default for name, one in inspect.signature(run).parameters.items()} == DEFAULTS


def test_plain_lines_are_read() -> None:
    """Else the test above would hold of a reader that leaves everything to Typer."""
    assert arguments_of_up(["up"]) == {}
    read = arguments_of_up(
        ["up", "--config", "f.toml", "--host=::", "--port", "0", "--workers", "3", "--data", "d", "--local",
         "--local-usd-per-hour", "0.05"]
    )  # fmt: skip
    assert read == {
        "config": Path("f.toml"), "host": "::", "port": 0, "workers": 3, "data": Path("d"), "local": True,
        "local_usd_per_hour": "0.05",
    }  # fmt: skip


@pytest.mark.parametrize(
    "line", [[], ["price"], ["--help"], ["up", "--help"], ["up", "x"], ["up", "--port"], ["up", "--port", "70000"],
             ["up", "--workers", "0"], ["up", "--host", "-x"], ["up", "--data", ""], ["up", "--local=1"],
             ["up", "--port", "1", "--port", "2"], ["up", "-port", "1"], ["Up"]]
)  # fmt: skip
def test_all_else_is_left_to_typer(line: list[str]) -> None:
    assert arguments_of_up(line) is None


def test_a_gateway_starts_without_typer_and_the_other_verbs() -> None:
    """They would be in every worker; the reason for all this."""
    code = """
import sys
from farthing.cli import main
try:
    main()
finally:
    heavy = {"typer", "pydantic", "farthing.cli.app", "duckdb", "genai_prices"}
    print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""
    ran = subprocess.run(
        [sys.executable, "-c", code, "up", "--config", "nothing.toml"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert ran.stderr.splitlines() == ["farthing: nothing.toml: cannot be read: No such file or directory", "[]"]

"""`farthing usage`: the whole view of a small file, its JSON, what is refused, profiles and formats."""

import gzip
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest

from farthing.problems import Problems
from farthing.reports.usage import duration, percent
from farthing.units import METERS
from farthing.usage.profiles import profiles
from farthing.usage.read import READERS, read_usage
from farthing.usage.summary import Summary, summarise
from tests.cli import run

TRACES = Path(__file__).resolve().parents[2] / "../shared/traces"
needs_traces = pytest.mark.skipif(not TRACES.exists(), reason="../shared/traces is not here")

ROWS = """\
{"at": "2026-11-21T09:30:00Z", "session": "s", "model": "gpt", "input": 100, "cache_read": 300, "output": 50}
{"at": "2026-11-21T09:30:00", "model": "gpt", "input": 1}
{"at": "2026-11-21T09:31Z", "model": "tts", "tier": "batch", "input": 40, "output": 10, "audio_second": 1.5}
{broken
{"at": "2026-11-21T09:32:30Z", "model": "gpt", "input": -1, "output": 5}
{"at": "2026-11-21T09:32:00Z", "model": "gpt", "input": 480, "output": 20, "reasoning": 9, "reported_usd": "0.25"}
"""

SHOWN = """\
3 requests over 2 min, 0.025 a second
2026-11-21T09:30:00Z to 2026-11-21T09:32:00Z

tokens                count     share
input                   620   62.00 %
cache_read              300   30.00 %
output                   80    8.00 %
  of which reasoning      9    0.90 %
all                   1,000  100.00 %

meter         unit    count
audio_second  second    1.5

offer  requests  prompt tokens  output tokens
gpt         2            880             70
tts           1             40             10

tokens a request   mean  min  p50  p90  p95  p99  max
prompt            306.7   40  400  480  480  480  480
output             26.7   10   20   50   50   50   50

tier      requests  prompt tokens  output tokens
standard         2            880             70
batch            1             40             10

1 session
the sources state what 1 row cost: $0.25

3 rejected
reason       rows
bad time        1
broken JSON     1
bad count       1

"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    path.write_text(ROWS)
    return path


def plain(text: str) -> str:
    """With one space between the columns of a table, so that a test does not count them."""
    return "".join(" ".join(line.split()) + "\n" for line in text.splitlines())


# --- the view and the JSON --------------------------------------------------------------------


def test_the_whole_view(log: Path) -> None:
    ran = run("usage", log)
    assert (ran.code, ran.err) == (0, "")
    shown = plain(ran.out)
    assert shown.startswith(plain(SHOWN))
    rest = " ".join(shown.removeprefix(plain(SHOWN)).split())  # long places wrap
    for line, reason in ((2, "has no time zone"), (4, "not JSON"), (5, "input is -1: a count cannot be negative")):
        assert reason in rest.split(f"{log}:{line}: ")[1]
    assert "(write the time with its zone: 2026-11-21T09:30:00Z)" in rest


def test_json_is_the_summary(log: Path) -> None:
    made = run("usage", log, "--json").json
    assert list(made) == [field.name for field in msgspec.structs.fields(Summary)]
    assert (made["rows"], made["requests"], made["rejected"]) == (3, 3, 3)
    assert made["quantities"] == {
        "input": 100 + 40 + 480, "cache_read": 300, "output": 50 + 10 + 20, "reasoning": 9,
        "audio_second": 1_500_000,  # millionths: the meter's smallest unit
    }  # fmt: skip
    assert made["reported_usd"] == "0.25"
    assert made["reasons"] == {"bad time": 1, "broken JSON": 1, "bad count": 1}
    assert [problem["place"] for problem in made["problems"]] == [f"{log}:{line}" for line in (2, 4, 5)]
    problems = Problems()
    assert made == summarise(read_usage([log], problems), problems).to_json()


def test_many_offers_are_cut_and_summed(tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    rows = [{"at": "2026-11-21T09:30:00Z", "provider": "p", "model": f"m{n:02}", "input": n, "output": 1}
            for n in range(40) for _ in range(40 - n)]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = plain(run("usage", path).out).splitlines()
    head = lines.index("offer requests prompt tokens output tokens")
    assert [line.split()[0] for line in lines[head + 1 : head + 16]] == [f"p/m{n:02}" for n in range(15)]
    # 25 offers, m15 to m39: sum of (40 - n) = 325 requests, sum of n (40 - n) = 7,475 tokens
    assert lines[head + 16] == "25 more (--json lists them) 325 7,475 325"
    assert lines[head + 17] == ""
    assert len(run("usage", path, "--json").json["by_offer"]) == 40


def test_many_rejected_rows_are_counted_and_the_first_shown(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(ROWS.splitlines()[0] + "\n" + '{"at": "2026-11-21T09:30:00Z", "input": -1}\n' * 250)
    out = plain(run("usage", path).out)
    assert "250 rejected" in out
    assert f"{path}:11:" in out.replace("\n", "")
    assert f"{path}:12:" not in out.replace("\n", "")
    assert "and 240 more (--json lists the first 100)" in out


def test_a_name_in_a_log_is_neither_markup_nor_a_control_code(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps({"at": "2026-11-21T09:30:00Z", "model": "[bold]x[/bold]\x1b[2J", "input": 1}) + "\n")
    out = run("usage", path).out
    assert "[bold]x[/bold]�[2J" in out
    assert "\x1b" not in out


def test_offsets_have_no_dates(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    rows = [{"timestamp": 1000 * n, "input_length": 1024, "output_length": 8, "hash_ids": [1, n + 2]} for n in range(3)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = plain(run("usage", path).out)
    assert out.startswith("3 requests over 2 s, 1.5 a second\noffsets from an unstated start\n")
    assert "no row names its model" in out


# --- prefix-cache ceilings --------------------------------------------------------------------


def test_ceilings_under_three_names(tmp_path: Path) -> None:
    """Blocks of 512: the second request finds 1 of its 2, the third both of its own; with 1 block kept, 1 each."""
    path = tmp_path / "trace.jsonl"
    rows = [(600, [1, 2]), (1024, [1, 3]), (1024, [1, 3])]
    path.write_text("".join(
        json.dumps({"timestamp": n, "input_length": length, "output_length": 1, "hash_ids": hashes}) + "\n"
        for n, (length, hashes) in enumerate(rows)
    ))  # fmt: skip
    unlimited, small = run("usage", path, "--cache-blocks", 1, "--json").json["prefix"]
    assert (unlimited["capacity"], small["capacity"]) == (None, 1)
    assert (unlimited["hit_blocks"], unlimited["blocks"]) == (0 + 1 + 2, 6)
    assert (unlimited["hit_tokens"], unlimited["prompt_tokens"]) == (0 + 512 + 1024, 2648)
    assert unlimited["mean_per_request"] == pytest.approx((0 + 0.5 + 1) / 3)
    assert small["hit_blocks"] == 0 + 1 + 1
    lines = plain(run("usage", path, "--cache-blocks", 1).out).splitlines()
    assert "prefix-cache ceiling definition unlimited LRU of 1 blocks" in lines
    assert "share of blocks hit blocks / all blocks 50.00 % 33.33 %" in lines
    assert "token-weighted hit tokens / prompt tokens 58.01 % 38.67 %" in lines  # 1,536 and 1,024 of 2,648
    assert "mean per request mean of each request's token share 50.00 % 33.33 %" in lines


def test_a_ceiling_that_cannot_be_given_is_said(log: Path) -> None:
    ran = run("usage", log, "--cache-blocks", 10)
    assert ran.code == 0
    assert ran.err == "farthing: no prefix-cache ceiling: these files hold no prefix hashes\n"


@needs_traces
def test_published_ceilings_of_the_mooncake_trace() -> None:
    out = plain(run("usage", TRACES / "mooncake-synthetic.jsonl").out)
    for name, share in (("share of blocks", "63.96"), ("token-weighted", "65.12"), ("mean per request", "43.15")):
        [line] = [line for line in out.splitlines() if line.startswith(name)]
        assert line.endswith(f"{share} %")


@needs_traces
def test_published_sums_of_the_azure_trace() -> None:
    made = run("usage", TRACES / "azure-conv-2023.csv", "--json").json
    assert (made["requests"], made["quantities"]) == (19_366, {"input": 22_361_870, "output": 4_088_665})


# --- formats and columns ----------------------------------------------------------------------


def test_columns_can_be_mapped(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("when,llm,prompt,cached,answer\n2026-11-21T09:30:00Z,gpt-4o,1000,400,50\n")
    maps = ("at=when", "model=llm", "input_total=prompt", "cache_read=cached", "output=answer")
    made = run("usage", path, *(word for pair in maps for word in ("--map", pair)), "--json").json
    assert made["quantities"] == {"input": 600, "cache_read": 400, "output": 50}
    assert list(made["by_offer"]) == ["gpt-4o"]


def test_standard_input_and_a_stated_format() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "farthing", "usage", "-", "--format", "table", "--json"],
        input=ROWS, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout)["rows"] == 3


def test_a_truncated_gzip_keeps_its_good_part(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl.gz"
    rows = [{"at": f"2026-11-21T09:30:00.{n:06}Z", "model": str(n * n), "input": n + 1} for n in range(5000)]
    whole = gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode(), mtime=0)
    path.write_bytes(whole[: len(whole) // 2])
    made = run("usage", path, "--json").json
    assert 0 < made["rows"] < 5000
    assert made["quantities"]["input"] == sum(range(1, made["rows"] + 1))
    assert made["rejected"] >= 1
    assert any("truncated" in p["reason"] or "cut" in p["reason"] or "missing" in p["reason"] for p in made["problems"])


def test_profiles_are_listed() -> None:
    made = run("usage", "--profiles", "--json").json
    assert [profile["name"] for profile in made] == list(profiles())
    for profile in made:
        assert profile["attribution"]
        assert profile["licence"]
        assert profile["grade"] == min(
            (basis["grade"] for basis in profile["basis"].values()),
            key=["assumed", "derived", "vendor-stated", "measured"].index,
        )
        assert 0 < profile["prompt_tokens"]["p50"] <= profile["prompt_tokens"]["p95"]
    out = run("usage", "--profiles").out
    for profile in made:
        [line] = [line for line in out.splitlines() if line.startswith(profile["name"] + " ")]
        assert f"{profile['prompt_tokens']['mean']:,.0f}" in line
        assert profile["grade"] in line
        assert profile["licence"] in out
    assert max(map(len, out.splitlines())) <= 100


def test_formats_are_listed_with_their_containment() -> None:
    made = run("usage", "--formats", "--json").json
    assert [each["name"] for each in made] == [reader.name for reader in READERS]
    assert all(each["containment"] for each in made)
    out = run("usage", "--formats").out
    assert [line.split()[0] for line in out.splitlines()[1:] if line[:1].strip()] == [each["name"] for each in made]
    assert max(map(len, out.splitlines())) <= 100


# --- refusals: one line, status 2 -------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "no file given"),
        (["nowhere.jsonl"], "nowhere.jsonl: there is no such file"),
        (["LOG", "--format", "excel"], "unknown format 'excel'"),
        (["LOG", "--map", "input"], "--map 'input' is not FIELD=COLUMN"),
        (["LOG", "--map", "=x"], "--map '=x' is not FIELD=COLUMN"),
        (["LOG", "--map", "input=a", "--map", "input=b"], "--map states 'input' twice: 'a' and 'b'"),
        (["LOG", "--map", "inptu=a"], "inptu"),
        (["LOG", "--map", "input=a", "--format", "codex"], "leave the format out"),
    ],
)
def test_a_mistake_ends_in_one_line(log: Path, args: list[str], says: str) -> None:
    ran = run("usage", *(log if arg == "LOG" else arg for arg in args))
    assert says in ran.refusal
    assert ran.out == ""


def test_nothing_usable_shows_why_and_fails(tmp_path: Path) -> None:
    path = tmp_path / "naive.jsonl"
    path.write_text('{"at": "2026-11-21T09:30:00", "model": "x", "input": 1}\n')
    ran = run("usage", path)
    assert ran.refusal == f"no usable row in {path}"
    assert ran.out.startswith("No usable row.\n\n1 rejected\n")
    as_json = run("usage", path, "--json")
    assert as_json.code == 2
    assert json.loads(as_json.out)["rejected"] == 1


def test_the_installed_command_refuses_without_a_traceback() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "farthing", "usage", "nowhere.jsonl"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "farthing: nowhere.jsonl: there is no such file\n"


# --- small words ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (0.25, "0.25 s"), (59.96, "60 s"), (60, "1 min"), (3501.7, "58 min 22 s"), (7200, "2 h"),
     (86_400 + 7200 + 59, "1 d 2 h"), (400 * 86_400, "400 d"), (86_399.6, "1 d")],
)  # fmt: skip
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_shares() -> None:
    assert (percent(Fraction(1, 3)), percent(None), percent(Fraction(0))) == ("33.33 %", "-", "0.00 %")


def test_every_meter_that_is_not_a_token_is_shown_in_its_unit(tmp_path: Path) -> None:
    others = {name: meter for name, meter in METERS.items() if meter.unit != "token" and name != "requests"}
    path = tmp_path / "all.jsonl"
    path.write_text(json.dumps({"at": "2026-11-21T09:30:00Z", "model": "x", **dict.fromkeys(others, 3)}) + "\n")
    lines = [line.split() for line in run("usage", path).out.splitlines()]
    for name, meter in others.items():
        assert [name, *meter.unit.split(), "3"] in lines


def test_an_error_is_one_line_whatever_the_name_of_the_file() -> None:
    assert run("usage", "no\n\x1b[31msuch.jsonl").refusal == r"no\n\x1b[31msuch.jsonl: there is no such file"


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_json_and_tables_reach_an_output_of_any_encoding(tmp_path: Path, encoding: str) -> None:
    """Half a character in a file's name, or a name that the terminal's encoding lacks, is no failure."""
    path = tmp_path / "od\udcffd.jsonl"
    path.write_text('{"at": "2026-11-21T09:30:00Z", "model": "m\u00fcde", "input": 5}\n{broken\n')
    command = [sys.executable, "-m", "farthing", "usage", str(path)]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    made, shown = (
        subprocess.run([*command, *more], env=environment, capture_output=True, check=False, timeout=60)
        for more in (["--json"], [])
    )
    assert (made.returncode, made.stderr, shown.returncode, shown.stderr) == (0, b"", 0, b"")
    assert list(json.loads(made.stdout)["by_offer"]) == ["m\u00fcde"]
    assert json.loads(made.stdout)["problems"][0]["place"] == f"{path}:2"
    assert (b"m\\xfcde" if encoding == "ascii" else "m\u00fcde".encode()) in shown.stdout


def test_an_endless_name_is_cut_in_the_table_and_whole_in_the_json(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps({"at": "2026-11-21T09:30:00Z", "model": "m" * 10_000, "input": 5}) + "\n")
    assert run("usage", path).out.count("m") < 700
    assert list(run("usage", path, "--json").json["by_offer"]) == ["m" * 10_000]

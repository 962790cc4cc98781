"""Bad files of statements: one line with the place, the reason and what would work."""

import re
from pathlib import Path

import pytest

from farthing.plans.claims import judge_file, judge_text
from farthing.problems import FarthingError

SOURCE = '[source.d]\ntitle = "A"\nwhere = "b"\nseen = 2026-11-01\ngrade = "assumed"\n'
HEAD = f'document = "d"\n{SOURCE}'
CLAIM = '[[claim]]\nlines = [3]\nsays = "s"\n'
RATIO = CLAIM + 'check = "ratio"\nof = 4\nto = 2\nstated = 2\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SOURCE + RATIO, r"t:1: 'document' is missing \(write document = "),
        ('document = "x"\n' + SOURCE + RATIO, r"t:1: no \[source.x\] \(add it with title"),
        (HEAD, r"t:1: 'claim' is missing \(write \[\[claim\]\]"),
        (HEAD + RATIO + "zzz = 1\n", r"t:14: unknown key 'zzz'"),
        (HEAD + RATIO.replace("stated", "statd"), r"t:7: 'stated' is missing \(write the figure"),
        (HEAD + RATIO.replace("ratio", "ration"), r"t:10: no check 'ration' \(did you mean 'ratio'\?\)"),
        (HEAD + RATIO.replace("lines = [3]", "lines = []"), r"t:8: 'lines' is \[\], not a list of line numbers"),
        (HEAD + RATIO.replace("lines = [3]\n", ""), r"t:7: 'lines' is missing"),
        (HEAD + RATIO.replace("to = 2", "to = 0"), r"t:12: 'to' is 0; it must be above 0"),
        (HEAD + RATIO.replace("to = 2", "to = -2"), r"t:12: 'to' is -2"),
        (HEAD + RATIO.replace("to = 2", "to = [4, 2]"), r"t:12: 'to' is a list of 2 numbers, not a range"),
        (HEAD + RATIO.replace("to = 2", "to = [1]"), r"t:12: 'to' is a list of 1 numbers, not a range"),
        (HEAD + RATIO.replace("to = 2", 'to = "rent"'), r"t:12: no fact 'rent'"),
        (HEAD + RATIO.replace("to = 2", "to = { of = 1 }"), r"t:12: 'to' is missing \(a ratio is"),
        (HEAD + RATIO.replace("to = 2", 'to = { offer = "a/b", meter = "tokens", at = 2026-01-01 }'),
         r"t:12: unknown meter 'tokens'"),
        (HEAD + RATIO.replace("to = 2", 'to = { offer = "a/b", meter = "output" }'), r"t:12: 'at' is missing"),
        (HEAD + RATIO.replace("to = 2", 'to = { device = "h100-sxm", what = "price" }'), r"t:12: no figure 'price'"),
        (HEAD + RATIO.replace("stated = 2", 'stated = 2\nas = "roughly"'), r"t:14: 'as' is 'roughly' \(one of rounded"),
        (HEAD + RATIO.replace("stated = 2", 'stated = "2"'), r"t:13: 'stated' is '2', not a number"),
        (HEAD + CLAIM + 'check = "device"\ndevice = "h100"\nwhat = "tdp-w"\nstated = 700\n',
         r"t:11: device 'h100' stands for \d devices; name one: "),
        (HEAD + CLAIM + 'check = "device"\ndevice = "h100-sxm"\nwhat = "price"\nstated = 700\n',
         r"t:12: 'what' is 'price' \(one of memory-gb"),
        (HEAD + CLAIM + 'check = "device"\ndevice = "a100-80gb-sxm"\nwhat = "fp8-tflops"\nstated = 700\n',
         r"t:12: .* has no fp8-tflops of its own"),
        (HEAD + CLAIM + 'check = "parameters"\nmodel = "gpt-9"\nwhich = "total"\nstated = 7\n',
         r"t:11: no model 'gpt-9'"),
        (HEAD + CLAIM + 'check = "fits"\nmodel = "Llama-3-8B"\nparameters = 8\ndevice = "h100-sxm"\n',
         r"t:12: state a model or its parameters, not both"),
        (HEAD + CLAIM + 'check = "fits"\nparameters = 8e9\ndevice = "h100-sxm"\ncontext = 10\n',
         r"t:13: a KV cache needs a model's shape"),
        (HEAD + CLAIM + 'check = "fits"\nmodel = "Llama-3-8B"\ndevice = "h100-sxm"\nsequences = 10\n',
         r"t:7: 'context' is missing"),
        (HEAD + CLAIM + 'check = "throughput"\nmodel = "Llama-3-8B"\ndevice = "h100-sxm"\ntokens = "output"\n'
         "batch = 1\nstated = 5\n", r"t:7: 'bits' is missing"),
        (HEAD + CLAIM + 'check = "throughput"\nmodel = "Llama-3-8B"\ndevice = "h100-sxm"\ntokens = "any"\nbatch = 1\n'
         "stated = 5\n", r"t:14: only decoding output reads weights"),
        (HEAD + CLAIM + 'check = "bill"\ninput_mtok = 1\nstated = 5\n',
         r"t:7: input_mtok and input_usd_per_mtok go together"),
        (HEAD + CLAIM + 'check = "bill"\nstated = 5\n', r"t:7: there are no tokens to price"),
        (HEAD + CLAIM + 'check = "sum"\nparts = {}\nstated = 5\n', r"t:11: 'parts' names nothing"),
        (HEAD + CLAIM + 'check = "rank"\nitems = { a = 1 }\nfirst = "b"\norder = "largest"\n',
         r"t:12: 'b' is not among the items"),
        (HEAD + CLAIM + 'check = "months"\nstart = 2025-01-01\nend = 2024-01-01\nstated = 5\n',
         r"t:12: 2024-01-01 is before"),
        (HEAD + CLAIM + 'check = "count"\nthings = ["a", "a"]\nstated = 2\n', r"t:11: one is named twice"),
        (HEAD + CLAIM + 'check = "nothing"\n', r"t:7: 'why' is missing"),
        (HEAD + CLAIM + 'check = "speculation"\nacceptance = 2\ndraft = 4\nstated = 2\n', r"t:11: 2 is more than 1"),
        (HEAD + CLAIM + 'check = "depreciation"\nusd = 5\npercent_per_year = 100\nyears = 1\nstated = 2\n',
         r"t:12: 100 per cent a year leaves nothing"),
        (HEAD + '[fact.x]\nvalue = 0\nunit = "$"\nsource = "d"\n' + RATIO, r"t:8: 'value' is 0; it must be above 0"),
        (HEAD + '[fact.x]\nvalue = 1\nunit = "$"\nsource = "e"\n' + RATIO, r"t:10: no \[source.e\]"),
        ("document = ", r"t:1: "),
        (HEAD + CLAIM + 'check = "growth"\nstart = 1\nend = 1e30\nyears = 1e-20\nstated = 5\n',
         r"t:7: its numbers are too large or too small"),
        (HEAD + CLAIM + 'check = "trend"\nstart = 1\nper_year = 1e30\nmonths = 1e9\nstated = 5\n',
         r"t:7: its numbers are too large or too small"),
        (HEAD + CLAIM + 'check = "pace"\nstart = 2\nend = 1\nmonths = 6\nfold = 1\nstated = 5\n',
         r"t:14: 1 times is no fall"),
        (HEAD + CLAIM + 'check = "idle"\nshare = 120\nstated = 5\n', r"t:11: 120 per cent is more than all"),
        (HEAD + CLAIM + 'check = "cost-floor"\nmodel = "Llama-3-8B"\ndevice = "h100-sxm"\ntokens = "any"\n'
         "usd_per_hour = 2\nstated = 0\n", r"t:15: 'stated' is 0; "),
    ],
)  # fmt: skip
def test_one_line_that_names_place_reason_and_repair(text: str, said: str) -> None:
    with pytest.raises(FarthingError) as caught:
        judge_text(text, "t")
    assert re.match(said, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(FarthingError, match="cannot be read"):
        judge_file(tmp_path / "no.toml")
    bad = tmp_path / "bad.toml"
    bad.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FarthingError, match="not a text in UTF-8"):
        judge_file(bad)


def test_a_good_file_counts_its_lines_and_letters(tmp_path: Path) -> None:
    file = tmp_path / "good.toml"
    file.write_text(HEAD + RATIO + RATIO + RATIO.replace("[3]", "7"), "utf-8")
    assert [j.id for j in judge_file(file)] == ["d:3a", "d:3b", "d:7"]

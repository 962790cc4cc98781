"""Fit the built-in workload profiles to public traces and print `src/farthing/data/profiles.toml`.

    python tools/fit_profiles.py ../shared/traces > src/farthing/data/profiles.toml

The traces are other people's data and are not part of this project: what is printed are our own
quantiles of them. A quantile is the nearest rank: the least value that a share p does not exceed.
"""

import csv
import json
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import fmean, pstdev

GRID = ["0", "0.01", "0.02", "0.05", *(f"{p / 100:.2f}".rstrip("0") for p in range(10, 95, 5)), "0.95", "0.98",
        "0.99", "0.999", "1"]  # fmt: skip
MOONCAKE_BLOCK = 512  # tokens; Mooncake, FAST'25 trace description

HEAD = """\
# Built-in workload profiles. Written by tools/fit_profiles.py from public traces: mend that, not this.
# Each table has a value a quantile below, or one value for all of them; docs/workloads.md explains the rest.
quantiles = [{grid}]

[source.azure-llm-2023]
title = "Azure LLM inference trace 2023, conversation (Patel et al., Splitwise, ISCA 2024)"
where = "https://github.com/Azure/AzurePublicDataset/blob/master/AzureLLMInferenceDataset2023.md"
seen = 2026-11-21
grade = "measured"

[source.mooncake-synthetic]
title = "Mooncake synthetic trace (Qin et al., Mooncake, FAST 2025)"
where = "https://github.com/kvcache-ai/Mooncake/tree/main/FAST25-release/traces"
seen = 2026-11-21
grade = "measured"

[source.tracelab-session]
title = "TraceLab: one Claude Code session, contents removed, 1 June 2026"
where = "https://github.com/uw-syfi/TraceLab"
seen = 2026-11-21
grade = "measured"

[source.tracelab-pool]
title = "TraceLab: statistics of the public pool (2,676 Claude sessions, 140,338 steps)"
where = "https://tracelab.cs.washington.edu/"
seen = 2026-11-22
grade = "vendor-stated"

[source.farthing]
title = "Farthing's own assumption: the trace does not say"
where = "docs/workloads.md"
seen = 2026-11-22
grade = "assumed"
"""

CHAT = """
[[profile]]
name = "chat"
title = "Chat with a hosted model"
what = "short prompts, answers of a paragraph or two; requests of many users"
attribution = "Azure/AzurePublicDataset; Patel et al., Splitwise, ISCA 2024"
licence = "CC-BY-4.0"
block_tokens = 128
shared_prefix_tokens = 0
requests_per_second = {rate}
arrival_cv = {cv}

[profile.basis]
lengths = {{ source = "azure-llm-2023", grade = "measured" }}
arrivals = {{ source = "azure-llm-2023", grade = "measured", note = "58 minutes of one afternoon: no daily pattern" }}
sessions = {{ source = "farthing", grade = "assumed", note = "the trace names none: 3 turns, 60 s apart, on average" }}
"""

AGENT = """
[[profile]]
name = "long-context-agent"
title = "Questions about long documents"
what = "most tokens are long documents that are read again for the next question; answers are short"
attribution = "kvcache-ai/Mooncake; Qin et al., Mooncake, FAST 2025"
licence = "Apache-2.0"
block_tokens = {block}
shared_prefix_tokens = 0
requests_per_second = {rate}
arrival_cv = {cv}

[profile.basis]
lengths = {{ source = "mooncake-synthetic", grade = "measured" }}
arrivals = {{ source = "mooncake-synthetic", grade = "measured", note = "17 minutes: no daily pattern" }}
sessions = {{ source = "mooncake-synthetic", grade = "derived", note = "a session: requests with one first block" }}
"""

CODING = """
[[profile]]
name = "coding-agent"
title = "A coding agent at work"
what = "one long conversation a task: each step repeats it all and adds a tool's result"
attribution = "uw-syfi/TraceLab"
licence = "Apache-2.0"
provider = "anthropic"
model = "{model}"
block_tokens = 512
shared_prefix_tokens = {shared}
requests_per_second = 0.4
arrival_cv = 1

[profile.basis]
lengths = {{ source = "tracelab-session", grade = "assumed", note = "only {steps} responses of one session" }}
arrivals = {{ source = "farthing", grade = "assumed", note = "a team that keeps about 8 sessions busy" }}
sessions = {{ source = "tracelab-pool", grade = "assumed", note = "published mean of {turns} steps, shape geometric" }}
"""


def nearest_rank(values: Iterable[float]) -> list[float]:
    """The quantiles of `values` at GRID."""
    ordered = sorted(values)
    return [ordered[max(1, math.ceil(float(p) * len(ordered))) - 1] for p in GRID]


def closed_form(quantile: Callable[[float], float]) -> list[float]:
    """`quantile` at GRID; an unbounded tail is cut at probability 0.9999."""
    return [quantile(min(float(p), 0.9999)) for p in GRID]


def geometric(mean: float) -> list[float]:
    """Quantiles of a number of turns that goes on with the same chance after each one."""
    return closed_form(lambda p: max(1, math.ceil(math.log1p(-p) / math.log1p(-1 / mean))))


def exponential(mean: float) -> list[float]:
    """Quantiles of a memoryless wait."""
    return closed_form(lambda p: round(-mean * math.log1p(-p), 2))


def variation(gaps: Sequence[float]) -> str:
    return f"{pstdev(gaps) / fmean(gaps):.3f}"


def part(share: str, rule: str, **tables: Sequence[float]) -> str:
    rows = [f'\n[[profile.part]]\nshare = {share}\nnext = "{rule}"']
    for name in ("turns", "gap_s", "prompt", "output", "new"):
        values = tables.get(name, [0])
        if len(set(values)) == 1:
            values = values[:1]
        rows.append(f"{name} = [{', '.join(f'{value:g}' if value < 1000 else f'{value:.0f}' for value in values)}]")
    return "\n".join(rows) + "\n"


def chat(path: Path) -> str:
    """Lengths and arrivals of the Azure conversation trace; its sessions are not published."""
    with path.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    times = [datetime.fromisoformat(row["TIMESTAMP"][:26]) for row in rows]
    gaps = [(b - a) / timedelta(seconds=1) for a, b in pairwise(times)]
    head = CHAT.format(rate=f"{1 / fmean(gaps):.3f}", cv=variation(gaps))
    return head + part("1", "rising", turns=geometric(3), gap_s=exponential(60),
                       prompt=nearest_rank(int(row["ContextTokens"]) for row in rows),
                       output=nearest_rank(int(row["GeneratedTokens"]) for row in rows))  # fmt: skip


def long_context_agent(path: Path) -> str:
    """The Mooncake trace as one-off requests and sessions: requests that share their first block."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    gaps = [(b["timestamp"] - a["timestamp"]) / 1000 for a, b in pairwise(rows)]
    sessions = defaultdict(list)
    seen: set[int] = set()
    for row in rows:
        hits = 0
        while hits < len(row["hash_ids"]) and row["hash_ids"][hits] in seen:
            hits += 1
        seen.update(row["hash_ids"])
        row["new"] = row["input_length"] - min(hits * MOONCAKE_BLOCK, row["input_length"])
        sessions[row["hash_ids"][0]].append(row)
    once = [rows[0] for rows in sessions.values() if len(rows) == 1]
    often = [rows for rows in sessions.values() if len(rows) > 1]
    again = [row for rows in often for row in rows]
    share = round(len(once) / len(sessions), 4)
    head = AGENT.format(rate=f"{1 / fmean(gaps):.3f}", cv=variation(gaps), block=MOONCAKE_BLOCK)
    return head + part(
        f"{share}", "repeat", turns=[1],
        prompt=nearest_rank(row["input_length"] for row in once),
        output=nearest_rank(row["output_length"] for row in once),
    ) + part(
        f"{round(1 - share, 4)}", "repeat",
        turns=nearest_rank(len(rows) for rows in often),
        gap_s=nearest_rank((b["timestamp"] - a["timestamp"]) / 1000 for rows in often for a, b in pairwise(rows)),
        prompt=nearest_rank(row["input_length"] for row in again),
        output=nearest_rank(row["output_length"] for row in again),
        new=nearest_rank(row["new"] for rows in often for row in rows[1:]),
    )  # fmt: skip


def coding_agent(path: Path) -> str:
    """The ten responses of the Claude Code session, in order; a repeated response counts once."""
    last = {}
    for line in path.read_text().splitlines():
        row = json.loads(line)
        if row["type"] == "assistant" and "usage" in row["message"]:
            last[row["message"]["id"]] = row
    rows = list(last.values())
    usages = [row["message"]["usage"] for row in rows]
    kinds = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    prompts = [sum(usage[kind] for kind in kinds) for usage in usages]
    outputs = [usage["output_tokens"] for usage in usages]
    times = [datetime.fromisoformat(row["timestamp"]) for row in rows]
    grown = [after - before - output for (before, after), output in zip(pairwise(prompts), outputs, strict=False)]
    turns = 140_338 / 2_676  # steps a session in the public pool
    head = CODING.format(model=rows[0]["message"]["model"], shared=usages[0]["cache_read_input_tokens"],
                         steps=len(rows), turns=f"{turns:.1f}")  # fmt: skip
    return head + part(
        "1", "append", turns=geometric(turns),
        gap_s=nearest_rank((b - a) / timedelta(seconds=1) for a, b in pairwise(times)),
        prompt=prompts[:1],
        output=nearest_rank(outputs),
        new=nearest_rank(grown),
    )  # fmt: skip


def main() -> None:
    traces = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("../shared/traces")
    sys.stdout.write(HEAD.format(grid=", ".join(GRID)))
    sys.stdout.write(chat(traces / "azure-conv-2023.csv"))
    sys.stdout.write(long_context_agent(traces / "mooncake-synthetic.jsonl"))
    sys.stdout.write(coding_agent(traces / "claude-code-session.jsonl"))


if __name__ == "__main__":
    main()

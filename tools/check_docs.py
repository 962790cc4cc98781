"""Holds the documents to the code: `python tools/check_docs.py`, or with `--write` to bring them up to date.

1. The meters in docs/glossary.md are those of `farthing.units`.
2. Every relative link leads to a file, and to a heading where it names one.
3. Every console block marked as checked shows what its commands really print:

       <!-- checked -->
       ```console
       $ farthing price openai/gpt-4o --input 1000 --at 2026-11-01
       …

   Commands are `farthing …` alone, one a line, run in the project's root, in UTC, by a user who has
   no files. Both streams are shown; the spaces with which tables end a line are not compared.
"""

import difflib
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from farthing.units import METERS, Meter

ROOT = Path(__file__).resolve().parents[1]
GLOSSARY = ROOT / "docs/glossary.md"
START, END = "<!-- meters: written by `python tools/check_docs.py --write` -->\n", "<!-- end of meters -->"

_CHECKED = re.compile(r"(?<=<!-- checked -->\n```console\n).*?(?=^```$)", re.DOTALL | re.MULTILINE)
_FENCED = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


def documents() -> list[Path]:
    """The project's own documents."""
    return sorted(path for pattern in ("*.md", "docs/**/*.md", "benchmarks/**/*.md") for path in ROOT.glob(pattern))


def meters_table() -> str:
    """Every meter as a Markdown table, in the order of the registry."""
    rows = ["| Meter | Unit | Priced per | Where it has no price | What it counts |", "|---|---|---|---|---|"]
    rows += [
        f"| `{meter.name}` | {meter.unit} | {meter.per:,} | {_covered(meter)} | {_what(meter)} |"
        for meter in METERS.values()
    ]
    return "\n" + "\n".join(rows) + "\n\n"


def _covered(meter: Meter) -> str:
    if meter.name == "requests":
        return "nothing"  # every usage has requests; only where they have a price is there a line for them
    return f"that of `{meter.covered_by}`" if meter.covered_by else "unknown"


def _what(meter: Meter) -> str:
    return meter.what + (f" (kept in 1/{meter.scale:,})" if meter.scale != 1 else "")


def with_meters(text: str) -> str:
    """`text` (the glossary) with the table that the registry gives between its marks."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise SystemExit(f"{GLOSSARY.relative_to(ROOT)}: no place for the meters; write {START.strip()} and {END}")
    return before + START + meters_table() + END + after


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as code hosts form them: lower case, dashes for spaces."""
    found: set[str] = set()
    for heading in _HEADING.findall(_FENCED.sub("", text)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number = sum(known == slug or re.fullmatch(re.escape(slug) + r"-\d+", known) is not None for known in found)
        found.add(f"{slug}-{number}" if number else slug)
    return found


def broken_links(path: Path, text: str) -> Iterator[str]:
    """What is wrong with the relative links of the document at `path`."""
    for target in _LINK.findall(_INLINE.sub("", _FENCED.sub("", text))):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        name, _, anchor = target.partition("#")
        file = path.parent / name if name else path
        if not file.exists():
            yield f"{path.relative_to(ROOT)}: the link {target} leads nowhere"
        elif anchor and file.suffix == ".md" and anchor not in anchors(file.read_text(encoding="utf-8")):
            yield f"{path.relative_to(ROOT)}: {name or 'this page'} has no heading #{anchor}"


def rerun(block: str, home: str) -> str:
    """The console block with its commands' output as it is now, for a user whose (empty) home is `home`."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    environment = {**kept, "HOME": home, "TZ": "UTC", "PYTHONUTF8": "1"}
    shown = []
    for line in block.splitlines():
        if not line.startswith("$ "):
            continue
        name, *args = shlex.split(line[2:])
        if name != "farthing":
            raise SystemExit(f"only farthing is run from a document, not: {line}")
        ran = subprocess.run(
            [sys.executable, "-m", "farthing", *args], cwd=ROOT, env=environment, text=True, encoding="utf-8",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=300,
        )  # fmt: skip
        if "Traceback (most recent call last)" in ran.stdout:
            raise SystemExit(f"{line}\n{ran.stdout}")
        shown += [line, *(printed.rstrip() for printed in ran.stdout.rstrip().splitlines())]
    return "".join(line + "\n" for line in shown)


def main() -> int:
    """Check every document; the number of faults is printed, and 1 returned if there is one."""
    write = sys.argv[1:] == ["--write"]
    if sys.argv[1:] and not write:
        raise SystemExit(__doc__)
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as home:
        for path in documents():
            text = path.read_text(encoding="utf-8")
            new = with_meters(text) if path == GLOSSARY else text
            new = _CHECKED.sub(lambda match: rerun(match.group(), home), new)
            if new != text and write:
                path.write_text(new, encoding="utf-8")
                print(f"wrote {path.relative_to(ROOT)}")
            elif new != text:
                name = str(path.relative_to(ROOT))
                lines = difflib.unified_diff(
                    text.splitlines(), new.splitlines(), name, "what it should say", "", "", 1, ""
                )
                faults.append("\n".join(lines) + "\nbring it up to date: python tools/check_docs.py --write")
            faults += broken_links(path, new)
    print("\n".join([*faults, f"{len(documents())} documents, {len(faults)} faults"]))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

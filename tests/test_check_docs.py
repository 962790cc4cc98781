"""The check of the documents finds what is wrong with them: a check that cannot fail holds nothing."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


def load() -> ModuleType:
    path = Path(__file__).resolve().parents[1] / "tools/check_docs.py"
    spec = importlib.util.spec_from_file_location("check_docs", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


docs = load()
PAGE = """\
# A page

## What it *is*, and [how](b.md)
## What it *is*, and [how](b.md)

```toml
[a](not-a-link.md)
# not a heading
```

Not `[a](one.md)` either.
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, with an up-to-date glossary and one page."""
    (tmp_path / "docs").mkdir()
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    monkeypatch.setattr(docs, "GLOSSARY", tmp_path / "docs/glossary.md")
    monkeypatch.setattr("sys.argv", ["check_docs.py"])
    docs.GLOSSARY.write_text(f"# Glossary\n{docs.START}{docs.meters_table()}{docs.END}\n")
    (tmp_path / "docs/a.md").write_text(PAGE.replace("b.md", "a.md"))
    return tmp_path


def test_what_is_right_passes(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    links = (
        "[1](docs/a.md) [2](docs/a.md#a-page) [3](#top) [4](https://example.com/x) [5](docs/a.md#what-it-is-and-how-1)"
    )
    (root / "README.md").write_text(f"# Top\n{links}\n")
    assert docs.main() == 0
    assert capsys.readouterr().out == "3 documents, 0 faults\n"


@pytest.mark.parametrize(
    ("link", "says"),
    [
        ("docs/c.md", "README.md: the link docs/c.md leads nowhere"),
        ("docs/a.md#nothing", "README.md: docs/a.md has no heading #nothing"),
        ("docs/a.md#not-a-heading", "README.md: docs/a.md has no heading #not-a-heading"),
        ("docs/a.md#what-it-is-and-how-2", "has no heading #what-it-is-and-how-2"),
        ("#bottom", "README.md: this page has no heading #bottom"),
    ],
)
def test_a_link_that_leads_nowhere(root: Path, capsys: pytest.CaptureFixture[str], link: str, says: str) -> None:
    (root / "README.md").write_text(f"# Top\n[x]({link})\n")
    assert docs.main() == 1
    out = capsys.readouterr().out
    assert says in out
    assert out.endswith("1 faults\n")


def test_a_stale_glossary_is_shown_and_rewritten(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = docs.GLOSSARY.read_text()
    docs.GLOSSARY.write_text(right.replace("| `training` |", "| `traning` |"))
    assert docs.main() == 1
    out = capsys.readouterr().out
    assert "-| `traning` |" in out
    assert "+| `training` |" in out
    monkeypatch.setattr("sys.argv", ["check_docs.py", "--write"])
    assert docs.main() == 0
    assert docs.GLOSSARY.read_text() == right


def test_a_glossary_without_a_place_for_the_meters(root: Path) -> None:
    docs.GLOSSARY.write_text("# Glossary\n")
    with pytest.raises(SystemExit, match="no place for the meters"):
        docs.main()


def test_console_blocks_are_run(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = "$ farthing price openai/gpt-4o --input 1.5"
    block = "<!-- checked -->\n```console\n{}\n{}\n```\n"
    stale = block.format(command, "$0.0045")
    unchecked = "```console\n$ farthing price nothing\n$0\n```\n"
    path = root / "docs/a.md"
    path.write_text(stale + unchecked)
    assert docs.main() == 1
    assert "-$0.0045" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["check_docs.py", "--write"])
    assert docs.main() == 0
    assert path.read_text() == block.format(command, "farthing: input is '1.5', not a whole number") + unchecked


def test_only_farthing_is_run(root: Path) -> None:
    (root / "docs/a.md").write_text("<!-- checked -->\n```console\n$ rm -rf /\n```\n")
    with pytest.raises(SystemExit, match="only farthing is run"):
        docs.main()

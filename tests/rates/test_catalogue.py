"""The snapshot of the genai-prices catalogue: equal to a direct reading, never stale, never in the way."""

import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from farthing.problems import FarthingError
from farthing.rates import catalogue
from farthing.rates.book import Book
from farthing.rates.feeds import genai

NAME = "genai-prices-*"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that snapshots are made in, empty; nothing is made unless the test says so."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(catalogue, "_keeps", False)
    monkeypatch.setattr(catalogue, "_places", [])
    catalogue._snapshot.cache_clear()
    yield tmp_path / "farthing"
    catalogue._snapshot.cache_clear()


@pytest.fixture
def made(folder: Path) -> Path:
    """A snapshot, made anew."""
    catalogue.keep()
    catalogue.provider_names()
    [path] = folder.glob(NAME)
    return path


def test_every_provider_is_as_the_package_has_it(made: Path) -> None:
    found = catalogue._snapshot()
    assert found is not None and found.path == made
    assert list(catalogue.provider_names()) == genai.provider_names()
    for names in genai.provider_names():
        assert found.offers(names.id) == genai.load(names.id).offers, names.id
    assert any(  # windows are integers of 10,080 bits, which few encoders hold
        rate.when.window for offer in catalogue.offers("deepseek") for price in offer.prices for rate in price.rates
    )


def test_a_book_answers_the_same_from_it(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules fill undated prices as of today, so both books are of one day."""
    asked = [("openai", "gpt-4o"), ("azure", "gpt-4o"), ("bedrock", "anthropic.claude-3-5-sonnet-20241022-v2:0"),
             ("deepseek", "deepseek-chat"), (None, "claude-sonnet-4-5"), ("nobody", "x")]  # fmt: skip
    kept = Book(as_of=datetime(2026, 11, 1, tzinfo=UTC))
    from_it = [kept.lookup(provider, model) for provider, model in asked]
    monkeypatch.setattr(catalogue, "_name", lambda: None)
    catalogue._snapshot.cache_clear()
    direct = Book(as_of=datetime(2026, 11, 1, tzinfo=UTC))
    assert from_it == [direct.lookup(provider, model) for provider, model in asked]


def test_the_same_catalogue_gives_the_same_bytes(made: Path) -> None:
    """A process may read the head of one file and the parts of the one that replaced it."""
    code = "from farthing.rates import catalogue; catalogue.keep(); catalogue.provider_names()"
    other = made.parent.parent / "other"
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        env={**os.environ, "XDG_CACHE_HOME": str(other), "PYTHONHASHSEED": "7"},
    )
    [again] = (other / "farthing").glob(NAME)
    assert again.name == made.name and again.read_bytes() == made.read_bytes()


def test_its_name_covers_all_that_a_reading_depends_on() -> None:
    """Each of our modules that is loaded, and each file that is opened, is in the digest."""
    code = """
import sys
opened = set()
sys.addaudithook(lambda event, args: opened.add(str(args[0])) if event == "open" else None)
from farthing.rates.feeds import genai
genai.load(), genai.provider_names()
import farthing, genai_prices
from pathlib import Path
for module in list(sys.modules.values()):
    if module.__name__.split(".")[0] == "farthing":
        print(module.__file__)
for name in opened:
    if "farthing/" in name.replace("site-packages", "") and name.endswith((".toml", ".json", ".csv")):
        print(name)
"""
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split("\n")
    root = Path(catalogue.__file__).parent.parent
    covered = {str(path) for glob in catalogue._OURS for path in root.glob(glob)}
    used = {line for line in said if line}
    assert str(root / "rates" / "feeds" / "genai.py") in used
    assert used <= covered


def test_another_package_or_another_code_is_another_snapshot(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for path in (ours / "rates/feeds", theirs / "genai_prices"):
        path.mkdir(parents=True)
    (ours / "rates/catalogue.py").write_text("1")
    (theirs / "genai_prices/__init__.py").write_text("")
    monkeypatch.setattr(catalogue, "__file__", str(ours / "rates/catalogue.py"))
    monkeypatch.setattr(sys, "path", [str(theirs), *sys.path])
    monkeypatch.delitem(sys.modules, "genai_prices", raising=False)
    names = [catalogue._digest()]
    (theirs / "genai_prices/data.py").write_text("providers = []")
    names.append(catalogue._digest())
    (ours / "rates/feeds/genai.py").write_text("2")
    names.append(catalogue._digest())
    (ours / "rates/feeds/genai.py").rename(ours / "rates/feeds/other.py")
    names.append(catalogue._digest())
    assert None not in names and len({*names, made.name}) == 5
    for path in ours.rglob("*.py"):
        path.unlink()
    assert catalogue._digest() is None  # only compiled code: there is no telling


@pytest.mark.parametrize("cut", [0, 1, 5, 100, -1])
def test_a_file_that_was_cut_off_is_not_used(made: Path, cut: int) -> None:
    made.write_bytes(made.read_bytes()[:cut])
    assert catalogue._open(made) is None


def test_damage_is_found_and_mended(made: Path) -> None:
    good = made.read_bytes()
    found = catalogue._snapshot()
    assert found is not None
    place = [names.id for names in found.head.names].index("openai")
    middle = found.begin + (found.head.ends[place - 1] + found.head.ends[place]) // 2
    made.write_bytes(good[:middle] + bytes([good[middle] ^ 0xFF]) + good[middle + 1 :])
    catalogue._snapshot.cache_clear()
    assert catalogue.offers("openai") == genai.load("openai").offers
    assert made.read_bytes() == good


def headed(head: bytes) -> bytes:
    packed = zlib.compress(head)
    return b"%d\n" % len(packed) + packed


@pytest.mark.parametrize(
    "content",
    [b"", b"12\nnot compressed", b"-5\n", b"999999999999\n", b"\x00" * 100, headed(b"not JSON"), headed(b"[]"),
     headed(b'{"names": [], "ends": [1]}') + b"x"],
)  # fmt: skip
def test_nonsense_in_its_place_is_not_used_and_replaced(made: Path, content: bytes) -> None:
    good = made.read_bytes()
    made.write_bytes(content)
    catalogue._snapshot.cache_clear()
    assert list(catalogue.provider_names()) == genai.provider_names()
    assert made.read_bytes() == good


def test_a_file_that_vanishes_costs_a_reading(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "_keeps", False)
    assert catalogue._snapshot() is not None
    made.unlink()
    assert catalogue.offers("anthropic") == genai.load("anthropic").offers
    assert not made.exists()


def test_nothing_is_written_unless_a_command_says_so(folder: Path) -> None:
    assert list(catalogue.provider_names()) == genai.provider_names()
    assert not folder.exists()


def test_where_nothing_can_be_written_the_package_is_read(folder: Path) -> None:
    folder.write_text("a file where the folder should be")
    catalogue.keep()
    assert catalogue.offers("groq") == genai.load("groq").offers


def test_no_part_of_one_is_left_where_making_it_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> Iterator[bytes]:
        yield b"5\n"
        raise OSError("the disk is full")

    monkeypatch.setattr(catalogue, "_parts", fails)
    catalogue.keep()
    assert catalogue.offers("groq") == genai.load("groq").offers
    assert list(folder.iterdir()) == []


def test_an_installation_that_changes_meanwhile_is_not_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "_digest", lambda: "genai-prices-after-an-upgrade")
    catalogue.keep()
    assert catalogue.offers("groq") == genai.load("groq").offers
    assert list(folder.iterdir()) == []


def test_an_unknown_provider_is_refused_with_the_nearest(made: Path) -> None:
    with pytest.raises(FarthingError, match="did you mean 'openai'"):
        catalogue.offers("openia")


def test_old_ones_go_and_other_files_stay(folder: Path) -> None:
    """The eight newest stay: the one made now, two young ones, and five of the seven old ones."""
    folder.mkdir()
    foreign = folder / "notes.txt"
    young = [folder / f"genai-prices-young{number}" for number in range(2)]
    old = [folder / f"genai-prices-old{number}" for number in range(7)]
    for path in (foreign, *young, *old):
        path.write_text("x")
    for number, path in enumerate((foreign, *old)):
        os.utime(path, (number, number))
    catalogue.keep()
    catalogue.provider_names()
    left = set(folder.iterdir())
    assert {foreign, *young, *old[2:]} < left and not left & {*old[:2]} and len(left) == 9


def test_young_ones_stay_however_many_they_are(folder: Path) -> None:
    """A process may be writing one of them at this moment."""
    folder.mkdir()
    young = {folder / f"genai-prices-{number}.part" for number in range(20)}
    for path in young:
        path.write_text("x")
    catalogue.keep()
    catalogue.provider_names()
    assert young < set(folder.iterdir())


@pytest.mark.parametrize(
    ("home", "xdg", "expected"),
    [
        ("/home/a", "/cache", ["/cache/farthing"]),
        ("/home/a", "", ["/home/a/.cache/farthing"]),
        ("/home/a", "relative", ["/home/a/.cache/farthing"]),  # to be ignored, as the specification says
        ("", "", []),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="the XDG folders are those of Unix")
def test_the_folder_is_the_users_cache(
    folder: Path, monkeypatch: pytest.MonkeyPatch, home: str, xdg: str, expected: list[str]
) -> None:
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    assert [str(path) for path in catalogue._folders()] == expected


PREPARE = """
import sys
from pathlib import Path
from farthing.rates import catalogue
catalogue.keep()
catalogue.prepare(Path(sys.argv[1]))()
from farthing.rates.book import Book
print([len(x.offers) > 50 for x in Book().layers("openai") if x.name == "genai-prices"], "genai_prices" in sys.modules)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the gateway needs fork")
@pytest.mark.parametrize("writable", [True, False])
def test_a_gateway_never_imports_the_package(tmp_path: Path, writable: bool) -> None:
    """It is read in a process of its own, into the user's cache folder or, where that cannot be, the data folder."""
    home = tmp_path / "home"
    home.mkdir() if writable else home.write_text("no folder")
    environ = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": ""}
    for _ in range(2):
        said = subprocess.run(
            [sys.executable, "-c", PREPARE, str(tmp_path / "data")], check=True, capture_output=True, text=True,
            env=environ,
        ).stdout  # fmt: skip
        assert said == "[True] False\n"
    assert len(list((home / ".cache/farthing" if writable else tmp_path / "data").glob(NAME))) == 1

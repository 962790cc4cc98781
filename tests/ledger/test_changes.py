"""Signals between processes through a mapped file."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from farthing.ledger.changes import FILE, Changes
from farthing.problems import FarthingError

ROOT = Path(__file__).resolve().parents[2]


def test_each_signal_is_its_own_and_always_differs(tmp_path: Path) -> None:
    one, two = Changes(tmp_path), Changes(tmp_path)
    words = {one.keys}
    for _ in range(1000):
        one.tell_keys()
        assert two.keys == one.keys
        words.add(two.keys)
    assert len(words) == 1001
    assert (two.wanted, two.returned) == (0, 0)
    two.tell_wanted()
    two.tell_returned()
    assert one.wanted and one.returned and one.wanted != one.returned
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    one.close()
    two.close()


def test_another_process_is_heard_and_what_it_said_stays(tmp_path: Path) -> None:
    here = Changes(tmp_path / "new")
    before = here.keys
    script = "import sys; from farthing.ledger.changes import Changes; Changes(sys.argv[1]).tell_keys()"
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "new")], check=True, cwd=ROOT, timeout=60)
    assert here.keys != before
    assert Changes(tmp_path / "new").keys == here.keys
    here.close()


def test_a_folder_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FarthingError, match="cannot be used"):
        Changes(tmp_path / "file")

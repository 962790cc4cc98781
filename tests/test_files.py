"""Writing whole files: nothing half-written, nothing that is no file replaced."""

import os
import stat
import threading
from pathlib import Path

import pytest

from farthing.files import write_whole
from farthing.problems import FarthingError


def test_a_new_file_has_the_usual_permissions_and_an_old_one_keeps_its_own(tmp_path: Path) -> None:
    new, old = tmp_path / "new.csv", tmp_path / "old.csv"
    old.write_text("before")
    old.chmod(0o640)
    mask = os.umask(0o027)
    try:
        write_whole(new, "a\r\n")
        write_whole(old, "b")
    finally:
        os.umask(mask)
    assert (new.read_bytes(), old.read_text()) == (b"a\r\n", "b")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (new, old)] == [0o640, 0o640]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.csv", "old.csv"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "link.csv"
    link.symlink_to(tmp_path / "there" / "out.csv")
    for text in ("first", "second"):
        write_whole(link, text)
        assert link.is_symlink()
        assert (tmp_path / "there" / "out.csv").read_text() == text


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    """As /dev/null and /dev/stdout must: a file renamed over a device takes it away from the whole machine."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    write_whole(pipe, "through")
    reader.join(10)
    assert read == ["through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_half_a_character_does_not_cost_the_file(tmp_path: Path) -> None:
    write_whole(tmp_path / "odd.csv", "a\ud800b\n")
    assert (tmp_path / "odd.csv").read_text() == "a?b\n"


def test_what_cannot_be_written_is_one_line_and_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.csv"
    out.write_text("before")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    for target, why in ((tmp_path / "no" / "x", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(FarthingError, match=f"{target}: cannot be written: {why}"):
            write_whole(target, "x")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(FarthingError, match="cannot be written: No space left on device"):
        write_whole(out, "after")
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    assert out.read_text() == "before"

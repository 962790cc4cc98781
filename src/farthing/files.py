"""Files written whole or not at all."""

import os
import stat
import tempfile
from pathlib import Path

from farthing.problems import FarthingError


def write_whole(out: Path, text: str) -> None:
    """Write `text` to `out` by way of a temporary file beside it: a full disk or a crash leaves what was there.

    A link is followed, a file keeps its permissions, and what is no file (a device, a pipe) is written to and
    never replaced. Raises `FarthingError` with one line where it cannot be written.
    """
    content = text.encode("utf-8", "replace")  # a log may hold half a character, which UTF-8 cannot
    try:
        target = Path(os.path.realpath(out))
        mode = target.stat().st_mode if target.exists() else None
        if mode is not None and not stat.S_ISREG(mode):
            # Renaming a file over a device would take the device away from the whole machine.
            target.write_bytes(content)
            return
        _replace(target, content, stat.S_IMODE(mode) if mode is not None else 0o666 & ~_umask())
    except OSError as error:
        raise FarthingError(f"{out}: cannot be written: {error.strerror or error}") from None


def _replace(target: Path, content: bytes, mode: int) -> None:
    name = None
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
            name = file.name
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(target)
    except BaseException:  # an interruption, too, leaves nothing behind
        if name is not None:
            Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    """The permissions that a new file is not given; it can only be read by setting it."""
    current = os.umask(0o022)
    os.umask(current)
    return current

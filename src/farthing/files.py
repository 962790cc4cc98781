"""Files written whole or not at all."""

import os
import tempfile
from pathlib import Path

from farthing.problems import FarthingError


def write_whole(out: Path, text: str) -> None:
    """Write `text` to `out` by way of a temporary file beside it: a full disk or a crash leaves what was there.

    Raises `FarthingError` with one line where it cannot be written.
    """
    name = None
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="", dir=out.parent, delete=False) as file:
            name = file.name
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(out)
    except OSError as error:
        if name is not None:
            Path(name).unlink(missing_ok=True)
        raise FarthingError(f"{out}: cannot be written: {error.strerror or error}") from None

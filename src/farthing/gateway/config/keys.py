"""Where secrets come from: a variable of the environment, or a file. Never from the configuration itself."""

import re
from collections.abc import Mapping
from pathlib import Path

from farthing.gateway.config.secret import Secret
from farthing.problems import FarthingError
from farthing.rates.toml_table import Table

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_BYTES = 16_384


class Secrets:
    """Reads secrets for one configuration. `needed`: whether a missing one is an error; if not, it is in `missing`."""

    def __init__(self, environ: Mapping[str, str], folder: Path, needed: bool = True) -> None:
        self.environ = environ
        self.folder = folder
        self.needed = needed
        self.missing: list[str] = []

    def variable(self, table: Table, key: str) -> str | None:
        """The name of a variable that `table` states under `key`."""
        name = table.text(key)
        if name is not None and not _VARIABLE.fullmatch(name):
            # What is no name may well be the key itself: it is not shown.
            table.fail(key, f"{key!r} is not the name of a variable", f'such as {key} = "OPENAI_API_KEY"')
        return name

    def from_environment(self, table: Table | None, key: str | None, name: str) -> Secret | None:
        """The secret in the variable `name`, which `table` states under `key`; None where it is not set."""
        value = self.environ.get(name, "").strip()
        if not value:
            return None
        if why := _unfit(value):
            reason, repair = f"${name} {why}", f"set it again: export {name}=…"
            if table is None:
                raise FarthingError(f"{reason} ({repair})")
            table.fail(key, reason, repair)
        return Secret(value, f"${name}")

    def from_file(self, table: Table, key: str) -> Secret | None:
        """The secret that is all of the file that `table` names under `key`; None where it cannot be read and need
        not be."""
        path = self.folder / Path(table.needed_text(key)).expanduser()
        try:
            with path.open("rb") as file:
                content = file.read(_MOST_BYTES + 1)
        except OSError as error:
            if not self.needed:
                return None
            table.fail(key, f"{path}: cannot be read: {error.strerror or error}", "the file holds the key alone")
        if len(content) > _MOST_BYTES:
            table.fail(key, f"{path} is longer than {_MOST_BYTES:,} bytes", "the file holds the key alone")
        value = content.decode("utf-8", "replace").strip("\ufeff \t\r\n")
        why = "is empty" if not value else _unfit(value)
        if why:
            table.fail(key, f"{path} {why}", "the file holds the key alone")
        return Secret(value, str(path))


def _unfit(value: str) -> str:
    """Why `value` cannot be sent in a header; "" where it can."""
    if not value.isascii() or not value.isprintable():
        return "holds a character that no header may hold"
    return "holds a space" if " " in value else ""

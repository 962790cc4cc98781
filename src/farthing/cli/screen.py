"""Where tables go: a console that shows every word and number of a table whole."""

from typing import Any

from rich.console import Console, ConsoleDimensions, Group
from rich.table import Table

from farthing.reports.fit import fitted

WIDTH = 100
_LEAST = 80


class Screen(Console):
    """As wide as the terminal, at least 80 columns; 100 where the output is no terminal."""

    def __init__(self) -> None:
        super().__init__(highlight=False, markup=False, emoji=False)  # names come from users
        self._resize(max(self.width, _LEAST) if self.is_terminal else WIDTH)

    def _resize(self, width: int) -> None:
        self.size = ConsoleDimensions(width, self.height)  # both: else a terminal that knows little is taken for 80

    def print(self, *objects: Any, **how: Any) -> None:
        """As `Console.print`; tables fitted to the width, and shown wider where they cannot be without a cut."""
        if len(objects) == 1 and isinstance(objects[0], Group):
            for part in objects[0].renderables:
                self.print(part, **how)
        elif len(objects) == 1 and isinstance(objects[0], Table):
            table, needed = fitted(self, objects[0])
            before = self.width
            self._resize(max(before, needed))
            try:
                super().print(table, **how)
            finally:
                self._resize(before)
        else:
            super().print(*objects, **how)

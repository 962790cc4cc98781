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
            # Part by part: what is beside a table that is wider than the screen need not be. A text keeps a group
            # around it, since alone it would lose what it says of its own wrapping.
            for part in objects[0].renderables:
                if isinstance(part, Table | Group):
                    self.print(part, **how)
                else:
                    super().print(Group(part), **how)
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

"""Opening the data files of serving: a TOML table and its sources."""

from importlib import resources

from farthing.rates.toml_sources import Sources, read_sources
from farthing.rates.toml_table import Document, Table


def open_table(name: str) -> tuple[Table, Sources]:
    """The table of `data/serving/NAME.toml` and its `[source.ID]` tables.

    Raises `FarthingError` with file and line for a file that is not as it should be.
    """
    file = resources.files("farthing") / "data" / "serving" / f"{name}.toml"
    table = Document(file.read_text("utf-8"), f"data/serving/{name}.toml").table()
    return table, read_sources(table)

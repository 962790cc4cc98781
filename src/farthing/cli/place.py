"""Which data folder a verb works on: the one that `farthing up` would use here."""

import os
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from farthing.problems import FarthingError

DEFAULT = Path("farthing-data")
Data = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR",
        help="The gateway's data folder; else $FARTHING_DATA, else that of the configuration, else farthing-data.",
    ),
]  # fmt: skip
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="The gateway's configuration; else $FARTHING_CONFIG, else ./farthing.toml."
    ),
]


class Place(NamedTuple):
    """A data folder, the variable with the address of the database that it shares (None: as `shared_ledger` finds),
    and where its gateway listens. `file`: the configuration that says so."""

    data: Path
    database_env: str | None
    host: str = "127.0.0.1"
    port: int = 4141
    file: Path | None = None


def place(data: Path | None, config: Path | None, database_env: str | None, *, needed: bool = False) -> Place:
    """--data, else $FARTHING_DATA, else [gateway] data of the configuration, relative to its file, else farthing-data.

    A configuration whose data folder is another one than `data` says nothing of it. `needed`: what is done changes
    what the gateway shares, so that its database must be known. Raises `FarthingError`.
    """
    from farthing.gateway.config.where import standing, used_file

    try:
        said = standing(used_file(config, os.environ), os.environ)
    except FarthingError:
        if data is None or config is not None:
            raise
        return Place(data, database_env)
    if data is not None and data.resolve() != said.data.resolve():
        return Place(data, database_env)
    if database_env is None and said.database_env is not None:
        if os.environ.get(said.database_env, "").strip():
            database_env = said.database_env
        elif needed:
            raise FarthingError(
                f"{said.file}: database_env: ${said.database_env} is not set; export {said.database_env}=postgresql://…"
            )
    return Place(data or said.data, database_env, said.host, said.port, said.file)

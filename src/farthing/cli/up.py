"""`farthing up`: its options. What it does is in `up_run`, which a plain command line reaches without Typer."""

from pathlib import Path
from typing import Annotated

import typer


def up(
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Else $FARTHING_CONFIG, else ./farthing.toml.")
    ] = None,
    host: Annotated[str | None, typer.Option(metavar="H", help="Where to listen; else 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(metavar="P", min=0, max=65535, help="Else 4141; 0: a free one.")] = None,
    workers: Annotated[int | None, typer.Option(metavar="N", min=1, help="Processes that serve; else 1.")] = None,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="The data folder; else farthing-data.")] = None,
    local: Annotated[
        bool, typer.Option("--local", help="Also a small real model on this machine (the extra `local`).")
    ] = False,
    local_usd_per_hour: Annotated[
        str | None, typer.Option(metavar="X", help="With --local: what this machine costs; else assumed.")
    ] = None,
) -> None:
    """Start the gateway and its ledger. ^C ends it when the requests in flight have ended; twice: at once.

    It serves OpenAI's and Anthropic's protocols; the keys of providers come from the environment or from
    farthing.toml (`farthing config check` explains one). SIGHUP reads the configuration again.

    Example: farthing up --local
    """
    from farthing.cli.up_run import run

    status = run(
        config=config, host=host, port=port, workers=workers, data=data, local=local,
        local_usd_per_hour=local_usd_per_hour,
    )  # fmt: skip
    raise typer.Exit(status)

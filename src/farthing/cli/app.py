"""The verbs, wired to the command line."""

import typer

from farthing.cli import (
    claims,
    config,
    host,
    index,
    keys,
    ledger,
    plans,
    plans_margin,
    price,
    prices,
    prices_watch,
    reconcile,
    replay,
    up,
    usage,
)

app = typer.Typer(
    name="farthing",
    help="What every token costs, what yours cost, and what the same work would cost anywhere else.",
    epilog="Start with:  farthing price openai/gpt-4o --input 1000000 --output 50000",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("price", context_settings=price.CONTEXT)(price.price)
app.command("up")(up.up)
app.command("usage")(usage.usage)
app.command("replay")(replay.replay)
app.command("reconcile")(reconcile.reconcile)
app.command("tco")(plans.tco)
app.command("breakeven")(plans.breakeven)
app.command("margin")(plans_margin.margin)
app.command("claims")(claims.claims)
app.add_typer(config.app, name="config")
app.add_typer(host.app, name="host")
app.add_typer(index.app, name="index")
app.add_typer(keys.app, name="keys")
app.add_typer(ledger.app, name="ledger")
prices.app.command("watch", epilog="Example:  farthing prices watch --usage log.jsonl --since 2026-10-01")(
    prices_watch.watch
)
app.add_typer(prices.app, name="prices")

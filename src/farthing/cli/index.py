"""`farthing index`: how prices move, with basket, count and interval; each verb in a module of its own."""

import typer

from farthing.cli import index_decline, index_forecast, index_show, index_site, index_structure

app = typer.Typer(
    help="How prices move: show, decline, forecast, viability, spread, compare, gpu, site.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("show", epilog="Example:  farthing index show   or   farthing index show --method constant-capability")(
    index_show.show
)
app.command(
    "decline", epilog="Example:  farthing index decline --from 60 --to 0.60 --start 2023-03-14 --end 2024-07-18"
)(index_decline.decline)
app.command("forecast", epilog="Example:  farthing index forecast --benchmark gpqa-diamond --score 50")(
    index_forecast.forecast
)
app.command("viability", epilog="Example:  farthing index viability --cost 2.00 --target 0.10")(
    index_forecast.viability
)
app.command("spread", epilog="Example:  farthing index spread llama-3.3-70b --at 2026-11-01")(index_structure.spread)
app.command("compare", epilog="Example:  farthing index compare   or   farthing index compare openai anthropic")(
    index_structure.compare
)
app.command("gpu", epilog="Example:  farthing index gpu --device h100")(index_structure.gpu)
app.command("site", epilog="Example:  farthing index site out/")(index_site.site)

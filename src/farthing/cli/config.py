"""`farthing config`: what the gateway's configuration means, or what is wrong with it, before anything starts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farthing.cli.common import Json, console, print_json
from farthing.problems import FarthingError

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(help="The gateway's configuration: checked and explained.", no_args_is_help=True,
                  rich_markup_mode=None)  # fmt: skip


@app.callback()
def group() -> None:
    """The gateway's configuration: checked and explained."""


@app.command("check")
def check(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="The file; none: $FARTHING_CONFIG, ./farthing.toml, or the environment."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Read a configuration as `farthing up` would, and say what it means; nothing starts and nothing is sent.

    The exit status is 2 for a mistake in the file and 1 where a key or another secret that is
    needed is not set: `farthing up` refuses both.

    Example: farthing config check farthing.toml
    """
    import os

    from farthing.gateway.config import load
    from farthing.gateway.config.describe import described, doubts
    from farthing.gateway.config.where import used_file

    try:
        config = load(used_file(file, os.environ), os.environ, need_keys=False)
    except FarthingError as error:
        if not as_json:
            raise
        print_json({"ok": False, "problems": [str(error)]})
        raise typer.Exit(2) from None
    found = described(config)
    found["notes"] += doubts(config)
    if as_json:
        print_json(found)
    else:
        _show(found)
    if not found["ok"]:
        raise typer.Exit(1)


def _show(found: dict[str, Any]) -> None:
    screen = console()
    whence = found["config"] or "no file: the environment and the defaults"
    workers = "1 worker" if found["workers"] == 1 else f"{found['workers']} workers"
    keeps = found["database"] and f"PostgreSQL ({found['database']})"
    screen.print(f"{whence}\n{found['address']}, {workers}, data in {found['data']}", soft_wrap=True)
    screen.print(f"ledger and budgets: {keeps or 'SQLite in the data folder'}; virtual keys: {found['keys']}")
    for title, table in (
        ("", _upstreams(found)),
        ("models", _models(found)),
        ("policies", _policies(found)),
        ("budgets", _budgets(found)),
        ("limits", _limits(found)),
    ):
        if table.row_count:
            screen.print()
            if title:
                screen.print(title, style="bold")
            screen.print(table)
    if found["cards"]:
        screen.print("\nprice cards: " + ", ".join(found["cards"]))
    for note in found["notes"]:
        screen.print(f"\nnote: {note}")
    lacks = any(one["key"] and not one["key"]["set"] for one in found["upstreams"])
    why = "a key is not set" if lacks else "; ".join(found["missing"])
    screen.print("\nin order" if found["ok"] else f"\nnot ready: {why}")


def _table(*columns: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _upstreams(found: dict[str, Any]) -> "Table":
    table = _table("upstream", "address, and what it serves", "key")
    for one in found["upstreams"]:
        key = one["key"]
        state = "none" if key is None else f"{key['from']}: {'set' if key['set'] else 'not set'}"
        named = [served["name"] for served in one["served"]]
        models = _some([*named, *(name for name in one["models"] if name not in named)])
        speaks = {"openai": "OpenAI's", "anthropic": "Anthropic's"}[one["protocol"]]
        priced = f"priced as {one['offer'] or one['provider']}"
        serves = "any model" if models == "*" else models
        table.add_row(one["name"], f"{one['url']}\n{speaks} protocol, {priced}: {serves}", state)
    return table


def _models(found: dict[str, Any]) -> "Table":
    table = _table("asked for", "goes to, best first")
    for one in found["models"]:
        table.add_row(one["name"], ", ".join(one["targets"]))
    return table


def _policies(found: dict[str, Any]) -> "Table":
    table = _table("policy", "kind", "what", "when")
    for one in found["policies"]:
        what = one.get("target") or ", ".join(one.get("targets", ()))
        if "weights" in one:
            what = ", ".join(f"{arm} ({weight})" for arm, weight in one["weights"])
        when = {name: value for name, value in one["when"].items() if value not in (None, {}, [], ())}
        texts = when.pop("texts", {}) | {f"tag {name}": value for name, value in when.pop("tags", {}).items()}
        words = [f"{name} {_some(list(value))}" for name, value in texts.items()]
        words += [f"{name} {_size(value) if isinstance(value, dict) else value}" for name, value in when.items()]
        table.add_row(one["name"], one["kind"], what or "the model's own targets", "; ".join(words) or "always")
    return table


def _size(value: dict[str, Any]) -> str:
    least, most = value.get("least", 0), value.get("most")
    return f"{least:,} to {most:,}" if most is not None else f"{least:,} or more"


def _budgets(found: dict[str, Any]) -> "Table":
    table = _table("budget of", "at most", "beyond")
    for one in found["budgets"]:
        period = "in all" if one["period"] == "total" else f"a {one['period']}"
        table.add_row(_whose(one), f"${one['usd']} {period}", "refused" if one["hard"] else "told")
    return table


def _limits(found: dict[str, Any]) -> "Table":
    table = _table("limit of", "requests a minute", "tokens a minute", "at once")
    for one in found["limits"]:
        amounts = (one["requests_per_minute"], one["tokens_per_minute"], one["concurrent"])
        table.add_row(_whose(one), *("" if amount is None else f"{amount:,}" for amount in amounts))
    return table


def _whose(one: dict[str, Any]) -> str:
    if one["per"] == "all":
        return "all together"
    return f"{one['per']} {one['who']}" if one["who"] else f"each {one['per']}"


def _some(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(name or "(none stated)" for name in names[:3])
    return f"{shown}, {len(names) - 3} more" if len(names) > 3 else shown

"""What a translated request may say to an upstream (`target = { … }`), and other structs read field by field."""

from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

from farthing.gateway.translation.words import AnthropicTarget, OpenAITarget
from farthing.rates.toml_table import Table

NO_LIMIT = "none"
_MOST_S = 30 * 86_400
_S = TypeVar("_S", bound=msgspec.Struct)


def read_target(table: Table | None, base: OpenAITarget | AnthropicTarget) -> OpenAITarget | AnthropicTarget:
    """`base` with what `table` says of it. The model's name is not said here: [[upstream.model]] says it."""
    if table is None:
        return base
    stops: dict[str, Any] = {}
    if isinstance(base, OpenAITarget) and "most_stops" in table:
        unlimited = table.values["most_stops"] == NO_LIMIT
        stops = {"most_stops": None if unlimited else table.whole("most_stops")}
    return msgspec.structs.replace(changed(table, base, leave=("model", "most_stops")), **stops)


def changed(table: Table | None, base: _S, least: Mapping[str, int] | None = None, leave: tuple[str, ...] = ()) -> _S:
    """`base` with the fields that `table` states, each read by the type of the field; the table is finished.

    Floats are seconds: above 0 and at most 30 days. Whole numbers are at least 1, or as `least` says. `leave`: fields
    that are not the table's to state. Raises `FarthingError` with file, line and repair.
    """
    if table is None:
        return base
    found: dict[str, Any] = {}
    hints = get_type_hints(type(base))
    for name in type(base).__struct_fields__:
        if name in leave:
            continue
        value = _read(table, name, hints[name], (least or {}).get(name, 1))
        if value is not None:
            found[name] = value
    table.finish()
    return msgspec.structs.replace(base, **found)


def _read(table: Table, name: str, hint: Any, least: int) -> Any:
    if hint is bool:
        return table.flag(name)
    if hint is int:
        return table.whole(name, least=least)
    if hint is float:
        number = table.number(name, positive=True)
        if number is not None and number > _MOST_S:
            table.fail(name, f"{name!r} is {number} seconds, more than 30 days")
        return None if number is None else float(number)
    if choices := get_args(hint):
        return table.choice(name, choices)
    return table.text(name)
